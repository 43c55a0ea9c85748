//! The quick start of the README does what it says, as it is written, and so do the examples of proof.

use crate::support::daemon::BINARY;
use crate::support::free_port;
use std::path::Path;
use std::process::Command;

/// The block in that language that follows that text.
fn block(page: &str, after: &str, language: &str) -> String {
    let (_, rest) = page.split_once(after).unwrap_or_else(|| panic!("the page says `{after}`"));
    let (_, rest) = rest.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("an end").0.to_owned()
}

#[test]
fn the_quick_start_does_what_it_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("a README");
    let port = free_port().to_string();
    // What is built already, and a port of this test's own.
    let script = block(&readme, "Then for yourself:", "sh")
        .replace("cargo build --release\n", "")
        .replace("target/release/tripline", BINARY)
        .replace("7878", &port);
    assert!(script.contains("credentials revoke") && script.contains("run &"), "{script}");
    let folder = tempfile::tempdir().expect("a folder");
    let done = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-m", "-c", &format!("{script}wait\n")])
        .env("TRIPLINE_HTTP__LISTEN", format!("127.0.0.1:{port}"))
        .current_dir(folder.path())
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let aside = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{aside}");
    assert!(said.contains("\"accepted\":1"), "{said}");
    assert!(said.contains("key_1"), "{said}");
    assert!(said.contains("403 Forbidden"), "{said}");
    assert!(aside.contains("stopped"), "the daemon ends in order: {aside}");
}

#[test]
fn the_demo_tells_its_story_and_ends_by_itself() {
    let done = Command::new(BINARY).arg("demo").output().expect("runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}");
    for part in [
        "in the browser:",
        "in a terminal:",
        "revoked",
        "accepted again",
        "finding by leak",
        "the grant is ended",
        "Success",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
}

#[test]
fn the_examples_of_proof_lead_to_their_findings() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/proof.md");
    let page = std::fs::read_to_string(page).expect("a page");
    let folder = tempfile::tempdir().expect("a folder");
    for (section, expected, said) in [
        ("## An expired token", vec!["jti_1 validity alert"], "900 s after its end"),
        ("## A key from a denied address", vec!["key_1 validity alert"], "the gateway refused it"),
        (
            "## A refresh token",
            vec!["r1 reuse revoke", "r2 reuse revoke"],
            "a used-up refresh token came back",
        ),
        (
            "## A session",
            vec!["s1 session revoke"],
            "in DE and BR by turns (2 returns), by another",
        ),
    ] {
        let file = folder.path().join("events.ndjson");
        std::fs::write(&file, block(&page, section, "json")).expect("writes");
        let done = Command::new(BINARY).args(["replay", "--findings", "-"]).arg(&file).output();
        let written = String::from_utf8(done.expect("runs").stdout).expect("text");
        assert!(written.contains(said), "{section}: {written}");
        let lines = written.lines().filter(|line| line.starts_with('{'));
        let findings = lines.map(|line| serde_json::from_str(line).expect("JSON"));
        let mut found: Vec<String> = findings
            .filter(|one: &serde_json::Value| one["action"] != "observe")
            .map(|one| {
                let text = |field: &str| one[field].as_str().expect("a text").to_owned();
                [text("credential"), text("detector"), text("action")].join(" ")
            })
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{section}: {written}");
    }
}
