//! The rate of a throttled credential: generic cell rate algorithm.
//!
//! Each rate is one number, its theoretical arrival time (TAT): when the next request is due. A
//! request that comes more than a burst before it has to wait; any other moves it on by an interval.
//!
//! A token that says itself which credential it is (a JWT by its `jti`) is counted by its own hash: its
//! signature isn't verified here, so anyone can write the `jti` of someone else into a forged one. The
//! hashes share a table of a fixed size. Nothing is ever removed from it, as a flood of forged tokens
//! could then push the genuine one out and so free it of its rate; tokens that meet in one place share a
//! rate, which is only stricter.
//!
//! Source: ITU-T I.371, annex A.

use crate::model::time::EventTime;
use std::sync::atomic::{AtomicI64, Ordering};

/// A throttled credential may make a request a second. Chosen. Unit: milliseconds.
const EVERY_MS: i64 = 1_000;
/// And that many at once. Chosen. Unit: milliseconds of requests.
const BURST_MS: i64 = 10_000;

/// Rates for tokens. Chosen: forged tokens at 10,000 requests a second take 15 % of the owner's rate.
/// Unit: rates of 8 bytes.
const RATES: usize = 1 << 16;

/// Lets a request pass, or says when to come again. Unit of `due`: milliseconds since 1970.
pub(super) fn admit(due: &AtomicI64, now: EventTime) -> Passage {
    let passes = due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
        let due = due.max(now.ms());
        (due - now.ms() < BURST_MS).then_some(due + EVERY_MS)
    });
    match passes {
        Ok(_) => Passage::Free,
        Err(due) => {
            let wait_ms = due - now.ms() - BURST_MS + EVERY_MS;
            Passage::Wait(u32::try_from(wait_ms.max(1)).unwrap_or(u32::MAX).div_ceil(1000))
        }
    }
}

/// The rates of tokens, by their hash.
#[derive(Debug)]
pub(super) struct TokenLimits(Box<[AtomicI64]>);

impl Default for TokenLimits {
    fn default() -> Self {
        Self((0..RATES).map(|_| AtomicI64::new(0)).collect())
    }
}

impl TokenLimits {
    /// The rate of a token.
    pub(super) fn of(&self, token: u64) -> Option<&AtomicI64> {
        let place = usize::try_from(token % self.0.len() as u64).ok()?;
        self.0.get(place)
    }
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Free,
    /// It may not, for a while.
    Suspended,
    /// It may not.
    Revoked,
    /// It may in that many seconds.
    Wait(u32),
}

#[cfg(test)]
mod tests {
    use super::{Passage, RATES, TokenLimits, admit};
    use crate::model::time::EventTime;

    fn passes(limits: &TokenLimits, token: u64, now: EventTime) -> bool {
        admit(limits.of(token).expect("a rate"), now) == Passage::Free
    }

    #[test]
    fn ten_pass_at_once_and_then_one_a_second() {
        let (limits, now) = (TokenLimits::default(), EventTime::from_ms(1_000_000));
        let passed = (0..30).filter(|_| passes(&limits, 7, now)).count();
        assert_eq!(passed, 10);
        assert_eq!(admit(limits.of(7).expect("a rate"), now), Passage::Wait(1));
        let later = EventTime::from_ms(1_003_000);
        assert_eq!((0..30).filter(|_| passes(&limits, 7, later)).count(), 3);
    }

    #[test]
    fn a_flood_of_forged_tokens_neither_slows_nor_frees_the_genuine_one() {
        let (limits, now) = (TokenLimits::default(), EventTime::from_ms(1_000_000));
        let genuine = 12_345;
        let first = (0..5).filter(|_| passes(&limits, genuine, now)).count();
        for forged in 0..RATES as u64 * 2 {
            if forged % RATES as u64 != genuine {
                passes(&limits, forged, now);
            }
        }
        let then = (0..30).filter(|_| passes(&limits, genuine, now)).count();
        assert_eq!((first, then), (5, 5), "ten at once, whatever others sent");
    }
}
