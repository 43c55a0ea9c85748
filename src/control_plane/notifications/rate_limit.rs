//! A token bucket: so many in any minute at once, and as many a minute in the long run.

use crate::model::time::EventTime;

/// A minute. Unit: milliseconds.
const MINUTE_MS: i64 = 60_000;

/// The bucket. A token is a minute of parts; `per_minute` parts come back each millisecond.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    per_minute: i64,
    parts: i64,
    at: Option<EventTime>,
}

impl Limit {
    /// A full bucket of `per_minute` tokens.
    pub fn new(per_minute: u32) -> Self {
        let per_minute = i64::from(per_minute);
        Self { per_minute, parts: per_minute * MINUTE_MS, at: None }
    }

    /// Takes a token, if there is one at `now`. A clock that goes back gives none.
    pub fn take(&mut self, now: EventTime) -> bool {
        let passed = self.at.map_or(0, |at| now.ms_since(at)).clamp(0, MINUTE_MS);
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        self.parts = (self.parts + passed * self.per_minute).min(self.per_minute * MINUTE_MS);
        let there = self.parts >= MINUTE_MS;
        if there {
            self.parts -= MINUTE_MS;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::Limit;
    use crate::model::time::EventTime;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_stretch_has_more_than_the_bucket_and_what_came_back(
            per_minute in 1_u32..100,
            steps in proptest::collection::vec(0_i64..5_000, 1..300),
        ) {
            let mut limit = Limit::new(per_minute);
            let (mut now, mut taken) = (0, 0_i64);
            for step in steps {
                now += step;
                taken += i64::from(limit.take(EventTime::from_ms(now)));
                let most = i64::from(per_minute) * (60_000 + now) / 60_000;
                prop_assert!(taken <= most, "{taken} of {most} at {now}");
            }
        }
    }

    #[test]
    fn a_bucket_fills_again_within_a_minute_and_not_from_a_clock_that_goes_back() {
        let mut limit = Limit::new(2);
        let mut take = |ms| limit.take(EventTime::from_ms(ms));
        assert_eq!([take(1_000), take(1_000), take(1_000)], [true, true, false]);
        assert!(!take(500) && !take(1_000));
        assert!(take(31_000) && !take(31_000));
        assert!(take(200_000) && take(200_000) && !take(200_000));
    }
}
