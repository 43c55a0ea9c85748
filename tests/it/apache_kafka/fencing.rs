//! An instance that was paused while others took its partitions over, and that does not know it yet.

use super::groups::{CLASSIC, NEWER, kafka_with, owned};
use super::{APPLIED, PATIENCE, applied, folder, keys, sharing};
use crate::kafka_state::{count, written};
use crate::support::apache_kafka::Kafka;
use crate::support::daemon::Daemon;
use crate::support::{skipped, until};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const FENCED: &str = "tripline_checkpoints_fenced_total";
const LOST: &str = "tripline_consumer_lost_total";
const KEYS: usize = 18;

fn start(folder: &Path, config: &str, environment: &[(&str, &str)]) -> Daemon {
    Daemon::try_start_in(folder, config, environment).expect("it becomes ready")
}

/// Waits until that instance alone has both partitions.
fn owns_all(daemon: &Daemon) {
    until("it has both partitions", PATIENCE, || (owned(daemon) > 1.5).then_some(()));
}

/// Waits until each credential was used that often, as the instance knows it.
fn knows(daemon: &Daemon, times: u64) {
    for key in (0..KEYS).map(|key| format!("key_{key}")) {
        until(&format!("{key} is counted"), PATIENCE, || {
            (count(daemon, &key) >= times).then_some(())
        });
        assert_eq!(count(daemon, &key), times, "{key}: none twice");
    }
}

/// The brokers answer no one as the paused instance resumes, so it can't learn from the group that
/// another has its partitions, and writes on. What only the newer checkpoints have is gone from the topic.
fn newer_checkpoints_stay(kafka: &Kafka, config: &str, environment: &[(&str, &str)]) {
    let folders = [folder(), folder(), folder()];
    let mut ends = BTreeMap::new();
    let mut produce =
        |times| ends.extend(kafka.produce("auth", keys("key", KEYS, times).into_iter()));
    let stale = start(folders[0].path(), config, environment);
    owns_all(&stale);
    produce(6);
    knows(&stale, 6);
    written(&stale);
    stale.pause();
    let owner = start(folders[1].path(), config, environment);
    owns_all(&owner);
    produce(5);
    knows(&owner, 11);
    written(&owner);
    assert!((applied([&owner]) - (KEYS * 5) as f64).abs() < 0.5, "it goes on from the checkpoint");
    for (partition, end) in &ends {
        kafka.delete_before("auth", *partition, *end);
    }
    kafka.pause(0);
    stale.resume();
    until("both of its checkpoints are refused", PATIENCE, || {
        (stale.metric(FENCED) > 1.5).then_some(())
    });
    // It goes on with its others, if it has any, and tries these no more.
    written(&owner);
    assert!((stale.metric(FENCED) - 2.0).abs() < 0.5, "{}", stale.metric(FENCED));
    assert_eq!(stale.log().matches("has taken this partition over").count(), 2, "once of each");
    assert!(owner.metric(FENCED) < 0.5, "{}", owner.log());
    stale.kill();
    owner.kill();
    kafka.resume(0);
    let next = start(folders[2].path(), config, environment);
    owns_all(&next);
    knows(&next, 11);
    assert!(next.metric(APPLIED) < 0.5, "the newest checkpoint has all: {}", next.log());
    assert!(next.metric(LOST) < 0.5, "nothing is lost: {}", next.log());
}

#[test]
fn what_a_stale_owner_writes_after_a_pause_hides_no_newer_checkpoint() {
    if skipped("kafka") {
        return;
    }
    let (kafka, shared) = (kafka_with(2), folder());
    let config = sharing(&kafka.address(), &shared.path().join("checkpoints")) + NEWER;
    newer_checkpoints_stay(&kafka, &config, &[]);
}

#[test]
#[cfg(feature = "cloud")]
fn nor_does_it_in_s3() {
    if skipped("kafka") || skipped("moto") {
        return;
    }
    let (kafka, shared) = (kafka_with(2), folder());
    let aws = crate::support::aws::Aws::start();
    let config = sharing(&kafka.address(), &shared.path().join("checkpoints")) + NEWER;
    let url = format!("file://{}", shared.path().join("checkpoints").display());
    let config = config.replace(&url, "s3://other/tripline");
    let environment = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ENDPOINT", aws.endpoint.as_str()),
    ];
    newer_checkpoints_stay(&kafka, &config, &environment);
}

/// The group answers, so that the instance learns after its pause that it has lost its partitions.
fn a_paused_one_is_back(protocol: &str) {
    if skipped("kafka") {
        return;
    }
    let (kafka, shared, folders) = (kafka_with(2), folder(), [folder(), folder()]);
    let config = sharing(&kafka.address(), &shared.path().join("checkpoints")) + protocol;
    let produce = |times| kafka.produce("auth", keys("key", KEYS, times).into_iter());
    let paused = start(folders[0].path(), &config, &[]);
    owns_all(&paused);
    produce(6);
    knows(&paused, 6);
    for round in 1..4 {
        paused.pause();
        let owner = start(folders[1].path(), &config, &[]);
        owns_all(&owner);
        produce(2);
        knows(&owner, 6 + 4 * round - 2);
        written(&owner);
        paused.resume();
        until("each has one", PATIENCE, || {
            [&paused, &owner].iter().all(|one| (owned(one) - 1.0).abs() < 0.5).then_some(())
        });
        produce(2);
        for key in (0..KEYS).map(|key| format!("key_{key}")) {
            let most = || count(&paused, &key).max(count(&owner, &key));
            until(&format!("{key} is counted"), PATIENCE, || {
                (most() >= 6 + 4 * round).then_some(())
            });
            assert_eq!(most(), 6 + 4 * round, "{key}: none twice");
        }
        assert_eq!(owner.terminate(), Some(0));
        owns_all(&paused);
        knows(&paused, 6 + 4 * round);
    }
}

#[test]
fn an_instance_that_was_paused_goes_on_after_its_successor_by_the_classic_protocol() {
    a_paused_one_is_back(CLASSIC);
}

#[test]
fn an_instance_that_was_paused_goes_on_after_its_successor_by_the_newer_protocol() {
    a_paused_one_is_back(NEWER);
}
