//! Decisions of other instances: this one follows those that were made in knowledge of its own, and settles
//! by the rule of [`super::merge`] which of two holds that were not.
//!
//! A store that all instances write gives the decisions on a credential one order: it refuses one that was made
//! without knowledge of what it holds. So a conflict is seen by one instance alone, whose decision was
//! refused; that instance settles it, and all follow the outcome.

use super::control::Control;
use super::merge::{self, Contender};
use super::params::{OTHER, SELF};
use crate::model::credential::Credential;
use crate::model::decision::{
    Decision, DecisionId, EnforcementState, Generation, Holding, InstanceId, Order, Provenance,
    Safeguard, Status,
};
use crate::model::finding::Action;
use crate::model::time::EventTime;
use compact_str::CompactString;

impl Control {
    /// A store refused `refused` because it holds another decision, of that or a higher generation, or one
    /// that was not known when it was made. Whichever of the two holds is in force from now on.
    pub fn on_stale(
        &mut self,
        refused: &Decision,
        held: &Holding,
        now: EventTime,
    ) -> Option<Decision> {
        let mine = self.states.get(&refused.credential)?;
        if mine.decision != refused.id {
            return None;
        }
        let theirs = held_contender(held, &mine);
        if merge::prevails(contender(&mine), theirs, now) {
            let decision = if mine.generation > held.generation {
                // The same decision, which knows the store's from now on: a store changes once for it.
                Decision { base: held.generation, ..refused.clone() }
            } else {
                above_both(refused.clone(), &mine, held)
            };
            self.states.record(&decision, mine.by_person);
            self.approvals.on_made_again(refused.id, &decision);
            return Some(decision);
        }
        if held.generation == mine.generation && is_alike(contender(&mine), theirs) {
            // As two instances that judge one finding decide: the store need not change again.
            self.states.know(&refused.credential, held.generation);
            return None;
        }
        if held.generation > mine.generation {
            return Some(self.follow(&refused.credential, held, now));
        }
        // No store takes a decision that is no newer than its own: theirs is made again above both.
        let theirs = self.decision_of(&refused.credential, held, Some(&mine), now);
        let decision = above_both(theirs, &mine, held);
        self.adopt(&decision);
        Some(decision)
    }

    /// A store that all instances write holds a decision, as its change stream or a comparison says. It is
    /// followed if it was made in knowledge of what is in force here. If not, what is in force here still
    /// waits for its delivery: the store will refuse it, and [`Control::on_stale`] settles which holds.
    pub fn on_held(
        &mut self,
        credential: &Credential,
        held: &Holding,
        now: EventTime,
    ) -> Option<Decision> {
        let Some(mine) = self.states.get(credential) else {
            // There is nothing to put back into service.
            let is_news = held.status.is_some_and(|status| status != Status::Active)
                || held.provenance.as_ref().is_some_and(|one| is_person(&one.by));
            return is_news.then(|| self.follow(credential, held, now));
        };
        follows(&mine, held, self.instance).then(|| self.follow(credential, held, now))
    }

    fn follow(&mut self, credential: &Credential, held: &Holding, now: EventTime) -> Decision {
        let mine = self.states.get(credential);
        let decision = self.decision_of(credential, held, mine.as_ref(), now);
        self.adopt(&decision);
        decision
    }

    /// Lets a decision of another instance be in force here.
    fn adopt(&mut self, decision: &Decision) {
        let by_person = is_person(&decision.by);
        match decision.order.status() {
            Some(Status::Revoked) if by_person => {
                self.safeguards.ledger.confirm(&decision.credential, decision.at);
            }
            Some(Status::Active) if by_person => {
                self.safeguards.ledger.retract(&decision.credential);
            }
            Some(_) | None => {}
        }
        self.take_back(decision);
    }

    /// Lets a decision of another instance be in force here, as after a restart.
    pub(super) fn take_back(&mut self, decision: &Decision) {
        if decision.by != OTHER {
            // Findings may still run: their next updates are judged by what is in force now.
            self.decided.forget_credential(&decision.credential);
        }
        self.record(decision, is_person(&decision.by));
    }

    /// The decision that a store holds.
    fn decision_of(
        &self,
        credential: &Credential,
        held: &Holding,
        mine: Option<&EnforcementState>,
        now: EventTime,
    ) -> Decision {
        let status = held.status.or(mine.map(|mine| mine.status)).unwrap_or_default();
        let order = match status {
            Status::Active => Order::Restore,
            Status::Throttled => Order::Act(Action::Throttle),
            Status::Suspended => Order::Act(Action::Suspend),
            Status::Revoked => Order::Act(Action::Revoke),
        };
        let unknown = Provenance {
            by: CompactString::const_new(OTHER),
            at: now,
            until: held.until,
            ..Provenance::default()
        };
        let from = held.provenance.as_deref().unwrap_or(&unknown);
        let waits = from.waits;
        let wanted = match order {
            Order::Act(_) if waits => Action::Revoke,
            Order::Act(action) => action,
            Order::Restore => Action::Observe,
        };
        let reason = if from.reason.is_empty() {
            "known from a store".to_owned()
        } else {
            from.reason.clone()
        };
        let id = DecisionId::of(credential, held.generation, from.at, (held.finding, order));
        Decision {
            id: held.decision.unwrap_or(id),
            finding: held.finding,
            credential: credential.clone(),
            tenant: from.tenant.clone(),
            generation: held.generation,
            base: from.base,
            origin: Some(from.instance),
            wanted,
            order,
            mode: self.params.modes.of(credential.kind(), from.tenant.as_deref()),
            carried_out: true,
            held_by: if waits { vec![Safeguard::Approval] } else { Vec::new() },
            until: from.until,
            at: from.at,
            expires: from.expires.or_else(|| mine.and_then(|mine| mine.expires)),
            by: from.by.clone(),
            reason,
            evidence: Vec::new(),
        }
    }
}

/// Whether `held`, of a store that all instances write, was made in knowledge of `mine` and came after it, so
/// that it is to be followed by the instance `me`.
pub fn follows(mine: &EnforcementState, held: &Holding, me: InstanceId) -> bool {
    let from = held.provenance.as_deref();
    let is_own = from.is_some_and(|from| from.instance == me);
    let before = Generation(held.generation.0.saturating_sub(1));
    let base = from.map_or(before, |from| from.base);
    // The store takes no decision that does not know those it has taken.
    let knew_mine = is_own || mine.is_followed || base >= mine.generation;
    held.decision != Some(mine.decision) && held.generation > mine.generation && knew_mine
}

/// Whether that author is a person.
fn is_person(by: &str) -> bool {
    by != SELF && by != OTHER
}

/// A decision, made again by this instance above what is in force here and what a store holds.
fn above_both(decision: Decision, mine: &EnforcementState, held: &Holding) -> Decision {
    let generation = held.generation.max(mine.generation).next();
    let cause = (decision.finding, decision.order);
    let id = DecisionId::of(&decision.credential, generation, decision.at, cause);
    Decision { id, generation, base: held.generation, origin: None, ..decision }
}

/// Whether tripline decided the same twice.
fn is_alike(mine: Contender, theirs: Contender) -> bool {
    mine.status == theirs.status && !mine.by_person && !theirs.by_person
}

fn contender(mine: &EnforcementState) -> Contender {
    let EnforcementState { status, by_person, until, at, .. } = *mine;
    Contender { status, by_person, until, at }
}

/// A store's entry, as it is compared.
fn held_contender(held: &Holding, mine: &EnforcementState) -> Contender {
    let provenance = held.provenance.as_deref();
    Contender {
        status: held.status.unwrap_or(Status::Active),
        by_person: provenance.is_some_and(|from| is_person(&from.by)),
        until: provenance.map_or(held.until, |from| from.until),
        at: provenance.map_or(mine.at, |from| from.at),
    }
}
