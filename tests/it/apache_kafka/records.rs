//! Records of all kinds: compressed, large, of transactions, without a body.

use super::{APPLIED, LAG, PATIENCE, config, folder, keys};
use crate::kafka_state::{count, counts, some};
use crate::support::apache_kafka::{Kafka, Setup, client};
use crate::support::daemon::{Daemon, event, now_ms};
use crate::support::{skipped, until};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::Duration;

fn producer(config: &mut ClientConfig) -> BaseProducer {
    config.set("linger.ms", "50").create().expect("a producer")
}

fn send(producer: &BaseProducer, records: &[(String, String)]) {
    for (key, record) in records {
        producer.send(BaseRecord::to("auth").key(key).payload(record)).expect("is queued");
    }
}

#[test]
fn records_of_each_compression_are_read() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 1, &[]);
    let folder = folder();
    let daemon = Daemon::start(&folder, &config(&kafka.address()));
    for (number, compression) in ["gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        // By the client, and by the broker, which packs each batch again.
        let mut settings = client(&kafka.address());
        let by_client = producer(settings.set("compression.type", compression));
        send(&by_client, &keys("key", 20, 5));
        by_client.flush(PATIENCE).expect("all are stored");
        kafka.set("auth", "compression.type", compression);
        let plain = producer(&mut client(&kafka.address()));
        send(&plain, &keys("key", 20, 5));
        plain.flush(PATIENCE).expect("all are stored");
        for key in ["key_0", "key_19"] {
            counts(&daemon, key, (number as u64 + 1) * 10);
        }
    }
}

const LARGE: &str = "12000000";

#[test]
fn a_record_of_10_mb_is_read_or_refused_with_its_place_and_keeps_none_waiting() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 1, &[("max.message.bytes", LARGE)]);
    let folder = folder();
    let daemon = Daemon::start(&folder, &config(&kafka.address()));
    let mut settings = client(&kafka.address());
    let producer = producer(settings.set("message.max.bytes", LARGE));
    let line = event("key_1", now_ms());
    let many = line.repeat(10_000_000 / line.len());
    let one = line.replace("acme", &"x".repeat(10_000_000));
    for record in [&many, &one, &line, &many, &line] {
        let mut next = BaseRecord::to("auth").key("key_1").payload(record);
        while let Err((_, back)) = producer.send(next) {
            next = back;
            producer.poll(Duration::from_millis(5));
        }
    }
    producer.flush(PATIENCE).expect("all are stored");
    until("nothing is left", PATIENCE, || {
        (count(&daemon, "key_1") == 2 && daemon.metric(LAG) < 0.5).then_some(())
    });
    assert!((daemon.metric(APPLIED) - 2.0).abs() < 0.5, "those of usual size, once");
    let rejects = until("their places are written", PATIENCE, || {
        let rejects = std::fs::read_to_string(daemon.data().join("rejects.ndjson")).ok()?;
        (rejects.lines().count() == 3).then_some(rejects)
    });
    let rejects: Vec<serde_json::Value> =
        rejects.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let places: Vec<_> = rejects.iter().map(|one| (&one["reason"], &one["offset"])).collect();
    let too_large = serde_json::Value::from("too_large");
    assert_eq!(
        places,
        [0, 1, 3].map(serde_json::Value::from).each_ref().map(|at| (&too_large, at))
    );
    assert!(daemon.metric("tripline_consumer_stalls_total") < 0.5);
}

#[test]
fn records_of_aborted_transactions_are_never_seen() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 2, &[]);
    let folder = folder();
    let daemon = Daemon::start(&folder, &config(&kafka.address()));
    let mut settings = client(&kafka.address());
    let producer = producer(settings.set("transactional.id", "writer"));
    producer.init_transactions(PATIENCE).expect("begins");
    for round in 1..4 {
        for (prefix, commits) in [("aborted", false), ("committed", true), ("aborted", false)] {
            producer.begin_transaction().expect("begins");
            send(&producer, &keys(prefix, 20, 30));
            producer.flush(PATIENCE).expect("all are stored");
            if commits {
                producer.commit_transaction(PATIENCE).expect("commits");
            } else {
                producer.abort_transaction(PATIENCE).expect("aborts");
            }
        }
        counts(&daemon, "committed_0", round * 30);
        counts(&daemon, "committed_19", round * 30);
    }
    // One that stays open holds up what comes after it, and is not waited for as if it had stalled.
    producer.begin_transaction().expect("begins");
    send(&producer, &keys("open", 20, 1));
    producer.flush(PATIENCE).expect("all are stored");
    kafka.produce("auth", some("behind", 5));
    let measured = daemon.metric("tripline_consumer_up");
    until("nothing is left that can be read", PATIENCE, || {
        (measured > 0.5 && daemon.metric(LAG) < 0.5).then_some(())
    });
    assert_eq!((count(&daemon, "open_0"), count(&daemon, "behind")), (0, 0));
    producer.commit_transaction(PATIENCE).expect("commits");
    counts(&daemon, "open_0", 1);
    counts(&daemon, "behind", 5);
    assert_eq!(count(&daemon, "aborted_0"), 0);
    let applied = daemon.metric(APPLIED);
    assert!((applied - (3.0 * 600.0 + 25.0)).abs() < 0.5, "{applied}");
    assert!(daemon.metric("tripline_consumer_lost_total") < 0.5);
}

#[test]
fn records_without_a_body_and_what_compaction_removed_are_passed_over_and_count_as_no_loss() {
    if skipped("kafka") {
        return;
    }
    let settings = "log.cleaner.backoff.ms=200\n";
    let kafka = Kafka::start_with(1, &Setup { settings, ..Setup::default() });
    let compacting = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "3600000"),
    ];
    kafka.create_topic("auth", 1, &compacting);
    let producer = producer(&mut client(&kafka.address()));
    let store = |records: &[(String, String)]| {
        send(&producer, records);
        producer.flush(PATIENCE).expect("all are stored");
    };
    store(&keys("key", 20, 5));
    for number in 0..10 {
        let key = format!("key_{number}");
        producer.send(BaseRecord::<str, str>::to("auth").key(&key)).expect("is queued");
    }
    producer.flush(PATIENCE).expect("all are stored");
    // Of each key the newest record is left; those without a body are the newest of half of them.
    let mut others = 0;
    until("compaction has removed the older ones", PATIENCE, || {
        // Only segments that no more is written to are compacted.
        store(&keys("other", 1, 1));
        others += 1;
        (first_offset(&kafka) >= 90).then_some(())
    });
    let folder = folder();
    let daemon = Daemon::start(&folder, &config(&kafka.address()));
    counts(&daemon, "key_19", 1);
    until("nothing is left", PATIENCE, || {
        (count(&daemon, "other_0") > 0 && daemon.metric(LAG) < 0.5).then_some(())
    });
    assert_eq!(count(&daemon, "key_0"), 0, "its newest record has no body");
    assert!(count(&daemon, "other_0") <= others);
    for counter in ["lost", "stalls", "resets"] {
        let counted = daemon.metric(&format!("tripline_consumer_{counter}_total"));
        assert!(counted < 0.5, "{counter}: {counted}");
    }
    let rejects = std::fs::read_to_string(daemon.data().join("rejects.ndjson"));
    assert_eq!(rejects.unwrap_or_default(), "", "none is refused");
}

/// The offset of the oldest record.
fn first_offset(kafka: &Kafka) -> i64 {
    let consumer: BaseConsumer =
        client(&kafka.address()).set("group.id", "reader").create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("auth", 0, Offset::Beginning).expect("a partition");
    consumer.assign(&list).expect("assigns");
    until("a record is there", PATIENCE, || {
        Some(consumer.poll(Duration::from_secs(1))?.ok()?.offset())
    })
}
