//! Amounts of money, in the one currency of the operator's prices and events.

/// Millionths of a unit of money.
pub const MICROS: f64 = 1e6;
/// The largest amount. Unit: money. Chosen: beyond any bill, and exact as a double.
pub const MAX: f64 = 1e9;

/// An amount of money. Unit: millionths; at most a thousand million units of money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u64);

impl Money {
    /// That many units of money; none for an amount below 0, above the largest, or that is no number.
    pub fn of(units: f64) -> Option<Self> {
        let micros = (units * MICROS).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 0..1e15"
        )]
        (0.0..=MAX).contains(&units).then_some(Self(micros as u64))
    }

    /// The amount in millionths.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The amount in units of money.
    pub fn units(self) -> f64 {
        self.0 as f64 / MICROS
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn an_amount_is_kept_to_the_millionth_and_only_within_bounds() {
        let kept = |units| Money::of(units).map(Money::units);
        assert_eq!(kept(0.012_345), Some(0.012_345));
        assert_eq!(kept(4e-7), Some(0.0));
        assert_eq!([kept(-0.01), kept(2e9), kept(f64::NAN), kept(f64::INFINITY)], [None; 4]);
    }
}
