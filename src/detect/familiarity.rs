//! The values that a credential is known by: its networks, countries, user agents and endpoints.
//!
//! A value is learned half an hour after it first appeared, unless a finding opened meanwhile:
//! a thief who begins quietly has half an hour, not a minute, before his network counts as known.
//!
//! ```text
//!   first seen ---- on probation, still new: 30 min ---- learned, or unproven where it surprises
//!                        ^ a finding opens: forgotten
//! ```
//! A value that surprises is not learned yet: [`super::unproven`] has it until it has proven itself.

use super::novel::{Graduate, Novel};
use super::window::Windows;
use crate::model::features::{Aspect, Facts};
use crate::stats::codec::{Codec, Input};
use crate::stats::compact::Compact;
use crate::stats::distinct::{bits_of, bits_of_few, is_known, is_known_of_few};
use crate::stats::novelty::surprise_nats;
use crate::stats::rate::narrow;

/// How long a value is on probation. Unit: minutes. Chosen; below 64.
pub const PROBATION_MIN: u32 = 30;
/// The surprise from which on a value must prove itself. Unit: nats. Default: 7, from which on
/// [`super::origin`] reports it.
const PROOF_NATS: f64 = 7.0;
/// The rest of an event after a minute: a half-life of 90 days. Chosen: as long as people
/// rotate keys.
const KEEP_PER_MIN: f64 = 1.0 - 5.35e-6;
/// The rest of the recent events from new sources after a minute. Chosen.
const RECENT_KEEP_PER_MIN: f64 = 0.75;
/// The rest of the usual rate of new sources after a minute: a half-life of 15 minutes, as of the rate that
/// is expected from all. Measured: with three hours an honest burst is put on a network that was busy before.
const USUAL_KEEP_PER_MIN: f64 = 0.9548;
/// A minute counts for that usual rate up to so many times of it, or so many events. Chosen: a client that
/// moves is usual after half an hour, a flood is not while it lasts.
const USUAL_CLIP: f32 = 4.0;
const USUAL_CLIP_MIN: f32 = 20.0;
/// The part of the usual rate that comes from where an owner has moved to. Chosen: with less, a burst of the
/// owner's comes from proven sources as well.
const MOVED_RATIO: f64 = 0.5;
/// How many minutes back the recent events are compared with all events.
const RECENT_MIN: u32 = 6;

/// The most new networks without a place that are counted at once. Chosen: two that take turns must
/// not pass for hundreds.
const MISSED_MAX: u8 = 16;

/// A value on probation: two bits of aspect, six of the minute in which it appeared, 24 of hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Probation(u32);

impl Probation {
    const fn new(aspect: Aspect, minute: u32, hash: u32) -> Self {
        Self((aspect as u32) << 30 | (minute & 63) << 24 | (hash & 0x00ff_ffff))
    }

    const fn is_free(self) -> bool {
        self.0 << 8 == 0
    }

    const fn is_of(self, aspect: Aspect, hash: u32) -> bool {
        (self.0 ^ ((aspect as u32) << 30 | (hash & 0x00ff_ffff))) & 0xc0ff_ffff == 0
    }

    fn aspect(self) -> Aspect {
        Aspect::ALL.get((self.0 >> 30) as usize).copied().unwrap_or(Aspect::Endpoint)
    }

    /// How long ago it appeared at `minute`, modulo 64.
    const fn age_min(self, minute: u32) -> u32 {
        minute.wrapping_sub(self.0 >> 24) & 63
    }
}

/// Values whose probation is over, and that have to prove themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Graduates([Probation; 3]);

impl Graduates {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|value| value.is_free())
    }

    /// Which of the values of an event that are `unknown` are among them.
    pub fn among(&self, unknown: Novel, facts: &Facts) -> Novel {
        let is_here = |aspect, hash| self.0.iter().any(|value| value.is_of(aspect, hash));
        unknown.filter(facts, is_here)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Graduate> + '_ {
        let values = self.0.iter().filter(|value| !value.is_free());
        values.map(|value| (value.aspect(), value.0 & 0x00ff_ffff))
    }
}

/// How many events recently came from new sources beyond what usually does, and how many came in all;
/// older minutes weigh less in both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recent {
    /// From new sources.
    pub new: f64,
    /// From all.
    pub all: f64,
    /// Expected from all.
    pub expected: f64,
}

impl Recent {
    /// The part of the excess that came from new sources, in 0..1.
    pub fn new_source_ratio(self) -> f64 {
        if self.new <= 0.0 {
            return 0.0;
        }
        (self.new / (self.all - self.expected).max(self.new)).clamp(0.0, 1.0)
    }
}

/// The learned values. Shape: 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Learned {
    networks: [u32; 2],
    endpoints: [u32; 2],
    countries: u32,
    agents: u32,
    /// How many events taught them, slowly forgotten.
    events: f32,
    distinct: [u8; Aspect::ALL.len()],
}

/// The values that a credential is known by. Shape: 56 bytes.
#[derive(Clone, Debug, Default)]
pub struct Familiar {
    learned: Learned,
    probation: [Probation; 3],
    new_now: u32,
    new_recent: Compact,
    /// How many events a minute usually come from sources that are new or unproven, as where a
    /// client has moved: they are no excess.
    new_usual: f32,
    /// New networks that found no place on probation: a phone's, say. One that comes again and
    /// again counts once; two that take turns count too often, which errs towards no surprise.
    missed: u8,
    missed_last: u8,
}

const fn joined([low, high]: [u32; 2]) -> u64 {
    low as u64 | (high as u64) << 32
}

/// Sets the two bits of a hash in a filter of 64.
fn learn_in(filter: &mut [u32; 2], hash: u32) {
    let [low, high] = filter;
    let bits = bits_of(hash);
    *low |= u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
    *high |= u32::try_from(bits >> 32).unwrap_or(0);
}

impl Familiar {
    /// Its learned part.
    pub const fn learned(&self) -> Learned {
        self.learned
    }

    /// Knows what was learned, as after a long silence.
    pub fn of(learned: Learned) -> Self {
        Self { learned, ..Self::default() }
    }

    /// Which of the facts were never seen before. Cost: a few operations on bits, by event.
    pub fn novel(&self, facts: &Facts) -> Novel {
        Novel::ALL.filter(facts, |aspect, hash| hash != 0 && !self.knows(aspect, hash))
    }

    fn knows(&self, aspect: Aspect, hash: u32) -> bool {
        match aspect {
            Aspect::Network => is_known(joined(self.learned.networks), hash),
            Aspect::Country => is_known_of_few(self.learned.countries, hash),
            Aspect::Agent => is_known_of_few(self.learned.agents, hash),
            Aspect::Endpoint => is_known(joined(self.learned.endpoints), hash),
        }
    }

    /// Counts an event from a new source.
    pub const fn count_new(&mut self) {
        self.new_now = self.new_now.saturating_add(1);
    }

    /// Puts what is new of an event in `minute` on probation; says whether any value is seen for the first
    /// time.
    pub fn record(&mut self, novel: Novel, facts: &Facts, minute: u32) -> bool {
        let mut is_first = false;
        for (aspect, hash) in Aspect::ALL.into_iter().zip(facts.values) {
            if !novel.has(aspect) || self.probation.iter().any(|slot| slot.is_of(aspect, hash)) {
                continue;
            }
            match self.probation.iter_mut().find(|slot| slot.is_free()) {
                Some(slot) => {
                    *slot = Probation::new(aspect, minute, hash);
                    is_first = true;
                }
                None if aspect == Aspect::Network => self.miss(hash),
                None => {}
            }
        }
        is_first
    }

    fn miss(&mut self, network: u32) {
        let last = u8::try_from(network & 0xff).unwrap_or(0);
        if last != std::mem::replace(&mut self.missed_last, last) {
            self.missed = (self.missed + 1).min(MISSED_MAX);
        }
    }

    /// Learns what has been on probation for long enough, as time moves from the minute of
    /// `windows` to the minute of `next`. `faded`: the minute up to which the past has faded
    /// already, as while it slept. Gives what surprises: it is not learned but has to prove itself.
    pub fn minute_ends(
        &mut self,
        windows: &Windows,
        faded: u32,
        next: u32,
        frozen: bool,
    ) -> Graduates {
        let (ending, next_minute) = (windows.newest() / 60, next / 60);
        let passed = next_minute - ending;
        let fading_min = next_minute.saturating_sub(faded.max(ending));
        let fades = narrow(RECENT_KEEP_PER_MIN.powi(i32::try_from(passed.min(99)).unwrap_or(99)));
        let now = std::mem::take(&mut self.new_now) as f32;
        let new = self.new_recent.value() + now;
        self.new_recent = Compact::nearest(if new * fades < 0.5 { 0.0 } else { new * fades });
        let mut graduates = Graduates::default();
        if frozen {
            return graduates;
        }
        if now > 0.0 || self.new_usual > 0.0 {
            // A flood must not pass for usual within its first minutes.
            let clipped = now.min(self.new_usual.mul_add(USUAL_CLIP, USUAL_CLIP_MIN));
            let usual =
                f64::from(self.new_usual - clipped) * USUAL_KEEP_PER_MIN + f64::from(clipped);
            let silent = i32::try_from(passed - 1).unwrap_or(i32::MAX);
            self.new_usual = narrow(usual * USUAL_KEEP_PER_MIN.powi(silent));
        }
        let keep = KEEP_PER_MIN.powi(i32::try_from(fading_min).unwrap_or(i32::MAX));
        let counted = f64::from(windows.minutes_until(ending, 1));
        self.learned.events = narrow(f64::from(self.learned.events) * keep + counted);
        for (index, place) in graduates.0.iter_mut().enumerate() {
            let Some(slot) = self.probation.get_mut(index) else { continue };
            if !slot.is_free() && slot.age_min(ending) + passed >= PROBATION_MIN {
                let value = std::mem::take(slot);
                if self.surprise_nats(value.aspect()) < PROOF_NATS {
                    self.learn(value.aspect(), value.0);
                    let is_network = value.aspect() == Aspect::Network;
                    let missed = if is_network { std::mem::take(&mut self.missed) } else { 0 };
                    self.count_distinct(value.aspect(), missed);
                } else {
                    *place = value;
                    self.count_distinct(value.aspect(), 0);
                }
            }
        }
        graduates
    }

    /// Learns a value: it is known from now on, and its events are new no more.
    pub fn learn(&mut self, aspect: Aspect, hash: u32) {
        if aspect != Aspect::Endpoint {
            self.new_usual = 0.0;
        }
        match aspect {
            Aspect::Network => learn_in(&mut self.learned.networks, hash),
            Aspect::Endpoint => learn_in(&mut self.learned.endpoints, hash),
            Aspect::Country => self.learned.countries |= bits_of_few(hash),
            Aspect::Agent => self.learned.agents |= bits_of_few(hash),
        }
    }

    fn count_distinct(&mut self, aspect: Aspect, missed: u8) {
        if let Some(distinct) = self.learned.distinct.get_mut(aspect as usize) {
            if *distinct == 0 {
                // This aspect is reported only now: what was counted before says nothing of it.
                self.learned.events = 0.0;
            }
            *distinct = distinct.saturating_add(1).saturating_add(missed);
        }
    }

    /// A value on probation is forgotten: it may be the thief's.
    pub fn forget_probation(&mut self) {
        self.probation = [Probation::default(); 3];
        self.missed = 0;
    }

    /// Whether any source was learned; before, none can surprise.
    pub const fn knows_a_source(&self) -> bool {
        let [network, country, agent, _] = self.learned.distinct;
        network | country | agent != 0
    }

    /// How surprising a new value of `aspect` is. Unit: nats; 0 while none is known.
    pub fn surprise_nats(&self, aspect: Aspect) -> f64 {
        let distinct = self.learned.distinct.get(aspect as usize).copied().unwrap_or(0);
        surprise_nats(f64::from(self.learned.events), u32::from(distinct))
    }

    /// How surprising it is to see these new values: the more surprising of network and country,
    /// which change together, and the user agent. Unit: nats.
    pub fn source_surprise_nats(&self, novel: Novel) -> f64 {
        let of = |aspect| if novel.has(aspect) { self.surprise_nats(aspect) } else { 0.0 };
        of(Aspect::Network).max(of(Aspect::Country)) + of(Aspect::Agent)
    }

    /// Whether the owner has moved to sources that are unproven: they carry half of what is usual.
    pub fn has_moved(&self, rate_per_s: f64) -> bool {
        f64::from(self.new_usual) >= MOVED_RATIO * rate_per_s * 60.0
    }

    /// How many distinct values of `aspect` are known, about.
    pub fn distinct(&self, aspect: Aspect) -> u32 {
        self.learned.distinct.get(aspect as usize).copied().map_or(0, u32::from)
    }

    /// The events of the running minute from new sources.
    pub const fn new_now(&self) -> u32 {
        self.new_now
    }

    /// The events recently, from new sources and from all, with `rate_per_s` expected.
    pub fn recent(&self, windows: &Windows, rate_per_s: f64) -> Recent {
        let minute = windows.newest() / 60;
        let mut weight = 1.0;
        let (mut all, mut minutes) = (0.0, 0.0);
        for back in 0..RECENT_MIN {
            all += weight * f64::from(windows.minutes_until(minute.wrapping_sub(back), 1));
            let seconds = if back == 0 { windows.newest() % 60 + 1 } else { 60 };
            minutes += weight * f64::from(seconds) / 60.0;
            weight *= RECENT_KEEP_PER_MIN;
        }
        let new = f64::from(self.new_now) + f64::from(self.new_recent.value());
        // Of the minutes before, all are in it that have not faded.
        let faded = RECENT_KEEP_PER_MIN / (1.0 - RECENT_KEEP_PER_MIN);
        let new_minutes = f64::from(windows.newest() % 60 + 1) / 60.0 + faded;
        let new = (new - f64::from(self.new_usual) * new_minutes).clamp(0.0, all);
        Recent { new, all, expected: rate_per_s * 60.0 * minutes }
    }
}

crate::codec!(Probation);
crate::codec!(Recent { new, all, expected });
crate::codec!(Learned { networks, endpoints, countries, agents, events, distinct });
impl Codec for Familiar {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.learned, self.probation).encode(out);
        (self.new_now, self.new_recent).encode(out);
        (self.missed, self.missed_last).encode(out);
        self.new_usual.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (learned, probation) = Codec::decode(input)?;
        let (new_now, new_recent) = Codec::decode(input)?;
        let (missed, missed_last) = Codec::decode(input)?;
        let new_usual = if input.version() < 5 { 0.0 } else { Codec::decode(input)? };
        Some(Self { learned, probation, new_now, new_recent, new_usual, missed, missed_last })
    }
}

#[cfg(test)]
mod tests {
    use super::{Familiar, PROBATION_MIN};
    use crate::detect::window::Windows;
    use crate::model::features::{Aspect, Facts};

    /// Minute-aligned.
    const START: u32 = 1_700_000_040;

    fn from(network: u32, agent: u32) -> Facts {
        Facts { values: [network, 0, agent, 0], ..Facts::default() }
    }

    struct Key {
        windows: Windows,
        known: Familiar,
    }

    impl Key {
        fn new() -> Self {
            Self { windows: Windows::new(START), known: Familiar::default() }
        }

        fn count(&mut self, facts: &Facts, minute: u32) {
            let novel = self.known.novel(facts);
            self.known.record(novel, facts, minute);
            if novel.is_of_source() {
                self.known.count_new();
            }
        }

        fn uses(&mut self, facts: &Facts, minutes: u32, per_min: u32, frozen: bool) {
            let start = self.windows.newest() / 60 + 1;
            for minute in start..start + minutes {
                self.known.minute_ends(&self.windows, 0, minute * 60, frozen);
                for _ in 0..per_min {
                    self.windows.add(minute * 60);
                    self.count(facts, minute);
                }
            }
        }
    }

    #[test]
    fn a_value_is_new_for_half_an_hour_and_then_known() {
        let mut key = Key::new();
        key.uses(&from(7, 9), PROBATION_MIN, 10, false);
        assert!(key.known.novel(&from(7, 9)).is_of_source());
        key.uses(&from(7, 9), 2, 10, false);
        assert!(key.known.novel(&from(7, 9)).is_empty());
        assert_eq!(key.known.distinct(Aspect::Network), 1);
    }

    #[test]
    fn all_that_is_new_at_first_is_known_within_the_hour_and_counted_once() {
        let mut key = Key::new();
        let facts = Facts { values: [7, 8, 9, 10], ..Facts::default() };
        key.uses(&facts, 2 * PROBATION_MIN + 2, 100, false);
        assert!(key.known.novel(&facts).is_empty());
        for aspect in Aspect::ALL {
            assert_eq!(key.known.distinct(aspect), 1, "{aspect:?}");
        }
    }

    #[test]
    fn networks_without_a_place_count_when_a_network_is_learned_and_not_before() {
        let mut key = Key::new();
        key.uses(&from(0, 9), 1, 1, false);
        let minute = key.windows.newest() / 60;
        // Two find a place next to the user agent, three don't.
        (11..16).for_each(|network| key.count(&from(network, 9), minute));
        key.known.minute_ends(&key.windows, 0, key.windows.newest() + 3600, false);
        assert_eq!(key.known.distinct(Aspect::Network), 5);
    }

    #[test]
    fn a_silent_hour_ends_probation() {
        let mut key = Key::new();
        key.uses(&from(7, 9), 1, 1, false);
        key.known.minute_ends(&key.windows, 0, key.windows.newest() + 3600, false);
        assert!(key.known.novel(&from(7, 9)).is_empty());
    }

    #[test]
    fn what_an_open_finding_interrupts_is_not_learned() {
        let mut key = Key::new();
        key.uses(&from(7, 9), 60, 10, false);
        key.uses(&from(8, 9), 5, 10, false);
        key.known.forget_probation();
        key.uses(&from(8, 9), 200, 10, true);
        assert!(key.known.novel(&from(8, 9)).has(Aspect::Network));
    }

    #[test]
    fn a_new_network_surprises_a_key_that_never_moved() {
        let mut key = Key::new();
        key.uses(&from(7, 9), 2000, 500, false);
        let novel = key.known.novel(&from(8, 10));
        let nats = key.known.source_surprise_nats(novel);
        assert!((26.0..32.0).contains(&nats), "{nats}");
    }

    #[test]
    fn a_fact_that_is_reported_for_the_first_time_surprises_nobody() {
        let mut key = Key::new();
        key.uses(&from(7, 0), 2000, 500, false);
        assert!(key.known.surprise_nats(Aspect::Agent).abs() < f64::EPSILON);
        key.uses(&from(7, 9), 40, 1, false);
        assert!(key.known.surprise_nats(Aspect::Agent) < 5.0);
    }

    #[test]
    fn the_share_of_new_sources_in_the_excess_is_right_for_minutes() {
        let mut key = Key::new();
        key.uses(&from(7, 9), 60, 100, false);
        for _ in 0..4 {
            key.uses(&from(7, 9), 1, 100, false);
            let minute = key.windows.newest() / 60;
            for n in 0..900_u32 {
                key.windows.add(minute * 60 + n / 15);
                let facts = from(8, 9);
                key.count(&facts, minute);
            }
            let ratio = key.known.recent(&key.windows, 100.0 / 60.0).new_source_ratio();
            assert!(ratio > 0.95, "{ratio}");
        }
    }

    #[test]
    fn a_client_that_has_moved_is_no_excess_of_its_own() {
        let mut key = Key::new();
        key.uses(&from(7, 9), 600, 100, false);
        for _ in 0..20 {
            // It stays unproven: nothing of it is learned.
            key.uses(&from(8, 9), 29, 100, false);
            key.known.forget_probation();
        }
        let minute = key.windows.newest() / 60;
        for _ in 0..400 {
            key.windows.add(minute * 60);
            key.count(&from(7, 9), minute);
        }
        let ratio = key.known.recent(&key.windows, 100.0 / 60.0).new_source_ratio();
        assert!(ratio < 0.3, "{ratio}");
        for _ in 0..4000 {
            key.windows.add(minute * 60);
            key.count(&from(8, 9), minute);
        }
        let ratio = key.known.recent(&key.windows, 100.0 / 60.0).new_source_ratio();
        assert!(ratio > 0.8, "{ratio}");
    }

    #[test]
    fn an_excess_from_known_sources_is_not_put_on_a_new_one() {
        let mut key = Key::new();
        key.uses(&from(7, 9), 60, 100, false);
        key.uses(&from(7, 9), 1, 2000, false);
        let minute = key.windows.newest() / 60;
        for _ in 0..100 {
            key.windows.add(minute * 60);
            key.count(&from(8, 9), minute);
        }
        let ratio = key.known.recent(&key.windows, 100.0 / 60.0).new_source_ratio();
        assert!(ratio < 0.1, "{ratio}");
    }

    #[test]
    fn a_key_that_slept_for_half_a_year_still_surprises_from_elsewhere() {
        let mut key = Key::new();
        key.uses(&from(7, 9), 2000, 500, false);
        let before = key.known.surprise_nats(Aspect::Network);
        key.known.minute_ends(&key.windows, 0, key.windows.newest() + 180 * 86_400, false);
        let after = key.known.surprise_nats(Aspect::Network);
        assert!(before - after < 2.0, "{before} {after}");
    }
}
