//! Proofs by counts: exact bounds on a rate and on a probability, with a stated confidence.
//!
//! An upper bound is the greatest rate (or probability) under which so few events would still be
//! seen with probability `1 - confidence`. Both tails are the survival function of a log-concave
//! density, gamma or beta, and so log-concave themselves: Newton's method on the logarithm of the
//! tail comes to the root from the safe side and stays there, wherever it begins. The tail is the
//! exact sum of its terms, greatest first, which takes about ten times the root of the count.
//! Source: Garwood, "Fiducial limits for the Poisson distribution" (1936); Clopper and Pearson,
//! "The use of confidence or fiducial limits" (1934).
//!
//! **Does not** hold over all times at once: who looks every day and stops at the first good day
//! is right a little less often than `confidence`.

use statrs::function::gamma::ln_gamma;

/// Steps of Newton's method at most. Chosen: it needs about ten.
const STEPS_MAX: u32 = 200;
/// The relative step at which it has arrived.
const NEAR: f64 = 1e-13;

/// The upper bound on the mean of a Poisson count of which `count` was seen:
/// `chi2inv(confidence, 2 * count + 2) / 2`.
///
/// Range: `confidence` in 0.5..1, exclusive; `count` up to 1e9. Cost: 2 µs at a thousand events,
/// 0.1 ms at a million, 40 ms at 1e9; a decision on a burst, which is rare, needs a few.
pub fn poisson_upper(count: u64, confidence: f64) -> f64 {
    let ln_alpha = (1.0 - confidence).ln();
    if count == 0 {
        return -ln_alpha;
    }
    let seen = count as f64;
    let mut mean = seen;
    for _ in 0..STEPS_MAX {
        let sum = falling(seen, |i| i / mean);
        let ln_tail = ln_poisson(seen, mean) + sum.ln();
        let next = mean + (ln_tail - ln_alpha) * sum;
        let arrived = (next - mean).abs() <= NEAR * mean;
        mean = next;
        if arrived {
            break;
        }
    }
    mean
}

/// The lower bound on the mean of a Poisson count of which `count` was seen:
/// `chi2inv(1 - confidence, 2 * count) / 2`; 0 where nothing was seen.
///
/// Range: as of [`poisson_upper`].
pub fn poisson_lower(count: u64, confidence: f64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    let ln_alpha = (1.0 - confidence).ln();
    let seen = count as f64;
    let mut mean = seen;
    for _ in 0..STEPS_MAX {
        let sum = rising(seen, mean);
        let ln_tail = ln_poisson(seen, mean) + sum.ln();
        let step = (ln_tail - ln_alpha) * sum * mean / seen;
        let next = if step < mean { mean - step } else { mean / 2.0 };
        let arrived = (next - mean).abs() <= NEAR * mean;
        mean = next;
        if arrived {
            break;
        }
    }
    mean
}

/// The upper bound on a rate of which `count` events were seen in `exposure`; nothing seen gives
/// `3 / exposure` at 95 %, no exposure gives infinity. Unit: events per unit of `exposure`.
pub fn rate_upper(count: u64, exposure: f64, confidence: f64) -> f64 {
    if exposure > 0.0 { poisson_upper(count, confidence) / exposure } else { f64::INFINITY }
}

/// The two-sided interval of a rate: each side errs with half of `1 - confidence`.
/// Unit: events per unit of `exposure`.
pub fn rate_interval(count: u64, exposure: f64, confidence: f64) -> (f64, f64) {
    if exposure <= 0.0 {
        return (0.0, f64::INFINITY);
    }
    let side = 0.5 + confidence / 2.0;
    (poisson_lower(count, side) / exposure, poisson_upper(count, side) / exposure)
}

/// The least exposure after which `count` events prove a rate of at most `budget`.
/// Unit: the unit of exposure in which `budget` counts.
pub fn exposure_needed(count: u64, budget: f64, confidence: f64) -> f64 {
    poisson_upper(count, confidence) / budget
}

/// The upper bound on a probability of which `successes` were seen in `trials`; 1 where nothing
/// was tried.
///
/// Range: `confidence` in 0.5..1, exclusive; `trials` up to 1e9. Does not follow the inverse of the
/// beta function in statrs, which goes astray at extreme probabilities (statrs issue 435).
pub fn probability_upper(successes: u64, trials: u64, confidence: f64) -> f64 {
    if successes >= trials {
        return 1.0;
    }
    let ln_alpha = (1.0 - confidence).ln();
    let (seen, tried) = (successes as f64, trials as f64);
    if successes == 0 {
        return -(ln_alpha / tried).exp_m1();
    }
    let failed = tried - seen;
    let mut p = seen / tried;
    for _ in 0..STEPS_MAX {
        let odds = (1.0 - p) / p;
        let sum = falling(seen, |i| i * odds / (tried - i + 1.0));
        let ln_tail = ln_binomial(seen, tried, p) + sum.ln();
        let step = (ln_tail - ln_alpha) * sum * (1.0 - p) / failed;
        let next = if p + step < 1.0 { p + step } else { f64::midpoint(p, 1.0) };
        let arrived = (next - p).abs() <= NEAR * p;
        p = next;
        if arrived {
            break;
        }
    }
    p.min(1.0)
}

/// The terms at `from`, `from - 1`, … 0 over the one at `from`, added up; `ratio(i)` is the term
/// at `i - 1` over the one at `i`.
fn falling(from: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut i, mut term, mut sum) = (from, 1.0, 1.0);
    while i > 0.0 && term > sum * f64::EPSILON / 16.0 {
        term *= ratio(i);
        sum += term;
        i -= 1.0;
    }
    sum
}

/// The Poisson terms at `from`, `from + 1`, … over the one at `from`, added up; `mean` is at most
/// `from`.
fn rising(from: f64, mean: f64) -> f64 {
    let (mut i, mut term, mut sum) = (from, 1.0, 1.0);
    while term > sum * f64::EPSILON / 16.0 {
        i += 1.0;
        term *= mean / i;
        sum += term;
    }
    sum
}

fn ln_poisson(count: f64, mean: f64) -> f64 {
    count * mean.ln() - mean - ln_gamma(count + 1.0)
}

fn ln_binomial(seen: f64, tried: f64, p: f64) -> f64 {
    ln_gamma(tried + 1.0) - ln_gamma(seen + 1.0) - ln_gamma(tried - seen + 1.0)
        + seen * p.ln()
        + (tried - seen) * (-p).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::{
        exposure_needed, poisson_lower, poisson_upper, probability_upper, rate_interval, rate_upper,
    };
    use proptest::prelude::*;
    use statrs::distribution::{
        Binomial, ChiSquared, ContinuousCDF, Discrete, DiscreteCDF, Poisson,
    };

    const CONFIDENCES: [f64; 5] = [0.9, 0.95, 0.975, 0.9875, 0.999_999];

    fn near(one: f64, other: f64, within: f64) -> bool {
        (one - other).abs() <= within * other.abs().max(f64::MIN_POSITIVE)
    }

    #[test]
    fn nothing_seen_gives_three_over_the_exposure() {
        assert!(near(rate_upper(0, 1000.0, 0.95), 2.995_732_273_553_991 / 1000.0, 1e-12));
        assert!(rate_upper(3, 0.0, 0.95).is_infinite());
        assert!(rate_interval(0, 10.0, 0.95).0.abs() < f64::MIN_POSITIVE);
        assert!(near(rate_interval(0, 10.0, 0.95).1, 0.368_887_945_411_393_6, 1e-12));
    }

    #[test]
    fn bounds_of_a_rate_agree_with_the_quantiles_of_chi_squared() {
        for count in [1_u64, 2, 5, 10, 47, 300, 5000] {
            for confidence in CONFIDENCES {
                let degrees = 2.0 * count as f64;
                let upper = ChiSquared::new(degrees + 2.0).expect("valid").inverse_cdf(confidence);
                let lower = ChiSquared::new(degrees).expect("valid").inverse_cdf(1.0 - confidence);
                let (above, below) =
                    (poisson_upper(count, confidence), poisson_lower(count, confidence));
                assert!(near(above, upper / 2.0, 1e-7), "{count} {confidence}: {above} {upper}");
                assert!(near(below, lower / 2.0, 1e-7), "{count} {confidence}: {below} {lower}");
            }
        }
    }

    #[test]
    fn bounds_of_a_rate_agree_with_exact_sums_up_to_a_million_events() {
        for count in [1_u64, 3, 100, 20_000, 1_000_000] {
            let above = Poisson::new(poisson_upper(count, 0.95)).expect("valid");
            let least = count.saturating_sub(20_000);
            let seen: f64 = (least..=count).map(|k| above.pmf(k)).sum();
            assert!(near(seen, 0.05, 1e-6), "{count}: {seen}");
            let below = Poisson::new(poisson_lower(count, 0.95)).expect("valid");
            let seen: f64 = (count..=count + 20_000).map(|k| below.pmf(k)).sum();
            assert!(near(seen, 0.05, 1e-6), "{count}: {seen}");
        }
    }

    #[test]
    fn a_billion_events_and_a_confidence_of_all_but_1e_15_are_bounded_too() {
        let many = poisson_upper(1_000_000_000, 0.95);
        let normal = 1e9 + 1.644_853_6 * 1e9_f64.sqrt();
        assert!(near(many, normal, 1e-8), "{many} {normal}");
        let sure = poisson_upper(3, 1.0 - 1e-15);
        assert!(sure > 40.0 && sure < 60.0, "{sure}");
        let rare = probability_upper(5, 1_000_000_000, 0.95);
        assert!(near(rare, poisson_upper(5, 0.95) / 1e9, 1e-6), "{rare}");
    }

    #[test]
    fn bounds_of_a_probability_agree_with_exact_sums_over_a_grid() {
        for trials in [1_u64, 2, 7, 60, 1000, 100_000] {
            for part in [0.0, 1e-4, 0.01, 0.2, 0.5, 0.9, 0.999] {
                #[expect(clippy::cast_possible_truncation, reason = "below trials")]
                #[expect(clippy::cast_sign_loss, reason = "positive")]
                let successes = ((trials as f64 * part) as u64).min(trials - 1);
                for confidence in CONFIDENCES {
                    let p = probability_upper(successes, trials, confidence);
                    let exact = Binomial::new(p, trials).expect("valid");
                    let tail: f64 = if trials <= 1000 {
                        (0..=successes).map(|k| exact.pmf(k)).sum()
                    } else {
                        exact.cdf(successes)
                    };
                    let alpha = 1.0 - confidence;
                    assert!(near(tail, alpha, 1e-6), "{successes}/{trials} {confidence}: {tail}");
                }
            }
        }
        assert!(near(probability_upper(0, 0, 0.95), 1.0, 1e-15));
        assert!(near(probability_upper(9, 9, 0.95), 1.0, 1e-15));
        assert!(near(probability_upper(0, 1_000_000, 0.95), 2.995_727_8e-6, 1e-7));
    }

    proptest! {
        #[test]
        fn a_bound_never_lies_below_what_was_seen_and_falls_with_exposure(
            count in 0_u64..100_000, exposure in 1e-3_f64..1e9, longer in 1.001_f64..100.0,
            confidence in 0.6_f64..0.999,
        ) {
            let bound = rate_upper(count, exposure, confidence);
            prop_assert!(bound >= count as f64 / exposure);
            prop_assert!(rate_upper(count, exposure * longer, confidence) < bound);
            prop_assert!(rate_upper(count + 1, exposure, confidence) > bound);
            let (low, high) = rate_interval(count, exposure, confidence);
            prop_assert!(low <= count as f64 / exposure && count as f64 / exposure <= high);
        }

        #[test]
        fn the_exposure_needed_is_just_enough(
            count in 0_u64..10_000, budget in 1e-9_f64..10.0, confidence in 0.6_f64..0.999,
        ) {
            let needed = exposure_needed(count, budget, confidence);
            prop_assert!(rate_upper(count, needed * 1.000_001, confidence) <= budget);
            prop_assert!(rate_upper(count, needed * 0.999_999, confidence) >= budget);
        }

        #[test]
        fn a_probability_is_bounded_between_what_was_seen_and_one(
            trials in 1_u64..1_000_000, part in 0.0_f64..=1.0, confidence in 0.6_f64..0.999_999,
        ) {
            #[expect(clippy::cast_possible_truncation, reason = "at most trials")]
            #[expect(clippy::cast_sign_loss, reason = "positive")]
            let successes = (trials as f64 * part) as u64;
            let bound = probability_upper(successes, trials, confidence);
            prop_assert!(bound >= successes as f64 / trials as f64 && bound <= 1.0);
            prop_assert!(probability_upper(successes, trials + 1, confidence) <= bound);
        }
    }
}
