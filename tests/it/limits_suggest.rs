//! `tripline limits suggest`, as operators use it: from a history of events to a configuration.

use crate::support::daemon::BINARY;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

fn tripline(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments.split_whitespace()).current_dir(folder).env("NO_COLOR", "1");
    command.output().expect("runs")
}

/// A minute of 200 requests after a day with four a minute, of a credential whose name needs care in
/// TOML; and another one with two a minute.
fn write_history(folder: &Path) {
    let mut text = String::new();
    let mut write = |minute: u32, second: u32, ms: u32, credential: &str| {
        let time =
            format!("2026-03-0{}T{:02}:{:02}", 2 + minute / 1440, minute / 60 % 24, minute % 60);
        writeln!(
            text,
            r#"{{"time":"{time}:{second:02}.{ms:03}Z","credential":"{credential}","outcome":"accepted","tenant":"a.b \"c\""}}"#
        )
        .expect("writes");
    };
    for minute in 0..1440 {
        for second in [0, 10, 20, 30, 40, 50] {
            if second % 20 == 0 {
                write(minute, second, 0, r#"key \"one\""#);
            }
            if second % 30 == 0 {
                write(minute, second, 1, "key_two");
            }
        }
    }
    for n in 0..200 {
        write(1440, n * 3 / 10, n % 10, r#"key \"one\""#);
    }
    std::fs::write(folder.join("events.ndjson"), text).expect("writes");
}

#[test]
fn suggested_limits_come_with_their_false_alarms_and_are_a_valid_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_history(folder);
    let report = tripline(folder, "limits suggest events.ndjson -o json");
    assert_eq!(report.status.code(), Some(0));
    let said = String::from_utf8_lossy(&report.stderr).into_owned();
    assert!(said.contains("take a week at least"), "{said}");
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    assert_eq!((&report["events"], &report["credentials"]), (&7_400.into(), &2.into()));
    let limit = &report["limits"][0];
    assert_eq!((&limit["scope"], &limit["name"]), (&"kind".into(), &"api_key".into()));
    // Of 1,441 minutes 1,440 had three requests: the busiest is above 99.9 % of them, and breaks it.
    assert_eq!((&limit["limit_per_min"], &limit["broken"]), (&60.into(), &1.into()), "{report}");
    let toml = tripline(folder, "limits suggest events.ndjson -o toml").stdout;
    std::fs::write(folder.join("tripline.toml"), &toml).expect("writes");
    let check = tripline(folder, "check tripline.toml");
    let toml = String::from_utf8_lossy(&toml).into_owned();
    assert_eq!(check.status.code(), Some(0), "{toml}\n{}", String::from_utf8_lossy(&check.stderr));
    let settings = tripline::config::loader::check("config", &toml, [].into()).expect("right");
    assert_eq!(settings.partition.profile.limits.by_kind[0].per_min(), 60);
    let table = tripline(folder, "limits suggest events.ndjson --headroom 100").stdout;
    let table = String::from_utf8_lossy(&table).into_owned();
    let row = table.lines().find(|line| line.starts_with("kind")).expect("a row");
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(row[..2], ["kind", "api_key"], "{table}");
    assert_eq!(row[6..8], ["0", "0"], "a hundred times the level was never reached: {table}");
}

#[test]
fn what_can_not_be_read_twice_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = tripline(folder.path(), "limits suggest -");
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("read twice"));
}
