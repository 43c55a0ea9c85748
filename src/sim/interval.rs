//! Exact intervals of what was counted.

use statrs::distribution::{Beta, ContinuousCDF, Gamma};

/// The exact two-sided 95 % interval of a Poisson rate, after `events` in `exposure`. Where none
/// came the upper end is the one-sided 95 % bound, 3.0 / exposure.
/// Source: Garwood, "Fiducial limits for the Poisson distribution", 1936.
pub fn poisson_interval(events: u64, exposure: f64) -> (f64, f64) {
    if exposure <= 0.0 {
        return (0.0, f64::INFINITY);
    }
    let quantile = |shape: f64, p: f64| Gamma::new(shape, 1.0).map_or(0.0, |g| g.inverse_cdf(p));
    let n = events as f64;
    if events == 0 {
        return (0.0, -(0.05_f64.ln()) / exposure);
    }
    (quantile(n, 0.025) / exposure, quantile(n + 1.0, 0.975) / exposure)
}

/// The exact two-sided 95 % interval of a share, after `hits` in `trials`.
/// Source: Clopper and Pearson, 1934.
pub fn binomial_interval(hits: u64, trials: u64) -> (f64, f64) {
    let (hits, misses) = (hits as f64, trials.saturating_sub(hits) as f64);
    let quantile = |a: f64, b: f64, p: f64, otherwise: f64| {
        Beta::new(a, b).map_or(otherwise, |beta| beta.inverse_cdf(p))
    };
    (quantile(hits, misses + 1.0, 0.025, 0.0), quantile(hits + 1.0, misses, 0.975, 1.0))
}

#[cfg(test)]
mod tests {
    use super::{binomial_interval, poisson_interval};

    #[test]
    fn intervals_are_those_of_garwood() {
        let near = |found: (f64, f64), low: f64, high: f64| {
            assert!((found.0 - low).abs() < 1e-3 && (found.1 - high).abs() < 1e-3, "{found:?}");
        };
        // Source: the table of exact Poisson limits, Ulm, 1990.
        near(poisson_interval(0, 1.0), 0.0, 2.9957);
        near(poisson_interval(1, 1.0), 0.0253, 5.5716);
        near(poisson_interval(5, 1.0), 1.6235, 11.6683);
        near(poisson_interval(100, 10.0), 8.1364, 12.1627);
        near(binomial_interval(0, 10), 0.0, 0.3085);
        near(binomial_interval(8, 10), 0.4439, 0.9748);
        near(binomial_interval(10, 10), 0.6915, 1.0);
    }
}
