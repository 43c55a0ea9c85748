//! The limits between a finding and a revocation: the tenant's own share of the revocation limit, the
//! shared limit as it comes back, and the warm-up after a start.

use crate::redis::params;
use crate::support::daemon::{Daemon, now_ms};
use crate::support::redis_server::RedisServer;
use crate::support::{skipped, until};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tripline::adapters::enforce::redis::store::RedisStore;
use tripline::control_plane::control::Control;
use tripline::control_plane::params::Params;
use tripline::control_plane::policy::budget::Budgets;
use tripline::control_plane::policy::mode::Modes;
use tripline::control_plane::policy::revocation_limit::{self, Allowed};
use tripline::model::credential::Credential;
use tripline::model::decision::{Decision, Mode, Order, Safeguard, TokenGrant};
use tripline::model::finding::{
    Action, Detector, Finding, FindingId, Gate, Gates, Measure, Reached,
};
use tripline::model::signal::{Change, Exposure, Signal};
use tripline::model::time::EventTime;

const MINUTE_MS: i64 = 60_000;

fn at(ms: i64) -> EventTime {
    EventTime::from_ms(1_700_000_000_000 + ms)
}

/// A finding of a mature credential with all gates passed.
fn signal(id: &str, tenant: Option<&str>, detector: Detector, action: Action) -> Signal {
    let credential = Credential::parse(id).expect("valid");
    let gates = Gate::ALL.into_iter().fold(Gates::NONE, |gates, gate| gates.with(gate, true));
    let finding = Finding {
        id: FindingId::of(&credential, detector, at(0)),
        tenant: tenant.map(Into::into),
        credential,
        detector,
        action,
        opened: at(0),
        reached: Reached::default(),
        gates,
        updated: at(0),
        closed: None,
        evidence_nats: 60.0,
        summary: "made 20,000 requests in 60 s".to_owned(),
        evidence: vec![Measure::new("count", 20_000.0)],
        place: None,
        expires: None,
    };
    let change = Change::Opened;
    Signal { finding, change, catch_up: false, again: false, seen: Exposure::default() }
}

fn control(revocation_limit: revocation_limit::Params) -> Control {
    let modes = Modes { default: Mode::Revoke, ..Modes::default() };
    let budgets = Budgets::NONE;
    Control::new(Arc::new(Params { modes, revocation_limit, budgets, ..Params::default() }))
}

fn ordered(decision: &Decision) -> (Order, &[Safeguard]) {
    (decision.order, &decision.held_by)
}

const REVOKED: (Order, &[Safeguard]) = (Order::Act(Action::Revoke), &[]);
const HELD: (Order, &[Safeguard]) = (Order::Act(Action::Suspend), &[Safeguard::RevocationLimit]);

#[test]
fn a_tenant_that_has_used_its_revocations_takes_none_of_anothers() {
    let limit = revocation_limit::Params {
        per_tenant_hour: 2,
        per_hour: 5,
        ..revocation_limit::Params::default()
    };
    let mut control = control(limit);
    let mut decide = |id: &str, tenant: Option<&str>, ms: i64| {
        let signal = signal(id, tenant, Detector::Limit, Action::Revoke);
        let decision = control.on_signal(&signal, at(ms)).expect("decided");
        (decision.order, decision.held_by)
    };
    let mut is = |id: &str, tenant, ms, expected: (Order, &[Safeguard])| {
        let (order, held_by) = decide(id, tenant, ms);
        assert_eq!((order, held_by.as_slice()), expected, "{id} of {tenant:?}");
    };
    is("a1", Some("acme"), 0, REVOKED);
    is("a2", Some("acme"), 1, REVOKED);
    is("a3", Some("acme"), 2, HELD);
    is("b1", Some("bloom"), 3, REVOKED);
    is("b2", Some("bloom"), 4, REVOKED);
    is("b3", Some("bloom"), 5, HELD);
    // One without a tenant has only the limit of all, of which one is left.
    is("n1", None, 6, REVOKED);
    is("n2", None, 7, HELD);
    is("c1", Some("corp"), 8, HELD);
    // An hour after they were used they come back, to each tenant its own.
    is("a4", Some("acme"), 3_600_000, REVOKED);
    is("a5", Some("acme"), 3_600_000, HELD);
    is("c2", Some("corp"), 3_600_001, REVOKED);
}

#[test]
fn the_warm_up_throttles_at_most_and_what_goes_on_is_judged_again_after_it() {
    let mut control = control(revocation_limit::Params::default());
    control.set_started(at(0));
    let burst = signal("k1", None, Detector::Burst, Action::Revoke);
    let early = control.on_signal(&burst, at(0)).expect("decided");
    assert_eq!(ordered(&early), (Order::Act(Action::Throttle), &[Safeguard::WarmUp][..]));
    let last = at(5 * MINUTE_MS - 1);
    let other = signal("k2", None, Detector::Burst, Action::Suspend);
    let late = control.on_signal(&other, last).expect("decided");
    assert_eq!(ordered(&late), (Order::Act(Action::Throttle), &[Safeguard::WarmUp][..]));
    assert_eq!(control.on_signal(&burst, last), None, "nothing has changed");
    let contract = signal("k3", None, Detector::Limit, Action::Revoke);
    let decision = control.on_signal(&contract, at(1)).expect("decided");
    assert_eq!(ordered(&decision), REVOKED, "a contract holds from the first second");
    let after = control.on_signal(&burst, at(5 * MINUTE_MS)).expect("judged again");
    assert_eq!(ordered(&after), REVOKED);
}

/// Eight days of a key's use, and the burst of a thief at `now`.
fn mature_then_stolen(key: &str, now: i64) -> (String, String) {
    let from = now - 8 * 24 * 60 * MINUTE_MS;
    let mut usual = String::new();
    for n in 0..8 * 24 * 12 {
        let ms = from + n * 5 * MINUTE_MS;
        writeln!(
            usual,
            "{{\"time\":{ms},\"credential\":\"{key}\",\"status\":200,\"ip\":\"198.18.0.7\",\
             \"country\":\"DE\",\"user_agent\":\"openai-python/1.54\",\"endpoint\":\"/v1/a\"}}"
        )
        .expect("writes");
    }
    let mut stolen = String::new();
    for n in 0..1200 {
        let ms = now - 6_000 + n * 5;
        writeln!(
            stolen,
            "{{\"time\":{ms},\"credential\":\"{key}\",\"status\":200,\"ip\":\"198.18.1.7\",\
             \"country\":\"BR\",\"user_agent\":\"curl/8.1\",\"endpoint\":\"/v1/b\"}}"
        )
        .expect("writes");
    }
    (usual, stolen)
}

#[test]
fn a_daemon_that_has_just_started_says_that_it_warms_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "mode.default = \"revoke\"\nlimits.default = \"none\"\n";
    let daemon = Daemon::start(&folder, config);
    let (usual, stolen) = mature_then_stolen("key_1", now_ms());
    daemon.post_events(&usual);
    daemon.post_events(&stolen);
    let decision = until("a suspension was justified", Duration::from_secs(20), || {
        let decisions = daemon.get("/v1/decisions?credential=key_1");
        let found = decisions.as_array()?.iter().find(|one| one["wanted"] == "suspend");
        found.cloned()
    });
    let held_by = decision["held_by"].as_array().expect("a list");
    assert_eq!(held_by.first(), Some(&"warm_up".into()), "{decision}");
    assert_eq!(daemon.check("key_1"), 200, "{decision}");
}

#[test]
fn a_token_that_all_instances_share_comes_back_an_hour_after_it_was_taken() {
    const HOUR_MS: i64 = 3_600_000;
    const ALL: &str = "tripline:{breaker}:all";
    const ACME: &str = "tripline:{breaker}:tenant:acme";
    if skipped("redis") {
        return;
    }
    let server = RedisServer::start();
    let store = RedisStore::new(params(&server), "test").expect("a store");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let finding = |name: &str| {
        let credential = Credential::parse(name).expect("valid");
        FindingId::of(&credential, Detector::Burst, at(0))
    };
    let take = |tenant: Option<&str>, name: &str| {
        let allowed = Allowed { for_all: 3, for_tenant: 1 };
        runtime.block_on(store.take_token(tenant, allowed, finding(name)))
    };
    // Sets back when a token was taken.
    let age = |set: &str, name: &str, ms: i64| {
        let taken = (now_ms() - ms).to_string();
        let changed: i64 =
            server.ask(&["ZADD", set, "XX", "CH", &taken, &finding(name).to_string()]);
        assert_eq!(changed, 1, "{name} has a token of {set}");
    };
    assert_eq!(take(Some("acme"), "a"), TokenGrant::Granted);
    assert_eq!(take(None, "b"), TokenGrant::Granted);
    assert_eq!(take(Some("acme"), "c"), TokenGrant::Refused, "the tenant has had its own");
    assert_eq!(take(None, "d"), TokenGrant::Granted);
    assert_eq!(take(None, "e"), TokenGrant::Refused, "all have had theirs");
    for set in [ALL, ACME] {
        age(set, "a", HOUR_MS - 60_000);
    }
    assert_eq!(take(None, "e"), TokenGrant::Refused, "an hour is not over");
    age(ACME, "a", HOUR_MS + 1_000);
    assert_eq!(take(Some("acme"), "c"), TokenGrant::Refused, "of all there is none yet");
    age(ALL, "a", HOUR_MS + 1_000);
    assert_eq!(take(Some("acme"), "c"), TokenGrant::Granted, "both came back");
    assert_eq!(take(None, "e"), TokenGrant::Refused, "one came back, not all");
    assert_eq!(take(None, "b"), TokenGrant::Granted, "what has a token keeps it");
    age(ALL, "b", HOUR_MS + 1_000);
    assert_eq!(take(None, "e"), TokenGrant::Granted);
}
