//! A log file that is followed, against `replay` of the same file.
//!
//! `cargo bench --bench tail` lets the daemon follow a file of 2,000,000 native events of about 130 bytes, with 10,000
//! credentials, and measures from its start until all are taken: on disk in the event log, and handed to the threads
//! that watch. The ratio to the rate of `tripline replay` is what counts. Aimed at: 0.8. `-- --test` runs it small.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "support/http.rs"]
mod http;
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{free_port, start, until};

const TRIPLINE: &str = env!("CARGO_BIN_EXE_tripline");

fn write_events(path: &Path, events: u64) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let begin = now.expect("after 1970").as_millis() - 3_600_000;
    let mut text = String::new();
    for n in 0..events {
        // A multiplicative walk visits all credentials in no order that a cache would like.
        let key = n.wrapping_mul(2_654_435_761) % 10_000;
        writeln!(
            text,
            "{{\"time\":{},\"credential\":\"key_{key}\",\"status\":200,\"ip\":\"203.0.113.{}\",\
             \"user_agent\":\"curl/8.5\",\"endpoint\":\"/v1/items\",\"method\":\"GET\"}}",
            begin + u128::from(n * 3),
            key % 250,
        )
        .expect("writes");
    }
    std::fs::write(path, text).expect("writes");
}

/// Events per second of a replay, as it reports them.
fn replayed(path: &Path, folder: &Path) -> f64 {
    let report = folder.join("report.json");
    let mut command = Command::new(TRIPLINE);
    command.arg("replay").arg("--report").arg(&report).arg(path);
    let done = command.output().expect("runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report = std::fs::read(report).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    report.get("events_per_s").and_then(serde_json::Value::as_f64).expect("a rate")
}

/// Events per second of a daemon that follows the file, from its start.
fn followed(path: &Path, folder: &Path, events: u64) -> f64 {
    let (port, data) = (free_port(), folder.join("data"));
    let config = folder.join("tripline.toml");
    let text = format!(
        "data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:{port}\"\n[sources.log]\ntype = \"file\"\npaths = [\"{}\"]\n",
        data.display(),
        path.display()
    );
    std::fs::write(&config, text).expect("writes");
    let client = http::client();
    let begun = Instant::now();
    let daemon = start(Command::new(TRIPLINE).arg("run").arg("--config").arg(&config));
    let taken = || {
        // To ask all the time would take a core from what is measured.
        std::thread::park_timeout(Duration::from_millis(25));
        let url = format!("http://127.0.0.1:{port}/metrics");
        let text = client.get(url).send().and_then(reqwest::blocking::Response::text);
        let text = text.unwrap_or_default();
        let name = "tripline_source_events_total{source=\"log\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok());
        count.is_some_and(|count| count >= events as f64)
    };
    until("all events are taken", taken);
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    drop(daemon);
    std::fs::remove_dir_all(data).expect("removes");
    rate
}

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let (events, rounds) = if small { (50_000, 1) } else { (2_000_000, 5) };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events.ndjson");
    write_events(&path, events);
    // Both in turn, several times: on a shared machine the best of each is the fair comparison.
    let (mut replay, mut tail) = (0.0_f64, 0.0_f64);
    for _ in 0..rounds {
        replay = replay.max(replayed(&path, folder.path()));
        tail = tail.max(followed(&path, folder.path(), events));
    }
    println!(
        "{events} events: replay {replay:.0}/s, followed and made durable {tail:.0}/s, ratio {:.2}",
        tail / replay
    );
}
