//! The fleet: where many credentials burst at once, the cause is common and nobody's theft.
//!
//! A launch, an outage that ends, a replayed topic: they make more than one credential in a
//! hundred burst within a minute. Then nothing is done that does not end by itself soon.
//!
//! **Does not** say whose episodes they are: the cause is what they have in common.

use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use std::collections::{BTreeMap, BTreeSet};

/// What is a common cause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// The part of the active credentials that must burst within a minute. Default: more than 0.01.
    pub share: f64,
    /// And how many at the least: one of a fleet of fifty is no common cause. Default: 10.
    pub credentials_min: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { share: 0.01, credentials_min: 10 }
    }
}

/// How close together they must open. Unit: seconds of event time. Source: DETECTION, "The budget".
const WINDOW_S: i64 = 60;
/// How long it holds on after the last window with a common cause. Unit: milliseconds. Chosen.
const AFTER_MS: i64 = 60_000;
/// How long openings are remembered, for those that arrive late. Unit: seconds. Chosen.
const REMEMBERED_S: i64 = 600;

/// The bursts of all credentials that opened of late.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Which opened, by second of event time.
    opened: BTreeMap<i64, BTreeSet<FindingId>>,
    holds_until: Option<EventTime>,
}

impl Fleet {
    /// Notes that an episode opened at `at`, of a fleet of `active` credentials; it may be told more
    /// than once. A credential has one episode at a time, which lasts for longer than the window, so
    /// episodes stand for credentials.
    pub fn note(&mut self, id: FindingId, at: EventTime, active: u64, params: &Params) {
        let second = at.ms().div_euclid(1000);
        self.opened.entry(second).or_default().insert(id);
        if let Some(newest) = self.opened.last_key_value().map(|(newest, _)| *newest) {
            self.opened = self.opened.split_off(&(newest - REMEMBERED_S));
        }
        let limit = active as f64 * params.share;
        let together = self.most_around(second);
        if together >= params.credentials_min && f64::from(together) > limit {
            let newest = self.opened.range(..second + WINDOW_S).next_back();
            let newest = newest.map_or(at, |(newest, _)| at.max(EventTime::from_s(*newest)));
            let until = newest.plus_ms(WINDOW_S * 1000 + AFTER_MS);
            self.holds_until = self.holds_until.max(Some(until));
        }
    }

    /// The most openings in any window with `second` in it: some that are newer may have come
    /// first, from another partition.
    fn most_around(&self, second: i64) -> u32 {
        let nearby = self.opened.range(second - WINDOW_S + 1..second + WINDOW_S);
        let nearby: Vec<(i64, usize)> = nearby.map(|(at, which)| (*at, which.len())).collect();
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
    use super::{Fleet, Params};
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
            // That one is told twice makes no two of it.
            fleet.note(named(number), at(second), active, &Params::default());
            fleet.note(named(number), at(second), active, &Params::default());
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
    fn what_happened_long_before_has_no_say() {
        let mut fleet = after([0; 9], 10);
        fleet.note(named(9), at(100_000), 10, &Params::default());
        assert!(!fleet.suppresses(at(100_000)));
    }
}
