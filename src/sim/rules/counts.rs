//! The counts that simple rules see: trailing windows of 1, 10 and 60 s, and whole minutes of the clock.

/// The trailing windows. Unit: seconds.
pub const WINDOWS_S: [i64; 3] = [1, 10, 60];
const RING_S: u8 = 60;

/// The requests of a key in a minute of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Its requests.
    pub count: u32,
    /// The most in each of [`WINDOWS_S`] that ended within it.
    pub peaks: [u32; WINDOWS_S.len()],
}

/// The requests of the last minute, by second. Shape: 60 counts and a sum for each window.
#[derive(Clone, Debug)]
pub struct Counts {
    second: i64,
    ring: [u32; RING_S as usize],
    sums: [u32; WINDOWS_S.len()],
}

impl Counts {
    /// None yet; the newest second is `second`.
    pub const fn new(second: i64) -> Self {
        Self { second, ring: [0; RING_S as usize], sums: [0; WINDOWS_S.len()] }
    }

    /// The newest second.
    pub const fn second(&self) -> i64 {
        self.second
    }

    /// The counts of [`WINDOWS_S`], the newest second included.
    pub const fn sums(&self) -> [u32; WINDOWS_S.len()] {
        self.sums
    }

    fn slot(&mut self, second: i64) -> Option<&mut u32> {
        self.ring.get_mut(usize::try_from(second.rem_euclid(RING_S.into())).unwrap_or(0))
    }

    /// Goes on to `second`, if it is later.
    pub fn advance(&mut self, second: i64) {
        if second - self.second >= RING_S.into() {
            *self = Self::new(second);
        }
        while self.second < second {
            self.second += 1;
            for (index, window) in WINDOWS_S.into_iter().enumerate() {
                let left = self.slot(self.second - window).map_or(0, |count| *count);
                if let Some(sum) = self.sums.get_mut(index) {
                    *sum -= left;
                }
            }
            if let Some(count) = self.slot(self.second) {
                *count = 0;
            }
        }
    }

    /// Takes one request in the newest second.
    pub fn add(&mut self) {
        if let Some(count) = self.slot(self.second) {
            *count += 1;
        }
        for sum in &mut self.sums {
            *sum += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, WINDOWS_S};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_count_what_came_in_their_last_seconds(gaps in prop::collection::vec(0_i64..90, 1..200)) {
            let mut counts = Counts::new(1_000);
            let mut all: Vec<i64> = Vec::new();
            let mut second = 1_000;
            for gap in gaps {
                second += if gap > 70 { gap } else { gap / 8 };
                counts.advance(second);
                counts.add();
                all.push(second);
                let naive = WINDOWS_S.map(|window| {
                    u32::try_from(all.iter().filter(|at| **at > second - window).count()).expect("few")
                });
                prop_assert_eq!(counts.sums(), naive);
            }
        }
    }
}
