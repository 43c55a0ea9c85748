//! The configuration is read anew while the daemon runs.

use crate::door_http::token_of;
use crate::support::daemon::{Daemon, now_ms, uses};
use crate::support::until;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Writes the configuration anew with other settings behind the first lines of the daemon's own.
fn rewrite(folder: &Path, settings: &str) {
    let path = folder.join("tripline.toml");
    let text = std::fs::read_to_string(&path).expect("reads");
    let own: Vec<&str> = text.lines().take(2).collect();
    std::fs::write(&path, format!("{}\n{settings}", own.join("\n"))).expect("writes");
}

fn posture(daemon: &Daemon) -> String {
    let status = daemon.get("/v1/status");
    status.get("posture").and_then(|it| it.as_str()).expect("a posture").to_owned()
}

#[test]
fn a_file_that_changes_is_read_anew_and_one_with_mistakes_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "posture.default = \"shadow\"\n");
    rewrite(folder.path(), "posture.default = \"throttle\"\n");
    until("the posture is raised", PATIENCE, || (posture(&daemon) == "throttle").then_some(()));
    rewrite(folder.path(), "posture.default = \"fire\"\n");
    until("the mistake is counted", PATIENCE, || {
        (daemon.metric("tripline_reloads_total{result=\"refused\"}") > 0.5).then_some(())
    });
    assert_eq!(posture(&daemon), "throttle");
    assert!(daemon.log().contains("the one before holds on"));
}

#[test]
fn sighup_reads_it_anew_for_credentials_that_are_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "posture.default = \"revoke\"\n");
    daemon.post_events(&uses("key_1", now_ms(), 200));
    until("it is known", PATIENCE, || {
        (daemon.send("GET", "/v1/credentials/key_1", &[], "").0 == 200).then_some(())
    });
    assert_eq!(daemon.check("api_key:key_1"), 204);
    rewrite(
        folder.path(),
        "posture.default = \"revoke\"\nceiling.default = \"100/min\"\nwarm_up = 1\n",
    );
    daemon.signal("HUP");
    until("the mistake is refused", PATIENCE, || daemon.log().contains("warm_up").then_some(()));
    rewrite(folder.path(), "posture.default = \"revoke\"\nceiling.default = \"100/min\"\n");
    daemon.signal("HUP");
    until("its limit is another", PATIENCE, || {
        (daemon.get("/v1/credentials/key_1")["limit_per_min"] == 100).then_some(())
    });
    daemon.post_events(&uses("key_1", now_ms(), 200));
    until("it is found", PATIENCE, || {
        let found = daemon.get("/v1/findings?credential=key_1");
        found.as_array()?.iter().any(|one| one["detector"] == "ceiling").then_some(())
    });
}

#[test]
fn over_the_api_it_says_what_holds_and_what_needs_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old_config, old) = token_of(&folder, "old", "operate");
    let daemon = Daemon::start(&folder, &old_config);
    let (new_config, new) = token_of(&folder, "new", "operate");
    rewrite(folder.path(), &format!("[journal]\nrotate = \"1MiB\"\n{new_config}"));
    let ask = |bearer: &str| daemon.send("POST", "/v1/reload", &[("authorization", bearer)], "");
    assert_eq!(ask("Bearer nobody").0, 401);
    let (status, body) = ask(&old);
    assert_eq!(status, 200, "{body}");
    assert_eq!(body, r#"{"applied":["http.tokens"],"after_restart":["journal"]}"#);
    assert_eq!(ask(&old).0, 401, "the old token is none any more");
    rewrite(folder.path(), &format!("threads = 7\n{new_config}"));
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
