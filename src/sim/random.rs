//! Draws from stated distributions, by a small generator. Bits are the same on every engine,
//! numbers as far as its logarithm is.
//!
//! **Does not** serve for secrets: one who knows the seed knows all draws.

/// A generator: `SplitMix64`. Shape: 8 bytes, so that a copy is a fork of the future.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub struct Random(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(value: u64) -> u64 {
    let mixed = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Random {
    /// The generator of one purpose: other numbers give other draws.
    pub fn of(seed: u64, purpose: &[u64]) -> Self {
        let part = |state: u64, part: &u64| mix(state.wrapping_add(GOLDEN) ^ mix(*part ^ GOLDEN));
        Self(purpose.iter().fold(mix(seed), part))
    }

    /// 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform. Range: above 0, below 1.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
    }

    /// Uniform. Range: 0 to `end`, which is left out; 0 where it is 0.
    pub fn below(&mut self, end: u32) -> u32 {
        u32::try_from(((self.bits() >> 32) * u64::from(end)) >> 32).unwrap_or(0)
    }

    /// One of `choices`.
    pub fn one<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(u32::try_from(choices.len()).unwrap_or(0)) as usize)
    }

    /// True with that probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    /// Standard normal. Source: the polar method, Marsaglia and Bray, 1964.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// Lognormal, by its median and the deviation of its logarithm.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Gamma with that shape and scale 1. Source: Marsaglia and Tsang, 2000, with their step for
    /// shapes below 1.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.unit().powf(1.0 / shape);
        }
        let shifted = shape - 1.0 / 3.0;
        let spread = (9.0 * shifted).sqrt().recip();
        loop {
            let normal = self.normal();
            let root = 1.0 + spread * normal;
            if root <= 0.0 {
                continue;
            }
            let cube = root * root * root;
            let unit = self.unit();
            let bound = 0.5 * normal * normal + shifted * (1.0 - cube + cube.ln());
            if unit < 1.0 - 0.0331 * normal.powi(4) || unit.ln() < bound {
                return shifted * cube;
            }
        }
    }

    /// Weibull with that shape and scale 1.
    pub fn weibull(&mut self, shape: f64) -> f64 {
        self.exponential().powf(1.0 / shape)
    }
}

/// The weights of a Zipf distribution over `n` values, adding up to 1.
pub fn zipf(n: usize, exponent: f64) -> Vec<f64> {
    let raw: Vec<f64> = (1..=n).map(|rank| (rank as f64).powf(-exponent)).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|weight| weight / sum).collect()
}

/// A number as a whole one, cut off at 0 and at the largest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off, as said")]
pub const fn whole(number: f64) -> u32 {
    number as u32
}

/// Milliseconds as a whole number.
#[expect(clippy::cast_possible_truncation, reason = "times of a trial are far below 2^53 ms")]
pub const fn ms(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::{Random, zipf};

    fn moments(draw: impl FnMut() -> f64) -> (f64, f64) {
        let mut draws = std::iter::repeat_with(draw).take(200_000).collect::<Vec<f64>>();
        draws.retain(|x| x.is_finite());
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let squares = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        (mean, (squares / draws.len() as f64).sqrt())
    }

    fn near(found: (f64, f64), expected: (f64, f64)) {
        assert!((found.0 / expected.0 - 1.0).abs() < 0.03, "{found:?} {expected:?}");
        assert!((found.1 / expected.1 - 1.0).abs() < 0.06, "{found:?} {expected:?}");
    }

    #[test]
    fn draws_have_the_mean_and_deviation_of_their_distribution() {
        let mut random = Random::of(7, &[1]);
        near(moments(|| random.unit()), (0.5, (1.0_f64 / 12.0).sqrt()));
        near(moments(|| random.exponential()), (1.0, 1.0));
        near(moments(|| 5.0 + random.normal()), (5.0, 1.0));
        for shape in [0.1, 0.5, 1.0, 4.0] {
            near(moments(|| random.gamma(shape)), (shape, shape.sqrt()));
        }
        // Weibull of shape 1/2: mean 2, variance 20.
        near(moments(|| random.weibull(0.5)), (2.0, 20.0_f64.sqrt()));
        let median = 100.0;
        near(moments(|| random.lognormal(median, 0.5)), (113.315, 113.315 * 0.532_94));
    }

    #[test]
    fn draws_depend_on_the_seed_and_on_the_purpose() {
        let draw = |seed, purpose: &[u64]| Random::of(seed, purpose).bits();
        assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
        assert_ne!(draw(1, &[2, 3]), draw(2, &[2, 3]));
        assert_ne!(draw(1, &[2, 3]), draw(1, &[3, 2]));
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut random = Random::of(1, &[]);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[random.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn zipf_weights_add_up_to_one_and_fall() {
        let weights = zipf(5, 1.0);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((weights[0] / weights[4] - 5.0).abs() < 1e-9);
    }
}
