//! Exponential forgetting in whole minutes.

use std::f64::consts::LN_2;

/// How a memory fades, worked out once for a half-life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fading {
    keep_per_min: f64,
    lifetime_s: f64,
}

impl Fading {
    /// A memory with that half-life. Unit: seconds. Range: above 0.
    ///
    /// Source: definition of a half-life, `2^(-elapsed / half_life)`; its mean lifetime is
    /// `half_life / ln 2`.
    pub fn of_half_life(half_life_s: f64) -> Self {
        Self { keep_per_min: (-60.0 / half_life_s).exp2(), lifetime_s: half_life_s / LN_2 }
    }

    /// The rest after `minutes`, in 0..1. Cost: a few multiplications, no exponential.
    pub fn remaining(self, minutes: u32) -> f64 {
        match minutes {
            1 => self.keep_per_min,
            _ => self.keep_per_min.powi(i32::try_from(minutes).unwrap_or(i32::MAX)),
        }
    }

    /// How long a stretch counts for once it has faded within itself. Unit: seconds.
    pub fn exposure_s(self, remaining: f64) -> f64 {
        self.lifetime_s * (1.0 - remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::Fading;

    #[test]
    fn half_is_left_after_a_half_life() {
        let fading = Fading::of_half_life(900.0);
        assert!((fading.remaining(15) - 0.5).abs() < 1e-12);
        assert!((fading.remaining(0) - 1.0).abs() < 1e-12);
        assert!(fading.remaining(u32::MAX) < 1e-300);
    }

    #[test]
    fn steps_add_up() {
        let fading = Fading::of_half_life(86_400.0);
        let stepwise = (0..100).fold(1.0, |left, _| left * fading.remaining(1));
        assert!((stepwise - fading.remaining(100)).abs() < 1e-12);
    }
}
