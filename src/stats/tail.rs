//! How unlikely a count is: an upper bound on the logarithm of a negative binomial's upper tail.

use statrs::function::gamma::ln_gamma;

/// A negative binomial by mean and variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NegativeBinomial {
    /// Number of successes `r`. Range: above 0.
    shape: f64,
    /// `mean / (shape + mean)`, in 0..1.
    odds: f64,
    mean: f64,
}

impl NegativeBinomial {
    /// The count of a window with expected count `mean`, whose variance over mean is `dispersion`
    /// and whose rate is itself only known from `weight` events.
    ///
    /// Range: `mean` above 0, `dispersion` above 1, `weight` above 0.
    /// Source: `variance = dispersion * mean + mean^2 / weight`; DETECTION, "Formulas".
    pub fn new(mean: f64, dispersion: f64, weight: f64) -> Self {
        let excess = (dispersion - 1.0) * mean + mean * mean / weight;
        let shape = mean * mean / excess;
        Self { shape, odds: mean / (shape + mean), mean }
    }

    /// The logarithm of the probability of exactly `count`.
    fn ln_pmf(self, count: f64) -> f64 {
        ln_gamma(count + self.shape) - ln_gamma(self.shape) - ln_gamma(count + 1.0)
            + self.shape * (self.shape / (self.shape + self.mean)).ln()
            + count * self.odds.ln()
    }

    /// No more evidence than this can `count` give. Unit: nats. Cost: three divisions and no
    /// logarithm, so that what can't pass a gate is known without the tail.
    ///
    /// The tail is at least `pmf(count) >= min(1, shape / count) * odds^count * (1 - odds)^shape`,
    /// where `-ln odds = ln(1 + x) <= x` for `x = shape / mean`, `shape * ln(1 + mean / shape) <=
    /// mean`, and a logarithm is at most its binary exponent plus one.
    pub fn evidence_at_most(mean: f64, dispersion: f64, weight: f64, count: f64) -> f64 {
        let per_count = 1.0 / (dispersion - 1.0 + mean / weight);
        let shape = mean * per_count;
        let thin = if shape < 1.0 { ln_at_most(count.max(1.0) / shape) } else { 0.0 };
        thin + count * per_count + mean
    }

    /// An upper bound on `ln P(X >= count)`; 0 at or below the mean. Unit: nats.
    ///
    /// The ratio of neighbouring terms beyond `count` is at most `rho`, so the tail is at most a
    /// geometric series: `ln pmf(count) - ln(1 - rho)`. Slack: at most 0.26 decades.
    /// Cost: three `ln_gamma`, about 100 ns.
    pub fn ln_tail(self, count: f64) -> f64 {
        if count <= self.mean {
            return 0.0;
        }
        let rho = if self.shape < 1.0 {
            self.odds
        } else {
            self.odds * (count + self.shape) / (count + 1.0)
        };
        if rho >= 1.0 {
            return 0.0;
        }
        (self.ln_pmf(count) - (-rho).ln_1p()).min(0.0)
    }
}

/// An upper bound on the logarithm of `x` (at least 1), at most 0.7 too high.
fn ln_at_most(x: f64) -> f64 {
    let exponent = (x.to_bits() >> 52) as f64 - 1023.0;
    (exponent + 1.0) * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::NegativeBinomial;
    use proptest::prelude::*;
    use statrs::distribution::{Discrete, NegativeBinomial as Oracle};

    /// The tail by adding terms until they no longer matter, in logarithms.
    fn ln_tail_by_sum(nb: NegativeBinomial, count: u64) -> f64 {
        let oracle = Oracle::new(nb.shape, 1.0 - nb.odds).expect("valid");
        let first = oracle.ln_pmf(count);
        let mut total = 0.0;
        for k in count.. {
            let term = (oracle.ln_pmf(k) - first).exp();
            total += term;
            if term < total * 1e-17 || k > count + 5_000_000 {
                break;
            }
        }
        first + total.ln()
    }

    #[test]
    fn the_bound_holds_down_to_1e_300_and_its_slack_is_small() {
        for mean in [0.01, 0.5, 10.0, 1000.0] {
            for dispersion in [1.05, 5.0, 120.0] {
                for weight in [0.5, 20.0, 1e5] {
                    let nb = NegativeBinomial::new(mean, dispersion, weight);
                    for factor in [2.0, 10.0, 100.0, 1000.0] {
                        let count = (mean * factor).ceil().max(1.0);
                        #[expect(clippy::cast_possible_truncation, reason = "small by grid")]
                        #[expect(clippy::cast_sign_loss, reason = "positive by grid")]
                        let exact = ln_tail_by_sum(nb, count as u64);
                        let bound = nb.ln_tail(count);
                        if bound < -700.0 * 10.0 {
                            continue;
                        }
                        let slack = (bound - exact) / std::f64::consts::LN_10;
                        assert!(slack > -1e-6 * exact.abs().max(1.0), "{nb:?} {count} {slack}");
                        assert!(bound > -20.0 || slack <= 0.27, "{nb:?} {count} {slack}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn evidence_never_exceeds_its_cheap_bound(
            mean in 0.001_f64..1e4, dispersion in 1.05_f64..500.0, weight in 0.5_f64..1e6,
            count in 1.0_f64..1e5,
        ) {
            let nb = NegativeBinomial::new(mean, dispersion, weight);
            let count = count.ceil();
            let at_most = NegativeBinomial::evidence_at_most(mean, dispersion, weight, count);
            prop_assert!(-nb.ln_tail(count) <= at_most + 1e-6);
        }

        #[test]
        fn a_greater_count_is_never_likelier(
            mean in 0.001_f64..1e4, dispersion in 1.05_f64..500.0, weight in 0.5_f64..1e6,
            count in 0.0_f64..1e5, more in 0.0_f64..1e5,
        ) {
            let nb = NegativeBinomial::new(mean, dispersion, weight);
            prop_assert!(nb.ln_tail(count + more) <= nb.ln_tail(count) + 1e-6);
        }
    }
}
