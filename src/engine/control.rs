//! The control plane: one, cold; turns signals, orders of people and the passing of time into
//! decisions.
//!
//! **Invariants.** S-1, S-3, S-5, S-6, S-7 and S-8 are asked of every decision on a finding before
//! it leaves; one that would break them is lowered to alert and counted, and from then on nothing
//! above alert is carried out until a restart: tripline fails towards not revoking. The host makes
//! a decision durable before it carries it out (S-2), and hands it back with [`Control::recover`]
//! after a restart.
//!
//! A restoring person has the last word on what they saw: findings that had opened by then are not
//! acted on again; a later episode is.

use super::partition::Signal;
use super::restraint::Restraint;
use crate::detect::episode::Change;
use crate::judge::allow_list::AllowList;
use crate::judge::breaker::{self, Breaker};
use crate::judge::budget::{Budgets, Ledger};
use crate::judge::fleet;
use crate::judge::posture::Postures;
use crate::judge::verdict::{self, Verdict};
use crate::model::credential::{Credential, Kind};
use crate::model::decision::{
    Decision, DecisionId, Generation, Guardrail, Order, Posture, Standing, Status,
};
use crate::model::finding::{Action, Finding, FindingId};
use crate::model::invariant::{self, Invariant};
use crate::model::time::EventTime;
use compact_str::CompactString;
use hashbrown::HashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who is said to have ordered what no person did.
pub const SELF: &str = "tripline";

/// What the control plane goes by.
#[derive(Clone, Debug)]
pub struct Params {
    /// The gravest action carried out, by tenant and kind.
    pub postures: Postures,
    /// Who never gets more than an alert.
    pub allow_list: AllowList,
    /// How many revocations are allowed.
    pub breaker: breaker::Params,
    /// How many false actions are allowed.
    pub budgets: Budgets,
    /// What is a common cause.
    pub fleet: fleet::Params,
    /// How long a throttling lasts. Unit: milliseconds. Default: 15 min.
    pub throttle_ms: i64,
    /// How long a suspension lasts. Unit: milliseconds. Default: 60 min.
    pub suspend_ms: i64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            postures: Postures::default(),
            allow_list: AllowList::default(),
            breaker: breaker::Params::default(),
            budgets: Budgets::default(),
            fleet: fleet::Params::default(),
            throttle_ms: 15 * 60_000,
            suspend_ms: 60 * 60_000,
        }
    }
}

/// What a person orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonOrder {
    /// Whom it is about.
    pub credential: Credential,
    /// Suspend, revoke or restore; throttle too.
    pub order: Order,
    /// Who orders it.
    pub by: CompactString,
    /// Why.
    pub reason: String,
    /// How long it lasts; none: the default of the action. Unit: milliseconds.
    pub lasts_ms: Option<i64>,
}

/// How long it is remembered that a finding was decided on, should its end never be told.
/// Unit: milliseconds. Chosen: episodes freeze learning for a day at most.
const DECIDED_MS: i64 = 2 * 86_400_000;
/// How much longer than the credential lives its standing is remembered, for late deliveries.
/// Unit: milliseconds. Chosen.
const AFTERLIFE_MS: i64 = 3_600_000;
/// How long it is remembered that a credential is active again; as long as stores remember its
/// generation. Unit: milliseconds.
const ACTIVE_MS: i64 = 30 * 86_400_000;

/// What was already decided on a finding.
#[derive(Clone, Copy, Debug)]
struct Decided {
    finding: FindingId,
    action: Action,
    /// Whether it was held because the past was being read.
    catch_up: bool,
    /// Whether it was held because of a common cause.
    fleet: bool,
    at: EventTime,
}

#[derive(Clone, Debug)]
struct Held {
    standing: Standing,
    by_person: bool,
    /// When it may be forgotten.
    forgets: Option<EventTime>,
}

/// The control plane.
#[derive(Debug)]
pub struct Control {
    params: Arc<Params>,
    held: HashMap<Credential, Held>,
    decided: HashMap<Credential, Vec<Decided>>,
    ends: BTreeSet<(EventTime, Credential)>,
    forgets: BTreeSet<(EventTime, Credential)>,
    breaker: Breaker,
    restraint: Restraint,
    active: u64,
    violations: [u64; Invariant::ALL.len()],
    sweeps_at: EventTime,
}

impl Control {
    /// Nothing stands, nothing is decided.
    pub fn new(params: Arc<Params>) -> Self {
        Self {
            params,
            held: HashMap::new(),
            decided: HashMap::new(),
            ends: BTreeSet::new(),
            forgets: BTreeSet::new(),
            breaker: Breaker::default(),
            restraint: Restraint::default(),
            active: 0,
            violations: [0; Invariant::ALL.len()],
            sweeps_at: EventTime::MIN,
        }
    }

    /// Goes by other parameters from now on.
    pub fn set_params(&mut self, params: Arc<Params>) {
        self.params = params;
    }

    /// Says how many credentials are in use, on which the size of the breaker depends.
    pub const fn set_active(&mut self, credentials: u64) {
        self.active = credentials;
    }

    /// Goes on from a ledger written down before.
    pub fn set_ledger(&mut self, ledger: Ledger) {
        self.restraint.ledger = ledger;
    }

    /// What was counted to prove that actions keep to their budgets.
    pub const fn ledger(&self) -> &Ledger {
        &self.restraint.ledger
    }

    /// What the control plane goes by.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Adds hours in which credentials were used, in the order of [`Kind::ALL`].
    /// Unit: credential-hours.
    pub fn note_active_hours(&mut self, by_kind: &[u64; Kind::ALL.len()]) {
        self.restraint.ledger.add_hours(by_kind);
    }

    /// What stands about a credential, expired or not.
    pub fn standing(&self, credential: &Credential) -> Option<&Standing> {
        self.held.get(credential).map(|held| &held.standing)
    }

    /// How many revocations the breaker has left.
    pub fn breaker_left(&self) -> u64 {
        self.breaker.left(self.active, &self.params.breaker)
    }

    /// How often each invariant would have been broken, in the order of [`Invariant::ALL`].
    pub const fn violations(&self) -> &[u64; Invariant::ALL.len()] {
        &self.violations
    }

    /// When [`Control::tick`] next has something to do.
    pub fn next_deadline(&self) -> Option<EventTime> {
        let first = |set: &BTreeSet<(EventTime, Credential)>| set.first().map(|(at, _)| *at);
        [first(&self.ends), first(&self.forgets)].into_iter().flatten().min()
    }

    /// Takes a signal of the data plane at `now`; decides if there is anything to decide.
    pub fn on_signal(&mut self, signal: &Signal, now: EventTime) -> Option<Decision> {
        let finding = &signal.finding;
        self.restraint.hear(signal, self.active, &self.params.fleet);
        if signal.change == Change::Closed {
            self.forget_decided(&finding.credential, |decided| decided.finding == finding.id);
            return None;
        }
        let wanted = finding.action;
        let nothing_new = self.decided_on(finding).is_some_and(|decided| {
            decided.action >= wanted
                && (!decided.catch_up || signal.catch_up)
                && (!decided.fleet || self.restraint.suppresses(finding))
        });
        if !wanted.is_enforced() || nothing_new || self.is_settled(finding, wanted, now) {
            return None;
        }
        let decision = self.decide(finding, signal.catch_up, now);
        let decided = Decided {
            finding: finding.id,
            action: wanted,
            catch_up: signal.catch_up,
            fleet: decision.held_by.contains(&Guardrail::FleetSuppression),
            at: now,
        };
        self.note_decided(&finding.credential, decided);
        Some(decision)
    }

    fn decided_on(&self, finding: &Finding) -> Option<&Decided> {
        let decided = self.decided.get(&finding.credential)?;
        decided.iter().find(|decided| decided.finding == finding.id)
    }

    fn note_decided(&mut self, credential: &Credential, decided: Decided) {
        self.forget_decided(credential, |before| before.finding == decided.finding);
        self.decided.entry(credential.clone()).or_default().push(decided);
    }

    fn forget_decided(&mut self, credential: &Credential, which: impl Fn(&Decided) -> bool) {
        if let Some(decided) = self.decided.get_mut(credential) {
            decided.retain(|decided| !which(decided));
            if decided.is_empty() {
                self.decided.remove(credential);
            }
        }
    }

    /// Whether a person had the last word on the finding, or as much is already in force.
    fn is_settled(&self, finding: &Finding, wanted: Action, now: EventTime) -> bool {
        let Some(held) = self.held.get(&finding.credential) else {
            return false;
        };
        let standing = &held.standing;
        let restored =
            standing.status == Status::Active && held.by_person && finding.opened <= standing.at;
        let in_force = standing.until.is_none_or(|until| now < until);
        restored || (in_force && Order::Act(wanted).status() <= Some(standing.status))
    }

    fn decide(&mut self, finding: &Finding, catch_up: bool, now: EventTime) -> Decision {
        let params = Arc::clone(&self.params);
        let tenant = finding.tenant.as_ref();
        let name = tenant.map(CompactString::as_str);
        let mut posture = params.postures.of(finding.credential.kind(), name);
        if self.violations.iter().any(|count| *count > 0) {
            posture = posture.min(Posture::Alert);
        }
        let allow_listed = params.allow_list.holds(&finding.credential, name, now);
        let mut granted = false;
        let circumstances = verdict::Circumstances {
            posture,
            catch_up,
            allow_listed,
            fleet_suppressed: self.restraint.suppresses(finding),
            open: self.restraint.open(finding, &params.budgets),
        };
        let verdict = verdict::judge(finding.action, circumstances, || {
            granted = self.breaker.take(tenant, self.active, now, &params.breaker);
            granted
        });
        let generation_before = self.generation(&finding.credential);
        let decision = self.order_of(finding, verdict, posture, now);
        let given = invariant::Circumstances {
            generation_before,
            catch_up,
            allow_listed,
            breaker_granted: granted,
        };
        let decision = match invariant::broken_by(&decision, &given) {
            None => decision,
            Some(invariant) => self.lower(decision, invariant),
        };
        self.hold(&decision, false);
        decision
    }

    fn generation(&self, credential: &Credential) -> Generation {
        self.held.get(credential).map_or(Generation::default(), |held| held.standing.generation)
    }

    fn order_of(
        &self,
        finding: &Finding,
        verdict: Verdict,
        posture: Posture,
        now: EventTime,
    ) -> Decision {
        let before = self.generation(&finding.credential);
        let generation = if verdict.carried_out { before.next() } else { Generation::default() };
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
            held_by: verdict.held_by,
            until: self.until(verdict.action, now),
            at: now,
            // A credential used after its end must be refused for longer than it lives.
            expires: finding.expires.filter(|expires| *expires > now),
            by: CompactString::const_new(SELF),
            reason: finding.summary.clone(),
            evidence: finding.evidence.clone(),
        }
    }

    fn until(&self, action: Action, now: EventTime) -> Option<EventTime> {
        match action {
            Action::Throttle => Some(now.plus_ms(self.params.throttle_ms)),
            Action::Suspend => Some(now.plus_ms(self.params.suspend_ms)),
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

    /// Notes what stands once `decision` is made.
    fn hold(&mut self, decision: &Decision, by_person: bool) {
        let Some(status) = decision.order.status().filter(|_| decision.carried_out) else {
            return;
        };
        let credential = &decision.credential;
        if let Some(before) = self.held.get(credential) {
            if let Some(until) = before.standing.until {
                self.ends.remove(&(until, credential.clone()));
            }
            if let Some(forgets) = before.forgets {
                self.forgets.remove(&(forgets, credential.clone()));
            }
        }
        if let Some(until) = decision.until {
            self.ends.insert((until, credential.clone()));
        }
        let forgets = match status {
            Status::Active => Some(decision.at.plus_ms(ACTIVE_MS)),
            Status::Throttled | Status::Suspended => None,
            Status::Revoked => decision.expires.map(|expires| expires.plus_ms(AFTERLIFE_MS)),
        };
        if let Some(forgets) = forgets {
            self.forgets.insert((forgets, credential.clone()));
        }
        let standing = Standing {
            decision: decision.id,
            status,
            generation: decision.generation,
            until: decision.until,
            finding: decision.finding,
            at: decision.at,
            reason: decision.reason.clone(),
        };
        self.held.insert(credential.clone(), Held { standing, by_person, forgets });
    }

    /// Carries out what a person ordered at `now`; none if it stands already.
    pub fn on_person(&mut self, order: PersonOrder, now: EventTime) -> Option<Decision> {
        let status = order.order.status()?;
        match status {
            // Even where it stands already, it is the person's word.
            Status::Revoked => self.restraint.ledger.confirm(&order.credential, now),
            Status::Active => self.restraint.ledger.retract(&order.credential),
            Status::Throttled | Status::Suspended => {}
        }
        let stands = self
            .held
            .get(&order.credential)
            .is_some_and(|held| held.standing.status == status && held.standing.until.is_none());
        let never_was = !self.held.contains_key(&order.credential) && status == Status::Active;
        if stands || never_was {
            return None;
        }
        let before = self.held.get(&order.credential);
        let finding = before.and_then(|held| held.standing.finding);
        let finding = finding.filter(|_| order.order == Order::Restore);
        let (wanted, until) = match order.order {
            Order::Restore => (Action::Observe, None),
            Order::Act(action) => {
                let until = order.lasts_ms.map(|ms| now.plus_ms(ms));
                (action, until.filter(|_| action < Action::Revoke).or(self.until(action, now)))
            }
        };
        let generation = self.generation(&order.credential).next();
        let decision = Decision {
            id: DecisionId::of(&order.credential, generation, now, (finding, order.order)),
            finding,
            tenant: None,
            generation,
            wanted,
            order: order.order,
            posture: self.params.postures.of(order.credential.kind(), None),
            carried_out: true,
            held_by: Vec::new(),
            until,
            at: now,
            expires: None,
            by: order.by,
            reason: order.reason,
            evidence: Vec::new(),
            credential: order.credential,
        };
        self.hold(&decision, true);
        Some(decision)
    }

    /// Lets time pass: what ends by itself is restored; what outlived its credential is forgotten.
    pub fn tick(&mut self, now: EventTime) -> Vec<Decision> {
        self.breaker.forget(now);
        self.restraint.ledger.forget(now);
        while let Some((at, credential)) = self.forgets.pop_first() {
            if at > now {
                self.forgets.insert((at, credential));
                break;
            }
            self.held.remove(&credential);
        }
        if now >= self.sweeps_at {
            self.sweeps_at = now.plus_ms(3_600_000);
            self.decided.retain(|_, decided| {
                decided.retain(|decided| now.ms_since(decided.at) < DECIDED_MS);
                !decided.is_empty()
            });
        }
        let mut decisions = Vec::new();
        while let Some((until, credential)) = self.ends.pop_first() {
            if until > now {
                self.ends.insert((until, credential));
                break;
            }
            decisions.extend(self.end(credential, now));
        }
        decisions
    }

    fn end(&mut self, credential: Credential, now: EventTime) -> Option<Decision> {
        let standing = self.held.get(&credential)?.standing.clone();
        // Episodes may still run: their next updates are judged anew.
        self.decided.remove(&credential);
        let generation = standing.generation.next();
        let decision = Decision {
            id: DecisionId::of(&credential, generation, now, (None, Order::Restore)),
            finding: None,
            tenant: None,
            generation,
            wanted: Action::Observe,
            order: Order::Restore,
            posture: self.params.postures.of(credential.kind(), None),
            carried_out: true,
            held_by: Vec::new(),
            until: None,
            at: now,
            expires: None,
            by: CompactString::const_new(SELF),
            reason: format!("its time as {} is over", standing.status.as_str()),
            evidence: Vec::new(),
            credential,
        };
        self.hold(&decision, false);
        Some(decision)
    }

    /// Takes back a decision of the journal, in the journal's order, after a restart.
    pub fn recover(&mut self, decision: &Decision) {
        let revokes = decision.order == Order::Act(Action::Revoke);
        if decision.carried_out && revokes && decision.by == SELF {
            self.breaker.note(decision.tenant.as_ref(), decision.at);
        }
        if let Some(finding) = decision.finding.filter(|_| decision.by == SELF) {
            let catch_up = decision.held_by.contains(&Guardrail::CatchUp);
            let fleet = decision.held_by.contains(&Guardrail::FleetSuppression);
            let (action, at) = (decision.wanted, decision.at);
            let decided = Decided { finding, action, catch_up, fleet, at };
            self.note_decided(&decision.credential, decided);
        }
        self.hold(decision, decision.by != SELF);
    }

    /// A store refused `refused` because it holds generation `held`, as when the journal was moved
    /// away or another member decided before: gives the same order above that generation, unless
    /// something newer stands.
    pub fn on_stale(
        &mut self,
        refused: &Decision,
        held: Generation,
        now: EventTime,
    ) -> Option<Decision> {
        let before = self.held.get(&refused.credential)?;
        if before.standing.decision != refused.id || held < refused.generation {
            return None;
        }
        let by_person = before.by_person;
        let generation = held.next();
        let cause = (refused.finding, refused.order);
        let decision = Decision {
            id: DecisionId::of(&refused.credential, generation, now, cause),
            generation,
            at: now,
            ..refused.clone()
        };
        self.hold(&decision, by_person);
        Some(decision)
    }
}
