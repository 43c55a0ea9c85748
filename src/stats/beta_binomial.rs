//! How unlikely so many failures are among so many attempts.

use statrs::function::beta::ln_beta;
use statrs::function::gamma::ln_gamma;

/// Failures among `attempts`, where the ratio of failures is itself uncertain: Beta(a, b).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BetaBinomial {
    attempts: f64,
    a: f64,
    b: f64,
}

impl BetaBinomial {
    /// Attempts of which about `ratio` (in 0..1, exclusive) fail, a belief worth `weight` attempts.
    pub fn new(attempts: u32, ratio: f64, weight: f64) -> Self {
        Self { attempts: f64::from(attempts), a: ratio * weight, b: (1.0 - ratio) * weight }
    }

    fn ln_pmf(self, failures: f64) -> f64 {
        let left = self.attempts - failures;
        ln_gamma(self.attempts + 1.0) - ln_gamma(failures + 1.0) - ln_gamma(left + 1.0)
            + ln_beta(failures + self.a, left + self.b)
            - ln_beta(self.a, self.b)
    }

    /// An upper bound on `ln P(X >= failures)`; 0 at or below the mean. Unit: nats.
    ///
    /// The ratio of neighbouring terms, `(n - k)(k + a) / ((k + 1)(n - k - 1 + b))`, is at most
    /// its value at `failures` where `a >= 1 <= b`; below, its factors are bounded one by one, so
    /// the tail is at most a geometric series, and never more than its number of terms.
    pub fn ln_tail(self, failures: u32) -> f64 {
        let failures = f64::from(failures);
        if failures <= self.attempts * self.a / (self.a + self.b) {
            return 0.0;
        }
        let left = self.attempts - failures;
        if left < 0.0 {
            return f64::NEG_INFINITY;
        }
        let thinning =
            ((failures + self.a) / (failures + 1.0)).max(if self.a < 1.0 { 1.0 } else { 0.0 });
        let rho = if self.b >= 1.0 { thinning * left / (left - 1.0 + self.b) } else { 1.0 };
        let series = if rho < 1.0 { 1.0 / (1.0 - rho) } else { f64::INFINITY };
        (self.ln_pmf(failures) + series.min(left + 1.0).ln()).min(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::BetaBinomial;

    fn exact(model: BetaBinomial, failures: u32, attempts: u32) -> f64 {
        let terms: Vec<_> = (failures..=attempts).map(|k| model.ln_pmf(f64::from(k))).collect();
        let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
    }

    #[test]
    fn the_probabilities_add_up_to_one() {
        let model = BetaBinomial::new(40, 0.2, 10.0);
        assert!(exact(model, 0, 40).abs() < 1e-9);
    }

    #[test]
    fn the_bound_holds_down_to_1e_300_and_its_slack_is_small() {
        let mut least: f64 = 0.0;
        for attempts in [10_u32, 300, 5000] {
            for ratio in [0.001, 0.02, 0.3] {
                for weight in [20.0, 400.0, 5000.0] {
                    let model = BetaBinomial::new(attempts, ratio, weight);
                    for part in [0.1, 0.4, 0.9, 1.0] {
                        #[expect(clippy::cast_possible_truncation, reason = "below attempts")]
                        #[expect(clippy::cast_sign_loss, reason = "positive")]
                        let failures = (f64::from(attempts) * part) as u32;
                        let (bound, tail) =
                            (model.ln_tail(failures), exact(model, failures, attempts));
                        least = least.min(tail);
                        assert!(bound >= tail - 1e-6 * tail.abs().max(1.0), "{model:?} {failures}");
                        assert!(
                            bound > -20.0 || bound - tail < 1.5,
                            "{model:?} {failures} {bound} {tail}"
                        );
                    }
                }
            }
        }
        assert!(least < -690.0, "{least}");
    }
}
