//! Exponential forgetting.

/// What is left of a memory after `elapsed_s`, in 0..1. Unit: seconds, both of one kind.
///
/// Source: definition of a half-life, `2^(-elapsed / half_life)`.
pub fn remaining(elapsed_s: f64, half_life_s: f64) -> f64 {
    (-elapsed_s.max(0.0) / half_life_s).exp2()
}

#[cfg(test)]
mod tests {
    use super::remaining;

    #[test]
    fn half_is_left_after_a_half_life_and_nothing_grows() {
        assert!((remaining(900.0, 900.0) - 0.5).abs() < 1e-12);
        assert!((remaining(0.0, 900.0) - 1.0).abs() < 1e-12);
        assert!((remaining(-5.0, 900.0) - 1.0).abs() < 1e-12);
    }
}
