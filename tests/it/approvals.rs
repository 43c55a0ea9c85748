//! Revocations that wait for people: whose voice counts, for what, and under which settings.

use crate::http_events::token_of;
use crate::support::daemon::{BINARY, Daemon, now_ms, uses};
use crate::support::until;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const REASON: &str = r#"{"reason":"seen in a public repository"}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

/// People with tokens, and a daemon that asks some of them.
struct People {
    folder: tempfile::TempDir,
    tokens: tempfile::TempDir,
    daemon: Option<Daemon>,
}

/// Each with a token of that role.
const OPERATE: [(&str, &str); 3] = [("ada", "operate"), ("bob", "operate"), ("cleo", "operate")];

impl People {
    fn new(approval: &str) -> Self {
        let new = || tempfile::tempdir().expect("a folder");
        let mut people = Self { folder: new(), tokens: new(), daemon: None };
        people.restart(approval, &OPERATE);
        people
    }

    /// Starts the daemon again, with other settings and roles.
    fn restart(&mut self, approval: &str, roles: &[(&str, &str)]) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        let of = |(name, role): &(&str, &str)| token_of(&self.tokens, name, role).0;
        let tokens: String = roles.iter().map(of).collect();
        self.start(approval, &tokens);
    }

    fn start(&mut self, approval: &str, tokens: &str) {
        let limits = "mode.default = \"revoke\"\nlimits.default = \"60/min\"\n";
        let config = format!("{limits}[approval]\n{approval}\n{tokens}");
        self.daemon = Some(Daemon::start_in(self.folder.path(), &config));
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it runs")
    }

    fn bearer(name: &str) -> String {
        format!("Bearer token-of-{name}-0123456789abcdef")
    }

    fn post(&self, path: &str, who: &str, body: &str) -> (u16, Value) {
        let bearer = Self::bearer(who);
        let headers = [JSON, ("authorization", bearer.as_str())];
        let (status, body) = self.daemon().send("POST", path, &headers, body);
        (status, serde_json::from_str(&body).expect("JSON"))
    }

    fn order(&self, verb: &str, who: &str) -> (u16, Value) {
        self.post(&format!("/v1/credentials/key_1/{verb}"), who, REASON)
    }

    fn vote(&self, id: &str, who: &str) -> (u16, Value) {
        self.post(&format!("/v1/decisions/{id}/approve"), who, REASON)
    }

    fn get(&self, path: &str) -> Value {
        let bearer = Self::bearer("bob");
        let (_, body) = self.daemon().send("GET", path, &[("authorization", &bearer)], "");
        serde_json::from_str(&body).expect("JSON")
    }

    fn waiting(&self) -> Value {
        self.get("/v1/approvals")
    }

    fn check(&self) -> u16 {
        self.daemon().check_as("key_1", &Self::bearer("bob"))
    }

    fn status(&self) -> String {
        let shown = self.get("/v1/credentials/key_1");
        shown.get("status").and_then(Value::as_str).expect("a status").to_owned()
    }

    /// Has tripline itself ask for the revocation of a key; gives the decision that waits.
    fn wait_for_people(&self) -> String {
        let bearer = Self::bearer("bob");
        let lines = uses("key_1", now_ms(), 2000);
        self.daemon().send("POST", "/v1/events", &[("authorization", &bearer)], lines);
        until("it waits for people", PATIENCE, || {
            let waiting = self.waiting();
            waiting.pointer("/0/decision/id").and_then(Value::as_str).map(str::to_owned)
        })
    }
}

#[test]
fn a_persons_revocation_of_what_waits_is_the_voice_that_was_missing() {
    let people = People::new("required_approvers = 1");
    let id = people.wait_for_people();
    let (status, done) = people.order("revoke", "ada");
    assert_eq!(
        (status, &done["changed"], &done["decision"]["action"]),
        (200, &true.into(), &"revoke".into()),
        "{done}"
    );
    assert_eq!(done["voice"], serde_json::json!({"decision": id, "missing": 0}), "{done}");
    until("it is revoked", PATIENCE, || (people.status() == "revoked").then_some(()));
    assert_eq!((people.check(), people.waiting()), (403, Value::Array(vec![])));
}

#[test]
fn a_persons_revocation_of_what_waits_for_two_says_that_it_is_one_voice() {
    let people = People::new("required_approvers = 2");
    let id = people.wait_for_people();
    let revoke = |who: &str| {
        let mut command = Command::new(BINARY);
        command.args(["credentials", "revoke", "key_1", "--reason", "leaked", "--yes"]);
        command
            .args(["--url", people.daemon().base(), "--token-file"])
            .arg(people.tokens.path().join(who));
        let done = command.output().expect("runs");
        let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        (done.status.code(), told)
    };
    let (code, told) = revoke("ada");
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains(&format!("counts as an approval of {id}")) && told.contains("1 more"),
        "{told}"
    );
    assert_eq!(people.waiting()[0]["agreed"], serde_json::json!(["ada"]));
    let (code, told) = revoke("ada");
    assert_ne!(code, Some(0), "nothing was done: {told}");
    assert!(told.contains("you have agreed already"), "{told}");
    let (code, told) = revoke("bob");
    assert_eq!((code, told.contains("revoke ordered as")), (Some(0), true), "{told}");
    until("it is revoked", PATIENCE, || (people.status() == "revoked").then_some(()));
}

#[test]
fn what_waits_goes_by_the_settings_under_which_it_began() {
    let mut people = People::new("required_approvers = 2\ntimeout = \"1h\"");
    let id = people.wait_for_people();
    assert_eq!(people.vote(&id, "ada").0, 200);
    people.restart("required_approvers = 1\ntimeout = \"1h\"", &OPERATE);
    let waiting = people.waiting();
    assert_eq!(
        (&waiting[0]["decision"]["id"], &waiting[0]["agreed"][0]),
        (&id.as_str().into(), &"ada".into()),
        "{waiting}"
    );
    assert_eq!(waiting[0]["missing"], 1, "{waiting}");
    assert_eq!(people.status(), "suspended");
    assert_eq!(people.vote(&id, "ada").0, 409, "her voice was not forgotten");
    let (status, done) = people.vote(&id, "bob");
    assert_eq!((status, &done["decision"]["action"]), (200, &"revoke".into()), "{done}");

    let mut people = People::new("required_approvers = 2\ntimeout = \"1s\"");
    let (status, done) = people.order("revoke", "ada");
    assert_eq!(status, 200, "{done}");
    let id = done["decision"]["id"].as_str().expect("an id").to_owned();
    until("its time is over", PATIENCE, || {
        (people.waiting() == Value::Array(vec![])).then_some(())
    });
    assert_eq!(people.vote(&id, "bob").0, 409);
    people.restart("required_approvers = 2\ntimeout = \"1h\"", &OPERATE);
    let (status, told) = people.vote(&id, "bob");
    assert_eq!((status, told["title"].as_str()), (409, Some("that comes too late")), "{told}");
    assert_eq!(people.waiting(), Value::Array(vec![]));
}

#[test]
fn a_suspension_ends_no_waiting_and_opens_nothing_meanwhile() {
    let people = People::new("required_approvers = 2\ntimeout = \"1h\"");
    let id = people.wait_for_people();
    let until_then = people.get("/v1/credentials/key_1")["until"].clone();
    let path = "/v1/credentials/key_1/suspend";
    let (status, done) = people.post(path, "ada", r#"{"reason":"a look","lasts_s":1}"#);
    assert_eq!((status, &done["decision"]["until"]), (200, &until_then), "{done}");
    assert_eq!(people.waiting()[0]["decision"]["id"], id.as_str(), "it still waits");
    assert_eq!(people.vote(&id, "ada").0, 200);
    let (_, done) = people.vote(&id, "bob");
    assert_eq!(done["decision"]["action"], "revoke", "{done}");
}

#[test]
fn a_voice_belongs_to_a_secret_that_may_operate_now() {
    let mut people = People::new("required_approvers = 2\ntimeout = \"1h\"");
    let id = people.wait_for_people();
    assert_eq!(people.vote(&id, "ada").0, 200);
    // The same secret under another name.
    let file = people.tokens.path().join("ada");
    let renamed = format!(
        "[http.tokens.adele]\nroles = [\"operate\", \"read\"]\ntoken_file = \"{}\"\n{}",
        file.display(),
        token_of(&people.tokens, "bob", "operate").0
    );
    people.daemon.take().expect("it runs").kill();
    people.start("required_approvers = 2\ntimeout = \"1h\"", &renamed);
    assert_eq!(people.vote(&id, "ada").0, 409, "it is the same voice");
    assert_eq!(people.status(), "suspended");
    // It may not operate any more.
    let read_only = [("ada", "read"), ("bob", "operate"), ("cleo", "operate")];
    people.restart("required_approvers = 2\ntimeout = \"1h\"", &read_only);
    let waiting = people.waiting();
    assert_eq!((&waiting[0]["agreed"], &waiting[0]["missing"]), (&Value::Array(vec![]), &2.into()));
    let (status, done) = people.vote(&id, "bob");
    assert_eq!((status, &done["voice"]["missing"]), (200, &1.into()), "{done}");
    let (_, done) = people.vote(&id, "cleo");
    assert_eq!(
        (&done["decision"]["action"], &done["decision"]["by"]),
        (&"revoke".into(), &"bob, cleo".into()),
        "{done}"
    );
}

#[test]
fn nothing_waits_once_nobody_is_asked_any_more() {
    let mut people = People::new("required_approvers = 2\ntimeout = \"1h\"");
    let id = people.wait_for_people();
    let path = people.folder.path().join("tripline.toml");
    let text = std::fs::read_to_string(&path)
        .expect("reads")
        .replace("required_approvers = 2", "required_approvers = 0");
    std::fs::write(people.folder.path().join("new.toml"), text).expect("writes");
    std::fs::rename(people.folder.path().join("new.toml"), &path).expect("moves");
    until("nothing waits", PATIENCE, || (people.waiting() == Value::Array(vec![])).then_some(()));
    assert_eq!((people.vote(&id, "bob").0, people.status()), (404, "suspended".to_owned()));
    until("the gauge says so", PATIENCE, || {
        (people.get("/v1/status")["approvals"] == 0).then_some(())
    });
    people.restart("required_approvers = 0", &OPERATE);
    assert_eq!(people.waiting(), Value::Array(vec![]), "nor after a restart");
    let (status, done) = people.order("revoke", "ada");
    assert_eq!((status, &done["decision"]["action"]), (200, &"revoke".into()), "at once: {done}");
}
