//! The rate at which each source may take events, so that none takes the place of the others.
//!
//! Source: the generic cell rate algorithm, with a burst of two seconds. More than that in one batch is taken, and
//! paid for by those that follow: no batch is too large to be ever taken.

use crate::model::time::EventTime;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The burst. Unit: microseconds.
const BURST_US: i64 = 2_000_000;
/// A minute. Unit: microseconds.
const MINUTE_US: i64 = 60_000_000;

/// The bounds of all sources that have one.
#[derive(Debug, Default)]
pub struct RateBounds(BTreeMap<String, RateBound>);

#[derive(Debug)]
struct RateBound {
    per_min: u32,
    /// When all that was taken is paid for. Unit: microseconds since 1970.
    paid_at: Mutex<i64>,
}

impl RateBounds {
    /// Bounds by source. Unit: events a minute.
    pub fn new(bounds: &BTreeMap<String, u32>) -> Self {
        let bound = |(name, per_min): (&String, &u32)| {
            (name.clone(), RateBound { per_min: *per_min, paid_at: Mutex::new(0) })
        };
        Self(bounds.iter().map(bound).collect())
    }

    /// Takes events of a source at `now`.
    ///
    /// # Errors
    /// How long to wait until more may be taken. Unit: milliseconds.
    pub fn take(&self, source: &str, events: usize, now: EventTime) -> Result<(), i64> {
        let Some(bound) = self.0.get(source) else { return Ok(()) };
        let now = now.ms().saturating_mul(1_000);
        let mut paid_at = bound.paid_at.lock();
        // A clock that was set back must not make it wait for what it skipped.
        let ahead = if *paid_at > now + MINUTE_US { 0 } else { (*paid_at - now).max(0) };
        if ahead > BURST_US {
            return Err((ahead - BURST_US) / 1_000 + 1);
        }
        let cost = i64::try_from(events).unwrap_or(i64::MAX).saturating_mul(MINUTE_US);
        let cost = cost / i64::from(bound.per_min.max(1));
        *paid_at = now + ahead + cost.min(MINUTE_US / 2);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{EventTime, RateBounds};
    use std::collections::BTreeMap;

    fn bounds() -> RateBounds {
        RateBounds::new(&BTreeMap::from([("slow".to_owned(), 6_000)]))
    }

    /// How many events are taken within so many seconds, in batches of that size, each as soon as it may.
    fn taken(batch: usize, seconds: i64) -> usize {
        let (bounds, start) = (bounds(), 1_800_000_000_000);
        let (mut now, mut events) = (start, 0);
        while now < start + seconds * 1_000 {
            match bounds.take("slow", batch, EventTime::from_ms(now)) {
                Ok(()) => events += batch,
                Err(wait_ms) => now += wait_ms,
            }
        }
        events
    }

    #[test]
    fn a_source_takes_its_rate_and_two_seconds_of_it_at_once() {
        for batch in [1, 10, 500] {
            let events = taken(batch, 60);
            assert!((6_000..=6_200 + batch).contains(&events), "{batch}: {events}");
        }
    }

    #[test]
    fn a_batch_that_is_larger_than_the_burst_is_taken_and_paid_for() {
        assert!((6_000..10_000).contains(&taken(2_000, 60)));
    }

    #[test]
    fn others_are_not_bound_and_a_clock_that_steps_back_binds_no_one_for_long() {
        let bounds = bounds();
        let now = EventTime::from_ms(1_800_000_000_000);
        assert_eq!(bounds.take("other", 1 << 30, now), Ok(()));
        assert_eq!(bounds.take("slow", 10_000, now), Ok(()));
        assert!(bounds.take("slow", 1, now).is_err_and(|wait_ms| wait_ms < 30_000));
        assert_eq!(bounds.take("slow", 1, now.plus_ms(-3_600_000)), Ok(()));
    }
}
