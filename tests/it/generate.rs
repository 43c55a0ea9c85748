//! What goes with tripline comes out of the binary as it lies in the repository.

use crate::support::daemon::BINARY;
use crate::support::skipped;
use std::path::Path;
use std::process::{Command, Output};

fn generate(arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("generate").args(arguments).output().expect("runs")
}

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is there", path.display()))
}

/// The file that was written to `folder` is that of the repository.
fn assert_same(folder: &Path, written: &str, of_repository: &str) {
    let written = std::fs::read_to_string(folder.join(written)).expect("was written");
    assert!(written == repository(of_repository), "{of_repository} is another");
}

#[test]
fn the_reference_is_that_of_this_binary() {
    let folder = tempfile::tempdir().expect("a folder");
    let done = generate(&["reference", &folder.path().display().to_string()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for name in ["metrics.md", "command-line.md", "openapi.json"] {
        let written = std::fs::read_to_string(folder.path().join(name)).expect("was written");
        let is_same = written == repository(&format!("docs/reference/{name}"));
        assert!(
            is_same,
            "docs/reference/{name} is old: tripline generate reference docs/reference"
        );
    }
}

#[test]
fn boards_rules_and_units_are_written_and_nothing_of_others_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    for what in ["grafana", "alerts", "systemd", "k8s"] {
        let done = generate(&[what, &path]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(generate(&[what, &path]).status.success(), "the same again changes nothing");
    }
    for (written, of_repository) in [
        ("overview.json", "dashboards/overview.json"),
        ("provisioning/dashboards.yml", "dashboards/provisioning/dashboards.yml"),
        ("alerts.yml", "dashboards/rules/alerts.yml"),
        ("tripline.service", "config/systemd/tripline.service"),
        ("config/k8s/base/statefulset.yaml", "config/k8s/base/statefulset.yaml"),
        ("dashboards/operations.json", "dashboards/operations.json"),
    ] {
        assert_same(folder.path(), written, of_repository);
    }
    std::fs::write(folder.path().join("alerts.yml"), "groups: []\n").expect("writes");
    let done = generate(&["alerts", &path]);
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && told.contains("holds something else"), "{told}");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("alerts.yml")).expect("reads"),
        "groups: []\n"
    );
    let config = generate(&["config"]).stdout;
    assert_eq!(String::from_utf8_lossy(&config), repository("config/tripline.toml"));
}

#[test]
fn every_file_of_kubernetes_goes_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let done = generate(&["k8s", &folder.path().display().to_string()]);
    assert!(done.status.success());
    for part in ["base", "kafka", "monitoring"] {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/k8s").join(part);
        for entry in std::fs::read_dir(base).expect("a folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("text");
            let path = format!("config/k8s/{part}/{name}");
            assert_same(folder.path(), &path, &path);
        }
    }
}

#[test]
fn the_unit_of_systemd_is_shut_in() {
    if skipped("systemd") {
        return;
    }
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/systemd/tripline.service");
    let mut analyze = Command::new("systemd-analyze");
    let done = analyze.args(["security", "--offline=true", "--threshold=15"]).arg(unit).output();
    let done = done.expect("systemd-analyze runs");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "its exposure is above 1.5: {told}");
}
