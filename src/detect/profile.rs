//! Everything remembered of one credential.
//!
//! An event is counted by [`Profile::record`], which answers which detectors are worth asking:
//! for nearly every event none. [`Profile::claims`] asks them.

use super::baseline::{self, Baseline};
use super::cadence::{self, Cadence};
use super::claim::{Claim, Sight};
use super::context::{self, Context};
use super::cost::{self, Cost};
use super::dormant::{self, Sleep};
use super::failures::{self, Failures};
use super::known::{Known, Novel};
use super::maxima::Maxima;
use super::quantum::Quantum;
use super::ramp::{self, Ramp};
use super::spread::Spread;
use super::weigh::weigh;
use super::window::{Placed, Window, Windows};
use super::{burst, ceiling, endpoints, fan_out, origin, tenant_flood};
use crate::model::credential::Kind;
use crate::model::facts::Facts;
use crate::model::finding::{Action, Detector, Detectors};
use crate::model::time::EventTime;
use crate::stats::cusum::Usual;
use crate::stats::rate::Prior;
use crate::stats::tail::NegativeBinomial;

/// What the detectors go by.
#[derive(Clone, Debug)]
pub struct Params {
    /// How the baseline learns.
    pub baseline: baseline::Params,
    /// The operator's absolute limits.
    pub limits: ceiling::Limits,
    /// The action that a passed limit justifies. Default: revoke, as it is a contract.
    pub ceiling_action: Action,
    /// What makes a burst.
    pub burst: burst::Params,
    /// What makes a ramp.
    pub ramp: ramp::Params,
    /// What makes a new source remarkable.
    pub origin: origin::Params,
    /// What makes a fan-out.
    pub fan_out: fan_out::Params,
    /// What makes a sweep.
    pub endpoints: endpoints::Params,
    /// What makes failures remarkable.
    pub failures: failures::Params,
    /// What makes a cost remarkable.
    pub cost: cost::Params,
    /// What makes a change of rhythm.
    pub cadence: cadence::Params,
    /// What makes a sleep remarkable.
    pub dormant: dormant::Params,
    /// What makes a tenant's flood.
    pub tenant_flood: tenant_flood::Params,
    /// What takes a credential out of service for its rate.
    pub weigh: context::Params,
    /// The detectors that say nothing.
    pub off: Detectors,
    /// How old a profile must be before a suspicion keeps it from learning. Unit: seconds.
    /// Default: 1 h.
    pub learns_s: u32,
    /// How old a profile must be before a new source may alert, unless its record is trusted.
    /// Unit: seconds. Default: 1 day.
    pub origin_s: u32,
    /// And in how many hours it must have been used. Default: 4. Measured: without it, four of six
    /// false alerts in 525 days of honest use.
    pub origin_hours: u8,
    /// In how many hours of the clock a credential must have been used before a burst does more
    /// than be observed, and before a climb or a cost is remarkable. Default: 24. Measured: of 27
    /// false bursts that would throttle in 525 days of honest use, 20 came in the first 24 hours
    /// of use, however old the credential was.
    pub rate_hours: u8,
    /// From how many hours of use on a credential that is used in nearly every hour is trusted in
    /// part: by its hours over [`Self::rate_hours`]. Default: 6.
    pub steady_hours: f64,
    /// What part of the hours of its life that is, in 0..1. Default: 0.8.
    pub steady_ratio: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            baseline: baseline::Params::default(),
            limits: ceiling::Limits::default(),
            ceiling_action: Action::Revoke,
            burst: burst::Params::default(),
            ramp: ramp::Params::default(),
            origin: origin::Params::default(),
            fan_out: fan_out::Params::default(),
            endpoints: endpoints::Params::default(),
            failures: failures::Params::default(),
            cost: cost::Params::default(),
            cadence: cadence::Params::default(),
            dormant: dormant::Params::default(),
            tenant_flood: tenant_flood::Params::default(),
            weigh: context::Params::default(),
            off: Detectors::default(),
            learns_s: 3600,
            origin_s: 86_400,
            origin_hours: 4,
            rate_hours: 24,
            steady_hours: 6.0,
            steady_ratio: 0.8,
        }
    }
}

/// No episode.
const CALM: u32 = u32::MAX;

/// Everything remembered of one credential but its id. Shape: 312 bytes.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) windows: Windows,
    pub(super) baseline: Baseline,
    pub(super) known: Known,
    pub(super) ramp: Ramp,
    pub(super) cadence: Cadence,
    pub(super) cost: Cost,
    pub(super) sleep: Sleep,
    pub(super) networks: Spread,
    pub(super) endpoints: Spread,
    pub(super) failures: Failures,
    pub(super) quantum: Quantum,
    pub(super) identity: Identity,
    episode: u32,
    hot: bool,
}

/// What hardly changes of a profile. Shape: 12 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The second (since 1970) in which it was first seen.
    pub first_seen: u32,
    /// Its absolute limit. Unit: requests per minute; 0: none.
    pub limit_per_min: u32,
    /// The number of its tenant in the partition's list.
    pub tenant: u16,
    /// Its kind.
    pub kind: Kind,
    /// In how many hours it was used; at most 255.
    pub hours: u8,
}

impl Identity {
    /// Of a credential first seen at `second`.
    pub const fn new(kind: Kind, tenant: u16, limit_per_min: u32, second: u32) -> Self {
        Self { first_seen: second, limit_per_min, tenant, kind, hours: 1 }
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it went.
    pub placed: Placed,
    /// The detectors that are worth asking.
    pub asks: Detectors,
    /// What was never seen before.
    pub novel: Novel,
    /// Whether it is the first of its credential in an hour of the clock.
    pub begins_hour: bool,
}

/// What the detectors say of one event.
pub type Claims = [Option<Claim>; Detector::ALL.len()];

/// Whether at most the two highest digits of `count` are set, in binary: 1, 2, 3, 4, 6, 8, 12, 16
/// and so on. What is dear is asked only then: at most a third too late, and with a cost that
/// doesn't grow with the rate.
const fn is_asked_at(count: u32) -> bool {
    count.trailing_zeros() + 2 >= u32::BITS - count.leading_zeros()
}

impl Profile {
    /// A credential of which nothing is known but what is believed of its like.
    pub fn new(identity: Identity, prior: Prior, params: &Params) -> Self {
        let second = identity.first_seen;
        Self {
            windows: Windows::new(second),
            baseline: Baseline::new(second, prior, &params.baseline),
            known: Known::default(),
            ramp: Ramp::default(),
            cadence: Cadence::default(),
            cost: Cost::default(),
            sleep: Sleep::default(),
            networks: Spread::default(),
            endpoints: Spread::default(),
            failures: Failures::default(),
            quantum: Quantum::default(),
            identity,
            episode: CALM,
            hot: false,
        }
    }

    /// Counts a request of an authenticated holder; what lies behind the guard gap by then is
    /// learned, unless `frozen`.
    pub fn record(
        &mut self,
        time: EventTime,
        facts: &Facts,
        frozen: bool,
        params: &Params,
    ) -> Recorded {
        let (second, newest) = (time.second(), self.windows.newest());
        let mut asks = Detectors::default();
        let begins_hour = second / 3600 > newest / 3600;
        if second > newest {
            self.baseline.second_ends(&self.windows, second);
            if second / 60 != newest / 60 {
                asks = self.minute_ends(second, frozen, params);
                self.identity.hours = self.identity.hours.saturating_add(u8::from(begins_hour));
            }
        }
        let ms = time.ms_of_second();
        self.quantum.note(newest, second, ms);
        self.cadence.note(newest, second, ms);
        let placed = self.windows.add(second);
        let novel = self.known.novel(facts);
        if placed == Placed::TooLate {
            return Recorded { placed, asks, novel, begins_hour };
        }
        if !novel.is_empty() {
            self.known.note(novel, facts, second / 60);
        }
        self.cost.add(facts.tokens);
        let networks = self.networks.note(facts.prefix);
        let endpoints = self.endpoints.note(facts.endpoint());
        let due = is_asked_at(self.windows.count(Window::S1));
        let asks = asks
            .with(Detector::Ceiling, self.passed().is_some())
            .with(
                Detector::Burst,
                due && burst::may_speak(&self.windows, &self.baseline, &params.burst),
            )
            .with(Detector::Origin, novel.is_of_source() && is_asked_at(self.known.new_now()))
            .with(Detector::FanOut, networks && params.fan_out.may_speak(self.networks))
            .with(Detector::Endpoints, endpoints && params.endpoints.may_speak(self.endpoints))
            .with(
                Detector::Cost,
                due && self.knows_rate(params) && self.cost.may_speak(&params.cost),
            )
            .with(Detector::Dormant, due && self.sleep.just_slept_days(second) > 0);
        Recorded { placed, asks, novel, begins_hour }
    }

    /// Counts a rejected request that names the credential; says whether it is worth asking.
    /// It teaches nothing but how many failures are usual (invariant S-10).
    pub fn record_rejected(&mut self, second: u32, frozen: bool, params: &Params) -> bool {
        self.failures.note(&self.windows, second, frozen);
        let rejected = u32::from(self.failures.now());
        rejected >= params.failures.rejected_min && is_asked_at(rejected)
    }

    /// How many rejected requests of the minute of `second` name it, and how many requests in all.
    pub fn attempts(&self, second: u32) -> (u32, u32) {
        let rejected = u32::from(self.failures.now());
        (rejected, rejected.saturating_add(self.windows.minute(second / 60)))
    }

    /// What `failures` says, where the fleet fails at `fleet_ratio`.
    pub fn failing(&self, second: u32, fleet_ratio: f64, params: &Params) -> Option<Claim> {
        let (failures, windows) = (self.failures, &self.windows);
        let (action, failing) =
            failures::look(failures, windows, second, fleet_ratio, &params.failures)?;
        Some(Claim::new((action, Sight::Failures(failing))))
    }

    /// Time moves on to another minute, that of `next`.
    pub(super) fn minute_ends(&mut self, next: u32, frozen: bool, params: &Params) -> Detectors {
        let newest = self.windows.newest();
        let (ending, silent) = (newest / 60, next / 60 - newest / 60 - 1);
        let days = self.baseline.days_until(&self.windows, next);
        if days > 0 {
            self.ramp.days_pass(days);
            self.cost.days_pass(days);
        }
        self.quantum.minute_ends(&self.windows, ending);
        let (count, usual) = (self.windows.minute(ending), self.usual_minute(params));
        self.ramp.minute_ends(usual, count, silent, &params.ramp);
        if !self.knows_rate(params) {
            self.ramp.absorb(&self.ramp.sums());
        }
        self.cadence.minute_ends(frozen);
        self.cost.minute_ends(frozen);
        if silent > 0 {
            self.cost.minute_ends(frozen);
        }
        self.known.minute_ends(&self.windows, next, frozen);
        self.networks.minute_ends(&self.windows, next, frozen);
        self.endpoints.minute_ends(&self.windows, next, frozen);
        self.sleep.minute_ends(newest, next, frozen, &params.dormant);
        self.baseline.minute_ends(&self.windows, next, frozen, &params.baseline);
        Detectors::default()
            .with(
                Detector::Ramp,
                silent == 0 && self.knows_rate(params) && self.ramp.may_speak(&params.ramp),
            )
            .with(Detector::Cadence, silent == 0 && !self.quantum.is_coarse())
    }

    fn usual_minute(&self, params: &Params) -> Usual {
        let rate = self.baseline.long_rate(&params.baseline);
        Usual::new(rate.per_s * 60.0, self.baseline.dispersion(Window::S60), rate.weight)
    }

    fn passed(&self) -> Option<ceiling::Passed> {
        ceiling::look(&self.windows, self.identity.limit_per_min, self.quantum)
    }

    /// What the detectors that are worth asking say of the event at `time` just recorded.
    /// `suspended`: when the open episode of `burst` first justified a suspension.
    pub fn claims(
        &self,
        recorded: &Recorded,
        time: EventTime,
        suspended: Option<EventTime>,
        params: &Params,
    ) -> Claims {
        let novel = recorded.novel;
        Detector::ALL.map(|detector| {
            if !recorded.asks.has(detector) || params.off.has(detector) {
                return None;
            }
            let claim = Claim::new(self.ask(detector, novel, params)?);
            if detector != Detector::Burst {
                return Some(claim);
            }
            let context = self.context(&claim, novel, params);
            Some(weigh(claim, context, time, suspended, &params.weigh))
        })
    }

    fn ask(&self, detector: Detector, novel: Novel, params: &Params) -> Option<(Action, Sight)> {
        let second = self.windows.newest();
        match detector {
            Detector::Ceiling => Some((params.ceiling_action, Sight::Ceiling(self.passed()?))),
            Detector::Burst => {
                let (windows, baseline) = (&self.windows, &self.baseline);
                let usual = &params.baseline;
                let burst = burst::look(windows, baseline, &params.burst, usual, self.quantum)?;
                let trust = self.trust(params);
                Some((burst.action(trust, &params.burst), Sight::Burst(burst)))
            }
            Detector::Ramp => {
                let count = self.windows.minute((second / 60).saturating_sub(1));
                let usual = self.usual_minute(params).mean;
                let seen = ramp::look(self.ramp, usual, count, &params.ramp);
                seen.map(|(action, climb)| (action, Sight::Ramp(climb)))
            }
            Detector::Origin => {
                let (recent, rise) = (self.recent(params), self.rise_nats(params));
                let (action, source) =
                    origin::look(&self.known, novel, recent, rise, &params.origin)?;
                let young =
                    self.age_s() < params.origin_s || self.identity.hours < params.origin_hours;
                Some((if young { Action::Observe } else { action }, Sight::Origin(source)))
            }
            Detector::FanOut => fan_out::look(self.networks, &params.fan_out)
                .map(|(action, seen)| (action, Sight::FanOut(seen))),
            Detector::Endpoints => endpoints::look(self.endpoints, &params.endpoints)
                .map(|(action, seen)| (action, Sight::Endpoints(seen))),
            Detector::Cost => cost::look(self.cost, self.age_s() / 60, &params.cost)
                .map(|(action, seen)| (action, Sight::Cost(seen))),
            Detector::Cadence => {
                let requests = self.windows.minute((second / 60).saturating_sub(1));
                let seen = cadence::look(self.cadence, requests, &params.cadence);
                seen.map(|(action, seen)| (action, Sight::Cadence(seen)))
            }
            Detector::Dormant => {
                let nats = self.known.source_surprise_nats(novel);
                let (sleep, first) = (self.sleep, self.identity.first_seen);
                let seen = dormant::look(sleep, second, first, nats, &params.dormant);
                seen.map(|(action, seen)| (action, Sight::Dormant(seen)))
            }
            // These are not about an authenticated request of one credential.
            Detector::Failures | Detector::TenantFlood => None,
        }
    }

    /// The evidence that the rate rose, in the window that shows it best. Unit: nats.
    fn rise_nats(&self, params: &Params) -> f64 {
        let rate = self.baseline.rate(&params.baseline);
        let evidence = Window::ALL.into_iter().map(|window| {
            let baseline::Expected { count, dispersion, weight } =
                self.baseline.expected(window, rate);
            let seen = f64::from(self.windows.count(window));
            if seen < params.origin.rise_ratio * count || !self.quantum.judges(window) {
                return 0.0;
            }
            -NegativeBinomial::new(count, dispersion, weight).ln_tail(seen)
        });
        evidence.fold(0.0, f64::max)
    }

    fn recent(&self, params: &Params) -> super::known::Recent {
        self.known.recent(&self.windows, self.baseline.rate(&params.baseline).per_s)
    }

    fn context(&self, claim: &Claim, novel: Novel, params: &Params) -> Context {
        let rate = match claim.sight {
            Sight::Burst(burst) => burst.passes_rate(self.trust(params), &params.burst),
            _ => false,
        };
        Context {
            rate,
            novel,
            surprise_nats: self.known.source_surprise_nats(novel),
            recent: self.recent(params),
            slept_days: self.sleep.just_slept_days(self.windows.newest()),
            age_s: self.age_s(),
            hours: self.identity.hours,
        }
    }

    /// How long it has been known. Unit: seconds.
    pub const fn age_s(&self) -> u32 {
        self.windows.newest().saturating_sub(self.identity.first_seen)
    }

    /// Whether it has learned something that a suspicion should protect.
    pub const fn has_learned(&self, params: &Params) -> bool {
        self.age_s() >= params.learns_s
    }

    /// How far its record is trusted, in 0..1. A credential that is used in nearly every hour is
    /// trusted in part from its sixth hour on; one that is used now and then may do anything once.
    fn trust(&self, params: &Params) -> f64 {
        let hours = f64::from(self.identity.hours);
        let age_hours = f64::from(self.age_s()) / 3600.0 + 1.0;
        let is_steady = hours >= params.steady_hours && hours >= params.steady_ratio * age_hours;
        match self.knows_rate(params) {
            true => 1.0,
            false if is_steady => hours / f64::from(params.rate_hours),
            false => 0.0,
        }
    }

    /// Whether enough is known of its rate to do more than observe what exceeds it.
    const fn knows_rate(&self, params: &Params) -> bool {
        self.identity.hours >= params.rate_hours
    }

    /// What hardly changes.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.identity.kind
    }

    /// Changes its absolute limit.
    pub const fn set_limit(&mut self, per_min: u32) {
        self.identity.limit_per_min = per_min;
    }

    /// The number of its open episodes in the partition's list.
    pub const fn episode(&self) -> Option<u32> {
        if self.episode == CALM { None } else { Some(self.episode) }
    }

    /// Notes its open episodes, or that it is calm.
    pub fn set_episode(&mut self, episode: Option<u32>) {
        self.episode = episode.unwrap_or(CALM);
    }

    /// Forgets what was held back: it may be the beginning of abuse.
    pub fn forget_held(&mut self) {
        self.baseline.forget_held();
        self.known.forget_probation();
        self.networks.forget_held();
        self.endpoints.forget_held();
        self.cost.forget_held();
    }

    /// Whether it is on the partition's list of the busiest.
    pub const fn is_hot(&self) -> bool {
        self.hot
    }

    /// Notes whether it is on the partition's list of the busiest.
    pub const fn set_hot(&mut self, hot: bool) {
        self.hot = hot;
    }

    /// Its counts.
    pub const fn windows(&self) -> &Windows {
        &self.windows
    }

    /// What is usual for it.
    pub const fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// What it is known by.
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// The most of everything as it is now.
    pub fn maxima(&self) -> Maxima {
        let few = |spread: Spread| u8::try_from(spread.distinct()).unwrap_or(u8::MAX);
        Maxima {
            counts: Window::ALL.map(|window| self.windows.count(window) as f32),
            climbs: self.ramp.sums(),
            units: self.cost.now(),
            networks: few(self.networks),
            endpoints: few(self.endpoints),
        }
    }

    /// Learns from a stretch that turned out harmless.
    pub fn absorb(&mut self, maxima: &Maxima) {
        self.baseline.absorb(&maxima.counts);
        self.ramp.absorb(&maxima.climbs);
        self.cost.absorb(maxima.units);
        self.networks.absorb(maxima.networks);
        self.endpoints.absorb(maxima.endpoints);
    }

    /// Begins to measure climbs anew, after a stretch that was judged.
    pub fn restart_climbs(&mut self) {
        self.ramp.restart();
    }

    /// The counts as they will be at `second`, if nothing more comes until then.
    #[must_use]
    pub fn windows_at(&self, second: u32) -> Windows {
        let mut windows = self.windows.clone();
        windows.advance(second);
        windows
    }

    /// Reads a word of each line of memory that an event uses, so that the processor fetches them
    /// ahead of their use.
    pub fn touch(&self, second: u32) -> u32 {
        self.windows.newest()
            ^ self.windows.seconds_until(second, 1)
            ^ self.windows.minute(second / 60)
            ^ self.baseline.touch()
            ^ self.known.new_now()
            ^ self.networks.usual()
            ^ self.identity.limit_per_min
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Identity, Params, Prior, Profile};
    use crate::model::credential::Kind;
    use crate::model::facts::Facts;
    use crate::model::finding::{Action, Detector};
    use crate::model::time::EventTime;

    const START: u32 = 1_700_000_040;

    /// Counts a request in `second`; what burst says of it, if it is asked.
    fn at(profile: &mut Profile, second: u32, params: &Params) -> Option<Claim> {
        let time = EventTime::from_s(i64::from(second));
        let recorded = profile.record(time, &Facts::default(), false, params);
        profile.claims(&recorded, time, None, params)[Detector::Burst as usize]
    }

    /// A credential with `per_min` requests a minute, evenly, for `minutes`.
    fn usual(per_min: u32, minutes: u32, params: &Params) -> Profile {
        let identity = Identity::new(Kind::ApiKey, 0, 10_000, START);
        let prior = Prior { events: 0.5, mean_per_s: 1.0 };
        let mut profile = Profile::new(identity, prior, params);
        for n in 0..per_min * minutes {
            at(&mut profile, START + n * 60 / per_min, params);
        }
        profile
    }

    #[test]
    fn a_profile_is_small() {
        assert!(size_of::<Profile>() <= 312, "{}", size_of::<Profile>());
        assert_eq!(size_of::<Option<Profile>>(), size_of::<Profile>());
    }

    #[test]
    fn ten_thousand_a_minute_on_a_quiet_key_is_known_within_a_second() {
        let params = Params::default();
        let mut profile = usual(30, 180, &params);
        let attack = profile.windows().newest() + 1;
        let known = (1..=167).find(|_| {
            at(&mut profile, attack, &params).is_some_and(|claim| claim.action >= Action::Alert)
        });
        assert!(known.is_some_and(|events| events < 100), "{known:?}");
    }

    #[test]
    fn a_young_key_is_never_throttled_for_a_burst() {
        let params = Params::default();
        let mut profile = usual(30, 10, &params);
        let attack = profile.windows().newest() + 1;
        let claims = (0..5000).filter_map(|_| at(&mut profile, attack, &params));
        assert_eq!(claims.map(|claim| claim.action).max(), Some(Action::Alert));
    }

    #[test]
    fn usual_traffic_says_nothing() {
        let params = Params::default();
        let mut profile = usual(600, 60, &params);
        let next = profile.windows().newest() + 1;
        let time = EventTime::from_s(i64::from(next));
        for _ in 0..15 {
            let recorded = profile.record(time, &Facts::default(), false, &params);
            let claims = profile.claims(&recorded, time, None, &params);
            assert!(claims.iter().all(Option::is_none), "{claims:?}");
        }
    }
}
