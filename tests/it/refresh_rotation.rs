//! Reuse of a rotated refresh token, end to end: a real `oidc-provider` runs the hook of
//! `docs/guides/refresh-tokens.md`, and tripline its settings.

use crate::oauth::{SECRET, Server, jti};
use crate::support::daemon::Daemon;
use crate::support::until;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::Duration;
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../docs/guides/refresh-tokens.md");
/// What the access tokens are for; its resource server takes JWTs.
const RESOURCE: &str = "resource=https%3A%2F%2Fapi.example";
const PATIENCE: Duration = Duration::from_secs(20);

/// A block of the guide.
fn block(language: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("its end").0
}

/// A refresh token by the name that the hook gives it.
fn name(refresh: &str) -> String {
    let mut name = String::from("refresh_token:h_");
    for byte in Sha256::digest(refresh).iter().take(16) {
        write!(name, "{byte:02x}").expect("a text takes all");
    }
    name
}

/// Where a client of the app is, and what it says it is.
#[derive(Clone, Copy)]
struct Device(&'static str, &'static str);

const LAPTOP: Device = Device("192.0.2.10", "Firefox/140.0");
const PHONE: Device = Device("198.51.100.20", "Safari/605.1");
const THIEF: Device = Device("203.0.113.66", "curl/8.5.0");

/// What one answer of the token endpoint holds.
#[derive(Clone, Debug)]
struct Tokens {
    refresh: String,
    access: String,
}

/// The authorization server, tripline, and how many events the server must have sent.
struct World {
    server: Server,
    daemon: Daemon,
    events: u32,
    _folder: TempDir,
}

impl World {
    /// With the settings of the guide, changed; none where the tests of the server are left out.
    fn start(change: impl FnOnce(&str) -> String) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let daemon = Daemon::start(&folder, &change(block("toml")));
        let hook = folder.path().join("hook.mjs");
        std::fs::write(&hook, block("js")).expect("writes");
        let server = Server::start_with(&[&hook.display().to_string(), daemon.base()])?;
        Some(Self { server, daemon, events: 0, _folder: folder })
    }

    fn ask(&self, Device(address, agent): Device, form: &str) -> Value {
        let request = crate::support::http().post(format!("{}/token", self.server.base));
        let request = request.basic_auth("app", Some(SECRET)).body(form.to_owned());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("x-forwarded-for", address).header("user-agent", agent);
        request.send().expect("answers").json().expect("JSON")
    }

    fn tokens(answer: &Value) -> Tokens {
        let text = |name: &str| {
            let text = answer.get(name).and_then(Value::as_str);
            text.unwrap_or_else(|| panic!("{answer}")).to_owned()
        };
        Tokens { refresh: text("refresh_token"), access: text("access_token") }
    }

    /// A user logs in: the first tokens of a new grant.
    fn log_in(&mut self, user: &str, device: Device) -> Tokens {
        let url = format!("{}/consent?user={user}", self.server.base);
        let code = crate::support::http().get(url).send().expect("answers").text().expect("a code");
        let form = format!(
            "grant_type=authorization_code&code={code}&{RESOURCE}\
             &redirect_uri=https%3A%2F%2Fapp.example%2Fcallback"
        );
        self.events += 2;
        Self::tokens(&self.ask(device, &form))
    }

    /// Uses a refresh token, which is good.
    fn refresh(&mut self, token: &str, device: Device) -> Tokens {
        self.events += 3;
        let form = format!("grant_type=refresh_token&refresh_token={token}&{RESOURCE}");
        Self::tokens(&self.ask(device, &form))
    }

    /// Uses one that the server refuses as used up.
    fn reuse(&mut self, token: &str, device: Device) {
        self.events += 1;
        let form = format!("grant_type=refresh_token&refresh_token={token}&{RESOURCE}");
        let answer = self.ask(device, &form);
        let error = answer.get("error").and_then(Value::as_str);
        assert_eq!(error, Some("invalid_grant"), "{answer}");
    }

    /// Waits until tripline has applied all that the server sent.
    fn settle(&self) {
        until("all events are applied", PATIENCE, || {
            let applied = self.daemon.metric("tripline_events_total");
            (applied >= f64::from(self.events)).then(|| {
                assert!(applied <= f64::from(self.events), "{applied} for {}", self.events);
            })
        });
    }

    /// The findings so far, as `credential action`, in no order.
    fn found(&self) -> Vec<String> {
        let found = self.daemon.get("/v1/findings");
        let found = found.as_array().expect("findings").iter();
        let of = |one: &Value, name: &str| one[name].as_str().map(str::to_owned);
        found
            .inspect(|one| assert_eq!(one["detector"], "reuse", "{one}"))
            .filter_map(|one| {
                let [kind, id, action] = ["kind", "credential", "action"].map(|name| of(one, name));
                Some(format!("{}:{} {}", kind?, id?, action?))
            })
            .collect()
    }

    /// What a gateway hears of the tokens of an answer: the refresh token by name, the access token itself.
    fn heard(&self, tokens: &Tokens) -> (u16, u16) {
        let bearer = format!("Bearer {}", tokens.access);
        let (access, _) = self.daemon.send("GET", "/v1/check", &[("authorization", &bearer)], "");
        (self.daemon.check(&name(&tokens.refresh)), access)
    }
}

#[test]
fn a_thief_with_a_used_up_refresh_token_ends_that_grant_alone_and_honest_clients_end_none() {
    let Some(mut world) = World::start(str::to_owned) else { return };
    let bob = world.log_in("bob", PHONE);
    let bob = world.refresh(&bob.refresh, PHONE);
    let first = world.log_in("alice", LAPTOP);
    let second = world.refresh(&first.refresh, LAPTOP);
    let third = world.refresh(&second.refresh, LAPTOP);
    let live = world.refresh(&third.refresh, LAPTOP);
    // Carol's client never gets the answer, and says the same again. The server ends her grant by its own rule.
    let lost = world.log_in("carol", LAPTOP);
    let carol = world.refresh(&lost.refresh, LAPTOP);
    world.reuse(&lost.refresh, LAPTOP);
    world.settle();
    assert_eq!(world.found(), Vec::<String>::new(), "three rotations and a lost answer");
    for tokens in [&first, &second, &third, &live, &bob, &lost, &carol] {
        assert_eq!(world.heard(tokens), (200, 200));
    }

    world.reuse(&second.refresh, THIEF);
    let of_alice = [&second, &third, &live];
    until("the tokens of the grant are out of service", PATIENCE, || {
        let all_refused = of_alice.iter().all(|tokens| world.heard(tokens) == (403, 403));
        // The first refresh token was used up for long: the server refuses it by itself.
        (all_refused && world.heard(&first) == (200, 403)).then_some(())
    });
    world.settle();
    let mut found = world.found();
    found.sort();
    let names = |tokens: &&Tokens| [name(&tokens.refresh), format!("jwt:{}", jti(&tokens.access))];
    let mut wanted: Vec<String> =
        of_alice.iter().flat_map(names).map(|name| format!("{name} revoke")).collect();
    wanted.push(format!("jwt:{} revoke", jti(&first.access)));
    wanted.sort();
    assert_eq!(found, wanted);
    for name in of_alice.iter().flat_map(names) {
        assert_eq!(world.daemon.get(&format!("/v1/credentials/{name}"))["status"], "revoked");
    }
    for tokens in [&bob, &lost, &carol] {
        assert_eq!(world.heard(tokens), (200, 200), "another grant");
    }
    let bob = world.refresh(&bob.refresh, PHONE);
    world.settle();
    assert_eq!(world.heard(&bob), (200, 200));

    world.daemon.order("restore", &name(&live.refresh));
    until("it is in service again", PATIENCE, || (world.heard(&live) == (200, 403)).then_some(()));
}

#[test]
fn where_reuse_alerts_alone_whoever_shows_an_old_token_ends_no_grant() {
    let alert = |settings: &str| settings.replace("action = \"revoke\"", "action = \"alert\"");
    let Some(mut world) = World::start(alert) else { return };
    let first = world.log_in("alice", LAPTOP);
    let second = world.refresh(&first.refresh, LAPTOP);
    let live = world.refresh(&second.refresh, LAPTOP);
    world.reuse(&first.refresh, THIEF);
    world.settle();
    let found = until("it is found", PATIENCE, || {
        let found = world.found();
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(found, [format!("{} alert", name(&first.refresh))]);
    for tokens in [&first, &second, &live] {
        assert_eq!(world.heard(tokens), (200, 200));
    }
}
