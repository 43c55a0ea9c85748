//! The boards, rules and runbooks: sound by themselves, and fed by what tripline says.

use crate::notifications::Alertmanager;
use crate::prometheus::Prometheus;
use crate::support::child::Process;
use crate::support::daemon::{BINARY, now_ms};
use crate::support::receiver::Receiver;
use crate::support::{free_port, skipped, until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What no run of a minute without Kafka and receivers can show: the first thing by which it is
/// known, and why.
const WITHOUT_DATA: [(&str, &str); 7] = [
    ("offset 1", "there is no yesterday"),
    ("tripline_notifications_total", "nobody is told"),
    ("tripline_topic_write_seconds", "nothing is written into a topic"),
    ("ALERTS", "nothing may fire"),
    ("tripline_source_files", "no files are followed"),
    ("tripline_source_unread_bytes", "no files are followed"),
    ("tripline_source_read_errors", "no files are followed"),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|_| panic!("{} is there", path.display()))
}

fn files(name: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|one| one == extension)).collect()
}

fn boards() -> Vec<(String, Value)> {
    let boards: Vec<_> = files("dashboards", "json")
        .into_iter()
        .map(|path| {
            let text = read(&path);
            let board: Value = serde_json::from_str(&text).expect("JSON");
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), board)
        })
        .collect();
    assert_eq!(boards.len(), 3);
    boards
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    list(board, "/panels").iter().filter(|panel| text(panel, "/type") != "row")
}

/// The queries of a board: of which panel or annotation, and what is asked.
fn queries(board: &Value) -> Vec<(String, String)> {
    let of_panel = |panel: &Value| {
        let title = text(panel, "/title").to_owned();
        let targets = list(panel, "/targets").to_vec();
        targets.into_iter().map(move |target| (title.clone(), text(&target, "/expr").to_owned()))
    };
    let annotations = list(board, "/annotations/list").iter();
    let annotations = annotations
        .filter(|one| !text(one, "/expr").is_empty())
        .map(|one| (text(one, "/name").to_owned(), text(one, "/expr").to_owned()));
    panels(board).flat_map(of_panel).chain(annotations).collect()
}

/// The groups of rules of a file.
fn groups(path: &Path) -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read(path)).expect("YAML");
    list(&file, "/groups").to_vec()
}

fn alerts() -> Vec<Value> {
    let groups = groups(&folder("dashboards/rules/alerts.yml"));
    groups.iter().flat_map(|group| list(group, "/rules").to_vec()).collect()
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_of_which_instances() {
    for (name, board) in boards() {
        assert_eq!(board["schemaVersion"], 39, "{name}");
        assert_eq!(board["editable"], false, "{name}");
        assert_eq!(text(&board, "/uid"), format!("tripline-{name}"));
        let variables: Vec<_> =
            list(&board, "/templating/list").iter().map(|one| text(one, "/name")).collect();
        assert_eq!(variables, ["datasource", "job", "instance"], "{name}");
        let mut titles = BTreeSet::new();
        for panel in panels(&board) {
            let title = text(panel, "/title");
            assert!(!title.is_empty() && titles.insert(title), "{name}: {title} is there twice");
            assert!(!text(panel, "/description").is_empty(), "{name}: {title} has no description");
            assert!(
                !text(panel, "/fieldConfig/defaults/unit").is_empty(),
                "{name}: {title} has no unit"
            );
        }
        for (title, query) in queries(&board) {
            assert!(query.contains("instance=~\"$instance\""), "{name}: {title}: {query}");
        }
    }
}

#[test]
fn every_alert_has_a_runbook_and_cases_in_which_it_fires_and_does_not() {
    let cases: String =
        files("dashboards/rules/tests", "yml").iter().map(|path| read(path)).collect();
    let index = read(&folder("docs/runbooks/README.md"));
    for alert in alerts() {
        let name = text(&alert, "/alert");
        assert!(name.starts_with("Tripline"), "{name}");
        let severity = text(&alert, "/labels/severity");
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        let url = text(&alert, "/annotations/runbook_url");
        let page = url
            .strip_prefix("https://github.com/tripline/tripline/blob/main/")
            .unwrap_or_else(|| panic!("{name}: {url}"));
        assert!(read(&folder(page)).contains(&format!("`{name}`")), "{page} does not name {name}");
        assert!(index.contains(&format!("`{name}`")), "the index of runbooks does not name {name}");
        assert!(cases.contains(&format!("- name: {name} fires")), "{name} never fires in a test");
        let silent = cases.contains(&format!("- name: {name} stays silent"));
        assert!(silent || name == "TriplineWatchdog", "{name} is never silent in a test");
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules_and_their_cases_come_true() {
    if skipped("prometheus") {
        return;
    }
    let promtool = |command: &str, files: Vec<PathBuf>| {
        let mut promtool = Command::new("promtool");
        let done = promtool.args([command, "rules"]).args(files).output().expect("promtool runs");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    };
    promtool("check", files("dashboards/rules", "yml"));
    promtool("test", files("dashboards/rules/tests", "yml"));
}

/// The demo as it stays, scraped by a real Prometheus with the rules, that tells `alertmanager`.
fn watched_demo(alertmanager: Option<&Alertmanager>) -> (Process, Prometheus) {
    let port = free_port();
    let mut demo = Command::new(BINARY);
    demo.args(["demo", "--stay", "--port", &port.to_string()]);
    let demo = Process::start(demo.stdout(Stdio::null()));
    let rules = folder("dashboards/rules");
    let mut further = format!("rule_files: ['{}/*.yml']\n", rules.display());
    if let Some(alertmanager) = alertmanager {
        let target = alertmanager.base.trim_start_matches("http://");
        further.push_str(&format!(
            "alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{target}']}}]}}]}}\n"
        ));
    }
    (demo, Prometheus::start(&format!("127.0.0.1:{port}"), &further))
}

#[test]
fn every_query_is_answered_with_data_of_the_demo_and_every_metric_is_on_a_board() {
    if skipped("prometheus") {
        return;
    }
    let (_demo, prometheus) = watched_demo(None);
    let ask = |query: &str| {
        let query = [
            ("$job", ".+"),
            ("$instance", ".+"),
            ("$__rate_interval", "30s"),
            ("$__range", "60s"),
            ("$__interval", "1s"),
        ]
        .iter()
        .fold(query.to_owned(), |query, (name, value)| query.replace(name, value));
        let now_s = now_ms() / 1000;
        let (start, end) = ((now_s - 120).to_string(), now_s.to_string());
        let asked = [("query", &*query), ("start", &start), ("end", &end), ("step", "1")];
        let answer = prometheus.try_get("/api/v1/query_range", &asked)?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        Some(list(&answer, "/data/result").len())
    };
    until("the key is restored", Duration::from_mins(5), || {
        let restored = r#"tripline_decisions_total{action="restore",carried_out="true"} > 0"#;
        (ask(restored)? > 0).then_some(())
    });
    let mut asked = String::new();
    for (name, board) in boards() {
        for (title, query) in queries(&board) {
            asked.push_str(&query);
            if WITHOUT_DATA.iter().any(|(known, _)| query.contains(known)) {
                assert!(ask(&query).is_some(), "{name}: {title}");
                continue;
            }
            // A rate needs two scrapes, a rule an evaluation, the first checkpoint a minute.
            until(&format!("{name}: {title} has data: {query}"), Duration::from_secs(90), || {
                (ask(&query)? > 0).then_some(())
            });
        }
    }
    let metrics = prometheus.try_get("/api/v1/label/__name__/values", &[]).expect("answers");
    for metric in list(&metrics, "/data").iter().filter_map(Value::as_str) {
        let of_histogram = ["_bucket", "_sum", "_count"];
        let family = of_histogram.iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric);
        let is_own = metric.starts_with("tripline_");
        assert!(!is_own || asked.contains(family), "{metric} is on no board");
    }
}

#[test]
fn a_revocation_goes_through_prometheus_and_alertmanager_to_a_receiver() {
    if skipped("prometheus") || skipped("alertmanager") {
        return;
    }
    let receiver = Receiver::start();
    let alertmanager = Alertmanager::start(&receiver);
    let (_demo, _prometheus) = watched_demo(Some(&alertmanager));
    until("somebody is told of the revocation", Duration::from_mins(2), || {
        let told = receiver.received();
        let bodies = told.iter().map(|one| String::from_utf8_lossy(&one.body).into_owned());
        bodies.into_iter().find(|body| {
            body.contains("TriplineCredentialRevoked")
                && body.contains("runbooks/credential-revoked.md")
        })
    });
}

#[test]
fn the_rules_for_kubernetes_are_those_of_prometheus() {
    let rule = read(&folder("config/k8s/monitoring/prometheusrule.yaml"));
    let rule: Value = serde_saphyr::from_str(&rule).expect("YAML");
    let mut expected = groups(&folder("dashboards/rules/recording.yml"));
    expected.extend(groups(&folder("dashboards/rules/alerts.yml")));
    assert!(list(&rule, "/spec/groups") == expected, "they differ: write both alike");
}
