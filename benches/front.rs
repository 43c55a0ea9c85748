//! `/v1/check` while 8 senders post the bodies that cost most to refuse.
//!
//! `cargo bench --bench front` starts `tripline run`, revokes a key, and asks for that key and a good
//! one, over a kept and over new connections, while 8 connections, each with a token of its own, post
//! gzip bombs of newlines and brackets, deep JSON, megabytes that are no UTF-8, millions of elements and
//! empty gzip members. It prints p50, p99 and the worst in milliseconds, and fails where an answer is
//! wrong or p99 is not under 20 ms. `-- --test` runs it small.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads files and the clock")]

#[path = "support/http.rs"]
mod http;
mod support;

use reqwest::blocking::Client;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::{free_port, start, until};

const SENDERS: usize = 8;
/// Unit: milliseconds.
const P99_MS_MAX: f64 = 20.0;
/// Unpacked just below the limit of a body.
const UNPACKED: usize = 8_380_000;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("packs");
    encoder.finish().expect("packs")
}

fn repeated(text: &str) -> Vec<u8> {
    text.repeat(UNPACKED / text.len()).into_bytes()
}

/// The worst bodies that are known, and whether they are gzip.
fn bodies() -> Vec<(bool, Vec<u8>)> {
    let deep = format!("{}{}\n", "{\"a\":".repeat(127), "[".repeat(40));
    let array = format!("[{}1]", "1,".repeat(UNPACKED / 2 - 1));
    let strange = [&[0xff; 63][..], b"\n"].concat().repeat(UNPACKED / 64);
    let long = b"{\"time\":1,\"credential\":\"\xff\"}\n".repeat(UNPACKED / 28);
    vec![
        (true, gzip(&repeated("x\n"))),
        (true, gzip(&repeated("\n"))),
        (true, gzip(&repeated("{"))),
        (true, gzip(&repeated("{\n"))),
        (true, gzip(&repeated("["))),
        (true, gzip(&repeated("[\n"))),
        (true, gzip(&vec![b'\n'; 64 << 20])),
        (true, gzip(&repeated(&deep))),
        (true, gzip(array.as_bytes())),
        (true, gzip(&repeated("\"\\ud83d\"\n"))),
        (true, gzip(&[]).repeat(UNPACKED / 20)),
        (false, strange),
        (false, long),
        (false, vec![0xff; UNPACKED]),
    ]
}

/// Posts one body after the other; gives how many there were of each answer.
fn post(
    base: &str,
    token: &str,
    first: usize,
    bodies: &[(bool, Vec<u8>)],
    busy: &AtomicBool,
) -> Vec<u16> {
    let http = http::builder().timeout(None).build().expect("a client");
    let mut answers = Vec::new();
    for (gzip, body) in bodies.iter().cycle().skip(first) {
        if !busy.load(Ordering::Relaxed) {
            break;
        }
        let mut request = http.post(format!("{base}/v1/events")).bearer_auth(token);
        if *gzip {
            request = request.header("content-encoding", "gzip");
        }
        let answer = request.body(body.clone()).send().expect("answers");
        answers.push(answer.status().as_u16());
    }
    answers
}

/// Asks about a credential; gives the status, and the time that it took. Unit: milliseconds.
fn check(http: &Client, base: &str, token: &str, credential: &str) -> (u16, f64) {
    let begun = Instant::now();
    let request = http.get(format!("{base}/v1/check")).header("x-tripline-token", token);
    let answer = request.header("x-tripline-credential", credential).send().expect("answers");
    (answer.status().as_u16(), begun.elapsed().as_secs_f64() * 1000.0)
}

fn token(number: usize) -> String {
    format!("the-token-of-sender-{number:04}")
}

/// The settings, with a token for each sender and one for the gateway.
fn settings(folder: &Path, port: u16) -> String {
    let data = folder.join("data");
    let mut settings =
        format!("data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:{port}\"\n", data.display());
    for number in 0..=SENDERS {
        let file = folder.join(format!("token-{number}"));
        std::fs::write(&file, token(number)).expect("writes");
        settings.push_str(&format!(
            "[http.tokens.sender_{number}]\nroles = [\"ingest\", \"check\"]\ntoken_file = \"{}\"\n",
            file.display()
        ));
    }
    settings
}

/// Starts the senders; gives their answers once `busy` is over.
fn start_senders(base: &str, busy: &Arc<AtomicBool>) -> Vec<JoinHandle<Vec<u16>>> {
    let (bodies, posted) = (Arc::new(bodies()), Arc::new(AtomicU32::new(0)));
    let senders = (0..SENDERS).map(|number| {
        let (busy, bodies, base) = (Arc::clone(busy), Arc::clone(&bodies), base.to_owned());
        let posted = Arc::clone(&posted);
        std::thread::spawn(move || {
            posted.fetch_add(1, Ordering::Relaxed);
            post(&base, &token(number), number, &bodies, &busy)
        })
    });
    let senders = senders.collect();
    until("all senders run", || posted.load(Ordering::Relaxed) == 8);
    senders
}

/// Asks for that long; gives the times. Unit: milliseconds.
fn ask(http: &Client, base: &str, length: Duration) -> Vec<f64> {
    let gateway = token(SENDERS);
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        // A gateway keeps connections, and opens new ones.
        let new = http::client();
        for _ in 0..20 {
            for client in [http, &new] {
                for (credential, wanted) in [("good", 200), ("stolen", 403)] {
                    let (status, ms) = check(client, base, &gateway, credential);
                    assert_eq!(status, wanted, "{credential} after {:?}", begun.elapsed());
                    times.push(ms);
                }
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

fn main() {
    let seconds = if std::env::args().any(|argument| argument == "--test") { 8 } else { 60 };
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let config = folder.path().join("tripline.toml");
    std::fs::write(&config, settings(folder.path(), port)).expect("writes");
    let binary = env!("CARGO_BIN_EXE_tripline");
    let _daemon = start(Command::new(binary).arg("run").arg("--config").arg(&config));
    let base = format!("http://127.0.0.1:{port}");
    let http = http::client();
    until("the daemon is ready", || http.get(format!("{base}/readyz")).send().is_ok());
    let data = folder.path().join("data");
    let socket = http::builder().unix_socket(data.join("tripline.sock")).build();
    let socket = socket.expect("a client");
    let order = socket.post("http://localhost/v1/credentials/stolen/revoke");
    let order =
        order.header("content-type", "application/json").body("{\"reason\":\"a benchmark\"}");
    assert!(order.send().expect("answers").status().is_success());
    until("it is revoked", || check(&http, &base, &token(SENDERS), "stolen").0 == 403);

    let busy = Arc::new(AtomicBool::new(true));
    let senders = start_senders(&base, &busy);
    let times = ask(&http, &base, Duration::from_secs(seconds));
    busy.store(false, Ordering::Relaxed);
    let answers: Vec<u16> =
        senders.into_iter().flat_map(|sender| sender.join().expect("it ran")).collect();
    let count = |status: u16| answers.iter().filter(|one| **one == status).count();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied();
    let p99 = at(99).expect("some");
    println!(
        "check beside {SENDERS} senders of the worst bodies: p50 {:.1} ms, p99 {p99:.1} ms, worst {:.1} ms \
         over {} answers, all right",
        at(50).expect("some"),
        times.last().expect("some"),
        times.len()
    );
    println!(
        "  of {} bodies {} were decoded, {} refused as a whole, {} over the sender's budget",
        answers.len(),
        count(200),
        count(400) + count(413),
        count(429)
    );
    let letters = std::fs::metadata(data.join("rejects.ndjson")).map_or(0, |file| file.len());
    println!("  {:.1} MB of rejected records", letters as f64 / 1e6);
    assert!(count(200) > 0, "some were decoded: {answers:?}");
    assert!(p99 < P99_MS_MAX, "p99 {p99:.1} ms");
}
