//! A million revoked credentials in force: how long they take to be carried out after a start and
//! to be asserted again in an emptied Redis, what memory they need, and how fast `/v1/check`
//! answers beside them, as a share of what an empty axum handler answers in the same run.
//!
//! `cargo bench --bench check` needs Debian's redis-server and wrk. `-- 200000` takes that many
//! credentials. `-- --test` runs it small, and fails below half of what is aimed at.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads files and the clock")]

#[path = "support/http.rs"]
mod http;
#[path = "support/redis_server.rs"]
mod redis_server;
mod support;

use redis_server::start_redis;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Killed, free_port, start, until};
use tripline::adapters::journal::audit_log::Journal;
use tripline::formats::storage::journal::Entry;
use tripline::model::credential::Credential;
use tripline::model::decision::{Decision, DecisionId, Generation, Mode, Order};
use tripline::model::finding::Action;
use tripline::model::time::EventTime;

const TOGETHER: u32 = 10_000;

fn revocation(number: u32) -> Decision {
    let credential = Credential::parse(&format!("key_{number:08}")).expect("a name");
    let at = EventTime::from_ms(1_790_000_000_000);
    let order = Order::Act(Action::Revoke);
    Decision {
        id: DecisionId::of(&credential, Generation(1), at, (None, order)),
        finding: None,
        credential,
        tenant: None,
        generation: Generation(1),
        base: Generation(0),
        origin: None,
        wanted: Action::Revoke,
        order,
        mode: Mode::Revoke,
        carried_out: true,
        held_by: vec![],
        until: None,
        at,
        expires: None,
        by: "ada".into(),
        reason: "it was found in a public repository".to_owned(),
        evidence: vec![],
    }
}

fn write_journal(path: &Path, count: u32) {
    let (mut journal, _) = Journal::open(path, 256 << 20, |_| {}).expect("a journal");
    for first in (0..count).step_by(TOGETHER as usize) {
        let numbers = first..(first + TOGETHER).min(count);
        let entries: Vec<Entry> =
            numbers.map(|number| Entry::Decision(Box::new(revocation(number)))).collect();
        journal.append(&entries).expect("writes");
    }
}

/// The memory of a process that no file backs. Unit: MB of 10^6 bytes.
fn memory(process: &Killed) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.0.id())).expect("reads");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    let kb: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kb * 1024.0 / 1e6
}

/// What a run of wrk said.
struct Load {
    per_s: f64,
    p99_ms: f64,
}

/// Connections of wrk that ask as fast as they can, and that wait between their questions: a wait
/// is a whole number of milliseconds, so many are needed for an even rate.
const HURRIED: u32 = 32;
const PATIENT: u32 = 256;

/// Runs wrk against `url`, as fast as it goes or at about so many requests a second.
fn wrk(folder: &Path, url: &str, seconds: u64, per_s: Option<f64>) -> Load {
    let script = folder.join("check.lua");
    let delay = per_s.map_or(String::new(), |per_s| {
        let most_ms = 2.0 * f64::from(PATIENT) / per_s * 1000.0;
        format!("function delay() return math.floor(math.random() * {most_ms} + 0.5) end\n")
    });
    let connections = if per_s.is_some() { PATIENT } else { HURRIED };
    let text = format!(
        "local n = 0\n\
         request = function()\n\
           n = n + 1\n\
           wrk.headers['X-Tripline-Credential'] = 'api_key:live_' .. (n % 100000)\n\
           return wrk.format('GET', '/v1/check')\n\
         end\n\
         {delay}\
         done = function(summary, latency, requests)\n\
           io.write(string.format('FIGURES %f %f %d\\n', summary.requests / summary.duration * 1e6,\n\
             latency:percentile(99) / 1000, summary.errors.status))\n\
         end\n"
    );
    std::fs::write(&script, text).expect("writes");
    let mut command = Command::new("wrk");
    command
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"])
        .arg(&script)
        .arg(url);
    let output = command.output().expect("wrk runs; it is in Debian's package wrk");
    let told = String::from_utf8_lossy(&output.stdout);
    let line = told.lines().find_map(|line| line.strip_prefix("FIGURES ")).expect("figures");
    let figures: Vec<f64> = line.split(' ').map(|one| one.parse().expect("a number")).collect();
    let (per_s, p99_ms) = (figures.first(), figures.get(1));
    let errors = figures.get(2).expect("three figures");
    assert!(*errors < 0.5, "all are let pass: {told}");
    Load { per_s: *per_s.expect("a rate"), p99_ms: *p99_ms.expect("a time") }
}

/// An axum server that answers 200 and does nothing else, for comparison.
fn serve_empty(port: u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async move {
        let empty = || async { axum::http::StatusCode::OK };
        let router = axum::Router::new().route("/v1/check", axum::routing::get(empty));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("binds");
        axum::serve(listener, router).await.expect("serves");
    });
}

struct World {
    folder: tempfile::TempDir,
    redis: redis::Connection,
    port: u16,
}

impl World {
    fn daemon(&self) -> Killed {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.env("RUST_LOG", "error");
        start(command.arg("run").arg("--config").arg(self.folder.path().join("tripline.toml")))
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/check", self.port)
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let text = http::client().get(url).send().ok()?.text().ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    fn is_ready(&self) -> bool {
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        http::client().get(url).send().is_ok_and(|answer| answer.status().is_success())
    }

    fn in_redis(&mut self) -> usize {
        redis::cmd("DBSIZE").query::<usize>(&mut self.redis).expect("answers")
    }

    fn settled(&self) -> bool {
        let waiting = ["embedded", "redis"]
            .map(|store| self.metric(&format!("tripline_outbox_pending{{store=\"{store}\"}}")));
        waiting.iter().all(|waiting| *waiting == Some(0.0))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, first, port, ..] = arguments.as_slice()
        && first == "--serve-empty"
    {
        return serve_empty(port.parse().expect("a port"));
    }
    let small = arguments.iter().any(|argument| argument == "--test");
    let wanted = arguments.iter().find_map(|argument| argument.parse().ok());
    let count: u32 = wanted.unwrap_or(if small { 20_000 } else { 1_000_000 });
    let folder = tempfile::tempdir().expect("a folder");
    let (_redis, redis_url) = start_redis();
    let port = free_port();
    let settings = format!(
        "data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:{port}\"\n\
         auth_store.redis.url = \"{redis_url}\"\n",
        folder.path().join("data").display()
    );
    std::fs::write(folder.path().join("tripline.toml"), settings).expect("writes");
    let client = redis::Client::open(redis_url).expect("a URL");
    let redis = client.get_connection().expect("connects");
    let mut world = World { folder, redis, port };

    let daemon = world.daemon();
    until("it is ready", || world.is_ready());
    let bare = memory(&daemon);
    drop(daemon);
    std::fs::remove_dir_all(world.folder.path().join("data")).expect("removes");
    std::fs::create_dir(world.folder.path().join("data")).expect("makes");
    write_journal(&world.folder.path().join("data/journal.ndjson"), count);

    let begun = Instant::now();
    let daemon = world.daemon();
    until("it is ready", || world.is_ready());
    println!("start with {count} in the journal, index lacking: {:.1?}", begun.elapsed());
    until("all are carried out", || world.settled() && world.in_redis() >= count as usize);
    println!("all due in two stores after a start, carried out: {:.1?}", begun.elapsed());
    drop(daemon);

    let begun = Instant::now();
    let daemon = world.daemon();
    until("it is ready", || world.is_ready());
    println!("start with {count} in force: {:.1?}", begun.elapsed());
    let name = "tripline_reconciled_timestamp_seconds{store=\"redis\"}";
    until("it was compared", || world.metric(name).is_some_and(|at| at > 0.0));
    println!("  and both stores compared: {:.1?}", begun.elapsed());
    let more = memory(&daemon) - bare;
    println!("memory of {count} in force: {more:.0} MB more than of none");

    let _done: () = redis::cmd("FLUSHALL").query(&mut world.redis).expect("flushes");
    let asserting = AtomicBool::new(true);
    let mut another = client.get_connection().expect("connects");
    std::thread::scope(|scope| {
        let pinging = scope.spawn(|| pings(&mut another, &asserting));
        let again = until("all are asserted again", || world.in_redis() >= count as usize);
        asserting.store(false, Ordering::Relaxed);
        let waits = pinging.join().expect("pings");
        println!("after FLUSHALL, asserted again: {again:.1?}; meanwhile {waits}");
    });
    until("it is quiet", || world.settled());
    measure_check(&world, small);
}

/// How long another client of Redis waits for its answers, as long as `asserting` holds.
fn pings(redis: &mut redis::Connection, asserting: &AtomicBool) -> String {
    let mut waits_ms = Vec::new();
    while asserting.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let _pong: String = redis::cmd("PING").query(redis).expect("answers");
        waits_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    waits_ms.sort_by(f64::total_cmp);
    let at = |share: usize| waits_ms.get(waits_ms.len() * share / 1000).copied().unwrap_or(0.0);
    let longest = waits_ms.last().copied().unwrap_or(0.0);
    format!(
        "a PING takes p50 {:.1}, p99 {:.1}, p99.9 {:.1} ms and {longest:.0} ms at the most",
        at(500),
        at(990),
        at(999)
    )
}

fn measure_check(world: &World, small: bool) {
    let empty_port = free_port();
    let this = std::env::current_exe().expect("a path");
    let arguments = ["--serve-empty", &empty_port.to_string()];
    let _empty = start(Command::new(this).args(arguments));
    let empty_url = format!("http://127.0.0.1:{empty_port}/v1/check");
    until("it answers", || http::client().get(&empty_url).send().is_ok());
    let seconds = if small { 1 } else { 5 };
    let folder = world.folder.path();
    let mut ratios = Vec::new();
    let mut fastest: f64 = 0.0;
    for _ in 0..5 {
        let empty = wrk(folder, &empty_url, seconds, None);
        let check = wrk(folder, &world.url(), seconds, None);
        println!("check {:.0}/s, empty {:.0}/s", check.per_s, empty.per_s);
        fastest = fastest.max(check.per_s);
        ratios.push(check.per_s / empty.per_s);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(2).copied().expect("five");
    println!("check / empty: {ratio:.2} (median of 5, {ratios:.2?})");
    let half = wrk(folder, &world.url(), seconds, Some(fastest / 2.0));
    let share = half.per_s / fastest;
    println!("at {share:.2} of its rate: p99 {:.1} ms", half.p99_ms);
    assert!(!small || ratio > 0.4, "far below what is aimed at: {ratio:.2}");
}
