//! A real Prometheus scrapes the daemon, and Debian's promtool finds nothing wrong.

use crate::support::child::Process;
use crate::support::daemon::{Daemon, now_ms, uses};
use crate::support::{free_port, skipped, until};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use url::Url;

/// Debian's Prometheus, which scrapes one target.
pub struct Prometheus {
    _process: Process,
    _folder: tempfile::TempDir,
    base: String,
}

impl Prometheus {
    /// Starts one that scrapes `target` (`host:port`); `further` is the rest of its configuration.
    pub fn start(target: &str, further: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms, evaluation_interval: 1s}}\nscrape_configs:\n\
             - job_name: tripline\n  static_configs: [{{targets: ['{target}']}}]\n{further}"
        );
        std::fs::write(&config, text).expect("writes");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        Self { _process: process, _folder: folder, base: format!("http://127.0.0.1:{port}") }
    }

    /// An answer of its API; none if it does not answer.
    pub fn try_get(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = Url::parse_with_params(&format!("{}{path}", self.base), query).expect("a URL");
        let answer = crate::support::http().get(url).send().ok()?.text().ok()?;
        serde_json::from_str(&answer).ok()
    }
}

#[test]
fn prometheus_scrapes_the_daemon_and_knows_its_findings() {
    if skipped("prometheus") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&uses("key_1", now_ms(), 12_000));
    let prometheus = Prometheus::start(daemon.base().trim_start_matches("http://"), "");
    let query = r#"tripline_findings_total{detector="limit",action="throttle"}"#;
    let value = until("Prometheus knows the finding", Duration::from_secs(30), || {
        let answer = prometheus.try_get("/api/v1/query", &[("query", query)])?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    });
    assert_eq!(value, "1");
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    if skipped("prometheus") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&uses("key_1", now_ms(), 100));
    let (_, metrics) = daemon.send("GET", "/metrics", &[], "");
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.stdout(Stdio::piped()).spawn().expect("promtool runs");
    promtool.stdin.take().expect("a pipe").write_all(metrics.as_bytes()).expect("writes");
    let done = promtool.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn who_accepts_open_metrics_is_told_the_finding_behind_a_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&uses("key_1", now_ms(), 12_000));
    let finding = until("it is found", Duration::from_secs(10), || {
        let found = daemon.get("/v1/findings");
        let of_limit = found.as_array()?.iter().find(|one| one["detector"] == "limit")?;
        Some(of_limit["id"].as_str()?.to_owned())
    });
    let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
    let (_, metrics) = daemon.send("GET", "/metrics", &accept, "");
    let name = "tripline_findings_total{action=\"throttle\",detector=\"limit\"} 1 # ";
    let line = metrics.lines().find(|line| line.starts_with(name)).expect("an exemplar");
    assert!(line.contains(&format!("{{finding_id=\"{finding}\"}}")), "{line}");
    assert!(metrics.ends_with("# EOF\n"));
}
