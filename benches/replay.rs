//! `replay` on one core against a bare loop that only parses the same lines.
//!
//! `cargo bench --bench replay` writes native events of about 300 bytes with 100,000 credentials,
//! reads them with both, and prints the ratio of their rates, which is what counts. Aimed at: 0.6.
//! `-- --test` runs it small.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads files and the clock")]
#![expect(dead_code, reason = "the bare loop parses fields that nobody reads")]

use indicatif::ProgressBar;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;
use tripline::cli::replay::{Outputs, replay};
use tripline::config::loader;
use tripline::model::time::EventTime;

/// The fields of the contract, borrowed as serde borrows them.
#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    credential: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow)]
    ip: Cow<'a, str>,
    asn: u32,
    #[serde(borrow)]
    country: Cow<'a, str>,
    #[serde(borrow)]
    user_agent: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    endpoint: Cow<'a, str>,
    status: u16,
    tokens: u64,
}

fn write_events(path: &Path, events: i64, credentials: i64) -> usize {
    let mut text = String::new();
    for n in 0..events {
        // A multiplicative walk visits all credentials in no order that a cache would like.
        let key = n.wrapping_mul(2_654_435_761).rem_euclid(credentials);
        let time = EventTime::from_ms(1_700_000_000_000 + n / 20);
        writeln!(
            text,
            "{{\"time\":\"{time}\",\"id\":\"01JDCP{n:020}\",\"credential\":\"key_{key:08}\",\
             \"kind\":\"api_key\",\"tenant\":\"tenant_{}\",\"subject\":\"svc-chat\",\
             \"outcome\":\"accepted\",\"ip\":\"203.0.113.{}\",\"asn\":64500,\"country\":\"DE\",\
             \"user_agent\":\"openai-python/1.54\",\"method\":\"POST\",\
             \"endpoint\":\"/v1/chat/completions\",\"status\":200,\"tokens\":{}}}",
            key % 100,
            key % 250,
            n % 4096,
        )
        .expect("writes");
    }
    std::fs::write(path, &text).expect("writes");
    text.len() / usize::try_from(events).expect("positive")
}

fn bare(path: &Path) -> f64 {
    let begun = Instant::now();
    let mut reader = BufReader::with_capacity(1 << 20, std::fs::File::open(path).expect("opens"));
    let (mut line, mut events, mut sum) = (Vec::new(), 0_u64, 0_usize);
    while reader.read_until(b'\n', &mut line).expect("reads") > 0 {
        let event: Bare<'_> = serde_json::from_slice(&line).expect("JSON");
        sum += event.credential.len();
        events += 1;
        line.clear();
    }
    std::hint::black_box(sum);
    events as f64 / begun.elapsed().as_secs_f64()
}

fn whole(path: &Path) -> f64 {
    let settings = loader::defaults(BTreeMap::new()).expect("the defaults are good");
    let files = [path.to_owned()];
    let report = replay(&settings, &files, &Outputs::default(), &ProgressBar::hidden());
    report.expect("reads").events_per_s
}

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let (events, credentials) = if small { (50_000, 1_000) } else { (2_000_000, 100_000) };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events.ndjson");
    let bytes = write_events(&path, events, credentials);
    // Both in turn, several times: on a shared engine the best of each is the fair comparison.
    let rounds = if small { 1 } else { 5 };
    let (mut parse, mut all) = (0.0_f64, 0.0_f64);
    for _ in 0..rounds {
        parse = parse.max(bare(&path));
        all = all.max(whole(&path));
    }
    println!(
        "{events} events of {bytes} bytes, {credentials} credentials: bare parse {parse:.0}/s, \
         replay {all:.0}/s, ratio {:.2}",
        all / parse
    );
}
