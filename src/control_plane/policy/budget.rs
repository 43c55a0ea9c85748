//! The budget: how many false actions a credential-day may cost, and what the operator's own data
//! prove about it.
//!
//! ```text
//!  own false alarms, all --------------> bound at 95 % <= budget? --> the action is open
//!  tenants that had any, at least 1 --^                    no ------> a milder one instead
//!  hours, a tenant's up to 1 / rate --^
//! ```
//! **No tenant closes or opens an action for others.** A proof is one tenant's: its own
//! false alarms count in full, those of every other tenant as one. So that this proves what it says,
//! the use counts accordingly: at a rate `r` of false actions, other tenants with the use `d` of which
//! at least one is seen to have a false alarm are expected to be `sum(1 - exp(-r d))`, so each adds at
//! most one. The bound is the rate at which own false alarms and such tenants together are expected to
//! be as many as the exact Poisson bound on their number. That is conservative: the number of such tenants
//! is a sum of independent trials, whose lower tail is below that of a Poisson count with the same mean
//! (Hoeffding 1956), at each point one below the mean, and the bound is further up than that.
//!
//! One of the others may be hostile. Its use is not counted: the largest of them is left out. A false
//! alarm of one of them is always assumed, so that the first one to have any takes nothing away from
//! the rest. Where own use alone proves more, as of an operator without tenants, it alone is asked; which
//! is decided by use, not by false alarms, so that it biases nothing. Credentials without a tenant are
//! the operator's own, and count in full for all.
//!
//! **What is bounded**, for one tenant, is the mean number of false actions in a credential-day, if its
//! credentials are no more prone to them than those of the other tenants that it borrows from; with use
//! and false alarms of its own the proof comes to rest on these. It is no bound on the others' mean:
//! a tenant with many false alarms closes the action for itself. Of credentials without a tenant a day
//! with several false actions of a credential counts as one.
//!
//! A suspension needs the rate and the context, and few findings have both. Their rate is bounded
//! twice, and the lower bound holds: directly, by findings that had both; and as the rate of bursts
//! with the rate gate times the probability that a finding has the context. The second is much
//! sooner known, since it learns the context from mild findings too. It rests on strong bursts
//! having the context no more often than mild ones; where the data say otherwise, their own ratio
//! is taken. Two ways share the 5 %, and so do the two factors of the product (Bonferroni), so the
//! lower of both holds at 95 %. A credential counts as if it were mature: it will be.
//!
//! **Does not** hold back a limit that an operator wrote, which is a contract, nor a person, nor an alert.

use super::false_alarms::{Cohort, Counts};
use crate::model::credential::Kind;
use crate::model::finding::Action;
use crate::stats::bound::{poisson_upper, probability_upper};

/// The actions that have a budget, mildest first.
pub const BUDGETED: [Action; 4] =
    [Action::Alert, Action::Throttle, Action::Suspend, Action::Revoke];

/// Steps of Newton's method at most. Chosen: it needs about ten.
const STEPS_MAX: u32 = 200;
/// The relative step at which it has arrived.
const NEAR: f64 = 1e-13;

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

/// The kind of false alarms: bursts that would have justified an action, or everything that
/// would have throttled, the built-in limit included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Bursts that would have justified the action.
    Burst(Action),
    /// Throttles by the limit that no operator wrote down, together with those by bursts: so all
    /// throttles together keep to their budget.
    BuiltInLimit,
}

impl Claim {
    /// Each that has a budget, mildest first.
    pub const ALL: [Self; 5] = [
        Self::Burst(Action::Alert),
        Self::Burst(Action::Throttle),
        Self::BuiltInLimit,
        Self::Burst(Action::Suspend),
        Self::Burst(Action::Revoke),
    ];
}

impl Claim {
    /// The action that it is about.
    pub const fn action(self) -> Action {
        match self {
            Self::Burst(action) => action,
            Self::BuiltInLimit => Action::Throttle,
        }
    }
}

/// A way to a bound that holds at 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Way {
    /// By one count.
    Count,
    /// By one count, which is one of two ways.
    CountOfTwo,
    /// By two factors, which is the other.
    Product,
}

impl Way {
    const ALL: [Self; 3] = [Self::Count, Self::CountOfTwo, Self::Product];

    /// With which certainty each of its counts has to be bounded.
    const fn confidence(self) -> f64 {
        match self {
            Self::Count => 0.95,
            Self::CountOfTwo => 0.975,
            Self::Product => 0.9875,
        }
    }

    /// The bound on a count of it.
    fn at_most(self, count: u64) -> f64 {
        poisson_upper(count, self.confidence())
    }
}

/// The other tenants of which a proof makes use.
#[derive(Clone, Debug, Default, PartialEq)]
struct Others {
    /// The use of each but the largest. Unit: credential-days.
    days: Vec<f64>,
    /// How many tenants had such a false alarm.
    tenants: Counts,
}

/// The proven false actions on the credentials of one kind and tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// The counts of the tenant, and those of credentials without one.
    own: Counts,
    others: Others,
    /// Whether the use of the others helps, by way.
    with_others: [bool; Way::ALL.len()],
    /// The use of all. Unit: credential-days.
    days: f64,
}

/// The proof of each kind, in the order of [`Kind::ALL`].
pub type Proofs = [Proof; Kind::ALL.len()];

impl Proof {
    /// The proof for the credentials of a tenant, or for those without one.
    pub fn of(cohort: &Cohort, tenant: Option<&str>) -> Self {
        let mut own = cohort.untenanted;
        if tenant.is_some() {
            own.add(&cohort.of(tenant));
        }
        let (mut days, mut largest) = (Vec::with_capacity(cohort.tenants.len()), 0.0);
        let mut tenants = cohort.forgotten;
        for (other, counts) in &cohort.tenants {
            if Some(other.as_str()) != tenant {
                tenants.add(&counts.at_most_one());
                let smaller = counts.days().min(largest);
                largest = counts.days().max(largest);
                days.push(smaller);
            }
        }
        days.retain(|days| *days > 0.0);
        let others = Others { days, tenants };
        let days = cohort.days();
        let mut proof = Self { own, others, with_others: Default::default(), days };
        proof.with_others = Way::ALL.map(|way| {
            let [none, one] = [way.at_most(0), way.at_most(1)];
            // A false alarm that is always assumed costs a product twice.
            let costs = if way == Way::Product { one / none } else { 1.0 };
            proof.rate_at(one, true) * costs < proof.rate_at(none, false)
        });
        proof
    }

    fn is_with_others(&self, way: Way) -> bool {
        self.with_others.get(way as usize).copied().unwrap_or(false)
    }

    /// The use of all credentials of the kind. Unit: credential-days, each 24 hours of use.
    pub const fn days(&self) -> f64 {
        self.days
    }

    /// How many other tenants had a false alarm.
    pub fn tenants_with_false_alarms(&self) -> u64 {
        self.others.tenants.open_findings.max(self.others.tenants.throttles)
    }

    /// The false alarms that count, each other tenant's as one.
    pub fn counts(&self) -> Counts {
        let mut counts = self.own;
        if self.is_with_others(Way::Count) {
            counts.add(&self.others.tenants);
        }
        counts
    }

    /// The false alarms of a claim that count.
    pub fn false_alarms(&self, claim: Claim) -> u64 {
        of_claim(&self.counts(), claim)
    }

    /// The proven upper bound on false actions. Unit: per credential-day of use;
    /// infinite where too little was used yet.
    pub fn certified(&self, claim: Claim) -> f64 {
        self.bound(claim, |expected, with_others| self.rate_at(expected, with_others))
    }

    /// Whether the certified bound keeps to the budget, or there is none.
    pub fn opens(&self, claim: Claim, budgets: &Budgets) -> bool {
        budgets.of(claim.action()).is_none_or(|budget| self.certified(claim) <= budget)
    }

    /// The actions that are open for a burst. An action that takes nothing away is.
    pub fn open(&self, budgets: &Budgets) -> Open {
        let opens = |action| self.opens(Claim::Burst(action), budgets);
        Open(Action::ALL.map(|action| !action.is_enforced() || opens(action)))
    }

    /// The actions that are open for the limit that no operator wrote down.
    pub fn open_for_built_in_limit(&self, budgets: &Budgets) -> Open {
        let mut open = Open::NONE;
        if let Some(throttle) = open.0.get_mut(Action::Throttle as usize) {
            *throttle = self.opens(Claim::BuiltInLimit, budgets);
        }
        open
    }

    /// How much longer credentials must be used without a further false alarm until the claim is
    /// open, if all go on as they did. Unit: credential-days of use.
    pub fn days_missing(&self, claim: Claim, budgets: &Budgets) -> f64 {
        let Some(budget) = budgets.of(claim.action()) else { return 0.0 };
        let certified = self.certified(claim);
        let missing = if certified.is_finite() {
            self.days * (certified / budget - 1.0)
        } else {
            self.bound(claim, |expected, _| expected) / budget - self.own.days()
        };
        missing.max(0.0)
    }

    /// The bound on a claim, where `rate` is the rate at which so many false alarms are expected.
    fn bound(&self, claim: Claim, rate: impl Fn(f64, bool) -> f64) -> f64 {
        let direct = |way: Way| {
            let with = self.is_with_others(way);
            rate(way.at_most(self.at_least_one(|counts| of_claim(counts, claim), with)), with)
        };
        match claim {
            Claim::BuiltInLimit
            | Claim::Burst(Action::Observe | Action::Alert | Action::Throttle) => {
                direct(Way::Count)
            }
            Claim::Burst(Action::Suspend | Action::Revoke) => {
                direct(Way::CountOfTwo).min(self.by_context(claim, rate))
            }
        }
    }

    /// Bursts with the rate gate, times the probability of the context that the claim needs.
    fn by_context(&self, claim: Claim, rate: impl Fn(f64, bool) -> f64) -> f64 {
        let with = self.is_with_others(Way::Product);
        let with_context = |counts: &Counts| match claim {
            Claim::Burst(Action::Revoke) => counts.corroborated,
            Claim::Burst(_) | Claim::BuiltInLimit => counts.context,
        };
        let with_context = self.at_least_one(with_context, with);
        // Without the word of one of the others.
        let others = if with { self.others.tenants } else { Counts::default() };
        let trials = self.own.open_findings + others.open_findings.saturating_sub(1);
        let justified = of_claim(&self.own, claim) + of_claim(&others, claim).saturating_sub(1);
        let bursts = self.own.rate + others.rate;
        let of_all = probability_upper(with_context, trials, Way::Product.confidence());
        let of_bursts = justified as f64 / bursts.max(1) as f64;
        let bursts = self.at_least_one(|counts| counts.rate, with);
        rate(Way::Product.at_most(bursts), with) * of_all.max(of_bursts)
    }

    /// Own false alarms, and tenants with some: one of the others is always taken to have some.
    fn at_least_one(&self, count: impl Fn(&Counts) -> u64, with_others: bool) -> u64 {
        let others = if with_others { count(&self.others.tenants).max(1) } else { 0 };
        count(&self.own) + others
    }

    /// The rate at which so many false alarms are expected: own ones, and other tenants with some.
    /// Unit: per credential-day; infinite where no rate would make so many.
    fn rate_at(&self, expected: f64, with_others: bool) -> f64 {
        let own = self.own.days();
        if !with_others {
            return expected / own;
        }
        let others = &self.others.days;
        if own <= 0.0 && expected >= others.len() as f64 {
            return f64::INFINITY;
        }
        // The expectation is concave in the rate, so that Newton's method comes from below.
        let mut rate = expected / (own + others.iter().sum::<f64>());
        for _ in 0..STEPS_MAX {
            let seen = others.iter().fold(own * rate, |sum, days| sum - (-rate * days).exp_m1());
            let slope = others.iter().fold(own, |sum, days| sum + days * (-rate * days).exp());
            let step = (expected - seen) / slope;
            if !step.is_finite() {
                return f64::INFINITY;
            }
            rate += step;
            if step <= NEAR * rate {
                break;
            }
        }
        rate
    }
}

/// The false alarms of a claim.
fn of_claim(counts: &Counts, claim: Claim) -> u64 {
    match claim {
        Claim::Burst(action) => counts.justified(action),
        Claim::BuiltInLimit => counts.throttles,
    }
}

#[cfg(test)]
mod tests {
    use super::{BUDGETED, Budgets, Claim, Open, Proof};
    use crate::control_plane::policy::false_alarms::{Cohort, Counts};
    use crate::model::finding::Action;
    use compact_str::CompactString;
    use proptest::prelude::*;

    fn counts(days: u64, bursts: u64, open_findings: u64, context: u64, both: u64) -> Counts {
        Counts {
            hours: days * 24,
            open_findings,
            rate: bursts,
            context,
            corroborated: context / 2,
            justified: [open_findings, bursts, bursts, both, both / 2],
            throttles: bursts,
        }
    }

    fn without_tenants(untenanted: Counts) -> Cohort {
        Cohort { untenanted, ..Cohort::default() }
    }

    fn fleet(tenants: impl IntoIterator<Item = Counts>) -> Cohort {
        let named = (0..).map(|number: usize| CompactString::from(format!("t{number:05}")));
        Cohort { tenants: named.zip(tenants).collect(), ..Cohort::default() }
    }

    /// A tenant's counts as any use of it can make them.
    fn any_tenant(days_max: u64, alarms_max: u64) -> impl Strategy<Value = Counts> {
        let parts = (0..=alarms_max, 0..=alarms_max, 0..=alarms_max);
        (0..=days_max, parts).prop_map(|(days, (mild, bursts, both))| {
            let both = both.min(bursts);
            counts(days, bursts, mild + bursts, both + mild / 2, both)
        })
    }

    fn most_severe(cohort: &Cohort, tenant: Option<&str>) -> Action {
        Proof::of(cohort, tenant).open(&Budgets::default()).most_severe(Action::Revoke)
    }

    #[test]
    fn no_use_proves_nothing_and_three_thousand_quiet_days_prove_throttling() {
        let budgets = Budgets::default();
        let nothing = Proof::of(&Cohort::default(), None);
        assert_eq!(nothing.open(&budgets), Open::NONE);
        assert_eq!(nothing.open(&Budgets::NONE), Open::ALL);
        let missing = nothing.days_missing(Claim::Burst(Action::Throttle), &budgets);
        assert!((missing - 2995.73).abs() < 0.01, "{missing}");
        let quiet = without_tenants(counts(2996, 0, 0, 0, 0));
        assert_eq!(most_severe(&quiet, None), Action::Throttle);
        assert_eq!(most_severe(&quiet, Some("a new one")), Action::Throttle);
        let limit = Proof::of(&quiet, None).open_for_built_in_limit(&budgets);
        assert_eq!(limit.most_severe(Action::Revoke), Action::Throttle);
    }

    #[test]
    fn the_context_of_mild_open_findings_proves_a_suspension_sooner_than_its_own_count() {
        // A hundred bursts in 100,000 days, none with the context; of 10,000 findings two.
        let proof = Proof::of(&without_tenants(counts(100_000, 100, 10_000, 2, 0)), None);
        let certified = proof.certified(Claim::Burst(Action::Suspend));
        assert!(certified < 1.2e-6, "{certified}");
        assert!(proof.certified(Claim::Burst(Action::Throttle)) > 1e-3);
    }

    #[test]
    fn bursts_that_have_the_context_more_often_than_mild_open_findings_do_are_believed() {
        let proof = Proof::of(&without_tenants(counts(100_000, 10, 100_000, 10, 10)), None);
        assert!(proof.certified(Claim::Burst(Action::Suspend)) >= 10.0 / 100_000.0);
    }

    /// The hostile tenant of today: a cheap account with keys that burst.
    #[test]
    fn bursts_of_one_tenant_close_an_action_for_it_alone() {
        let mut fleet = fleet((0..100).map(|_| counts(60, 0, 0, 0, 0)));
        assert_eq!(most_severe(&fleet, Some("t00001")), Action::Throttle);
        fleet.tenants.insert("hostile".into(), counts(1, 1000, 1000, 1000, 1000));
        assert_eq!(most_severe(&fleet, Some("t00001")), Action::Throttle);
        assert_eq!(most_severe(&fleet, Some("a new one")), Action::Throttle);
        assert_eq!(most_severe(&fleet, None), Action::Throttle);
        assert_eq!(most_severe(&fleet, Some("hostile")), Action::Alert);
    }

    #[test]
    fn quiet_keys_of_one_tenant_open_an_action_for_it_alone() {
        let mut fleet = fleet((0..100).map(|_| counts(1, 0, 0, 0, 0)));
        fleet.tenants.insert("hostile".into(), counts(1_000_000, 0, 0, 0, 0));
        assert_eq!(most_severe(&fleet, Some("t00001")), Action::Alert);
        assert_eq!(most_severe(&fleet, None), Action::Alert);
        assert_eq!(most_severe(&fleet, Some("hostile")), Action::Suspend);
    }

    #[test]
    fn a_limit_that_is_passed_often_closes_itself_and_not_what_bursts_may_do() {
        let mut seen = counts(20_000, 1, 1, 0, 0);
        seen.throttles = 500;
        let proof = Proof::of(&without_tenants(seen), None);
        let budgets = Budgets::default();
        assert_eq!(proof.open(&budgets).most_severe(Action::Throttle), Action::Throttle);
        let limit = proof.open_for_built_in_limit(&budgets);
        assert_eq!(limit.most_severe(Action::Throttle), Action::Alert);
    }

    proptest! {
        #[test]
        fn a_bound_is_never_below_what_was_seen_and_falls_with_use(
            days in 1_u64..10_000_000, bursts in 0_u64..2000, mild in 0_u64..2000,
            context in 0_u64..4000, both in 0_u64..2000, budget in 1e-9_f64..1.0,
        ) {
            let open_findings = bursts + mild;
            let both = both.min(bursts).min(context);
            let context = context.min(open_findings).min(both + mild);
            let seen = counts(days, bursts, open_findings, context, both);
            let longer = Counts { hours: seen.hours * 2, ..seen };
            let [one, longer] = [seen, longer].map(|seen| Proof::of(&without_tenants(seen), None));
            for claim in BUDGETED.map(Claim::Burst) {
                let certified = one.certified(claim);
                prop_assert!(certified * one.days() >= one.false_alarms(claim) as f64);
                prop_assert!(longer.certified(claim) < certified);
                let mut budgets = Budgets::NONE;
                budgets.set(claim.action(), Some(budget));
                let missing = one.days_missing(claim, &budgets);
                prop_assert_eq!(one.opens(claim, &budgets), missing == 0.0);
                #[expect(clippy::cast_possible_truncation, reason = "hours of a few billion years")]
                #[expect(clippy::cast_sign_loss, reason = "positive")]
                let added = (missing * 24.0).ceil() as u64 + 1;
                let later = Counts { hours: seen.hours + added, ..seen };
                prop_assert!(Proof::of(&without_tenants(later), None).opens(claim, &budgets));
            }
        }

        #[test]
        fn one_more_own_false_alarm_never_lowers_a_bound(
            others in prop::collection::vec(any_tenant(20_000, 2), 0..20),
            own in any_tenant(5000, 500),
        ) {
            let more = Counts {
                hours: own.hours,
                open_findings: own.open_findings + 1,
                rate: own.rate + 1,
                context: own.context + 1,
                corroborated: own.corroborated + 1,
                justified: own.justified.map(|count| count + 1),
                throttles: own.throttles + 1,
            };
            let [before, after] = [own, more].map(|own| {
                let mut fleet = fleet(others.clone());
                fleet.tenants.insert("own".into(), own);
                Proof::of(&fleet, Some("own"))
            });
            for claim in Claim::ALL {
                prop_assert!(after.certified(claim) >= before.certified(claim) * (1.0 - 1e-9));
            }
        }
    }
}
