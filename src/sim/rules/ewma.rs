//! The moving average: by how many moving standard deviations a minute exceeds the exponentially
//! weighted mean of the key's minutes.

use super::z_score::DEVIATION_MIN;

/// The weight of the newest minute: a memory of an hour, 2 / (60 + 1).
const WEIGHT: f64 = 2.0 / 61.0;

/// Mean and variance with exponential weights. Source: Finch, "Incremental calculation of weighted
/// mean and variance", 2009, equations 124 and 143.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ewma {
    moments: Option<(f64, f64)>,
}

impl Ewma {
    /// Takes a minute that ended.
    pub fn learn(&mut self, count: u32) {
        let count = f64::from(count);
        let (mean, variance) = self.moments.unwrap_or((count, 0.0));
        let off = count - mean;
        let step = WEIGHT * off;
        self.moments = Some((mean + step, (1.0 - WEIGHT) * (variance + off * step)));
    }

    /// The score of a minute. Unit: standard deviations; 0 before a first minute.
    pub fn score(&self, count: u32) -> f64 {
        let score = |(mean, variance): (f64, f64)| {
            (f64::from(count) - mean) / variance.sqrt().max(DEVIATION_MIN)
        };
        self.moments.map_or(0.0, score)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ewma, WEIGHT};

    #[test]
    fn mean_and_variance_are_those_of_exponential_weights() {
        let counts = [10, 40, 25, 0, 60, 30];
        let mut rule = Ewma::default();
        for count in counts {
            rule.learn(count);
        }
        // The same with the weights written out; the first minute stands for all before it.
        let weight = |age: usize| WEIGHT * (1.0 - WEIGHT).powi(i32::try_from(age).expect("small"));
        let last = counts.len() - 1;
        let weights: Vec<f64> = (0..counts.len())
            .map(|at| if at == 0 { (1.0 - WEIGHT).powi(5) } else { weight(last - at) })
            .collect();
        let mean: f64 = weights.iter().zip(counts).map(|(w, count)| w * f64::from(count)).sum();
        let squares = |(w, count): (&f64, u32)| w * (f64::from(count) - mean).powi(2);
        let variance: f64 = weights.iter().zip(counts).map(squares).sum();
        let score = (100.0 - mean) / variance.sqrt();
        assert!((rule.score(100) - score).abs() < 1e-9, "{} {score}", rule.score(100));
    }
}
