//! False alarms and hours of use, counted by kind and by tenant.
//!
//! ```text
//!  a finding that ended --> weight --> counts of its tenant, or of all credentials without one
//!  an hour of use -------------------> the same
//! ```
//! The tenants are bounded. When there are too many, the one with the fewest hours goes, those without a
//! false alarm first: its hours prove nothing any more, and others still count that it had some.
//!
//! **Does not** know what the counts prove.

use crate::model::credential::Kind;
use crate::model::finding::{Action, Detector, Finding, Gate, Gates};
use compact_str::CompactString;
use std::collections::BTreeMap;

/// How many tenants of a kind are counted apart. Chosen: a megabyte, and a bound over all of them
/// takes 0.1 ms.
const TENANTS_MAX: usize = 4000;

/// Counts of false alarms, with the use in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hours in which a credential was used, over all credentials. Unit: credential-hours.
    pub hours: u64,
    /// Bursts that ended and that no one confirmed.
    pub open_findings: u64,
    /// Of those: with the rate gate.
    pub rate: u64,
    /// Of those: with the context gate.
    pub context: u64,
    /// Of those: with the context gate and a corroborator.
    pub corroborated: u64,
    /// Of those: would have justified the action, had the credential been mature; by action.
    pub justified: [u64; Action::ALL.len()],
    /// Bursts that would have justified a throttle, and findings of the built-in limit that did.
    pub throttles: u64,
}

impl Counts {
    /// How long credentials were used. Unit: credential-days, each 24 hours of use.
    pub fn days(&self) -> f64 {
        self.hours as f64 / 24.0
    }

    /// How many findings would have justified `action`.
    pub fn justified(&self, action: Action) -> u64 {
        self.justified.get(action as usize).copied().unwrap_or(0)
    }

    /// Whether there is any false alarm.
    pub const fn has_any(&self) -> bool {
        self.open_findings > 0 || self.throttles > 0
    }

    /// Each count as one at most, without the hours: whether there was any such false alarm.
    pub(super) fn at_most_one(&self) -> Self {
        let one = |count: u64| count.min(1);
        Self {
            hours: 0,
            open_findings: one(self.open_findings),
            rate: one(self.rate),
            context: one(self.context),
            corroborated: one(self.corroborated),
            justified: self.justified.map(one),
            throttles: one(self.throttles),
        }
    }

    /// Adds the counts of others.
    pub(super) fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.hours, other.hours);
        add(&mut self.open_findings, other.open_findings);
        add(&mut self.rate, other.rate);
        add(&mut self.context, other.context);
        add(&mut self.corroborated, other.corroborated);
        self.justified.iter_mut().zip(other.justified).for_each(|(sum, more)| add(sum, more));
        add(&mut self.throttles, other.throttles);
    }

    fn count(&mut self, weight: Weight, adds: bool) {
        let step = |count: &mut u64| {
            *count = if adds { *count + 1 } else { count.saturating_sub(1) };
        };
        if weight.throttles {
            step(&mut self.throttles);
        }
        if !weight.is_burst_that_says_something() {
            return;
        }
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

/// A false alarm's contribution to the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    is_burst: bool,
    gates: Gates,
    /// The most severe action that a burst would have justified, had the credential been mature.
    action: Action,
    /// Whether it would have throttled.
    throttles: bool,
}

impl Weight {
    /// The weight of a finding of `burst`, or of a limit that no operator wrote down.
    pub(super) fn of(finding: &Finding) -> Self {
        if finding.detector == Detector::Limit {
            let (gates, throttles) = (Gates::NONE, finding.action >= Action::Throttle);
            return Self { is_burst: false, gates, action: Action::Observe, throttles };
        }
        let gates = finding.gates;
        let as_if_mature = if !gates.has(Gate::Rate) || !gates.has(Gate::Context) {
            Action::Observe
        } else if !gates.has(Gate::Corroborated) {
            Action::Suspend
        } else {
            Action::Revoke
        };
        let action = finding.action.max(as_if_mature);
        Self { is_burst: true, gates, action, throttles: action >= Action::Throttle }
    }

    /// Both as one: the more severe of them, with the gates of both.
    pub(super) fn merged(self, other: Self) -> Self {
        Self {
            is_burst: self.is_burst || other.is_burst,
            gates: self.gates.and(other.gates),
            action: self.action.max(other.action),
            throttles: self.throttles || other.throttles,
        }
    }

    /// Whether it says anything of how often an action is false: the mild burst of a young
    /// credential could not have had the context, so a crowd of them must not make that look rare.
    fn is_burst_that_says_something(self) -> bool {
        let gated = [Gate::Rate, Gate::Context, Gate::Mature];
        self.is_burst
            && (self.action > Action::Observe || gated.into_iter().any(|gate| self.gates.has(gate)))
    }
}

/// The counts of one kind of credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cohort {
    /// Of credentials without a tenant, which are the operator's own; and what was counted before
    /// tenants were counted apart.
    pub untenanted: Counts,
    /// By tenant.
    pub tenants: BTreeMap<CompactString, Counts>,
    /// How many tenants that are not counted apart any more had such a false alarm.
    pub forgotten: Counts,
}

impl Cohort {
    /// How long credentials of that kind were used. Unit: credential-days, each 24 hours of use.
    pub fn days(&self) -> f64 {
        self.untenanted.days() + self.tenants.values().map(Counts::days).sum::<f64>()
    }

    /// The counts of a tenant, or of the credentials without one.
    pub fn of(&self, tenant: Option<&str>) -> Counts {
        match tenant {
            None => self.untenanted,
            Some(tenant) => self.tenants.get(tenant).copied().unwrap_or_default(),
        }
    }

    /// Adds hours in which credentials of a tenant were used. Unit: credential-hours.
    pub(super) fn add_hours(&mut self, tenant: Option<&CompactString>, hours: u64) {
        let counts = self.counts_mut(tenant);
        counts.hours = counts.hours.saturating_add(hours);
    }

    /// Counts a false alarm, or takes it back. That of a tenant that is not counted apart any more
    /// can't be taken back.
    pub(super) fn count(&mut self, tenant: Option<&CompactString>, weight: Weight, adds: bool) {
        if adds || tenant.is_none_or(|tenant| self.tenants.contains_key(tenant)) {
            self.counts_mut(tenant).count(weight, adds);
        }
    }

    fn counts_mut(&mut self, tenant: Option<&CompactString>) -> &mut Counts {
        let Some(tenant) = tenant else { return &mut self.untenanted };
        if self.tenants.len() >= TENANTS_MAX && !self.tenants.contains_key(tenant) {
            self.forget_smallest();
        }
        self.tenants.entry(tenant.clone()).or_default()
    }

    fn forget_smallest(&mut self) {
        let rank = |counts: &Counts| (counts.has_any(), counts.hours);
        let smallest = self.tenants.iter().min_by_key(|(_, counts)| rank(counts));
        let smallest = smallest.map(|(tenant, _)| tenant.clone());
        if let Some(counts) = smallest.and_then(|tenant| self.tenants.remove(&tenant)) {
            self.forgotten.add(&counts.at_most_one());
        }
    }
}

/// The counts of every kind, in the order of [`Kind::ALL`].
pub type Cohorts = [Cohort; Kind::ALL.len()];

#[cfg(test)]
mod tests {
    use super::{Cohort, TENANTS_MAX, Weight};
    use crate::model::finding::{Action, Gate, Gates};
    use compact_str::CompactString;

    const ALARM: Weight = Weight {
        is_burst: true,
        gates: Gates::NONE.with(Gate::Rate, true),
        action: Action::Throttle,
        throttles: true,
    };

    fn tenant(number: usize) -> CompactString {
        CompactString::from(format!("t{number:05}"))
    }

    #[test]
    fn made_up_tenants_displace_each_other_and_their_false_alarms_stay_counted() {
        let mut cohort = Cohort::default();
        cohort.add_hours(Some(&tenant(0)), 1000);
        for number in 1..TENANTS_MAX {
            cohort.add_hours(Some(&tenant(number)), 2);
        }
        for number in TENANTS_MAX..TENANTS_MAX + 100 {
            cohort.count(Some(&tenant(number)), ALARM, true);
            cohort.count(Some(&tenant(number)), ALARM, true);
        }
        for number in 0..2 * TENANTS_MAX {
            cohort.add_hours(Some(&tenant(10_000 + number)), 3);
        }
        assert_eq!(cohort.tenants.len(), TENANTS_MAX);
        assert_eq!(cohort.of(Some("t00000")).hours, 1000);
        let apart = cohort.tenants.values().filter(|counts| counts.has_any()).count() as u64;
        assert_eq!(apart + cohort.forgotten.throttles, 100);
        let before = cohort.clone();
        cohort.count(Some(&tenant(1)), ALARM, false);
        assert_eq!(cohort, before, "what was forgotten can't be taken back");
    }
}
