//! Dispersion: variance over mean of the counts in a window, learned with forgetting.

/// The least dispersion believed: below it a stream would be steadier than chance.
pub const DISPERSION_MIN: f32 = 1.05;

/// Moves `dispersion` towards the dispersion of `windows` counts with sum `sum` and sum of
/// squares `squares`, about the expected count `mean` of each, by `weight` in 0..1.
///
/// The sample is clipped at 100 times what is believed, so one burst can't teach all.
/// Source: moment estimator of a quasi-Poisson dispersion, `mean of (n - mu)^2 / mu`.
pub fn learn(dispersion: &mut f32, sample: f32, weight: f32) {
    let clipped = sample.clamp(0.0, *dispersion * 100.0);
    *dispersion = (*dispersion + weight * (clipped - *dispersion)).max(DISPERSION_MIN);
}

/// The moment estimate from `windows` counts with that sum and sum of squares, about `mean`.
pub fn sample(windows: f64, sum: f64, squares: f64, mean: f64) -> f64 {
    ((squares - 2.0 * mean * sum + windows * mean * mean) / (windows * mean)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::{learn, sample};

    #[test]
    fn the_estimate_is_the_mean_squared_distance_over_the_mean() {
        let counts = [3.0_f64, 5.0, 1.0, 7.0];
        let mean = 4.0;
        let expected = counts.iter().map(|n| (n - mean).powi(2) / mean).sum::<f64>() / 4.0;
        let squares = counts.iter().map(|n| n * n).sum();
        assert!((sample(4.0, counts.iter().sum(), squares, mean) - expected).abs() < 1e-12);
    }

    #[test]
    fn one_wild_sample_teaches_at_most_a_hundred_times_what_was_believed() {
        let mut dispersion = 5.0;
        learn(&mut dispersion, 1e9, 0.01);
        assert!(dispersion <= 5.0 + 0.01 * 500.0);
    }
}
