//! Five instances with names and twenty partitions, as `config/k8s/kafka` runs them: how long each change
//! of the Pods takes. docs/guides/kubernetes.md has the figures.

use super::groups::{kafka_with, owned};
use super::{PATIENCE, folder, keys, sharing};
use crate::kafka_state::count;
use crate::support::daemon::Daemon;
use crate::support::{skipped, until};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PARTITIONS: i32 = 20;
const PODS: usize = 5;
/// Few: the longest window, of five minutes, has all their uses.
const KEYS: usize = 30;
/// How long a partition waits for an instance that is away.
const SESSION: Duration = Duration::from_secs(10);

/// The Pods by their numbers, each with its volume, and how often each credential was used.
struct StatefulSet<'a> {
    config: &'a dyn Fn(usize) -> String,
    volumes: BTreeMap<usize, TempDir>,
    pods: BTreeMap<usize, Daemon>,
    used: u64,
}

impl StatefulSet<'_> {
    fn start(&mut self, number: usize) {
        let volume = self.volumes.entry(number).or_insert_with(folder);
        self.pods.insert(number, Daemon::start_in(volume.path(), &(self.config)(number)));
    }

    fn stop(&mut self, number: usize) -> Daemon {
        self.pods.remove(&number).expect("runs")
    }

    fn owned(&self) -> Vec<f64> {
        self.pods.values().map(owned).collect()
    }

    /// Waits until the Pods have all partitions, each at least that many; gives how long that took.
    fn settled(&self, least: f64, what: &str) -> Duration {
        let begun = Instant::now();
        until(what, PATIENCE, || {
            let owned = self.owned();
            let all = (owned.iter().sum::<f64>() - f64::from(PARTITIONS)).abs() < 0.5;
            (all && owned.iter().all(|one| *one >= least)).then_some(())
        });
        begun.elapsed()
    }

    /// Uses each credential once more, and waits until the Pods know of it, none twice.
    fn counts(&mut self, kafka: &crate::support::apache_kafka::Kafka) {
        kafka.produce("auth", keys("key", KEYS, 1).into_iter());
        self.used += 1;
        for key in (0..KEYS).map(|key| format!("key_{key}")) {
            let most = || self.pods.values().map(|pod| count(pod, &key)).max();
            let most = until(&format!("{key} is counted"), PATIENCE, || {
                most().filter(|most| *most >= self.used)
            });
            assert_eq!(most, self.used, "{key}: none twice");
        }
    }
}

/// From the stop of a Pod until it is ready again with the partitions that it had.
fn restarted(set: &mut StatefulSet<'_>, number: usize) -> Duration {
    let (before, begun) = (set.owned(), Instant::now());
    assert_eq!(set.stop(number).terminate(), Some(0));
    set.start(number);
    until("it has its partitions again", PATIENCE, || (set.owned() == before).then_some(()));
    begun.elapsed()
}

#[test]
#[ignore = "takes a minute or two; ./test runs it by itself"]
fn twenty_partitions_on_five_pods_lose_and_double_nothing_as_pods_change() {
    if skipped("kafka") {
        return;
    }
    let (kafka, shared) = (kafka_with(PARTITIONS), folder());
    let config = |number: usize| {
        let config = sharing(&kafka.address(), &shared.path().join("checkpoints"));
        let session = SESSION.as_millis();
        format!(
            "{config}instance = \"tripline-{number}\"\n\
             [sources.kafka.librdkafka]\n\"session.timeout.ms\" = \"{session}\"\n"
        )
    };
    let (volumes, pods) = (BTreeMap::new(), BTreeMap::new());
    let mut set = StatefulSet { config: &config, volumes, pods, used: 0 };
    (0..PODS).for_each(|number| set.start(number));
    set.settled(4.0, "each has four");
    set.counts(&kafka);
    let took = restarted(&mut set, 2);
    eprintln!("a restart: {took:.1?} until it reads its partitions again");
    set.counts(&kafka);
    let begun = Instant::now();
    for number in (0..PODS).rev() {
        restarted(&mut set, number);
    }
    eprintln!("an upgrade: {:.1?} for all five, one after the other", begun.elapsed());
    set.counts(&kafka);
    set.stop(4).kill();
    let took = set.settled(5.0, "the others have those of a lost node");
    eprintln!("a node is lost: {took:.1?} until others read its partitions ({SESSION:?} session)");
    assert!(took < SESSION + Duration::from_secs(10), "{took:?}");
    set.counts(&kafka);
    set.start(4);
    let took = set.settled(4.0, "it has its part again");
    eprintln!("it is back: {took:.1?} until each has four");
    set.start(5);
    let took = set.settled(3.0, "the sixth has its part");
    eprintln!("scaled up to six: {took:.1?} until each has three or four");
    set.counts(&kafka);
    assert_eq!(set.stop(5).terminate(), Some(0));
    let took = set.settled(4.0, "five have all");
    eprintln!("scaled down to five: {took:.1?} until others read its partitions");
    set.counts(&kafka);
}
