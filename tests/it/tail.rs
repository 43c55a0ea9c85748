//! The file source: log files that grow, are rotated in every way, and are read by a daemon that is killed.

use crate::support::daemon::{Daemon, now_ms};
use crate::support::{pause, until};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tripline::adapters::event_log::log::{EventLog, Params};
use tripline::adapters::event_log::metrics::EventLogMetrics;
use tripline::adapters::metrics::registrar::Registrar;
use tripline::adapters::storage::key_material;
use tripline::sim::random::Random;

const PATIENCE: Duration = Duration::from_mins(1);
/// The event log is to hold all, so that it can be counted.
const KEEPS_ALL: &str = "checkpoints.interval = \"24h\"\n";

fn line(key: &str) -> String {
    let seconds = now_ms() / 1000;
    let time = jiff::Timestamp::from_second(seconds).expect("a time");
    let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
    format!("203.0.113.7 - {key} [{time}] \"GET /v1/items HTTP/1.1\" 200 12 \"-\" \"curl/8.5\"\n")
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("opens");
    file.write_all(text.as_bytes()).expect("writes");
}

fn config(paths: &str, more: &str) -> String {
    format!(
        "{KEEPS_ALL}[sources.web]\ntype = \"file\"\npaths = [\"{paths}\"]\nformat = \"access_log\"\n\
         verified = \"2xx\"\n{more}"
    )
}

/// How often each credential is in the event log of a daemon that has ended.
pub(crate) fn taken(data: &Path) -> BTreeMap<String, u32> {
    let key = key_material::fingerprint_key(&data.join("fingerprint.key")).expect("a key");
    let metrics = EventLogMetrics::register(&Registrar::default()).expect("metrics");
    let seed = key_material::seed_of(&key);
    let log = EventLog::open(&data.join("events"), Params::default(), seed, &metrics);
    let mut counts = BTreeMap::new();
    let _log = log.expect("a log").replay([0; 16], |_, batch, _| {
        for row in batch.rows() {
            *counts.entry(batch.credential(row).to_owned()).or_insert(0) += 1;
        }
    });
    counts
}

fn events(daemon: &Daemon) -> f64 {
    daemon.metric("tripline_source_events_total{source=\"web\"}")
}

#[track_caller]
fn reaches(daemon: &Daemon, count: f64) {
    until(&format!("{count} events are taken"), PATIENCE, || {
        (events(daemon) >= count).then_some(())
    });
}

#[test]
fn a_log_is_followed_as_it_grows_and_its_findings_come_by_themselves() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    append(&log, &line("key_1"));
    let more = "[limits]\ndefault = \"60/min\"\n[mode]\ndefault = \"revoke\"\n";
    let daemon = Daemon::start(&folder, &config(&log.display().to_string(), more));
    reaches(&daemon, 1.0);
    // A line is read once it is whole.
    let text = line("key_2");
    append(&log, &text[..40]);
    append(&log, &text[40..]);
    reaches(&daemon, 2.0);
    append(&log, "nonsense\n");
    append(&log, &line("key_thief").repeat(200));
    until("the key is revoked", PATIENCE, || {
        (daemon.check("api_key:key_thief") == 403).then_some(())
    });
    let status = daemon.get("/v1/status");
    let sources = status["sources"].as_array().expect("a list");
    let web = sources.iter().find(|source| source["name"] == "web").expect("the source");
    assert_eq!((&web["events"], &web["refused"]), (&202.into(), &1.into()));
    let rejects = daemon.data().join("rejects.ndjson");
    let place = until("the refused line is noted", PATIENCE, || {
        let text = fs::read_to_string(&rejects).ok()?;
        serde_json::from_str::<serde_json::Value>(text.lines().next()?).ok()
    });
    assert_eq!((&place["source"], &place["reason"]), (&"web".into(), &"malformed_line".into()));
    assert_eq!(place["offset"].as_u64(), Some((line("key_1").len() + text.len()) as u64));
}

#[test]
fn rotation_by_name_by_copy_and_by_packing_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let rotated = |end: &str| folder.path().join(format!("access.log.{end}"));
    let pattern = format!("{}*", log.display());
    let daemon = Daemon::start(&folder, &config(&pattern, ""));
    append(&log, &line("key_1"));
    reaches(&daemon, 1.0);
    // Renamed; the server writes on for a while under the old name, and its next line is cut.
    let mut old = OpenOptions::new().append(true).open(&log).expect("opens");
    fs::rename(&log, rotated("1")).expect("renames");
    append(&log, &line("key_2"));
    old.write_all(line("key_3").as_bytes()).expect("writes");
    reaches(&daemon, 3.0);
    // Copied and emptied, at once after a line.
    append(&log, &line("key_4"));
    fs::copy(&log, rotated("2")).expect("copies");
    File::create(&log).expect("empties");
    append(&log, &line("key_5"));
    reaches(&daemon, 5.0);
    // Packed.
    let mut packed = flate2::write::GzEncoder::new(
        File::create(folder.path().join("part")).expect("creates"),
        flate2::Compression::fast(),
    );
    packed.write_all(&fs::read(rotated("1")).expect("reads")).expect("packs");
    packed.finish().expect("packs");
    fs::rename(folder.path().join("part"), rotated("1.gz")).expect("renames");
    fs::remove_file(rotated("1")).expect("removes");
    append(&log, &line("key_6"));
    reaches(&daemon, 6.0);
    pause(Duration::from_secs(1));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    let expected: BTreeMap<_, _> = (1..=6).map(|key| (format!("key_{key}"), 1)).collect();
    assert_eq!(taken(&data), expected);
}

#[test]
fn a_rotation_while_the_daemon_is_away_is_read_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let config = config(&log.display().to_string(), "start = \"latest\"\n");
    append(&log, &line("key_before"));
    let daemon = Daemon::start(&folder, &config);
    until("the file is followed", PATIENCE, || {
        (daemon.metric("tripline_source_files{source=\"web\"}") > 0.5).then_some(())
    });
    append(&log, &line("key_1"));
    reaches(&daemon, 1.0);
    daemon.kill();
    append(&log, &line("key_2"));
    fs::rename(&log, folder.path().join("access.log.1")).expect("renames");
    append(&log, &line("key_3"));
    let daemon = Daemon::start(&folder, &config);
    reaches(&daemon, 2.0);
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    let expected: BTreeMap<_, _> = (1..=3).map(|key| (format!("key_{key}"), 1)).collect();
    assert_eq!(taken(&data), expected, "what was there before the first start is left out");
}

/// A server that writes a numbered line every millisecond or so, and rotates its log by name again and again.
fn writes_and_rotates(folder: &Path, rotations: u32, stop: &AtomicBool) -> u32 {
    let log = folder.join("access.log");
    let (mut number, mut rotated) = (0, 0);
    while rotated < rotations || !stop.load(Ordering::Relaxed) {
        let mut file = OpenOptions::new().create(true).append(true).open(&log).expect("opens");
        for _ in 0..100 {
            file.write_all(line(&format!("key_{number}")).as_bytes()).expect("writes");
            number += 1;
            pause(Duration::from_micros(500));
        }
        rotated += 1;
        for old in (1..5).rev() {
            let name = |number: u32| folder.join(format!("access.log.{number}"));
            let _none = fs::rename(name(old), name(old + 1));
        }
        fs::rename(&log, folder.join("access.log.1")).expect("renames");
        file.write_all(line(&format!("key_{number}")).as_bytes()).expect("writes");
        number += 1;
        pause(Duration::from_millis(150));
    }
    number
}

#[test]
fn fifty_rotations_and_fifty_kills_lose_and_double_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).expect("creates");
    let config = config(&format!("{}/access.log*", logs.display()), "");
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (logs, stop) = (logs, Arc::clone(&stop));
        std::thread::spawn(move || writes_and_rotates(&logs, 50, &stop))
    };
    let mut random = Random::of(7, &[]);
    for _ in 0..50 {
        let daemon = Daemon::start(&folder, &config);
        pause(Duration::from_millis(20 + u64::from(random.below(300))));
        daemon.kill();
    }
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().expect("it ends");
    let daemon = Daemon::start(&folder, &config);
    let unread = "tripline_source_unread_bytes{source=\"web\"}";
    until("all is read", PATIENCE, || {
        let files = daemon.metric("tripline_source_files{source=\"web\"}");
        (files > 0.5 && daemon.metric(unread) < 0.5).then_some(())
    });
    pause(Duration::from_secs(1));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    let taken = taken(&data);
    let doubled: Vec<_> = taken.iter().filter(|(_, count)| **count != 1).collect();
    assert_eq!(doubled, [], "doubled");
    let lost: Vec<_> =
        (0..written).filter(|number| !taken.contains_key(&format!("key_{number}"))).collect();
    assert_eq!(lost, [0; 0], "lost of {written}");
}

#[test]
fn what_is_no_log_is_said_and_the_other_files_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder.log")).expect("creates");
    let made = std::process::Command::new("mkfifo").arg(at("pipe.log")).status();
    assert!(made.expect("mkfifo runs").success());
    std::os::unix::fs::symlink(at("nowhere"), at("broken.log")).expect("links");
    append(&at("short.log.gz.log"), "\u{1f}");
    fs::write(at("damaged.log"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]).expect("writes");
    append(&at("good.log"), &line("key_1"));
    let pattern = format!("{}/*.log", folder.path().display());
    let daemon = Daemon::start(&folder, &config(&pattern, ""));
    reaches(&daemon, 1.0);
    until("the faults are in the log", PATIENCE, || {
        let log = daemon.log();
        let said = |name: &str| {
            log.lines().any(|line| line.contains(name) && line.contains("can't read a file"))
        };
        (said("folder.log") && said("pipe.log") && said("damaged.log")).then_some(())
    });
    until("health names the source", PATIENCE, || {
        let status = daemon.get("/v1/status");
        let issues = status["issues"].as_array()?.clone();
        issues
            .into_iter()
            .find(|issue| issue["source"] == "web" && issue["found"] == "can't be read")
    });
    append(&at("good.log"), &line("key_2"));
    reaches(&daemon, 2.0);
}

#[test]
fn a_line_without_an_end_is_refused_once_and_what_follows_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let daemon = Daemon::start(&folder, &config(&log.display().to_string(), ""));
    append(&log, &line("key_1"));
    let mut file = OpenOptions::new().append(true).open(&log).expect("opens");
    for _ in 0..8 {
        file.write_all(&vec![b'x'; 1 << 20]).expect("writes");
        pause(Duration::from_millis(100));
    }
    append(&log, &format!("\n{}", line("key_2")));
    reaches(&daemon, 2.0);
    let refused = "tripline_records_refused_total{reason=\"too_large\",source=\"web\"}";
    assert!((daemon.metric(refused) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_copy_that_is_there_before_the_log_is_emptied_is_not_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let daemon = Daemon::start(&folder, &config(&format!("{}*", log.display()), ""));
    (0..1_000).for_each(|number| append(&log, &line(&format!("key_{number}"))));
    reaches(&daemon, 1_000.0);
    fs::copy(&log, folder.path().join("access.log.1")).expect("copies");
    pause(Duration::from_secs(2));
    append(&log, &line("key_late"));
    File::create(&log).expect("empties");
    append(&log, &line("key_new"));
    reaches(&daemon, 1_001.0);
    pause(Duration::from_secs(2));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    let taken = taken(&data);
    assert!(taken.values().all(|count| *count == 1), "{taken:?}");
    assert!(taken.contains_key("key_new") && taken.len() >= 1_001);
}

#[test]
fn a_file_that_is_packed_slowly_is_read_once_it_is_whole_and_holds_no_other_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, other) = (folder.path().join("access.log"), folder.path().join("access-2.log"));
    let config = config(&format!("{}/access*", folder.path().display()), "");
    let text: String = (0..20_000).map(|number| line(&format!("key_{number}"))).collect();
    let half = line("key_00000").len() * 10_000;
    append(&log, &text[..half]);
    let daemon = Daemon::start(&folder, &config);
    reaches(&daemon, 9_000.0);
    daemon.kill();
    append(&log, &text[half..]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&fs::read(&log).expect("reads")).expect("packs");
    let packed = packed.finish().expect("packs");
    fs::remove_file(&log).expect("removes");
    let (begin, end) = packed.split_at(packed.len() / 3);
    fs::write(folder.path().join("access.log.gz"), begin).expect("writes");
    let daemon = Daemon::start(&folder, &config);
    until("the half is found to be one", PATIENCE, || {
        (daemon.metric("tripline_source_read_errors_total{source=\"web\"}") > 0.5).then_some(())
    });
    append(&other, &line("key_other"));
    until("another file is read", PATIENCE, || {
        (daemon.send("GET", "/v1/credentials/key_other", &[], "").0 == 200).then_some(())
    });
    let mut file = OpenOptions::new().append(true).open(folder.path().join("access.log.gz"));
    file.as_mut().expect("opens").write_all(end).expect("writes");
    until("the last line is read", PATIENCE, || {
        (daemon.send("GET", "/v1/credentials/key_19999", &[], "").0 == 200).then_some(())
    });
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0), "it ends when it is told to");
    let taken = taken(&data);
    assert!(taken.values().all(|count| *count == 1));
    assert_eq!(taken.len(), 20_001);
}

#[test]
fn latest_holds_for_files_that_were_never_read_when_the_daemon_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (idle, busy) = (folder.path().join("idle.log"), folder.path().join("busy.log"));
    let config = config(&format!("{}/*.log", folder.path().display()), "start = \"latest\"\n");
    append(&idle, &line("key_old").repeat(100));
    append(&busy, &line("key_old"));
    // The end of a line that began before is none.
    append(&busy, &line("key_cut")[..30]);
    let daemon = Daemon::start(&folder, &config);
    until("both are followed", PATIENCE, || {
        (daemon.metric("tripline_source_files{source=\"web\"}") > 1.5).then_some(())
    });
    append(&busy, &line("key_cut")[30..]);
    append(&busy, &line("key_1"));
    reaches(&daemon, 1.0);
    daemon.kill();
    append(&idle, &line("key_2"));
    let daemon = Daemon::start(&folder, &config);
    reaches(&daemon, 1.0);
    pause(Duration::from_secs(1));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    let expected: BTreeMap<_, _> = (1..=2).map(|key| (format!("key_{key}"), 1)).collect();
    assert_eq!(taken(&data), expected);
}

#[test]
fn files_that_begin_alike_are_both_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, &config(&format!("{}/*.log", folder.path().display()), ""));
    let banner = format!("# {}\n", "a line that each of the files begins with ".repeat(40));
    for (name, lines) in [("a.log", 20), ("b.log", 30), ("c.log", 25)] {
        let keys = (0..lines).map(|number| line(&format!("key_{name}_{number}")));
        append(&folder.path().join(name), &(banner.clone() + &keys.collect::<String>()));
    }
    reaches(&daemon, 75.0);
}

#[test]
fn a_copy_beside_the_log_is_read_once_and_hides_the_log_from_no_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let config = config(&format!("{}*", log.display()), "");
    (0..30).for_each(|number| append(&log, &line(&format!("key_{number}"))));
    fs::copy(&log, folder.path().join("access.log.bak")).expect("copies");
    (30..50).for_each(|number| append(&log, &line(&format!("key_{number}"))));
    let daemon = Daemon::start(&folder, &config);
    reaches(&daemon, 50.0);
    daemon.kill();
    let daemon = Daemon::start(&folder, &config);
    (50..60).for_each(|number| append(&log, &line(&format!("key_{number}"))));
    reaches(&daemon, 10.0);
    pause(Duration::from_secs(1));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    let taken = taken(&data);
    assert!(taken.len() == 60 && taken.values().all(|count| *count == 1), "{taken:?}");
}

#[test]
fn a_chunk_that_was_cut_off_by_a_kill_counts_once_though_its_log_was_copied_and_emptied_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let config = config(&format!("{}*", log.display()), "");
    let daemon = Daemon::start(&folder, &config);
    (0..30).for_each(|number| append(&log, &line(&format!("key_{number}"))));
    reaches(&daemon, 30.0);
    let data = daemon.data();
    daemon.kill();
    // As it is where the kill comes just before the last line is written.
    let positions = data.join("tail/positions.ndjson");
    let text = fs::read_to_string(&positions).expect("positions");
    let lines: Vec<&str> = text.lines().collect();
    let (_, before) = lines.split_last().expect("lines");
    assert!(before.last().expect("an intent").contains("\"to\":"), "{text}");
    fs::write(&positions, before.join("\n") + "\n").expect("writes");
    fs::copy(&log, folder.path().join("access.log.1")).expect("copies");
    File::create(&log).expect("empties");
    append(&log, &line("key_new"));
    let daemon = Daemon::start(&folder, &config);
    until("the new line is read", PATIENCE, || {
        (daemon.send("GET", "/v1/credentials/key_new", &[], "").0 == 200).then_some(())
    });
    pause(Duration::from_secs(2));
    assert_eq!(daemon.terminate(), Some(0));
    let taken = taken(&data);
    assert!(taken.len() == 31 && taken.values().all(|count| *count == 1), "{taken:?}");
}

#[test]
fn a_log_that_is_copied_and_emptied_while_much_of_it_is_unread_is_read_on_from_its_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let text: String =
        (0..200_000).map(|number| line(&format!("key_{}", number % 1_000))).collect();
    append(&log, &text);
    let daemon = Daemon::start(&folder, &config(&format!("{}*", log.display()), ""));
    reaches(&daemon, 20_000.0);
    fs::copy(&log, folder.path().join("access.log.1")).expect("copies");
    File::create(&log).expect("empties");
    append(&log, &line("key_new"));
    reaches(&daemon, 200_001.0);
    pause(Duration::from_secs(2));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(taken(&data).values().sum::<u32>(), 200_001);
}
