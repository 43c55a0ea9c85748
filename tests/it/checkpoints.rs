//! Checkpoints: what is remembered of a credential outlives restarts and crashes.

use crate::support::daemon::{Daemon, event, now_ms, uses};
use crate::support::until;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tripline::adapters::channels::Ticket;
use tripline::adapters::checkpoint::fence::SOLE_OWNER;
use tripline::adapters::checkpoint::metrics::CheckpointMetrics;
use tripline::adapters::checkpoint::store::{Finished, KeptOffset, Snapshots};
use tripline::adapters::metrics::registrar::Registrar;
use tripline::data_plane::partition_checkpoint;
use tripline::model::time::EventTime;

const PATIENCE: Duration = Duration::from_secs(20);
const OFTEN: &str = "[checkpoints]\ninterval = \"1s\"\n";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A day of a quiet key that ended an hour ago: a request a minute.
fn a_day(key: &str) -> String {
    let end = now_ms() - 3_600_000;
    (0..1440).rev().map(|minute| event(key, end - minute * 60_000)).collect()
}

fn seen(daemon: &Daemon, key: &str) -> Option<(Value, Value)> {
    let (status, body) = daemon.send("GET", &format!("/v1/credentials/{key}"), &[], "");
    let found: Value = serde_json::from_str(&body).expect("JSON");
    let at = |pointer: &str| found.pointer(pointer).cloned().expect("a field");
    (status == 200).then(|| (at("/first_seen"), at("/windows/4/peak")))
}

fn remembers(daemon: &Daemon, key: &str) -> (Value, Value) {
    until(&format!("{key} is remembered"), PATIENCE, || seen(daemon, key))
}

/// Since when all slots are written down.
fn oldest(daemon: &Daemon) -> f64 {
    daemon.metric("tripline_checkpoint_timestamp_seconds{stage=\"data_plane\"}")
}

fn written(daemon: &Daemon) {
    // Those of all slots, begun after the events.
    let begun = now_ms() as f64 / 1000.0 + 2.5;
    until("everything is written down", PATIENCE, || (oldest(daemon) > begun).then_some(()));
}

/// The checkpoints of the slot that holds the most, newest first.
fn largest(data: &Path) -> Vec<PathBuf> {
    let files = |folder: PathBuf| {
        let files = std::fs::read_dir(folder).expect("a folder");
        let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        files.sort();
        files.reverse();
        files
    };
    let slots = files(data.join("checkpoints/http"));
    let of = slots.into_iter().map(files);
    let size = |files: &Vec<PathBuf>| {
        let newest = files.first().expect("a checkpoint");
        std::fs::metadata(newest).expect("a file").len()
    };
    of.max_by_key(size).expect("a slot")
}

#[test]
fn a_slot_that_can_t_be_written_down_is_not_hidden_by_the_others() {
    let folder = folder();
    let daemon = Daemon::start(&folder, OFTEN);
    written(&daemon);
    let slot = daemon.data().join("checkpoints/http/slot-05");
    std::fs::remove_dir_all(&slot).expect("removes");
    std::fs::write(&slot, "in the way").expect("writes");
    let bytes = || daemon.metric("tripline_checkpoint_bytes_total");
    let (at, from) = (oldest(&daemon), bytes());
    until("the others are written thrice", PATIENCE, || (bytes() > 3.0 * from).then_some(()));
    assert!(oldest(&daemon) < at + 3.0, "{} s later", oldest(&daemon) - at);
    std::fs::remove_file(&slot).expect("removes");
    written(&daemon);
}

#[test]
fn what_was_learned_outlives_a_stop_and_a_crash() {
    let folder = folder();
    let daemon = Daemon::start(&folder, OFTEN);
    daemon.post_events(&a_day("key_1"));
    let before = remembers(&daemon, "key_1");
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = Daemon::start_in(folder.path(), OFTEN);
    assert_eq!(seen(&daemon, "key_1"), Some(before.clone()), "after a stop");
    daemon.post_events(&a_day("key_2"));
    let other = remembers(&daemon, "key_2");
    written(&daemon);
    daemon.kill();
    let daemon = Daemon::start_in(folder.path(), OFTEN);
    assert_eq!(seen(&daemon, "key_1"), Some(before), "after a crash");
    assert_eq!(seen(&daemon, "key_2"), Some(other));
    assert!(daemon.metric("tripline_checkpoint_errors_total") < 1.0);
}

#[test]
fn a_checkpoint_waits_until_what_was_told_before_it_is_in_the_journal() {
    let folder = folder();
    let metrics = CheckpointMetrics::register(&Registrar::default()).expect("metrics");
    let snapshots = Snapshots::open(folder.path(), &metrics).expect("a place");
    let told = Ticket::default().next();
    let kept = Arc::new(KeptOffset::since(EventTime::from_ms(0)));
    let finished = |told: &Ticket, offset| Finished {
        place: "http/slot-00".to_owned(),
        offset,
        frames: vec![b"head".to_vec(), b"part".to_vec()],
        told: told.clone(),
        kept: Arc::clone(&kept),
        epoch: SOLE_OWNER,
    };
    let files = || std::fs::read_dir(folder.path().join("http/slot-00")).map_or(0, Iterator::count);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        // One that need not wait is written meanwhile: that long the other had time, too.
        let nothing = Ticket::default();
        assert!(snapshots.write(finished(&nothing, 7)).await, "nothing was told before it");
        let mut write = std::pin::pin!(snapshots.write(finished(&told, 8)));
        let waits = tokio::time::timeout(Duration::from_millis(300), &mut write).await;
        assert!(waits.is_err(), "it is written, though a decision is not");
        assert_eq!((files(), kept.newest()), (1, 7));
        told.settle();
        assert!(write.await);
        assert_eq!((files(), kept.newest()), (2, 8));
    });
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_is_used() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&a_day("key_1"));
    let before = remembers(&daemon, "key_1");
    daemon.terminate();
    let daemon = Daemon::start_in(folder.path(), "");
    daemon.post_events(&event("key_1", now_ms()));
    until("it is applied", PATIENCE, || {
        (daemon.metric("tripline_events_total") >= 1.0).then_some(())
    });
    let data = daemon.data();
    daemon.terminate();
    let files = largest(&data);
    assert_eq!(files.len(), 2, "two are kept: {files:?}");
    let mut bytes = std::fs::read(&files[0]).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&files[0], bytes).expect("writes");
    let daemon = Daemon::start_in(folder.path(), "");
    assert_eq!(seen(&daemon, "key_1").map(|one| one.0), Some(before.0));
    assert!(daemon.log().contains("a checkpoint is unusable"), "{}", daemon.log());
    assert!(daemon.metric("tripline_checkpoint_errors_total") >= 1.0);
}

#[test]
fn what_is_learned_after_all_checkpoints_were_damaged_is_kept_again() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&a_day("key_1"));
    remembers(&daemon, "key_1");
    let data = daemon.data();
    daemon.terminate();
    for file in largest(&data) {
        std::fs::write(file, "damaged").expect("writes");
    }
    let daemon = Daemon::start_in(folder.path(), "");
    assert!(daemon.log().contains("their baselines start from zero"), "{}", daemon.log());
    // Fewer events than before: the offset begins at 0 again.
    daemon.post_events(&event("key_1", now_ms()));
    let after = remembers(&daemon, "key_1");
    daemon.terminate();
    let daemon = Daemon::start_in(folder.path(), "");
    assert_eq!(seen(&daemon, "key_1"), Some(after));
    assert!(daemon.metric("tripline_checkpoint_errors_total") < 1.0, "it was said once");
}

#[test]
fn a_checkpoint_of_another_fingerprint_key_is_refused_and_said() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&a_day("key_1"));
    remembers(&daemon, "key_1");
    let data = daemon.data();
    daemon.terminate();
    let key = data.join("fingerprint.key");
    let right = std::fs::read(&key).expect("a key");
    std::fs::write(&key, [7; 32]).expect("writes");
    assert!(Daemon::try_start_in(folder.path(), "", &[]).is_none(), "it would learn from nothing");
    let log = std::fs::read_to_string(folder.path().join("log.ndjson")).expect("a log");
    assert!(log.contains("another fingerprint key; use that one"), "{log}");
    // Nothing was lost by the slip.
    std::fs::write(&key, right).expect("writes");
    let daemon = Daemon::start_in(folder.path(), "");
    assert!(seen(&daemon, "key_1").is_some());
}

/// The file was written by a tripline of layout 1: 25 hours of `key_1`, with an open finding.
#[test]
fn a_checkpoint_of_an_older_layout_is_read_and_then_written_in_the_newest() {
    let folder = folder();
    let slot = folder.path().join("data/checkpoints/http/slot-02");
    std::fs::create_dir_all(&slot).expect("a folder");
    std::fs::write(folder.path().join("data/fingerprint.key"), [7; 32]).expect("a key");
    let older = include_bytes!("../data/checkpoint_layout_1");
    std::fs::write(slot.join("0000000004-00000000000000004500"), older).expect("a checkpoint");
    let daemon = Daemon::start_in(folder.path(), "");
    let found = daemon.get("/v1/credentials/key_1");
    assert_eq!(found["first_seen"], "2026-11-18T11:06:40.000Z");
    assert_eq!((&found["tenant"], &found["windows"][4]["peak"]), (&"acme".into(), &5.0.into()));
    assert_eq!(found["open_findings"].as_array().map(Vec::len), Some(3));
    assert_eq!(daemon.terminate(), Some(0));
    let layout = |file: &Path| {
        let bytes = std::fs::read(file).expect("reads");
        u16::from_le_bytes([bytes[8], bytes[9]])
    };
    let data = folder.path().join("data");
    assert_eq!(layout(&largest(&data)[0]), partition_checkpoint::VERSION);
    let daemon = Daemon::start_in(folder.path(), "");
    assert_eq!(seen(&daemon, "key_1").map(|one| one.0), Some(found["first_seen"].clone()));
    assert!(daemon.metric("tripline_checkpoint_errors_total") < 1.0, "{}", daemon.log());
}

#[test]
fn what_was_found_is_listed_after_a_restart_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&uses("key_1", now_ms() - 400_000, 2000));
    // What comes now ends what was then.
    daemon.post_events(&uses("key_1", now_ms(), 1));
    let of_limit = |daemon: &Daemon| {
        let found = daemon.get("/v1/findings?credential=key_1");
        let found = found.as_array()?.iter().find(|one| one["detector"] == "limit")?.clone();
        (!found["closed"].is_null()).then_some(found)
    };
    let before = until("it is found and has ended", Duration::from_secs(30), || of_limit(&daemon));
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = Daemon::start_in(folder.path(), "");
    let after = until("it is listed", Duration::from_secs(10), || of_limit(&daemon));
    assert_eq!(after, before);
    let id = before["id"].as_str().expect("an id");
    assert_eq!(daemon.get(&format!("/v1/findings/{id}")), before);
}
