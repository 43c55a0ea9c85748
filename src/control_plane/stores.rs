//! Decisions that a store has and this instance's journal doesn't.

use super::control::Control;
use super::params::{OTHER, SELF};
use crate::model::credential::Credential;
use crate::model::decision::{Decision, DecisionId, Holding, Order, Status};
use crate::model::finding::Action;
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::cmp::Ordering;

impl Control {
    /// A store refused `refused` because it holds another decision of that or a higher generation,
    /// as when the journal was moved away or another instance decided before. A decision of tripline
    /// by itself gives way to what is as severe, and undoes nothing that it did not do; what a person
    /// ordered gives way to what is more severe, unless it is `restore`. Otherwise
    /// gives the same order above that generation, unless something newer stands.
    pub fn on_stale(
        &mut self,
        refused: &Decision,
        held: Holding,
        now: EventTime,
    ) -> Option<Decision> {
        let in_force = self.states.get(&refused.credential)?;
        if in_force.decision != refused.id || held.generation < refused.generation {
            return None;
        }
        let as_grave = held.status.is_some_and(|status| Some(status) >= refused.order.status());
        let gives_way = as_grave || refused.order == Order::Restore;
        let is_milder = refused.order != Order::Restore && held.status > refused.order.status();
        if refused.by == OTHER || is_milder || (refused.by == SELF && gives_way) {
            return self.on_newer(&refused.credential, held, now);
        }
        let generation = held.generation.next();
        let cause = (refused.finding, refused.order);
        let decision = Decision {
            id: DecisionId::of(&refused.credential, generation, now, cause),
            generation,
            at: now,
            ..refused.clone()
        };
        self.states.record(&decision, in_force.by_person);
        Some(decision)
    }

    /// A store holds a newer decision than this journal has: another instance's. It becomes one of
    /// this journal, so that this instance's other stores are notified, and follow it after a restart.
    pub fn on_newer(
        &mut self,
        credential: &Credential,
        held: Holding,
        now: EventTime,
    ) -> Option<Decision> {
        let in_force = self.states.get(credential)?;
        let is_same = held.decision == Some(in_force.decision);
        let is_more_severe = held.status > Some(in_force.in_force(now));
        let generation = match held.generation.cmp(&in_force.generation) {
            Ordering::Greater => held.generation,
            // Two instances decided at once. The more severe decision is made again above both, as no
            // store takes another of the same generation.
            Ordering::Equal if !is_same && is_more_severe => held.generation.next(),
            Ordering::Equal | Ordering::Less => return None,
        };
        let order = match held.status.unwrap_or(in_force.status) {
            Status::Active => Order::Restore,
            Status::Throttled => Order::Act(Action::Throttle),
            Status::Suspended => Order::Act(Action::Suspend),
            Status::Revoked => Order::Act(Action::Revoke),
        };
        let made = DecisionId::of(credential, generation, now, (held.finding, order));
        let id = held.decision.filter(|_| generation == held.generation).unwrap_or(made);
        let wanted = if let Order::Act(action) = order { action } else { Action::Observe };
        let decision = Decision {
            id,
            finding: held.finding,
            credential: credential.clone(),
            tenant: None,
            generation,
            wanted,
            order,
            mode: self.params.modes.of(credential.kind(), None),
            carried_out: true,
            held_by: Vec::new(),
            until: held.until,
            at: now,
            expires: in_force.expires,
            by: CompactString::const_new(OTHER),
            reason: "known from a store".to_owned(),
            evidence: Vec::new(),
        };
        // A person may have ordered it there, or its time was over: a store does not say.
        self.record(&decision, false);
        Some(decision)
    }
}
