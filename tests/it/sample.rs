//! `check --sample` and the end of `replay`: input that is not understood is loud.

use crate::support::daemon::BINARY;
use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(BINARY).args(arguments).output().expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn records(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats");
    folder.join(name).with_extension("ndjson").display().to_string()
}

#[test]
fn a_sample_shows_records_field_by_field_and_what_would_follow() {
    let (code, shown, _) = run(&["check", "--sample", &records("caddy"), "--format", "caddy"]);
    assert_eq!(code, Some(0), "{shown}");
    for part in [
        "as records of the source default (caddy)",
        "accepted, counts as a use",
        "user_agent curl/8.5",
        "a secret was replaced by its fingerprint",
        "2: refused, no_credential",
        "1 records read, 3 refused",
        "1 of 1 count as uses",
    ] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    assert!(!shown.contains("secret-key"), "{shown}");
    let never = ["--format", "caddy", "--verified", "never"];
    let (_, shown, _) =
        run(&[["check", "--sample", &records("caddy")].as_slice(), &never].concat());
    assert!(shown.contains("at most alerts"), "{shown}");
}

#[test]
fn a_sample_in_another_format_fails_and_names_it() {
    for name in ["caddy", "traefik", "kong", "nginx", "okta"] {
        let (code, shown, _) = run(&["check", "--sample", &records(name)]);
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains(&format!("--format {name},")), "{name}: {shown}");
        let (code, _, said) = run(&["replay", &records(name)]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("--format {name}")), "{name}: {said}");
        assert!(said.contains("the first is") && said.contains("records were refused"), "{said}");
    }
}

#[test]
fn a_sample_is_read_as_the_source_that_follows_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("edge.log");
    std::fs::copy(records("traefik"), &log).expect("copies");
    let config = folder.path().join("tripline.toml");
    let text = format!(
        "[sources.other]\ntype = \"file\"\npaths = [\"/nowhere/a.log\"]\n[sources.edge]\ntype = \"file\"\n\
         paths = [\"{}/edge*\"]\nformat = \"traefik\"\n",
        folder.path().display()
    );
    std::fs::write(&config, text).expect("writes");
    let (config, log) = (config.display().to_string(), log.display().to_string());
    let (code, shown, _) = run(&["check", &config, "--sample", &log]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("as records of the source edge (traefik)"), "{shown}");
    let (code, _, said) = run(&["check", &config, "--sample", &log, "--source", "nothing"]);
    assert_eq!(code, Some(64));
    assert!(said.contains("there is no source `nothing`; there is default, edge, other"), "{said}");
}

#[test]
fn a_replay_names_what_was_found_and_how_much_history_there_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = folder.path().join("events.ndjson");
    let line = |second: i64| {
        format!(
            "{{\"time\":{},\"credential\":\"key_1\",\"status\":200}}\n",
            1_795_460_040_000 + second * 100
        )
    };
    std::fs::write(&events, (0..600).map(line).collect::<String>()).expect("writes");
    let mut command = Command::new(BINARY);
    command.env("TRIPLINE_LIMITS__DEFAULT", "60/min").arg("replay").arg(&events);
    let done = command.output().expect("runs");
    let said = String::from_utf8(done.stderr).expect("text");
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("api_key:key_1 by limit at 2026-11-23T18:54:"), "{said}");
    assert!(said.contains("history") && said.contains("a week at least"), "{said}");
}
