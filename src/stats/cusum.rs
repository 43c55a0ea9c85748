//! CUSUM: adds up, minute by minute, how much better a raised rate explains the counts.
//!
//! Source: Page (1954), "Continuous inspection schemes", `S = max(0, S + llr)`, with the
//! log-likelihood ratio of two negative binomials of the same shape.

/// A count of a stretch, as it is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The expected count. Range: above 0.
    pub mean: f64,
    /// The shape of its negative binomial. Range: above 0.
    pub shape: f64,
}

impl Usual {
    /// A count with that mean, variance over mean, and weight of the belief in the mean.
    pub fn new(mean: f64, dispersion: f64, weight: f64) -> Self {
        let shape = mean / (dispersion - 1.0 + mean / weight);
        Self { mean, shape }
    }

    /// By how much `count` is likelier at `factor` times the mean. Unit: nats; negative where it
    /// is less likely.
    pub fn ln_likelihood_ratio(self, count: f64, factor: f64) -> f64 {
        let raised = (self.shape + factor * self.mean) / (self.shape + self.mean);
        count * (factor.ln() - raised.ln()) - self.shape * raised.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::Usual;
    use statrs::distribution::{Discrete, NegativeBinomial};

    #[test]
    fn the_ratio_is_that_of_the_two_probabilities() {
        for (mean, dispersion, weight) in [(2.0, 5.0, 3.0), (60.0, 120.0, 1e4), (900.0, 2.0, 50.0)]
        {
            let usual = Usual::new(mean, dispersion, weight);
            let at = |mean: f64| {
                NegativeBinomial::new(usual.shape, usual.shape / (usual.shape + mean))
                    .expect("valid")
            };
            for factor in [2.0, 4.0, 10.0] {
                for count in [0_u64, 3, 50, 2000] {
                    let exact = at(mean * factor).ln_pmf(count) - at(mean).ln_pmf(count);
                    let ratio = usual.ln_likelihood_ratio(count as f64, factor);
                    assert!((ratio - exact).abs() < 1e-6 * exact.abs().max(1.0));
                }
            }
        }
    }
}
