//! The quick start of the README does what it says, as it is written.

use crate::support::daemon::BINARY;
use crate::support::free_port;
use std::path::Path;
use std::process::Command;

/// The block of commands that follows that text.
fn block(readme: &str, after: &str) -> String {
    let (_, rest) = readme.split_once(after).unwrap_or_else(|| panic!("the README says `{after}`"));
    let (_, rest) = rest.split_once("```sh\n").expect("commands");
    rest.split_once("```").expect("an end").0.to_owned()
}

#[test]
fn the_quick_start_does_what_it_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("a README");
    let port = free_port().to_string();
    // What is built already, and a port of this test's own.
    let script = block(&readme, "Then for yourself:")
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
