//! How many false alarms a rule would have made at any threshold, from one pass over its scores.
//!
//! Alarms less than five minutes apart are one, as with a tripline finding. So a second of score `s`
//! begins an alarm at threshold k exactly if `m < k <= s`, where `m` is the greatest score of the five
//! minutes before. The intervals `(m, s]` are all that is kept, and as many contain k as there are alarms.

use super::rule_set::{Judged, Rule};
use crate::detect::open_finding::CALM_MS;
use crate::model::time::EventTime;
use crate::sim::stratum::Stratum;
use std::collections::{BTreeMap, VecDeque};

const CALM_S: i64 = CALM_MS / 1_000;
/// Intervals kept of a key and rule, those that reach highest. Chosen: tens of times the alarms that
/// tripline makes on a key.
const KEPT: usize = 1_024;

/// The intervals of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rises {
    /// From (left out) and to (included).
    intervals: Vec<(f64, f64)>,
    /// Thresholds up to here were forgotten.
    floor: f64,
}

/// A threshold and its false alarms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Alarms are scores above this.
    pub above: f64,
    /// How many there were on honest use.
    pub false_alarms: u64,
}

impl Rises {
    fn push(&mut self, from: f64, to: f64) {
        if to <= self.floor {
            return;
        }
        match self.intervals.last_mut() {
            // Two that touch contain each threshold as often as their union.
            Some(last) if last.1.total_cmp(&from).is_eq() => last.1 = to,
            _ => self.intervals.push((from, to)),
        }
        if self.intervals.len() >= 2 * KEPT {
            self.intervals.sort_by(|a, b| b.1.total_cmp(&a.1));
            let dropped = self.intervals.split_off(KEPT);
            self.floor = dropped.iter().fold(self.floor, |floor, (_, to)| floor.max(*to));
        }
    }

    /// Adds the intervals of another key.
    pub fn merge(&mut self, other: Self) {
        self.intervals.extend(other.intervals);
        self.floor = self.floor.max(other.floor);
    }

    /// The least threshold from which on, upwards, there are never more than `most` false alarms.
    pub fn threshold(&self, most: u64) -> Threshold {
        // Downwards an interval opens where it ends, and closes where it begins.
        let opens = self.intervals.iter().map(|(_, to)| (*to, 1_i64));
        let closes = self.intervals.iter().map(|(from, _)| (*from, -1_i64));
        let mut steps: Vec<(f64, i64)> = opens.chain(closes).collect();
        steps.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut alarms = 0_i64;
        for group in steps.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let at = group.first().map_or(0.0, |(at, _)| *at);
            let here = alarms + group.iter().map(|(_, step)| step).sum::<i64>();
            if at <= self.floor || u64::try_from(here).is_ok_and(|here| here > most) {
                let above = at.max(self.floor);
                return Threshold { above, false_alarms: u64::try_from(alarms).unwrap_or(0) };
            }
            alarms = here;
        }
        Threshold { above: self.floor, false_alarms: u64::try_from(alarms).unwrap_or(0) }
    }
}

/// The greatest score of five minutes.
#[derive(Clone, Debug, Default)]
struct Recent(VecDeque<(i64, f64)>);

impl Recent {
    /// The greatest score up to five minutes before `second`; 0 where there was none. Takes its score.
    fn before(&mut self, second: i64, score: f64) -> f64 {
        while self.0.front().is_some_and(|(at, _)| second - at > CALM_S) {
            self.0.pop_front();
        }
        let greatest = self.0.front().map_or(0.0, |(_, score)| *score);
        while self.0.back().is_some_and(|(_, before)| *before <= score) {
            self.0.pop_back();
        }
        self.0.push_back((second, score));
        greatest
    }
}

/// All rules on the honest use of one key, while it is new and later.
#[derive(Clone, Debug)]
pub struct HonestScores {
    new_until: Option<EventTime>,
    new_ms: i64,
    recent: [Recent; Rule::ALL.len()],
    rises: [[Rises; Rule::ALL.len()]; 2],
}

impl HonestScores {
    /// Nothing yet. `new_ms`: how long a key is new.
    pub fn new(new_ms: i64) -> Self {
        let (recent, rises) = Default::default();
        Self { new_until: None, new_ms, recent, rises }
    }

    /// Takes the scores of a second; seconds rise.
    pub fn record(&mut self, judged: &Judged) {
        let time = EventTime::from_s(judged.second);
        let new_until = *self.new_until.get_or_insert(time.plus_ms(self.new_ms));
        let [new, later] = &mut self.rises;
        let rises = if time < new_until { new } else { later };
        for ((recent, score), rises) in self.recent.iter_mut().zip(judged.scores).zip(rises) {
            let before = recent.before(judged.second, score);
            if score > before {
                rises.push(before, score);
            }
        }
    }
}

/// The false alarms of all rules by kind of client.
#[derive(Clone, Debug, Default)]
pub struct RuleAlarms(pub BTreeMap<Stratum, [Rises; Rule::ALL.len()]>);

impl RuleAlarms {
    /// Adds one key.
    pub fn add(&mut self, honest: HonestScores, is_sparse: bool) {
        let [new, later] = honest.rises;
        self.merge_one(Stratum::of(true, is_sparse), new);
        self.merge_one(Stratum::of(false, is_sparse), later);
    }

    fn merge_one(&mut self, stratum: Stratum, rises: [Rises; Rule::ALL.len()]) {
        let sums = self.0.entry(stratum).or_default();
        sums.iter_mut().zip(rises).for_each(|(sum, rises)| sum.merge(rises));
    }

    /// Adds other keys.
    pub fn merge(&mut self, other: Self) {
        for (stratum, rises) in other.0 {
            self.merge_one(stratum, rises);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CALM_S, HonestScores, KEPT, Rises, Threshold};
    use crate::sim::rules::rule_set::{Judged, Rule};
    use proptest::prelude::*;

    /// The alarms at scores above `above`, counted as a person would.
    fn naive(seconds: &[(i64, f64)], above: f64) -> u64 {
        let (mut alarms, mut last) = (0, None::<i64>);
        for (second, _) in seconds.iter().filter(|(_, score)| *score > above) {
            alarms += u64::from(last.is_none_or(|last| second - last > CALM_S));
            last = Some(*second);
        }
        alarms
    }

    fn rises(seconds: &[(i64, f64)]) -> Rises {
        let mut honest = HonestScores::new(0);
        for (second, score) in seconds {
            honest.record(&Judged { second: *second, scores: [*score; Rule::ALL.len()] });
        }
        honest.rises[1][0].clone()
    }

    proptest! {
        #[test]
        fn the_threshold_is_the_least_above_which_no_higher_one_alarms_too_often(
            steps in prop::collection::vec((1_i64..400, 0_u32..12), 1..120),
            most in 0_u64..12,
        ) {
            let mut second = 0;
            let seconds: Vec<(i64, f64)> = steps
                .into_iter()
                .map(|(gap, score)| {
                    second += gap;
                    (second, f64::from(score))
                })
                .collect();
            // Scores are whole, so all thresholds between two of them are the same.
            let from_the_top = (0..=12).rev().map(f64::from);
            let fits = from_the_top.take_while(|above| naive(&seconds, *above) <= most);
            let least = fits.last().expect("none exceeds 12");
            let found = rises(&seconds).threshold(most);
            prop_assert_eq!(found.false_alarms, naive(&seconds, found.above));
            prop_assert_eq!(found.false_alarms, naive(&seconds, least));
            prop_assert!(found.above <= least + 1.0 && naive(&seconds, found.above) <= most);
        }
    }

    #[test]
    fn of_many_intervals_the_highest_are_kept_and_the_threshold_stays_above_the_rest() {
        let apart = |n: usize| i64::try_from(n).expect("small") * (CALM_S + 1);
        let seconds: Vec<(i64, f64)> =
            (0..3 * KEPT).map(|n| (apart(n), (n * 7_919 % 3_001) as f64)).collect();
        let rises = rises(&seconds);
        assert!(rises.intervals.len() < 2 * KEPT);
        let few = rises.threshold(20);
        assert_eq!(few.false_alarms, naive(&seconds, few.above));
        let Threshold { above, false_alarms } = rises.threshold(u64::MAX);
        assert_eq!((above, false_alarms), (rises.floor, naive(&seconds, rises.floor)));
    }
}
