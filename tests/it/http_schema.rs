//! The description of the API is true: schemathesis makes requests from it, and judges the answers.

use crate::http_events::token_of;
use crate::support::daemon::Daemon;
use crate::support::skipped;
use std::path::Path;
use std::process::Command;

#[test]
fn the_api_answers_as_its_description_says() {
    if skipped("schemathesis") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/tools/schemathesis/bin/st");
    assert!(program.exists(), "./test installs {}", program.display());
    let folder = tempfile::tempdir().expect("a folder");
    let (config, bearer) = token_of(&folder, "all", "operate");
    let daemon = Daemon::start(&folder, &config);
    // A stream does not end. Which names are credentials no pattern says, so valid data may be refused.
    let ran = Command::new(program)
        .args(["run", &format!("{}/openapi.json", daemon.base())])
        .args(["--header", &format!("Authorization: {bearer}")])
        .args(["--exclude-path", "/v1/stream"])
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1"])
        .args(["--generation-database", "none", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", root.join("tests/it/schemathesis/hooks.py"))
        .current_dir(&folder)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{complaints}");
    assert!(said.contains("Tested: 31"), "{said}");
}
