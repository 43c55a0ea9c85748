//! The control plane: one, cold; turns signals, orders of people and the passing of time into
//! decisions.
//!
//! **Invariants.** S-1, S-3, S-5, S-6, S-7, S-8 and S-9 are asked of every decision on a finding
//! before it leaves; one that would break them is lowered to alert and counted, and from then on
//! nothing above alert is carried out until a restart: tripline fails towards not revoking. The
//! host makes a decision durable before it carries it out (S-2), and hands it back with
//! [`Control::recover`] after a restart.
//!
//! A restoring person has the last word on what they saw: on findings that had opened by then
//! nothing is done for an hour; if they go on for longer, or begin again, they are judged again.

use super::params::OTHER;
use super::params::Params;
use super::params::SELF;

use super::shared_tokens::TokenRequest;

use super::approvals::{self, Approvals, Waiting};
use super::dedup::{DECIDED_MS, Memory, Still};
use super::enforcement_state::Register;
use super::policy::budget::Ledger;
use super::policy::common_cause;
use super::policy::revocation_limit::Breaker;
use super::policy::verdict::{self, Draft, Verdict};
use super::safeguards::Restraint;
use super::shared_tokens::SharedTokens;
use crate::model::credential::{Credential, Kind};
use crate::model::decision::{
    Decision, DecisionId, Generation, Guardrail, Order, Posture, Standing, Status, TokenAnswer,
    TokenGrant,
};
use crate::model::finding::{Action, Detector, Finding, FindingId, Gate};
use crate::model::invariant::{self, Invariant};
use crate::model::signal::{Change, Signal};
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::sync::Arc;

/// The control plane.
#[derive(Debug)]
pub struct Control {
    pub(super) params: Arc<Params>,
    pub(super) register: Register,
    pub(super) decided: Memory,
    pub(super) approvals: Approvals,
    breaker: Breaker,
    shared_tokens: SharedTokens,
    pub(super) restraint: Restraint,
    active: u64,
    /// What other members have in use.
    active_elsewhere: u64,
    violations: [u64; Invariant::ALL.len()],
    started: Option<EventTime>,
}

impl Control {
    /// Nothing stands, nothing is decided.
    pub fn new(params: Arc<Params>) -> Self {
        Self {
            params,
            register: Register::default(),
            decided: Memory::default(),
            approvals: Approvals::default(),
            breaker: Breaker::default(),
            shared_tokens: SharedTokens::default(),
            restraint: Restraint::default(),
            active: 0,
            active_elsewhere: 0,
            violations: [0; Invariant::ALL.len()],
            started: None,
        }
    }

    /// Says when the host began to watch, from which the warm-up counts. A replay has none.
    pub fn set_started(&mut self, at: EventTime) {
        self.started = Some(at);
        self.forget_unasked();
    }

    /// Says how many credentials are in use, on which the size of the breaker depends.
    pub const fn set_active(&mut self, credentials: u64) {
        self.active = credentials;
    }

    /// How many credentials are in use at all members.
    pub const fn active(&self) -> u64 {
        self.active.saturating_add(self.active_elsewhere)
    }

    /// What this member knows of its part of the fleet.
    pub fn summary(&self) -> common_cause::Summary {
        common_cause::Summary { active: self.active, bursts: self.restraint.bursts() }
    }

    /// Takes what the other members know together.
    pub fn set_others(&mut self, others: common_cause::Summary) {
        self.active_elsewhere = others.active;
        let active = self.active();
        self.restraint.hear_elsewhere(others.bursts, active, &self.params.fleet);
    }

    /// Goes on from a ledger written down before.
    pub fn set_ledger(&mut self, ledger: Ledger) {
        self.restraint.ledger = ledger;
    }

    /// What was counted to prove that actions keep to their budgets.
    pub const fn ledger(&self) -> &Ledger {
        &self.restraint.ledger
    }

    /// Goes by other parameters from now on; what stands stays as it was decided, and nothing waits any
    /// more where they ask for no approval.
    pub fn set_params(&mut self, params: Arc<Params>) {
        self.params = params;
        self.forget_unasked();
    }

    fn forget_unasked(&mut self) {
        if self.params.approval.people == 0 {
            self.approvals.clear();
        }
    }

    /// Parameters of the control plane.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Adds hours in which credentials were used, in the order of [`Kind::ALL`].
    /// Unit: credential-hours.
    pub fn note_active_hours(&mut self, by_kind: &[u64; Kind::ALL.len()]) {
        self.restraint.ledger.add_hours(by_kind);
    }

    /// What stands about a credential, expired or not.
    pub fn standing(&self, credential: &Credential) -> Option<Standing> {
        self.register.get(credential)
    }

    /// What stands about all credentials.
    pub const fn register(&self) -> &Register {
        &self.register
    }

    /// What waits for people.
    pub const fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// The revocations that wait for people at `now`, oldest first.
    pub fn waiting(&self, now: EventTime) -> Vec<Waiting> {
        self.approvals.waiting(now, self.params.operators.as_deref())
    }

    /// How many revocations the breaker has left.
    pub fn breaker_left(&self) -> u64 {
        self.breaker.left(self.active(), &self.params.breaker)
    }

    /// How often each invariant would have been broken, in the order of [`Invariant::ALL`].
    pub const fn violations(&self) -> &[u64; Invariant::ALL.len()] {
        &self.violations
    }

    /// When [`Control::tick`] next has something to do.
    pub fn next_deadline(&self) -> Option<EventTime> {
        [self.register.next_deadline(), self.shared_tokens.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes a signal of the data plane at `now`; decides if there is anything to decide. Where all
    /// members share a breaker a revocation waits for [`Control::on_token`]: the host sends
    /// [`Control::take_token_requests`].
    pub fn on_signal(&mut self, signal: &Signal, now: EventTime) -> Option<Decision> {
        let finding = &signal.finding;
        let active = self.active();
        self.restraint.hear(signal, active, &self.params.fleet);
        if signal.change == Change::Closed {
            self.decided.forget_finding(&finding.credential, finding.id);
            if let Some(pending) = self.shared_tokens.of(finding.id) {
                pending.closed = true;
            }
            return None;
        }
        if let Some(pending) = self.shared_tokens.of(finding.id) {
            pending.signal = signal.clone();
            return None;
        }
        let draft = self.draft_of(signal, now)?;
        if draft.needs_token() && self.params.breaker.shared && !self.shared_tokens.is_silent(now) {
            let params = self.params.breaker;
            let tenant = finding.tenant.as_ref();
            if self.breaker.try_acquire(tenant, (active, now), &params) {
                self.shared_tokens.request(signal, params.allowed(active), now);
                return None;
            }
        }
        // Members that share no breaker need no token but their own.
        let granted = !self.params.breaker.shared;
        Some(self.decide(signal, draft, now, granted))
    }

    /// Takes the answer to a request for a token of the shared breaker; decides on its finding, as
    /// things are by then.
    pub fn on_token(&mut self, answer: &TokenAnswer) -> Option<Decision> {
        let pending = self.shared_tokens.end(answer)?;
        let (signal, now) = (&pending.signal, answer.at);
        self.breaker.give_back(pending.tenant.as_ref(), pending.asked);
        let draft = self.draft_of(signal, now)?;
        let decision = self.decide(signal, draft, now, answer.grant == TokenGrant::Granted);
        if pending.closed {
            self.decided.forget_finding(&signal.finding.credential, signal.finding.id);
        }
        Some(decision)
    }

    /// Takes the requests for tokens of the shared breaker that the host has to send.
    pub fn take_token_requests(&mut self) -> Vec<TokenRequest> {
        self.shared_tokens.take_requests()
    }

    /// Whether the revocation of a finding waits for a token of the shared breaker.
    pub fn is_pending(&self, finding: FindingId) -> bool {
        self.shared_tokens.is_pending(finding)
    }

    /// Returns the verdict up to the breaker; none where nothing is to be decided.
    fn draft_of(&self, signal: &Signal, now: EventTime) -> Option<Draft> {
        let finding = &signal.finding;
        let still = Still {
            catch_up: signal.catch_up,
            fleet: self.restraint.suppresses(finding),
            warm_up: self.is_warming_up(now),
        };
        let nothing_new = self.decided.covers(finding, still, signal.again);
        let decides =
            finding.action.is_enforced() && !nothing_new && !self.is_settled(finding, now);
        decides.then(|| verdict::draft(finding.action, self.circumstances(finding, still, now)))
    }

    fn is_warming_up(&self, now: EventTime) -> bool {
        self.started.is_some_and(|started| now.ms_since(started) < self.params.warm_up_ms)
    }

    /// Whether a person had the last word on the finding, or as much is already in force.
    fn is_settled(&self, finding: &Finding, now: EventTime) -> bool {
        let Some(standing) = self.register.get(&finding.credential) else {
            return false;
        };
        let restored = standing.status == Status::Active
            && standing.by_person
            && finding.opened <= standing.at
            && now.ms_since(standing.at) < self.params.restored_ms;
        restored || Order::Act(finding.action).status() <= Some(standing.in_force(now))
    }

    /// Decides by a draft; `granted` says whether all members together grant the token it may need.
    fn decide(&mut self, signal: &Signal, draft: Draft, now: EventTime, granted: bool) -> Decision {
        let finding = &signal.finding;
        let tenant = finding.tenant.as_ref();
        let given = *draft.circumstances();
        let generation_before = self.register.generation(&finding.credential);
        let active = self.active();
        let granted = granted
            && draft.needs_token()
            && self.breaker.try_acquire(tenant, (active, now), &self.params.breaker);
        let verdict = self.lower_nothing(&finding.credential, draft.conclude(granted), now);
        let decision = self.order_of(finding, verdict, given.posture, now);
        let given = invariant::Circumstances {
            generation_before,
            catch_up: given.catch_up,
            allow_listed: given.allow_listed,
            breaker_granted: granted,
            mature: given.mature,
        };
        let decision = match invariant::broken_by(&decision, &given) {
            None => decision,
            Some(invariant) => self.lower(decision, invariant),
        };
        self.note(&decision, false);
        self.decided.note(finding.id, &decision);
        decision
    }

    /// A verdict that guardrails made milder than what is in force is not carried out.
    fn lower_nothing(&self, credential: &Credential, verdict: Verdict, now: EventTime) -> Verdict {
        let in_force = self.in_force(credential, Status::Active, now);
        let is_milder = Order::Act(verdict.action).status() < Some(in_force);
        Verdict { carried_out: verdict.carried_out && !is_milder, ..verdict }
    }

    fn circumstances(
        &self,
        finding: &Finding,
        still: Still,
        now: EventTime,
    ) -> verdict::Circumstances {
        let params = &self.params;
        let tenant = finding.tenant.as_deref();
        let mut posture = params.postures.of(finding.credential.kind(), tenant);
        if self.violations.iter().any(|count| *count > 0) {
            posture = posture.min(Posture::Alert);
        }
        // A ceiling is a contract: it holds from the first second.
        let contract = finding.detector == Detector::Ceiling;
        verdict::Circumstances {
            posture,
            catch_up: still.catch_up,
            allow_listed: params.allow_list.holds(&finding.credential, tenant, now),
            fleet_suppressed: still.fleet,
            mature: contract || finding.gates.has(Gate::Mature),
            warming_up: still.warm_up && !contract,
            open: self.restraint.open(finding, &params.budgets),
            needs_approval: params.approval.people > 0,
        }
    }

    fn order_of(
        &self,
        finding: &Finding,
        verdict: Verdict,
        posture: Posture,
        now: EventTime,
    ) -> Decision {
        let before = self.register.generation(&finding.credential);
        let generation = if verdict.carried_out { before.next() } else { Generation::default() };
        let until = self.until(verdict.action, &verdict.held_by, now);
        // It ends no earlier than what is in force.
        let standing = self.register.get(&finding.credential);
        let standing =
            standing.filter(|one| Some(one.status) == Order::Act(verdict.action).status());
        let at_least = standing.and_then(|standing| standing.until);
        Decision {
            id: DecisionId::of(
                &finding.credential,
                before.next(),
                now,
                (Some(finding.id), Order::Act(verdict.action)),
            ),
            finding: Some(finding.id),
            credential: finding.credential.clone(),
            tenant: finding.tenant.clone(),
            generation,
            wanted: finding.action,
            order: Order::Act(verdict.action),
            posture,
            carried_out: verdict.carried_out,
            until: until.map(|until| at_least.map_or(until, |least| until.max(least))),
            held_by: verdict.held_by,
            at: now,
            // A credential used after its end must be refused for longer than it lives.
            expires: finding.expires.filter(|expires| *expires > now),
            by: CompactString::const_new(SELF),
            reason: finding.summary.clone(),
            evidence: finding.evidence.clone(),
        }
    }

    /// When an action ends by itself. What waits for people lasts for as long as they may take.
    pub(super) fn until(
        &self,
        action: Action,
        held_by: &[Guardrail],
        now: EventTime,
    ) -> Option<EventTime> {
        let waits = held_by.contains(&Guardrail::Approval);
        let within_ms = if waits { self.params.approval.within_ms } else { 0 };
        match action {
            Action::Throttle => Some(now.plus_ms(self.params.throttle_ms)),
            Action::Suspend => Some(now.plus_ms(self.params.suspend_ms.max(within_ms))),
            Action::Observe | Action::Alert | Action::Revoke => None,
        }
    }

    /// A broken invariant is a fault of tripline's own: it fails towards not acting.
    fn lower(&mut self, decision: Decision, invariant: Invariant) -> Decision {
        let index = Invariant::ALL.iter().position(|one| *one == invariant);
        if let Some(count) = index.and_then(|index| self.violations.get_mut(index)) {
            *count += 1;
        }
        let mut held_by = decision.held_by;
        held_by.push(Guardrail::Invariant);
        Decision {
            generation: Generation::default(),
            order: Order::Act(Action::Alert),
            carried_out: false,
            until: None,
            held_by,
            ..decision
        }
    }

    /// Notes what stands once `decision` is made, and what waits for people.
    pub(super) fn note(&mut self, decision: &Decision, by_person: bool) {
        if decision.carried_out {
            // A suspension of whatever length answers no question about a revocation.
            if matches!(decision.order.status(), Some(Status::Active | Status::Revoked)) {
                self.approvals.drop_of(&decision.credential);
            }
            self.register.note(decision, by_person);
        }
        if decision.held_by.contains(&Guardrail::Approval) {
            self.approvals.drop_of(&decision.credential);
            let approvals::Params { people, within_ms } = self.params.approval;
            let until = decision.at.plus_ms(within_ms);
            let agreed = Vec::new();
            let waiting = Waiting { decision: decision.clone(), people, until, agreed };
            self.approvals.wait(waiting, by_person);
        }
    }

    /// Lets time pass: what ends by itself is restored; what outlived its credential is forgotten.
    pub fn tick(&mut self, now: EventTime) -> Vec<Decision> {
        self.breaker.forget(now);
        self.restraint.ledger.forget(now);
        self.register.forget(now);
        self.approvals.forget(now);
        self.decided.sweep(now);
        let mut decisions = Vec::new();
        while let Some(none_came) = self.shared_tokens.overdue(now) {
            decisions.extend(self.on_token(&none_came));
        }
        while let Some(standing) = self.register.pop_ended(now) {
            decisions.push(self.end(standing, now));
        }
        decisions
    }

    fn end(&mut self, standing: Standing, now: EventTime) -> Decision {
        // Episodes may still run: their next updates are judged again.
        self.decided.forget_credential(&standing.credential);
        let generation = standing.generation.next();
        let decision = Decision {
            id: DecisionId::of(&standing.credential, generation, now, (None, Order::Restore)),
            finding: None,
            tenant: None,
            generation,
            wanted: Action::Observe,
            order: Order::Restore,
            posture: self.params.postures.of(standing.credential.kind(), None),
            carried_out: true,
            held_by: Vec::new(),
            until: None,
            at: now,
            expires: None,
            by: CompactString::const_new(SELF),
            reason: format!("its time as {} is over", standing.status.as_str()),
            evidence: Vec::new(),
            credential: standing.credential,
        };
        // People may still agree to what waits.
        self.register.note(&decision, false);
        decision
    }

    /// Takes back a decision of the journal, in the journal's order, after a restart at `now`.
    pub fn recover(&mut self, decision: &Decision, now: EventTime) {
        let own = decision.by == SELF;
        let revokes = decision.order == Order::Act(Action::Revoke);
        if decision.carried_out && revokes && own {
            self.breaker.note(decision.tenant.as_ref(), decision.at);
        }
        let recent = now.ms_since(decision.at) < DECIDED_MS;
        if let Some(finding) = decision.finding.filter(|_| own && recent) {
            self.decided.note(finding, decision);
        }
        let restores = decision.order == Order::Restore;
        if restores {
            self.decided.forget_credential(&decision.credential);
        }
        if own && restores {
            self.register.note(decision, false);
        } else {
            self.note(decision, !own && decision.by != OTHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Control;
    use crate::control_plane::params::Params;
    use crate::control_plane::policy::mode::Postures;
    use crate::model::credential::Credential;
    use crate::model::decision::Posture;
    use crate::model::finding::{Action, Detector, Finding, FindingId, Gates, Measure, Reached};
    use crate::model::invariant::Invariant;
    use crate::model::signal::{Change, Exposure, Signal};
    use crate::model::time::EventTime;
    use std::sync::Arc;

    fn revocation(now: EventTime) -> Signal {
        let credential = Credential::parse("k").expect("valid");
        let finding = Finding {
            id: FindingId::of(&credential, Detector::Ceiling, now),
            credential,
            tenant: None,
            detector: Detector::Ceiling,
            action: Action::Revoke,
            opened: now,
            reached: Reached::default(),
            gates: Gates::default(),
            updated: now,
            closed: None,
            evidence_nats: 700.0,
            summary: String::new(),
            evidence: vec![Measure::new("count", 1.0)],
            expires: None,
        };
        Signal {
            finding,
            change: Change::Opened,
            catch_up: false,
            again: false,
            seen: Exposure::default(),
        }
    }

    #[test]
    fn after_one_broken_invariant_nothing_above_an_alert_is_carried_out() {
        let postures = Postures { default: Posture::Revoke, ..Postures::default() };
        let params = Arc::new(Params { postures, ..Params::default() });
        let now = EventTime::from_ms(0);
        let before = Control::new(Arc::clone(&params)).on_signal(&revocation(now), now);
        let before = before.expect("decided");
        let mut control = Control::new(params);
        assert!(before.carried_out);
        control.lower(before, Invariant::CatchUpHolds);
        let after = control.on_signal(&revocation(now), now).expect("decided");
        assert_eq!((after.carried_out, after.posture), (false, Posture::Alert));
        assert_eq!(control.violations().iter().sum::<u64>(), 1, "and it is counted");
    }
}
