//! All simple rules on one key, fed by the times of its requests.

use super::counts::{Counts, Minute, WINDOWS_S};
use super::ewma::Ewma;
use super::peak_ratio::PeakRatio;
use super::spot::Spot;
use super::z_score::ZScore;
use crate::model::time::EventTime;

/// A simple rule: an alarm wherever its score exceeds a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The requests of the last 60 s, as a fixed limit for all keys sees them.
    Limit,
    /// Standard deviations above the mean of all minutes since the first use.
    ZScore,
    /// The same over the minutes in which the key was used.
    ZScoreUsed,
    /// Moving standard deviations above the moving mean.
    Ewma,
    /// The count in 1 s over the most so far.
    Peak1s,
    /// The count in 10 s over the most so far.
    Peak10s,
    /// The count in 60 s over the most so far.
    Peak60s,
    /// The greatest of these three.
    PeakAny,
    /// Peaks over threshold.
    Spot,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 9] = [
        Self::Limit,
        Self::ZScore,
        Self::ZScoreUsed,
        Self::Ewma,
        Self::Peak1s,
        Self::Peak10s,
        Self::Peak60s,
        Self::PeakAny,
        Self::Spot,
    ];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::ZScore => "z_score",
            Self::ZScoreUsed => "z_score_used",
            Self::Ewma => "ewma",
            Self::Peak1s => "peak_1s",
            Self::Peak10s => "peak_10s",
            Self::Peak60s => "peak_60s",
            Self::PeakAny => "peak_any",
            Self::Spot => "spot",
        }
    }
}

/// The scores of all rules, in the order of [`Rule::ALL`].
pub type Scores = [f64; Rule::ALL.len()];

/// The scores of a second that ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Which. Unit: seconds since 1970.
    pub second: i64,
    /// Its scores.
    pub scores: Scores,
}

/// All rules on one key. Scores rise with the requests of a second, so its end decides.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    counts: Option<Counts>,
    minute: Minute,
    z_score: ZScore,
    z_score_used: ZScore,
    ewma: Ewma,
    peak_ratio: PeakRatio,
    spot: Spot,
}

impl RuleSet {
    /// Nothing learned yet.
    pub fn new() -> Self {
        Self { z_score_used: ZScore::new(true), ..Self::default() }
    }

    /// Takes a request; gives the second of the request before it, if that is over. A late request
    /// counts in the newest second.
    pub fn observe(&mut self, time: EventTime) -> Option<Judged> {
        let second = time.ms().div_euclid(1_000);
        let before = self.counts.as_ref().map_or(second, Counts::second);
        let judged = (second > before).then(|| Judged { second: before, scores: self.scores() });
        for _ in before.div_euclid(60)..second.div_euclid(60) {
            let ended = std::mem::take(&mut self.minute);
            self.learn(&ended);
        }
        let counts = self.counts.get_or_insert_with(|| Counts::new(second));
        counts.advance(second);
        counts.add();
        self.minute.count += 1;
        for (peak, sum) in self.minute.peaks.iter_mut().zip(counts.sums()) {
            *peak = (*peak).max(sum);
        }
        judged
    }

    fn learn(&mut self, ended: &Minute) {
        self.z_score.learn(ended.count);
        self.z_score_used.learn(ended.count);
        self.ewma.learn(ended.count);
        self.peak_ratio.learn(ended.peaks);
        self.spot.learn(ended.count);
    }

    /// The scores of the newest second as far as it came.
    pub fn scores(&self) -> Scores {
        let counts = self.counts.as_ref().map_or([0; WINDOWS_S.len()], Counts::sums);
        let [_, _, last_minute] = counts;
        let [one, ten, sixty] = self.peak_ratio.scores(counts);
        [
            f64::from(last_minute),
            self.z_score.score(last_minute),
            self.z_score_used.score(last_minute),
            self.ewma.score(last_minute),
            one,
            ten,
            sixty,
            one.max(ten).max(sixty),
            self.spot.score(last_minute),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{Rule, RuleSet};
    use crate::model::time::EventTime;

    const START_S: i64 = 1_736_121_600;

    fn score(rules: &RuleSet, rule: Rule) -> f64 {
        rules.scores()[Rule::ALL.iter().position(|one| *one == rule).expect("known")]
    }

    #[test]
    fn a_flood_is_compared_with_the_minutes_that_ended_before_it() {
        let mut rules = RuleSet::new();
        // Ten minutes of a request every 6 s, ten without, then 600 requests in 6 s.
        for n in 0..100 {
            rules.observe(EventTime::from_s(START_S + 6 * n));
        }
        for n in 0..600 {
            rules.observe(EventTime::from_ms((START_S + 1_200) * 1_000 + 10 * n));
        }
        assert!((score(&rules, Rule::Limit) - 600.0).abs() < 1e-9);
        // All twenty minutes: mean 5, deviation 5. Those with use: mean 10, no deviation.
        assert!((score(&rules, Rule::ZScore) - 119.0).abs() < 1e-9);
        assert!((score(&rules, Rule::ZScoreUsed) - 590.0).abs() < 1e-9);
        // The least peak is 5 requests, and 10 came in a minute.
        assert!((score(&rules, Rule::Peak1s) - 20.0).abs() < 1e-9);
        assert!((score(&rules, Rule::Peak10s) - 120.0).abs() < 1e-9);
        assert!((score(&rules, Rule::Peak60s) - 60.0).abs() < 1e-9);
        assert!((score(&rules, Rule::PeakAny) - 120.0).abs() < 1e-9);
    }

    #[test]
    fn each_second_with_use_is_judged_once_when_the_next_one_comes() {
        let mut rules = RuleSet::new();
        let times = [0, 400, 900, 3_000, 3_100, 4_000];
        let judged = times.map(|ms| rules.observe(EventTime::from_ms(START_S * 1_000 + ms)));
        let counts =
            judged.map(|judged| judged.map(|judged| (judged.second - START_S, judged.scores[0])));
        assert_eq!(counts, [None, None, None, Some((0, 3.0)), None, Some((3, 5.0))]);
    }
}
