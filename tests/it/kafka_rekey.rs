//! A topic with any key is rewritten with the credential as key.

use crate::support::broker::{Broker, produce};
use crate::support::child::Process;
use crate::support::daemon::{BINARY, Daemon, event, now_ms};
use crate::support::{pause, skipped, until};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) const PARTITIONS: i32 = 4;

/// A topic in which the records of a credential lie in every partition.
fn scattered(from: usize, to: usize) -> impl Iterator<Item = (String, String)> {
    (from..to).map(|n| (format!("request_{n}"), record(n)))
}

fn record(n: usize) -> String {
    let event = event(&format!("key_{}", n % 40), now_ms());
    event.replacen('{', &format!("{{\"id\":\"e{n}\","), 1)
}

fn config(folder: &Path, brokers: &str) -> std::path::PathBuf {
    let key = folder.join("fingerprint.key");
    std::fs::write(&key, [7; 32]).expect("a key");
    let path = folder.join("tripline.toml");
    let text = format!(
        "fingerprint_key_file = \"{}\"\n[sources.kafka]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"auth\"]\n",
        key.display()
    );
    std::fs::write(&path, text).expect("a configuration");
    path
}

fn rekey(config: &Path, further: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("rekey").arg("--config").arg(config).args(["--from", "raw", "--to", "auth"]);
    command.args(further);
    command
}

/// What who reads what is committed finds in `auth`, until no more come: how often each event was
/// written, and in which partitions each credential is.
fn written(brokers: &str) -> (BTreeMap<String, usize>, BTreeMap<String, BTreeSet<i32>>) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "reader");
    config.set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().expect("a client");
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset("auth", partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&list).expect("assigns");
    let (mut times, mut places) = (BTreeMap::new(), BTreeMap::<String, BTreeSet<i32>>::new());
    let mut take = |wait| {
        let Some(record) = consumer.poll(wait).and_then(Result::ok) else { return false };
        let body: serde_json::Value =
            serde_json::from_slice(record.payload().expect("a body")).expect("JSON");
        let text =
            |field: &str| body.get(field).and_then(|it| it.as_str()).expect(field).to_owned();
        let credential = text("credential");
        assert_eq!(record.key(), Some(credential.as_bytes()), "it is keyed by credential");
        places.entry(credential).or_default().insert(record.partition());
        *times.entry(text("id")).or_insert(0) += 1;
        true
    };
    let mut quiet = 0;
    while quiet < 5 {
        quiet = if take(Duration::from_millis(500)) { 0 } else { quiet + 1 };
    }
    (times, places)
}

/// How many records `auth` has, of transactions that count and of those that don't.
pub(crate) fn end_of(brokers: &str) -> i64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    let consumer: BaseConsumer = config.create().expect("a client");
    let end = |partition| consumer.fetch_watermarks("auth", partition, Duration::from_secs(5));
    (0..PARTITIONS).map(|partition| end(partition).expect("answers").1).sum()
}

/// How many records are more than one of their event.
pub(crate) fn doubled(brokers: &str, count: usize) -> usize {
    let (times, places) = written(brokers);
    assert_eq!(times.len(), count, "each is there");
    for (credential, places) in places {
        assert_eq!(places.len(), 1, "{credential} lies in {places:?}");
    }
    times.values().map(|times| times - 1).sum()
}

#[test]
fn each_credential_comes_into_one_partition_and_each_event_once() {
    let cluster = MockCluster::new(1).expect("a cluster");
    for topic in ["raw", "auth"] {
        cluster.create_topic(topic, PARTITIONS, 1).expect("a topic");
    }
    let brokers = cluster.bootstrap_servers();
    produce(&brokers, "raw", scattered(0, 5000));
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path(), &brokers);
    let done = rekey(&config, &["--until-end"]).output().expect("runs");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert!(told.contains("5000 records read, 5000 events written, 0 refused, 0 behind"), "{told}");
    assert_eq!(doubled(&brokers, 5000), 0);
}

/// Stops it `times` times by a signal in the midst of its work, then lets it come to the end.
pub(crate) fn stopped_by(signal: &str, times: usize, brokers: &str, folder: &Path) -> usize {
    let count = 300_000;
    produce(brokers, "raw", scattered(0, count));
    let config = config(folder, brokers);
    let mut before = 0;
    for _ in 0..times {
        let mut process = Process::start(&mut rekey(&config, &["--instance", "one"]));
        until("it has written some more", Duration::from_secs(30), || {
            let written = end_of(brokers);
            (written > before + 10_000).then(|| before = written)
        });
        process.signal(signal);
        process.wait();
    }
    assert!(before < i64::try_from(count).expect("a count"), "it was done before it was stopped");
    to_the_end(&config);
    // It goes on from there.
    produce(brokers, "raw", scattered(count, count + 100));
    let told = to_the_end(&config);
    assert!(told.contains("100 records read, 100 events written, 0 refused, 0 behind"), "{told}");
    count + 100
}

fn to_the_end(config: &Path) -> String {
    let mut command = rekey(config, &["--instance", "one", "--until-end"]);
    let done = command.output().expect("runs");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{told}");
    told
}

#[test]
fn stopped_again_and_again_it_writes_each_event_once() {
    if skipped("broker") {
        return;
    }
    let (broker, folder) = (Broker::start(), tempfile::tempdir().expect("a folder"));
    broker.create_topic("raw", 3);
    broker.create_topic("auth", PARTITIONS);
    let count = stopped_by("TERM", 3, &broker.address(), folder.path());
    assert_eq!(doubled(&broker.address(), count), 0);
}

/// This broker shows the records of aborted transactions even to who reads what is committed, so
/// what can be seen is that nothing is lost, and that no more is doubled than a cut transaction
/// holds.
#[test]
fn killed_again_and_again_it_loses_nothing_and_doubles_at_most_the_cut_transactions() {
    if skipped("broker") {
        return;
    }
    let (broker, folder) = (Broker::start(), tempfile::tempdir().expect("a folder"));
    broker.create_topic("raw", 3);
    broker.create_topic("auth", PARTITIONS);
    let count = stopped_by("KILL", 3, &broker.address(), folder.path());
    assert!(doubled(&broker.address(), count) <= 3 * 10_000);
}

/// The end of a transaction takes an offset of its own, and no record.
#[test]
fn what_was_written_in_transactions_is_read_to_its_end_and_then_stands_still_in_peace() {
    if skipped("broker") {
        return;
    }
    let (broker, folder) = (Broker::start(), tempfile::tempdir().expect("a folder"));
    broker.create_topic("raw", 3);
    broker.create_topic("auth", PARTITIONS);
    broker.produce("raw", scattered(0, 2000));
    to_the_end(&config(folder.path(), &broker.address()));
    assert!(end_of(&broker.address()) > 2000, "the ends of transactions have offsets");
    let brokers = broker.address();
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "[sources.kafka]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"auth\"]\nstall_after = \"15s\"\n"
    );
    let daemon = Daemon::start(&folder, &text);
    until("all is read", Duration::from_mins(1), || {
        let applied = daemon.metric("tripline_events_total");
        let at_its_end = daemon.metric("tripline_consumer_up") >= 1.0
            && daemon.metric("tripline_consumer_lag") < 0.5;
        (applied >= 2000.0 && at_its_end).then_some(())
    });
    pause(Duration::from_secs(20));
    assert!(daemon.metric("tripline_consumer_stalls_total") < 0.5, "{}", daemon.log());
    assert!(daemon.metric("tripline_consumer_lag") < 0.5);
}

#[test]
fn what_can_not_be_done_is_said() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("raw", 1, 1).expect("a topic");
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path(), &cluster.bootstrap_servers());
    let told = |command: &mut Command| {
        let done = command.output().expect("runs");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, text) = told(&mut rekey(&config, &["--until-end"]));
    assert_eq!(code, Some(69), "{text}");
    assert!(text.contains("no topic `auth`: make it first"), "{text}");
    let mut same = Command::new(BINARY);
    same.arg("rekey").arg("--config").arg(&config).args(["--from", "raw", "--to", "raw"]);
    let (code, text) = told(&mut same);
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("same topic"), "{text}");
    std::fs::remove_file(folder.path().join("fingerprint.key")).expect("removes");
    let (code, text) = told(&mut rekey(&config, &[]));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("fingerprint_key_file"), "{text}");
}
