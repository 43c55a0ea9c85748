//! Trials: streams that are made and written, and how they are scored.

use crate::support::daemon::BINARY;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

fn tripline(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments.split_whitespace()).current_dir(folder).env("NO_COLOR", "1");
    let output = command.output().expect("runs");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tripline {arguments}: {problem}");
    output
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("a file")
}

/// Three clients with 6, 12 and 20 requests in each minute of a day.
fn write_minutes(folder: &Path) {
    let mut text = "func,minute_of_day,invocations\n".to_owned();
    for (function, count) in [(1, 6), (2, 12), (3, 20)] {
        for minute in 0..1440 {
            writeln!(text, "{function},{minute},{}", count + minute % 3).expect("writes");
        }
    }
    std::fs::write(folder.join("minutes.csv"), text).expect("writes");
}

#[test]
fn the_seed_alone_decides_what_is_simulated() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_minutes(folder);
    let made = |seed: u32, name: &str| {
        let only = "step_x10_inside,low_and_slow,egress_change";
        tripline(
            folder,
            &format!(
                "simulate --traces minutes.csv --seed {seed} --labelled-ratio 1 --only {only} \
                 --out {name} --labels {name}.labels"
            ),
        );
        (read(folder, name), read(folder, &format!("{name}.labels")))
    };
    let (first, labels) = made(1, "a");
    assert_eq!(made(1, "b"), (first.clone(), labels.clone()));
    assert_ne!(made(2, "c").0, first);
    assert_eq!(labels.lines().count(), 3, "{labels}");
    let times: Vec<String> = first.lines().map(time_of).collect();
    assert!(times.is_sorted(), "events are in order of time");
}

fn time_of(line: &str) -> String {
    let event: Value = serde_json::from_str(line).expect("an event");
    event.get("time").and_then(Value::as_str).expect("a time").to_owned()
}

#[test]
fn a_flood_that_was_simulated_is_found_in_seconds_and_nothing_else_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_minutes(folder);
    let only = "--clients 1 --labelled-ratio 1 --only flood_10k_inside";
    tripline(
        folder,
        &format!("simulate --traces minutes.csv {only} --out s.ndjson.zst --labels l.ndjson"),
    );
    let plain = "backtest s.ndjson.zst --labels l.ndjson --report r.json --plot p.svg";
    let table = String::from_utf8(tripline(folder, plain).stdout).expect("text");
    assert!(table.contains("flood_10k_inside (1)"), "{table}");
    let report: Value = serde_json::from_str(&read(folder, "r.json")).expect("JSON");
    let outcome = &report["outcomes"][0];
    assert_eq!(outcome["name"], "flood_10k_inside");
    // Twelve hours of use are enough to tell people, and not enough to throttle by a rate.
    let alert = &outcome["actions"][1];
    assert_eq!(alert["action"], "alert");
    assert_eq!(alert["within"][1], 1.0, "{alert}");
    assert!(alert["requests_let_through"][0].as_u64() < Some(2000), "{alert}");
    assert_eq!(report["false_alarms"][0]["count"], 0, "{report}");
    assert!(read(folder, "p.svg").starts_with("<svg"));

    // Without labels the same findings are false alarms.
    let without = tripline(folder, "backtest s.ndjson.zst -o json");
    let report: Value = serde_json::from_slice(&without.stdout).expect("JSON");
    assert!(report["false_alarms"][0]["count"].as_u64() > Some(0));
}

#[test]
fn a_backtest_in_memory_does_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_minutes(folder);
    let made = |threads: u32| {
        let arguments = format!(
            "backtest --traces minutes.csv --attacked 1 --threads {threads} --baselines -o json"
        );
        let output = tripline(folder, &arguments).stdout;
        let mut report: Value = serde_json::from_slice(&output).expect("JSON");
        report["events_per_s"] = Value::Null;
        report
    };
    let report = made(1);
    assert_eq!(made(3), report);
    assert_eq!(report["credentials"], 3);
    let outcomes = report["outcomes"].as_array().expect("outcomes");
    for control in outcomes.iter().filter(|outcome| outcome["class"] == "control") {
        for graver in [3, 4] {
            assert_eq!(control["actions"][graver]["by_end"], 0.0, "{control}");
        }
    }
    for kind in report["simple_rules"].as_array().expect("kinds of client") {
        let rules = kind["rules"].as_array().expect("rules");
        assert_eq!((&rules[0]["rule"], rules.len()), (&"tripline".into(), 10));
        let alarms = |rule: &Value| rule["false_alarms"].as_u64().expect("a count");
        assert!(rules.iter().all(|rule| alarms(rule) <= alarms(&rules[0])), "{kind}");
    }
}

#[test]
fn what_is_simulated_has_the_counts_of_the_trace_and_the_variation_of_its_gaps() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let rows = [(0, 2.0, "Gamma,0.25"), (600, 0.0, ",0"), (1200, 4.0, "Weibull,0.6")];
    let mut text = String::new();
    for (start, rate, gaps) in rows {
        writeln!(text, "{start},{rate},1,{gaps},1").expect("writes");
    }
    std::fs::write(folder.join("chunk-1-trace.csv"), text).expect("writes");
    tripline(folder, "simulate --traces chunk-1-trace.csv --labelled-ratio 0 --out s.ndjson");
    let times: Vec<f64> = read(folder, "s.ndjson").lines().map(seconds_of).collect();
    let counts = [0.0, 600.0, 1200.0]
        .map(|start| times.iter().filter(|time| (start..start + 600.0).contains(*time)).count());
    assert_eq!(counts, [1200, 0, 2400]);
    // Gamma of shape 1/4 has a variation of 2; Weibull of shape 0.6 one of 1.76.
    for (from, to, expected) in [(0, 1200, 2.0), (1200, 3600, 1.76)] {
        let gaps: Vec<f64> = times[from..to].windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let squares = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
        let variation = (squares / gaps.len() as f64).sqrt() / mean;
        assert!((variation / expected - 1.0).abs() < 0.15, "{variation} instead of {expected}");
    }
}

/// Seconds since the hour in which traces begin, which is midnight.
fn seconds_of(line: &str) -> f64 {
    let time = time_of(line);
    let part = |from: usize, to: usize| time[from..to].parse::<f64>().expect("digits");
    part(11, 13) * 3600.0 + part(14, 16) * 60.0 + part(17, 23)
}

#[test]
fn an_attacker_who_knows_the_rules_needs_14_days_and_each_way_alerts() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = tripline(folder.path(), "backtest --adversary -o json");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rates = report["rates"].as_array().expect("campaigns");
    assert!(rates.len() > 10);
    for course in rates {
        assert!(course["alerts"].as_u64() >= Some(1), "{course}");
        let is_through = course["throttled_per_min"].is_null();
        assert!(!is_through || course["days"].as_f64() >= Some(14.0), "{course}");
    }
    assert!(rates.iter().any(|course| course["throttled_per_min"].is_null()), "patience pays");

    // A network that was shown ahead is no less a thief's, and alerts each time.
    let sources = report["sources"].as_array().expect("sources");
    for one in sources.iter().filter(|one| one["other_agent"] == true) {
        assert_eq!(one["justified"], "revoke", "{one}");
        assert!(one["alerts"].as_u64() > one["days_seen"].as_u64(), "{one}");
    }
    let owners_agent = sources.iter().filter(|one| one["other_agent"] == false);
    for one in owners_agent.filter(|one| one["days_seen"].as_u64() <= Some(1)) {
        assert_eq!(one["justified"], "suspend", "{one}");
    }
}
