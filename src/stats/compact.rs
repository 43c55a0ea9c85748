//! Numbers kept in 16 bits: the upper half of an `f32`, rounded up for maxima.
//!
//! A maximum kept this way is at most 1/128 too high and never too low, so a peak learned from it
//! errs towards not alarming. The order of codes is the order of numbers.

/// A count from 0 to 2^127, at most 0.8 % too high.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Compact(u16);

impl Compact {
    /// The number 0.
    pub const ZERO: Self = Self(0);

    /// The least code that is not below `value`; negative values and NaN count as 0.
    pub fn at_least(value: f32) -> Self {
        let bits = if value > 0.0 { value.to_bits() } else { 0 };
        let rounded_up = bits.saturating_add(0xffff) >> 16;
        Self(u16::try_from(rounded_up).unwrap_or(u16::MAX))
    }

    /// The code nearest to `value`, for sums that go up and down; at most 0.4 % off.
    pub fn nearest(value: f32) -> Self {
        let bits = if value > 0.0 { value.to_bits() } else { 0 };
        let rounded = bits.saturating_add(0x8000) >> 16;
        Self(u16::try_from(rounded).unwrap_or(u16::MAX))
    }

    /// The number it stands for.
    pub fn value(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// The rest of a maximum after a day: a half-life of 14 days.
pub const KEEP_PER_DAY: f32 = 0.952;

/// The rest of `maximum` after `days`.
pub fn faded(maximum: Compact, days: u32) -> Compact {
    let keep = KEEP_PER_DAY.powi(i32::try_from(days.min(10_000)).unwrap_or(0));
    Compact::nearest(maximum.value() * keep)
}

/// Moves `from` towards `to` by one part of `part`, and by at least one, so that 16 bits suffice
/// for a slow average.
pub fn moved(from: u16, to: i32, part: i32) -> u16 {
    let from = i32::from(from);
    let step = (to - from) / part;
    let step = if step == 0 { (to - from).signum() } else { step };
    u16::try_from(from + step).unwrap_or(u16::MAX)
}

crate::codec!(Compact);

#[cfg(test)]
mod tests {
    use super::Compact;
    use proptest::prelude::*;

    #[test]
    fn small_whole_numbers_are_exact() {
        for count in 0_u8..=128 {
            let exact = f32::from(count);
            assert!((Compact::at_least(exact).value() - exact).abs() < f32::EPSILON);
        }
        assert_eq!(Compact::at_least(-1.0), Compact::at_least(f32::NAN));
    }

    proptest! {
        #[test]
        fn a_number_is_never_too_low_and_at_most_one_in_128_too_high(value in 0.0_f32..1e9) {
            let kept = Compact::at_least(value).value();
            prop_assert!(kept >= value && kept <= value * (1.0 + 1.0 / 127.0));
        }

        #[test]
        fn the_nearest_code_is_at_most_one_in_256_off(value in 1e-9_f32..1e9) {
            let kept = Compact::nearest(value).value();
            prop_assert!((kept - value).abs() <= value / 255.0);
        }

        #[test]
        fn order_is_kept(a in 0.0_f32..1e9, b in 0.0_f32..1e9) {
            prop_assert!(a > b || Compact::at_least(a) <= Compact::at_least(b));
        }
    }
}
