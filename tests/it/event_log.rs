//! The event log: what was acknowledged outlives crashes, and a full disk stops no detection.

use crate::support::daemon::{Daemon, event, now_ms, uses};
use crate::support::{pause, until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// How many requests of a credential its longest window holds, and when it was first seen.
fn seen(daemon: &Daemon, key: &str) -> Option<(Value, Value)> {
    let (status, body) = daemon.send("GET", &format!("/v1/credentials/{key}"), &[], "");
    let found: Value = serde_json::from_str(&body).expect("JSON");
    let at = |pointer: &str| found.pointer(pointer).cloned().expect("a field");
    (status == 200).then(|| (at("/windows/4/count"), at("/first_seen")))
}

fn count(daemon: &Daemon, key: &str) -> u64 {
    seen(daemon, key).and_then(|(count, _)| count.as_u64()).unwrap_or(0)
}

/// The segments, oldest first.
fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("events")).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_was_acknowledged_outlives_a_crash_before_any_checkpoint() {
    let folder = folder();
    for sync in ["before_answer", "every_second", "never"] {
        let key = format!("key_{sync}");
        let config = format!("event_log.sync = \"{sync}\"\n");
        let daemon = Daemon::start(&folder, &config);
        let answer = daemon.post_events(&uses(&key, now_ms(), 40));
        assert_eq!(answer.get("durable"), Some(&Value::Bool(true)), "{answer}");
        until("it is applied", PATIENCE, || (count(&daemon, &key) == 40).then_some(()));
        let before = seen(&daemon, &key);
        daemon.kill();
        let daemon = Daemon::start(&folder, &config);
        assert_eq!(seen(&daemon, &key), before, "{sync}");
        daemon.post_events(&event(&key, now_ms()));
        until("events go on", PATIENCE, || (count(&daemon, &key) == 41).then_some(()));
        daemon.kill();
    }
    let daemon = Daemon::start(&folder, "");
    assert_eq!(count(&daemon, "key_before_answer"), 41, "three crashes later");
    assert!(daemon.metric("tripline_checkpoint_errors_total") < 1.0);
    assert!(daemon.metric("tripline_event_log_errors_total") < 1.0);
}

#[test]
fn a_thread_that_reads_the_past_again_is_alive_now() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    daemon.post_events(&uses("key_1", now_ms(), 40));
    daemon.kill();
    pause(Duration::from_secs(5));
    let daemon = Daemon::start(&folder, "");
    let beat = daemon.metric("tripline_heartbeat_timestamp_seconds{stage=\"data_plane\"}");
    assert!(now_ms() as f64 / 1000.0 - beat < 4.0, "{beat} is when the events came");
}

#[test]
fn a_request_that_is_sent_again_counts_once() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let body = uses("key_1", now_ms(), 10);
    let send = |daemon: &Daemon, name: &str, body: &str| {
        let (status, answer) =
            daemon.send("POST", "/v1/events", &[("idempotency-key", name)], body);
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let first = send(&daemon, "one", &body);
    assert_eq!(send(&daemon, "one", &body), first, "the same answer");
    send(&daemon, "two", &body);
    until("two are applied", PATIENCE, || (count(&daemon, "key_1") == 20).then_some(()));
    daemon.kill();
    let daemon = Daemon::start(&folder, "");
    send(&daemon, "one", &body);
    let other = uses("key_2", now_ms(), 5);
    send(&daemon, "one", &other);
    until("the name holds for that content", PATIENCE, || {
        (count(&daemon, "key_2") == 5).then_some(())
    });
    assert_eq!(count(&daemon, "key_1"), 20, "also after a crash");
}

#[test]
fn what_checkpoints_hold_is_removed() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "checkpoints.interval = \"1s\"\n");
    let data = daemon.data();
    daemon.post_events(&uses("key_1", now_ms(), 40));
    assert_eq!(segments(&data).len(), 1);
    until("two checkpoints hold it, and it is a minute old", Duration::from_mins(2), || {
        segments(&data).is_empty().then_some(())
    });
    daemon.post_events(&event("key_1", now_ms()));
    daemon.kill();
    let daemon = Daemon::start(&folder, "");
    assert_eq!(count(&daemon, "key_1"), 41);
}

#[test]
fn beyond_its_limit_the_oldest_is_given_up_and_said() {
    let folder = folder();
    let config = "checkpoints.interval = \"1h\"\nevent_log.max = \"1MiB\"\n";
    let daemon = Daemon::start(&folder, config);
    for round in 0..20 {
        daemon.post_events(&uses(&format!("key_{round}"), now_ms(), 1_000));
    }
    until("some is given up", PATIENCE, || {
        (daemon.metric("tripline_event_log_segments_dropped_total") >= 1.0).then_some(())
    });
    let size = || {
        segments(&daemon.data()).into_iter().map(|path| path.metadata().map_or(0, |it| it.len()))
    };
    until("it keeps to it", PATIENCE, || (size().sum::<u64>() <= 1 << 20).then_some(()));
    assert!(daemon.log().contains("the event log reached event_log.max"), "{}", daemon.log());
}

#[test]
fn a_full_disk_stops_no_detection_and_is_told_to_the_sender() {
    let folder = folder();
    let config = "limits.default = \"60/min\"\nmode.default = \"revoke\"\n";
    let full = format!("{config}event_log.min_free_disk = \"1000000GiB\"\n");
    let daemon = Daemon::start(&folder, &full);
    let (status, body) = daemon.send("POST", "/v1/events", &[], uses("key_1", now_ms(), 100));
    assert_eq!(status, 202, "{body}");
    assert!(body.contains("\"durable\":false"), "{body}");
    until("it is refused", PATIENCE, || (daemon.check("key_1") == 403).then_some(()));
    assert!(daemon.metric("tripline_events_not_durable_total") >= 100.0);
    assert!(daemon.metric("tripline_event_log_errors_total") >= 1.0);
    let said = daemon.log().matches("events are processed but not durable").count();
    assert_eq!(said, 1, "once: {}", daemon.log());
    assert!(segments(&daemon.data()).is_empty(), "nothing is left lying about");
    daemon.terminate();
    let daemon = Daemon::start(&folder, config);
    assert_eq!(daemon.post_events(&event("key_1", now_ms())).get("durable"), Some(&true.into()));
}

#[test]
fn a_damaged_record_is_said_and_the_others_are_read() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    for key in ["key_1", "key_2", "key_3"] {
        daemon.post_events(&uses(key, now_ms(), 3));
    }
    until("all is applied", PATIENCE, || (count(&daemon, "key_3") == 3).then_some(()));
    let data = daemon.data();
    daemon.kill();
    let [segment] = &segments(&data)[..] else { panic!("one segment") };
    let mut bytes = std::fs::read(segment).expect("reads");
    let at = bytes.windows(5).position(|window| window == b"key_2").expect("it is there");
    bytes[at] = b'K';
    // And the last one is torn.
    bytes.truncate(bytes.len() - 4);
    std::fs::write(segment, bytes).expect("writes");
    let daemon = Daemon::start(&folder, "");
    let counts = ["key_1", "key_2", "key_3"].map(|key| count(&daemon, key));
    assert_eq!(counts, [3, 0, 0]);
    assert!(daemon.log().contains("\"records\":1"), "{}", daemon.log());
    daemon.post_events(&uses("key_2", now_ms(), 3));
    until("it goes on", PATIENCE, || (count(&daemon, "key_2") == 3).then_some(()));
    daemon.kill();
    let daemon = Daemon::start(&folder, "");
    assert_eq!(count(&daemon, "key_2"), 3);
    daemon.kill();
    // Under another key its events would be of no use: that is said before anything is touched.
    std::fs::write(data.join("fingerprint.key"), [7; 32]).expect("writes");
    assert!(Daemon::try_start_in(folder.path(), "", &[]).is_none());
    let log = std::fs::read_to_string(folder.path().join("log.ndjson")).expect("a log");
    assert!(log.contains("another fingerprint key; use that one"), "{log}");
}
