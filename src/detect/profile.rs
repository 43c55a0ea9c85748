//! Everything remembered of one credential.
//!
//! An event is counted by [`Profile::record`], which answers which detectors are worth asking:
//! for nearly every event none. [`Profile::detection`] asks one.

use super::params::Params;

use super::baseline::Baseline;
use super::cadence::Cadence;
use super::cardinality::Cardinality;
use super::cost::Cost;
use super::dormant::Sleep;
use super::failures::Failures;
use super::familiarity::{Familiar, Graduates};
use super::identity::{Identity, Marks};
use super::limit::Limit;
use super::novel::Novel;
use super::peaks::Peaks;
use super::ramp::Ramp;
use super::session::Trace;
use super::timestamp_resolution::TimestampResolution;
use super::unproven::UnprovenValues;
use super::window::{Placed, Window, Windows};
use super::{burst, cost, limit};
use crate::model::credential::Kind;
use crate::model::features::{Aspect, Facts};
use crate::model::finding::{Detector, Detectors};
use crate::model::time::EventTime;
use crate::stats::cusum::Usual;
use crate::stats::rate::Prior;

/// Everything remembered of one credential but its id. Shape: 336 bytes.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) windows: Windows,
    pub(super) baseline: Baseline,
    pub(super) known: Familiar,
    pub(super) ramp: Ramp,
    pub(super) cadence: Cadence,
    pub(super) cost: Cost,
    pub(super) cost_known: cost::Known,
    pub(super) sleep: Sleep,
    pub(super) networks: Cardinality,
    pub(super) endpoints: Cardinality,
    pub(super) failures: Failures,
    pub(super) resolution: TimestampResolution,
    pub(super) identity: Identity,
    pub(super) trace: Trace,
    marks: Marks,
}

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it went.
    pub placed: Placed,
    /// The detectors that are worth asking.
    pub asks: Detectors,
    /// The values never seen before.
    pub novel: Novel,
    /// The values that were seen before, but have not proven themselves.
    pub unproven: Novel,
    /// The values that are no longer new, and have to prove themselves from now on.
    pub graduates: Graduates,
    /// Whether it comes from a network that was not used in this stretch of ten minutes.
    pub new_network: bool,
    /// Whether it is the first of its credential in an hour of the clock.
    pub begins_hour: bool,
    /// Whether it is the first of its credential in a day of UTC.
    pub begins_day: bool,
}

/// Whether at most the two highest digits of `count` are set, in binary: 1, 2, 3, 4, 6, 8, 12, 16
/// and so on. Expensive ones are asked only then: at most a third too late, and with a cost that
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
            known: Familiar::default(),
            ramp: Ramp::default(),
            cadence: Cadence::default(),
            cost: Cost::default(),
            cost_known: cost::Known::default(),
            sleep: Sleep::default(),
            networks: Cardinality::default(),
            endpoints: Cardinality::default(),
            failures: Failures::default(),
            resolution: TimestampResolution::default(),
            identity,
            trace: Trace::default(),
            marks: Marks::new(false, Marks::CALM),
        }
    }

    /// Counts a verified request; what lies behind the guard interval by then is
    /// learned, unless `frozen`. `values`: those that have not proven themselves, looked up where any value is
    /// unknown.
    pub fn record<'a>(
        &mut self,
        time: EventTime,
        facts: &Facts,
        (frozen, values): (bool, impl FnOnce() -> Option<&'a UnprovenValues>),
        params: &Params,
    ) -> Recorded {
        let (second, newest) = (time.second(), self.windows.newest());
        let mut asks = Detectors::default();
        let mut graduates = Graduates::default();
        let begins_hour = second / 3600 > newest / 3600;
        let begins_day = second / 86_400 > newest / 86_400;
        if second > newest {
            self.baseline.second_ends(&self.windows, second);
            if second / 60 != newest / 60 {
                (asks, graduates) = self.minute_ends(second, frozen, params);
                if begins_hour {
                    self.identity.hours = self.identity.hours.saturating_add(1);
                    self.cost.hour_begins(&mut self.cost_known);
                }
            }
        }
        self.identity.hours = self.identity.hours.max(1);
        let ms = time.ms_of_second();
        self.resolution.record(newest, second, ms);
        self.cadence.record(newest, second, ms);
        let placed = self.windows.add(second);
        let unknown = self.known.novel(facts);
        let known_of = if unknown.is_empty() { None } else { values() };
        let unproven = known_of
            .map_or(Novel::default(), |values| values.among(unknown, facts))
            .union(graduates.among(unknown, facts));
        let novel = unknown.without(unproven);
        let recorded = Recorded {
            placed,
            asks,
            novel,
            unproven,
            graduates,
            new_network: false,
            begins_hour,
            begins_day,
        };
        if placed == Placed::TooLate {
            return recorded;
        }
        let mut is_first = false;
        if !unknown.is_empty() {
            is_first = self.known.record(novel, facts, second / 60);
            if unknown.is_of_source() {
                self.known.count_new();
            }
        }
        self.cost.add(&mut self.cost_known, facts.cost, &params.cost);
        let networks = self.networks.record(facts.prefix);
        let endpoints = self.endpoints.record(facts.endpoint());
        let due = is_asked_at(self.windows.count(Window::S1));
        let asks = asks
            .with(Detector::Limit, self.passed().is_some())
            .with(
                Detector::Burst,
                due && burst::may_speak(&self.windows, &self.baseline, &params.burst),
            )
            .with(
                Detector::Origin,
                novel.is_of_source()
                    && self.known.knows_a_source()
                    && (is_first || is_asked_at(self.known.new_now())),
            )
            .with(Detector::FanOut, networks && params.fan_out.may_speak(self.networks))
            .with(Detector::Endpoints, endpoints && params.endpoints.may_speak(self.endpoints))
            .with(
                Detector::Cost,
                due && self.cost.may_speak(self.cost_known, params.rate_hours, &params.cost),
            )
            .with(Detector::Dormant, due && self.sleep.just_slept_days(second) > 0);
        Recorded { asks, new_network: networks, ..recorded }
    }

    /// These values have proven themselves: they are known from now on.
    pub fn prove(&mut self, proven: Novel, facts: &Facts) {
        for (aspect, hash) in Aspect::ALL.into_iter().zip(facts.values) {
            if proven.has(aspect) {
                self.known.learn(aspect, hash);
            }
        }
    }

    /// Counts a failed request that names the credential; says whether it is worth asking. It
    /// teaches nothing but how many failures are usual (invariant S-10). One that was `verified` has
    /// been recorded as a use before.
    pub fn record_failed(
        &mut self,
        second: u32,
        frozen: bool,
        verified: bool,
        params: &Params,
    ) -> bool {
        self.failures.record(&self.windows, second, frozen, verified);
        is_asked_at(u32::from(self.failures.now()))
            && self.failures.may_speak(&self.windows, second, &params.failures)
    }

    /// How many failed requests of the minute of `second` name it, and how many requests in all; and the
    /// same of about ten minutes.
    pub fn attempts(&self, second: u32) -> [(u32, u32); 2] {
        let attempts = self.failures.attempts(&self.windows, second / 60);
        let in_minute = (u32::from(self.failures.now()), attempts);
        [in_minute, self.failures.slow(&self.windows, second)]
    }

    /// Time moves on to another minute, that of `next`. Gives the detectors that are worth asking, and
    /// the values that have to prove themselves.
    pub(super) fn minute_ends(
        &mut self,
        next: u32,
        frozen: bool,
        params: &Params,
    ) -> (Detectors, Graduates) {
        let newest = self.windows.newest();
        let (ending, silent) = (newest / 60, next / 60 - newest / 60 - 1);
        let days = self.baseline.days_until(&self.windows, next);
        if days > 0 {
            self.ramp.days_pass(days);
            self.cost.days_pass(days);
        }
        self.resolution.minute_ends(&self.windows, ending);
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
        // A cold profile has faded up to here already: it is not faded twice.
        let faded = self.baseline.learned_until();
        let graduates = self.known.minute_ends(&self.windows, faded, next, frozen);
        self.networks.minute_ends(&self.windows, next, days, frozen);
        self.endpoints.minute_ends(&self.windows, next, days, frozen);
        self.sleep.minute_ends(newest, next, frozen, &params.dormant);
        self.baseline.minute_ends(&self.windows, next, frozen, &params.baseline);
        if !self.knows_rate(params) {
            self.baseline.settle();
        }
        let climbs = self.knows_rate(params) && self.ramp.may_speak(&params.ramp);
        let changes =
            !self.resolution.is_coarse() && self.cadence.may_speak(count, &params.cadence);
        let asks = Detectors::default()
            .with(Detector::Ramp, silent == 0 && climbs)
            .with(Detector::Cadence, silent == 0 && changes);
        (asks, graduates)
    }

    pub(super) fn usual_minute(&self, params: &Params) -> Usual {
        let rate = self.baseline.long_rate(&params.baseline);
        Usual::new(rate.per_s * 60.0, self.baseline.dispersion(Window::S60), rate.weight)
    }

    pub(super) fn passed(&self) -> Option<limit::Passed> {
        limit::evaluate(&self.windows, self.identity.limit, self.resolution)
    }

    /// How long it has been known. Unit: seconds.
    pub const fn age_s(&self) -> u32 {
        self.windows.newest().saturating_sub(self.identity.first_seen)
    }

    /// Whether it has learned something that a suspicion should protect.
    pub const fn has_learned(&self, params: &Params) -> bool {
        self.age_s() >= params.learns_s
    }

    /// Whether enough is known of its rate to do more than observe what exceeds it.
    pub const fn knows_rate(&self, params: &Params) -> bool {
        self.identity.hours >= params.rate_hours
    }

    /// The identity.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes note that it was handed out, and not used yet.
    pub const fn set_unused(&mut self) {
        self.identity.hours = 0;
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.identity.kind
    }

    /// Lets it belong to another tenant, by its number.
    pub const fn set_tenant(&mut self, tenant: u16) {
        self.identity.tenant = tenant;
    }

    /// Where it was used, as a session; to change.
    pub const fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Changes its absolute limit.
    pub const fn set_limit(&mut self, limit: Limit) {
        self.identity.limit = limit;
    }

    /// The number of its open incidents in the partition's list.
    pub const fn open_finding(&self) -> Option<u32> {
        let number = self.marks.open_finding();
        if number == Marks::CALM { None } else { Some(number) }
    }

    /// Notes its open incidents, or that it is calm.
    pub fn set_open_finding(&mut self, open_finding: Option<u32>) {
        self.marks = Marks::new(self.is_hot(), open_finding.unwrap_or(Marks::CALM));
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
        self.marks.is_hot()
    }

    /// Notes whether it is on the partition's list of the busiest.
    pub const fn set_hot(&mut self, hot: bool) {
        self.marks = Marks::new(hot, self.marks.open_finding());
    }

    /// Its counts.
    pub const fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Its usual share.
    pub const fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The familiar values.
    pub const fn known(&self) -> &Familiar {
        &self.known
    }

    /// The most of everything as it is now.
    pub fn peaks(&self) -> Peaks {
        let few = |spread: Cardinality| u8::try_from(spread.distinct()).unwrap_or(u8::MAX);
        Peaks {
            counts: Window::ALL.map(|window| self.windows.count(window) as f32),
            climbs: self.ramp.sums(),
            units: self.cost.now(),
            networks: few(self.networks),
            endpoints: few(self.endpoints),
        }
    }

    /// Learns from a stretch that turned out harmless.
    pub fn absorb(&mut self, peaks: &Peaks) {
        self.baseline.absorb(&peaks.counts);
        self.ramp.absorb(&peaks.climbs);
        self.cost.absorb(peaks.units);
        self.networks.absorb(peaks.networks);
        self.endpoints.absorb(peaks.endpoints);
    }

    /// Begins to measure climbs again, after a stretch that was judged.
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
            ^ self.identity.limit.per_min()
    }
}

crate::codec!(Profile {
    windows,
    baseline,
    known,
    ramp,
    cadence,
    cost,
    sleep,
    networks,
    endpoints,
    failures,
    resolution,
    identity,
    marks,
    cost_known,
    trace
});

#[cfg(test)]
mod tests {
    use super::{Identity, Limit, Novel, Prior, Profile};
    use crate::detect::detection::Detection;
    use crate::detect::evaluate::EventContext;
    use crate::detect::params::Params;
    use crate::model::credential::Kind;
    use crate::model::features::Facts;
    use crate::model::finding::{Action, Detector};
    use crate::model::time::EventTime;

    const START: u32 = 1_700_000_040;

    /// An event of a credential whose kind made a thousand requests a second at most.
    fn watched(time: EventTime, novel: Novel) -> EventContext {
        let unproven = Novel::default();
        let kind_peaks = [1e3, 3e3, 6e3, 2e4, 8e4];
        EventContext { time, novel, unproven, suspended: None, kind_peaks }
    }

    /// Counts a request in `second`; what burst says of it, if it is asked.
    fn at(profile: &mut Profile, second: u32, params: &Params) -> Option<Detection> {
        let time = EventTime::from_s(i64::from(second));
        let recorded = profile.record(time, &Facts::default(), (false, || None), params);
        let burst = Detector::Burst;
        let asked = recorded.asks.has(burst);
        let event = watched(time, recorded.novel);
        let detection = || profile.detection(burst, event, params);
        asked.then(detection).flatten()
    }

    /// A credential with `per_min` requests a minute, evenly, for `minutes`.
    fn usual(per_min: u32, minutes: u32, params: &Params) -> Profile {
        let identity = Identity::new(Kind::ApiKey, 0, Limit::written(10_000), START);
        let prior = Prior { events: 0.5, mean_per_s: 1.0 };
        let mut profile = Profile::new(identity, prior, params);
        for n in 0..per_min * minutes {
            at(&mut profile, START + n * 60 / per_min, params);
        }
        profile
    }

    #[test]
    fn a_profile_is_small() {
        assert!(size_of::<Profile>() <= 336, "{}", size_of::<Profile>());
        assert_eq!(size_of::<Option<Profile>>(), size_of::<Profile>());
    }

    #[test]
    fn ten_thousand_a_minute_on_a_quiet_key_is_known_within_a_second() {
        let params = Params::default();
        let mut profile = usual(30, 25 * 60, &params);
        let attack = profile.windows().newest() + 1;
        let known = (1..=167).find(|_| {
            at(&mut profile, attack, &params)
                .is_some_and(|detection| detection.action >= Action::Alert)
        });
        assert!(known.is_some_and(|events| events < 100), "{known:?}");
    }

    /// The most that so many requests in the second after `minutes` of use justify.
    fn most(minutes: u32, requests: u32) -> Option<Action> {
        let params = Params::default();
        let mut profile = usual(30, minutes, &params);
        let attack = profile.windows().newest() + 1;
        let detections = (0..requests).filter_map(|_| at(&mut profile, attack, &params));
        detections.map(|detection| detection.action).max()
    }

    #[test]
    fn a_burst_of_a_young_key_alerts_once_it_exceeds_the_peaks_of_its_kind() {
        assert_eq!(most(10, 900), Some(Action::Observe));
        assert_eq!(most(10, 5000), Some(Action::Alert), "and no more");
    }

    #[test]
    fn a_burst_alerts_at_a_ratio_that_falls_with_the_hours_of_use() {
        // Used in 1, 3, 7 and 25 hours of the clock.
        let least = |minutes: u32| {
            (1..300).find(|n| most(minutes, *n).is_some_and(|most| most >= Action::Alert))
        };
        assert_eq!([30, 120, 360, 1500].map(least), [None, Some(64), Some(48), Some(12)]);
    }

    #[test]
    fn usual_traffic_says_nothing() {
        let params = Params::default();
        let mut profile = usual(600, 60, &params);
        let next = profile.windows().newest() + 1;
        let time = EventTime::from_s(i64::from(next));
        for _ in 0..15 {
            let recorded = profile.record(time, &Facts::default(), (false, || None), &params);
            for detector in recorded.asks.iter() {
                let event = watched(time, recorded.novel);
                let detection = profile.detection(detector, event, &params);
                assert_eq!(detection, None);
            }
        }
    }
}
