//! A crash under load: how soon tripline is back where it was.
//!
//! `cargo bench --bench restart` lets the daemon learn 1,000,000 credentials over HTTP, kills it by
//! SIGKILL in the middle of a load, starts it again, and measures how long it takes until it answers,
//! with every acknowledged event counted. `-- --test` runs it small, and fails beyond ten seconds.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "support/http.rs"]
mod http;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Killed, free_port, start, until};

/// Credentials in a request.
const TOGETHER: u64 = 50_000;
/// How soon it must be back.
const BACK: Duration = Duration::from_secs(10);

struct Daemon {
    process: Killed,
    base: String,
    client: reqwest::blocking::Client,
}

impl Daemon {
    fn start(folder: &Path) -> Self {
        let port = free_port();
        let config = folder.join("tripline.toml");
        let text = format!(
            "data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:{port}\"\ncheckpoints.interval = \"5s\"\n",
            folder.join("data").display()
        );
        std::fs::write(&config, text).expect("writes");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        let process = start(command.arg("run").arg("--config").arg(&config));
        let base = format!("http://127.0.0.1:{port}");
        let client = http::client();
        let daemon = Self { process, base, client };
        until("it is ready", || daemon.get("/readyz").is_some());
        daemon
    }

    fn get(&self, path: &str) -> Option<String> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().ok()?;
        answer.status().is_success().then(|| answer.text().ok()).flatten()
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("a metric of that name").parse().expect("a number")
    }

    /// Sends a use of each of the credentials from `first` on; waits while it is full.
    fn send(&self, first: u64, count: u64) {
        let ms = since_1970().as_millis();
        let line =
            |n: u64| format!("{{\"time\":{ms},\"credential\":\"key_{n:08}\",\"status\":200}}\n");
        let body: String = (first..first + count).map(line).collect();
        loop {
            let sent = self.client.post(format!("{}/v1/events", self.base)).body(body.clone());
            let status = sent.send().expect("answers").status().as_u16();
            if status == 200 {
                return;
            }
            assert_eq!(status, 429, "it is full for a moment");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// How often a credential was used in the last five minutes.
    fn count(&self, number: u64) -> u64 {
        let text = self.get(&format!("/v1/credentials/key_{number:08}")).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        json.pointer("/windows/4/count").and_then(serde_json::Value::as_u64).unwrap_or(0)
    }
}

fn since_1970() -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970")
}

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let credentials: u64 = if small { 100_000 } else { 1_000_000 };
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path());
    for first in (0..credentials).step_by(50_000) {
        daemon.send(first, TOGETHER);
    }
    let known = || daemon.metric("tripline_credentials") >= credentials as f64;
    until("all are known", known);
    let oldest = || daemon.metric("tripline_checkpoint_timestamp_seconds{stage=\"data_plane\"}");
    // Those of all slots, begun after the last credential.
    let begun = since_1970().as_secs_f64() + 5.0;
    let is_written = || oldest() > begun;
    until("they are written down", is_written);
    // As much again, which no checkpoint has by the time of the crash.
    for first in (0..credentials / 2).step_by(50_000) {
        daemon.send(first, TOGETHER);
    }
    drop(daemon.process);
    let begun = Instant::now();
    let daemon = Daemon::start(folder.path());
    until("all is counted", || daemon.count(credentials / 2 - 1) == 2);
    let back = begun.elapsed();
    let counts: Vec<u64> = (0..credentials).step_by(997).map(|n| daemon.count(n)).collect();
    let wanted = |n: usize| if (n as u64 * 997) < credentials / 2 { 2 } else { 1 };
    let right = counts.iter().enumerate().all(|(n, count)| *count == wanted(n));
    println!(
        "after SIGKILL with {credentials} credentials and {} events since they were written down: back in \
         {:.1} s, all counted: {right}",
        credentials / 2,
        back.as_secs_f64()
    );
    assert!(right && (!small || back < BACK), "back in {back:?}");
}
