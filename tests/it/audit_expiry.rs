//! `tripline audit expiry`, as operators and their CI use it: from files of events to an exit code.

use crate::support::daemon::{BINARY, Daemon, now_ms};
use crate::support::until;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["audit", "expiry"]).args(arguments.split_whitespace());
    command.current_dir(folder).env("NO_COLOR", "1");
    command
}

fn audit(folder: &Path, arguments: &str) -> Output {
    command(folder, arguments).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn report(folder: &Path, arguments: &str) -> (Option<i32>, Value) {
    let done = audit(folder, &format!("{arguments} -o json"));
    let told = text(&done.stdout);
    (done.status.code(), serde_json::from_str(&told).unwrap_or_else(|_| panic!("JSON: {told}")))
}

/// A time on the day of the files.
fn at(minute: u32, second: u32) -> String {
    format!("2026-03-02T{:02}:{:02}:{second:02}Z", 8 + minute / 60, minute % 60)
}

/// A use of a JWT of an hour from 08:00 on.
fn jwt(credential: &str, time: &str) -> Value {
    json!({
        "time": time, "credential": credential, "kind": "jwt", "outcome": "accepted",
        "issued": at(0, 0), "expires": at(60, 0), "issuer": "https://id.example", "gateway": "edge",
    })
}

fn write(folder: &Path, name: &str, events: &[Value]) {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    std::fs::write(folder.join(name), lines.join("\n") + "\n").expect("writes");
}

/// Five tokens within their life, and a session without end.
fn clean() -> Vec<Value> {
    let names = ["a", "b", "c", "d", "e"].iter().cycle();
    let mut events: Vec<Value> = names.zip(0..50).map(|(name, n)| jwt(name, &at(n, 0))).collect();
    events.push(jwt("a", &at(60, 59)));
    events.push(json!({
        "time": at(30, 0), "credential": "s1", "kind": "session", "outcome": "accepted", "gateway": "web",
    }));
    events
}

/// Sixty uses of a token after its expiry, a minute apart: those of the first minute are within skew.
fn late() -> Vec<Value> {
    (1..=61).map(|minute| jwt("late", &at(60 + minute, 0))).collect()
}

#[test]
fn a_clean_file_passes_and_unverified_events_prove_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let mut events = clean();
    let mut claimed = jwt("late", &at(300, 0));
    claimed["outcome"] = "rejected".into();
    claimed["reason"] = "revoked".into();
    events.push(claimed);
    write(folder, "clean.ndjson", &events);
    let done = audit(folder, "clean.ndjson --lifetime-max jwt=1h");
    let told = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{told}{}", text(&done.stderr));
    assert!(told.contains("No breach") && told.contains("Without end: 1 session at web"), "{told}");
    let (code, report) = report(folder, "clean.ndjson");
    assert_eq!((&report["breaches"], &report["doubts"]), (&json!([]), &json!([])));
    assert_eq!((code, &report["uses"], &report["unverified"]), (Some(0), &52.into(), &1.into()));
    let group = &report["groups"][0];
    assert_eq!((&group["credentials"], &group["lifetime"]["median_s"]), (&5.into(), &3600.into()));
    assert_eq!(group["rejections"], json!({}));
}

#[test]
fn a_token_accepted_after_its_expiry_is_a_breach_that_text_and_json_agree_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let mut events = clean();
    events.extend(late());
    write(folder, "events.ndjson", &events);
    let (code, report) = report(folder, "events.ndjson");
    assert_eq!(code, Some(1), "{report}");
    let group = &report["groups"][0];
    let after = &group["after_expiry"];
    assert_eq!(*after, json!({"uses": 60, "credentials": 1, "longest_s": 3660.0}), "{report}");
    let done = audit(folder, "events.ndjson");
    let told = text(&done.stdout);
    let row = told.lines().find(|line| line.starts_with("jwt")).expect("a row");
    let row: Vec<&str> = row.split_whitespace().collect();
    let number = |name: &str| group[name].to_string();
    let numbers = [number("credentials"), number("without_end")];
    assert_eq!(row[..5], ["jwt", "https://id.example", "edge", &numbers[0], &numbers[1]], "{told}");
    assert_eq!(row[5..9], ["1h", "1h", "1h", "0"], "{told}");
    assert_eq!(row[9..13], [&number("uses"), &after["uses"].to_string(), "0", "0"], "{told}");
    let breach = report["breaches"][0].as_str().expect("a sentence");
    assert_eq!(
        breach,
        "edge accepted 60 uses of 1 JWT of https://id.example after expiry, up to 1h 1min after it"
    );
    assert!(told.ends_with(&format!("\n1 breach:\n- {breach}.\n")), "{told}");
    assert_eq!(done.status.code(), Some(1));
    let lenient = audit(folder, "events.ndjson --skew 2h");
    assert_eq!(lenient.status.code(), Some(0), "{}", text(&lenient.stdout));
}

/// Each gateway has a file of its own, so the revocation is read after the uses that it makes wrong.
#[test]
fn a_key_accepted_after_its_revocation_at_another_gateway_is_found_in_any_order_of_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let key = |minute, gateway: &str| {
        json!({
            "time": at(minute, 0), "credential": "key_1", "outcome": "accepted", "gateway": gateway,
        })
    };
    let mut revoked = key(10, "edge");
    revoked["outcome"] = "rejected".into();
    revoked["verified"] = true.into();
    revoked["reason"] = "revoked".into();
    write(folder, "edge.ndjson", &[key(1, "edge"), revoked]);
    write(folder, "core.ndjson", &[key(5, "core"), key(20, "core"), key(40, "core")]);
    for files in ["edge.ndjson core.ndjson", "core.ndjson edge.ndjson"] {
        let (code, report) = report(folder, files);
        assert_eq!(code, Some(1), "{report}");
        let (core, edge) = (&report["groups"][0], &report["groups"][1]);
        let after = json!({"uses": 2, "credentials": 1, "longest_s": 1800.0});
        assert_eq!((&core["gateway"], &core["after_revocation"]), (&"core".into(), &after));
        assert_eq!(edge["after_revocation"]["uses"], 0);
        assert_eq!(edge["rejections"], json!({"revoked": 1}));
    }
    // A stream can be read only once: it does not pass for that.
    let both = ["core.ndjson", "edge.ndjson"].map(|name| folder.join(name));
    let both = both.map(|path| std::fs::read(path).expect("reads")).concat();
    let mut child = command(folder, "-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    child.stdin.take().expect("an input").write_all(&both).expect("writes");
    let done = child.wait_with_output().expect("ends");
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("revocations came after later uses"), "{said}");
}

#[test]
fn a_lifetime_over_policy_and_a_use_before_issue_are_breaches() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    for event in clean() {
        writeln!(packed, "{event}").expect("writes");
    }
    std::fs::write(folder.join("clean.gz"), packed.finish().expect("packs")).expect("writes");
    let within = audit(folder, "clean.gz --lifetime-max jwt=60min --lifetime-max session=12h");
    assert_eq!(within.status.code(), Some(0), "{}", text(&within.stdout));
    let (code, over) = report(folder, "clean.gz --lifetime-max jwt=30min");
    assert_eq!((code, &over["groups"][0]["over_policy"]), (Some(1), &5.into()), "{over}");
    let breach = over["breaches"][0].as_str().expect("a sentence");
    let end = "5 JWTs of https://id.example with a lifetime over the policy of 30min, up to 1h";
    assert!(breach.ends_with(end), "{breach}");
    let mut early = jwt("early", &at(0, 0));
    early["issued"] = at(5, 0).into();
    let mut unreadable = jwt("later", &at(9, 0));
    unreadable["expires"] = "soon".into();
    write(folder, "early.ndjson", &[early, unreadable]);
    let (code, early) = report(folder, "early.ndjson");
    assert_eq!(code, Some(1), "{early}");
    assert_eq!(early["groups"][0]["before_issue"]["longest_s"], 300.0);
    assert_eq!((&early["unreadable"], &early["groups"][0]["without_end"]), (&1.into(), &1.into()));
    let said = text(&audit(folder, "early.ndjson").stderr);
    assert!(said.contains("`issued` or `expires` of 1 events can't be read"), "{said}");
}

#[test]
fn what_shows_nothing_does_not_pass_and_a_wrong_command_line_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write(folder, "events.ndjson", &clean());
    std::fs::write(folder.join("empty.ndjson"), "").expect("writes");
    for (arguments, code, said) in [
        ("empty.ndjson", 1, "no events"),
        ("missing.ndjson", 1, "can't read missing.ndjson"),
        ("", 64, "required"),
        ("events.ndjson --lifetime-max jwt", 64, "KIND=DURATION"),
        ("events.ndjson --lifetime-max cookie=1h", 64, "unknown kind `cookie`"),
        ("events.ndjson --lifetime-max jwt=1y", 64, "write 500ms, 60s"),
        ("events.ndjson --skew -1s", 64, "'-1'"),
        ("events.ndjson --source edge", 64, "there is no source `edge`"),
    ] {
        let done = audit(folder, arguments);
        let told = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{arguments}: {told}");
        assert!(told.contains(said), "{arguments}: {told}");
        assert!(!text(&done.stdout).contains("No breach:"), "{arguments}");
    }
}

/// The first block of that language on a page.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let (_, block) = page.split_once(&format!("```{language}\n")).expect("a block");
    block.split_once("```").expect("its end").0
}

#[test]
fn the_guide_shows_real_output() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/expiry-audit.md");
    let page = std::fs::read_to_string(page).expect("the guide");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("events.ndjson"), block(&page, "json")).expect("writes");
    let arguments = block(&page, "sh").trim().strip_prefix("tripline audit expiry ");
    let done = audit(folder.path(), arguments.expect("the command"));
    assert_eq!(text(&done.stdout), block(&page, "text"));
    assert_eq!(done.status.code(), Some(1));
}

#[test]
fn a_running_daemon_reports_what_it_saw_since_its_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let socket = daemon.socket().display().to_string();
    let live = || report(folder.path(), &format!("--live --socket {socket}"));
    let hour = 3_600_000;
    let token = |credential: &str, from: i64| {
        json!({
            "time": now_ms(), "credential": credential, "kind": "jwt", "outcome": "accepted",
            "issued": now_ms() + from, "expires": now_ms() + from + hour,
            "issuer": "https://id.example", "gateway": "edge",
        })
    };
    daemon.post_events(&format!("{}\n", token("good", 0)));
    let (code, whole) = until("the first use is counted", Duration::from_secs(20), || {
        Some(live()).filter(|(_, report)| report["uses"] == 1)
    });
    assert_eq!((code, &whole["groups"][0]["lifetime"]["max_s"]), (Some(0), &3600.into()));
    let late = format!("{}\n", token("late", -2 * hour));
    daemon.post_events(&late.repeat(60));
    let (code, found) = until("all late uses are counted", Duration::from_secs(20), || {
        Some(live()).filter(|(_, report)| report["uses"] == 61)
    });
    assert_eq!(code, Some(1));
    assert_eq!(found["groups"][0]["after_expiry"]["uses"], 60);
    let told = text(&audit(folder.path(), &format!("--live --socket {socket}")).stdout);
    assert!(
        told.contains("edge accepted 60 uses of 1 JWT of https://id.example after expiry"),
        "{told}"
    );
}
