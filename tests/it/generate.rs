//! What goes with tripline comes out of the binary as it lies in the repository.

use crate::support::daemon::BINARY;
use crate::support::skipped;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
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
    for name in [
        "settings.md",
        "settings.schema.json",
        "event.schema.json",
        "metrics.md",
        "command-line.md",
        "openapi.json",
    ] {
        let written = std::fs::read_to_string(folder.path().join(name)).expect("was written");
        let is_same = written == repository(&format!("docs/reference/{name}"));
        assert!(
            is_same,
            "docs/reference/{name} is old: tripline generate reference docs/reference"
        );
    }
}

#[test]
fn the_fields_of_an_event_are_on_their_page_as_they_are_in_the_code() {
    let page = repository("docs/events.md");
    let table = tripline::formats::events::schema::table();
    assert!(page.contains(&table), "docs/events.md is to hold:\n{table}");
    let done = generate(&["schema", "event"]);
    let schema: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    for line in page.lines().filter(|line| line.starts_with(r#"{"time":"#)) {
        let example: Value = serde_json::from_str(line).expect("JSON");
        for (name, value) in example.as_object().expect("an object") {
            let kind = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::String(_) => "string",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::Array(_) | Value::Object(_) => "nested",
            };
            let types = &schema["properties"][name]["type"];
            let fits = |one: &Value| *one == kind || (kind == "integer" && *one == "number");
            let fits = types.as_array().map_or(fits(types), |types| types.iter().any(fits));
            assert!(fits, "{name} of the example: {kind} is none of {types}");
        }
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
    assert!(done.status.code() == Some(1) && told.contains("exists with other content"), "{told}");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("alerts.yml")).expect("reads"),
        "groups: []\n"
    );
    let config = generate(&["config"]).stdout;
    assert_eq!(String::from_utf8_lossy(&config), repository("config/tripline.toml"));
}

/// The files below a folder, by their paths within it.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = Path::new(path.file_name().expect("a name")).to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|below| name.join(below)));
        } else {
            found.insert(name);
        }
    }
    found
}

/// What comes out is all that lies in the repository, and no more: the binary has a list of its own, from
/// which a file could be missing.
#[test]
fn everything_that_lies_in_the_repository_goes_with_it() {
    let lies = |path: &str| files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let below = |base: &str, found: BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
        found.into_iter().map(|path| Path::new(base).join(path)).collect()
    };
    let mut boards = lies("dashboards");
    boards.retain(|path| !path.starts_with("rules"));
    let mut rules = lies("dashboards/rules");
    rules.retain(|path| !path.starts_with("tests"));
    let of_boards = boards.iter().filter(|path| path.extension().is_some_and(|it| it == "json"));
    let of_boards = below("dashboards", of_boards.cloned().collect());
    let k8s = &below("config/k8s", lies("config/k8s")) | &of_boards;
    for (what, base, expected) in [
        ("grafana", "dashboards", boards),
        ("alerts", "dashboards/rules", rules),
        ("systemd", "config/systemd", lies("config/systemd")),
        ("k8s", "", k8s),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let done = generate(&[what, &folder.path().display().to_string()]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(files(folder.path()), expected, "{what}");
        for path in &expected {
            let of_repository = Path::new(base).join(path).display().to_string();
            assert_same(folder.path(), &path.display().to_string(), &of_repository);
        }
    }
}

/// `kubectl` finds each file that a kustomization names among those that were written.
#[test]
fn each_kustomization_names_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(generate(&["k8s", &folder.path().display().to_string()]).status.success());
    let mut named = 0;
    for part in ["base", "kafka", "monitoring"] {
        let at = folder.path().join("config/k8s").join(part);
        let text = std::fs::read_to_string(at.join("kustomization.yaml")).expect("it is there");
        let made: Value = serde_saphyr::from_str(&text).expect("YAML");
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let resources = list(&made["resources"]);
        let patches = list(&made["patches"]).into_iter().map(|patch| patch["path"].clone());
        let files = list(&made["configMapGenerator"]);
        let files = files.iter().flat_map(|one| list(&one["files"]));
        for name in resources.into_iter().chain(patches).chain(files) {
            let name = name.as_str().expect("a path");
            // `name=path`
            let path = at.join(name.rsplit('=').next().unwrap_or(name));
            let is_there = path.is_file() || path.join("kustomization.yaml").is_file();
            assert!(is_there, "{part} names {name}");
            named += 1;
        }
    }
    assert!(named >= 14, "{named}");
}

/// Builds a part of the manifests, as `kubectl apply -k` does.
fn kustomized(part: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut kustomize = Command::new(root.join("target/tools/kustomize"));
    // The boards lie outside the folder of monitoring.
    kustomize.args(["build", "--load-restrictor", "LoadRestrictionsNone"]);
    let built = kustomize.arg(root.join("config/k8s").join(part)).output().expect("it runs");
    assert!(built.status.success(), "{part}: {}", String::from_utf8_lossy(&built.stderr));
    String::from_utf8(built.stdout).expect("UTF-8")
}

/// Decodes manifests into the types of Kubernetes, which `kubernetes/main.go` has; gives their kinds and
/// names if they fit, otherwise what is wrong.
fn decoded(manifests: &str) -> (bool, String) {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kubernetes-types");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), manifests).expect("writes");
    let input = std::fs::File::open(file.path()).expect("opens");
    let done = Command::new(tool).stdin(input).output().expect("./test installs it");
    let fits = done.status.success();
    let told = if fits { done.stdout } else { done.stderr };
    (fits, String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn manifests_fit_the_types_of_kubernetes_and_a_wrong_field_is_found() {
    if skipped("kustomize") || skipped("kubernetes") {
        return;
    }
    for (part, kinds, wrong) in [
        ("base", "apps/v1/StatefulSet", ["fsGroupChangePolicy", "maxUnavailable", "podSelector"]),
        (
            "kafka",
            "autoscaling/v2/HorizontalPodAutoscaler",
            ["averageValue", "minReadySeconds", "topologySpreadConstraints"],
        ),
        (
            "monitoring",
            "monitoring.coreos.com/v1/PrometheusRule",
            ["scrapeTimeout", "keep_firing_for", "annotations"],
        ),
    ] {
        let built = kustomized(part);
        let (fits, found) = decoded(&built);
        assert!(fits && found.contains(kinds), "{part} has a {kinds}: {found}");
        for field in wrong {
            let broken = built.replacen(&format!("{field}:"), &format!("{field}x:"), 1);
            let (fits, error) = decoded(&broken);
            assert!(!fits && error.contains(&format!("{field}x\"")), "{field}: {error}");
        }
    }
    let kafka = kustomized("kafka");
    assert!(!kafka.contains("replicas:"), "the autoscaler alone says how many: {kafka}");
    let (fits, _) = decoded(&kafka.replacen("maxReplicas: 12", "maxReplicas: many", 1));
    assert!(!fits, "no number");
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
