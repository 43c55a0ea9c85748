//! Brokers that end and come back, leaders that change, topics that grow, shrink and begin again.

use super::{APPLIED, LAG, PATIENCE, applied, config, folder, keys};
use crate::kafka_state::{count, counts, some, written};
use crate::support::apache_kafka::{Kafka, Setup};
use crate::support::broker::committed;
use crate::support::daemon::Daemon;
use crate::support::{skipped, until};

const LOST: &str = "tripline_consumer_lost_total";

#[test]
fn a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing() {
    if skipped("kafka") {
        return;
    }
    let mut kafka = Kafka::start();
    kafka.create_topic("auth", 3, &[]);
    let folder = folder();
    let daemon = Daemon::start(&folder, &config(&kafka.address()));
    for round in 1..3 {
        kafka.produce("auth", some("key_1", 200));
        counts(&daemon, "key_1", round * 200);
        kafka.kill(0);
        until("the daemon notices", PATIENCE, || {
            (daemon.metric("tripline_consumer_up") < 0.5).then_some(())
        });
        assert_eq!(daemon.send("GET", "/livez", &[], "").0, 200);
        kafka.restart(0);
    }
    kafka.produce("auth", some("key_1", 200));
    counts(&daemon, "key_1", 600);
    until("the daemon notices", PATIENCE, || {
        (daemon.metric("tripline_consumer_up") > 0.5).then_some(())
    });
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn leaders_that_change_while_records_come_lose_and_double_nothing() {
    if skipped("kafka") {
        return;
    }
    let mut kafka = Kafka::start_with(3, &Setup::default());
    kafka.create_topic("auth", 3, &[]);
    let folder = folder();
    let daemon = Daemon::start(&folder, &config(&kafka.address()));
    let mut wanted = 0;
    for partition in 0..2 {
        kafka.produce("auth", keys("key", 50, 4).into_iter());
        wanted += 4;
        let leader = kafka.leader("auth", partition).expect("a leader");
        kafka.kill(leader);
        kafka.produce("auth", keys("key", 50, 4).into_iter());
        wanted += 4;
        for key in ["key_0", "key_17", "key_49"] {
            counts(&daemon, key, wanted);
        }
        kafka.restart(leader);
    }
    until("nothing is left", PATIENCE, || (daemon.metric(LAG) < 0.5).then_some(()));
    let applied = applied([&daemon]);
    assert!((applied - 800.0).abs() < 0.5, "{applied}");
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn partitions_that_are_added_are_read_from_their_first_record_on() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    for start in ["earliest", "latest"] {
        kafka.create_topic(start, 1, &[]);
        let config = config(&kafka.address())
            .replace("\"auth\"", &format!("\"{start}\""))
            .replace("interval = \"1s\"", "interval = \"1h\"");
        let config = format!(
            "{config}start = \"{start}\"\ngroup = \"of-{start}\"\n[sources.kafka.librdkafka]\n\
             \"topic.metadata.refresh.interval.ms\" = \"3000\"\n"
        );
        let folder = folder();
        let daemon = Daemon::start(&folder, &config);
        until("it has the partition", PATIENCE, || {
            (daemon.metric("tripline_consumer_assigned") > 0.5).then_some(())
        });
        if start == "latest" {
            let group = format!("of-{start}");
            until("its place is committed", PATIENCE, || {
                (!committed(&kafka.address(), &group, start, 1).is_empty()).then_some(())
            });
        }
        kafka.add_partitions(start, 4);
        let ends = kafka.produce(start, keys("key", 100, 3).into_iter());
        assert_eq!(ends.len(), 4, "each partition has some: {ends:?}");
        until("all are applied", PATIENCE, || (applied([&daemon]) >= 300.0).then_some(()));
        for key in ["key_0", "key_50", "key_99"] {
            counts(&daemon, key, 3);
        }
    }
}

#[test]
fn what_was_written_while_an_instance_that_starts_at_the_latest_was_away_is_read() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 2, &[]);
    kafka.produce("auth", some("key_1", 50));
    let folder = folder();
    let config = config(&kafka.address()).replace("interval = \"1s\"", "interval = \"1h\"");
    let config = config + "start = \"latest\"\n";
    let ready = |daemon: &Daemon| {
        until("it has the partitions", PATIENCE, || {
            (daemon.metric("tripline_consumer_assigned") > 1.5).then_some(())
        });
        until("its place is committed", PATIENCE, || {
            (committed(&kafka.address(), "tripline", "auth", 2).len() == 2).then_some(())
        });
    };
    let mut daemon = Daemon::start(&folder, &config);
    ready(&daemon);
    // Nothing came while it ran; then something comes while it is away.
    assert_eq!(daemon.terminate(), Some(0));
    kafka.produce("auth", some("key_1", 20));
    daemon = Daemon::start(&folder, &config);
    counts(&daemon, "key_1", 20);
    daemon.kill();
    kafka.produce("auth", some("key_1", 20));
    daemon = Daemon::start(&folder, &config);
    counts(&daemon, "key_1", 40);
}

#[test]
fn a_topic_that_is_deleted_and_made_again_is_read_from_its_beginning() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 1, &[]);
    let folder = folder();
    let config = config(&kafka.address())
        + "[sources.kafka.librdkafka]\n\"topic.metadata.refresh.interval.ms\" = \"1000\"\n";
    let daemon = Daemon::start(&folder, &config);
    kafka.produce("auth", some("key_1", 50));
    counts(&daemon, "key_1", 50);
    written(&daemon);
    kafka.delete_topic("auth");
    kafka.create_topic("auth", 1, &[]);
    kafka.produce("auth", some("key_1", 7));
    counts(&daemon, "key_1", 57);
    assert!(daemon.metric("tripline_consumer_resets_total") >= 1.0, "{}", daemon.log());
    // And while it is away.
    assert_eq!(daemon.terminate(), Some(0));
    kafka.delete_topic("auth");
    kafka.create_topic("auth", 1, &[]);
    kafka.produce("auth", some("key_1", 3));
    let daemon = Daemon::start(&folder, &config);
    counts(&daemon, "key_1", 60);
    assert!(daemon.log().contains("recreated or truncated"), "{}", daemon.log());
}

#[test]
fn records_that_retention_removes_unread_are_counted_and_said_and_the_rest_is_read() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    for start in ["earliest", "latest"] {
        kafka.create_topic(start, 1, &[]);
        let config = config(&kafka.address()).replace("\"auth\"", &format!("\"{start}\""));
        let config = format!("{config}start = \"{start}\"\ngroup = \"of-{start}\"\n");
        let folder = folder();
        let daemon = Daemon::start(&folder, &config);
        until("it has the partition", PATIENCE, || {
            (daemon.metric("tripline_consumer_assigned") > 0.5).then_some(())
        });
        kafka.produce(start, some("key_1", 10));
        counts(&daemon, "key_1", 10);
        written(&daemon);
        // While it does not get to run.
        let begun = daemon.metric(APPLIED);
        daemon.pause();
        kafka.produce(start, some("key_1", 100));
        kafka.delete_before(start, 0, 50);
        daemon.resume();
        kafka.produce(start, some("key_2", 1));
        counts(&daemon, "key_2", 1);
        let read = daemon.metric(APPLIED) - begun;
        assert!(read >= 61.0, "what was left is read, in {start}: {read}");
        let lost = 101.0 - read;
        until("the lost are counted", PATIENCE, || {
            ((daemon.metric(LOST) - lost).abs() < 0.5).then_some(())
        });
        let is_said = daemon.log().contains("records were deleted before they were read");
        assert_eq!(is_said, lost > 0.5, "{}", daemon.log());
        // While it is away.
        assert_eq!(daemon.terminate(), Some(0));
        kafka.produce(start, some("key_1", 40));
        kafka.delete_before(start, 0, 111 + 30);
        let daemon = Daemon::start(&folder, &config);
        until("what is left of the key is counted", PATIENCE, || {
            let counted = f64::from(u32::try_from(count(&daemon, "key_1")).expect("few"));
            (counted - (10.0 + 100.0 - lost + 10.0)).abs().lt(&0.5).then_some(())
        });
        assert!((daemon.metric(LOST) - 30.0).abs() < 0.5, "{}", daemon.metric(LOST));
        assert!(daemon.log().contains("records were deleted before they were read"));
    }
}
