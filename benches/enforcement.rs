//! From the event that crosses the limit, sent by HTTP or Kafka, to `revoked` readable in Redis.
//!
//! `cargo bench --bench enforcement` starts `tripline run`, Debian's Redis and librdkafka's mock
//! brokers on loopback, lets one credential after the other cross its limit, and prints p50 and
//! p99 in milliseconds, alone and beside a load of 50,000 events a second. `-- --test` runs it small. The reader polls Redis, which costs some of it.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads files and the clock")]

#[path = "support/http.rs"]
mod http;
#[path = "support/redis_server.rs"]
mod redis_server;
mod support;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use redis_server::start_redis;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{free_port, start, until};

const LIMIT: usize = 60;
/// The load beside which it is measured. Unit: events a second, and in one request.
const PER_S: u32 = 50_000;
const BATCH: u32 = 1_000;

fn now_ms() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_millis()
}

fn event(key: &str) -> String {
    format!("{{\"time\":{},\"credential\":\"{key}\",\"status\":200}}\n", now_ms())
}

/// Sends the events up to the limit, then the one that crosses it; gives the time from there to
/// `revoked` in Redis. Unit: milliseconds.
fn measure(
    name: &str,
    rounds: usize,
    redis: &mut redis::Connection,
    mut send: impl FnMut(&str, usize),
) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|round| {
            let key = format!("{name}_{round}");
            let hash = format!("tripline:credential:{{api_key:{key}}}");
            send(&key, LIMIT);
            std::thread::park_timeout(Duration::from_millis(20));
            let begun = Instant::now();
            send(&key, 1);
            until("it is revoked", || {
                let status: Option<String> =
                    redis::cmd("HGET").arg(&hash).arg("status").query(redis).expect("answers");
                status.as_deref() == Some("revoked")
            });
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied();
    println!(
        "{name}: p50 {:.1} ms, p99 {:.1} ms over {rounds} credentials",
        at(50).expect("some"),
        at(99).expect("some"),
    );
}

/// Sends 50,000 events a second of 20,000 credentials, which have no limit; gives the rate that was reached.
fn load(base: &str, busy: &AtomicBool) -> f64 {
    let http = http::client();
    let (begun, mut sent) = (Instant::now(), 0_u32);
    while busy.load(Ordering::Relaxed) {
        let (now, mut body) = (now_ms(), String::new());
        for n in sent..sent + BATCH {
            let name = n % 20_000;
            body.push_str(&format!(
                "{{\"time\":{now},\"credential\":\"load_{name}\",\"kind\":\"session\",\"status\":200}}\n"
            ));
        }
        let answer = http.post(format!("{base}/v1/events")).body(body).send().expect("answers");
        assert!(answer.status().is_success());
        sent += BATCH;
        let due = begun + Duration::from_secs(1) * sent / PER_S;
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
    }
    f64::from(sent) / begun.elapsed().as_secs_f64()
}

fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--test") { 20 } else { 500 };
    let folder = tempfile::tempdir().expect("a folder");
    let (_redis, redis_url) = start_redis();
    let port = free_port();
    let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).expect("brokers");
    cluster.create_topic("auth", 4, 1).expect("a topic");
    let brokers = cluster.bootstrap_servers();
    let config = folder.path().join("tripline.toml");
    let settings = format!(
        "data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:{port}\"\nmode.default = \"revoke\"\n\
         limits.default = \"{LIMIT}/min\"\n\
         limits.kind.session = \"none\"\nrevocation_limit.per_hour = 1000000\n\
         auth_store.redis.url = \"{redis_url}\"\n\
         [sources.kafka]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"auth\"]\n",
        folder.path().join("data").display()
    );
    std::fs::write(&config, settings).expect("writes");
    let binary = env!("CARGO_BIN_EXE_tripline");
    let _daemon = start(Command::new(binary).arg("run").arg("--config").arg(&config));
    let client = redis::Client::open(redis_url).expect("a URL");
    let mut redis = client.get_connection().expect("connects");
    let http = http::client();
    let base = format!("http://127.0.0.1:{port}");
    until("the daemon is ready", || http.get(format!("{base}/readyz")).send().is_ok());

    measure("http", rounds, &mut redis, |key, times| {
        let body: String = (0..times).map(|_| event(key)).collect();
        let answer = http.post(format!("{base}/v1/events")).body(body).send().expect("answers");
        assert!(answer.status().is_success());
    });

    let busy = Arc::new(AtomicBool::new(true));
    let load = std::thread::spawn({
        let (busy, base) = (Arc::clone(&busy), base.clone());
        move || load(&base, &busy)
    });
    measure("http beside a load", rounds, &mut redis, |key, times| {
        let body: String = (0..times).map(|_| event(key)).collect();
        let answer = http.post(format!("{base}/v1/events")).body(body).send().expect("answers");
        assert!(answer.status().is_success());
    });
    busy.store(false, Ordering::Relaxed);
    println!("  of {:.0} events/s", load.join().expect("it ran"));

    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &brokers).set("linger.ms", "0");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    let send = |key: &str, times: usize| {
        for _ in 0..times {
            let record = event(key);
            let sent = producer.send(BaseRecord::to("auth").key(key).payload(&record));
            assert!(sent.is_ok());
        }
    };
    // The group takes its time to form; that is not what is measured.
    send("warm", LIMIT + 1);
    until("Kafka is read", || {
        let hash = "tripline:credential:{api_key:warm}";
        let status: Option<String> =
            redis::cmd("HGET").arg(hash).arg("status").query(&mut redis).expect("answers");
        status.as_deref() == Some("revoked")
    });
    measure("kafka", rounds, &mut redis, send);
}
