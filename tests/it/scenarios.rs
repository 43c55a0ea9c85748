//! `tripline test`: a user's own scenarios.

use std::path::Path;
use std::process::Command;

fn run(scenario: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    let output = command.arg("test").arg(scenario).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scenario.toml");
    std::fs::write(&path, text).expect("written");
    (folder, path)
}

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios")
}

#[test]
fn every_shipped_scenario_comes_true() {
    let files = std::fs::read_dir(shipped()).expect("a folder");
    let mut count = 0;
    for file in files {
        let path = file.expect("an entry").path();
        let name = path.display();
        let text = std::fs::read_to_string(&path).expect("reads");
        let command = format!(
            "tripline test config/scenarios/{}",
            path.file_name().expect("a name").display()
        );
        assert!(text.contains(&command), "{name} says how it is run");
        let (code, out, err) = run(&path);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{name}: {out}");
        let expected = text.lines().filter(|line| *line == "[[expect]]").count();
        assert_eq!(out.matches("ok      ").count(), expected, "{name}: {out}");
        count += 1;
    }
    assert!(count >= 7, "{count}");
}

/// What a shipped scenario shows, and something else in its place.
const CHANGES: [(&str, &str, &str); 8] = [
    ("leaked_key", "rate = \"6k/min\"", "rate = \"60/min\""),
    ("leak_before_use", "at = \"1h\"", "at = \"30h\""),
    ("leak_before_use", "proof = false", "proof = true"),
    ("expired_token", "expires = \"0s\"", "expires = \"1h\""),
    ("revoked_key_passes", "at = \"1h\"", "at = \"9h\""),
    ("refresh_reuse", "family = \"grant_stolen\"\n", ""),
    ("two_places", "country = \"BR\"", "country = \"DE\""),
    ("canary", "[[canary]]\ncredential = \"key_trap\"", "[[canary]]\ncredential = \"other\""),
];

#[test]
fn a_shipped_scenario_fails_without_what_it_shows() {
    for (name, shown, other) in CHANGES {
        let text = std::fs::read_to_string(shipped().join(format!("{name}.toml"))).expect("reads");
        assert!(text.contains(shown), "{name}: {shown}");
        let (_folder, path) = written(&text.replace(shown, other));
        let (code, out, err) = run(&path);
        assert_eq!(code, Some(1), "{name} without {shown}: {out}{err}");
    }
}

#[test]
fn an_expectation_that_fails_says_what_was_seen() {
    let (_folder, path) = written(
        r#"
        [[use]]
        credential = "session:s1"
        lasts = "2h"
        rate = "30/min"

        [[expect]]
        credential = "session:s1"
        finding = "burst"
        action = "alert"
        "#,
    );
    let (code, out, _) = run(&path);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAILED  session:s1: burst justifies alert"), "{out}");
    assert!(out.contains("seen: nothing was found and nothing decided"), "{out}");
}

#[test]
fn recorded_events_are_played_from_their_own_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut events = String::new();
    for n in 0..12_000 {
        let time = 1_790_000_000_000_i64 + n / 4;
        events.push_str(&format!("{{\"time\":{time},\"credential\":\"k\",\"status\":200}}\n"));
    }
    std::fs::write(folder.path().join("events.ndjson"), events).expect("written");
    let path = folder.path().join("scenario.toml");
    let text = r#"
        events = ["events.ndjson"]
        [[expect]]
        credential = "k"
        finding = "limit"
        within = "10s"
        [[expect]]
        credential = "k"
        decision = "throttle"
        carried_out = false
        held_by = ["mode"]
    "#;
    std::fs::write(&path, text).expect("written");
    let (code, out, err) = run(&path);
    assert_eq!(code, Some(0), "{out}{err}");
}

#[test]
fn a_mistake_is_said_with_its_place_and_a_remedy() {
    for (text, says) in [
        (
            "[[use]]\ncredential = \"k\"\nlasts = \"soon\"\nrate = \"1/s\"\n[[expect]]\ncredential = \"k\"",
            "write 500ms, 60s",
        ),
        (
            "[[use]]\ncredential = \"k\"\nlasts = \"1h\"\nrate = \"1/s\"\nnetworks = 5\n[[expect]]\n\
             credential = \"k\"\nat_most = \"observe\"",
            "counted up from `ip`, which is missing",
        ),
        ("[[expect]]\ncredential = \"k\"\nfinding = \"brust\"", "write one of limit, burst"),
        ("[[expect]]\ncredential = \"k\"\nwho = 1", "unknown field `who`"),
        (
            "[[use]]\ncredential = \"k\"\nlasts = \"1h\"\nrate = \"1/s\"\nissued = \"yesterday\"",
            "with a minus for a time before the start",
        ),
        (
            "[[leak]]\ncredential = \"k\"\nat = \"9000d\"\n[[expect]]\ncredential = \"k\"",
            "10 years",
        ),
        ("[[restore]]\ncredential = \"k\"\n[[expect]]\ncredential = \"k\"", "missing field `at`"),
        ("events = [\"no.ndjson\"]\n[[expect]]\ncredential = \"k\"", "can't read"),
    ] {
        let (_folder, path) = written(text);
        let (code, _, err) = run(&path);
        assert_eq!(code, Some(78), "{err}");
        assert!(err.contains(says), "{err}");
    }
}
