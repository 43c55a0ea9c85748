//! The fleet: where many credentials burst at once, the cause is common and no one's theft.
//!
//! A launch, an outage that ends, a replayed topic: they make more than one credential in a
//! hundred burst within a minute. Then nothing is done that does not end by itself soon.
//!
//! **Does not** say whose findings they are: the cause is what they have in common.

use crate::model::credential::Kind;
use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use std::collections::{BTreeMap, BTreeSet};

/// Parameters of the common cause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// The part of the active credentials that must burst within a minute. Default: more than 0.01.
    pub min_ratio: f64,
    /// And how many at the least: one of a fleet of fifty is no common cause. Default: 10.
    pub min_credentials: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { min_ratio: 0.01, min_credentials: 10 }
    }
}

/// How close together they must open. Unit: seconds of event time. Source: DETECTION, "The budget".
const WINDOW_S: i64 = 60;
/// How long it holds on after the last window with a common cause. Unit: milliseconds. Chosen.
const AFTER_MS: i64 = 60_000;
/// How long openings are remembered, for those that arrive late. Unit: seconds. Chosen.
const REMEMBERED_S: i64 = 600;

/// How many bursts opened, by second of event time.
pub type BurstOnsets = BTreeMap<i64, u32>;

/// One instance's summary of its part of the fleet. Those of several add up, as each credential is
/// one instance's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Credentials remembered.
    pub active: u64,
    /// Bursts recently, in the order of [`Kind::ALL`].
    pub bursts: [BurstOnsets; Kind::ALL.len()],
}

impl Summary {
    /// Adds what another instance knows.
    pub fn merge(&mut self, other: &Self) {
        self.active = self.active.saturating_add(other.active);
        for (own, others) in self.bursts.iter_mut().zip(&other.bursts) {
            for (second, count) in others {
                let sum = own.entry(*second).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }
}

/// The range of a second of event time: from 1970 to the year 2200. Unit: seconds since 1970.
const SECONDS: std::ops::Range<i64> = 0..7_258_118_400;

/// The bursts that opened recently, of credentials of one kind.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Which opened, by second of event time.
    opened: BTreeMap<i64, BTreeSet<FindingId>>,
    /// How many opened at other instances.
    elsewhere: BurstOnsets,
    holds_until: Option<EventTime>,
}

impl Fleet {
    /// Notes that a finding opened at `at`, of a fleet of `active` credentials; it may be reported more
    /// than once. A credential has one finding at a time, which lasts for longer than the window, so
    /// findings stand for credentials.
    pub fn record(&mut self, id: FindingId, at: EventTime, active: u64, params: &Params) {
        let second = at.ms().div_euclid(1000);
        self.opened.entry(second).or_default().insert(id);
        if let Some(newest) = self.opened.last_key_value().map(|(newest, _)| *newest) {
            self.opened = self.opened.split_off(&(newest - REMEMBERED_S));
        }
        self.judge(second, active, params);
    }

    /// Takes how many opened at other instances, of a fleet of `active` credentials together.
    ///
    /// Seconds that no clock of an instance can have are left out: a store may hold anything.
    pub fn on_other_instances(&mut self, openings: BurstOnsets, active: u64, params: &Params) {
        self.elsewhere = openings;
        self.elsewhere.retain(|second, _| SECONDS.contains(second));
        // Bursts that opened here may have been too few by themselves, and older than the newest.
        let seconds: Vec<i64> = self.elsewhere.keys().copied().collect();
        for second in seconds {
            self.judge(second, active, params);
        }
    }

    /// How many opened here recently.
    pub fn openings(&self) -> BurstOnsets {
        let Some((newest, _)) = self.opened.last_key_value() else { return BurstOnsets::new() };
        let of_late = self.opened.range(newest - 2 * WINDOW_S..);
        of_late.map(|(at, which)| (*at, u32::try_from(which.len()).unwrap_or(u32::MAX))).collect()
    }

    /// Whether those around a second have a common cause.
    fn judge(&mut self, second: i64, active: u64, params: &Params) {
        let limit = active as f64 * params.min_ratio;
        let together = self.most_around(second);
        if together >= params.min_credentials && f64::from(together) > limit {
            let own = self.opened.range(..second + WINDOW_S).next_back().map(|(at, _)| *at);
            let others = self.elsewhere.range(..second + WINDOW_S).next_back().map(|(at, _)| *at);
            let newest = EventTime::from_s(own.max(others).unwrap_or(second).max(second));
            let until = newest.plus_ms(WINDOW_S * 1000 + AFTER_MS);
            self.holds_until = self.holds_until.max(Some(until));
        }
    }

    /// The most openings in any window with `second` in it: some that are newer may have come
    /// first, from another partition.
    fn most_around(&self, second: i64) -> u32 {
        let around = second - WINDOW_S + 1..second + WINDOW_S;
        let own = self.opened.range(around.clone()).map(|(at, which)| (*at, which.len()));
        let others = self.elsewhere.range(around).map(|(at, count)| (*at, *count as usize));
        let nearby: Vec<(i64, usize)> = own.chain(others).collect();
        let ending_at = |end: i64| -> usize {
            let within = nearby.iter().filter(|(at, _)| (end - WINDOW_S + 1..=end).contains(at));
            within.map(|(_, count)| *count).sum()
        };
        let most = (second..second + WINDOW_S).map(ending_at).max().unwrap_or(0);
        u32::try_from(most).unwrap_or(u32::MAX)
    }

    /// Whether what is found at `at` may have a common cause.
    pub fn suppresses(&self, at: EventTime) -> bool {
        self.holds_until.is_some_and(|until| at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::{BurstOnsets, Fleet, Params, Summary};
    use crate::model::credential::{Credential, Kind};
    use crate::model::finding::{Detector, FindingId};
    use crate::model::time::EventTime;

    fn at(second: i64) -> EventTime {
        EventTime::from_s(1_700_000_000 + second)
    }

    fn named(number: usize) -> FindingId {
        let credential = Credential::new(Kind::ApiKey, &format!("key_{number}")).expect("an id");
        FindingId::of(&credential, Detector::Burst, at(0))
    }

    fn after(openings: impl IntoIterator<Item = i64>, active: u64) -> Fleet {
        let mut fleet = Fleet::default();
        for (number, second) in (0..).zip(openings) {
            // That one is reported twice makes no two of it.
            fleet.record(named(number), at(second), active, &Params::default());
            fleet.record(named(number), at(second), active, &Params::default());
        }
        fleet
    }

    #[test]
    fn ten_of_a_hundred_within_a_minute_have_a_common_cause_until_two_minutes_later() {
        let fleet = after((0..10).map(|n| n * 6), 100);
        assert!(fleet.suppresses(at(54)) && fleet.suppresses(at(54 + 119)));
        assert!(!fleet.suppresses(at(54 + 120)));
    }

    #[test]
    fn nine_or_too_small_a_part_of_the_fleet_or_too_far_apart_have_none() {
        assert!(!after(0..9, 100).suppresses(at(9)));
        assert!(!after([0; 10], 1000).suppresses(at(0)) && after([0; 11], 1000).suppresses(at(0)));
        assert!(!after((0..100).map(|n| n * 7), 100).suppresses(at(700)));
    }

    #[test]
    fn the_order_in_which_partitions_tell_does_not_matter() {
        assert!(after([50, 40, 30, 20, 10, 45, 35, 25, 15, 5], 100).suppresses(at(50)));
        assert!(after((0..10).rev().map(|n| n * 6), 100).suppresses(at(54)));
    }

    #[test]
    fn what_opened_at_other_instances_counts() {
        let params = Params::default();
        let mut fleet = after([0; 4], 100);
        assert!(!fleet.suppresses(at(0)));
        let others = |count| [(at(10).ms() / 1000, count)].into();
        fleet.on_other_instances(others(5), 300, &params);
        assert!(!fleet.suppresses(at(0)), "nine together");
        fleet.on_other_instances(others(6), 300, &params);
        assert!(fleet.suppresses(at(10)), "ten together");
        assert!(!fleet.suppresses(at(10 + 120)));
        let mut later = after([0, 0, 0, 0, 75], 100);
        later.on_other_instances(others(6), 300, &params);
        assert!(later.suppresses(at(10)), "one that opened later hides nothing");
        let mut large = after([0; 4], 100);
        large.on_other_instances(others(6), 1000, &params);
        assert!(!large.suppresses(at(10)), "of a thousand ten are too few");
    }

    #[test]
    fn summaries_add_up_in_any_order() {
        let one = Summary {
            active: 5,
            bursts: [
                [(7, 2)].into(),
                BurstOnsets::new(),
                BurstOnsets::new(),
                BurstOnsets::new(),
                BurstOnsets::new(),
            ],
        };
        let two = Summary {
            active: u64::MAX,
            bursts: [
                [(7, 3), (8, 1)].into(),
                BurstOnsets::new(),
                BurstOnsets::new(),
                BurstOnsets::new(),
                BurstOnsets::new(),
            ],
        };
        let (mut ab, mut ba) = (one.clone(), two.clone());
        ab.merge(&two);
        ba.merge(&one);
        assert_eq!(ab, ba);
        assert_eq!(ab.bursts[0], [(7, 5), (8, 1)].into());
    }

    #[test]
    fn what_happened_long_before_has_no_say() {
        let mut fleet = after([0; 9], 10);
        fleet.record(named(9), at(100_000), 10, &Params::default());
        assert!(!fleet.suppresses(at(100_000)));
    }
}
