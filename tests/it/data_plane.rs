//! The data plane: what it counts, when it speaks, and what it never does.

use std::borrow::Cow;
use std::sync::Arc;
use tripline::data_plane::batch::{Batch, HashSeed};
use tripline::data_plane::counters::Counters;
use tripline::data_plane::eviction_policy::bytes_for;
use tripline::data_plane::open_findings::OpenFindingTable;
use tripline::data_plane::partition::Clock;
use tripline::data_plane::partition::Params;
use tripline::data_plane::shard_driver::ShardDriver;
use tripline::detect::limit::Limit;
use tripline::model::credential::{Credential, Kind};
use tripline::model::event::{AuthEvent, Outcome};
use tripline::model::finding::{Action, Detector};
use tripline::model::signal::{Change, Signal};
use tripline::model::time::EventTime;

const SEED: HashSeed = HashSeed(1, 2);
const START_MS: i64 = 1_700_000_040_000;

/// A partition whose source clock follows event time.
struct World {
    shard: ShardDriver,
    offset: i64,
    signals: Vec<Signal>,
    counters: Counters,
}

impl World {
    fn new(params: Params) -> Self {
        let shard = ShardDriver::empty(Arc::new(params), SEED);
        Self { shard, offset: 0, signals: Vec::new(), counters: Counters::default() }
    }

    /// One accepted use of that time arrives at `now_ms`.
    fn arrives(&mut self, id: &str, ms: i64, now_ms: i64) {
        let event = AuthEvent::new(EventTime::from_ms(ms), Cow::Borrowed(id));
        let mut batch = Batch::default();
        batch.push(&event, self.offset, SEED);
        self.offset += 1;
        self.apply(&batch, now_ms);
    }

    fn send(&mut self, id: &str, ms: i64, outcome: Outcome, times: usize) {
        let mut event = AuthEvent::new(EventTime::from_ms(START_MS + ms), Cow::Borrowed(id));
        event.set_outcome(outcome);
        event.tenant = Some(Cow::Borrowed("acme"));
        let mut batch = Batch::default();
        for _ in 0..times {
            batch.push(&event, self.offset, SEED);
            self.offset += 1;
        }
        self.apply(&batch, START_MS + ms);
    }

    fn apply(&mut self, batch: &Batch, now_ms: i64) {
        let output = self.shard.step(batch, Clock::Source(EventTime::from_ms(now_ms)));
        self.signals.extend(output.signals);
        self.counters.add(&output.counters);
    }

    /// A steady use of a credential for `minutes`, ending at the returned time.
    fn steady(&mut self, id: &str, per_min: i64, minutes: i64) -> i64 {
        for n in 0..per_min * minutes {
            self.send(id, n * 60_000 / per_min, Outcome::Accepted, 1);
        }
        minutes * 60_000
    }

    fn told(&self, detector: Detector) -> Vec<(Change, Action)> {
        let of = self.signals.iter().filter(|signal| signal.finding.detector == detector);
        of.map(|signal| (signal.change, signal.finding.action)).collect()
    }
}

/// 10,000 a minute, by contract.
fn with_a_written_limit() -> Params {
    let mut params = Params::default();
    params.profile.limits.by_kind = [Limit::written(10_000); 5];
    params
}

#[test]
fn a_limit_that_no_operator_wrote_down_throttles_and_never_revokes() {
    let mut world = World::new(Params::default());
    world.send("k", 0, Outcome::Accepted, 100_000);
    assert_eq!(world.told(Detector::Limit), [(Change::Opened, Action::Throttle)]);
}

#[test]
fn a_quiet_fleet_says_nothing() {
    let mut world = World::new(Params::default());
    for id in ["a", "b", "c"] {
        world.offset = 0;
        world.shard = ShardDriver::empty(Arc::new(Params::default()), SEED);
        world.steady(id, 30, 120);
    }
    assert_eq!(world.signals, []);
}

#[test]
fn a_jump_to_ten_thousand_a_minute_is_told_within_a_second_and_passes_the_limit_within_ten() {
    let mut world = World::new(with_a_written_limit());
    let attack = world.steady("k", 30, 25 * 60);
    for second in 0..70 {
        for slice in 0..10 {
            world.send("k", attack + second * 1000 + slice * 100, Outcome::Accepted, 17);
        }
    }
    let at = |detector, action| {
        let found = world
            .signals
            .iter()
            .find(|s| s.finding.detector == detector && s.finding.action >= action);
        found.and_then(|s| s.finding.reached.at(action)).map(|at| at.ms() - START_MS - attack)
    };
    assert!(at(Detector::Burst, Action::Alert).is_some_and(|ms| ms < 1000));
    assert!(at(Detector::Burst, Action::Throttle).is_some_and(|ms| ms < 1000));
    assert!(at(Detector::Limit, Action::Throttle).is_some_and(|ms| ms < 10_000));
    assert!(at(Detector::Limit, Action::Revoke).is_some_and(|ms| ms < 60_000));
}

#[test]
fn an_open_finding_is_one_finding_that_opens_escalates_and_closes() {
    let mut world = World::new(Params::default());
    let attack = world.steady("k", 30, 180);
    for second in 0..5 {
        world.send(
            "k",
            attack + second * 1000,
            Outcome::Accepted,
            20 * (1 + usize::try_from(second).expect("small")),
        );
    }
    world.send("other", attack + 10 * 60_000, Outcome::Accepted, 1);
    let told = world.told(Detector::Burst);
    assert_eq!(told.first().map(|(change, _)| *change), Some(Change::Opened));
    assert_eq!(told.last().map(|(change, _)| *change), Some(Change::Closed));
    assert!(told.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    let ids: std::collections::BTreeSet<_> =
        world.signals.iter().map(|signal| signal.finding.id).collect();
    assert_eq!(ids.len(), 1);
}

#[test]
fn failed_requests_never_count_against_a_credential() {
    let mut world = World::new(Params::default());
    let attack = world.steady("victim", 30, 180);
    world.send("victim", attack, Outcome::Rejected, 50_000);
    world.send("made-up", attack, Outcome::Rejected, 50_000);
    // People are told that somebody is guessing; nothing is done to the holder, and nothing learned.
    for Signal { finding, .. } in &world.signals {
        assert_eq!((finding.detector, finding.action), (Detector::Failures, Action::Alert));
    }
    assert_eq!(world.shard.partition().credentials(), 1);
    let view = world.shard.partition().look_up(Kind::ApiKey, "victim").expect("known");
    assert!(view.last_minute() <= 30, "{view:?}");
    assert_eq!(std::mem::take(&mut world.counters).rejected, 100_000);
}

#[test]
fn throttled_requests_count_as_their_sender_holds_the_credential() {
    let mut world = World::new(with_a_written_limit());
    world.send("k", 0, Outcome::Throttled, 20_000);
    let told = [(Change::Opened, Action::Throttle), (Change::Escalated, Action::Revoke)];
    assert_eq!(world.told(Detector::Limit), told);
}

#[test]
fn redelivered_records_change_nothing() {
    let mut world = World::new(Params::default());
    let mut batch = Batch::default();
    let event = AuthEvent::new(EventTime::from_ms(START_MS), Cow::Borrowed("k"));
    for offset in 0..100 {
        batch.push(&event, offset, SEED);
    }
    for _ in 0..3 {
        world.apply(&batch, START_MS);
    }
    let counters = std::mem::take(&mut world.counters);
    assert_eq!((counters.applied, counters.redelivered), (100, 200));
    let view = world.shard.partition().look_up(Kind::ApiKey, "k").expect("known");
    assert_eq!(view.windows[0].count, 100);
}

#[test]
fn all_events_of_one_record_count_and_count_once() {
    let mut world = World::new(Params::default());
    let event = AuthEvent::new(EventTime::from_ms(START_MS), Cow::Borrowed("k"));
    let batch = |offsets: &[i64]| {
        let mut batch = Batch::default();
        for offset in offsets {
            batch.push(&event, *offset, SEED);
        }
        batch
    };
    // More than are looked up together.
    let long = vec![7; 100];
    let steps: [(&[i64], (u64, u64)); 6] = [
        (&[0, 0, 0], (3, 0)),
        (&[0, 0, 0], (0, 3)),
        (&[1, 2, 2], (3, 0)),
        // The record at the end of the batch before comes again, and one after it.
        (&[2, 2, 3], (1, 2)),
        (&long, (100, 0)),
        (&long, (0, 100)),
    ];
    for (offsets, expected) in steps {
        world.apply(&batch(offsets), START_MS);
        let counters = std::mem::take(&mut world.counters);
        assert_eq!((counters.applied, counters.redelivered), expected, "{offsets:?}");
    }
    let view = world.shard.partition().look_up(Kind::ApiKey, "k").expect("known");
    assert_eq!(view.windows[0].count, 107);
}

#[test]
fn a_suspicion_keeps_a_credential_from_learning_for_a_day_and_no_longer() {
    const DAY_MS: i64 = 86_400_000;
    let at = |ms: i64| EventTime::from_ms(START_MS + ms);
    let mut table = OpenFindingTable::default();
    let number = table.insert(0);
    let open = table.get_mut(number).expect("open");
    assert!(!open.freezes(at(0)), "nothing is suspected");
    assert!(open.suspect(at(0)));
    assert!(open.freezes(at(0)) && open.freezes(at(DAY_MS - 1)));
    assert!(!open.freezes(at(DAY_MS)));
    // A further suspicion is no longer one.
    assert!(!open.suspect(at(DAY_MS / 2)));
    assert!(!open.freezes(at(DAY_MS)));
    open.end_suspicion();
    assert!(open.suspect(at(2 * DAY_MS)), "after the end of one there is another first");
    assert!(open.freezes(at(3 * DAY_MS - 1)) && !open.freezes(at(3 * DAY_MS)));
}

#[test]
fn events_too_far_ahead_of_the_clock_count_for_nothing_and_do_not_move_the_watermark() {
    let mut world = World::new(Params::default());
    for ahead_ms in [60_001, 3_600_000] {
        world.arrives("k", START_MS + ahead_ms, START_MS);
    }
    assert_eq!(std::mem::take(&mut world.counters).ahead, 2);
    assert!(world.shard.partition().look_up(Kind::ApiKey, "k").is_none());
    assert!(world.shard.partition().watermark() <= EventTime::from_ms(START_MS));
    world.arrives("k", START_MS + 60_000, START_MS);
    assert_eq!(std::mem::take(&mut world.counters).ahead, 0);
    let view =
        world.shard.partition().look_up(Kind::ApiKey, "k").expect("it counts at its own time");
    assert_eq!(view.windows[0].count, 1);
    assert!(world.shard.partition().watermark() <= EventTime::from_ms(START_MS));
}

#[test]
fn what_a_sender_with_a_fast_clock_buffered_is_no_burst() {
    // An honest 5,000 a minute under a limit of 10,000, kept for ten minutes and sent at once.
    for ahead_s in [0, 35, 55, 180, 600] {
        let mut params = Params::default();
        params.profile.limits.by_kind = [Limit::written(10_000); 5];
        let mut world = World::new(params);
        world.steady("k", 5_000, 30);
        world.signals.clear();
        let now = START_MS + 40 * 60_000;
        for n in 0..50_000 {
            world.arrives("k", now - 600_000 + ahead_s * 1000 + n * 12, now);
        }
        let severe = world.signals.iter().filter(|signal| signal.finding.action > Action::Alert);
        assert_eq!(severe.count(), 0, "{ahead_s} s ahead");
    }
}

#[test]
fn a_gateway_behind_the_others_speaks_of_the_present_and_one_that_is_hours_late_does_not() {
    let caught_up = |late_ms: i64| {
        let mut world = World::new(Params::default());
        let now = START_MS + 86_400_000;
        world.arrives("other", now, now);
        for n in 0..20_000 {
            world.arrives("k", now - late_ms + n / 1000, now);
        }
        assert!(!world.signals.is_empty());
        world.signals.iter().any(|signal| signal.catch_up)
    };
    assert!(!caught_up(90_000) && !caught_up(240_000));
    assert!(caught_up(310_000) && caught_up(3_600_000));
}

#[test]
fn late_events_are_counted_where_they_belong() {
    let mut world = World::new(Params::default());
    world.send("k", 30_000, Outcome::Accepted, 5);
    world.send("k", 0, Outcome::Accepted, 5);
    world.send("k", -3_600_000, Outcome::Accepted, 5);
    let counters = std::mem::take(&mut world.counters);
    assert_eq!((counters.late, counters.too_late), (10, 5));
    let view = world.shard.partition().look_up(Kind::ApiKey, "k").expect("known");
    assert_eq!(view.windows.iter().map(|w| w.count).collect::<Vec<_>>(), [5, 5, 5, 10, 10]);
}

#[test]
fn reading_the_past_is_said_in_every_signal() {
    let mut world = World::new(Params::default());
    let mut batch = Batch::default();
    let event = AuthEvent::new(EventTime::from_ms(START_MS), Cow::Borrowed("k"));
    for offset in 0..20_000 {
        batch.push(&event, offset, SEED);
    }
    world.apply(&batch, START_MS + 61_000);
    assert!(!world.signals.is_empty() && world.signals.iter().all(|signal| signal.catch_up));
}

#[test]
fn a_flood_of_made_up_credentials_displaces_only_itself() {
    const HOUR_MS: i64 = 3_600_000;
    let mut world = World::new(Params { memory_bytes: bytes_for(1000), ..Params::default() });
    // Half of the room: 500 keys that were used in two hours.
    for hour in 0..2 {
        for n in 0..500 {
            world.send(&format!("key_{n}"), hour * HOUR_MS + n, Outcome::Accepted, 1);
        }
    }
    world.send("abused", 2 * HOUR_MS, Outcome::Accepted, 20_000);
    // Each made-up one comes three times, so that it is taken in.
    for n in 0..60_000 {
        let name = format!("made-up-{}", n / 30 * 10 + n % 10);
        world.send(&name, 2 * HOUR_MS + 1000 + n / 100, Outcome::Accepted, 1);
    }
    let evictions = std::mem::take(&mut world.counters).evictions;
    assert_eq!(evictions.established, 0);
    assert!(evictions.new > 10_000 && evictions.deferred > 10_000, "{evictions:?}");
    assert!(world.shard.partition().memory_bytes() <= bytes_for(1000));
    for n in 0..500 {
        let known = world.shard.partition().look_up(Kind::ApiKey, &format!("key_{n}"));
        assert_eq!(known.map(|view| view.first_seen.ms()), Some(START_MS / 1000 * 1000), "key_{n}");
    }
    assert!(
        world.shard.partition().look_up(Kind::ApiKey, "abused").is_some_and(|v| !v.open.is_empty())
    );
}

#[test]
fn the_same_events_give_the_same_signals_however_they_are_batched() {
    let events: Vec<(String, i64)> = (0..40_000_i64)
        .map(|n| (format!("k{}", n * n % 7), n * 3 + if n > 20_000 { 0 } else { n % 5 }))
        .collect();
    let mut seen: Vec<Vec<String>> = Vec::new();
    for size in [1, 7, 32, 1000] {
        let mut world = World::new(Params::default());
        for (index, chunk) in events.chunks(size).enumerate() {
            let mut batch = Batch::default();
            for (offset, (id, ms)) in (index * size..).zip(chunk) {
                let time = EventTime::from_ms(START_MS + ms);
                let event = AuthEvent::new(time, Cow::Borrowed(id.as_str()));
                batch.push(&event, i64::try_from(offset).expect("small"), SEED);
            }
            world.apply(&batch, START_MS + 1_000_000);
        }
        seen.push(
            world.signals.iter().map(|s| format!("{:?} {:?}", s.change, s.finding)).collect(),
        );
    }
    assert!(!seen[0].is_empty());
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn the_busiest_are_named_busiest_first() {
    let mut world = World::new(Params::default());
    for n in 0..200_usize {
        world.send(&format!("k{n:03}"), 0, Outcome::Accepted, 1 + n);
    }
    let busiest = world.shard.partition_mut().busiest(10);
    let ids: Vec<_> = busiest.iter().map(|view| view.credential.id().to_owned()).collect();
    assert_eq!(ids, (190..200).rev().map(|n| format!("k{n:03}")).collect::<Vec<_>>());
    world.send("late-riser", 120_000, Outcome::Accepted, 3);
    let busiest = world.shard.partition_mut().busiest(10);
    assert_eq!(busiest.len(), 1);
    assert_eq!(busiest[0].credential, Credential::parse("late-riser").expect("valid"));
}

/// A request with circumstances.
fn from(
    id: &'static str,
    ms: i64,
    net: u8,
    agent: &'static str,
    outcome: Outcome,
) -> AuthEvent<'static> {
    let mut event = AuthEvent::new(EventTime::from_ms(START_MS + ms), Cow::Borrowed(id));
    event.set_outcome(outcome);
    event.ip = Some(std::net::IpAddr::from([10, net, 0, 1]));
    event.user_agent = Some(Cow::Borrowed(agent));
    event
}

impl World {
    fn one(&mut self, event: &AuthEvent<'_>) {
        let mut batch = Batch::default();
        batch.push(event, self.offset, SEED);
        self.offset += 1;
        let now = event.time.ms();
        self.apply(&batch, now);
    }

    /// Uses a key from its usual network for `days`, 30 a minute; gives when that ended.
    fn at_home(&mut self, days: i64, per_min: i64) -> i64 {
        for n in 0..days * 1440 * per_min {
            self.one(&from("k", n * 60_000 / per_min, 1, "owner", Outcome::Accepted));
        }
        days * 86_400_000
    }

    /// A burst of the thief from another network; the most severe action that it justifies.
    fn theft(&mut self, at: i64, seconds: i64) -> Option<Action> {
        let before = self.signals.len();
        for n in 0..seconds * 100 {
            self.one(&from("k", at + n * 10 + 1, 2, "thief", Outcome::Accepted));
        }
        self.signals.iter().skip(before).map(|signal| signal.finding.action).max()
    }
}

#[test]
fn a_suspended_thiefs_network_is_not_known_when_he_comes_back() {
    let mut world = World::new(Params::default());
    let attack = world.at_home(9, 100);
    assert_eq!(world.theft(attack, 30), Some(Action::Suspend));
    // The owner goes on for an hour, the thief is refused.
    for n in 0..6000 {
        world.one(&from("k", attack + 30_000 + n * 600, 1, "owner", Outcome::Accepted));
    }
    assert_eq!(world.theft(attack + 70 * 60_000, 30), Some(Action::Suspend));
}

#[test]
fn rejected_requests_teach_a_sleeping_key_nothing() {
    let surprise = |rejected: bool| {
        let mut world = World::new(Params::default());
        let end = world.at_home(9, 100);
        let month = end + 30 * 86_400_000;
        // Others keep time going.
        for hour in 1..72 {
            let at = month + hour * 3_600_000;
            if rejected {
                world.one(&from("k", at, 9, "stranger", Outcome::Rejected));
            }
            for tick in 0..800 {
                world.one(&from("other", at + tick * 5000, 1, "other", Outcome::Accepted));
            }
        }
        world.one(&from("k", month + 80 * 3_600_000, 2, "thief", Outcome::Accepted));
        world
            .signals
            .iter()
            .filter(|s| s.finding.credential.id() == "k" && s.finding.detector == Detector::Origin)
            .flat_map(|s| s.finding.evidence.clone())
            .find(|m| m.name == "surprise_nats")
            .map(|m| m.value)
    };
    let (taught, untaught) = (surprise(true).expect("told"), surprise(false).expect("told"));
    assert!((taught - untaught).abs() < 0.01, "{taught} {untaught}");
}

#[test]
fn a_credential_that_is_forgotten_and_comes_back_is_no_further_hour_of_use() {
    let mut world = World::new(Params { memory_bytes: bytes_for(10), ..Params::default() });
    for n in 0..3000_i64 {
        world.send(&format!("k{}", n % 20), n * 1000, Outcome::Accepted, 1);
    }
    let hours = world.shard.partition().seen().hours[Kind::ApiKey as usize];
    assert!(hours <= 20, "{hours} credential-hours within one hour of 20 credentials");
}

#[test]
fn an_hour_in_which_no_false_action_is_possible_proves_nothing() {
    let mut world = World::new(Params::default());
    for n in 0..5000_i64 {
        world.send(&format!("jti{n}"), n * 10, Outcome::Accepted, 1);
    }
    assert_eq!(world.shard.partition().seen().hours[Kind::ApiKey as usize], 0);
}

/// A use that names a tenant, or none.
fn of_tenant(n: i64, tenant: Option<&'static str>) -> AuthEvent<'static> {
    let mut event = AuthEvent::new(EventTime::from_ms(START_MS + n * 100), Cow::Borrowed("k"));
    event.tenant = tenant.map(Cow::Borrowed);
    event
}

fn with_tenant_limits() -> Params {
    let mut params = Params::default();
    params.profile.limits.by_tenant =
        [("acme".to_owned(), 77), ("bloom".to_owned(), 99)].into_iter().collect();
    params.named_tenants = ["acme", "bloom"].map(str::to_owned).into();
    params
}

#[test]
fn a_fleet_that_begins_to_send_tenants_gives_them_to_its_older_credentials() {
    let mut world = World::new(with_tenant_limits());
    let seen = |world: &World| {
        let view = world.shard.partition().look_up(Kind::ApiKey, "k").expect("known");
        (view.tenant.map(String::from), view.limit.per_min())
    };
    world.one(&of_tenant(0, None));
    assert_eq!(seen(&world), (None, 10_000));
    let mut stranger = of_tenant(1, Some("bloom"));
    stranger.verified = false;
    world.one(&stranger);
    assert_eq!(seen(&world), (None, 10_000), "an unverified use moves nothing");
    world.one(&of_tenant(2, Some("acme")));
    assert_eq!(seen(&world), (Some("acme".to_owned()), 77));
    for n in 3..20 {
        world.one(&of_tenant(n, None));
    }
    assert_eq!(seen(&world), (Some("acme".to_owned()), 77), "a use without one says nothing");
}

#[test]
fn a_credential_moves_to_another_tenant_once_and_senders_that_disagree_move_nothing() {
    let mut world = World::new(with_tenant_limits());
    let tenant = |world: &World| {
        let view = world.shard.partition().look_up(Kind::ApiKey, "k").expect("known");
        view.tenant.map(String::from).unwrap_or_default()
    };
    for n in 0..500 {
        world.one(&of_tenant(n, Some(if n % 2 == 0 { "acme" } else { "bloom" })));
        assert_eq!(tenant(&world), "acme", "{n}");
    }
    let moved = (500..520).find(|n| {
        world.one(&of_tenant(*n, Some("bloom")));
        tenant(&world) == "bloom"
    });
    assert!(moved.is_some_and(|n| (504..512).contains(&n)), "{moved:?}");
    let counters = std::mem::take(&mut world.counters);
    assert_eq!((counters.tenant_changed, counters.without_tenant), (1, 0));
}

#[test]
fn made_up_tenants_take_no_rule_from_a_real_one_and_stay_within_their_memory() {
    let mut params = with_tenant_limits().with_memory(2 << 20);
    params.profile.limits.by_kind = [Limit::written(0); 5];
    let most = params.all_bytes();
    let mut world = World::new(params);
    for n in 0..70_000_i64 {
        let mut event = of_tenant(n / 1000, None);
        event.credential = Cow::Owned(format!("made_up_{n}"));
        event.tenant = Some(Cow::Owned(format!("tenant_{n}")));
        world.one(&event);
        world.one(&event);
    }
    assert!(
        world.shard.partition().memory_bytes() <= most,
        "{}",
        world.shard.partition().memory_bytes()
    );
    for (n, name) in ["acme", "bloom"].into_iter().enumerate() {
        let mut event = of_tenant(80_000, Some(name));
        event.credential = Cow::Owned(format!("real_{n}"));
        for _ in 0..3 {
            world.one(&event);
        }
        let view =
            world.shard.partition().look_up(Kind::ApiKey, &format!("real_{n}")).expect("known");
        assert_eq!(view.tenant.as_deref(), Some(name));
        assert!([77, 99].contains(&view.limit.per_min()));
    }
}
