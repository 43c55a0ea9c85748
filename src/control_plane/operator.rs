//! Orders of operators, and their votes.

use super::approvals::{NoVote, Outcome, PendingApproval};
use super::control::Control;
use super::params::PersonOrder;
use crate::model::credential::Credential;
use crate::model::decision::{
    ApprovalTerms, Decision, DecisionId, EnforcementState, Order, Safeguard, Status, Vote,
};
use crate::model::finding::Action;
use crate::model::time::EventTime;

/// The result of a vote.
#[derive(Clone, Debug, PartialEq)]
pub enum VoteResult {
    /// So many more people have to agree.
    Waits(u8),
    /// It ended the waiting; the suspension ends by itself.
    Rejected,
    /// Enough agreed: this is the revocation.
    Revoked(Box<Decision>),
}

/// Why a person's order is refused: what is in force is more severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is {}, which is more severe than what was ordered, and nothing was changed: restore it first \
     if you mean that, then give the order again",
    .0.as_str()
)]
pub struct LessSevere(pub Status);

impl Control {
    /// The status in force of a credential at `now`; where no decision names it, the store's.
    pub fn in_force(&self, credential: &Credential, store: Status, now: EventTime) -> Status {
        self.states.get(credential).map_or(store, |in_force| in_force.in_force(now))
    }

    /// Returns the voice that an order is: a revocation of what waits for people to agree to its
    /// revocation. None: it is carried out as an order of its own.
    pub fn voice_of(&mut self, order: &PersonOrder, now: EventTime) -> Option<Vote> {
        if order.order != Order::Act(Action::Revoke) {
            return None;
        }
        let decision = self.approvals.of(&order.credential, now)?;
        // Whether others agree or not, it is a person's word.
        self.safeguards.ledger.confirm(&order.credential, now);
        Some(Vote {
            decision,
            agrees: true,
            account: order.account.clone(),
            by: order.by.clone(),
            reason: order.reason.clone(),
            at: now,
        })
    }

    /// Carries out what a person ordered at `now`; none if it stands already, or
    /// waits for others already. Where several people must agree it is a suspension meanwhile, and
    /// [`PersonOrder::vote_on`] is the first voice.
    ///
    /// # Errors
    /// When something more severe is in force: only `restore` takes that back.
    pub fn on_person(
        &mut self,
        order: PersonOrder,
        now: EventTime,
    ) -> Result<Option<Decision>, LessSevere> {
        let Some(status) = order.order.status() else { return Ok(None) };
        let in_force = self.in_force(&order.credential, order.held, now);
        if status != Status::Active && status < in_force {
            return Err(LessSevere(in_force));
        }
        Ok(self.decide_for(order, status, now))
    }

    fn decide_for(
        &mut self,
        order: PersonOrder,
        status: Status,
        now: EventTime,
    ) -> Option<Decision> {
        match status {
            // Even where it stands already, it is the person's word.
            Status::Revoked => self.safeguards.ledger.confirm(&order.credential, now),
            Status::Active => self.safeguards.ledger.retract(&order.credential),
            Status::Throttled | Status::Suspended => {}
        }
        let before = self.states.get(&order.credential);
        let stands = before
            .as_ref()
            .is_some_and(|in_force| in_force.status == status && in_force.until.is_none());
        let never_was =
            before.is_none() && status == Status::Active && order.held == Status::Active;
        let waits = self.approvals.of(&order.credential, now).is_some();
        if stands || never_was || (waits && status == Status::Revoked) {
            return None;
        }
        // It stays out of service for as long as it was to: only `restore` shortens that.
        let lasts = |in_force: &&EnforcementState| waits || in_force.in_force(now) == status;
        let at_least = before.as_ref().filter(lasts).and_then(|in_force| in_force.until);
        let finding = before.and_then(|in_force| in_force.finding);
        let finding = finding.filter(|_| order.order == Order::Restore);
        let alone = self.params.approval.required_approvers <= 1;
        let (ordered, held_by) = match order.order {
            // One of several people who must agree.
            Order::Act(Action::Revoke) if !alone => {
                (Order::Act(Action::Suspend), vec![Safeguard::Approval])
            }
            Order::Act(_) | Order::Restore => (order.order, Vec::new()),
        };
        let (wanted, until) = match order.order {
            Order::Restore => (Action::Observe, None),
            Order::Act(action) => {
                let until = order.lasts_ms.map(|ms| now.plus_ms(ms));
                let by_default = match ordered {
                    Order::Act(ordered) => self.until(ordered, &held_by, now),
                    Order::Restore => None,
                };
                let until = until.filter(|_| action < Action::Revoke).or(by_default);
                (action, until.map(|until| at_least.map_or(until, |least| until.max(least))))
            }
        };
        if ordered == Order::Restore {
            // Findings may still run: once the person's word holds no more they are judged again.
            self.decided.forget_credential(&order.credential);
        }
        let generation = self.states.generation(&order.credential).next();
        let base = self.states.base(&order.credential);
        let decision = Decision {
            id: DecisionId::of(&order.credential, generation, now, (finding, ordered)),
            finding,
            tenant: None,
            generation,
            base,
            origin: None,
            wanted,
            order: ordered,
            mode: self.params.modes.of(order.credential.kind(), None),
            carried_out: true,
            held_by,
            until,
            at: now,
            expires: None,
            by: order.by.clone(),
            reason: order.reason,
            evidence: Vec::new(),
            credential: order.credential,
        };
        self.record(&decision, true);
        Some(decision)
    }

    /// Takes a person's word on a decision that waits; gives the revocation, once enough agreed.
    ///
    /// # Errors
    /// Why it changes nothing.
    pub fn on_vote(&mut self, vote: &Vote) -> Result<VoteResult, NoVote> {
        let waiting = match self.approvals.vote(vote, self.params.operators.as_deref())? {
            Outcome::Waits(missing) => return Ok(VoteResult::Waits(missing)),
            Outcome::Rejected => return Ok(VoteResult::Rejected),
            Outcome::Agreed(waiting) => waiting,
        };
        Ok(VoteResult::Revoked(Box::new(self.agreed(*waiting, vote.at))))
    }

    /// Takes a vote that was given at another instance; gives the revocation where it is this one's to order.
    ///
    /// # Errors
    /// Why it changes nothing, or not yet.
    pub fn on_followed_vote(&mut self, vote: &Vote) -> Result<Option<Decision>, NoVote> {
        let operators = self.params.operators.as_deref();
        let Some(waiting) = self.approvals.on_followed(vote, operators)? else { return Ok(None) };
        let at = waiting.newest_here.as_ref().map_or(vote.at, |(at, _)| *at);
        Ok(Some(self.agreed(*waiting, at)))
    }

    /// Orders a revocation to which enough people agreed.
    fn agreed(&mut self, waiting: PendingApproval, at: EventTime) -> Decision {
        let asked = waiting.decision;
        self.safeguards.ledger.confirm(&asked.credential, at);
        let names: Vec<&str> = waiting.agreed.iter().map(|(_, name)| name.as_str()).collect();
        let generation = self.states.generation(&asked.credential).next();
        let base = self.states.base(&asked.credential);
        let order = Order::Act(Action::Revoke);
        let decision = Decision {
            id: DecisionId::of(&asked.credential, generation, at, (asked.finding, order)),
            generation,
            base,
            origin: None,
            order,
            carried_out: true,
            held_by: Vec::new(),
            until: None,
            at,
            expires: asked.expires.filter(|expires| *expires > at),
            by: names.join(", ").into(),
            ..asked
        };
        self.record(&decision, true);
        decision
    }

    /// Takes back a vote of the journal; the decision that it led to follows it there.
    pub fn recover_vote(&mut self, vote: &Vote) {
        self.approvals.recover(vote);
    }

    /// Takes back the settings under which a decision of the journal began to wait. Older journals lack
    /// them: there the settings of today hold.
    pub fn recover_terms(&mut self, terms: &ApprovalTerms) {
        self.approvals.set_terms(terms);
    }
}
