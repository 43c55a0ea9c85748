//! The Kafka door, against librdkafka's own cluster of mock brokers (which can fail on command)
//! and a real broker process (which can stand still).

use crate::support::broker::{Broker, produce};
use crate::support::daemon::{Daemon, event, now_ms, uses};
use crate::support::redis_server::RedisServer;
use crate::support::{pause, skipped, until};
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaRespErr;
use std::time::Duration;

const PARTITIONS: i32 = 3;
const APPLIED: &str = "tripline_events_total";

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("auth", PARTITIONS, 1).expect("a topic");
    cluster
}

fn config(brokers: &str) -> String {
    format!("[sources.kafka]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"auth\"]\n")
}

fn records(from: usize, to: usize) -> impl Iterator<Item = (String, String)> {
    (from..to).map(|n| {
        let key = format!("key_{}", n % 50);
        let record = event(&key, now_ms());
        (key, record)
    })
}

fn applied(daemon: &Daemon, wanted: f64) {
    let begun = std::time::Instant::now();
    while daemon.metric(APPLIED) < wanted {
        let (applied, log) = (daemon.metric(APPLIED), daemon.log());
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "{applied} of {wanted} are applied\n{log}"
        );
        pause(Duration::from_millis(5));
    }
    pause(Duration::from_millis(300));
    let applied = daemon.metric(APPLIED);
    assert!((applied - wanted).abs() < 0.5, "{applied}: some were applied twice");
}

#[test]
fn a_broker_that_goes_down_and_comes_back_loses_and_doubles_nothing() {
    let cluster = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, &config(&cluster.bootstrap_servers()));
    produce(&cluster.bootstrap_servers(), "auth", records(0, 5000));
    applied(&daemon, 5000.0);
    cluster.broker_down(1).expect("goes down");
    pause(Duration::from_secs(2));
    assert_eq!(daemon.send("GET", "/livez", &[], "").0, 200);
    cluster.broker_up(1).expect("comes back");
    produce(&cluster.bootstrap_servers(), "auth", records(5000, 8000));
    applied(&daemon, 8000.0);
    assert_eq!(daemon.terminate(), Some(0));
}

/// How often one of the keys of [`records`] was used, by what a daemon remembers.
fn count(daemon: &Daemon, key: usize) -> u64 {
    let (status, body) = daemon.send("GET", &format!("/v1/credentials/key_{key}"), &[], "");
    let found: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let count = found.pointer("/windows/4/count").and_then(serde_json::Value::as_u64);
    count.filter(|_| status == 200).unwrap_or(0)
}

/// The same of all of them.
fn counted(daemon: &Daemon) -> Vec<u64> {
    (0..50).map(|key| count(daemon, key)).collect()
}

#[test]
fn a_stop_in_the_middle_loses_and_doubles_nothing() {
    let cluster = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&cluster.bootstrap_servers());
    let first = Daemon::start(&folder, &config);
    produce(&cluster.bootstrap_servers(), "auth", records(0, 20_000));
    until("some events are applied", Duration::from_mins(1), || {
        (first.metric(APPLIED) > 0.0).then_some(())
    });
    assert_eq!(first.terminate(), Some(0));
    let second = Daemon::start_in(folder.path(), &config);
    produce(&cluster.bootstrap_servers(), "auth", records(20_000, 20_100));
    let begun = std::time::Instant::now();
    for key in 0..50 {
        while count(&second, key) != 402 {
            let is_late = begun.elapsed() > Duration::from_mins(1);
            assert!(!is_late, "not each 402 times: {:?}", counted(&second));
            pause(Duration::from_millis(20));
        }
    }
    // Nothing comes after the last.
    pause(Duration::from_millis(300));
    assert_eq!(counted(&second), [402; 50]);
    assert_eq!(second.terminate(), Some(0));
}

#[test]
fn a_refused_record_leaves_its_place_and_the_ones_around_it_are_applied() {
    let cluster = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, &config(&cluster.bootstrap_servers()));
    let good = || ("key_1".to_owned(), event("key_1", now_ms()));
    let bad = ("key_1".to_owned(), "PLANTED nonsense".to_owned());
    produce(&cluster.bootstrap_servers(), "auth", [good(), bad, good()].into_iter());
    applied(&daemon, 2.0);
    let path = daemon.data().join("rejects.ndjson");
    let letter = until("the rejected record is written", Duration::from_secs(5), || {
        std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))
    });
    let letter: serde_json::Value = serde_json::from_str(&letter).expect("JSON");
    assert_eq!((&letter["topic"], &letter["offset"]), (&"auth".into(), &1.into()));
    assert_eq!(letter["reason"], "invalid_json");
    assert!(letter["partition"].is_number() && !letter.to_string().contains("PLANTED"));
}

#[test]
fn refused_records_that_their_topic_does_not_take_go_to_the_file() {
    let cluster = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.create_topic("refused", 1, 1).expect("a topic");
    cluster.topic_error("refused", denied).expect("it may not be written");
    let topic = "rejects_topic = \"refused\"\n";
    let daemon = Daemon::start(&folder, &(config(&cluster.bootstrap_servers()) + topic));
    let bad = |n: usize| (format!("key_{n}"), "nonsense".to_owned());
    produce(&cluster.bootstrap_servers(), "auth", (0..300).map(bad));
    let refused = "tripline_records_refused_total{reason=\"invalid_json\",source=\"kafka\"}";
    until("all are refused", Duration::from_mins(1), || {
        (daemon.metric(refused) >= 300.0).then_some(())
    });
    let path = daemon.data().join("rejects.ndjson");
    until("the file has each of them", Duration::from_mins(2), || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        (text.lines().count() == 300).then_some(())
    });
    until("it is logged", Duration::from_secs(10), || {
        daemon.log().contains("rejects_topic does not accept").then_some(())
    });
}

#[test]
fn records_compressed_with_zstd_are_read() {
    let cluster = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, &config(&cluster.bootstrap_servers()));
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("compression.type", "zstd")
        .set("linger.ms", "50")
        .create()
        .expect("a producer");
    for (key, record) in records(0, 500) {
        let record = BaseRecord::to("auth").key(&key).payload(&record);
        producer.send(record).expect("is queued");
    }
    producer.flush(Duration::from_secs(30)).expect("all are written");
    applied(&daemon, 500.0);
}

#[test]
fn instances_of_one_group_share_the_partitions_and_take_over_from_one_that_ends() {
    share_and_take_over("");
}

#[test]
fn so_do_they_by_the_newer_protocol_of_rebalances() {
    share_and_take_over("[sources.kafka.librdkafka]\n\"group.protocol\" = \"consumer\"\n");
}

fn share_and_take_over(further: &str) {
    let cluster = cluster();
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let config = config(&cluster.bootstrap_servers()) + further;
    let [first, second] = folders.each_ref().map(|folder| Daemon::start(folder, &config));
    let owned = |daemon: &Daemon| daemon.metric("tripline_consumer_assigned");
    until("both have a share", Duration::from_mins(1), || {
        (owned(&first) + owned(&second) > 2.5 && owned(&first) > 0.5 && owned(&second) > 0.5)
            .then_some(())
    });
    produce(&cluster.bootstrap_servers(), "auth", records(0, 3000));
    until("all are applied by one or the other", Duration::from_mins(1), || {
        (first.metric(APPLIED) + second.metric(APPLIED) >= 3000.0).then_some(())
    });
    let taken = first.metric(APPLIED);
    assert_eq!(first.terminate(), Some(0));
    until("the second has all", Duration::from_mins(1), || (owned(&second) > 2.5).then_some(()));
    produce(&cluster.bootstrap_servers(), "auth", records(3000, 4000));
    applied(&second, 4000.0 - taken);
}

/// How many credentials that many instances remember together, of many more than fit.
fn remembered(instances: usize) -> f64 {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("auth", 20, 1).expect("a topic");
    let brokers = cluster.bootstrap_servers();
    let config = format!("engine.memory = \"16MiB\"\n{}", config(&brokers));
    let folders: Vec<tempfile::TempDir> =
        (0..instances).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let daemons: Vec<Daemon> =
        folders.iter().map(|folder| Daemon::start(folder, &config)).collect();
    let each = 20.0 / instances as f64;
    until("each owns its part of the partitions", Duration::from_mins(1), || {
        let owns = |daemon: &Daemon| daemon.metric("tripline_consumer_assigned");
        daemons.iter().all(|daemon| (owns(daemon) - each).abs() < 0.5).then_some(())
    });
    let sum = |name: &str| daemons.iter().map(|daemon| daemon.metric(name)).sum::<f64>();
    // Each is used twice: one that found no room at first has another chance once the memory is divided.
    for round in 1..=2 {
        let all = (0..90_000).map(|n| (format!("key_{n}"), event(&format!("key_{n}"), now_ms())));
        produce(&brokers, "auth", all);
        until("all are applied", Duration::from_mins(2), || {
            (sum(APPLIED) >= f64::from(round) * 90_000.0).then_some(())
        });
    }
    let bytes = daemons.iter().map(|daemon| daemon.metric("tripline_credentials_memory_bytes"));
    assert!(bytes.into_iter().all(|bytes| bytes <= f64::from(16 << 20)), "within [engine] memory");
    sum("tripline_credentials")
}

#[test]
fn five_instances_remember_five_times_as_many_credentials_as_one() {
    let (one, five) = (remembered(1), remembered(5));
    eprintln!("remembered by one instance: {one}, by five: {five}, {:.2} times", five / one);
    assert!(five >= 4.5 * one, "one remembers {one}, five {five}");
}

#[test]
fn a_broker_that_stands_still_is_waited_for() {
    if skipped("broker") {
        return;
    }
    let broker = Broker::start();
    broker.create_topic("auth", PARTITIONS);
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, &config(&broker.address()));
    broker.produce("auth", records(0, 1000));
    applied(&daemon, 1000.0);
    broker.pause();
    pause(Duration::from_secs(3));
    assert_eq!(daemon.send("GET", "/livez", &[], "").0, 200);
    broker.resume();
    broker.produce("auth", records(1000, 2000));
    applied(&daemon, 2000.0);
}

#[test]
fn what_redis_missed_while_it_was_down_is_carried_out_once_it_is_back() {
    if skipped("redis") {
        return;
    }
    let mut redis = RedisServer::start();
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "mode.default = \"revoke\"\nlimits.default = \"10k/min\"\nauth_store.redis.url = \"{}\"\n",
        redis.url()
    );
    let daemon = Daemon::start(&folder, &config);
    redis.kill();
    daemon.post_events(&uses("key_1", now_ms(), 12_000));
    until("it is refused by the embedded store", Duration::from_secs(5), || {
        (daemon.check("key_1") == 403).then_some(())
    });
    until("it is due in Redis", Duration::from_secs(5), || {
        (daemon.metric("tripline_outbox_pending{store=\"redis\"}") > 0.5).then_some(())
    });
    // Not even a kill and a restart make it forget.
    daemon.kill();
    redis.restart();
    let daemon = Daemon::start_in(folder.path(), &config);
    let key = "tripline:credential:{api_key:key_1}";
    until("it is revoked in Redis", Duration::from_secs(10), || {
        let status: Option<String> = redis.ask(&["HGET", key, "status"]);
        (status.as_deref() == Some("revoked")).then_some(())
    });
    assert_eq!(daemon.check("key_1"), 403);
    assert_eq!(daemon.terminate(), Some(0));
}

/// A key of the topic, used twice a second at a steady rate, from that moment on.
fn day_of(key: &str, from_ms: i64, seconds: i64, per_s: i64) -> Vec<(String, String)> {
    let each = 1000 / per_s;
    let times = (0..seconds * per_s).map(|number| from_ms + number * each);
    times.map(|ms| (key.to_owned(), event(key, ms))).collect()
}

#[test]
fn a_source_that_is_a_day_behind_is_caught_up_with_and_nothing_is_done_about_yesterday() {
    const DAY_MS: i64 = 86_400_000;
    let cluster = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "mode.default = \"revoke\"\nlimits.default = \"600/min\"\n";
    let config = format!("{settings}{}", config(&cluster.bootstrap_servers()));
    let yesterday = now_ms() - DAY_MS;
    // Yesterday one was abused, and another was used as ever.
    let mut of_yesterday = day_of("quiet", yesterday, 3600, 1);
    of_yesterday.extend(day_of("thief", yesterday + 1000, 60, 50));
    let count = of_yesterday.len();
    produce(&cluster.bootstrap_servers(), "auth", of_yesterday.into_iter());
    let daemon = Daemon::start(&folder, &config);
    applied(&daemon, f64::from(u32::try_from(count).expect("a count")));
    let found = daemon.get("/v1/findings?credential=thief");
    let found = found.as_array().expect("a list").iter().any(|one| one["detector"] == "limit");
    assert!(found, "what was abused yesterday is told");
    assert_eq!(daemon.check("api_key:thief"), 200, "and left in service, as it was yesterday");
    let decided = daemon.get("/v1/decisions?credential=thief");
    let held = decided.as_array().expect("a list").iter();
    let held = held.filter(|one| one["held_by"].to_string().contains("catch_up")).count();
    assert!(held > 0, "it says why: {decided}");
    // What is abused now is acted on.
    produce(
        &cluster.bootstrap_servers(),
        "auth",
        day_of("thief", now_ms() - 1000, 60, 1000).into_iter().take(1500),
    );
    until("the thief of today is refused", Duration::from_secs(20), || {
        (daemon.check("api_key:thief") == 403).then_some(())
    });
    assert_eq!(daemon.check("api_key:quiet"), 200);
}

/// The clock of a partition goes on once all that was produced is applied, though all of it is of the
/// past: nobody needs to send anything for a finding to close.
#[test]
fn a_finding_of_the_past_closes_without_further_records_once_all_is_read() {
    let cluster = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let limit = "limits.default = \"600/min\"\n";
    let config = format!("{limit}{}", config(&cluster.bootstrap_servers()));
    let daemon = Daemon::start(&folder, &config);
    let an_hour_ago = now_ms() - 3_600_000;
    let record = event("key_1", an_hour_ago);
    let burst = (0..2000).map(|_| ("key_1".to_owned(), record.clone()));
    produce(&cluster.bootstrap_servers(), "auth", burst);
    applied(&daemon, 2000.0);
    until("the finding is closed", Duration::from_mins(2), || {
        let findings = daemon.get("/v1/findings");
        let findings = findings.as_array()?;
        let is_closed = |finding: &serde_json::Value| finding["closed"].is_string();
        (!findings.is_empty() && findings.iter().all(is_closed)).then_some(())
    });
}
