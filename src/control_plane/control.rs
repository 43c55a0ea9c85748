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

use super::approvals::{self, Approvals, PendingApproval};
use super::dedup::{DECIDED_MS, Memory, SafeguardState};
use super::enforcement_state::EnforcementTable;
use super::params::{OTHER, Params, SELF};
use super::policy::common_cause;
use super::policy::ledger::Ledger;
use super::policy::revocation_limit::RevocationLimit;
use super::policy::verdict::{self, Draft, Verdict};
use super::safeguards::Safeguards;
use super::shared_tokens::{SharedTokens, TokenRequest};
use crate::model::credential::Credential;
use crate::model::decision::{
    Decision, DecisionId, EnforcementState, Generation, InstanceId, Mode, Order, Safeguard, Status,
    TokenAnswer, TokenGrant,
};
use crate::model::finding::{Action, Finding, FindingId, Gate};
use crate::model::invariant::{self, Invariant};
use crate::model::signal::{Change, HoursOfUse, Signal};
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::sync::Arc;

/// The control plane.
#[derive(Debug)]
pub struct Control {
    pub(super) params: Arc<Params>,
    pub(super) states: EnforcementTable,
    pub(super) decided: Memory,
    pub(super) approvals: Approvals,
    revocation_limit: RevocationLimit,
    shared_tokens: SharedTokens,
    pub(super) safeguards: Safeguards,
    pub(super) instance: InstanceId,
    active: u64,
    /// The usage of other instances.
    active_elsewhere: u64,
    violations: [u64; Invariant::ALL.len()],
    started: Option<EventTime>,
}

impl Control {
    /// Nothing stands, nothing is decided.
    pub fn new(params: Arc<Params>) -> Self {
        Self {
            params,
            states: EnforcementTable::default(),
            decided: Memory::default(),
            approvals: Approvals::default(),
            revocation_limit: RevocationLimit::default(),
            shared_tokens: SharedTokens::default(),
            safeguards: Safeguards::default(),
            instance: InstanceId::default(),
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

    /// Says which instance it is, by which it knows its own decisions at a store.
    pub const fn set_instance(&mut self, instance: InstanceId) {
        self.instance = instance;
    }

    /// Says how many credentials are in use, on which the size of the revocation limit depends.
    pub const fn set_active(&mut self, credentials: u64) {
        self.active = credentials;
    }

    /// How many credentials are in use at all instances.
    pub const fn active(&self) -> u64 {
        self.active.saturating_add(self.active_elsewhere)
    }

    /// The summary of this instance's part of the fleet.
    pub fn summary(&self) -> common_cause::Summary {
        common_cause::Summary { active: self.active, bursts: self.safeguards.bursts() }
    }

    /// Takes what the other instances know together.
    pub fn set_others(&mut self, others: common_cause::Summary) {
        self.active_elsewhere = others.active;
        let active = self.active();
        self.safeguards.on_other_instances(others.bursts, active, &self.params.common_cause);
    }

    /// Goes on from a ledger written down before.
    pub fn set_ledger(&mut self, ledger: Ledger) {
        self.safeguards.ledger = ledger;
    }

    /// The counts that prove that actions keep to their budgets.
    pub const fn ledger(&self) -> &Ledger {
        &self.safeguards.ledger
    }

    /// Goes by other parameters from now on; the enforcement state stays as it was decided, and nothing waits any
    /// more where they ask for no approval.
    pub fn set_params(&mut self, params: Arc<Params>) {
        self.params = params;
        self.forget_unasked();
    }

    fn forget_unasked(&mut self) {
        if self.params.approval.required_approvers == 0 {
            self.approvals.clear();
        }
    }

    /// Parameters of the control plane.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Adds hours in which credentials were used.
    pub fn note_active_hours(&mut self, hours: &HoursOfUse) {
        self.safeguards.ledger.add_hours(hours);
    }

    /// The enforcement state of a credential, expired or not.
    pub fn enforcement_state(&self, credential: &Credential) -> Option<EnforcementState> {
        self.states.get(credential)
    }

    /// The enforcement states of all credentials.
    pub const fn states(&self) -> &EnforcementTable {
        &self.states
    }

    /// The pending approvals.
    pub const fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// The revocations that wait for people at `now`, oldest first.
    pub fn waiting(&self, now: EventTime) -> Vec<PendingApproval> {
        self.approvals.waiting(now, self.params.operators.as_deref())
    }

    /// How many revocations the revocation limit has left.
    pub fn revocations_left(&self) -> u64 {
        self.revocation_limit.left(self.active(), &self.params.revocation_limit)
    }

    /// How often each invariant would have been broken, in the order of [`Invariant::ALL`].
    pub const fn violations(&self) -> &[u64; Invariant::ALL.len()] {
        &self.violations
    }

    /// When [`Control::tick`] next has something to do.
    pub fn next_deadline(&self) -> Option<EventTime> {
        [self.states.next_deadline(), self.shared_tokens.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes a signal of the data plane at `now`; decides if there is anything to decide. Where all
    /// instances share a revocation limit a revocation waits for [`Control::on_token`]: the host sends
    /// [`Control::take_token_requests`].
    pub fn on_signal(&mut self, signal: &Signal, now: EventTime) -> Option<Decision> {
        let finding = &signal.finding;
        let active = self.active();
        self.safeguards.on_signal(signal, active, &self.params.common_cause);
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
        if draft.needs_token()
            && self.params.revocation_limit.shared
            && !self.shared_tokens.is_silent(now)
        {
            let params = self.params.revocation_limit;
            let tenant = finding.tenant.as_ref();
            if self.revocation_limit.try_acquire(tenant, (active, now), &params) {
                self.shared_tokens.request(signal, params.allowed(active), now);
                return None;
            }
        }
        // Instances that share no revocation limit need no token but their own.
        let granted = !self.params.revocation_limit.shared;
        Some(self.decide(signal, draft, now, granted))
    }

    /// Takes the answer to a request for a token of the shared revocation limit; decides on its finding, as
    /// things are by then.
    pub fn on_token(&mut self, answer: &TokenAnswer) -> Option<Decision> {
        let pending = self.shared_tokens.end(answer)?;
        let (signal, now) = (&pending.signal, answer.at);
        self.revocation_limit.give_back(pending.tenant.as_ref(), pending.asked);
        let draft = self.draft_of(signal, now)?;
        let decision = self.decide(signal, draft, now, answer.grant == TokenGrant::Granted);
        if pending.closed {
            self.decided.forget_finding(&signal.finding.credential, signal.finding.id);
        }
        Some(decision)
    }

    /// Takes the requests for tokens of the shared revocation limit that the host has to send.
    pub fn take_token_requests(&mut self) -> Vec<TokenRequest> {
        self.shared_tokens.take_requests()
    }

    /// Whether the revocation of a finding waits for a token of the shared revocation limit.
    pub fn is_pending(&self, finding: FindingId) -> bool {
        self.shared_tokens.is_pending(finding)
    }

    /// Returns the verdict up to the revocation limit; none where nothing is to be decided.
    fn draft_of(&self, signal: &Signal, now: EventTime) -> Option<Draft> {
        let finding = &signal.finding;
        let still = SafeguardState {
            catch_up: signal.catch_up,
            fleet: self.safeguards.suppresses(finding),
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
        let Some(in_force) = self.states.get(&finding.credential) else {
            return false;
        };
        let restored = in_force.status == Status::Active
            && in_force.by_person
            && finding.opened <= in_force.at
            && now.ms_since(in_force.at) < self.params.restored_ms;
        restored || Order::Act(finding.action).status() <= Some(in_force.in_force(now))
    }

    /// Decides by a draft; `granted` says whether all instances together grant the token it may need.
    fn decide(&mut self, signal: &Signal, draft: Draft, now: EventTime, granted: bool) -> Decision {
        let finding = &signal.finding;
        let tenant = finding.tenant.as_ref();
        let given = *draft.circumstances();
        let generation_before = self.states.generation(&finding.credential);
        let active = self.active();
        let granted = granted
            && draft.needs_token()
            && self.revocation_limit.try_acquire(
                tenant,
                (active, now),
                &self.params.revocation_limit,
            );
        let verdict = self.lower_nothing(&finding.credential, draft.conclude(granted), now);
        let decision = self.order_of(finding, verdict, given.mode, now);
        let given = invariant::Circumstances {
            generation_before,
            catch_up: given.catch_up,
            allow_listed: given.allow_listed,
            revocation_limit_granted: granted,
            mature: given.mature,
        };
        let decision = match invariant::broken_by(&decision, &given) {
            None => decision,
            Some(invariant) => self.lower(decision, invariant),
        };
        self.record(&decision, false);
        self.decided.record(finding.id, &decision);
        decision
    }

    /// A verdict that safeguards made milder than what is in force is not carried out.
    fn lower_nothing(&self, credential: &Credential, verdict: Verdict, now: EventTime) -> Verdict {
        let in_force = self.in_force(credential, Status::Active, now);
        let is_milder = Order::Act(verdict.action).status() < Some(in_force);
        Verdict { carried_out: verdict.carried_out && !is_milder, ..verdict }
    }

    fn circumstances(
        &self,
        finding: &Finding,
        still: SafeguardState,
        now: EventTime,
    ) -> verdict::Circumstances {
        let params = &self.params;
        let tenant = finding.tenant.as_deref();
        let mut mode = params.modes.of(finding.credential.kind(), tenant);
        if self.violations.iter().any(|count| *count > 0) {
            mode = mode.min(Mode::Alert);
        }
        // It holds from the first second.
        let contract = finding.needs_no_proof();
        verdict::Circumstances {
            mode,
            catch_up: still.catch_up,
            allow_listed: params.allow_list.holds(&finding.credential, tenant, now),
            fleet_suppressed: still.fleet,
            mature: contract || finding.gates.has(Gate::Mature),
            warming_up: still.warm_up && !contract,
            open: self.safeguards.open(finding, &params.budgets),
            needs_approval: params.approval.required_approvers > 0,
        }
    }

    fn order_of(
        &self,
        finding: &Finding,
        verdict: Verdict,
        mode: Mode,
        now: EventTime,
    ) -> Decision {
        let before = self.states.generation(&finding.credential);
        let generation = if verdict.carried_out { before.next() } else { Generation::default() };
        let until = self.until(verdict.action, &verdict.held_by, now);
        // It ends no earlier than what is in force.
        let in_force = self.states.get(&finding.credential);
        let in_force =
            in_force.filter(|one| Some(one.status) == Order::Act(verdict.action).status());
        let at_least = in_force.and_then(|in_force| in_force.until);
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
            base: self.states.base(&finding.credential),
            origin: None,
            wanted: finding.action,
            order: Order::Act(verdict.action),
            mode,
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

    /// When an action ends by itself. A pending approval lasts for the time that people have.
    pub(super) fn until(
        &self,
        action: Action,
        held_by: &[Safeguard],
        now: EventTime,
    ) -> Option<EventTime> {
        let waits = held_by.contains(&Safeguard::Approval);
        let within_ms = if waits { self.params.approval.timeout_ms } else { 0 };
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
        held_by.push(Safeguard::Invariant);
        Decision {
            generation: Generation::default(),
            order: Order::Act(Action::Alert),
            carried_out: false,
            until: None,
            held_by,
            ..decision
        }
    }

    /// Notes the enforcement state once `decision` is made, and what waits for people.
    pub(super) fn record(&mut self, decision: &Decision, by_person: bool) {
        if decision.carried_out {
            // A suspension of whatever length answers no question about a revocation.
            if matches!(decision.order.status(), Some(Status::Active | Status::Revoked)) {
                self.approvals.drop_of(&decision.credential);
            }
            self.states.record(decision, by_person);
        }
        if decision.held_by.contains(&Safeguard::Approval) {
            self.approvals.drop_of(&decision.credential);
            let approvals::Params { required_approvers, timeout_ms } = self.params.approval;
            let waiting = PendingApproval {
                decision: decision.clone(),
                people: required_approvers,
                until: decision.at.plus_ms(timeout_ms),
                agreed: Vec::new(),
                newest_here: None,
            };
            self.approvals.wait(waiting, by_person);
        }
    }

    /// Lets time pass: what ends by itself is restored; what outlived its credential is forgotten.
    pub fn tick(&mut self, now: EventTime) -> Vec<Decision> {
        self.revocation_limit.forget(now);
        self.safeguards.ledger.forget(now);
        self.states.forget(now);
        self.approvals.forget(now);
        self.decided.sweep(now);
        let mut decisions = Vec::new();
        while let Some(none_came) = self.shared_tokens.overdue(now) {
            decisions.extend(self.on_token(&none_came));
        }
        while let Some(in_force) = self.states.pop_ended(now) {
            decisions.push(self.end(in_force, now));
        }
        decisions
    }

    fn end(&mut self, in_force: EnforcementState, now: EventTime) -> Decision {
        // Findings may still run: their next updates are judged again.
        self.decided.forget_credential(&in_force.credential);
        let generation = in_force.generation.next();
        let over = in_force.until.unwrap_or(now);
        let decision = Decision {
            // Of its time, not of now: all instances that end it make one decision.
            id: DecisionId::of(&in_force.credential, generation, over, (None, Order::Restore)),
            finding: None,
            tenant: None,
            generation,
            base: in_force.known(),
            origin: None,
            wanted: Action::Observe,
            order: Order::Restore,
            mode: self.params.modes.of(in_force.credential.kind(), None),
            carried_out: true,
            held_by: Vec::new(),
            until: None,
            at: now,
            expires: None,
            by: CompactString::const_new(SELF),
            reason: format!("its time as {} is over", in_force.status.as_str()),
            evidence: Vec::new(),
            credential: in_force.credential,
        };
        // People may still agree to what waits.
        self.states.record(&decision, false);
        decision
    }

    /// Takes back a decision of the journal, in the journal's order, after a restart at `now`.
    pub fn recover(&mut self, decision: &Decision, now: EventTime) {
        if decision.origin.is_some() {
            self.take_back(decision);
            return;
        }
        let own = decision.by == SELF;
        let revokes = decision.order == Order::Act(Action::Revoke);
        if decision.carried_out && revokes && own {
            self.revocation_limit.record(decision.tenant.as_ref(), decision.at);
        }
        let recent = now.ms_since(decision.at) < DECIDED_MS;
        if let Some(finding) = decision.finding.filter(|_| own && recent) {
            self.decided.record(finding, decision);
        }
        let restores = decision.order == Order::Restore;
        if restores {
            self.decided.forget_credential(&decision.credential);
        }
        if own && restores {
            self.states.record(decision, false);
        } else {
            self.record(decision, !own && decision.by != OTHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Control;
    use crate::control_plane::params::Params;
    use crate::control_plane::policy::mode::Modes;
    use crate::model::credential::Credential;
    use crate::model::decision::Mode;
    use crate::model::finding::{Action, Detector, Finding, FindingId, Gates, Measure, Reached};
    use crate::model::invariant::Invariant;
    use crate::model::signal::{Change, Exposure, Signal};
    use crate::model::time::EventTime;
    use std::sync::Arc;

    fn revocation(now: EventTime) -> Signal {
        let credential = Credential::parse("k").expect("valid");
        let finding = Finding {
            id: FindingId::of(&credential, Detector::Limit, now),
            credential,
            tenant: None,
            detector: Detector::Limit,
            action: Action::Revoke,
            opened: now,
            reached: Reached::default(),
            gates: Gates::default(),
            updated: now,
            closed: None,
            evidence_nats: 700.0,
            summary: String::new(),
            evidence: vec![Measure::new("count", 1.0)],
            place: None,
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
        let modes = Modes { default: Mode::Revoke, ..Modes::default() };
        let params = Arc::new(Params { modes, ..Params::default() });
        let now = EventTime::from_ms(0);
        let before = Control::new(Arc::clone(&params)).on_signal(&revocation(now), now);
        let before = before.expect("decided");
        let mut control = Control::new(params);
        assert!(before.carried_out);
        control.lower(before, Invariant::CatchUpHolds);
        let after = control.on_signal(&revocation(now), now).expect("decided");
        assert_eq!((after.carried_out, after.mode), (false, Mode::Alert));
        assert_eq!(control.violations().iter().sum::<u64>(), 1, "and it is counted");
    }
}
