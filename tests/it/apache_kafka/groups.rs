//! Instances of a group that come and go.

use super::fencing::FENCED;
use super::{PATIENCE, applied, folder, keys, sharing};
use crate::kafka_state::{come_and_go, count, some};
use crate::support::apache_kafka::{Kafka, Setup};
use crate::support::daemon::Daemon;
use crate::support::random::number;
use crate::support::{skipped, until};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 6;
const ASSIGNED: &str = "tripline_consumer_assigned";
/// How long the group waits for an instance that says nothing. The least that brokers allow by default.
const SESSION: Duration = Duration::from_secs(6);

fn kafka() -> Kafka {
    kafka_with(PARTITIONS)
}

pub(super) fn kafka_with(partitions: i32) -> Kafka {
    let settings = "group.consumer.min.session.timeout.ms=6000\n\
                    group.consumer.session.timeout.ms=6000\n\
                    group.consumer.min.heartbeat.interval.ms=1000\n\
                    group.consumer.heartbeat.interval.ms=2000\n";
    let kafka = Kafka::start_with(1, &Setup { settings, ..Setup::default() });
    kafka.create_topic("auth", partitions, &[]);
    kafka
}

const SESSION_MS: &str = "\"session.timeout.ms\" = \"6000\"\n";
pub(super) const CLASSIC: &str = "[sources.kafka.librdkafka]\n\"session.timeout.ms\" = \"6000\"\n";
pub(super) const NEWER: &str = "[sources.kafka.librdkafka]\n\"group.protocol\" = \"consumer\"\n";

/// How often an instance comes or goes.
fn changes() -> u64 {
    number("TRIPLINE_TEST_CHANGES", 20)
}

pub(super) fn owned(daemon: &Daemon) -> f64 {
    daemon.metric(ASSIGNED)
}

/// Waits until those instances have all partitions between them, and each some.
fn settled(daemons: &[&Daemon]) {
    until("all partitions have an owner", PATIENCE, || {
        let owned: Vec<f64> = daemons.iter().copied().map(owned).collect();
        let all = (owned.iter().sum::<f64>() - f64::from(PARTITIONS)).abs() < 0.5;
        (all && owned.iter().all(|one| *one > 0.5)).then_some(())
    });
}

#[test]
fn an_instance_with_a_name_is_restarted_ten_times_and_the_other_notices_nothing() {
    if skipped("kafka") {
        return;
    }
    let (kafka, shared, folders) = (kafka(), folder(), [folder(), folder()]);
    let config = |name| {
        let config = sharing(&kafka.address(), &shared.path().join("checkpoints"));
        let session = "[sources.kafka.librdkafka]\n\"session.timeout.ms\" = \"30000\"\n";
        format!("{config}instance = \"{name}\"\n{session}")
    };
    let other = Daemon::start(&folders[0], &config("one"));
    let mut restarted = Daemon::start(&folders[1], &config("two"));
    settled(&[&other, &restarted]);
    let rebalances = |daemon: &Daemon| daemon.log().matches("\"assigned\"").count();
    let (before, share) = (rebalances(&other), owned(&other));
    for round in 0..10 {
        if round % 2 == 0 {
            assert_eq!(restarted.terminate(), Some(0));
        } else {
            restarted.kill();
        }
        kafka.produce("auth", keys("key", 18, 3).into_iter());
        restarted = Daemon::start(&folders[1], &config("two"));
        settled(&[&other, &restarted]);
    }
    for key in 0..18 {
        let key = format!("key_{key}");
        until("each is counted", PATIENCE, || {
            (count(&other, &key).max(count(&restarted, &key)) == 30).then_some(())
        });
    }
    for daemon in [&other, &restarted] {
        // An instance is not stale for what it was before its restart.
        assert!(daemon.metric(FENCED) < 0.5, "{}", daemon.log());
    }
    assert_eq!((rebalances(&other), owned(&other)), (before, share), "{}", other.log());
    assert!((applied([&other]) + 0.5).floor() > 0.0, "the other one had its share of the records");
}

#[test]
fn the_partitions_of_a_killed_instance_are_taken_over_by_the_classic_protocol() {
    taken_over(CLASSIC, |_| String::new());
}

#[test]
fn so_are_those_of_one_with_a_name() {
    taken_over(CLASSIC, |number| format!("instance = \"i-{number}\"\n"));
}

#[test]
fn the_partitions_of_a_killed_instance_are_taken_over_by_the_newer_protocol() {
    taken_over(NEWER, |_| String::new());
}

#[test]
fn so_are_those_of_one_with_a_name_by_the_newer_protocol() {
    taken_over(NEWER, |number| format!("instance = \"i-{number}\"\n"));
}

/// Three instances, of which one is killed, one ends, and one comes again.
fn taken_over(protocol: &str, name: impl Fn(usize) -> String) {
    if skipped("kafka") {
        return;
    }
    let (kafka, shared) = (kafka(), folder());
    let folders = [folder(), folder(), folder()];
    let config = |number| {
        let config = sharing(&kafka.address(), &shared.path().join("checkpoints"));
        format!("{config}{}{protocol}", name(number))
    };
    let start =
        |number: usize| Daemon::start(folders.get(number).expect("a folder"), &config(number));
    let mut daemons: BTreeMap<usize, Daemon> =
        (0..3).map(|number| (number, start(number))).collect();
    settled(&daemons.values().collect::<Vec<_>>());
    let mut wanted = 0;
    let mut step = |daemons: &BTreeMap<usize, Daemon>| {
        kafka.produce("auth", keys("key", 18, 6).into_iter());
        wanted += 6;
        for key in 0..18 {
            let key = format!("key_{key}");
            let most = || daemons.values().map(|one| count(one, &key)).max();
            until(&format!("{key} is counted"), PATIENCE, || {
                (most() >= Some(wanted)).then_some(())
            });
            assert_eq!(most(), Some(wanted), "{key}: none twice");
        }
    };
    step(&daemons);
    daemons.remove(&0).expect("runs").kill();
    let killed = Instant::now();
    settled(&daemons.values().collect::<Vec<_>>());
    let took = killed.elapsed();
    eprintln!("taken over after {took:?}");
    step(&daemons);
    daemons.insert(0, start(0));
    settled(&daemons.values().collect::<Vec<_>>());
    step(&daemons);
    assert_eq!(daemons.remove(&1).expect("runs").terminate(), Some(0));
    settled(&daemons.values().collect::<Vec<_>>());
    step(&daemons);
    kafka.produce("auth", some("thief", 200));
    until("it is revoked by the one that has it", PATIENCE, || {
        daemons.values().any(|one| one.check("thief") == 403).then_some(())
    });
    assert!(took < SESSION + Duration::from_secs(5), "taken over after {took:?}");
}

#[test]
fn an_instance_whose_name_is_taken_says_so_and_reads_again_once_the_name_is_free() {
    if skipped("kafka") {
        return;
    }
    let (kafka, shared, folders) = (kafka(), folder(), [folder(), folder()]);
    let config = sharing(&kafka.address(), &shared.path().join("checkpoints"));
    let config = config + "instance = \"one\"\n" + CLASSIC;
    let first = Daemon::start(&folders[0], &config);
    settled(&[&first]);
    let second = Daemon::start(&folders[1], &config);
    until("it is said", PATIENCE, || {
        let is_said = |daemon: &Daemon| daemon.log().contains("the same `instance` name");
        (is_said(&first) || is_said(&second)).then_some(())
    });
    second.kill();
    settled(&[&first]);
    kafka.produce("auth", some("key_1", 20));
    until("it reads", PATIENCE, || (count(&first, "key_1") == 20).then_some(()));
}

#[test]
#[ignore = "takes a minute; ./test runs it by itself"]
fn instances_that_come_and_go_lose_and_double_nothing_by_the_classic_protocol() {
    if !skipped("kafka") && !skipped("redis") {
        come_and_go(&kafka_with(12).address(), SESSION_MS, changes());
    }
}

#[test]
#[ignore = "takes a minute; ./test runs it by itself"]
fn instances_that_come_and_go_lose_and_double_nothing_by_the_newer_protocol() {
    if !skipped("kafka") && !skipped("redis") {
        come_and_go(&kafka_with(12).address(), "\"group.protocol\" = \"consumer\"\n", changes());
    }
}
