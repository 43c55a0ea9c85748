//! What is remembered of the credentials of a topic outlives crashes, takeovers, and the topic.

use crate::support::broker::produce;
use crate::support::daemon::{Daemon, event, now_ms};
use crate::support::random::{Random, number};
use crate::support::redis_server::RedisServer;
use crate::support::{pause, skipped, until};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

fn cluster(partitions: i32) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("auth", partitions, 1).expect("a topic");
    cluster
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn cluster_id(cluster: &MockCluster<'static, DefaultProducerContext>) -> String {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    let client: BaseConsumer = config.create().expect("a client");
    client.client().fetch_cluster_id(PATIENCE).expect("it says")
}

const SESSION: &str = "\"session.timeout.ms\" = \"6000\"\n";

/// An instance that writes checkpoints every second, into `shared` where it is given.
fn config(brokers: &str, shared: Option<&Path>) -> String {
    let url = shared.map(|folder| format!("url = \"file://{}\"\n", folder.display()));
    let key = shared.map(|folder| {
        let key = folder.with_extension("key");
        std::fs::write(&key, [7; 32]).expect("writes");
        format!("fingerprint_key_file = \"{}\"\n", key.display())
    });
    format!(
        "{}limits.default = \"120/min\"\nmode.default = \"revoke\"\n\
         [revocation_limit]\nper_hour = 100000\nper_tenant_hour = 100000\n\
         [checkpoints]\ninterval = \"1s\"\n{}\
         [sources.kafka]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"auth\"]\n\
         [sources.kafka.librdkafka]\n{SESSION}",
        key.unwrap_or_default(),
        url.unwrap_or_default(),
    )
}

/// How often a credential was used, by what that instance remembers.
pub(crate) fn count(daemon: &Daemon, key: &str) -> u64 {
    let path = format!("/v1/credentials/{key}");
    let Some((status, body)) = daemon.try_send("GET", &path, &[], Vec::new()) else { return 0 };
    let found: Value = serde_json::from_str(&body).expect("JSON");
    let count = (status == 200).then(|| found.pointer("/windows/4/count")?.as_u64()).flatten();
    count.unwrap_or(0)
}

pub(crate) fn counts(daemon: &Daemon, key: &str, wanted: u64) {
    let begun = std::time::Instant::now();
    while count(daemon, key) != wanted {
        assert!(
            begun.elapsed() < PATIENCE,
            "{key}: {} of {wanted}\n{}",
            count(daemon, key),
            daemon.log()
        );
        pause(Duration::from_millis(20));
    }
    pause(Duration::from_millis(300));
    assert_eq!(count(daemon, key), wanted, "{key}");
}

/// Waits until what was counted is written down.
pub(crate) fn written(daemon: &Daemon) {
    let at = || daemon.metric("tripline_checkpoint_timestamp_seconds{stage=\"kafka\"}");
    let begun = now_ms() as f64 / 1000.0 + 1.5;
    until("a checkpoint is written", PATIENCE, || (at() > begun).then_some(()));
}

pub(crate) fn some(key: &str, times: usize) -> impl Iterator<Item = (String, String)> {
    let key = key.to_owned();
    (0..times).map(move |_| (key.clone(), event(&key, now_ms())))
}

#[test]
fn an_instance_that_was_killed_goes_on_from_its_checkpoint_and_counts_nothing_twice() {
    let cluster = cluster(3);
    let folder = folder();
    let brokers = cluster.bootstrap_servers();
    let config = config(&brokers, None);
    let mut wanted = 0;
    for round in 0..4 {
        let daemon = Daemon::start(&folder, &config);
        produce(&brokers, "auth", some("key_1", 20));
        wanted += 20;
        counts(&daemon, "key_1", wanted);
        if round % 2 == 0 {
            written(&daemon);
        }
        daemon.kill();
    }
    let daemon = Daemon::start(&folder, &config);
    counts(&daemon, "key_1", wanted);
}

/// How far the group has committed each of three partitions.
fn committed(brokers: &str) -> [Option<i64>; 3] {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "tripline");
    let client: BaseConsumer = config.create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_range("auth", 0, 2);
    let committed = client.committed_offsets(list, PATIENCE).expect("committed offsets");
    [0, 1, 2].map(|partition| {
        let found = committed.find_partition("auth", partition)?.offset();
        if let Offset::Offset(offset) = found { Some(offset) } else { None }
    })
}

#[test]
fn an_offset_is_committed_once_a_checkpoint_holds_what_is_before_it() {
    let cluster = cluster(3);
    let folder = folder();
    let brokers = cluster.bootstrap_servers();
    // The checkpoints of one partition can't be written: a file is where their folder would be.
    let checkpoints = folder.path().join("data/checkpoints/kafka").join(cluster_id(&cluster));
    let topic = checkpoints.join("tripline/auth");
    std::fs::create_dir_all(&topic).expect("a folder");
    let blocked = topic.join("00000");
    std::fs::write(&blocked, "in the way").expect("writes");
    let daemon = Daemon::start(&folder, &config(&brokers, None));
    let records = (0..600).map(|n| format!("key_{n}"));
    let records = records.map(|key| (key.clone(), event(&key, now_ms())));
    let ends = produce(&brokers, "auth", records);
    assert_eq!(ends.len(), 3, "each partition has some: {ends:?}");
    until("all is applied", PATIENCE, || {
        (daemon.metric("tripline_events_total") >= 600.0).then_some(())
    });
    until("the others are committed to their ends", PATIENCE, || {
        let committed = committed(&brokers);
        (committed[1..] == [ends.get(&1).copied(), ends.get(&2).copied()]).then_some(())
    });
    assert_eq!(committed(&brokers)[0], Some(0), "no checkpoint holds it");
    std::fs::remove_file(&blocked).expect("removes");
    until("a checkpoint is written, and it is committed", PATIENCE, || {
        (committed(&brokers)[0] == ends.get(&0).copied()).then_some(())
    });
}

#[test]
fn an_instance_that_takes_over_goes_on_from_the_checkpoint_of_the_one_before() {
    let cluster = cluster(2);
    let (shared, folders) = (folder(), [folder(), folder()]);
    let brokers = cluster.bootstrap_servers();
    let config = config(&brokers, Some(shared.path()));
    let first = Daemon::start(&folders[0], &config);
    produce(&brokers, "auth", some("key_1", 30));
    counts(&first, "key_1", 30);
    assert_eq!(first.terminate(), Some(0));
    let second = Daemon::start(&folders[1], &config);
    counts(&second, "key_1", 30);
    produce(&brokers, "auth", some("key_1", 10));
    counts(&second, "key_1", 40);
    let applied = second.metric("tripline_events_total");
    assert!((applied - 10.0).abs() < 0.5, "what the first wrote down is not read again: {applied}");
}

#[test]
fn while_the_store_of_checkpoints_is_away_events_are_watched_and_nothing_is_forgotten() {
    let cluster = cluster(1);
    let (shared, folders) = (folder(), [folder(), folder()]);
    let brokers = cluster.bootstrap_servers();
    let place = shared.path().join("checkpoints");
    let config = config(&brokers, Some(&place));
    let first = Daemon::start(&folders[0], &config);
    produce(&brokers, "auth", some("key_1", 30));
    counts(&first, "key_1", 30);
    assert_eq!(first.terminate(), Some(0));

    let second = Daemon::start(&folders[1], &config);
    counts(&second, "key_1", 30);
    // It goes away while it is written to: a file is where its folder was.
    let away = shared.path().join("away");
    std::fs::rename(&place, &away).expect("moves");
    std::fs::write(&place, "no folder").expect("writes");
    produce(&brokers, "auth", some("key_1", 10));
    counts(&second, "key_1", 40);
    until("it is said", PATIENCE, || {
        (second.metric("tripline_checkpoint_errors_total") >= 1.0).then_some(())
    });
    second.kill();
    std::fs::remove_file(&place).expect("removes");
    std::fs::rename(&away, &place).expect("moves back");
    let third = Daemon::start(&folders[0], &config);
    counts(&third, "key_1", 40);
}

#[test]
fn a_recreated_topic_is_read_from_its_beginning_and_what_was_learned_is_kept() {
    let folder = folder();
    let before = cluster(1);
    let brokers = before.bootstrap_servers();
    let daemon = Daemon::start(&folder, &config(&brokers, None));
    produce(&brokers, "auth", some("key_1", 50));
    counts(&daemon, "key_1", 50);
    assert_eq!(daemon.terminate(), Some(0));
    // A topic of the same name that is not the same: it ends before what was read. What was learned of
    // another cluster's topic is not touched, unless somebody says that it is this one's.
    let after = cluster(1);
    let brokers = after.bootstrap_servers();
    let checkpoints = folder.path().join("data/checkpoints/kafka");
    std::fs::rename(checkpoints.join(cluster_id(&before)), checkpoints.join(cluster_id(&after)))
        .expect("renames");
    produce(&brokers, "auth", some("key_1", 7));
    let daemon = Daemon::start(&folder, &config(&brokers, None));
    counts(&daemon, "key_1", 57);
    assert!(daemon.metric("tripline_consumer_resets_total") >= 1.0);
    assert!(daemon.log().contains("the topic was recreated or truncated"), "{}", daemon.log());
    // Its checkpoints hold from then on.
    assert_eq!(daemon.terminate(), Some(0));
    produce(&brokers, "auth", some("key_1", 3));
    let daemon = Daemon::start(&folder, &config(&brokers, None));
    counts(&daemon, "key_1", 60);
}

/// The change that stops an instance.
const PAUSES: u64 = 4;

/// An instance of a group that comes and goes.
struct Instance {
    folder: tempfile::TempDir,
    daemon: Option<Daemon>,
}

impl Instance {
    fn start(&mut self, config: &str) {
        self.daemon.get_or_insert_with(|| Daemon::start(&self.folder, config));
    }

    /// Takes it away, and brings it back as `how` says.
    fn disturb(&mut self, how: u64, config: &str) {
        let Some(daemon) = self.daemon.take() else { return self.start(config) };
        match how {
            0 | 1 => assert_eq!(daemon.terminate(), Some(0)),
            2 | 3 => daemon.kill(),
            PAUSES => {
                // For longer than the group waits for it: others take over, and it is not told.
                daemon.pause();
                pause(Duration::from_secs(8));
                daemon.resume();
                self.daemon = Some(daemon);
            }
            _ => return assert_eq!(daemon.terminate(), Some(0)),
        }
        self.start(config);
    }
}

/// Waits until all partitions have an owner, if there is anybody to own them.
fn settled(instances: &[Instance]) {
    if instances.iter().all(|instance| instance.daemon.is_none()) {
        return;
    }
    let owned = |instance: &Instance| {
        instance.daemon.as_ref().map_or(0.0, |it| it.metric("tripline_consumer_assigned"))
    };
    until("all partitions have an owner", PATIENCE, || {
        ((instances.iter().map(owned).sum::<f64>() - 12.0).abs() < 0.5).then_some(())
    });
}

/// How often a credential was used, by what the one who knows most of it remembers.
fn most(instances: &[Instance], key: &str) -> u64 {
    let daemons = instances.iter().filter_map(|instance| instance.daemon.as_ref());
    daemons.map(|daemon| count(daemon, key)).max().unwrap_or(0)
}

/// The findings and decisions of an instance about a credential, for the message of a failed test.
fn what_is_known(instance: &Instance, key: &str) -> String {
    let Some(daemon) = &instance.daemon else { return "an instance is away\n".to_owned() };
    let told = ["findings", "decisions"].map(|list| {
        let path = format!("/v1/{list}?credential=api_key:{key}");
        daemon.try_send("GET", &path, &[], Vec::new()).map_or_else(String::new, |(_, body)| body)
    });
    format!("{}: {}\n", daemon.base(), told.join("\n"))
}

#[test]
#[ignore = "takes a minute or two; ./test runs it by itself"]
fn instances_that_come_and_go_lose_nothing_count_nothing_twice_and_revoke_each_key_once() {
    if skipped("redis") {
        return;
    }
    let changes = number("TRIPLINE_TEST_CHANGES", 20);
    come_and_go(&cluster(12).bootstrap_servers(), SESSION, changes);
}

/// Stops, kills, pauses and restarts three instances of a group that reads the twelve partitions of `auth`.
pub(crate) fn come_and_go(brokers: &str, librdkafka: &str, changes: u64) {
    let seed = number("TRIPLINE_TEST_SEED", 0x7472_6970);
    eprintln!("{changes} changes with TRIPLINE_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let (redis, shared) = (RedisServer::start(), folder());
    let store = format!("[auth_store.redis]\nurl = \"{}\"\n", redis.url());
    // Nobody may read for a minute and more while all come and go at once; that what is read so late is
    // held back is another test's.
    let patient = "[engine]\ncatch_up = \"10m\"\n";
    let config = config(brokers, Some(shared.path())).replace(SESSION, librdkafka);
    let config = config + patient + &store;
    let mut instances = [(); 3].map(|()| Instance { folder: folder(), daemon: None });
    for instance in &mut instances {
        instance.start(&config);
    }
    let mut sent = BTreeMap::<String, u64>::new();
    for change in 0..changes {
        for _ in 0..3 {
            // Quiet keys, and one that passes its limit while instances come and go.
            let mut keys: Vec<String> =
                (0..40).map(|_| format!("quiet_{}", random.below(24))).collect();
            keys.extend(std::iter::repeat_n(format!("burst_{change}"), 50));
            for key in &keys {
                *sent.entry(key.clone()).or_default() += 1;
            }
            let records = keys.into_iter().map(|key| (key.clone(), event(&key, now_ms())));
            produce(brokers, "auth", records);
            pause(Duration::from_millis(random.below(400)));
        }
        let (which, how) = (random.index(3), random.below(6));
        // The mock coordinator can't bear a stopped instance while it rebalances. Of the other
        // changes some meet partitions that have owners, and some a group that looks for them.
        if how == PAUSES || random.below(3) == 0 {
            settled(&instances);
        }
        instances.get_mut(which).expect("an instance").disturb(how, &config);
    }
    for instance in &mut instances {
        instance.start(&config);
    }
    for (key, sent) in &sent {
        until(&format!("{key} is counted {sent} times"), PATIENCE, || {
            (most(&instances, key) == *sent).then_some(())
        });
    }
    pause(Duration::from_secs(1));
    let wrong: Vec<_> = sent.iter().filter(|(key, sent)| most(&instances, key) != **sent).collect();
    assert!(wrong.is_empty(), "counted otherwise: {wrong:?}");

    let range: redis::streams::StreamRangeReply =
        redis.ask(&["XRANGE", "tripline:changes", "-", "+"]);
    let mut revoked = BTreeMap::<String, u32>::new();
    for entry in &range.ids {
        let field = |name: &str| -> String { entry.get(name).expect("a field") };
        if field("status") == "revoked" {
            *revoked.entry(field("id")).or_default() += 1;
        }
    }
    for key in sent.keys().filter(|key| key.starts_with("burst")) {
        let known =
            || instances.iter().map(|instance| what_is_known(instance, key)).collect::<String>();
        assert!(revoked.contains_key(key), "{key} is not revoked:\n{}", known());
    }
    assert!(revoked.values().all(|times| *times == 1), "and once: {revoked:?}");
}
