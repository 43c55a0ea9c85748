//! Which of two decisions on one credential holds, where two instances made them without knowledge of each
//! other.
//!
//! The rule, in its order:
//! 1. An end (the time of an action is over) holds against nothing.
//! 2. A person's `restore` holds against all that tripline decided by itself; against what another person
//!    ordered the later one holds.
//! 3. Of two actions the more severe holds, a person's or not: as at one instance, which refuses an order that
//!    is milder than what is in force.
//! 4. Of two alike, a person's holds against tripline's; of two people's the one that lasts longer, then the later
//!    one; of two of tripline's the one that the store has.
//!
//! **Does not** apply where one was made in knowledge of the other: then the later one holds.

use crate::model::decision::Status;
use crate::model::time::EventTime;

/// A decision, as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// The status that it leads to.
    pub status: Status,
    /// Whether a person ordered it.
    pub by_person: bool,
    /// When it ends by itself.
    pub until: Option<EventTime>,
    /// When it was made.
    pub at: EventTime,
}

/// Stands for what is not compared.
const NEVER: (i64, EventTime) = (0, EventTime::from_ms(0));

/// The part of a decision that the rule follows.
enum Claim {
    Ended,
    Restored(EventTime),
    Acts { status: Status, by_person: bool, until_ms: i64, at: EventTime },
}

impl Contender {
    fn claim(self, now: EventTime) -> Claim {
        let Self { status, by_person, until, at } = self;
        if until.is_some_and(|until| until <= now) {
            return Claim::Ended;
        }
        match status {
            Status::Active if by_person => Claim::Restored(at),
            Status::Active => Claim::Ended,
            Status::Throttled | Status::Suspended | Status::Revoked => Claim::Acts {
                status,
                by_person,
                until_ms: until.map_or(i64::MAX, EventTime::ms),
                at,
            },
        }
    }
}

/// Whether `one` holds against `other` at `now`. Of two that are equal neither does.
pub fn prevails(one: Contender, other: Contender, now: EventTime) -> bool {
    match (one.claim(now), other.claim(now)) {
        (Claim::Ended, _) => false,
        (_, Claim::Ended) => true,
        (Claim::Restored(at), Claim::Restored(then)) => at > then,
        (Claim::Restored(at), Claim::Acts { by_person, at: then, .. }) => !by_person || at > then,
        (Claim::Acts { by_person, at, .. }, Claim::Restored(then)) => by_person && at >= then,
        (
            Claim::Acts { status, by_person, until_ms, at },
            Claim::Acts { status: status2, by_person: by_person2, until_ms: until2, at: at2 },
        ) => {
            let lasts = |until_ms, at| if by_person && by_person2 { (until_ms, at) } else { NEVER };
            (status, by_person, lasts(until_ms, at)) > (status2, by_person2, lasts(until2, at2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Contender, prevails};
    use crate::model::decision::Status;
    use crate::model::time::EventTime;
    use proptest::prelude::*;

    const NOW: EventTime = EventTime::from_ms(100);

    fn of(status: Status, by_person: bool, until: Option<i64>, at: i64) -> Contender {
        let until = until.map(EventTime::from_ms);
        Contender { status, by_person, until, at: EventTime::from_ms(at) }
    }

    #[test]
    fn a_persons_restore_holds_against_tripline_and_against_earlier_people() {
        let restore = of(Status::Active, true, None, 50);
        assert!(prevails(restore, of(Status::Revoked, false, None, 90), NOW));
        assert!(prevails(restore, of(Status::Revoked, true, None, 40), NOW));
        assert!(!prevails(restore, of(Status::Suspended, true, None, 60), NOW));
    }

    #[test]
    fn an_end_holds_against_nothing_and_what_has_ended_against_nothing_either() {
        let end = of(Status::Active, false, None, 99);
        let over = of(Status::Suspended, true, Some(100), 10);
        for other in [of(Status::Throttled, false, None, 1), of(Status::Active, true, None, 1)] {
            assert!(!prevails(end, other, NOW) && prevails(other, end, NOW));
            assert!(!prevails(over, other, NOW) && prevails(other, over, NOW));
        }
    }

    #[test]
    fn of_two_actions_the_more_severe_holds_then_a_persons_then_the_longer() {
        let ordered = [
            of(Status::Throttled, true, None, 99),
            of(Status::Suspended, false, Some(500), 99),
            of(Status::Suspended, true, Some(300), 1),
            of(Status::Suspended, true, None, 1),
            of(Status::Revoked, false, None, 1),
            of(Status::Revoked, true, None, 1),
        ];
        for pair in ordered.windows(2) {
            assert!(
                prevails(pair[1], pair[0], NOW) && !prevails(pair[0], pair[1], NOW),
                "{pair:?}"
            );
        }
    }

    #[test]
    fn of_two_alike_of_triplines_own_neither_holds_so_that_the_store_changes_once() {
        let one = of(Status::Suspended, false, Some(500), 99);
        let other = of(Status::Suspended, false, Some(600), 1);
        assert!(!prevails(one, other, NOW) && !prevails(other, one, NOW));
    }

    fn contender() -> impl Strategy<Value = Contender> {
        (0_usize..4, any::<bool>(), prop::option::of(50_i64..200), 0_i64..100).prop_map(
            |(status, by_person, until, at)| {
                let until = until.filter(|_| status > 0);
                of(Status::ALL[status], by_person, until, at)
            },
        )
    }

    proptest! {
        #[test]
        fn of_two_at_most_one_holds_and_only_those_alike_tie(one in contender(), other in contender()) {
            let both = [prevails(one, other, NOW), prevails(other, one, NOW)];
            prop_assert_ne!(both, [true, true]);
            let ended = |it: &Contender| {
                it.until.is_some_and(|until| until <= NOW) || (it.status == Status::Active && !it.by_person)
            };
            if both == [false, false] {
                let is_alike = one.status == other.status && !(one.by_person || other.by_person);
                prop_assert!(one == other || is_alike || (ended(&one) && ended(&other)));
            }
        }
    }
}
