//! Proof through the running daemon: leaks that revoke, gateways that let revoked keys pass, canaries; over
//! restarts, and undone by a person.

use crate::leaks::{WEBHOOK_SECRET, webhook};
use crate::support::daemon::{BINARY, Daemon, now_ms};
use crate::support::redis_server::RedisServer;
use crate::support::{kept, pause, until};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tripline::adapters::storage::key_material::fingerprint_key;
use tripline::adapters::storage::watch_store::WatchStore;
use tripline::formats::secrets::secret::Fingerprinter;

const PATIENCE: Duration = Duration::from_secs(20);
/// Reports whose delay is measured.
const REPORTS: usize = 100;

fn config(folder: &TempDir, further: &str) -> String {
    let secret = folder.path().join("leaks.secret");
    std::fs::write(&secret, WEBHOOK_SECRET).expect("writes");
    format!(
        "[mode]\ndefault = \"revoke\"\n\
         [revocation_limit]\nper_tenant_hour = 1000\nper_hour = 1000\n\
         [leaks.webhook]\nsecret_file = \"{}\"\n{further}",
        secret.display()
    )
}

fn secret(number: usize) -> String {
    format!("sk-PLANTED{number:06}abcdefghij")
}

/// Reports a secret as leaked, as a message of its own.
fn report(daemon: &Daemon, id: &str, secret: &str) {
    let body = json!([{ "token": secret, "place": "https://example.com/leaked" }]).to_string();
    let (status, answer) = webhook(daemon, (id, now_ms() / 1000), &body, &body);
    assert_eq!(status, 200, "{answer}");
}

fn uses(credential: &str, further: &Value) -> String {
    let mut event = json!({ "time": now_ms(), "credential": credential, "outcome": "accepted" });
    let fields = event.as_object_mut().expect("an object");
    fields.extend(further.as_object().expect("an object").clone());
    format!("{event}\n")
}

fn finding(daemon: &Daemon, detector: &str) -> Option<Value> {
    let found = daemon.get("/v1/findings");
    found.as_array()?.iter().find(|one| one["detector"] == detector).cloned()
}

/// What a gateway gets that asks with the secret itself.
fn check(daemon: &Daemon, secret: &str) -> u16 {
    daemon.send("GET", "/v1/check", &[("x-api-key", secret)], "").0
}

#[test]
fn a_reported_key_is_revoked_in_redis() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().expect("a folder");
    let redis = format!("[auth_store.redis]\nurl = \"{}\"\n", server.url());
    let daemon = Daemon::start(&folder, &config(&folder, &redis));
    for number in 0..REPORTS {
        daemon.post_events(&uses(&secret(number), &json!({ "tenant": "acme" })));
    }
    let key = fingerprint_key(&daemon.data().join("fingerprint.key")).expect("a key");
    let fingerprints = Fingerprinter::new(key);
    let mut delays: Vec<Duration> = Vec::new();
    for number in 0..REPORTS {
        let id = fingerprints.identify(&secret(number)).id;
        let entry = format!("tripline:credential:{{api_key:{id}}}");
        let began = Instant::now();
        report(&daemon, &format!("m{number}"), &secret(number));
        until("Redis has it", PATIENCE, || {
            let status: Option<String> = server.ask(&["HGET", &entry, "status"]);
            (status.as_deref() == Some("revoked")).then_some(())
        });
        delays.push(began.elapsed());
    }
    delays.sort();
    let [p50, p99] = [50, 99].map(|percent| delays[REPORTS * percent / 100 - 1]);
    println!("a report to revoked in Redis: p50 {p50:?}, p99 {p99:?} of {REPORTS}");
    let decisions = daemon.get("/v1/decisions?limit=1000");
    let decisions = decisions.as_array().expect("a list");
    assert_eq!(decisions.len(), REPORTS);
    assert!(decisions.iter().all(|one| one["held_by"] == json!([]) && one["carried_out"] == true));
    let leak = finding(&daemon, "leak").expect("a finding");
    assert_eq!(leak["place"], "webhook: https://example.com/leaked");
    assert!(!daemon.log().contains("PLANTED"));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    for (path, bytes) in kept(&data) {
        let held = bytes.windows(7).any(|part| part == b"PLANTED");
        assert!(!held, "{} holds a reported secret", path.display());
    }
}

#[test]
fn a_report_of_another_tenant_s_key_goes_by_that_tenant_s_mode_and_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let further = "[mode.tenant]\nquiet = \"shadow\"\n";
    let config = config(&folder, further).replace("per_tenant_hour = 1000", "per_tenant_hour = 1");
    let daemon = Daemon::start(&folder, &config);
    let tenants = ["quiet", "acme", "acme", "bloom"];
    for (number, tenant) in tenants.iter().enumerate() {
        daemon.post_events(&uses(&secret(number), &json!({ "tenant": tenant })));
    }
    for number in 0..tenants.len() {
        report(&daemon, &format!("m{number}"), &secret(number));
    }
    let decisions = until("all are decided", PATIENCE, || {
        let all = daemon.get("/v1/decisions");
        (all.as_array()?.len() == tenants.len()).then_some(all)
    });
    let of = |tenant: &str| {
        let all = decisions.as_array().expect("a list").iter();
        let mut actions: Vec<String> = all
            .filter(|one| one["tenant"] == tenant)
            .map(|one| {
                format!("{} {}", one["action"].as_str().unwrap_or_default(), one["carried_out"])
            })
            .collect();
        actions.sort();
        actions
    };
    assert_eq!(of("quiet"), ["revoke false"], "its mode is shadow");
    assert_eq!(of("acme"), ["revoke true", "suspend true"], "one an hour");
    assert_eq!(of("bloom"), ["revoke true"]);
}

#[test]
fn a_key_that_leaked_before_its_first_use_is_revoked_at_it_also_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder, "");
    let daemon = Daemon::start(&folder, &config);
    report(&daemon, "m1", &secret(1));
    assert_eq!(finding(&daemon, "leak"), None, "no one has it yet");
    daemon.kill();
    let daemon = Daemon::start(&folder, &config);
    assert_eq!(check(&daemon, &secret(1)), 200);
    daemon.post_events(&uses(&secret(2), &json!({})));
    daemon.post_events(&uses(&secret(1), &json!({})));
    until("it is refused", PATIENCE, || (check(&daemon, &secret(1)) == 403).then_some(()));
    assert_eq!(check(&daemon, &secret(2)), 200);
    let leak = finding(&daemon, "leak").expect("a finding");
    assert!(leak["summary"].as_str().is_some_and(|text| text.contains("before it was used")));
}

#[test]
fn what_a_person_restored_after_a_leak_stays_in_service_over_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder, "[actions]\noperator_restore_grace = \"0s\"\n");
    let daemon = Daemon::start(&folder, &config);
    daemon.post_events(&uses(&secret(1), &json!({})));
    report(&daemon, "m1", &secret(1));
    until("it is refused", PATIENCE, || (check(&daemon, &secret(1)) == 403).then_some(()));
    let id = finding(&daemon, "leak").expect("a finding")["credential"].clone();
    daemon.order("restore", id.as_str().expect("a name"));
    until("it is in service", PATIENCE, || (check(&daemon, &secret(1)) == 200).then_some(()));
    // The watchlist follows the order after it is in force.
    let watched = WatchStore::open(&daemon.data().join("watchlist.db")).expect("opens");
    until("the watchlist forgets it", PATIENCE, || {
        watched.leaks().expect("read").is_empty().then_some(())
    });
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = Daemon::start(&folder, &config);
    daemon.post_events(&uses(&secret(1), &json!({})));
    daemon.post_events(&uses("last", &json!({})));
    until("both are known", PATIENCE, || {
        (daemon.get("/v1/credentials").as_array()?.len() >= 2).then_some(())
    });
    assert_eq!(check(&daemon, &secret(1)), 200);
}

#[test]
fn a_false_report_is_withdrawn_with_all_names_of_its_secret_before_the_first_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, &config(&folder, ""));
    report(&daemon, "m1", &secret(1));
    report(&daemon, "m2", &secret(2));
    let watched = WatchStore::open(&daemon.data().join("watchlist.db")).expect("opens");
    let before = watched.leaks().expect("read").len();
    let socket = daemon.socket().display().to_string();
    let mut command = Command::new(BINARY);
    command.args([
        "credentials",
        "restore",
        &secret(1),
        "--reason",
        "not ours",
        "--socket",
        &socket,
    ]);
    let done = command.output().expect("runs");
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(told.contains("the report of its leak is withdrawn"), "{told}");
    assert_eq!(watched.leaks().expect("read").len() * 2, before, "the other report stays");
    for kind in ["session", "api_key"] {
        daemon.post_events(&uses(&secret(1), &json!({ "kind": kind })));
    }
    daemon.post_events(&uses(&secret(2), &json!({})));
    until("the other is refused", PATIENCE, || (check(&daemon, &secret(2)) == 403).then_some(()));
    assert_eq!(check(&daemon, &secret(1)), 200);
}

#[test]
fn a_gateway_that_lets_a_revoked_key_pass_alerts() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon =
        Daemon::start(&folder, &config(&folder, "[validity]\nenforcement_grace = \"1s\"\n"));
    daemon.post_events(&uses("key_1", &json!({})));
    daemon.order("revoke", "key_1");
    let gateway = json!({ "gateway": "edge-7" });
    let began = until("the grace is over, and it passes", PATIENCE, || {
        let began = Instant::now();
        daemon.post_events(&uses("key_1", &gateway));
        pause(Duration::from_millis(200));
        finding(&daemon, "validity").map(|_| began)
    });
    println!("accepted use to finding: at most {:?}", began.elapsed());
    let found = finding(&daemon, "validity").expect("a finding");
    assert_eq!((&found["place"], &found["action"]), (&"edge-7".into(), &"alert".into()));
    assert!(daemon.metric("tripline_enforcement_lag_seconds_count{gateway=\"edge-7\"}") >= 1.0);
    // After a restart it is still known to be out of service.
    assert_eq!(daemon.terminate(), Some(0));
    let daemon =
        Daemon::start(&folder, &config(&folder, "[validity]\nenforcement_grace = \"1s\"\n"));
    until("another gateway is named", PATIENCE, || {
        daemon.post_events(&uses("key_1", &json!({ "gateway": "edge-8" })));
        pause(Duration::from_millis(200));
        (finding(&daemon, "validity")?["place"] == "edge-7, edge-8").then_some(())
    });
}

#[test]
fn a_canary_is_added_found_with_its_neighbours_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder, "");
    let daemon = Daemon::start(&folder, &config);
    let socket = daemon.socket().display().to_string();
    let tripline = |args: &[&str]| {
        let mut command = Command::new(BINARY);
        let done = command.args(args).args(["--socket", &socket]).output().expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(done.status.success(), "{args:?}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    let added = tripline(&["canary", "add", "key_trap", "--note", "in the wiki"]);
    assert_eq!(added, "watching for api_key:key_trap\n");
    assert!(tripline(&["canary", "list"]).contains("in the wiki"));
    let from = |last: u8| json!({ "ip": format!("203.0.113.{last}") });
    daemon.post_events(&uses("key_neighbour", &from(9)));
    daemon.post_events(&uses("key_elsewhere", &json!({ "ip": "198.51.100.1" })));
    daemon.kill();
    let daemon = Daemon::start(&folder, &config);
    daemon.post_events(&uses("key_neighbour", &from(9)));
    let presented = json!({ "ip": "203.0.113.77", "outcome": "rejected", "verified": false });
    daemon.post_events(&uses("key_trap", &presented));
    let found = until("the canary alerts", PATIENCE, || finding(&daemon, "canary"));
    assert_eq!((&found["place"], &found["action"]), (&"203.0.113.77".into(), &"alert".into()));
    let seen = tripline(&["credentials", "list", "--from", "203.0.113.77"]);
    assert!(seen.contains("key_neighbour") && seen.contains("key_trap"), "{seen}");
    assert!(!seen.contains("key_elsewhere"), "{seen}");
    assert_eq!(tripline(&["canary", "remove", "key_trap"]), "key_trap: no longer watched for\n");
    assert_eq!(tripline(&["canary", "remove", "key_trap"]), "key_trap: was no canary\n");
    assert!(tripline(&["canary", "list"]).contains("no canaries"));
}

#[test]
fn a_session_at_two_places_is_ended_in_redis_where_it_is_hot() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().expect("a folder");
    let redis = format!(
        "[auth_store.redis]\nurl = \"{}\"\n\
         [auth_store.redis.commands.session]\nrevoke = [\"DEL sess:{{id}}\"]\n",
        server.url()
    );
    let daemon = Daemon::start(&folder, &config(&folder, &redis));
    for session in ["s1", "s2"] {
        server.ask::<()>(&["SET", &format!("sess:{session}"), "the user's state"]);
    }
    let at = |country: &str, agent: &str, ip: &str| json!({ "kind": "session", "country": country, "user_agent": agent, "ip": ip });
    let (home, away) = (at("DE", "firefox", "192.0.2.1"), at("BR", "curl", "198.51.100.1"));
    for place in [&home, &away, &home, &away] {
        daemon.post_events(&uses("s1", place));
        daemon.post_events(&uses("s2", &home));
    }
    until("the session is gone", PATIENCE, || {
        (server.ask::<u8>(&["EXISTS", "sess:s1"]) == 0).then_some(())
    });
    let summary = finding(&daemon, "session").expect("a finding")["summary"].clone();
    assert_eq!(summary, "is used in DE and BR by turns (2 returns), by another agent at each");
    assert_eq!(server.ask::<u8>(&["EXISTS", "sess:s2"]), 1, "another session goes on");
}

#[test]
fn a_grant_that_a_person_restored_lives_on_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder, "");
    let daemon = Daemon::start(&folder, &config);
    let client = |country: &str, agent: &str| {
        json!({
            "kind": "refresh_token", "family": "grant_1", "country": country, "user_agent": agent,
            "ip": if country == "DE" { "192.0.2.1" } else { "198.51.100.1" },
        })
    };
    let (owner, thief) = (client("DE", "firefox"), client("BR", "curl"));
    daemon.post_events(&uses("r1", &owner));
    daemon.post_events(&uses("r2", &owner));
    daemon.post_events(&uses("r1", &thief));
    until("the grant is ended", PATIENCE, || {
        (daemon.check("refresh_token:r2") == 403).then_some(())
    });
    daemon.order("restore", "refresh_token:r2");
    until("it is in service", PATIENCE, || (daemon.check("refresh_token:r2") == 200).then_some(()));
    daemon.kill();
    let daemon = Daemon::start(&folder, &config);
    until("what was restored is known", PATIENCE, || {
        let open = daemon.get("/v1/findings?open=true");
        open.as_array()?.iter().all(|one| one["credential"] != "r2").then_some(())
    });
    daemon.post_events(&uses("r3", &owner));
    daemon.post_events(&uses("last", &json!({})));
    until("both are known", PATIENCE, || {
        let known =
            |id: &str| daemon.send("GET", &format!("/v1/credentials/{id}"), &[], "").0 == 200;
        (known("refresh_token:r3") && known("last")).then_some(())
    });
    assert_eq!((daemon.check("refresh_token:r2"), daemon.check("refresh_token:r3")), (200, 200));
}
