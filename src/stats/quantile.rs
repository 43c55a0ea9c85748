//! A quantile of a stream in one number.

use super::codec::{Codec, Input};

/// The `PERCENT`-th percentile of positive numbers, approached step by step.
///
/// Source: Robbins and Monro (1951), "A stochastic approximation method", on the logarithm: each
/// sample above the estimate raises it by a step times `2 p`, each below lowers it by a step times
/// `2 (1 - p)`; the steps shrink as `STEP / n` down to a least one, so that it follows slow changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningQuantile<const PERCENT: u8> {
    ln_estimate: f64,
    samples: u32,
}

/// The median.
pub type RunningMedian = RunningQuantile<50>;

/// The first step, in logarithms. Chosen: a median that is off by a factor of 1,000 is right
/// within about 50 samples.
const STEP: f64 = 4.0;
/// The least step, in logarithms. Chosen: an error of a few percent.
const STEP_MIN: f64 = 0.02;

impl<const PERCENT: u8> RunningQuantile<PERCENT> {
    /// Begins with a guess (above 0).
    pub fn new(guess: f64) -> Self {
        Self { ln_estimate: guess.ln(), samples: 0 }
    }

    /// Takes a sample (above 0).
    pub fn learn(&mut self, sample: f64) {
        self.samples = self.samples.saturating_add(1);
        let step = (STEP / (f64::from(self.samples) + 3.0)).max(STEP_MIN);
        let distance = sample.ln() - self.ln_estimate;
        let rank = f64::from(PERCENT) / 100.0;
        let weight = if distance > 0.0 { 2.0 * rank } else { 2.0 * (1.0 - rank) };
        self.ln_estimate += weight * distance.clamp(-step, step);
    }

    /// The quantile so far.
    pub fn estimate(self) -> f64 {
        self.ln_estimate.exp()
    }
}

impl<const PERCENT: u8> Codec for RunningQuantile<PERCENT> {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.ln_estimate, self.samples).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (ln_estimate, samples) = Codec::decode(input)?;
        Some(Self { ln_estimate, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::{RunningMedian, RunningQuantile};

    /// After `n` samples of one over a uniform number: its median is 2, its mean infinite.
    fn after<const PERCENT: u8>(mut quantile: RunningQuantile<PERCENT>, n: u32) -> f64 {
        let mut uniform = 0.5_f64;
        for _ in 0..n {
            uniform = (uniform + 0.618_033_988_749).fract();
            quantile.learn(1.0 / uniform.max(1e-9));
        }
        quantile.estimate()
    }

    #[test]
    fn it_comes_near_the_median_and_not_the_mean() {
        let median = after(RunningMedian::new(1000.0), 3000);
        assert!((median - 2.0).abs() < 0.2, "{median}");
    }

    #[test]
    fn a_high_percentile_is_soon_raised_and_slowly_lowered() {
        for (guess, n) in [(2.0, 3_000), (10_000.0, 30_000)] {
            let p99 = after(RunningQuantile::<99>::new(guess), n);
            assert!((50.0..200.0).contains(&p99), "{guess}: {p99}");
        }
    }
}
