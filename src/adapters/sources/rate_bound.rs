//! The rate at which each source may take events, so that none takes the place of the others.
//!
//! Source: the generic cell rate algorithm, with a burst of two seconds. More than that in one batch is taken, and
//! paid for by those that follow: no batch is too large to be ever taken.

use crate::model::time::EventTime;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

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
    account: Mutex<Account>,
}

/// Events that were taken and are not paid for yet.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Unit: microseconds that it takes at the rate.
    debt: i64,
    /// When that was so. Unit: microseconds since 1970.
    at: i64,
}

impl Account {
    /// As it is at `now`. A clock that was set back pays nothing, and owes no more.
    fn at(self, now: EventTime) -> Self {
        let now = now.ms().saturating_mul(1_000);
        let passed = (now - self.at).max(0);
        Self { debt: (self.debt - passed).max(0), at: now }
    }
}

impl RateBounds {
    /// Bounds by source. Unit: events a minute.
    pub fn new(bounds: &BTreeMap<String, u32>) -> Self {
        let bound = |(name, per_min): (&String, &u32)| {
            (name.clone(), RateBound { per_min: *per_min, account: Mutex::default() })
        };
        Self(bounds.iter().map(bound).collect())
    }

    /// How long a source has to wait until it may take more; none where it may now.
    pub fn wait(&self, source: &str, now: EventTime) -> Option<Duration> {
        let bound = self.0.get(source)?;
        let account = bound.account.lock().at(now);
        let over = account.debt - BURST_US;
        (over > 0).then(|| Duration::from_micros(u64::try_from(over).unwrap_or(0)))
    }

    /// A source took events at `now`.
    pub fn charge(&self, source: &str, events: usize, now: EventTime) {
        let Some(bound) = self.0.get(source) else { return };
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        let cost = events.saturating_mul(MINUTE_US) / i64::from(bound.per_min.max(1));
        let mut account = bound.account.lock();
        *account = account.at(now);
        account.debt = account.debt.saturating_add(cost);
    }
}

#[cfg(test)]
mod tests {
    use super::{EventTime, RateBounds};
    use std::collections::BTreeMap;
    use std::time::Duration;

    const START_MS: i64 = 1_800_000_000_000;

    fn bounds() -> RateBounds {
        RateBounds::new(&BTreeMap::from([("slow".to_owned(), 6_000)]))
    }

    /// How many events are taken within so many minutes, in batches of that size, each as soon as it may.
    fn taken(batch: usize, minutes: i64) -> usize {
        let bounds = bounds();
        let (mut now_ms, mut events) = (START_MS, 0);
        while now_ms < START_MS + minutes * 60_000 {
            let now = EventTime::from_ms(now_ms);
            if let Some(wait) = bounds.wait("slow", now) {
                now_ms += i64::try_from(wait.as_millis()).expect("short") + 1;
            } else {
                bounds.charge("slow", batch, now);
                events += batch;
            }
        }
        events
    }

    #[test]
    fn a_source_takes_its_rate_and_two_seconds_of_it_at_once_whatever_the_batches() {
        for batch in [1, 10, 500, 20_000] {
            let events = taken(batch, 60);
            assert!((360_000..=360_200 + batch).contains(&events), "{batch}: {events}");
        }
    }

    #[test]
    fn others_are_not_bound_and_a_clock_that_steps_back_adds_nothing() {
        let (bounds, now) = (bounds(), EventTime::from_ms(START_MS));
        bounds.charge("other", 1 << 30, now);
        assert_eq!(bounds.wait("other", now), None);
        bounds.charge("slow", 600, now);
        let wait = Some(Duration::from_secs(4));
        assert_eq!(bounds.wait("slow", now), wait);
        assert_eq!(bounds.wait("slow", now.plus_ms(-3_600_000)), wait);
    }
}
