//! Peaks over threshold: how unlikely a minute is by the tail of the key's minutes so far.
//!
//! The excesses of a few large minutes over a high quantile `t` follow a generalized Pareto
//! distribution of shape g and scale s; so the chance of a minute above x is
//! `N/n (1 + g (x - t) / s)^(-1/g)`, where N of n minutes exceeded `t`. The score is its negative
//! logarithm, so that "risk below q" is "score above -ln q". Minutes of a risk below
//! `LEARNED_NATS_MAX` are not learned from, the others that exceed `t` renew the fit.
//! Source: Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017,
//! algorithm 1 and equation 1.
//!
//! **Differs** from the paper in that shapes below 0 are taken as 0 (counts have no upper end, and a fit
//! with one would put every minute beyond it at no risk at all), and in that it is fitted again once
//! there are 5 % more excesses, not at each.

/// The minutes of the calibration. Chosen: 4 hours; the paper has 1000 values, more than most of the
/// first day.
const CALIBRATION: usize = 240;
/// The quantile of them that is `t`. Unit: percent. Source: the paper, section 4.3.
const QUANTILE_PERCENT: usize = 98;
/// Minutes above this score are anomalies, which aren't learned. Unit: nats; the paper's q of 1e-4.
const LEARNED_NATS_MAX: f64 = 9.21;
/// Excesses more after which the fit is renewed.
const RENEWED_AT: f64 = 1.05;
/// Shape over scale, times the mean excess: where the best is searched for. Steps are a factor of 2.
const SEARCHED: std::ops::RangeInclusive<i32> = -12..=14;
const REFINEMENTS: u32 = 24;

/// The learned tail.
#[derive(Clone, Debug)]
enum State {
    /// The first minutes.
    Calibrating(Vec<u32>),
    /// From then on.
    Running(Tail),
}

#[derive(Clone, Debug)]
struct Tail {
    /// The high quantile.
    threshold: u32,
    /// Minutes learned.
    minutes: f64,
    /// The excesses over the quantile.
    excesses: Vec<f64>,
    fitted: usize,
    shape: f64,
    scale: f64,
}

/// The rule.
#[derive(Clone, Debug)]
pub struct Spot(State);

impl Default for Spot {
    fn default() -> Self {
        Self(State::Calibrating(Vec::new()))
    }
}

impl Spot {
    /// Takes a minute that ended.
    pub fn learn(&mut self, count: u32) {
        match &mut self.0 {
            State::Calibrating(first) => {
                first.push(count);
                if first.len() == CALIBRATION {
                    self.0 = State::Running(Tail::calibrated(std::mem::take(first)));
                }
            }
            State::Running(tail) => tail.learn(count),
        }
    }

    /// The score of a minute. Unit: nats; 0 up to the high quantile, and while it is calibrated.
    pub fn score(&self, count: u32) -> f64 {
        match &self.0 {
            State::Calibrating(_) => 0.0,
            State::Running(tail) => tail.score(count),
        }
    }
}

impl Tail {
    fn calibrated(mut first: Vec<u32>) -> Self {
        first.sort_unstable();
        let rank = first.len() * QUANTILE_PERCENT / 100;
        let threshold = first.get(rank.saturating_sub(1)).copied().unwrap_or(0);
        let over = first.iter().filter(|count| **count > threshold);
        let mut tail = Self {
            threshold,
            minutes: first.len() as f64,
            excesses: over.map(|count| f64::from(count - threshold)).collect(),
            fitted: 0,
            shape: 0.0,
            scale: 1.0,
        };
        tail.fit();
        tail
    }

    fn learn(&mut self, count: u32) {
        if self.score(count) > LEARNED_NATS_MAX {
            return;
        }
        self.minutes += 1.0;
        if count > self.threshold {
            self.excesses.push(f64::from(count - self.threshold));
            if self.excesses.len() as f64 >= self.fitted as f64 * RENEWED_AT {
                self.fit();
            }
        }
    }

    fn fit(&mut self) {
        self.fitted = self.excesses.len();
        (self.shape, self.scale) = fit(&self.excesses);
    }

    fn score(&self, count: u32) -> f64 {
        if count <= self.threshold {
            return 0.0;
        }
        let excess = f64::from(count - self.threshold) / self.scale;
        let tail =
            if self.shape > 0.0 { (self.shape * excess).ln_1p() / self.shape } else { excess };
        (self.minutes / self.excesses.len().max(1) as f64).ln() + tail
    }
}

/// The shape (at least 0) and scale of most likelihood. For a given `shape / scale` the best shape is
/// the mean of `ln(1 + excess shape / scale)`, which leaves a search in one dimension.
/// Source: Grimshaw, "Computing maximum likelihood estimates for the generalized Pareto distribution",
/// Technometrics 1993.
fn fit(excesses: &[f64]) -> (f64, f64) {
    let n = excesses.len() as f64;
    let mean = excesses.iter().sum::<f64>() / n;
    if excesses.is_empty() || mean <= 0.0 {
        return (0.0, 1.0);
    }
    let shape_at = |log2: f64| {
        let slope = log2.exp2() / mean;
        (excesses.iter().map(|excess| (excess * slope).ln_1p()).sum::<f64>() / n, slope)
    };
    let likelihood = |log2: f64| {
        let (shape, slope) = shape_at(log2);
        -(shape / slope).ln() - shape - 1.0
    };
    let best = SEARCHED.map(f64::from).map(|log2| (likelihood(log2), log2));
    let Some((_, near)) = best.max_by(|a, b| a.0.total_cmp(&b.0)) else { return (0.0, mean) };
    let (mut low, mut high) = (near - 1.0, near + 1.0);
    for _ in 0..REFINEMENTS {
        let (left, right) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if likelihood(left) < likelihood(right) { low = left } else { high = right }
    }
    let best = f64::midpoint(low, high);
    let exponential = -mean.ln() - 1.0;
    if likelihood(best) <= exponential {
        return (0.0, mean);
    }
    let (shape, slope) = shape_at(best);
    (shape, shape / slope)
}

#[cfg(test)]
mod tests {
    use super::{CALIBRATION, Spot, fit};
    use crate::sim::random::{Random, whole};

    /// Draws of a generalized Pareto distribution, by its inverse.
    fn pareto(shape: f64, scale: f64, n: usize) -> Vec<f64> {
        let mut random = Random::of(11, &[]);
        let draw = |u: f64| {
            if shape > 0.0 { scale * (u.powf(-shape) - 1.0) / shape } else { -scale * u.ln() }
        };
        (0..n).map(|_| draw(random.unit().max(1e-12))).collect()
    }

    #[test]
    fn a_fit_finds_the_shape_and_scale_that_the_excesses_were_drawn_with() {
        for (shape, scale) in [(0.5, 10.0), (0.2, 300.0), (0.0, 40.0), (1.0, 3.0)] {
            let (fitted, scaled) = fit(&pareto(shape, scale, 20_000));
            assert!((fitted - shape).abs() < 0.03, "{shape}: {fitted}");
            assert!((scaled / scale - 1.0).abs() < 0.05, "{scale}: {scaled}");
        }
        // Draws with an upper end are taken as exponential.
        assert_eq!(fit(&[5.0, 5.0, 5.0]), (0.0, 5.0));
    }

    #[test]
    fn the_score_is_the_risk_that_the_distribution_has() {
        let mut rule = Spot::default();
        let counts = pareto(0.0, 1_000.0, 100_000);
        for count in &counts {
            rule.learn(whole(*count));
        }
        // A chance of 1e-3 is 6.9 times the scale.
        let score = rule.score(6_908);
        assert!((score - 1e3_f64.ln()).abs() < 0.25, "{score}");
    }

    #[test]
    fn it_says_nothing_until_it_is_calibrated() {
        let mut rule = Spot::default();
        for minute in 1..=CALIBRATION {
            assert!(rule.score(1_000_000).abs() < 1e-12);
            rule.learn(u32::try_from(minute % 7).expect("small"));
        }
        assert!(rule.score(1_000_000) > 20.0 && rule.score(3).abs() < 1e-12);
    }
}
