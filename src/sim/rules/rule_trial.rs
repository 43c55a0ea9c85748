//! The simple rules on one attack: the greatest score of each within each time.

use super::rule_set::{Judged, Rule, RuleSet, Scores};
use crate::model::time::EventTime;

/// How soon an attack may be found. Unit: milliseconds; 10 s, 60 s, 10 min.
pub const HORIZONS_MS: [i64; 3] = [10_000, 60_000, 600_000];

/// The attacks that show in the rate alone, on which rules that see nothing else are compared.
const RATE_ALONE: [&str; 9] = [
    "flood_10k_inside",
    "step_x2_inside",
    "step_x3_inside",
    "step_x10_inside",
    "step_x30_inside",
    "ramp_1_min",
    "ramp_10_min",
    "ramp_60_min",
    "pulses",
];

/// Whether an attack shows in the rate alone.
pub fn is_rate_alone(scenario: &str) -> bool {
    RATE_ALONE.contains(&scenario)
}

/// The greatest scores within each of [`HORIZONS_MS`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Greatest(pub [Scores; HORIZONS_MS.len()]);

/// The rules while an attack runs.
#[derive(Clone, Debug)]
pub struct RuleTrial {
    rules: RuleSet,
    begun: Option<EventTime>,
    passed: usize,
    greatest: Greatest,
}

impl RuleTrial {
    /// Goes on with the rules as they were before the attack.
    pub fn new(rules: RuleSet) -> Self {
        Self { rules, begun: None, passed: 0, greatest: Greatest::default() }
    }

    /// Takes a request; `is_attack`: whether it is the attacker's.
    pub fn observe(&mut self, time: EventTime, is_attack: bool) {
        while let Some(begun) = self.begun
            && let Some(horizon) = HORIZONS_MS.get(self.passed)
            && time > begun.plus_ms(*horizon)
        {
            // The events of this second came in time.
            let scores = self.rules.scores();
            self.raise(&scores);
            self.passed += 1;
        }
        if let Some(Judged { scores, .. }) = self.rules.observe(time)
            && self.begun.is_some()
        {
            self.raise(&scores);
        }
        if is_attack {
            self.begun.get_or_insert(time);
        }
    }

    /// Whether nothing more is to be learned.
    pub const fn is_over(&self) -> bool {
        self.passed == HORIZONS_MS.len()
    }

    /// The result.
    pub fn finish(mut self) -> Greatest {
        if self.begun.is_some() {
            let scores = self.rules.scores();
            self.raise(&scores);
        }
        self.greatest
    }

    fn raise(&mut self, scores: &[f64; Rule::ALL.len()]) {
        for greatest in self.greatest.0.iter_mut().skip(self.passed) {
            for (greatest, score) in greatest.iter_mut().zip(scores) {
                *greatest = greatest.max(*score);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HORIZONS_MS, RuleSet, RuleTrial, is_rate_alone};
    use crate::model::time::EventTime;
    use crate::sim::scenario;
    use proptest::prelude::*;

    #[test]
    fn attacks_by_rate_alone_are_in_the_library() {
        let known = scenario::all().filter(|(_, scenario)| is_rate_alone(scenario.name)).count();
        assert_eq!(known, super::RATE_ALONE.len());
    }

    proptest! {
        #[test]
        fn the_greatest_scores_are_those_after_each_request_within_the_time(
            gaps in prop::collection::vec((0_i64..4_000, 0_u32..4), 1..400),
            honest in 0_usize..100,
        ) {
            let start = EventTime::from_s(1_736_121_600);
            let mut rules = RuleSet::new();
            for n in 0..500 {
                rules.observe(start.plus_ms(n * 700));
            }
            let mut trial = RuleTrial::new(rules.clone());
            let mut time = start.plus_ms(350_000);
            let (mut begun, mut naive) = (None, [[0.0_f64; 9]; 3]);
            for (n, (gap, burst)) in gaps.into_iter().enumerate() {
                time = time.plus_ms(if burst > 0 { gap / 100 } else { gap });
                let is_attack = n >= honest;
                trial.observe(time, is_attack);
                rules.observe(time);
                if is_attack {
                    begun.get_or_insert(time);
                }
                let Some(begun) = begun else { continue };
                for (naive, horizon) in naive.iter_mut().zip(HORIZONS_MS) {
                    if time <= begun.plus_ms(horizon) {
                        let scores = rules.scores();
                        naive.iter_mut().zip(scores).for_each(|(naive, score)| *naive = naive.max(score));
                    }
                }
            }
            prop_assert_eq!(trial.finish().0, naive);
        }
    }
}
