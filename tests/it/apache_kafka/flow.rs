//! From a record to a decision, over kills of tripline, and of `tripline rekey`.

use super::{LAG, PATIENCE, applied, config, folder, keys};
use crate::kafka_rekey::{PARTITIONS, doubled, end_of, stopped_by};
use crate::kafka_state::{count, counts, some, written};
use crate::support::apache_kafka::Kafka;
use crate::support::broker::committed;
use crate::support::daemon::Daemon;
use crate::support::{skipped, until};

#[test]
fn a_burst_on_a_topic_is_revoked_and_kills_lose_and_double_nothing() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 3, &[]);
    let (folder, config) = (folder(), config(&kafka.address()));
    let mut wanted = 0;
    for round in 0..4 {
        let daemon = Daemon::start(&folder, &config);
        kafka.produce("auth", some("quiet", 20));
        wanted += 20;
        counts(&daemon, "quiet", wanted);
        if round == 0 {
            kafka.produce("auth", some("thief", 300));
            until("the thief is refused", PATIENCE, || {
                (daemon.check("thief") == 403).then_some(())
            });
            assert_eq!(daemon.check("quiet"), 200);
        }
        if round % 2 == 0 {
            written(&daemon);
        }
        daemon.kill();
    }
    let daemon = Daemon::start(&folder, &config);
    counts(&daemon, "quiet", wanted);
    assert_eq!((count(&daemon, "thief"), daemon.check("thief")), (300, 403));
    let ends = kafka.produce("auth", keys("other", 30, 1).into_iter());
    assert_eq!(ends.len(), 3, "each partition has some: {ends:?}");
    until("the ends are committed, and nothing is left", PATIENCE, || {
        let committed = committed(&kafka.address(), "tripline", "auth", 3);
        (committed == ends && daemon.metric(LAG) < 0.5).then_some(())
    });
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn an_offset_is_committed_at_apache_kafka_once_a_checkpoint_holds_what_is_before_it() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 2, &[]);
    let folder = folder();
    // The checkpoints of one partition can't be written: a file is where their folder would be.
    let topic = folder.path().join("data/checkpoints/kafka").join(kafka.id()).join("tripline/auth");
    std::fs::create_dir_all(&topic).expect("a folder");
    std::fs::write(topic.join("00000"), "in the way").expect("writes");
    let daemon = Daemon::start(&folder, &config(&kafka.address()));
    let ends = kafka.produce("auth", keys("key", 200, 1).into_iter());
    until("all is applied, and the other is committed", PATIENCE, || {
        let committed = committed(&kafka.address(), "tripline", "auth", 2);
        (applied([&daemon]) >= 200.0 && committed.get(&1) == ends.get(&1)).then_some(())
    });
    let found = committed(&kafka.address(), "tripline", "auth", 2);
    let begins = found.get(&0).copied().unwrap_or(0);
    assert_eq!(begins, 0, "no checkpoint holds it: it is read from its begin");
    std::fs::remove_file(topic.join("00000")).expect("removes");
    until("a checkpoint is written, and it is committed", PATIENCE, || {
        (committed(&kafka.address(), "tripline", "auth", 2) == ends).then_some(())
    });
}

/// The small broker can't show it: its readers see aborted records.
#[test]
fn rekey_killed_again_and_again_writes_each_event_once() {
    if skipped("kafka") {
        return;
    }
    let (kafka, folder) = (Kafka::start(), folder());
    kafka.create_topic("raw", 3, &[]);
    kafka.create_topic("auth", PARTITIONS, &[]);
    let count = stopped_by("KILL", 3, &kafka.address(), folder.path());
    assert_eq!(doubled(&kafka.address(), count), 0);
    let count = i64::try_from(count).expect("a count");
    assert!(end_of(&kafka.address()) > count, "aborted records and ends take offsets");
}
