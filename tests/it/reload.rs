//! The configuration is read again while the daemon runs.

use crate::http_events::token_of;
use crate::support::child::Process;
use crate::support::daemon::{BINARY, Daemon, now_ms, uses};
use crate::support::{free_port, until};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// The lines of the daemon's own, and other settings.
fn with_own(folder: &Path, settings: &str) -> String {
    let text = std::fs::read_to_string(folder.join("tripline.toml")).expect("reads");
    let own: Vec<&str> = text.lines().take(2).collect();
    format!("{}\n{settings}", own.join("\n"))
}

/// Puts a configuration with other settings behind the first lines of the daemon's own in its place.
fn rewrite(folder: &Path, settings: &str) {
    let part = folder.join("tripline.toml.part");
    std::fs::write(&part, with_own(folder, settings)).expect("writes");
    std::fs::rename(&part, folder.join("tripline.toml")).expect("moves");
}

/// Writes them in its place, where nothing happens before somebody asks.
fn write_in_place(folder: &Path, settings: &str) {
    let text = with_own(folder, settings);
    std::fs::write(folder.join("tripline.toml"), text).expect("writes");
}

fn mode(daemon: &Daemon) -> String {
    let status = daemon.get("/v1/status");
    status.get("mode").and_then(|it| it.as_str()).expect("a mode").to_owned()
}

#[test]
fn another_file_is_read_and_one_with_mistakes_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "mode.default = \"shadow\"\n");
    rewrite(folder.path(), "mode.default = \"throttle\"\n");
    until("the mode is raised", PATIENCE, || (mode(&daemon) == "throttle").then_some(()));
    rewrite(folder.path(), "mode.default = \"fire\"\n");
    until("the mistake is counted", PATIENCE, || {
        (daemon.metric("tripline_reloads_total{result=\"refused\"}") > 0.5).then_some(())
    });
    assert_eq!(mode(&daemon), "throttle");
    assert!(daemon.log().contains("the previous one stays in force"));
}

#[test]
fn a_revocation_limit_that_lets_none_through_from_now_on_is_no_issue() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "revocation_limit.per_hour = 3\n");
    let tokens = || daemon.get("/v1/status")["revocation_tokens"].as_i64();
    assert_eq!(tokens(), Some(3), "it is measured before the door opens");
    rewrite(folder.path(), "revocation_limit.per_hour = 0\n");
    until("it lets none through", PATIENCE, || (tokens() == Some(0)).then_some(()));
    let issues = || daemon.get("/v1/status")["issues"].clone();
    until("it is no issue", PATIENCE, || (issues() == serde_json::json!([])).then_some(()));
}

#[test]
fn a_file_that_is_written_to_in_its_place_waits_for_a_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "mode.default = \"shadow\"\n");
    let path = folder.path().join("tripline.toml");
    let text = std::fs::read_to_string(&path).expect("reads").replace("shadow", "revoke");
    // Half through, it may be without what bounds it.
    std::fs::write(&path, text).expect("writes");
    until("it is told", PATIENCE, || daemon.log().contains("was written in place").then_some(()));
    assert_eq!(mode(&daemon), "shadow");
    daemon.signal("HUP");
    until("the mode is raised", PATIENCE, || (mode(&daemon) == "revoke").then_some(()));
}

#[test]
fn what_is_no_file_changes_nothing_and_holds_no_signal_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "mode.default = \"alert\"\n");
    let path = folder.path().join("tripline.toml");
    std::fs::remove_file(&path).expect("removes");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    daemon.signal("HUP");
    until("it is refused", PATIENCE, || daemon.log().contains("is no file").then_some(()));
    assert_eq!(mode(&daemon), "alert");
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn who_can_be_reached_from_elsewhere_keeps_its_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tokens, bearer) = token_of(&folder, "ops", "operate");
    let port = free_port();
    let path = folder.path().join("tripline.toml");
    let data = folder.path().join("data");
    let listen = format!("data_dir = \"{}\"\nhttp.listen = \"0.0.0.0:{port}\"\n", data.display());
    std::fs::write(&path, format!("{listen}{tokens}")).expect("writes");
    let log = std::fs::File::create(folder.path().join("log")).expect("a log");
    let mut command = std::process::Command::new(BINARY);
    command.arg("run").arg("--config").arg(&path).stderr(log);
    let process = Process::start(&mut command);
    let ask = |bearer: &str| {
        let client = crate::support::http();
        let url = format!("http://127.0.0.1:{port}/v1/status");
        let asked = client.get(url).header("authorization", bearer).send();
        asked.ok().map(|answer| answer.status().as_u16())
    };
    until("it runs", PATIENCE, || (ask(&bearer) == Some(200)).then_some(()));
    let part = folder.path().join("part");
    std::fs::write(&part, "").expect("writes");
    std::fs::rename(&part, &path).expect("moves");
    process.signal("HUP");
    until("it is refused", PATIENCE, || {
        let log = std::fs::read_to_string(folder.path().join("log")).expect("reads");
        log.contains("nobody would need a token").then_some(())
    });
    assert_eq!(ask("Bearer none"), Some(401));
    assert_eq!(ask(&bearer), Some(200));
}

#[test]
fn a_stream_ends_once_its_token_is_none_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old_config, old) = token_of(&folder, "old", "operate");
    let daemon = Daemon::start(&folder, &old_config);
    let client = crate::support::http_builder().timeout(PATIENCE).build().expect("a client");
    let open = |path: &str| {
        let asked = client.get(format!("{}{path}", daemon.base()));
        let asked = asked.header("authorization", &old).header("accept", "text/event-stream");
        let answer = asked.send().expect("answers");
        assert_eq!(answer.status(), 200, "{path}");
        answer
    };
    let streams = [open("/v1/stream"), open("/v1/changes")];
    let (new_config, _) = token_of(&folder, "new", "operate");
    rewrite(folder.path(), &new_config);
    daemon.signal("HUP");
    for stream in streams {
        // It would run into the time-out otherwise.
        stream.text().expect("it ends");
    }
}

#[test]
fn sighup_reloads_it_for_credentials_that_are_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "mode.default = \"revoke\"\n");
    daemon.post_events(&uses("key_1", now_ms(), 200));
    until("it is known", PATIENCE, || {
        (daemon.send("GET", "/v1/credentials/key_1", &[], "").0 == 200).then_some(())
    });
    assert_eq!(daemon.check("api_key:key_1"), 200);
    rewrite(
        folder.path(),
        "mode.default = \"revoke\"\nlimits.default = \"100/min\"\nwarm_up = 1\n",
    );
    daemon.signal("HUP");
    until("the mistake is refused", PATIENCE, || daemon.log().contains("warm_up").then_some(()));
    rewrite(folder.path(), "mode.default = \"revoke\"\nlimits.default = \"100/min\"\n");
    daemon.signal("HUP");
    until("its limit is another", PATIENCE, || {
        (daemon.get("/v1/credentials/key_1")["limit_per_min"] == 100).then_some(())
    });
    daemon.post_events(&uses("key_1", now_ms(), 200));
    until("it is found", PATIENCE, || {
        let found = daemon.get("/v1/findings?credential=key_1");
        found.as_array()?.iter().any(|one| one["detector"] == "limit").then_some(())
    });
}

#[test]
fn over_the_api_it_says_what_holds_and_what_needs_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old_config, old) = token_of(&folder, "old", "operate");
    let daemon = Daemon::start(&folder, &old_config);
    let (new_config, new) = token_of(&folder, "new", "operate");
    write_in_place(folder.path(), &format!("[journal]\nrotate = \"1MiB\"\n{new_config}"));
    let ask = |bearer: &str| daemon.send("POST", "/v1/reload", &[("authorization", bearer)], "");
    assert_eq!(ask("Bearer nobody").0, 401);
    let (status, body) = ask(&old);
    assert_eq!(status, 200, "{body}");
    assert_eq!(body, r#"{"applied":["http.tokens"],"after_restart":["journal"]}"#);
    assert_eq!(ask(&old).0, 401, "the old token is none any more");
    // A token is changed in its file, and nothing in the configuration.
    let (status, body) = ask(&new);
    assert_eq!((status, body.as_str()), (200, r#"{"applied":[],"after_restart":["journal"]}"#));
    std::fs::write(folder.path().join("new"), "token-of-new-changed-0123456789").expect("writes");
    let (status, body) = ask(&new);
    assert_eq!(status, 200, "{body}");
    assert_eq!(body, r#"{"applied":["http.tokens"],"after_restart":["journal"]}"#);
    assert_eq!(ask(&new).0, 401);
    let new = "Bearer token-of-new-changed-0123456789".to_owned();
    write_in_place(folder.path(), &format!("threads = 7\n{new_config}"));
    let (status, body) = ask(&new);
    assert_eq!(status, 422);
    assert!(body.contains("threads"), "{body}");
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_and_that_it_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let path = path.display().to_string();
    let environment = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "300000")];
    let daemon = Daemon::try_start_in(folder.path(), "", &environment).expect("starts");
    let mut buffer = [0; 512];
    let mut told = Vec::new();
    let mut hear_until = |wanted: &str| {
        while !told.iter().any(|one: &String| one.contains(wanted)) {
            let length = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("{wanted}: {told:?}"));
            told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        told.clear();
    };
    hear_until("READY=1");
    hear_until("WATCHDOG=1");
    daemon.signal("HUP");
    hear_until("RELOADING=1\nMONOTONIC_USEC=");
    hear_until("READY=1");
    daemon.signal("TERM");
    hear_until("STOPPING=1");
}
