//! Notifications: who is told what, how often, and what happens if nobody listens.

use crate::support::broker::Broker;
use crate::support::child::Process;
use crate::support::daemon::{BINARY, Daemon, now_ms, uses};
use crate::support::receiver::Receiver;
use crate::support::{free_port, kept, pause, skipped, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const BASE: &str = "mode.default = \"revoke\"\nlimits.default = \"600/min\"\n[egress]\nnetworks = [\"127.0.0.0/8\"]\ntimeout = \"500ms\"\n";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

/// Settings of a webhook, a chat and an on-call service, all of which are `receiver`.
fn three(folder: &Path, receiver: &Receiver, further: &str) -> String {
    let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
    format!(
        "{BASE}[notify.webhook.siem]\nurl = \"{}\"\nsecret_file = \"{}\"\n{further}\
         [notify.slack.oncall]\nurl_file = \"{}\"\n{further}\
         [notify.pagerduty.security]\nurl = \"{}\"\nrouting_key_file = \"{}\"\n{further}",
        receiver.url("/webhook"),
        write(folder, "webhook", &secret),
        write(folder, "slack", &receiver.url("/PLANTED/slack")),
        receiver.url("/pagerduty"),
        write(folder, "pagerduty", "PLANTED-routing-key"),
    )
}

fn bodies(receiver: &Receiver, path: &str) -> Vec<Value> {
    let received = receiver.received().into_iter().filter(|request| request.path.contains(path));
    received.map(|request| serde_json::from_slice(&request.body).expect("JSON")).collect()
}

fn text(value: &Value, at: &str) -> String {
    value.pointer(at).and_then(Value::as_str).unwrap_or("").to_owned()
}

#[test]
fn each_receiver_is_told_once_of_a_finding_and_of_what_was_done() {
    let (folder, receiver) = (tempfile::tempdir().expect("a folder"), Receiver::start());
    let daemon = Daemon::start(&folder, &three(folder.path(), &receiver, ""));
    for _ in 0..5 {
        daemon.post_events(&uses("key_1", now_ms(), 1000));
    }
    until("all are told", PATIENCE, || {
        let counts = ["webhook", "slack", "pagerduty"].map(|path| bodies(&receiver, path).len());
        let revoked = bodies(&receiver, "webhook")
            .iter()
            .any(|one| text(one, "/decision/action") == "revoke");
        (revoked && counts.iter().all(|count| *count >= 2)).then_some(())
    });
    let told = bodies(&receiver, "webhook");
    let finding = told.iter().find(|one| text(one, "/type") == "tripline.finding");
    let finding = finding.expect("the finding");
    assert_eq!(
        (text(finding, "/stage"), text(finding, "/finding/credential")),
        ("opened".into(), "key_1".into())
    );
    let decisions = told.iter().filter(|one| text(one, "/type") == "tripline.decision");
    let actions: Vec<String> = decisions.map(|one| text(one, "/decision/action")).collect();
    assert_eq!(actions, ["throttle", "revoke"], "as the limit was about to be broken, and was");
    let mut ids: Vec<String> = told.iter().map(|one| text(one, "/id")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), told.len(), "nothing twice: {told:?}");
    let event = &bodies(&receiver, "pagerduty")[0];
    assert_eq!(text(event, "/event_action"), "trigger");
    assert_eq!(text(event, "/dedup_key"), text(finding, "/finding/id"));
    assert!(text(&bodies(&receiver, "slack")[0], "/text").contains("key_1"));
    let (log, data) = (daemon.log(), daemon.data());
    daemon.terminate();
    assert!(!log.contains("PLANTED"), "{log}");
    for (_, bytes) in kept(&data) {
        assert!(!String::from_utf8_lossy(&bytes).contains("PLANTED"));
    }
}

#[test]
fn a_receiver_that_fails_is_tried_again_and_one_that_hangs_holds_nothing_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (failing, hanging) = (Receiver::start(), Receiver::start());
    failing.answer(500);
    hanging.hang();
    let config = format!(
        "{BASE}[notify.slack.failing]\nurl_file = \"{}\"\n[notify.slack.hanging]\nurl_file = \"{}\"\n",
        write(folder.path(), "failing", &failing.url("/slack")),
        write(folder.path(), "hanging", &hanging.url("/slack")),
    );
    let daemon = Daemon::start(&folder, &config);
    daemon.post_events(&uses("key_1", now_ms(), 2000));
    until("the key is refused all the same", Duration::from_secs(5), || {
        (daemon.check("key_1") == 403).then_some(())
    });
    until("both were asked", PATIENCE, || {
        (!failing.received().is_empty() && !hanging.received().is_empty()).then_some(())
    });
    failing.answer(200);
    let name = "tripline_notifications_total{receiver=\"slack.failing\",result=\"delivered\"}";
    until("it is delivered in the end", PATIENCE, || (daemon.metric(name) >= 2.0).then_some(()));
}

#[test]
fn beyond_its_limit_a_receiver_is_told_how_many_more_there_are() {
    let (folder, receiver) = (tempfile::tempdir().expect("a folder"), Receiver::start());
    let daemon = Daemon::start(&folder, &three(folder.path(), &receiver, "per_minute = 6\n"));
    let lines: String = (0..40).map(|n| uses(&format!("key_{n}"), now_ms(), 1000)).collect();
    daemon.post_events(&lines);
    let more = until("it is told of more", Duration::from_secs(30), || {
        let told = bodies(&receiver, "webhook");
        told.into_iter().find(|one| text(one, "/type") == "tripline.more")
    });
    assert!(more.pointer("/left_out").and_then(Value::as_u64) >= Some(1), "{more}");
    assert!(bodies(&receiver, "webhook").len() < 12, "a few, not forty");
    let name = "tripline_notifications_total{receiver=\"webhook.siem\",result=\"limited\"}";
    assert!(daemon.metric(name) >= 30.0);
}

#[test]
fn a_test_message_says_that_it_is_one_and_names_who_did_not_take_it() {
    let (folder, mut receiver) = (tempfile::tempdir().expect("a folder"), Receiver::start());
    let path = write(folder.path(), "tripline.toml", &three(folder.path(), &receiver, ""));
    let test = |further: &[&str]| {
        let mut command = Command::new(BINARY);
        let done = command.args(["notify", "test", "--config", &path]).args(further).output();
        let done = done.expect("runs");
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, told) = test(&[]);
    assert_eq!((code, told.matches("took it").count()), (Some(0), 3), "{told}");
    let slack = bodies(&receiver, "slack");
    assert!(slack.iter().all(|one| text(one, "/text").contains("TEST")), "{slack:?}");
    let actions: Vec<String> =
        bodies(&receiver, "pagerduty").iter().map(|one| text(one, "/event_action")).collect();
    assert_eq!(actions, ["trigger", "resolve"], "it leaves nothing open");
    let closed: Vec<bool> = bodies(&receiver, "webhook")
        .iter()
        .map(|one| one["finding"]["closed"].is_string())
        .collect();
    assert_eq!(closed, [false, true], "what is over says when it ended");
    receiver.answer(500);
    let (code, told) = test(&["slack.oncall"]);
    assert_eq!(
        (code, told.contains("did NOT accept it now: answered 500")),
        (Some(1), true),
        "{told}"
    );
    assert!(!told.contains("could NOT be reached"), "{told}");
    receiver.answer(403);
    let (code, told) = test(&["slack.oncall"]);
    assert_eq!((code, told.contains("slack.oncall REJECTED")), (Some(1), true), "{told}");
    receiver.stop();
    let (code, told) = test(&["webhook.siem"]);
    assert_eq!((code, told.contains("could NOT be reached")), (Some(1), true), "{told}");
    assert!(told.contains("the connection was refused"), "{told}");
    let (code, told) = test(&["slack.nobody"]);
    assert_eq!(code, Some(78));
    assert!(told.contains("unknown receiver slack.nobody; configured are: "), "{told}");
    assert!(told.contains("slack.oncall") && told.contains("webhook.siem"), "{told}");
    let done = Command::new(BINARY).args(["notify", "test"]).output().expect("runs");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(78));
    assert!(
        told.contains("no receiver is configured; name the configuration: --config FILE"),
        "{told}"
    );
}

#[test]
fn a_topic_has_every_finding_and_decision_as_a_cloud_event_in_order_by_credential() {
    if skipped("broker") {
        return;
    }
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::start());
    broker.create_topic("abuse", 1);
    let config = format!(
        "{BASE}[notify.kafka.siem]\nbrokers = \"{}\"\ntopic = \"abuse\"\n",
        broker.address()
    );
    let daemon = Daemon::start(&folder, &config);
    let lines: String = (0..40).map(|n| uses(&format!("key_{n}"), now_ms(), 1000)).collect();
    daemon.post_events(&lines);
    let records = broker.read_until("abuse", |records| {
        let is_decision = |body| text(body, "/type").starts_with("tripline.decision.");
        let decided = records.iter().filter(|one| is_decision(&one.body));
        decided.map(|one| one.key.as_str()).collect::<BTreeSet<_>>().len() == 40
    });
    let mut ids = BTreeSet::new();
    for record in &records {
        assert_eq!(record.content_type, "application/cloudevents+json");
        assert_eq!(text(&record.body, "/specversion"), "1.0");
        assert_eq!(text(&record.body, "/subject"), format!("api_key:{}", record.key));
        assert!(text(&record.body, "/type").starts_with(&text(&record.body, "/data/type")));
        assert!(ids.insert(text(&record.body, "/id")), "nothing twice: {record:?}");
    }
    let of_one: Vec<String> = records
        .iter()
        .filter(|one| one.key == "key_7")
        .map(|one| text(&one.body, "/type"))
        .collect();
    assert_eq!(of_one.first().map(String::as_str), Some("tripline.finding.opened"), "{of_one:?}");
    assert!(of_one.iter().any(|one| one.starts_with("tripline.decision.")), "{of_one:?}");
}

#[test]
fn a_topic_that_cannot_be_reached_holds_nothing_up_and_has_all_in_the_end() {
    if skipped("broker") {
        return;
    }
    let (folder, broker) = (tempfile::tempdir().expect("a folder"), Broker::start());
    broker.create_topic("abuse", 1);
    let config = format!(
        "{BASE}[notify.kafka.siem]\nbrokers = \"{}\"\ntopic = \"abuse\"\nformat = \"ocsf\"\n",
        broker.address()
    );
    let daemon = Daemon::start(&folder, &config);
    broker.pause();
    daemon.post_events(&uses("key_1", now_ms(), 2000));
    until("the key is refused all the same", Duration::from_secs(5), || {
        (daemon.check("key_1") == 403).then_some(())
    });
    // Longer than a record may take to be stored.
    pause(Duration::from_secs(6));
    broker.resume();
    let records =
        broker.read_until("abuse", |records| records.iter().any(|one| one.body["action_id"] == 2));
    assert_eq!(records[0].body["activity_id"], 1, "first it is created");
}

/// What consumers of the class rely on.
#[test]
fn an_ocsf_finding_has_all_that_its_class_requires() {
    let (folder, receiver) = (tempfile::tempdir().expect("a folder"), Receiver::start());
    let secret = write(folder.path(), "webhook", &format!("whsec_{}", STANDARD.encode([7; 32])));
    let config = format!(
        "{BASE}[notify.webhook.siem]\nurl = \"{}\"\nsecret_file = \"{secret}\"\nformat = \"ocsf\"\n",
        receiver.url("/webhook")
    );
    let daemon = Daemon::start(&folder, &config);
    // One long ago, whose end follows from what comes now; then one that is denied.
    daemon.post_events(&uses("key_1", now_ms() - 400_000, 2000));
    daemon.post_events(&uses("key_1", now_ms(), 1));
    daemon.post_events(&uses("key_2", now_ms(), 2000));
    let told = |key: &str, field: &str, is: u64| {
        until(&format!("{field} of {key} is {is}"), PATIENCE, || {
            let all = bodies(&receiver, "webhook").into_iter();
            all.into_iter().find(|one| text(one, "/resources/0/uid") == key && one[field] == is)
        })
    };
    let (created, closed) = (told("key_1", "activity_id", 1), told("key_1", "activity_id", 3));
    let (other, denied) = (told("key_2", "activity_id", 1), told("key_2", "action_id", 2));
    for (first, one) in [(&created, &created), (&created, &closed), (&other, &denied)] {
        let activity = one["activity_id"].as_u64().expect("a number");
        assert_eq!(one["type_uid"], 200_400 + activity, "{one}");
        assert_eq!((&one["class_uid"], &one["category_uid"]), (&2004.into(), &2.into()));
        assert_eq!(one["finding_info"]["uid"], first["finding_info"]["uid"], "one finding: {one}");
        assert!(one["time"].is_i64() && one["severity_id"].is_u64(), "{one}");
        assert_eq!(text(one, "/metadata/version"), "1.4.0");
        assert_eq!(text(one, "/metadata/product/vendor_name"), "tripline");
    }
    assert_eq!((&denied["severity_id"], &closed["status_id"]), (&5.into(), &4.into()));
    assert_eq!(text(&denied, "/metadata/profiles/0"), "security_control");
}

/// Debian's Alertmanager, which tells `receiver`.
pub struct Alertmanager {
    _process: Process,
    _folder: tempfile::TempDir,
    /// Its address.
    pub base: String,
}

impl Alertmanager {
    /// Starts one and waits until it is ready.
    pub fn start(receiver: &Receiver) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let config = format!(
            "route:\n  receiver: stub\n  group_by: ['finding']\n  group_wait: 100ms\n  \
             group_interval: 1s\nreceivers:\n  - name: stub\n    webhook_configs:\n      \
             - url: {}\n        send_resolved: true\n",
            receiver.url("/alertmanager")
        );
        let path = write(folder.path(), "alertmanager.yml", &config);
        let mut command = Command::new("prometheus-alertmanager");
        command.arg(format!("--config.file={path}"));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.arg(format!("--storage.path={}", folder.path().display()));
        command.args(["--cluster.listen-address=", "--log.level=error"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command);
        let base = format!("http://127.0.0.1:{port}");
        until("Alertmanager is ready", PATIENCE, || {
            crate::support::http()
                .get(format!("{base}/-/ready"))
                .send()
                .ok()
                .filter(|one| one.status().is_success())
        });
        Self { _process: process, _folder: folder, base }
    }
}

#[test]
fn a_real_alertmanager_fires_and_resolves() {
    if skipped("alertmanager") {
        return;
    }
    let (folder, receiver) = (tempfile::tempdir().expect("a folder"), Receiver::start());
    let alertmanager = Alertmanager::start(&receiver);
    let config = format!("{BASE}[notify.alertmanager.main]\nurl = \"{}\"\n", alertmanager.base);
    let daemon = Daemon::start(&folder, &config);
    // What happened a while ago is told too, and its end follows from what comes now.
    daemon.post_events(&uses("key_1", now_ms() - 400_000, 2000));
    let fires = |status: &str, credential: &str| {
        let mut told = bodies(&receiver, "alertmanager");
        told.retain(|one| {
            text(one, "/status") == status && text(one, "/alerts/0/labels/credential") == credential
        });
        told
    };
    let told = until("it fires, at last as critical", PATIENCE, || {
        let told = fires("firing", "key_1");
        told.into_iter().find(|one| text(one, "/alerts/0/labels/severity") == "critical")
    });
    assert!(text(&told, "/alerts/0/annotations/summary").contains("600 a minute"), "{told}");
    let path = write(folder.path(), "test.toml", &config);
    let mut test = Command::new(BINARY);
    let done = test.args(["notify", "test", "--config", &path]).output().expect("runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    daemon.post_events(&uses("key_1", now_ms(), 1));
    until("it is resolved", Duration::from_secs(30), || fires("resolved", "key_1").pop());
}
