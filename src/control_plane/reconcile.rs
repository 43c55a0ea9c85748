//! Reconciliation: the journal is the truth; what a store lacks or contradicts is reported again.

use super::stores::follows;
use crate::model::decision::{EnforcementState, Holding, InstanceId, Status};
use crate::model::time::EventTime;

/// How a store compares with the enforcement state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It believes what it should.
    Agrees,
    /// It lacks the decision, or believes something else: it must be reported again.
    Lacks,
    /// It holds a newer decision than stands here: another instance's.
    Newer,
}

/// Compares the enforcement state of the instance `me` with what a store holds, at `now`.
pub fn compare(
    in_force: &EnforcementState,
    held: Option<&Holding>,
    (me, now): (InstanceId, EventTime),
) -> Comparison {
    // An action that is over is about to be restored.
    if in_force.until.is_some_and(|until| until <= now) {
        return Comparison::Agrees;
    }
    // A store may have forgotten an action that has ended by itself.
    if in_force.expires.is_some_and(|expires| expires <= now) {
        return Comparison::Agrees;
    }
    match held {
        // A store that knows nothing lets pass, as it should.
        None if in_force.status == Status::Active => Comparison::Agrees,
        None => Comparison::Lacks,
        Some(held) if held.generation < in_force.generation => Comparison::Lacks,
        // A decision has one generation: someone else changed the entry.
        Some(held)
            if held.decision == Some(in_force.decision)
                && held.generation > in_force.generation =>
        {
            Comparison::Lacks
        }
        // One that does not know what is in force here refuses it, and then it is settled which holds.
        Some(held) if held.generation > in_force.generation => {
            if follows(in_force, held, me) {
                Comparison::Newer
            } else {
                Comparison::Lacks
            }
        }
        Some(held) if held.status.is_some_and(|status| status != in_force.status) => {
            Comparison::Lacks
        }
        // Stores keep whole seconds.
        Some(held)
            if held
                .until
                .is_some_and(|until| Some(second(until)) != in_force.until.map(second)) =>
        {
            Comparison::Lacks
        }
        Some(_) => Comparison::Agrees,
    }
}

fn second(time: EventTime) -> i64 {
    time.ms().div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::{Comparison, compare};
    use crate::model::credential::Credential;
    use crate::model::decision::{
        DecisionId, EnforcementState, Generation, Holding, InstanceId, Order, Status,
    };
    use crate::model::time::EventTime;

    fn in_force(status: Status, generation: u64, until: Option<i64>) -> EnforcementState {
        let credential = Credential::parse("k").expect("valid");
        let at = EventTime::from_ms(0);
        EnforcementState {
            decision: DecisionId::of(&credential, Generation(1), at, (None, Order::Restore)),
            credential,
            status,
            generation: Generation(generation),
            base: Generation(0),
            is_followed: false,
            until: until.map(EventTime::from_ms),
            expires: None,
            finding: None,
            at,
            by_person: false,
        }
    }

    fn held(generation: u64, status: Option<Status>) -> Holding {
        Holding { status, ..Holding::from(Generation(generation)) }
    }

    #[test]
    fn what_a_store_lacks_or_contradicts_is_told_again_and_what_is_newer_is_left() {
        let revoked = in_force(Status::Revoked, 5, None);
        let now = EventTime::from_ms(100);
        let of =
            |held: Option<Holding>| compare(&revoked, held.as_ref(), (InstanceId::default(), now));
        assert_eq!(of(None), Comparison::Lacks);
        assert_eq!(of(Some(held(4, Some(Status::Revoked)))), Comparison::Lacks);
        assert_eq!(of(Some(held(5, Some(Status::Active)))), Comparison::Lacks);
        assert_eq!(of(Some(held(5, None))), Comparison::Agrees);
        assert_eq!(of(Some(held(5, Some(Status::Revoked)))), Comparison::Agrees);
        assert_eq!(of(Some(held(6, Some(Status::Active)))), Comparison::Newer);
    }

    #[test]
    fn a_decision_of_this_journal_with_another_generation_or_end_was_changed_by_somebody_else() {
        let suspended = in_force(Status::Suspended, 5, Some(9_500));
        let now = EventTime::from_ms(100);
        let own = |generation: u64, until: i64| {
            let held = held(generation, Some(Status::Suspended));
            let until = Some(EventTime::from_ms(until));
            Holding { decision: Some(suspended.decision), until, ..held }
        };
        let of = |held: &Holding| compare(&suspended, Some(held), (InstanceId::default(), now));
        assert_eq!(of(&own(5, 9_000)), Comparison::Agrees, "the store keeps whole seconds");
        assert_eq!(of(&own(999, 9_000)), Comparison::Lacks);
        assert_eq!(of(&own(5, 1_000)), Comparison::Lacks);
        let other = DecisionId::parse("d_0000000000000001");
        let other = Holding { decision: other, ..own(999, 9_000) };
        assert_eq!(of(&other), Comparison::Newer);
    }

    #[test]
    fn what_is_over_or_active_needs_no_telling_unless_the_store_is_behind() {
        let now = EventTime::from_ms(100);
        let over = in_force(Status::Suspended, 1, Some(100));
        assert_eq!(compare(&over, None, (InstanceId::default(), now)), Comparison::Agrees);
        let revoked = in_force(Status::Revoked, 1, None);
        let expired = EnforcementState { expires: Some(now), ..revoked.clone() };
        assert_eq!(compare(&expired, None, (InstanceId::default(), now)), Comparison::Agrees);
        let living = EnforcementState { expires: Some(now.plus_ms(1)), ..revoked };
        assert_eq!(compare(&living, None, (InstanceId::default(), now)), Comparison::Lacks);
        let active = in_force(Status::Active, 2, None);
        assert_eq!(compare(&active, None, (InstanceId::default(), now)), Comparison::Agrees);
        let behind = held(1, Some(Status::Revoked));
        assert_eq!(
            compare(&active, Some(&behind), (InstanceId::default(), now)),
            Comparison::Lacks
        );
    }
}
