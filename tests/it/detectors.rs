//! One finding of each detector, with its sentence: what people read, and when.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tripline::data_plane::batch::{Batch, HashSeed};
use tripline::data_plane::partition::Clock;
use tripline::data_plane::partition::Params;
use tripline::data_plane::shard_driver::ShardDriver;
use tripline::detect::limit::Limit;
use tripline::model::credential::Kind;
use tripline::model::event::{AuthEvent, Outcome};
use tripline::model::finding::{Action, Detector, Finding, FindingId, Gate};
use tripline::model::money::Money;
use tripline::model::time::EventTime;

const SEED: HashSeed = HashSeed(1, 2);
/// A Tuesday, on the minute.
const START_MS: i64 = 1_700_000_040_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A fleet whose events are told in order.
struct Fleet {
    shard: ShardDriver,
    batch: Batch,
    offset: i64,
    now: i64,
    findings: BTreeMap<FindingId, Finding>,
}

/// How a credential is used at the moment.
#[derive(Clone, Copy)]
struct Use {
    id: &'static str,
    tenant: &'static str,
    /// In 198.18.0.0/15, which is for tests: 256 addresses in each of 512 networks.
    network: u8,
    country: [u8; 2],
    agent: &'static str,
    endpoint: u8,
    tokens: u64,
    model: Option<&'static str>,
    spend: Option<f64>,
    outcome: Outcome,
}

const USUAL: Use = Use {
    id: "key",
    tenant: "acme",
    network: 0,
    country: *b"DE",
    agent: "openai-python/1.54",
    endpoint: 0,
    tokens: 1000,
    model: None,
    spend: None,
    outcome: Outcome::Accepted,
};

const THIEF: Use = Use { network: 1, country: *b"BR", agent: "curl/8.1", endpoint: 1, ..USUAL };

impl Fleet {
    fn new() -> Self {
        let mut params = Params::default();
        params.profile.limits.by_kind = [Limit::written(0); Kind::ALL.len()];
        Self::with(params)
    }

    fn with(params: Params) -> Self {
        Self {
            shard: ShardDriver::empty(Arc::new(params), SEED),
            batch: Batch::default(),
            offset: 0,
            now: START_MS,
            findings: BTreeMap::new(),
        }
    }

    fn send(&mut self, request: Use, at: i64) {
        let mut event = AuthEvent::new(EventTime::from_ms(at), Cow::Borrowed(request.id));
        event.tenant = Some(Cow::Borrowed(request.tenant));
        event.ip = Some(IpAddr::from([198, 18, request.network, 7]));
        event.country = Some(request.country);
        event.user_agent = Some(Cow::Borrowed(request.agent));
        let letter = char::from(b'a' + request.endpoint % 26);
        let endpoint =
            format!("/v1/{}", letter.to_string().repeat(1 + usize::from(request.endpoint / 26)));
        event.endpoint = Some(Cow::Borrowed(&endpoint));
        event.tokens = Some(request.tokens);
        event.model = request.model.map(Cow::Borrowed);
        event.spend = request.spend.and_then(Money::of);
        event.set_outcome(request.outcome);
        self.batch.push(&event, self.offset, SEED);
        self.offset += 1;
        if self.batch.len() >= 64 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let output = self.shard.step(&self.batch, Clock::Events);
        self.batch.clear();
        for signal in output.signals {
            self.findings.insert(signal.finding.id, signal.finding);
        }
    }

    /// Uses a credential for `ms`, `per_min` times a minute, with gaps that vary.
    fn uses(&mut self, request: Use, per_min: i64, ms: i64) {
        self.uses_with(per_min, ms, |_| request);
    }

    /// The same, each request as `request` says of its number.
    fn uses_with(&mut self, per_min: i64, ms: i64, request: impl Fn(i64) -> Use) {
        let gap = MINUTE / per_min;
        for n in 0..ms / gap {
            let wobble = (n * 7919) % (gap / 2 + 1);
            self.send(request(n), self.now + n * gap + wobble);
        }
        self.now += ms;
        self.flush();
    }

    fn told(&self, detector: Detector) -> &Finding {
        let mut told = self.findings.values().filter(|finding| finding.detector == detector);
        let first = told.next();
        assert!(first.is_some() && told.next().is_none(), "{detector}: {:#?}", self.findings);
        first.expect("told")
    }

    #[track_caller]
    fn says(&self, detector: Detector, action: Action, sentence: &str) {
        let finding = self.told(detector);
        assert_eq!((finding.action, finding.summary.as_str()), (action, sentence));
    }

    #[track_caller]
    fn is_quiet(&self) {
        assert!(self.findings.is_empty(), "{:#?}", self.findings);
    }
}

/// A number below 60.
fn few(n: i64) -> u8 {
    u8::try_from(n % 60).expect("below 60")
}

fn one_of_four(n: i64) -> &'static str {
    match n % 4 {
        0 => "a",
        1 => "b",
        2 => "c",
        _ => "d",
    }
}

#[test]
fn limit() {
    let mut params = Params::default();
    params.profile.limits.by_kind = [Limit::written(600); Kind::ALL.len()];
    let mut fleet = Fleet::with(params);
    fleet.uses(USUAL, 60, 10 * MINUTE);
    fleet.uses(USUAL, 1200, 6000);
    fleet.says(
        Detector::Limit,
        Action::Throttle,
        "made 101 requests in 10 s, a rate of 606 a minute; its limit is 600 a minute",
    );
    fleet.uses(USUAL, 1200, MINUTE);
    let finding = fleet.told(Detector::Limit);
    assert_eq!(finding.action, Action::Revoke);
    let reached = |action| finding.reached.at(action).expect("reached");
    let early = reached(Action::Revoke).ms_since(reached(Action::Throttle));
    assert!((20_000..40_000).contains(&early), "{early} ms early");
    let count = finding.evidence.iter().find(|one| one.name == "count").expect("a count");
    assert!(count.value > 600.0, "{count:?}");
}

#[test]
fn a_client_that_pauses_within_its_limit_is_never_revoked() {
    let mut params = Params::default();
    params.profile.limits.by_kind = [Limit::written(10_000); Kind::ALL.len()];
    let mut fleet = Fleet::with(params);
    // 1,700 within 5 s and nothing else in that minute, each minute.
    for _ in 0..10 {
        fleet.uses(USUAL, 20_400, 5_000);
        fleet.now += 55_000;
    }
    fleet.flush();
    let limit = fleet.findings.values().filter(|one| one.detector == Detector::Limit);
    assert_eq!(limit.map(|one| one.action).max(), Some(Action::Throttle));
}

#[test]
fn burst() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 60, 25 * HOUR);
    fleet.is_quiet();
    fleet.uses(USUAL, 6000, 1000);
    fleet.says(
        Detector::Burst,
        Action::Throttle,
        "made 68 requests in 5 s where about 5.0 are usual and 5 were the most so far; that is \
         13.6 times its peak",
    );
}

#[test]
fn burst_of_a_thief_suspends_then_revokes() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 200, 8 * DAY);
    fleet.is_quiet();
    fleet.uses(THIEF, 6000, 4 * MINUTE);
    let finding = fleet.told(Detector::Burst);
    assert_eq!(finding.action, Action::Revoke);
    let reached = |action| finding.reached.at(action).expect("reached").ms();
    assert!(reached(Action::Suspend) - (START_MS + 8 * DAY) < 2000);
    assert!(reached(Action::Revoke) - reached(Action::Suspend) >= 60_000);
    assert!(Gate::ALL.into_iter().all(|gate| finding.gates.has(gate)));
    assert!(
        finding
            .summary
            .ends_with("% of the excess came from a new network, country, user agent and endpoint"),
        "{}",
        finding.summary
    );
}

/// A burst that passes all other gates suspends nothing that is not mature.
#[test]
fn a_thief_of_a_key_that_is_young_or_was_little_used_suspends_nothing() {
    // For 6.7 days in each of 160 hours; for 8.3 days in an hour of each 20, which begins in one hour
    // of the clock and ends in the next: in 20 hours.
    for (what, rounds, used, of) in [("young", 16, 10, 10), ("little used", 10, 1, 20)] {
        let mut params = Params::default();
        params.profile.limits.by_kind = [Limit::written(0); Kind::ALL.len()];
        // Its rate is known earlier, so that the hours of use alone are what is missing.
        params.profile.rate_hours = 12;
        let mut fleet = Fleet::with(params);
        for _ in 0..rounds {
            fleet.uses(USUAL, 20, used * HOUR);
            fleet.now += (of - used) * HOUR;
        }
        fleet.uses(THIEF, 6000, 90_000);
        let finding = fleet.told(Detector::Burst);
        let gates = Gate::ALL.map(|gate| (gate.as_str(), finding.gates.has(gate)));
        let mature = gates.iter().find(|(name, _)| *name == "mature");
        assert_eq!(mature, Some(&("mature", false)), "{what}: {gates:?}");
        assert!(finding.gates.has(Gate::Context), "{what}: {gates:?}");
        assert!(finding.action < Action::Suspend, "{what}: {finding:?}");
    }
}

/// What goes on for longer than a day is how the credential is used from then on.
#[test]
fn an_open_finding_keeps_a_credential_from_learning_for_a_day_and_no_longer() {
    let mut params = Params::default();
    params.profile.limits.by_kind = [Limit::written(20); Kind::ALL.len()];
    let mut fleet = Fleet::with(params);
    let expected = |fleet: &Fleet| {
        let view = fleet.shard.partition().look_up(Kind::ApiKey, "key").expect("known");
        view.windows.last().expect("the longest window").expected
    };
    // 25 in five minutes, and from then on 200, beyond the limit.
    fleet.uses(USUAL, 5, 30 * HOUR);
    let usual = expected(&fleet);
    assert!((usual - 25.0).abs() < 0.1, "{usual}");
    fleet.uses(USUAL, 40, 23 * HOUR);
    assert!((expected(&fleet) - usual).abs() < 0.1, "{} is learned", expected(&fleet));
    fleet.uses(USUAL, 40, 6 * HOUR);
    assert!((expected(&fleet) - 200.0).abs() < 0.1, "{} is not learned", expected(&fleet));
    let finding = fleet.told(Detector::Limit);
    assert_eq!(finding.closed, None, "it is the same finding: {finding:?}");
}

#[test]
fn a_burst_of_the_owner_only_throttles() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 200, 8 * DAY);
    fleet.uses(USUAL, 6000, 4 * MINUTE);
    assert_eq!(fleet.told(Detector::Burst).action, Action::Throttle);
}

#[test]
fn ramp() {
    let mut params = Params::default();
    params.profile.ramp.alert_ratio = 5.0;
    let mut fleet = Fleet::with(params);
    fleet.uses(USUAL, 60, 2 * DAY);
    fleet.is_quiet();
    for step in 1..=20 {
        fleet.uses(USUAL, 60 + 9 * step, 3 * MINUTE);
    }
    let finding = fleet.told(Detector::Ramp);
    assert_eq!(finding.action, Action::Alert);
    assert!(finding.summary.starts_with("has been climbing: "), "{}", finding.summary);
}

#[test]
fn origin() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 400, 2 * DAY);
    fleet.is_quiet();
    fleet.uses_with(1200, 5 * MINUTE, |n| if n % 3 == 0 { USUAL } else { THIEF });
    let finding = fleet.told(Detector::Origin);
    assert_eq!(finding.action, Action::Alert);
    assert!(
        finding.summary.starts_with(
            "is used from a new network, country, user agent and endpoint, after one network so far; "
        ),
        "{}",
        finding.summary
    );
}

#[test]
fn a_thief_with_a_tool_of_their_own_is_alerted_on_with_the_first_request() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 400, 2 * DAY);
    fleet.send(THIEF, fleet.now);
    fleet.flush();
    assert_eq!(fleet.told(Detector::Origin).action, Action::Alert);
}

#[test]
fn a_new_network_alone_is_written_down_and_becomes_usual() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 400, 2 * DAY);
    fleet.uses(Use { network: 9, ..USUAL }, 400, 2 * HOUR);
    let finding = fleet.told(Detector::Origin);
    assert_eq!(finding.action, Action::Observe);
    assert!(finding.closed.is_some());
}

#[test]
fn fan_out() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 60, 3 * HOUR);
    fleet.uses_with(60, 5 * MINUTE, |n| Use { network: few(n), ..USUAL });
    let finding = fleet.told(Detector::FanOut);
    assert_eq!(finding.action, Action::Alert);
    assert!(finding.summary.ends_with(" networks within 10 minutes; one is usual"));
}

#[test]
fn endpoints() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 60, 3 * HOUR);
    fleet.uses_with(60, 5 * MINUTE, |n| Use { endpoint: few(n), ..USUAL });
    let finding = fleet.told(Detector::Endpoints);
    assert_eq!(finding.action, Action::Alert);
    assert!(
        finding.summary.ends_with(" different endpoints within 10 minutes; at most 1 are usual"),
        "{}",
        finding.summary
    );
}

#[test]
fn failures() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 60, HOUR);
    fleet.uses(Use { outcome: Outcome::Rejected, ..THIEF }, 60, MINUTE);
    fleet.says(
        Detector::Failures,
        Action::Alert,
        "was named by 32 failed requests of 32 within a minute (normally 1.0 %), rejected or without \
         proof of holding it; somebody may be guessing or probing",
    );
}

#[test]
fn failures_of_everybody_are_an_outage() {
    let mut fleet = Fleet::new();
    fleet.uses_with(600, 2 * HOUR, |n| Use { id: one_of_four(n), ..USUAL });
    fleet.uses_with(600, 10 * MINUTE, |n| Use {
        id: one_of_four(n),
        outcome: if n % 7 == 0 { Outcome::Accepted } else { Outcome::Rejected },
        ..USUAL
    });
    // It has ended, and one in a hundred fails as usual.
    fleet.uses_with(600, 20 * MINUTE, |n| Use {
        id: one_of_four(n),
        outcome: if n % 101 == 0 { Outcome::Rejected } else { Outcome::Accepted },
        ..USUAL
    });
    assert!(
        fleet.findings.values().all(|finding| finding.action < Action::Alert),
        "{:#?}",
        fleet.findings
    );
}

#[test]
fn cost() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 60, 25 * HOUR);
    fleet.uses(Use { tokens: 100_000, ..USUAL }, 60, MINUTE);
    let finding = fleet.told(Detector::Cost);
    assert_eq!(finding.action, Action::Alert);
    assert!(finding.summary.contains(" units within a minute, where 60"), "{}", finding.summary);
}

#[test]
fn cost_in_money() {
    let mut fleet = Fleet::new();
    let cheap = Use { model: Some("gpt-4o-mini"), spend: Some(0.01), ..USUAL };
    fleet.uses(cheap, 60, 26 * HOUR);
    // As many requests and tokens, of a model that costs a hundred times as much.
    fleet.uses(Use { model: Some("o1-pro"), spend: Some(1.0), ..cheap }, 60, MINUTE);
    let finding = fleet.told(Detector::Cost);
    assert_eq!(finding.action, Action::Alert);
    assert!(
        finding.summary.contains("within a minute, where 0.60 was the most so far"),
        "{}",
        finding.summary
    );
}

#[test]
fn cadence() {
    let mut fleet = Fleet::new();
    // People: two requests at once, then a pause.
    fleet.uses_with(60, 12 * HOUR, |_| USUAL);
    let start = fleet.now;
    for n in 0..6 * 3600 {
        fleet.send(USUAL, start + n * 2000 + (n * n * 7919) % 1900);
        fleet.send(USUAL, start + n * 2000 + 1950);
    }
    fleet.now += 12 * HOUR;
    fleet.flush();
    fleet.findings.clear();
    let start = fleet.now;
    for n in 0..600 {
        fleet.send(USUAL, start + n * 900);
    }
    fleet.flush();
    let finding = fleet.told(Detector::Cadence);
    assert_eq!(finding.action, Action::Observe);
    assert!(
        finding
            .summary
            .starts_with("the rhythm of its requests became far more regular, like a machine's"),
        "{}",
        finding.summary
    );
}

#[test]
fn dormant() {
    let mut fleet = Fleet::new();
    fleet.uses(USUAL, 60, 3 * HOUR);
    fleet.now += 40 * DAY;
    fleet.uses(THIEF, 30, MINUTE);
    fleet.says(
        Detector::Dormant,
        Action::Alert,
        "was used again after 40 days of sleep, from a source that it never used before",
    );
}

#[test]
fn tenant_flood() {
    let mut fleet = Fleet::new();
    let fleet_of = |share: i64| {
        move |n: i64| {
            if n % 100 < share { USUAL } else { Use { id: "other", tenant: "bloom", ..USUAL } }
        }
    };
    fleet.uses_with(2000, 26 * HOUR, fleet_of(5));
    fleet.is_quiet();
    fleet.uses_with(6000, 3 * MINUTE, fleet_of(80));
    let finding = fleet.told(Detector::TenantFlood);
    assert_eq!((finding.action, finding.credential.id()), (Action::Alert, "key"));
    assert!(
        finding.summary.starts_with("is the busiest of a tenant that made 4,")
            && finding.summary.ends_with("are usual at this hour of the week"),
        "{}",
        finding.summary
    );
}

#[test]
fn times_in_steps_of_three_seconds_are_no_bursts() {
    let mut fleet = Fleet::new();
    for step in 0..3 * 1200 {
        for _ in 0..3 + step % 9 {
            fleet.send(USUAL, START_MS + step * 3000);
        }
    }
    fleet.flush();
    fleet.is_quiet();
}
