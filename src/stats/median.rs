//! A median of a stream in one number.

/// The median of positive numbers, approached step by step.
///
/// Source: Robbins and Monro (1951), "A stochastic approximation method", on the logarithm: each
/// sample above the estimate raises it by a step, each below lowers it; the steps shrink as
/// `STEP / n` down to a least one, so that it follows slow changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningMedian {
    ln_estimate: f64,
    samples: u32,
}

/// The first step, in logarithms. Chosen: an estimate that is off by a factor of 1,000 is right
/// within about 50 samples.
const STEP: f64 = 4.0;
/// The least step, in logarithms. Chosen: an error of a few percent.
const STEP_MIN: f64 = 0.02;

impl RunningMedian {
    /// Begins with a guess (above 0).
    pub fn new(guess: f64) -> Self {
        Self { ln_estimate: guess.ln(), samples: 0 }
    }

    /// Takes a sample (above 0).
    pub fn learn(&mut self, sample: f64) {
        self.samples = self.samples.saturating_add(1);
        let step = (STEP / (f64::from(self.samples) + 3.0)).max(STEP_MIN);
        let distance = sample.ln() - self.ln_estimate;
        self.ln_estimate += distance.clamp(-step, step);
    }

    /// The median so far.
    pub fn estimate(self) -> f64 {
        self.ln_estimate.exp()
    }
}

crate::codec!(RunningMedian { ln_estimate, samples });

#[cfg(test)]
mod tests {
    use super::RunningMedian;

    #[test]
    fn it_comes_near_the_median_and_not_the_mean() {
        // One over a uniform number: median 2, mean infinite.
        let mut median = RunningMedian::new(1000.0);
        let mut uniform = 0.5_f64;
        for _ in 0..3000 {
            uniform = (uniform + 0.618_033_988_749).fract();
            median.learn(1.0 / uniform.max(1e-9));
        }
        assert!((median.estimate() - 2.0).abs() < 0.2, "{}", median.estimate());
    }
}
