//! Decisions beside a Redis that hangs: from the event that crosses a limit to `/v1/check` refusing.
//!
//! `cargo bench --bench stopped_redis` starts `tripline run` as one of two instances that share the
//! revocation limit in Redis, and measures in pairs: Redis as it is, then stopped by SIGSTOP. Meanwhile other
//! credentials are to be revoked all the time, each of which needs a token of the Redis that hangs. It
//! prints p50 and p99 in milliseconds, and ends with 1 where p99 beside the stopped Redis is above its
//! bound. `-- --test` runs it small, on a engine that does other things: with a bound of 100 ms.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads files and the clock")]

#[path = "support/http.rs"]
mod http;
#[path = "support/redis_server.rs"]
mod redis_server;
mod support;

use redis_server::start_redis;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Killed, free_port, start, until};

/// Unit: requests a minute.
const LIMIT: usize = 60;
/// How often a revocation wants a token of Redis.
const REVOCATION_EVERY: Duration = Duration::from_millis(50);

fn event(credential: &str, tenant: &str) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_ms = since.expect("after 1970").as_millis();
    format!(
        "{{\"time\":{now_ms},\"credential\":\"{credential}\",\"tenant\":\"{tenant}\",\"status\":200}}\n"
    )
}

struct Client {
    http: reqwest::blocking::Client,
    base: String,
}

impl Client {
    fn send(&self, body: String) {
        let answer = self.http.post(format!("{}/v1/events", self.base)).body(body).send();
        assert!(answer.expect("answers").status().is_success());
    }

    fn is_refused(&self, credential: &str) -> bool {
        let asked = self.http.get(format!("{}/v1/check", self.base));
        let asked = asked.header("X-Tripline-Credential", format!("api_key:{credential}"));
        asked.send().expect("answers").status() == 403
    }

    /// From the event that crosses the limit to a refusal. Unit: milliseconds.
    fn time_to_refusal(&self, credential: &str) -> f64 {
        self.send(event(credential, "suspended").repeat(LIMIT));
        std::thread::park_timeout(Duration::from_millis(20));
        let begun = Instant::now();
        self.send(event(credential, "suspended"));
        until("it is refused", || self.is_refused(credential));
        begun.elapsed().as_secs_f64() * 1000.0
    }
}

fn signal(process: &Killed, name: &str) {
    let pid = process.0.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().expect("runs").success());
}

/// Runs `rounds`, prints p50 and p99; gives the latter.
fn measure(name: &str, rounds: usize, client: &Client) -> f64 {
    let of = |round| client.time_to_refusal(&format!("{name}_{round}"));
    let mut times: Vec<f64> = (0..rounds).map(of).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get((rounds * share / 100).min(rounds - 1)).copied();
    let (p50, p99) = (at(50).expect("some"), at(99).expect("some"));
    println!("redis {name}: p50 {p50:.1} ms, p99 {p99:.1} ms over {rounds} credentials");
    p99
}

fn main() -> std::process::ExitCode {
    let small = std::env::args().any(|argument| argument == "--test");
    let (rounds, bound_ms) = if small { (50, 100.0) } else { (500, 20.0) };
    let folder = tempfile::tempdir().expect("a folder");
    let (redis, redis_url) = start_redis();
    let port = free_port();
    let config = folder.path().join("tripline.toml");
    let settings = format!(
        "data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:{port}\"\nmode.default = \"revoke\"\n\
         mode.tenant.suspended = \"suspend\"\nlimits.default = \"{LIMIT}/min\"\n\
         [revocation_limit]\ninstances = 2\nper_hour = 1000000\nper_tenant_hour = 1000000\n\
         [auth_store.redis]\nurl = \"{redis_url}\"\n",
        folder.path().join("data").display()
    );
    std::fs::write(&config, settings).expect("writes");
    let binary = env!("CARGO_BIN_EXE_tripline");
    let _daemon = start(Command::new(binary).arg("run").arg("--config").arg(&config));
    let base = format!("http://127.0.0.1:{port}");
    let client = Client { http: http::client(), base };
    until("the daemon is ready", || {
        client.http.get(format!("{}/readyz", client.base)).send().is_ok()
    });
    let busy = AtomicBool::new(true);
    let p99_ms = std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut count = 0;
            while busy.load(Ordering::Relaxed) {
                client.send(event(&format!("revoked_{count}"), "revoked").repeat(LIMIT + 1));
                count += 1;
                std::thread::park_timeout(REVOCATION_EVERY);
            }
            println!("  beside {count} revocations that need a token of it");
        });
        measure("as it is", rounds, &client);
        signal(&redis, "-STOP");
        let p99_ms = measure("stopped", rounds, &client);
        signal(&redis, "-CONT");
        busy.store(false, Ordering::Relaxed);
        p99_ms
    });
    if p99_ms > bound_ms {
        println!("above the bound of {bound_ms} ms");
        return std::process::ExitCode::FAILURE;
    }
    std::process::ExitCode::SUCCESS
}
