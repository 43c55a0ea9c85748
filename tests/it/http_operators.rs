//! Who may order, who has to agree, and what gateways that keep a copy are told.

use crate::http_events::token_of;
use crate::support::daemon::{BINARY, Daemon, now_ms};
use crate::support::{kept, until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
const REASON: &str = r#"{"reason":"seen in a public repository"}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("JSON: {text}"))
}

#[test]
fn without_tokens_orders_come_over_the_socket_of_the_data_folder_only() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let path = "/v1/credentials/key_1/revoke";
    let (status, body) = daemon.send("POST", path, &[JSON], REASON);
    assert_eq!(status, 403);
    assert!(body.contains("Unix socket") && body.contains("[http.tokens]"), "{body}");
    assert_eq!(daemon.get("/v1/decisions"), Value::Array(vec![]), "reading needs no token");

    let mode = std::fs::metadata(daemon.socket()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (status, body) = daemon.say(path, REASON);
    assert_eq!(status, 200, "{body}");
    let by = json(&body)["decision"]["by"].as_str().expect("a name").to_owned();
    assert!(by.starts_with("uid:"), "the journal says which user of the machine: {by}");
}

#[test]
fn the_command_line_says_how_to_come_with_more_rights() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let socket = daemon.socket().display().to_string();
    until("the log says where the socket is", PATIENCE, || {
        daemon.log().contains(&socket).then_some(())
    });
    let order = |further: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["credentials", "revoke", "key_1", "--reason", "asked by a test"]);
        command.stdin(std::process::Stdio::null()).current_dir(folder.path());
        let done = command.args(further).output().expect("runs");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, told) = order(&["--url", daemon.base(), "--yes"]);
    assert_eq!(code, Some(1), "{told}");
    for part in ["403", "--url", "--socket PATH", "TRIPLINE_SOCKET", "--token-file FILE"] {
        assert!(told.contains(part), "{part} is missing in: {told}");
    }
    let (code, told) = order(&["--socket", &socket]);
    assert_eq!(
        (code, told.contains("standard input is not a terminal")),
        (Some(1), true),
        "{told}"
    );
    let (code, told) = order(&["--socket", &socket, "--yes"]);
    assert_eq!((code, told.contains("it is not known")), (Some(1), true), "{told}");
    assert!(told.contains("--unknown"), "{told}");
    let decisions = daemon.get("/v1/decisions");
    assert_eq!(decisions, Value::Array(vec![]), "a slip writes nothing anywhere");
    assert_eq!(order(&["--socket", &socket, "--yes", "--unknown"]).0, Some(0));
    assert_eq!(order(&["--socket", &socket, "--yes"]).0, Some(0), "it is known by now");
    let id = daemon.get("/v1/decisions")[0]["id"].as_str().expect("an id").to_owned();
    until("the store has it", PATIENCE, || {
        let mut command = Command::new(BINARY);
        let done = command.args(["decisions", "show", &id, "--socket", &socket]).output();
        let told = String::from_utf8_lossy(&done.expect("runs").stdout).into_owned();
        told.contains("at embedded  applied").then_some(())
    });
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_replaced_and_another_file_is_not() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let socket = daemon.socket();
    daemon.kill();
    let daemon = Daemon::start(&folder, "[admin]\nsocket_mode = \"0660\"\n");
    let mode = std::fs::metadata(&socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(daemon.say("/v1/credentials/key_1/revoke", REASON).0, 200);
    daemon.terminate();
    let other = folder.path().join("precious");
    std::fs::write(&other, "mine").expect("writes");
    let text = format!(
        "data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:0\"\n[admin]\nsocket = \"{}\"\n",
        folder.path().join("data").display(),
        other.display()
    );
    let config = folder.path().join("other.toml");
    std::fs::write(&config, text).expect("writes");
    let done = Command::new(BINARY).arg("run").arg("--config").arg(&config).output().expect("runs");
    assert!(!done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("set admin.socket"));
    assert_eq!(std::fs::read_to_string(&other).expect("reads"), "mine");
}

/// Two people with tokens, and a daemon in which a revocation needs both.
struct Two {
    folders: [tempfile::TempDir; 2],
    daemon: Daemon,
    ada: String,
    bob: String,
}

impl Two {
    fn new(timeout: &str) -> Self {
        let folders = [folder(), folder()];
        let (one, ada) = token_of(&folders[0], "ada", "operate");
        let (two, bob) = token_of(&folders[0], "bob", "operate");
        let config =
            format!("[approval]\nrequired_approvers = 2\ntimeout = \"{timeout}\"\n{one}{two}");
        let daemon = Daemon::start(&folders[1], &config);
        Self { folders, daemon, ada, bob }
    }

    fn post(&self, path: &str, who: &str) -> (u16, String) {
        self.daemon.send("POST", path, &[JSON, ("authorization", who)], REASON)
    }

    fn get(&self, path: &str) -> Value {
        json(&self.daemon.send("GET", path, &[("authorization", &self.ada)], "").1)
    }

    /// Ada revokes; gives the decision that waits.
    fn revoke(&self, credential: &str) -> String {
        let (status, body) = self.post(&format!("/v1/credentials/{credential}/revoke"), &self.ada);
        assert_eq!(status, 200, "{body}");
        let done = json(&body);
        let decision = done.get("decision").expect("a decision");
        assert_eq!(
            (&decision["action"], &decision["held_by"]),
            (&"suspend".into(), &serde_json::json!(["approval"]))
        );
        decision["id"].as_str().expect("an id").to_owned()
    }

    fn vote(&self, id: &str, verb: &str, who: &str) -> (u16, String) {
        self.post(&format!("/v1/decisions/{id}/{verb}"), who)
    }
}

#[test]
fn a_revocation_that_needs_two_people_suspends_until_the_second_agrees() {
    let two = Two::new("1h");
    let id = two.revoke("key_1");
    until("it is suspended meanwhile", PATIENCE, || {
        (two.daemon.check_as("key_1", &two.ada) == 403).then_some(())
    });
    let waiting = two.get("/v1/approvals");
    assert_eq!(waiting[0]["decision"]["id"], id.as_str());
    assert_eq!(waiting[0]["agreed"], serde_json::json!(["ada"]));

    let (status, body) = two.vote(&id, "approve", &two.ada);
    assert_eq!(status, 409, "she has agreed already: {body}");
    let (status, body) = two.vote(&id, "approve", &two.bob);
    assert_eq!((status, &json(&body)["decision"]["action"]), (200, &"revoke".into()), "{body}");
    assert_eq!(two.get("/v1/approvals"), Value::Array(vec![]));
    assert_eq!(two.vote(&id, "approve", &two.bob).0, 404, "nothing waits any more");
    let by = two.get("/v1/decisions?credential=key_1");
    assert!(
        by[0]["by"].as_str().is_some_and(|by| by.contains("ada") && by.contains("bob")),
        "{by}"
    );
}

#[test]
fn a_rejected_revocation_is_not_carried_out_and_an_approval_can_come_too_late() {
    let two = Two::new("1h");
    let id = two.revoke("key_1");
    let (status, body) = two.vote(&id, "reject", &two.bob);
    assert_eq!((status, &json(&body)["changed"]), (200, &false.into()), "{body}");
    assert_eq!(two.vote(&id, "approve", &two.bob).0, 404);
    let decisions = two.get("/v1/decisions?credential=key_1");
    assert_eq!(decisions.as_array().map(Vec::len), Some(1), "still suspended: {decisions}");

    let two = Two::new("1s");
    let id = two.revoke("key_1");
    let asked = now_ms();
    until("its time is over", PATIENCE, || (now_ms() > asked + 1_100).then_some(()));
    let (status, body) = two.vote(&id, "approve", &two.bob);
    assert_eq!((status, body.contains("too late")), (409, true), "{body}");
}

#[test]
fn what_waits_for_people_still_waits_after_a_kill() {
    let two = Two::new("1h");
    let id = two.revoke("key_1");
    let Two { daemon, folders, ada, bob } = two;
    daemon.kill();
    let config = std::fs::read_to_string(folders[1].path().join("tripline.toml")).expect("reads");
    let rest = config.split_once("[approval]").expect("a section").1;
    let daemon = Daemon::start(&folders[1], &format!("[approval]{rest}"));
    let two = Two { folders, daemon, ada, bob };
    assert_eq!(two.vote(&id, "approve", &two.ada).0, 409, "her voice was not forgotten");
    assert_eq!(two.vote(&id, "approve", &two.bob).0, 200);
}

#[test]
fn people_say_yes_and_no_from_the_command_line() {
    let two = Two::new("1h");
    let id = two.revoke("key_1");
    let ask = |who: &str, arguments: &[&str]| {
        let file = two.folders[0].path().join(who);
        let mut command = Command::new(BINARY);
        command.args(arguments).args(["--url", two.daemon.base(), "--token-file"]).arg(file);
        let done = command.output().expect("runs");
        (
            done.status.code(),
            String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned(),
        )
    };
    let because = ["--reason", "leaked", "--yes", "--unknown"];
    let (_, told) = ask("ada", &[&["credentials", "revoke", "key_9"], &because[..]].concat());
    assert!(told.contains("suspended until") && told.contains("decisions approve d_"), "{told}");
    let (_, told) = ask("ada", &[&["credentials", "revoke", "key_9"], &because[..]].concat());
    assert!(told.contains("pending approval"), "{told}");
    let (_, told) = ask("ada", &["credentials", "restore", "kye_9", "--reason", "a typo"]);
    assert!(told.contains("nothing to restore"), "{told}");
    let (code, told) = ask("ada", &["decisions", "list", "--waiting"]);
    assert_eq!(code, Some(0));
    assert!(told.contains(&id) && told.contains("approved by: ada"), "{told}");
    let (_, told) = ask("bob", &["decisions", "approve", &id, "--reason", "confirmed", "--yes"]);
    assert!(told.contains("api_key:key_1: revoked as d_"), "{told}");
    let id = two.revoke("key_2");
    let (_, told) = ask("bob", &["decisions", "reject", &id, "--reason", "a load test"]);
    assert!(told.contains("rejected"), "{told}");
    let (code, told) = ask("bob", &["decisions", "approve", &id, "--reason", "yes", "--yes"]);
    assert_eq!((code, told.contains("nothing waits")), (Some(1), true), "{told}");
}

#[test]
fn a_gateway_with_a_copy_asks_for_what_changed_since() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    daemon.order("revoke", "key_1");
    let ids = |answer: &Value| {
        let changes = answer["changes"].as_array().expect("a list").iter();
        changes.map(|one| format!("{} {}", one["id"], one["status"])).collect::<Vec<_>>()
    };
    let first = until("the store has it", PATIENCE, || {
        Some(daemon.get("/v1/changes")).filter(|answer| !ids(answer).is_empty())
    });
    assert_eq!((&first["reset"], &first["more"]), (&true.into(), &false.into()));
    assert_eq!(ids(&first), [r#""key_1" "revoked""#]);
    let next = first["next"].as_str().expect("a cursor").to_owned();
    let again = daemon.get(&format!("/v1/changes?since={next}"));
    assert_eq!(
        (ids(&again).len(), &again["reset"], &again["next"]),
        (0, &false.into(), &next.clone().into())
    );
    daemon.order("suspend", "key_2");
    daemon.order("restore", "key_1");
    let after = until("both are there", PATIENCE, || {
        let answer = daemon.get(&format!("/v1/changes?since={next}"));
        (ids(&answer).len() == 2).then_some(answer)
    });
    assert_eq!(ids(&after), [r#""key_2" "suspended""#, r#""key_1" "active""#]);
    assert!(after["changes"][0]["until"].is_string(), "a suspension has an end: {after}");
    for unknown in ["other:5", "nonsense", ":", "18446744073709551616"] {
        let answer = daemon.get(&format!("/v1/changes?since={unknown}"));
        assert_eq!((&answer["reset"], ids(&answer).len()), (&true.into(), 2), "{unknown}");
    }
}

#[test]
fn a_stream_of_changes_goes_on_where_it_was_cut() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    daemon.order("revoke", "key_1");
    let listen = |last: Option<&str>| {
        let client = crate::support::http_builder().timeout(PATIENCE).build().expect("a client");
        let mut request = client.get(format!("{}/v1/changes", daemon.base()));
        request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        BufReader::new(request.send().expect("answers"))
    };
    let mut stream = listen(None);
    assert_eq!(next_event(&mut stream).0, "reset");
    let (event, id, data) = next_event(&mut stream);
    assert_eq!((event.as_str(), &json(&data)["id"]), ("change", &"key_1".into()));
    daemon.order("suspend", "key_2");
    let (_, _, data) = next_event(&mut stream);
    assert_eq!(json(&data)["status"], "suspended", "it comes as it happens");
    drop(stream);
    daemon.order("revoke", "key_3");
    let mut stream = listen(Some(&id));
    let names = [next_event(&mut stream).2, next_event(&mut stream).2];
    assert_eq!(names.map(|data| json(&data)["id"].clone()), ["key_2", "key_3"]);
}

/// Name, id and data of the next event.
fn next_event(stream: &mut impl BufRead) -> (String, String, String) {
    let (mut event, mut id, mut data) = (String::new(), String::new(), String::new());
    loop {
        let mut line = String::new();
        assert!(stream.by_ref().read_line(&mut line).expect("reads") > 0, "the stream ended");
        let line = line.trim_end();
        match line.split_once(':') {
            Some(("event", value)) => value.trim().clone_into(&mut event),
            Some(("id", value)) => value.trim().clone_into(&mut id),
            Some(("data", value)) => value.trim().clone_into(&mut data),
            _ if line.is_empty() && !event.is_empty() => return (event, id, data),
            _ => {}
        }
    }
}

#[test]
fn the_journal_says_whether_it_is_whole() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    for name in ["key_1", "key_2", "key_3"] {
        daemon.order("revoke", name);
    }
    let data = daemon.data();
    daemon.terminate();
    let verify = |further: &[&str]| {
        let mut command = Command::new(BINARY);
        let done =
            command.args(["journal", "verify"]).arg(&data).args(further).output().expect("runs");
        (
            done.status.code(),
            String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned(),
        )
    };
    let (code, told) = verify(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.starts_with(&format!("{}: ", data.display())), "it says what it read: {told}");
    assert!(told.contains(" in 1 file, "), "{told}");
    let head = told.trim().rsplit(' ').next().expect("a head").to_owned();
    assert_eq!(verify(&["--head", &head]).0, Some(0));
    assert_eq!(verify(&["--head", "12"]).0, Some(64));
    let path = data.join("journal.ndjson");
    let text = std::fs::read_to_string(&path).expect("reads");
    std::fs::write(&path, text.replacen("asked by a test", "asked by a TEST", 1)).expect("writes");
    let (code, told) = verify(&[]);
    assert_eq!((code, told.contains("broken at line 1")), (Some(1), true), "{told}");
    // Somebody who cuts the end off and removes the index, too, is found by a head kept elsewhere.
    let lines: Vec<&str> = text.lines().collect();
    let shorter = lines[..lines.len() - 1].join("\n") + "\n";
    std::fs::write(&path, shorter).expect("writes");
    assert_eq!(verify(&[]).0, Some(1), "the index knows");
    std::fs::remove_file(data.join("journal.db")).expect("removes");
    assert_eq!(verify(&[]).0, Some(0), "nothing here knows");
    let (code, told) = verify(&["--head", &head]);
    assert_eq!((code, told.contains("is known to have been written")), (Some(1), true), "{told}");
}

#[test]
fn a_secret_that_is_pasted_into_an_order_takes_effect_and_is_never_kept() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let secret = "ghp_PLANTED0123456789abcdef0123456789";
    daemon.post_events(&crate::support::daemon::uses(secret, now_ms(), 3));
    daemon.order("revoke", secret);
    until("the key is refused", PATIENCE, || {
        let asked = |name| daemon.send("GET", "/v1/check", &[(name, secret)], "").0;
        (asked("x-api-key") == 403 && asked("x-tripline-credential") == 403).then_some(())
    });
    let shown = daemon.get(&format!("/v1/credentials/{secret}"));
    assert_eq!(shown["status"], "revoked");
    let told = daemon.send("GET", "/v1/changes", &[], "").1;
    let (log, data) = (daemon.log(), daemon.data());
    daemon.terminate();
    assert!(!log.contains("PLANTED") && !told.contains("PLANTED"), "{log}");
    for (path, bytes) in kept(&data) {
        assert!(!String::from_utf8_lossy(&bytes).contains("PLANTED"), "{}", path.display());
        let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is for its user alone", path.display());
    }
}

#[test]
fn a_suspension_ordered_by_one_person_has_an_end_and_what_waits_lasts_as_long_as_people_may_take() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "[approval]\nrequired_approvers = 2\ntimeout = \"24h\"\n");
    let say = |verb: &str, seconds: u64| {
        let json = format!("{{\"reason\":\"r\",\"lasts_s\":{seconds}}}");
        daemon.say(&format!("/v1/credentials/key_1/{verb}"), &json).0
    };
    assert_eq!([say("suspend", 0), say("suspend", 4_294_967_295), say("revoke", 60)], [400; 3]);
    assert_eq!(daemon.say("/v1/credentials/key_1/revoke", "{\"reason\":\"\u{202e}r\"}").0, 400);
    let decision = daemon.order("revoke", "key_1")["decision"].clone();
    let hour = |field: &str| decision[field].as_str().expect("a time")[8..13].to_owned();
    assert_eq!(decision["action"], "suspend");
    assert_ne!(hour("at")[..2], hour("until")[..2], "until the next day: {decision}");
}

#[test]
fn changes_name_credentials_so_a_page_of_another_name_may_not_read_them() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    assert_eq!(daemon.send("GET", "/v1/changes", &[("host", "evil.example")], "").0, 403);
    let first = daemon.get("/v1/changes");
    let epoch = first["next"].as_str().expect("a cursor").split(':').next().expect("an epoch");
    for ahead in ["999999", "9223372036854775808", "18446744073709551615"] {
        let answer = daemon.get(&format!("/v1/changes?since={epoch}:{ahead}"));
        assert_eq!(answer["reset"], true, "{ahead} lies ahead");
    }
}

#[test]
fn no_password_of_an_address_stands_in_a_message_about_a_configuration() {
    let folder = folder();
    let path = folder.path().join("tripline.toml");
    let text = "[auth_store.redis]\nurl = \"redis://u:PLANTED@127.0.0.1:1/\"\nurll = 1\nkey = \"x\"\n\
                [auth_store.webhook.w]\nurl = \"https://u:PLANTED@host/\"\n";
    std::fs::write(&path, text).expect("writes");
    let done = Command::new(BINARY).arg("check").arg(&path).output().expect("runs");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(said.contains("urll") && !said.contains("PLANTED"), "{said}");
}

#[test]
fn the_status_says_how_the_daemon_is_and_what_who_asks_may_do() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "mode.default = \"throttle\"\n");
    let status = daemon.get("/v1/status");
    assert_eq!(status["mode"], "throttle");
    assert_eq!(status["account"], "local");
    assert_eq!(status["roles"], serde_json::json!(["ingest", "check", "read"]));
    assert_eq!(status["journal"]["writable"], true);
    assert_eq!(status["stores"][0]["name"], "embedded");
    let events: Vec<String> =
        (0..3).map(|n| crate::support::daemon::event("key_1", now_ms() - n)).collect();
    daemon.post_events(&events.join("\n"));
    until("the events are counted", PATIENCE, || {
        (daemon.get("/v1/status")["events"] == 3).then_some(())
    });
    let per_second = daemon.get("/v1/credentials/key_1")["per_second"].clone();
    let counts: Vec<u64> = serde_json::from_value(per_second).expect("counts");
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (60, 3), "{counts:?}");
}

#[test]
fn a_suspension_weakens_no_revocation_and_an_unknown_name_is_asked_about() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let order = |verb: &str, id: &str| daemon.say(&format!("/v1/credentials/{id}/{verb}"), REASON);
    let (status, body) = order("revoke", "key_1");
    assert_eq!(status, 200, "{body}");
    assert_eq!(json(&body)["known"], false, "no event named it: {body}");
    let (status, body) = order("suspend", "key_1");
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("more severe") && body.contains("restore it first"), "{body}");
    let (status, body) = order("revoke", "apikey:key_1");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("did you mean api_key?"), "{body}");
}

#[test]
fn the_answer_to_an_order_comes_once_it_is_obeyed_and_a_suspension_beside_it_undoes_nothing() {
    const SECOND: &str = r#"{"reason":"asked by a test","lasts_s":1}"#;
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let order = |verb: &str, id: &str, said: &str| {
        daemon.say(&format!("/v1/credentials/{id}/{verb}"), said)
    };
    for n in 0..20 {
        let id = format!("key_{n}");
        let (status, body) = order("revoke", &id, REASON);
        assert_eq!((status, &json(&body)["before"]), (200, &"active".into()), "{body}");
        assert_eq!(daemon.check(&id), 403, "{id}");
        let (status, body) = order("suspend", &id, SECOND);
        assert_eq!(status, 409, "{body}");
        let (status, body) = order("restore", &id, REASON);
        assert_eq!((status, &json(&body)["before"]), (200, &"revoked".into()), "{body}");
        assert_eq!(daemon.check(&id), 200, "{id}");
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(order("revoke", &id, REASON).0, 200));
            scope.spawn(|| assert!([200, 409].contains(&order("suspend", &id, SECOND).0)));
        });
        let newest = daemon.get(&format!("/v1/decisions?credential={id}"))[0].clone();
        assert_eq!(newest["action"], "revoke", "{newest}");
        assert_eq!(daemon.check(&id), 403, "{id}");
    }
}

#[test]
fn a_second_daemon_takes_no_socket_away() {
    let folder = folder();
    let daemon = Daemon::start(&folder, "");
    let config = folder.path().join("tripline.toml");
    let mut second = Command::new(BINARY);
    second.args(["run", "--config"]).arg(config);
    let done = second.env("TRIPLINE_HTTP__LISTEN", "127.0.0.1:0").output().expect("runs");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.code() == Some(69) && told.contains("in use by another tripline"),
        "{told}"
    );
    assert_eq!(daemon.say("/v1/credentials/key_1/revoke", REASON).0, 200);
}
