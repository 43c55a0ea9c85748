//! The budget: how many false actions a credential-day may cost, and what the operator's own data
//! prove about it.
//!
//! ```text
//!  bursts that ended --> counted by cohort --> bound at 95 % <= budget? --> the action is open
//!  hours of use ------^                                      no --------> a milder one instead
//! ```
//! Every finding of `burst` counts as a false alarm, whatever the mode, unless a person
//! revokes that credential within a day of its beginning. So do open ones once they have ended,
//! so that a finding is judged by what was known before it.
//!
//! A suspension needs the rate and the context, and few findings have both. Their rate is bounded
//! twice, and the lower bound holds: directly, by findings that had both; and as the rate of bursts
//! with the rate gate times the probability that a finding has the context. The second is much
//! sooner known, since it learns the context from mild findings too. It rests on strong bursts
//! having the context no more often than mild ones; where the data say otherwise, their own ratio
//! is taken. Two ways share the 5 %, and so do the two factors of the product (Bonferroni), so the
//! lower of both holds at 95 %. A credential counts as if it were mature: it will be.
//! Source: DETECTION, "The budget is a number that the daemon proves".
//!
//! **Does not** hold back a limit, which is a contract, nor a person, nor an alert.

use crate::model::credential::{Credential, Kind};
use crate::model::finding::{Action, Finding, FindingId, Gate, Gates};
use crate::model::time::EventTime;
use crate::stats::bound::{poisson_upper, probability_upper};
use std::collections::{BTreeMap, VecDeque};

/// The actions that have a budget, mildest first.
pub const BUDGETED: [Action; 4] =
    [Action::Alert, Action::Throttle, Action::Suspend, Action::Revoke];

/// With which certainty a bound of one count holds.
const CONFIDENCE: f64 = 0.95;
/// With which certainty one of two ways to a bound holds.
const CONFIDENCE_OF_TWO: f64 = 0.975;
/// With which certainty one of two factors of one of two ways holds.
const CONFIDENCE_OF_FOUR: f64 = 0.9875;
/// How long after it began a finding can be confirmed. Unit: milliseconds.
const CONFIRMED_WITHIN_MS: i64 = 86_400_000;
/// How many findings wait for a person's word at most; beyond it the oldest stay as counted.
/// Chosen: some tens of megabytes.
const WAITING_MAX: usize = 100_000;

/// Allowed false actions by action. Unit: per credential-day of use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budgets([Option<f64>; Action::ALL.len()]);

impl Default for Budgets {
    /// Alert 0.01, throttle 1e-3, suspend 1e-5, revoke 1e-7.
    fn default() -> Self {
        Self([None, Some(1e-2), Some(1e-3), Some(1e-5), Some(1e-7)])
    }
}

impl Budgets {
    /// No action has a budget: nothing is held back for want of a proof.
    pub const NONE: Self = Self([None; Action::ALL.len()]);

    /// The budget of `action`; none: it is not held back. Unit: per credential-day of use.
    pub fn of(&self, action: Action) -> Option<f64> {
        self.0.get(action as usize).copied().flatten()
    }

    /// Sets what `action` may cost. Range: above 0.
    pub fn set(&mut self, action: Action, budget: Option<f64>) {
        if let Some(slot) = self.0.get_mut(action as usize) {
            *slot = budget;
        }
    }
}

/// The actions that are open, as data for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open([bool; Action::ALL.len()]);

impl Open {
    /// All of them, as for a contract.
    pub const ALL: Self = Self([true; Action::ALL.len()]);
    /// None that takes something away.
    pub const NONE: Self = Self([true, true, false, false, false]);

    /// The most severe that is open and no more severe than `wanted`.
    pub fn most_severe(self, wanted: Action) -> Action {
        let open = |action: &Action| {
            *action <= wanted && self.0.get(*action as usize).copied().unwrap_or(false)
        };
        Action::ALL.into_iter().rev().find(open).unwrap_or(Action::Observe)
    }
}

/// The counts of one cohort: the credentials of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cohort {
    /// Hours in which a credential was used, over all credentials. Unit: credential-hours.
    pub hours: u64,
    /// Findings that ended and that no one confirmed.
    pub open_findings: u64,
    /// Of those: with the rate gate.
    pub rate: u64,
    /// Of those: with the context gate.
    pub context: u64,
    /// Of those: with the context gate and a corroborator.
    pub corroborated: u64,
    /// Of those: would have justified the action, had the credential been mature; by action.
    pub justified: [u64; Action::ALL.len()],
}

impl Cohort {
    /// How long credentials were used. Unit: credential-days, each 24 hours of use.
    pub fn days(&self) -> f64 {
        self.hours as f64 / 24.0
    }

    /// How many findings would have justified `action`.
    pub fn justified(&self, action: Action) -> u64 {
        self.justified.get(action as usize).copied().unwrap_or(0)
    }

    /// The bound on false actions while these credential-days last: the bound on their rate times
    /// the days.
    fn bound_on_count(&self, action: Action) -> f64 {
        let direct = |confidence| poisson_upper(self.justified(action), confidence);
        match action {
            Action::Observe => poisson_upper(self.open_findings, CONFIDENCE),
            Action::Alert | Action::Throttle => direct(CONFIDENCE),
            Action::Suspend => direct(CONFIDENCE_OF_TWO).min(self.by_context(action, self.context)),
            Action::Revoke => {
                direct(CONFIDENCE_OF_TWO).min(self.by_context(action, self.corroborated))
            }
        }
    }

    /// Bursts with the rate gate, times the probability of the context that `action` needs.
    fn by_context(&self, action: Action, with_context: u64) -> f64 {
        let bursts = self.rate;
        let of_all = probability_upper(with_context, self.open_findings, CONFIDENCE_OF_FOUR);
        let of_bursts = self.justified(action) as f64 / bursts.max(1) as f64;
        poisson_upper(bursts, CONFIDENCE_OF_FOUR) * of_all.max(of_bursts)
    }

    /// The proven upper bound on false actions. Unit: per credential-day of use;
    /// infinite where nothing was used yet.
    pub fn certified(&self, action: Action) -> f64 {
        let days = self.days();
        if days > 0.0 { self.bound_on_count(action) / days } else { f64::INFINITY }
    }

    /// Whether the certified bound keeps to the budget, or there is none.
    pub fn opens(&self, action: Action, budgets: &Budgets) -> bool {
        budgets.of(action).is_none_or(|budget| self.certified(action) <= budget)
    }

    /// How much longer credentials must be used without a further false alarm until `action` is
    /// open. Unit: credential-days of use.
    pub fn days_missing(&self, action: Action, budgets: &Budgets) -> f64 {
        let needed = budgets.of(action).map(|budget| self.bound_on_count(action) / budget);
        needed.map_or(0.0, |needed| (needed - self.days()).max(0.0))
    }

    fn count(&mut self, weight: Weight, adds: bool) {
        if !weight.says_something() {
            return;
        }
        let step = |count: &mut u64| {
            *count = if adds { *count + 1 } else { count.saturating_sub(1) };
        };
        step(&mut self.open_findings);
        if weight.gates.has(Gate::Rate) {
            step(&mut self.rate);
        }
        if weight.gates.has(Gate::Context) {
            step(&mut self.context);
            if weight.gates.has(Gate::Corroborated) {
                step(&mut self.corroborated);
            }
        }
        self.justified.iter_mut().take(weight.action as usize + 1).for_each(step);
    }
}

/// A finding's contribution to its cohort.
#[derive(Clone, Copy, Debug)]
struct Weight {
    gates: Gates,
    /// The most severe action that it would have justified, had the credential been mature.
    action: Action,
}

impl Weight {
    /// Whether it says anything of how often an action is false: the mild burst of a young
    /// credential could not have had the context, so a crowd of them must not make that look rare.
    fn says_something(self) -> bool {
        let gated = [Gate::Rate, Gate::Context, Gate::Mature];
        self.action > Action::Observe || gated.into_iter().any(|gate| self.gates.has(gate))
    }

    fn of(finding: &Finding) -> Self {
        let gates = finding.gates;
        let as_if_mature = if !gates.has(Gate::Rate) || !gates.has(Gate::Context) {
            Action::Observe
        } else if !gates.has(Gate::Corroborated) {
            Action::Suspend
        } else {
            Action::Revoke
        };
        Self { gates, action: finding.action.max(as_if_mature) }
    }
}

/// A finding that runs, or on which a person may still have a word.
#[derive(Clone, Copy, Debug)]
struct OpenVerdict {
    id: FindingId,
    opened: EventTime,
    weight: Weight,
    ended: bool,
    confirmed: bool,
}

/// The counts of all cohorts, and the findings that may still change them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    cohorts: [Cohort; Kind::ALL.len()],
    waiting: BTreeMap<Credential, Vec<OpenVerdict>>,
    order: VecDeque<(EventTime, Credential, FindingId)>,
    revision: u64,
}

/// The counts of every kind, in the order of [`Kind::ALL`].
pub type Cohorts = [Cohort; Kind::ALL.len()];

impl Ledger {
    /// A ledger that goes on from counts written down before.
    pub fn of(cohorts: Cohorts) -> Self {
        Self { cohorts, ..Self::default() }
    }

    /// The counts of one cohort.
    pub fn cohort(&self, kind: Kind) -> Cohort {
        self.cohorts.get(kind as usize).copied().unwrap_or_default()
    }

    /// The counts of every cohort.
    pub const fn cohorts(&self) -> &Cohorts {
        &self.cohorts
    }

    /// Rises with every change.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The counts to write down: findings that still run are counted too, as no one will tell of
    /// their end after a restart.
    pub fn to_write_down(&self) -> Cohorts {
        let mut cohorts = self.cohorts;
        for (credential, waiting) in &self.waiting {
            if let Some(cohort) = cohorts.get_mut(credential.kind() as usize) {
                for open_finding in waiting.iter().filter(|one| !one.ended && !one.confirmed) {
                    cohort.count(open_finding.weight, true);
                }
            }
        }
        cohorts
    }

    /// Adds hours in which credentials were used, by kind. Unit: credential-hours.
    pub fn add_hours(&mut self, by_kind: &[u64; Kind::ALL.len()]) {
        for (cohort, hours) in self.cohorts.iter_mut().zip(by_kind) {
            cohort.hours = cohort.hours.saturating_add(*hours);
        }
        self.revision += u64::from(by_kind.iter().any(|hours| *hours > 0));
    }

    /// Hears of a finding of `burst`; `ended`: it is over.
    pub fn on_finding(&mut self, finding: &Finding, ended: bool) {
        let age_ms = finding.updated.ms_since(finding.opened);
        let of_it = self.waiting.entry(finding.credential.clone()).or_default();
        let known = of_it.iter().position(|one| one.id == finding.id);
        if known.is_none() && age_ms >= CONFIRMED_WITHIN_MS {
            // It was counted when its day was over.
            if of_it.is_empty() {
                self.waiting.remove(&finding.credential);
            }
            return;
        }
        let place = known.unwrap_or(of_it.len());
        if known.is_none() {
            let (id, opened) = (finding.id, finding.opened);
            let weight = Weight::of(finding);
            of_it.push(OpenVerdict { id, opened, weight, ended: false, confirmed: false });
            self.order.push_back((opened, finding.credential.clone(), id));
        }
        self.revision += 1;
        if let Some(open_finding) = of_it.get_mut(place).filter(|open_finding| !open_finding.ended)
        {
            open_finding.weight = Weight::of(finding);
            open_finding.ended = ended;
            if ended && !open_finding.confirmed {
                let weight = open_finding.weight;
                self.count(finding.credential.kind(), weight, true);
            }
        }
        while self.order.len() > WAITING_MAX {
            self.forget_oldest();
        }
    }

    fn count(&mut self, kind: Kind, weight: Weight, adds: bool) {
        if let Some(cohort) = self.cohorts.get_mut(kind as usize) {
            cohort.count(weight, adds);
        }
    }

    /// A person revoked the credential at `at`: findings of its that began within the day before
    /// were no false alarms.
    pub fn confirm(&mut self, credential: &Credential, at: EventTime) {
        self.mark(credential, true, |opened| {
            (0..CONFIRMED_WITHIN_MS).contains(&at.ms_since(opened))
        });
    }

    /// A person restored the credential: its findings of the last day were false alarms after all.
    pub fn retract(&mut self, credential: &Credential) {
        self.mark(credential, false, |_| true);
    }

    fn mark(&mut self, credential: &Credential, to: bool, which: impl Fn(EventTime) -> bool) {
        let of_it = self.waiting.get_mut(credential).into_iter().flatten();
        let changed = of_it.filter(|one| one.confirmed != to && which(one.opened));
        let mut ended = Vec::new();
        for open_finding in changed {
            open_finding.confirmed = to;
            if open_finding.ended {
                ended.push(open_finding.weight);
            }
        }
        for weight in ended {
            self.count(credential.kind(), weight, !to);
        }
        self.revision += 1;
    }

    /// Forgets the findings on which no one can have a word any more.
    pub fn forget(&mut self, now: EventTime) {
        while let Some((opened, ..)) = self.order.front()
            && now.ms_since(*opened) >= CONFIRMED_WITHIN_MS
        {
            self.forget_oldest();
        }
    }

    /// A finding that still runs is counted as it is forgotten.
    fn forget_oldest(&mut self) {
        let Some((_, credential, id)) = self.order.pop_front() else { return };
        let Some(of_it) = self.waiting.get_mut(&credential) else { return };
        let Some(place) = of_it.iter().position(|one| one.id == id) else { return };
        let open_finding = of_it.swap_remove(place);
        if of_it.is_empty() {
            self.waiting.remove(&credential);
        }
        if !open_finding.ended && !open_finding.confirmed {
            self.count(credential.kind(), open_finding.weight, true);
            self.revision += 1;
        }
    }

    /// The actions that are open for a credential of that kind. An action that takes nothing away is.
    pub fn open(&self, kind: Kind, budgets: &Budgets) -> Open {
        let cohort = self.cohort(kind);
        Open(Action::ALL.map(|action| !action.is_enforced() || cohort.opens(action, budgets)))
    }
}

#[cfg(test)]
mod tests {
    use super::{BUDGETED, Budgets, Cohort, Ledger, Open};
    use crate::model::credential::{Credential, Kind};
    use crate::model::finding::{Action, Detector, Finding, FindingId, Gate, Gates, Reached};
    use crate::model::time::EventTime;
    use proptest::prelude::*;

    const DAY_MS: i64 = 86_400_000;
    const ALL_GATES: [Gate; 3] = [Gate::Rate, Gate::Context, Gate::Corroborated];

    fn at(ms: i64) -> EventTime {
        EventTime::from_ms(1_700_000_000_000 + ms)
    }

    fn finding(id: &str, opened: i64, gates: &[Gate]) -> Finding {
        let credential = Credential::parse(id).expect("valid");
        Finding {
            id: FindingId::of(&credential, Detector::Burst, at(opened)),
            credential,
            tenant: None,
            detector: Detector::Burst,
            action: Action::Alert,
            opened: at(opened),
            reached: Reached::default(),
            gates: gates.iter().fold(Gates::NONE, |gates, gate| gates.with(*gate, true)),
            updated: at(opened),
            closed: None,
            evidence_nats: 30.0,
            summary: String::new(),
            evidence: Vec::new(),
            expires: None,
        }
    }

    fn counted(ledger: &Ledger) -> (u64, u64, u64, [u64; 5]) {
        let Cohort { open_findings, context, corroborated, justified, .. } =
            ledger.cohort(Kind::ApiKey);
        (open_findings, context, corroborated, justified)
    }

    fn cohort(hours: u64, bursts: u64, open_findings: u64, context: u64, both: u64) -> Cohort {
        Cohort {
            hours,
            open_findings,
            rate: bursts,
            context,
            corroborated: context / 2,
            justified: [open_findings, bursts, bursts, both, both / 2],
        }
    }

    #[test]
    fn an_open_finding_counts_once_and_only_when_it_is_over() {
        let mut ledger = Ledger::default();
        let mild = finding("k", 0, &[]);
        ledger.on_finding(&mild, false);
        assert_eq!(counted(&ledger), (0, 0, 0, [0; 5]));
        assert_eq!(ledger.to_write_down()[0].open_findings, 1, "a restart hears of no end");
        let severe = finding("k", 0, &ALL_GATES);
        ledger.on_finding(&severe, false);
        ledger.on_finding(&severe, true);
        ledger.on_finding(&severe, true);
        assert_eq!(counted(&ledger), (1, 1, 1, [1; 5]));
        assert_eq!(ledger.to_write_down()[0], ledger.cohort(Kind::ApiKey));
    }

    #[test]
    fn what_lacks_maturity_alone_counts_as_what_it_would_have_justified() {
        let mut ledger = Ledger::default();
        ledger.on_finding(&finding("a", 0, &[Gate::Rate]), true);
        ledger.on_finding(&finding("b", 0, &[Gate::Rate, Gate::Context]), true);
        ledger.on_finding(&finding("c", 0, &[Gate::Context, Gate::Corroborated]), true);
        assert_eq!(counted(&ledger), (3, 2, 1, [3, 3, 1, 1, 0]));
        assert_eq!(ledger.cohort(Kind::ApiKey).rate, 2, "a rate alone is counted as one");
    }

    #[test]
    fn a_person_who_revokes_within_a_day_confirms_and_one_who_restores_takes_it_back() {
        let mut ledger = Ledger::default();
        let (early, late) = (finding("k", 0, &[]), finding("k", DAY_MS / 2, &[]));
        ledger.on_finding(&early, true);
        ledger.on_finding(&late, false);
        ledger.on_finding(&finding("other", 0, &[]), true);
        ledger.confirm(&early.credential, at(DAY_MS));
        ledger.on_finding(&late, true);
        assert_eq!(counted(&ledger).0, 2, "the early one was too long ago, the other not meant");
        ledger.confirm(&early.credential, at(DAY_MS - 1));
        assert_eq!(counted(&ledger).0, 1);
        ledger.retract(&early.credential);
        assert_eq!(counted(&ledger).0, 3);
        ledger.forget(at(2 * DAY_MS));
        ledger.confirm(&early.credential, at(DAY_MS - 1));
        assert_eq!(counted(&ledger).0, 3);
    }

    #[test]
    fn an_open_finding_without_an_end_is_counted_when_its_day_is_over() {
        let mut ledger = Ledger::default();
        let mut endless = finding("k", 0, &[Gate::Rate]);
        ledger.on_finding(&endless, false);
        ledger.forget(at(DAY_MS));
        assert_eq!(counted(&ledger).0, 1);
        endless.updated = at(DAY_MS + 1);
        ledger.on_finding(&endless, true);
        assert_eq!(counted(&ledger).0, 1);
    }

    #[test]
    fn an_empty_ledger_proves_nothing_and_three_thousand_quiet_days_prove_throttling() {
        let budgets = Budgets::default();
        let mut ledger = Ledger::default();
        assert_eq!(ledger.open(Kind::ApiKey, &budgets), Open::NONE);
        assert_eq!(ledger.open(Kind::ApiKey, &Budgets::NONE), Open::ALL);
        let missing = ledger.cohort(Kind::ApiKey).days_missing(Action::Throttle, &budgets);
        assert!((missing - 2995.73).abs() < 0.01, "{missing}");
        ledger.add_hours(&[2996 * 24, 0, 0, 0, 0]);
        let open = ledger.open(Kind::ApiKey, &budgets);
        assert_eq!(open.most_severe(Action::Revoke), Action::Throttle);
        assert_eq!(open.most_severe(Action::Alert), Action::Alert);
        assert_eq!(ledger.open(Kind::Session, &budgets), Open::NONE);
    }

    #[test]
    fn the_context_of_mild_open_findings_proves_a_suspension_sooner_than_its_own_count() {
        // A hundred bursts in 100,000 days, none with the context; of 10,000 findings two.
        let cohort = cohort(100_000 * 24, 100, 10_000, 2, 0);
        let certified = cohort.certified(Action::Suspend);
        assert!(certified < 1.2e-6, "{certified}");
        assert!(cohort.certified(Action::Throttle) > 1e-3);
    }

    #[test]
    fn bursts_that_have_the_context_more_often_than_mild_open_findings_do_are_believed() {
        let cohort = cohort(100_000 * 24, 10, 100_000, 10, 10);
        assert!(cohort.certified(Action::Suspend) >= 10.0 / 100_000.0);
    }

    proptest! {
        #[test]
        fn a_bound_is_never_below_what_was_seen_and_falls_with_use(
            hours in 1_u64..1_000_000_000, bursts in 0_u64..2000, mild in 0_u64..2000,
            context in 0_u64..4000, both in 0_u64..2000, budget in 1e-9_f64..1.0,
        ) {
            let open_findings = bursts + mild;
            let both = both.min(bursts).min(context);
            let context = context.min(open_findings).min(both + mild);
            let one = cohort(hours, bursts, open_findings, context, both);
            let longer = Cohort { hours: hours * 2, ..one };
            for action in BUDGETED {
                let certified = one.certified(action);
                prop_assert!(certified * one.days() >= one.justified(action) as f64);
                prop_assert!(longer.certified(action) < certified);
                let mut budgets = Budgets::NONE;
                budgets.set(action, Some(budget));
                let missing = one.days_missing(action, &budgets);
                prop_assert_eq!(one.opens(action, &budgets), missing == 0.0);
                #[expect(clippy::cast_possible_truncation, reason = "hours of a few billion years")]
                #[expect(clippy::cast_sign_loss, reason = "positive")]
                let added = (missing * 24.0).ceil() as u64 + 1;
                let later = Cohort { hours: hours + added, ..one };
                prop_assert!(later.opens(action, &budgets));
            }
        }

        #[test]
        fn one_more_false_alarm_of_the_kind_never_lowers_its_bound(
            bursts in 0_u64..500, mild in 0_u64..500, both in 0_u64..500,
        ) {
            let both = both.min(bursts);
            let mut before = cohort(2400, bursts, bursts + mild, both, both);
            before.corroborated = before.justified[4];
            let mut ledger = Ledger::of([before; 5]);
            ledger.on_finding(&finding("k", 0, &ALL_GATES), true);
            for action in BUDGETED {
                let after = ledger.cohort(Kind::ApiKey).certified(action);
                prop_assert!(after >= before.certified(action));
            }
        }
    }
}
