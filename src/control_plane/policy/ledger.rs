//! The ledger: which findings count as false alarms.
//!
//! Every finding of `burst`, and of a limit that no operator wrote down, counts as a false alarm, whatever
//! the mode, unless a person revokes that credential within a day of its beginning. So do open ones once they
//! have ended, so that a finding is judged by what was known before it.
//!
//! Findings of a tenant's credential each count. Of a credential without a tenant those that begin within a
//! day count as one, the most severe: so one such credential adds one a day, however it is used.
//!
//! **Does not** know what the counts prove.

use super::budget::{Proof, Proofs};
use super::false_alarms::{Cohort, Cohorts, Weight};
use crate::model::credential::{Credential, Kind};
use crate::model::finding::{Finding, FindingId};
use crate::model::signal::HoursOfUse;
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::collections::{BTreeMap, VecDeque};

/// How long after it began a finding can be confirmed. Unit: milliseconds.
const CONFIRMED_WITHIN_MS: i64 = 86_400_000;
/// How many findings wait for a person's word at most; beyond it the oldest stay as counted.
/// Chosen: some tens of megabytes.
const WAITING_MAX: usize = 100_000;

/// A finding that runs, or on which a person may still have a word.
#[derive(Clone, Debug)]
struct OpenVerdict {
    id: FindingId,
    opened: EventTime,
    weight: Weight,
    ended: bool,
    confirmed: bool,
    tenant: Option<CompactString>,
    /// The first finding of its day, with which it counts as one, and when that opened.
    day: (FindingId, EventTime),
    /// The counts of findings of the same day that were forgotten.
    earlier: Option<Weight>,
}

impl OpenVerdict {
    /// Its weight as a false alarm; `running`: as if it had ended.
    fn false_alarm(&self, running: bool) -> Option<Weight> {
        let counts = (self.ended || running) && !self.confirmed;
        [counts.then_some(self.weight), self.earlier].into_iter().flatten().reduce(Weight::merged)
    }
}

/// The false alarms among the findings of one credential.
fn false_alarms(of_it: &[OpenVerdict], running: bool) -> Vec<(Option<CompactString>, Weight)> {
    let mut days: BTreeMap<FindingId, (Option<CompactString>, Weight)> = BTreeMap::new();
    for verdict in of_it {
        if let Some(weight) = verdict.false_alarm(running) {
            let day = days.entry(verdict.day.0).or_insert((verdict.tenant.clone(), weight));
            day.1 = day.1.merged(weight);
        }
    }
    days.into_values().collect()
}

/// Counts the false alarms `after` in the place of those `before`.
fn recount(
    cohort: Option<&mut Cohort>,
    before: &[(Option<CompactString>, Weight)],
    after: &[(Option<CompactString>, Weight)],
) {
    let Some(cohort) = cohort.filter(|_| before != after) else { return };
    for (tenant, weight) in before {
        cohort.count(tenant.as_ref(), *weight, false);
    }
    for (tenant, weight) in after {
        cohort.count(tenant.as_ref(), *weight, true);
    }
}

/// The counts of all cohorts, and the findings that may still change them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    cohorts: Cohorts,
    waiting: BTreeMap<Credential, Vec<OpenVerdict>>,
    order: VecDeque<(EventTime, Credential, FindingId)>,
    revision: u64,
}

impl Ledger {
    /// A ledger that goes on from counts written down before.
    pub fn of(cohorts: Cohorts) -> Self {
        Self { cohorts, ..Self::default() }
    }

    /// The counts of one cohort.
    pub fn cohort(&self, kind: Kind) -> &Cohort {
        let [first, ..] = &self.cohorts;
        self.cohorts.get(kind as usize).unwrap_or(first)
    }

    /// Rises with every change.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The proof for the credentials of a tenant, or for those without one.
    pub fn proof(&self, kind: Kind, tenant: Option<&str>) -> Proof {
        Proof::of(self.cohort(kind), tenant)
    }

    /// The proof for them, by kind in the order of [`Kind::ALL`].
    pub fn proofs(&self, tenant: Option<&str>) -> Proofs {
        self.cohorts.each_ref().map(|cohort| Proof::of(cohort, tenant))
    }

    /// The counts to write down: findings that still run are counted too, as no one will tell of
    /// their end after a restart.
    pub fn to_write_down(&self) -> Cohorts {
        let mut cohorts = self.cohorts.clone();
        for (credential, of_it) in &self.waiting {
            let cohort = cohorts.get_mut(credential.kind() as usize);
            recount(cohort, &false_alarms(of_it, false), &false_alarms(of_it, true));
        }
        cohorts
    }

    /// Adds hours in which credentials were used.
    pub fn add_hours(&mut self, hours: &HoursOfUse) {
        for ((kind, tenant), hours) in hours {
            if let Some(cohort) = self.cohorts.get_mut(*kind as usize) {
                cohort.add_hours(tenant.as_ref(), *hours);
            }
        }
        self.revision += u64::from(!hours.is_empty());
    }

    /// Changes the findings of a credential, and counts what became of them.
    fn change(&mut self, credential: &Credential, change: impl FnOnce(&mut Vec<OpenVerdict>)) {
        let mut of_it = self.waiting.remove(credential).unwrap_or_default();
        let before = false_alarms(&of_it, false);
        change(&mut of_it);
        let cohort = self.cohorts.get_mut(credential.kind() as usize);
        recount(cohort, &before, &false_alarms(&of_it, false));
        if !of_it.is_empty() {
            self.waiting.insert(credential.clone(), of_it);
        }
        self.revision += 1;
    }

    /// Hears of a finding of `burst`, or of a limit that no operator wrote down; `ended`: it is over.
    pub fn on_finding(&mut self, finding: &Finding, ended: bool) {
        let of_it = self.waiting.get(&finding.credential);
        let is_known = of_it.is_some_and(|of_it| of_it.iter().any(|one| one.id == finding.id));
        if !is_known && finding.updated.ms_since(finding.opened) >= CONFIRMED_WITHIN_MS {
            // It was counted when its day was over.
            return;
        }
        if !is_known {
            self.order.push_back((finding.opened, finding.credential.clone(), finding.id));
        }
        self.change(&finding.credential, |of_it| {
            if !is_known {
                of_it.push(opened(finding, of_it));
            }
            let verdict = of_it.iter_mut().find(|one| one.id == finding.id && !one.ended);
            if let Some(verdict) = verdict {
                (verdict.weight, verdict.ended) = (Weight::of(finding), ended);
            }
        });
        while self.order.len() > WAITING_MAX {
            self.forget_oldest();
        }
    }

    /// A person revoked the credential at `at`: findings of its that began within the day before
    /// were no false alarms.
    pub fn confirm(&mut self, credential: &Credential, at: EventTime) {
        self.change(credential, |of_it| {
            let in_time = |opened| (0..CONFIRMED_WITHIN_MS).contains(&at.ms_since(opened));
            for one in of_it.iter_mut() {
                one.confirmed |= in_time(one.opened);
            }
        });
    }

    /// A person restored the credential: its findings of the last day were false alarms after all.
    pub fn retract(&mut self, credential: &Credential) {
        self.change(credential, |of_it| of_it.iter_mut().for_each(|one| one.confirmed = false));
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
        self.change(&credential, |of_it| {
            of_it.iter_mut().filter(|one| one.id == id).for_each(|one| one.ended = true);
        });
        let Some(of_it) = self.waiting.get_mut(&credential) else { return };
        let Some(place) = of_it.iter().position(|one| one.id == id) else { return };
        let gone = of_it.swap_remove(place);
        // Others of its day go on counting as one with it.
        if let Some(next) = of_it.iter_mut().find(|one| one.day == gone.day) {
            let earlier = [next.earlier, gone.false_alarm(false)];
            next.earlier = earlier.into_iter().flatten().reduce(Weight::merged);
        }
        if of_it.is_empty() {
            self.waiting.remove(&credential);
        }
    }
}

/// A finding that is heard of for the first time, after others of its credential.
fn opened(finding: &Finding, others: &[OpenVerdict]) -> OpenVerdict {
    let in_day = |one: &&OpenVerdict| {
        let since_ms = finding.opened.ms_since(one.day.1);
        one.tenant.is_none() && (0..CONFIRMED_WITHIN_MS).contains(&since_ms)
    };
    let day = others.iter().find(in_day).filter(|_| finding.tenant.is_none());
    OpenVerdict {
        id: finding.id,
        opened: finding.opened,
        weight: Weight::of(finding),
        ended: false,
        confirmed: false,
        tenant: finding.tenant.clone(),
        day: day.map_or((finding.id, finding.opened), |one| one.day),
        earlier: None,
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;
    use crate::control_plane::policy::false_alarms::Counts;
    use crate::model::credential::{Credential, Kind};
    use crate::model::finding::{
        Action, Detector, Finding, FindingId, Gate, Gates, Measure, Reached,
    };
    use crate::model::time::EventTime;

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
            place: None,
            expires: None,
        }
    }

    fn counted(ledger: &Ledger) -> (u64, u64, u64, [u64; 5]) {
        let Counts { open_findings, context, corroborated, justified, .. } =
            ledger.cohort(Kind::ApiKey).untenanted;
        (open_findings, context, corroborated, justified)
    }

    fn of_tenant(ledger: &Ledger, tenant: &str) -> Counts {
        ledger.cohort(Kind::ApiKey).of(Some(tenant))
    }

    #[test]
    fn an_open_finding_counts_once_and_only_when_it_is_over() {
        let mut ledger = Ledger::default();
        let mild = finding("k", 0, &[]);
        ledger.on_finding(&mild, false);
        assert_eq!(counted(&ledger), (0, 0, 0, [0; 5]));
        assert_eq!(
            ledger.to_write_down()[0].untenanted.open_findings,
            1,
            "no one hears of its end"
        );
        let severe = finding("k", 0, &ALL_GATES);
        ledger.on_finding(&severe, false);
        ledger.on_finding(&severe, true);
        ledger.on_finding(&severe, true);
        assert_eq!(counted(&ledger), (1, 1, 1, [1; 5]));
        assert_eq!(ledger.to_write_down()[0], *ledger.cohort(Kind::ApiKey));
    }

    #[test]
    fn what_lacks_maturity_alone_counts_as_what_it_would_have_justified() {
        let mut ledger = Ledger::default();
        ledger.on_finding(&finding("a", 0, &[Gate::Rate]), true);
        ledger.on_finding(&finding("b", 0, &[Gate::Rate, Gate::Context]), true);
        ledger.on_finding(&finding("c", 0, &[Gate::Context, Gate::Corroborated]), true);
        assert_eq!(counted(&ledger), (3, 2, 1, [3, 3, 1, 1, 0]));
        assert_eq!(
            ledger.cohort(Kind::ApiKey).untenanted.rate,
            2,
            "a rate alone is counted as one"
        );
    }

    #[test]
    fn a_person_who_revokes_within_a_day_confirms_and_one_who_restores_takes_it_back() {
        let mut ledger = Ledger::default();
        let (mut early, mut late) = (finding("k", 0, &[]), finding("k", DAY_MS / 2, &[]));
        (early.tenant, late.tenant) = (Some("acme".into()), Some("acme".into()));
        ledger.on_finding(&early, true);
        ledger.on_finding(&late, false);
        ledger.on_finding(&finding("other", 0, &[]), true);
        ledger.confirm(&early.credential, at(DAY_MS));
        ledger.on_finding(&late, true);
        assert_eq!(of_tenant(&ledger, "acme").open_findings, 1, "the early one was too long ago");
        ledger.confirm(&early.credential, at(DAY_MS - 1));
        assert_eq!(of_tenant(&ledger, "acme").open_findings, 0);
        ledger.retract(&early.credential);
        assert_eq!(of_tenant(&ledger, "acme").open_findings, 2);
        ledger.forget(at(2 * DAY_MS));
        ledger.confirm(&early.credential, at(DAY_MS - 1));
        assert_eq!(of_tenant(&ledger, "acme").open_findings, 2);
        assert_eq!(counted(&ledger).0, 1, "the other was not meant");
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

    /// No use of such a key adds more than one false alarm a day.
    #[test]
    fn findings_of_a_credential_without_a_tenant_count_as_one_a_day_the_most_severe() {
        let mut ledger = Ledger::default();
        ledger.on_finding(&finding("k", 0, &[]), true);
        ledger.on_finding(&finding("k", DAY_MS / 2, &ALL_GATES), true);
        ledger.on_finding(&finding("k", DAY_MS - 1, &[Gate::Rate]), true);
        assert_eq!(counted(&ledger), (1, 1, 1, [1; 5]));
        // Of the first day only what it says stays, the others go on counting with it.
        ledger.forget(at(DAY_MS));
        ledger.on_finding(&finding("k", DAY_MS, &[]), true);
        assert_eq!(counted(&ledger), (2, 1, 1, [2, 2, 1, 1, 1]));
        ledger.on_finding(&finding("k2", 0, &[]), true);
        assert_eq!(counted(&ledger).0, 3);
        let key = Credential::parse("k").expect("valid");
        ledger.confirm(&key, at(DAY_MS + DAY_MS / 2 - 1));
        assert_eq!(counted(&ledger), (2, 0, 0, [2, 2, 0, 0, 0]), "the first finding stays false");
    }

    #[test]
    fn findings_of_a_tenant_each_count_for_it() {
        let mut ledger = Ledger::default();
        for opened in 0..3 {
            let mut one = finding("k", opened, &[Gate::Rate]);
            one.tenant = Some("acme".into());
            ledger.on_finding(&one, true);
        }
        assert_eq!(of_tenant(&ledger, "acme").open_findings, 3);
        assert_eq!(counted(&ledger).0, 0);
    }

    #[test]
    fn what_the_built_in_limit_throttles_counts_as_a_throttle_and_not_as_a_burst() {
        let mut ledger = Ledger::default();
        let mut limit = finding("k", 0, &[]);
        limit.detector = Detector::Limit;
        limit.evidence = vec![Measure::new(Finding::LIMIT_WRITTEN, 0.0)];
        ledger.on_finding(&limit, true);
        assert_eq!(ledger.cohort(Kind::ApiKey).untenanted, Counts::default(), "it alerts alone");
        limit.id = FindingId::of(&limit.credential, Detector::Limit, at(1));
        limit.action = Action::Throttle;
        ledger.on_finding(&limit, true);
        let untenanted = Counts { throttles: 1, ..Counts::default() };
        assert_eq!(ledger.cohort(Kind::ApiKey).untenanted, untenanted);
        let mut burst = finding("k2", 0, &[Gate::Rate]);
        burst.action = Action::Throttle;
        ledger.on_finding(&burst, true);
        assert_eq!(ledger.cohort(Kind::ApiKey).untenanted.throttles, 2);
        assert_eq!(counted(&ledger).3, [1, 1, 1, 0, 0]);
    }
}
