//! Which partition stalls: there is more to read of it, and for long nothing is read. One that
//! flows says nothing of its neighbour.
//!
//! A consumer that is recreated costs all partitions some seconds. So one that stalls at the same
//! place again, as it holds what can't be read say, is given twice as long each time.

use super::consumer::TopicPartition;
use crate::model::time::EventTime;
use std::collections::BTreeMap;

/// How often the patience with a partition doubles at most: from a minute to an hour.
const DOUBLINGS_MAX: u32 = 6;

/// Since when partitions have not moved.
#[derive(Debug, Default)]
pub(super) struct StallDetector {
    still: BTreeMap<TopicPartition, StalledPartition>,
    /// Where partitions stalled for which the consumer was recreated, and how often.
    before: BTreeMap<TopicPartition, (i64, u32)>,
}

#[derive(Debug)]
struct StalledPartition {
    reached: i64,
    since: EventTime,
}

impl StallDetector {
    /// Notes that a partition is read up to the offset `reached`, and that `left` offsets are left.
    pub(super) fn record(
        &mut self,
        place: TopicPartition,
        reached: i64,
        left: i64,
        now: EventTime,
    ) {
        if self.before.get(&place).is_some_and(|(at, _)| *at < reached) {
            self.before.remove(&place);
        }
        if left == 0 {
            self.still.remove(&place);
        } else if self.still.get(&place).is_none_or(|still| still.reached != reached) {
            self.still.insert(place, StalledPartition { reached, since: now });
        }
    }

    /// Begins to wait again with one of which it is not known whether there is more.
    pub(super) fn forget(&mut self, place: &TopicPartition) {
        self.still.remove(place);
    }

    /// Begins to wait again with those that are not `owned`.
    pub(super) fn retain(&mut self, owned: impl Fn(&TopicPartition) -> bool) {
        self.still.retain(|place, _| owned(place));
    }

    /// Begins to wait again with all, with a new consumer.
    pub(super) fn begin_anew(&mut self) {
        self.still.clear();
    }

    /// One of which nothing was read for `stall_ms` milliseconds, or for longer if a new consumer did
    /// not help before.
    pub(super) fn stalled(&mut self, now: EventTime, stall_ms: i64) -> Option<TopicPartition> {
        let times = |place: &TopicPartition| self.before.get(place).map_or(0, |(_, times)| *times);
        let patience_ms =
            |place: &TopicPartition| stall_ms.saturating_mul(1 << times(place).min(DOUBLINGS_MAX));
        let is_stalled = |(place, still): &(&TopicPartition, &StalledPartition)| {
            now.ms_since(still.since) >= patience_ms(place)
        };
        let place = self.still.iter().find(is_stalled)?.0.clone();
        // The new consumer is one for all that stall.
        let stand = self.still.iter().filter(|(_, still)| now.ms_since(still.since) >= stall_ms);
        let stood = |(place, still): (&TopicPartition, &StalledPartition)| {
            (place.clone(), (still.reached, times(place) + 1))
        };
        let stood: Vec<_> = stand.map(stood).collect();
        self.before.extend(stood);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::{StallDetector, TopicPartition};
    use crate::model::time::EventTime;

    const STALL_MS: i64 = 60_000;

    fn place(partition: i32) -> TopicPartition {
        ("auth".to_owned(), partition)
    }

    fn at(s: i64) -> EventTime {
        EventTime::from_ms(s * 1000)
    }

    #[test]
    fn one_that_stands_still_is_found_beside_others_that_flow() {
        let mut stall_detector = StallDetector::default();
        for s in 0..12 {
            stall_detector.record(place(0), s, 5, at(s * 5));
            stall_detector.record(place(1), 7, 1, at(s * 5));
            assert_eq!(stall_detector.stalled(at(s * 5), STALL_MS), None);
        }
        assert_eq!(stall_detector.stalled(at(60), STALL_MS), Some(place(1)));
        stall_detector.retain(|owned| *owned != place(1));
        assert_eq!(stall_detector.stalled(at(60), STALL_MS), None);
    }

    #[test]
    fn one_that_is_at_its_end_or_moves_again_or_is_not_known_does_not_stand_still() {
        let mut stall_detector = StallDetector::default();
        stall_detector.record(place(0), 7, 1, at(0));
        stall_detector.record(place(0), 8, 0, at(30));
        assert_eq!(stall_detector.stalled(at(90), STALL_MS), None);
        stall_detector.record(place(0), 8, 3, at(90));
        stall_detector.record(place(0), 9, 2, at(140));
        assert_eq!(stall_detector.stalled(at(199), STALL_MS), None);
        stall_detector.forget(&place(0));
        assert_eq!(stall_detector.stalled(at(200), STALL_MS), None);
        stall_detector.record(place(0), 9, 2, at(200));
        assert_eq!(stall_detector.stalled(at(260), STALL_MS), Some(place(0)));
    }

    #[test]
    fn one_new_consumer_is_for_all_that_stand_still() {
        let mut stall_detector = StallDetector::default();
        for partition in 0..50 {
            stall_detector.record(place(partition), 7, 1, at(0));
        }
        assert!(stall_detector.stalled(at(60), STALL_MS).is_some());
        stall_detector.begin_anew();
        for partition in 0..50 {
            stall_detector.record(place(partition), 7, 1, at(60));
        }
        assert_eq!(stall_detector.stalled(at(60 + 119), STALL_MS), None);
        assert!(stall_detector.stalled(at(60 + 120), STALL_MS).is_some());
    }

    #[test]
    fn one_that_no_new_consumer_helps_is_given_twice_as_long_each_time_until_it_moves() {
        let mut stall_detector = StallDetector::default();
        let mut begun = 0;
        for patience in [60, 120, 240, 480, 960, 1920, 3840, 3840] {
            stall_detector.begin_anew();
            stall_detector.record(place(0), 7, 1, at(begun));
            assert_eq!(stall_detector.stalled(at(begun + patience - 1), STALL_MS), None);
            assert_eq!(stall_detector.stalled(at(begun + patience), STALL_MS), Some(place(0)));
            begun += patience;
        }
        stall_detector.begin_anew();
        stall_detector.record(place(0), 0, 1, at(begun));
        assert_eq!(
            stall_detector.stalled(at(begun + 60), STALL_MS),
            None,
            "as a new client may say"
        );
        stall_detector.record(place(0), 8, 1, at(begun));
        assert_eq!(stall_detector.stalled(at(begun + 60), STALL_MS), Some(place(0)));
    }
}
