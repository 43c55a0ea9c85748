//! The main job with real parts: a broker, a Redis, the binary.

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, event, now_ms, uses};
use crate::support::redis_server::RedisServer;
use crate::support::{skipped, until};
use std::collections::BTreeMap;
use std::time::Duration;

const EVENTS: i64 = 1_000_000;
const PARTITIONS: i32 = 4;

#[test]
fn a_million_events_of_kafka_are_applied_and_the_spiking_key_is_revoked_in_redis_once() {
    if skipped("broker") || skipped("redis") {
        return;
    }
    let (broker, redis) = (Broker::start(), RedisServer::start());
    broker.create_topic("auth", PARTITIONS);
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "mode.default = \"revoke\"\nlimits.default = \"10k/min\"\nauth_store.redis.url = \"{}\"\n\
         [sources.kafka]\ntype = \"kafka\"\nbrokers = \"{}\"\ntopics = [\"auth\"]\n",
        redis.url(),
        broker.address()
    );
    let daemon = Daemon::start(&folder, &config);
    // A quiet fleet of 5,000 keys; in the last tenth one key makes every fifth request.
    let begin = now_ms() - 20_000;
    let produced = broker.produce(
        "auth",
        (0..EVENTS).map(|n| {
            let spikes = n >= EVENTS / 10 * 9 && n % 5 == 0;
            let key = if spikes { "key_spike".to_owned() } else { format!("key_{}", n % 5000) };
            let record = event(&key, begin + n * 20_000 / EVENTS);
            (key, record)
        }),
    );
    until("all events are applied", Duration::from_mins(2), || {
        (daemon.metric("tripline_events_total") >= EVENTS as f64).then_some(())
    });
    let key = "tripline:credential:{api_key:key_spike}";
    until("the spiking key is revoked in Redis", Duration::from_secs(10), || {
        let status: Option<String> = redis.ask(&["HGET", key, "status"]);
        (status.as_deref() == Some("revoked")).then_some(())
    });
    assert_eq!(daemon.check("api_key:key_spike"), 403);
    assert_eq!(daemon.check("api_key:key_1"), 200);

    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(produced.values().sum::<i64>(), EVENTS);
    assert_eq!(broker.committed("tripline", "auth", PARTITIONS), produced);
    let changes: Vec<(String, BTreeMap<String, String>)> =
        redis.ask(&["XRANGE", "tripline:changes", "-", "+"]);
    let revocations: Vec<_> =
        changes.iter().filter(|(_, change)| change["status"] == "revoked").collect();
    assert_eq!(revocations.len(), 1, "{changes:?}");
    assert_eq!(revocations[0].1["id"], "key_spike");

    // Nothing comes again after a restart, and what stood still stands.
    let daemon = Daemon::start_in(folder.path(), &config);
    assert_eq!(daemon.check("api_key:key_spike"), 403);
    broker.produce("auth", std::iter::once(("key_1".to_owned(), event("key_1", now_ms()))));
    until("the one new event is applied", Duration::from_secs(30), || {
        (daemon.metric("tripline_events_total") >= 1.0).then_some(())
    });
    assert!(daemon.metric("tripline_events_total") < 2.0);
    assert_eq!(daemon.terminate(), Some(0));
    let length: i64 = redis.ask(&["XLEN", "tripline:changes"]);
    assert_eq!(length, i64::try_from(changes.len()).expect("few"));
}

#[test]
fn over_http_a_key_is_revoked_in_redis_restored_by_one_call_and_accepted_again() {
    if skipped("redis") {
        return;
    }
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "mode.default = \"revoke\"\nlimits.default = \"10k/min\"\nauth_store.redis.url = \"{}\"\n",
        redis.url()
    );
    let daemon = Daemon::start(&folder, &config);
    daemon.post_events(&uses("key_1", now_ms(), 12_000));
    let key = "tripline:credential:{api_key:key_1}";
    // Each store is told for itself; neither waits for the other.
    let is_answered = |wanted: u16| {
        until(&format!("the gateway hears {wanted}"), Duration::from_secs(5), || {
            (daemon.check("key_1") == wanted).then_some(())
        });
    };
    let status = || -> Option<String> { redis.ask(&["HGET", key, "status"]) };
    let becomes = |wanted: &str| {
        until(&format!("it is {wanted}"), Duration::from_secs(5), || {
            (status().as_deref() == Some(wanted)).then_some(())
        });
    };
    becomes("revoked");
    is_answered(403);
    daemon.order("restore", "key_1");
    becomes("active");
    is_answered(200);
    // The finding still runs; the person had the last word.
    daemon.post_events(&uses("key_1", now_ms(), 12_000));
    assert_eq!(daemon.check("key_1"), 200);
    let decisions = daemon.get("/v1/decisions");
    let of = |field| decisions[0][field].as_str().expect("a text").to_owned();
    assert_eq!(of("action"), "restore");
    assert!(of("by").starts_with("uid:"), "{}", of("by"));
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn the_demo_comes_true_within_a_minute() {
    let done = std::process::Command::new(crate::support::daemon::BINARY)
        .arg("demo")
        .output()
        .expect("the demo runs");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{told}\n{}", String::from_utf8_lossy(&done.stderr));
    for part in [
        "A quiet fleet",
        "finding by",
        "revoked:",
        "still answered 403",
        "accepted again",
        "finding by leak: fp_",
        "the grant is ended",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
}
