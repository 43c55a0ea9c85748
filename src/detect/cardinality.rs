//! Spread: how many distinct values of one aspect a credential uses in ten minutes, besides the
//! most it usually does. `fan_out` asks it of networks, `endpoints` of endpoint classes.

use super::window::Windows;
use crate::stats::compact::KEEP_PER_DAY;
use crate::stats::distinct::distinct;

/// The stretch in which distinct values are counted. Unit: minutes. Chosen.
pub const STRETCH_MIN: u32 = 10;

/// The distinct values of the running ten minutes, and the most that is usual. Shape: 6 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cardinality {
    sketch: [u16; 2],
    usual: u8,
    /// Of the stretch before the running one: it is too young to teach.
    held: u8,
}

impl Cardinality {
    const fn sketch(self) -> u32 {
        let [low, high] = self.sketch;
        low as u32 | (high as u32) << 16
    }

    /// Notes a value by its hash (0: none); says whether it may be one more.
    pub fn record(&mut self, hash: u32) -> bool {
        let bit = hash >> 27;
        let [low, high] = &mut self.sketch;
        let (half, bit) = if bit < 16 { (low, bit) } else { (high, bit - 16) };
        let more = hash != 0 && *half & (1 << bit) == 0;
        if more {
            *half |= 1 << bit;
        }
        more
    }

    /// About how many distinct values came in the running stretch; at most 140.
    pub fn distinct(self) -> u32 {
        distinct(self.sketch())
    }

    /// The most in a stretch that is usual.
    pub fn usual(self) -> u32 {
        u32::from(self.usual)
    }

    /// The learned part: the highest usual count.
    pub const fn learned(self) -> u8 {
        self.usual
    }

    /// Knows what is usual, as after a long silence.
    pub const fn of(learned: u8) -> Self {
        Self { sketch: [0; 2], usual: learned, held: 0 }
    }

    /// Takes the greatest spread of a stretch that turned out harmless.
    pub fn absorb(&mut self, distinct: u8) {
        self.usual = self.usual.max(distinct);
    }

    /// Begins a new stretch, if one begins as time moves from `windows` to `next`; learns the one
    /// before the last, unless `frozen`. `days`: how many begin that have not faded it yet.
    pub fn minute_ends(&mut self, windows: &Windows, next: u32, days: u32, frozen: bool) {
        let last = windows.newest();
        let stretches = next / (STRETCH_MIN * 60) - last / (STRETCH_MIN * 60);
        if stretches == 0 {
            return;
        }
        let counted = u8::try_from(self.distinct()).unwrap_or(u8::MAX);
        let held = std::mem::replace(&mut self.held, counted);
        self.sketch = [0; 2];
        if frozen {
            self.held = 0;
            return;
        }
        for _ in 0..days.min(100) {
            self.usual = faded(self.usual);
        }
        self.usual = self.usual.max(held);
        if stretches > 1 {
            self.usual = self.usual.max(std::mem::take(&mut self.held));
        }
    }

    /// A use that was held back teaches nothing: it may be the beginning of abuse.
    pub fn forget_held(&mut self) {
        self.held = 0;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "less than it was")]
#[expect(clippy::cast_sign_loss, reason = "never negative")]
fn faded(usual: u8) -> u8 {
    (f32::from(usual) * KEEP_PER_DAY) as u8
}

crate::codec!(Cardinality { sketch, usual, held });

#[cfg(test)]
mod tests {
    use super::{Cardinality, STRETCH_MIN};
    use crate::detect::window::Windows;

    const START: u32 = 1_700_000_400;

    fn hash(value: u32) -> u32 {
        value.wrapping_mul(0x9e37_79b1)
    }

    #[test]
    fn a_stretch_teaches_after_one_more_has_passed() {
        let mut spread = Cardinality::default();
        let mut windows = Windows::new(START);
        let mut usual = Vec::new();
        for _ in 0..3 {
            (0..8).for_each(|value| {
                spread.record(hash(value));
            });
            let next = windows.newest() + STRETCH_MIN * 60;
            spread.minute_ends(&windows, next, 0, false);
            windows.advance(next);
            usual.push(spread.usual());
        }
        assert_eq!(usual[0], 0);
        assert!((7..=9).contains(&usual[1]) && usual[1] == usual[2], "{usual:?}");
    }

    #[test]
    fn a_frozen_stretch_teaches_nothing() {
        let mut spread = Cardinality::default();
        let mut windows = Windows::new(START);
        for _ in 0..5 {
            spread.record(hash(1));
            let next = windows.newest() + STRETCH_MIN * 60;
            spread.minute_ends(&windows, next, 0, true);
            windows.advance(next);
        }
        assert_eq!(spread.usual(), 0);
    }
}
