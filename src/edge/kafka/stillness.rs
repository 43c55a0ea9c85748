//! Which partition stands still: there is more to read of it, and for long nothing is read. One that
//! flows says nothing of its neighbour.

use super::Place;
use crate::model::time::EventTime;
use std::collections::BTreeMap;

/// Since when the partitions of a consumer have not moved.
#[derive(Debug, Default)]
pub(super) struct Stillness {
    still: BTreeMap<Place, Still>,
}

#[derive(Debug)]
struct Still {
    reached: i64,
    since: EventTime,
}

impl Stillness {
    /// Notes that a partition is read up to the offset `reached`, and that `left` offsets are left.
    pub(super) fn note(&mut self, place: Place, reached: i64, left: i64, now: EventTime) {
        if left == 0 {
            self.still.remove(&place);
        } else if self.still.get(&place).is_none_or(|still| still.reached != reached) {
            self.still.insert(place, Still { reached, since: now });
        }
    }

    /// Forgets those that are not `owned` any more.
    pub(super) fn retain(&mut self, owned: impl Fn(&Place) -> bool) {
        self.still.retain(|place, _| owned(place));
    }

    /// One of which nothing was read for `stall_ms` milliseconds.
    pub(super) fn stalled(&self, now: EventTime, stall_ms: i64) -> Option<&Place> {
        self.still
            .iter()
            .find(|(_, still)| now.ms_since(still.since) >= stall_ms)
            .map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Stillness};
    use crate::model::time::EventTime;

    fn place(partition: i32) -> Place {
        ("auth".to_owned(), partition)
    }

    fn at(s: i64) -> EventTime {
        EventTime::from_ms(s * 1000)
    }

    #[test]
    fn one_that_stands_still_is_found_beside_others_that_flow() {
        let mut stillness = Stillness::default();
        for s in 0..12 {
            stillness.note(place(0), s, 5, at(s * 5));
            stillness.note(place(1), 7, 1, at(s * 5));
            assert_eq!(stillness.stalled(at(s * 5), 60_000), None);
        }
        assert_eq!(stillness.stalled(at(60), 60_000), Some(&place(1)));
        stillness.retain(|owned| *owned != place(1));
        assert_eq!(stillness.stalled(at(60), 60_000), None);
    }

    #[test]
    fn one_that_is_at_its_end_or_moves_again_does_not_stand_still() {
        let mut stillness = Stillness::default();
        stillness.note(place(0), 7, 1, at(0));
        stillness.note(place(0), 8, 0, at(30));
        assert_eq!(stillness.stalled(at(90), 60_000), None);
        stillness.note(place(0), 8, 3, at(90));
        stillness.note(place(0), 9, 2, at(140));
        assert_eq!(stillness.stalled(at(199), 60_000), None);
        assert_eq!(stillness.stalled(at(200), 60_000), Some(&place(0)));
    }
}
