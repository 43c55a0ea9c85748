//! Facts: leaks, uses that aren't valid, refresh tokens that come back, sessions, canaries; and the honest
//! uses that look like them.

use crate::support::random::Random;
use std::borrow::Cow;
use std::sync::Arc;
use tripline::data_plane::batch::{Batch, HashSeed};
use tripline::data_plane::partition::{Clock, Params};
use tripline::data_plane::shard_driver::ShardDriver;
use tripline::engine::Engine;
use tripline::model::credential::{Credential, Kind};
use tripline::model::event::{AuthEvent, Outcome};
use tripline::model::finding::{Action, Detector};
use tripline::model::proof::{Leak, Mark};
use tripline::model::signal::{LateUse, Signal};
use tripline::model::time::EventTime;

const SEED: HashSeed = HashSeed(1, 2);
const START_MS: i64 = 1_700_000_040_000;
const HOUR_MS: i64 = 3_600_000;

type Event = AuthEvent<'static>;

/// One shard, whose clock is that of its events.
struct World {
    shard: ShardDriver,
    offset: i64,
    signals: Vec<Signal>,
    late: Vec<LateUse>,
}

impl World {
    fn new(params: Params) -> Self {
        let shard = ShardDriver::empty(Arc::new(params), SEED);
        Self { shard, offset: 0, signals: Vec::new(), late: Vec::new() }
    }

    fn send(&mut self, event: &Event) {
        let mut batch = Batch::default();
        batch.push(event, self.offset, SEED);
        self.offset += 1;
        let output = self.shard.step(&batch, Clock::Events);
        self.signals.extend(output.signals);
        self.late.extend(output.late_uses);
    }

    fn mark(&mut self, name: &str, mark: Mark, ms: i64) {
        let credential = Credential::parse(name).expect("a name");
        let at = EventTime::from_ms(START_MS + ms);
        self.signals.extend(self.shard.mark(&credential, mark, at).signals);
    }

    /// The findings of a detector as `kind:id action`, each once, in order.
    fn found(&self, detector: Detector) -> Vec<String> {
        let of = self.signals.iter().filter(|signal| signal.finding.detector == detector);
        let mut found: Vec<String> = of
            .map(|signal| format!("{} {}", signal.finding.credential, signal.finding.action))
            .collect();
        found.dedup();
        found
    }

    fn most_severe(&self) -> Option<Action> {
        self.signals.iter().map(|signal| signal.finding.action).max()
    }
}

fn world() -> World {
    World::new(Params::default())
}

/// An accepted use after `ms`.
fn event(kind: Kind, id: &str, ms: i64) -> Event {
    let time = EventTime::from_ms(START_MS + ms);
    AuthEvent { kind, ..AuthEvent::new(time, Cow::Owned(id.to_owned())) }
}

/// The same by a client: its country, network and agent.
fn by(country: [u8; 2], network: u8, agent: &'static str, event: Event) -> Event {
    AuthEvent {
        country: Some(country),
        ip: Some([203, 0, network, 7].into()),
        user_agent: Some(agent.into()),
        ..event
    }
}

fn refresh(id: &str, ms: i64) -> Event {
    let event = AuthEvent { family: Some("grant_1".into()), ..event(Kind::RefreshToken, id, ms) };
    by(*b"DE", 1, "firefox", event)
}

fn access(id: &str, ms: i64) -> Event {
    let event = AuthEvent { family: Some("grant_1".into()), ..event(Kind::Jwt, id, ms) };
    by(*b"DE", 1, "firefox", event)
}

fn refused(reason: &'static str, event: Event) -> Event {
    AuthEvent { outcome: Outcome::Rejected, verified: true, reason: Some(reason.into()), ..event }
}

fn leak(is_proof: bool) -> Mark {
    Mark::Leaked(Leak { place: "github: https://example.com/a".into(), is_proof })
}

#[test]
fn a_reported_key_is_a_finding_at_once_and_says_where_it_was_found() {
    let mut world = world();
    world.send(&event(Kind::ApiKey, "k", 0));
    world.mark("k", leak(true), 1000);
    assert_eq!(world.found(Detector::Leak), ["api_key:k revoke"]);
    let finding = &world.signals[0].finding;
    assert_eq!(finding.place.as_deref(), Some("github: https://example.com/a"));
    assert!(finding.needs_no_proof() && !world.signals[0].catch_up);
}

#[test]
fn a_report_is_of_the_present_however_long_no_event_came() {
    let mut world = world();
    world.send(&event(Kind::ApiKey, "k", 0));
    world.mark("k", leak(true), 30 * 24 * HOUR_MS);
    assert_eq!(world.found(Detector::Leak), ["api_key:k revoke"]);
    assert!(!world.signals[0].catch_up);
}

#[test]
fn a_key_that_leaked_before_its_first_use_is_revoked_at_that() {
    let mut world = world();
    world.mark("k", leak(true), 0);
    assert_eq!(world.found(Detector::Leak), Vec::<String>::new());
    let stranger = AuthEvent { verified: false, ..event(Kind::ApiKey, "k", HOUR_MS) };
    world.send(&AuthEvent { outcome: Outcome::Rejected, ..stranger });
    assert_eq!(world.found(Detector::Leak), Vec::<String>::new(), "a name proves nothing");
    world.send(&event(Kind::ApiKey, "k", 2 * HOUR_MS));
    assert_eq!(world.found(Detector::Leak), ["api_key:k revoke"]);
    assert!(world.signals[0].finding.summary.contains("before it was used"));
}

#[test]
fn a_report_that_names_a_token_without_proof_only_alerts() {
    let mut world = world();
    world.send(&event(Kind::Jwt, "jti", 0));
    world.mark("jwt:jti", leak(false), 1000);
    world.send(&event(Kind::Jwt, "jti", 2000));
    assert_eq!(world.found(Detector::Leak), ["jwt:jti alert"]);
}

#[test]
fn a_person_who_restores_takes_a_leak_back() {
    let mut world = world();
    world.send(&event(Kind::ApiKey, "k", 0));
    world.mark("k", leak(true), 1000);
    world.mark("k", Mark::OutOfService(EventTime::from_ms(START_MS + 1000)), 1000);
    world.mark("k", Mark::InService { by_person: true }, 2000);
    world.signals.clear();
    world.send(&event(Kind::ApiKey, "k", HOUR_MS));
    let again = world.signals.iter().filter(|signal| signal.finding.closed.is_none());
    assert_eq!(again.count(), 0, "{:?}", world.signals);
}

#[test]
fn an_expired_token_that_a_gateway_accepts_is_found_once_with_its_gateway() {
    let mut world = world();
    for n in 0..60 {
        let accepted = event(Kind::Jwt, "jti", 120_000 + n * 1000);
        let expires = Some(EventTime::from_ms(START_MS));
        world.send(&AuthEvent { expires, gateway: Some("edge-1".into()), ..accepted });
    }
    assert_eq!(world.found(Detector::Validity), ["jwt:jti alert"]);
    let finding = &world.signals[0].finding;
    assert_eq!(finding.place.as_deref(), Some("edge-1"));
    assert_eq!(finding.summary, "was accepted 120 s after its end (edge-1)");
    let mut world = self::world();
    for n in 0..60 {
        let late = event(Kind::Jwt, "jti", 120_000 + n * 1000);
        let expires = Some(EventTime::from_ms(START_MS));
        world.send(&refused("expired", AuthEvent { expires, ..late }));
    }
    assert_eq!(world.most_severe(), None, "a gateway that refuses it does its work");
}

#[test]
fn a_gateway_that_lets_a_revoked_key_pass_is_named_and_timed() {
    let mut world = world();
    world.send(&event(Kind::ApiKey, "k", 0));
    world.mark("k", Mark::OutOfService(EventTime::from_ms(START_MS + 1000)), 1000);
    for ms in [2000, 20_000] {
        world.send(&AuthEvent { gateway: Some("edge-2".into()), ..event(Kind::ApiKey, "k", ms) });
    }
    assert_eq!(world.found(Detector::Validity), ["api_key:k alert"]);
    assert_eq!(world.signals[0].finding.place.as_deref(), Some("edge-2"));
    let late: Vec<_> = world.late.iter().map(|it| (it.gateway.as_str(), it.lag_ms)).collect();
    assert_eq!(late, [("edge-2", 1000), ("edge-2", 19_000)]);
}

#[test]
fn refusals_of_a_revoked_key_are_nobody_who_guesses() {
    let mut world = world();
    for n in 0..50 {
        world.send(&event(Kind::ApiKey, "k", n * 60_000));
    }
    let now = 50 * 60_000;
    world.mark("k", Mark::OutOfService(EventTime::from_ms(START_MS + now)), now);
    for n in 0..2000 {
        let refused = event(Kind::ApiKey, "k", now + n * 20);
        let refused = AuthEvent { outcome: Outcome::Rejected, verified: n % 2 == 0, ..refused };
        world.send(&refused);
    }
    assert_eq!(world.found(Detector::Failures), Vec::<String>::new());
}

#[test]
fn a_used_up_refresh_token_ends_its_grant_the_live_token_first() {
    let mut world = world();
    world.send(&refresh("r1", 0));
    world.send(&access("a1", 1000));
    world.send(&refresh("r2", HOUR_MS));
    world.send(&access("a2", HOUR_MS + 1000));
    let stolen = by(*b"BR", 9, "curl", refresh("r1", HOUR_MS + 60_000));
    world.send(&stolen);
    let ended =
        ["refresh_token:r2 revoke", "jwt:a2 revoke", "jwt:a1 revoke", "refresh_token:r1 revoke"];
    assert_eq!(world.found(Detector::Reuse), ended);
    world.send(&access("a3", HOUR_MS + 120_000));
    assert_eq!(world.found(Detector::Reuse).last().map(String::as_str), Some("jwt:a3 revoke"));
    let other = AuthEvent { family: Some("grant_2".into()), ..access("b1", HOUR_MS + 120_000) };
    world.send(&other);
    assert_eq!(world.found(Detector::Reuse).len(), 5, "another grant goes on");
}

#[test]
fn a_grant_of_one_tenant_ends_no_token_of_another() {
    let mut world = world();
    let of =
        |tenant: &'static str, event: Event| AuthEvent { tenant: Some(tenant.into()), ..event };
    world.send(&of("evil", refresh("e1", 0)));
    world.send(&of("acme", refresh("a1", HOUR_MS)));
    world.send(&of("evil", by(*b"US", 9, "curl", refresh("e1", 2 * HOUR_MS))));
    assert_eq!(world.found(Detector::Reuse), Vec::<String>::new());
}

#[test]
fn whatever_ends_a_grant_the_finding_has_numbers_as_each_decision_must() {
    let mut world = world();
    for (token, ms) in [("r1", 0), ("r2", HOUR_MS), ("r3", 2 * HOUR_MS), ("r4", 3 * HOUR_MS)] {
        world.send(&refresh(token, ms));
    }
    world.send(&by(*b"BR", 9, "curl", refresh("r1", 4 * HOUR_MS)));
    assert!(!world.found(Detector::Reuse).is_empty());
    assert!(world.signals.iter().all(|signal| !signal.finding.evidence.is_empty()));
}

#[test]
fn a_server_that_refuses_a_used_up_token_proves_it_and_a_stranger_does_not() {
    let mut world = world();
    world.send(&refresh("r1", 0));
    world.send(&refresh("r2", HOUR_MS));
    let thief = |ms| by(*b"BR", 9, "curl", refresh("r1", ms));
    let claimed = AuthEvent { verified: false, ..refused("reused", thief(HOUR_MS + 90_000)) };
    world.send(&claimed);
    assert_eq!(world.found(Detector::Reuse), Vec::<String>::new(), "anyone can send it");
    world.send(&refused("reused", thief(HOUR_MS + 91_000)));
    let ended = ["refresh_token:r2 revoke", "refresh_token:r1 revoke"];
    assert_eq!(world.found(Detector::Reuse), ended);
}

#[test]
fn a_refresh_token_that_was_handed_out_and_never_used_ends_with_its_grant_and_its_first_use_is_none()
 {
    let mut world = world();
    let issue = |id: &str, ms| AuthEvent { reason: Some("issued".into()), ..refresh(id, ms) };
    world.send(&issue("r1", 0));
    for (n, [used, next]) in [["r1", "r2"], ["r2", "r3"], ["r3", "r4"]].into_iter().enumerate() {
        let ms = i64::try_from(n).expect("few") * HOUR_MS + HOUR_MS / 2;
        world.send(&refresh(used, ms));
        world.send(&issue(next, ms));
        world.send(&refresh(used, ms + 40_000));
    }
    assert_eq!(world.found(Detector::Reuse), Vec::<String>::new(), "issues and lost responses");
    let elsewhere = by(*b"BR", 9, "curl", refresh("r3", 4 * HOUR_MS));
    world.send(&elsewhere);
    let found = world.found(Detector::Reuse);
    assert_eq!(found.first().map(String::as_str), Some("refresh_token:r4 revoke"), "{found:?}");
    assert_eq!(found.len(), 3, "r1 is used up for long");
    world.send(&issue("r5", 4 * HOUR_MS + 1000));
    let last = world.found(Detector::Reuse).pop();
    assert_eq!(last.as_deref(), Some("refresh_token:r5 revoke"), "after the end");
}

#[test]
fn alert_alone_leaves_the_grant_to_its_owner() {
    let mut params = Params::default();
    params.profile.reuse.action = Action::Alert;
    let mut world = World::new(params);
    world.send(&refresh("r1", 0));
    world.send(&refresh("r2", HOUR_MS));
    world.send(&by(*b"BR", 9, "curl", refresh("r1", 2 * HOUR_MS)));
    world.send(&refresh("r3", 3 * HOUR_MS));
    assert_eq!(world.found(Detector::Reuse), ["refresh_token:r1 alert"]);
}

#[test]
fn a_person_who_restores_a_token_lets_its_grant_live_on() {
    let mut world = world();
    world.send(&refresh("r1", 0));
    world.send(&refresh("r2", HOUR_MS));
    world.send(&by(*b"BR", 9, "curl", refresh("r1", 2 * HOUR_MS)));
    world.mark("refresh_token:r2", Mark::InService { by_person: true }, 2 * HOUR_MS + 1000);
    world.signals.clear();
    world.send(&refresh("r3", 3 * HOUR_MS));
    world.send(&access("a9", 3 * HOUR_MS));
    let open = world.signals.iter().filter(|signal| signal.finding.closed.is_none());
    assert_eq!(open.count(), 0);
}

#[test]
fn a_session_in_two_countries_by_two_agents_is_ended_and_a_tunnel_alerts() {
    let turns = |other: &'static str| {
        let mut world = world();
        for n in 0..6 {
            let here = event(Kind::Session, "s", n * 60_000);
            let (country, network, agent) =
                if n % 2 == 0 { (*b"DE", 1, "firefox") } else { (*b"BR", 9, other) };
            world.send(&by(country, network, agent, here));
        }
        world
    };
    let stolen = turns("curl");
    assert_eq!(stolen.found(Detector::Session), ["session:s revoke"]);
    let summary = &stolen.signals[0].finding.summary;
    assert!(summary.contains("in DE and BR") || summary.contains("in BR and DE"), "{summary}");
    assert_eq!(turns("firefox").found(Detector::Session), ["session:s alert"]);
}

#[test]
fn a_session_beyond_its_policy_is_found_by_idleness_and_age() {
    let mut params = Params::default();
    params.profile.session.idle_s_max = Some(1800);
    params.profile.session.age_s_max = Some(43_200);
    let mut world = World::new(params);
    world.send(&event(Kind::Session, "idle", 0));
    world.send(&event(Kind::Session, "idle", 1_800_000));
    assert_eq!(world.found(Detector::Session), Vec::<String>::new());
    world.send(&event(Kind::Session, "idle", 5_400_000));
    let issued = Some(EventTime::from_ms(START_MS - 13 * HOUR_MS));
    world.send(&AuthEvent { issued, ..event(Kind::Session, "old", 5_400_000) });
    world.send(&AuthEvent { issued, ..event(Kind::ApiKey, "key", 5_400_000) });
    assert_eq!(world.found(Detector::Session), ["session:idle alert", "session:old alert"]);
}

#[test]
fn a_canary_alerts_however_it_is_presented_and_tells_who_else_was_there() {
    let mut world = world();
    world.mark("trap", Mark::Canary, 0);
    for n in 0..3 {
        let other = event(Kind::ApiKey, &format!("k{n}"), 1000);
        world.send(&by(*b"DE", 40 + n, "curl", other));
    }
    let presented = by(*b"DE", 41, "curl", event(Kind::ApiKey, "trap", 2000));
    world.send(&AuthEvent { outcome: Outcome::Rejected, verified: false, ..presented });
    assert_eq!(world.found(Detector::Canary), ["api_key:trap alert"]);
    assert_eq!(world.signals[0].finding.place.as_deref(), Some("203.0.41.7"));
    let seen = world.shard.partition().seen_from([203, 0, 41, 200].into());
    let seen: Vec<String> = seen.iter().map(|(credential, _)| credential.to_string()).collect();
    assert_eq!(seen.first().map(String::as_str), Some("api_key:trap"));
    assert_eq!(seen.get(1).map(String::as_str), Some("api_key:k1"));
    world.mark("trap", Mark::NoCanary, 3000);
    world.signals.clear();
    world.send(&event(Kind::ApiKey, "trap", HOUR_MS));
    assert!(world.signals.iter().all(|signal| signal.finding.closed.is_some()));
}

/// Events of one credential a minute apart, with marks and a restore between them, in batches of `most`.
fn played(most: usize) -> Vec<String> {
    let mut engine = Engine::new(Arc::default(), Arc::default(), SEED);
    let mut said = Vec::new();
    let at = |minute: i64| EventTime::from_ms(START_MS + minute * 60_000);
    let name = Credential::parse("k").expect("a name");
    for hour in 0..6 {
        let mut batch = Batch::default();
        for minute in 60 * hour..60 * (hour + 1) {
            batch.push(&event(Kind::ApiKey, "k", minute * 60_000), minute, SEED);
        }
        for piece in batch.pieces(most) {
            engine.apply(&piece, |output| said.push(format!("{output:?}")));
        }
        let now = at(60 * hour + 59);
        let each = |output| said.push(format!("{output:?}"));
        match hour {
            0 => engine.mark(&name, Mark::OutOfService(now), now, each),
            1 | 4 => engine.restore(&name, now, each),
            2 => engine.mark(&name, leak(false), now, each),
            3 => engine.mark(&name, leak(true), now, each),
            _ => {}
        }
    }
    said
}

#[test]
fn the_same_events_marks_and_restores_give_the_same_however_they_are_cut() {
    let whole = played(usize::MAX);
    for part in ["taken out of service", "leak_proven", "Decision"] {
        assert!(whole.iter().any(|one| one.contains(part)), "{part} is missing");
    }
    for most in [1, 7, 60] {
        assert_eq!(played(most), whole, "{most}");
    }
}

#[test]
fn a_canary_in_a_load_test_is_one_finding_with_few_updates() {
    let mut world = world();
    world.mark("trap", Mark::Canary, 0);
    for n in 0..20_000_i64 {
        let network = u8::try_from(n % 200).expect("small");
        let presented = by(*b"DE", network, "wrk", event(Kind::ApiKey, "trap", n * 3));
        world.send(&AuthEvent { outcome: Outcome::Rejected, verified: false, ..presented });
    }
    assert_eq!(world.found(Detector::Canary), ["api_key:trap alert"]);
    let of_canary = |signal: &&Signal| signal.finding.detector == Detector::Canary;
    let signals: Vec<_> = world.signals.iter().filter(of_canary).collect();
    assert!(signals.len() < 20, "{} signals of a minute", signals.len());
    let last = &signals.last().expect("a signal").finding;
    let places = last.place.as_deref().expect("places").split(", ").count();
    assert_eq!(places, 8, "the first addresses, and no more");
}

#[test]
fn a_disabled_detector_states_no_fact() {
    let mut params = Params::default();
    for detector in [Detector::Leak, Detector::Reuse, Detector::Validity, Detector::Canary] {
        params.profile.disabled = params.profile.disabled.with(detector, true);
    }
    let mut world = World::new(params);
    world.mark("k", Mark::Canary, 0);
    world.mark("k", leak(true), 0);
    world.send(&refresh("r1", 0));
    world.send(&refresh("r2", HOUR_MS));
    world.send(&by(*b"BR", 9, "curl", refresh("r1", 2 * HOUR_MS)));
    world.send(&event(Kind::ApiKey, "k", 2 * HOUR_MS));
    assert_eq!(world.signals, []);
}

/// A grant of a client that rotates its tokens, with the mishaps of honest clients: races, repeated requests,
/// lost responses, a phone that changes networks, updates of its agent, clocks a minute apart.
fn honest_grant(world: &mut World, random: &mut Random) {
    let agents = ["firefox/1", "firefox/2", "safari/3"];
    let agent = random.one_of(&agents);
    for token in 0..8 {
        let ms = token * HOUR_MS;
        let network = u8::try_from(random.below(6)).expect("few");
        let skew = random.one_of(&[0, 0, 0, 60_000, -60_000]);
        let again = match random.index(6) {
            0 => 1 + random.index(3),
            1 => 1,
            _ => 0,
        };
        // A lost response: the client repeats itself until one arrives.
        let apart_ms = if again == 1 { 300_000 } else { 2_000 };
        for n in 0..=again {
            let at = ms + i64::try_from(n).expect("few") * apart_ms + skew;
            let network = if random.below(4) == 0 { network + 10 } else { network };
            let uses = refresh(&format!("r{token}"), at);
            world.send(&by(*b"DE", network, agent, uses));
        }
        let accesses = 1 + random.index(3);
        for n in 0..accesses {
            let at = ms + 60_000 * i64::try_from(n).expect("few");
            world.send(&by(*b"DE", network, agent, access(&format!("a{token}"), at)));
        }
    }
}

/// A session of one person: networks, a journey, a tunnel switched on and off, two apps.
fn honest_session(world: &mut World, random: &mut Random) {
    let countries = [*b"DE", *b"FR", *b"NL", *b"US"];
    let mut country = random.one_of(&countries);
    let agents = ["firefox/1", "firefox/2"];
    let mut ms = 0;
    for _ in 0..60 {
        ms += 1000 + 60_000 * i64::try_from(random.below(20)).expect("few");
        if random.below(10) == 0 {
            country = random.one_of(&countries);
        }
        let network = u8::try_from(random.below(8)).expect("few");
        let uses = event(Kind::Session, "s", ms);
        world.send(&by(country, network, random.one_of(&agents), uses));
    }
}

#[test]
fn no_honest_grant_or_session_is_ended_in_10_000_trials() {
    let seed = 0x7072_6f6f;
    println!("seed {seed:#x}");
    let mut random = Random::new(seed);
    let mut alerts = 0;
    for trial in 0..10_000 {
        let mut params = Params::default().with_memory(1 << 20);
        params.profile.session.idle_s_max = None;
        let mut world = World::new(params);
        if trial % 2 == 0 {
            honest_grant(&mut world, &mut random);
        } else {
            honest_session(&mut world, &mut random);
        }
        let facts = world.signals.iter().filter(|signal| signal.finding.detector.is_proof());
        let most = facts.map(|signal| signal.finding.action).max();
        assert!(most.unwrap_or(Action::Alert) <= Action::Alert, "{trial}: {:?}", world.signals);
        alerts += usize::from(most == Some(Action::Alert));
    }
    println!("{alerts} of 10,000 look-alikes alerted, none was ended");
}
