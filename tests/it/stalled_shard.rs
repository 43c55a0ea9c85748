//! A stuck thread, as one whose disk or allocator hangs: the status names it, and all others go on.

use crate::support::broker::produce;
use crate::support::daemon::{Daemon, event, now_ms, uses};
use crate::support::until;
use rdkafka::mocking::MockCluster;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A thread is missed after 30 seconds.
const PATIENCE: Duration = Duration::from_mins(1);
const KEYS: usize = 24;
const USES: usize = 5;

fn key(number: usize) -> String {
    format!("key_{number}")
}

/// Starts a daemon of which the first thread that comes by `point` stays there.
fn start(folder: &tempfile::TempDir, config: &str, point: &str) -> Daemon {
    let points = format!("{point}=1*pause->off");
    let config = format!("[engine]\nthreads = 2\n{config}");
    Daemon::try_start_in(folder.path(), &config, &[("FAILPOINTS", &points)]).expect("it starts")
}

/// The keys that are counted whole. Of a stuck thread each takes a while.
fn counted(daemon: &Daemon) -> impl Iterator<Item = usize> + '_ {
    let is_whole = move |number: &usize| {
        let (status, body) =
            daemon.send("GET", &format!("/v1/credentials/{}", key(*number)), &[], "");
        let found: Value = serde_json::from_str(&body).expect("JSON");
        status == 200 && found.pointer("/windows/4/count") == Some(&USES.into())
    };
    (0..KEYS).filter(is_whole)
}

/// The others go on, whatever is asked; and the status names the stage that is stuck.
fn is_told_and_keeps_nobody(daemon: &Daemon, stage: &str) {
    until("the other thread has counted its part", PATIENCE, || counted(daemon).next());
    for number in 0..KEYS {
        let begun = Instant::now();
        let ordered = daemon.order("revoke", &key(number));
        assert_eq!(ordered.pointer("/decision/action"), Some(&"revoke".into()));
        until("a gateway hears of it", PATIENCE, || {
            (daemon.check(&key(number)) == 403).then_some(())
        });
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?} for an order", begun.elapsed());
    }
    let said = until("the status names a stuck thread", PATIENCE, || {
        let status = daemon.get("/v1/status");
        let issues = status.pointer("/issues").and_then(Value::as_array).expect("a list");
        let of_threads = |one: &&Value| one.pointer("/part") == Some(&"threads".into());
        issues.iter().find(of_threads).cloned()
    });
    let found = said.pointer("/found").and_then(Value::as_str).expect("words");
    assert!(found.starts_with(&format!("no heartbeat of {stage} ")), "{found}");
    assert_eq!(said.pointer("/critical"), Some(&true.into()));
    let beat = format!("tripline_heartbeat_timestamp_seconds{{stage=\"{stage}\"}}");
    assert!(now_ms() as f64 / 1000.0 - daemon.metric(&beat) > 30.0);
    let decides = "tripline_heartbeat_timestamp_seconds{stage=\"control_plane\"}";
    assert!(now_ms() as f64 / 1000.0 - daemon.metric(decides) < 5.0, "who decides goes on");
}

#[test]
fn a_stuck_thread_of_the_http_source_is_told_and_keeps_nobody_from_their_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = start(&folder, "", "data_plane.batch");
    for number in 0..KEYS {
        daemon.post_events(&uses(&key(number), now_ms(), USES));
    }
    is_told_and_keeps_nobody(&daemon, "data_plane");
    let whole = counted(&daemon).count();
    assert!(0 < whole && whole < KEYS, "one of two threads is stuck, {whole} of {KEYS}");
}

#[test]
fn a_full_queue_is_said_with_429_counted_and_takes_nothing_in_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let points = "data_plane.batch=1*pause->off";
    let config = "[engine]\nthreads = 1\n";
    let daemon = Daemon::try_start_in(folder.path(), config, &[("FAILPOINTS", points)]);
    let daemon = daemon.expect("it starts");
    let send = || daemon.send("POST", "/v1/events", &[], event(&key(0), now_ms()));
    let mut taken = 0;
    let (status, body) = until("the queue is full", PATIENCE, || {
        let (status, body) = send();
        taken += u64::from(status == 200);
        (status != 200).then_some((status, body))
    });
    assert_eq!(status, 429, "{body}");
    assert!(body.contains("the queue is full") && body.contains("nothing was taken"), "{body}");
    let full = || daemon.metric("tripline_queue_full_total");
    assert!((full() - 1.0).abs() < 0.1, "{}", full());
    assert_eq!(send().0, 429, "it stays full");
    assert!((full() - 2.0).abs() < 0.1, "{}", full());
    let said = daemon.get("/v1/status");
    assert_eq!(said["queue_full"], 2, "{said}");
    assert!(taken >= 100, "the queue has room for some: {taken}");
    // What was refused was neither applied nor kept: after a restart only what was taken is there.
    daemon.kill();
    let daemon = Daemon::start_in(folder.path(), config);
    let view = daemon.get(&format!("/v1/credentials/{}", key(0)));
    assert_eq!(view.pointer("/windows/4/count"), Some(&taken.into()), "{view}");
}

#[test]
fn a_stuck_worker_of_kafka_is_told_and_no_new_consumer_is_made_for_it() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("auth", 4, 1).expect("a topic");
    let brokers = cluster.bootstrap_servers();
    let config = format!(
        "[sources.kafka]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"auth\"]\nstall_after = \"10s\"\n"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = start(&folder, &config, "kafka.batch");
    let records = (0..KEYS * USES).map(|number| key(number % KEYS));
    produce(&brokers, "auth", records.map(|key| (key.clone(), event(&key, now_ms()))));
    is_told_and_keeps_nobody(&daemon, "kafka");
    let whole = counted(&daemon).count();
    assert!(0 < whole && whole < KEYS, "one of two workers is stuck, {whole} of {KEYS}");
    assert!(daemon.metric("tripline_consumer_stalls_total") < 1.0, "it would help nobody");
    assert!((daemon.metric("tripline_consumer_assigned") - 4.0).abs() < 0.5);
}

/// Without one of its threads tripline would answer, and not watch or decide: it ends, to be started
/// again, and loses nothing that it acknowledged.
#[test]
fn a_thread_that_panics_ends_the_process_and_the_next_start_has_what_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let points = [("FAILPOINTS", "data_plane.batch=5*off->1*panic->off")];
    let daemon = Daemon::try_start_in(folder.path(), "", &points).expect("it starts");
    let mut acknowledged = 0;
    while acknowledged < 100 {
        let line = event("key_1", now_ms());
        match daemon.try_send("POST", "/v1/events", &[], line.into_bytes()) {
            Some((200, _)) => acknowledged += 1,
            Some(_) | None => break,
        }
    }
    assert!((1..100).contains(&acknowledged), "{acknowledged}");
    assert!(daemon.ended_by_itself());
    let again = Daemon::start_in(folder.path(), "");
    until("what was acknowledged is counted", PATIENCE, || {
        let (status, body) = again.send("GET", "/v1/credentials/key_1", &[], "");
        let found: Value = serde_json::from_str(&body).expect("JSON");
        let count = found.pointer("/windows/4/count").and_then(Value::as_u64);
        (status == 200 && count >= Some(acknowledged)).then_some(())
    });
}
