//! The accumulator: uses in, a report out.
//!
//! **Invariants**: memory is bounded by [`super::groups::GROUPS_MAX`] and [`Params::credentials_max`];
//! a use of a known group allocates nothing but the place of a new credential.
//!
//! **Order.** A use counts as after revocation if the rejection was recorded before it. All other numbers
//! are the same in any order, and for a second reading that begins with [`LifetimeAudit::again`] this one is,
//! too.

use super::credentials::{Member, Members, Revocations, Traits};
use super::groups::Groups;
use super::lifetime_use::LifetimeUse;
use super::report::{LifetimeReport, report_groups};
use crate::model::credential::Kind;
use crate::model::event::Outcome;
use crate::model::time::EventTime;

/// Credentials at most, each once a group, and as many revocations. Chosen: about 40 MB, and as much
/// again if all of them are revoked.
pub const CREDENTIALS_MAX: usize = 1_000_000;
/// The default of [`Params::skew_ms`]. Unit: milliseconds. Chosen: twice the leeway that libraries for JWTs
/// commonly grant.
pub const SKEW_MS: i64 = 60_000;

/// Parameters of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// How far clocks of issuers and gateways may differ: a use is outside its credential's life if it is
    /// farther outside than that. Unit: milliseconds. Default: [`SKEW_MS`].
    pub skew_ms: i64,
    /// The longest lifetime allowed, in the order of [`Kind::ALL`]. Unit: milliseconds. Default: any.
    pub lifetime_max_ms: [Option<i64>; Kind::ALL.len()],
    /// Credentials at most. Default: [`CREDENTIALS_MAX`].
    pub credentials_max: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            skew_ms: SKEW_MS,
            lifetime_max_ms: [None; Kind::ALL.len()],
            credentials_max: CREDENTIALS_MAX,
        }
    }
}

impl Params {
    /// The longest lifetime that is allowed to credentials of a kind. Unit: milliseconds.
    pub fn lifetime_max_ms(&self, kind: Kind) -> Option<i64> {
        self.lifetime_max_ms.get(kind as usize).copied().flatten()
    }

    /// The time from `from` to `to`, if it is longer than clocks may differ. Unit: milliseconds.
    fn gap(&self, from: Option<EventTime>, to: Option<EventTime>) -> Option<i64> {
        let gap = to?.ms_since(from?);
        (gap > self.skew_ms).then_some(gap)
    }
}

/// An audit of lifetimes, so far.
#[derive(Clone, Debug, Default)]
pub struct LifetimeAudit {
    params: Params,
    groups: Groups,
    members: Members,
    revocations: Revocations,
    /// The newest accepted use.
    newest: Option<EventTime>,
    uses: u64,
    unverified: u64,
    left_out: u64,
    late_revocations: u64,
}

impl LifetimeAudit {
    /// An audit before its first use.
    pub fn new(params: Params) -> Self {
        Self { params, ..Self::default() }
    }

    /// An audit before its first use that knows the revocations of this one: a second reading of the same
    /// uses is right in any order.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { params: self.params, revocations: self.revocations.clone(), ..Self::default() }
    }

    /// The audit of these parts together, as of shards.
    pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut parts = parts.into_iter().peekable();
        let skew_ms = parts.peek().map_or(SKEW_MS, |part| part.params.skew_ms);
        let mut merged = Self::new(Params { skew_ms, ..Params::default() });
        parts.for_each(|part| merged.merge(part));
        merged
    }

    /// Changes the skew. Unit: milliseconds.
    pub const fn set_skew(&mut self, skew_ms: i64) {
        self.params.skew_ms = skew_ms;
    }

    /// Keeps so many credentials at most from now on, but forgets none.
    pub const fn set_credentials_max(&mut self, most: usize) {
        self.params.credentials_max = most;
    }

    /// The parameters.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// Takes a use; one that is not verified proves nothing, and is counted alone.
    pub fn record(&mut self, one: &LifetimeUse<'_>) {
        if !one.verified {
            self.unverified += 1;
            return;
        }
        self.uses += 1;
        let place = self.groups.place(one.group());
        let counts = self.groups.counts_mut(place);
        counts.uses += 1;
        let lifetime = one.lifetime_ms();
        let most = self.params.lifetime_max_ms(one.kind);
        let is_over = lifetime.zip(most).is_some_and(|(lifetime, most)| lifetime > most);
        let mut traits = Traits::default()
            .and_if(one.expires.is_some(), Traits::ENDS)
            .and_if(lifetime.is_some(), Traits::LASTS)
            .and_if(is_over, Traits::OVER_POLICY);
        if one.is_accepted() {
            let time = Some(one.time);
            let after_expiry = self.params.gap(one.expires, time);
            let before_issue = self.params.gap(time, one.issued);
            let after_revocation = self.params.gap(self.revocations.first(one.credential), time);
            counts.after_expiry.record(after_expiry);
            counts.before_issue.record(before_issue);
            counts.after_revocation.record(after_revocation);
            traits = traits
                .and_if(after_expiry.is_some(), Traits::AFTER_EXPIRY)
                .and_if(before_issue.is_some(), Traits::BEFORE_ISSUE)
                .and_if(after_revocation.is_some(), Traits::AFTER_REVOCATION);
            self.newest = self.newest.max(time);
        } else if one.outcome == Outcome::Rejected {
            counts.reject(one.reason);
        }
        let lifetime_s = lifetime.map_or(0, whole_seconds);
        let member = Member { credential: one.credential, lifetime_s, group: place, traits };
        let is_kept = self.members.add(member, self.params.credentials_max);
        let is_known = !one.is_revoked() || self.revoke(one);
        self.left_out += u64::from(!(is_kept && is_known));
    }

    /// Takes a rejection as revoked; false if there is no room for it.
    fn revoke(&mut self, one: &LifetimeUse<'_>) -> bool {
        let first = self.revocations.first(one.credential);
        let is_earlier = first.is_none_or(|first| one.time < first);
        let is_late = self.params.gap(Some(one.time), self.newest).is_some();
        self.late_revocations += u64::from(is_earlier && is_late);
        self.revocations.add(one.credential, one.time, self.params.credentials_max)
    }

    /// Takes it that a credential was taken out of service then, or is in service.
    pub fn set_out_of_service(&mut self, credential: u64, since: Option<EventTime>) {
        match since {
            Some(since) => {
                self.revocations.add(credential, since, self.params.credentials_max);
            }
            None => self.revocations.remove(credential),
        }
    }

    /// Adds another part, of the same parameters. Exact while no limit is reached, and all uses of a
    /// credential are in one of the parts, as in shards; a use in one part after a revocation in another
    /// is not found.
    pub fn merge(&mut self, other: &Self) {
        let places = self.groups.merge(&other.groups);
        for member in other.members.iter() {
            let place = places.get(usize::from(member.group)).copied();
            let member = Member { group: place.unwrap_or(member.group), ..*member };
            let is_kept = self.members.add(member, self.params.credentials_max);
            self.left_out += u64::from(!is_kept);
        }
        for (credential, time) in other.revocations.iter() {
            let is_kept = self.revocations.add(credential, time, self.params.credentials_max);
            self.left_out += u64::from(!is_kept);
        }
        self.newest = self.newest.max(other.newest);
        self.uses += other.uses;
        self.unverified += other.unverified;
        self.left_out += other.left_out;
        self.late_revocations += other.late_revocations;
    }

    /// Revocations that came after later uses: only a second reading finds all uses after them.
    pub const fn late_revocations(&self) -> u64 {
        self.late_revocations
    }

    /// The numbers so far. Cost: reads every credential once.
    pub fn report(&self) -> LifetimeReport {
        LifetimeReport {
            groups: report_groups(&self.groups, &self.members),
            uses: self.uses,
            unverified: self.unverified,
            left_out: self.left_out,
            late_revocations: self.late_revocations,
        }
    }
}

/// Whole seconds, rounded up.
fn whole_seconds(ms: i64) -> u32 {
    let seconds = ms.div_euclid(1000) + i64::from(ms.rem_euclid(1000) > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{LifetimeAudit, Params, whole_seconds};
    use crate::data_plane::lifetimes::lifetime_use::LifetimeUse;
    use crate::data_plane::lifetimes::report::{GroupReport, Misuse};
    use crate::model::credential::Kind;
    use crate::model::event::{Outcome, Reason};
    use crate::model::time::EventTime;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const START: EventTime = EventTime::from_s(1_700_000_000);
    const PARAMS: Params = Params {
        skew_ms: 60_000,
        lifetime_max_ms: [None, Some(600_000), None, None, None],
        credentials_max: 1000,
    };

    fn audit<'a>(uses: impl IntoIterator<Item = &'a LifetimeUse<'a>>) -> LifetimeAudit {
        let mut audit = LifetimeAudit::new(PARAMS);
        uses.into_iter().for_each(|one| audit.record(one));
        audit
    }

    fn minute(minute: i64) -> EventTime {
        START.plus_ms(minute * 60_000)
    }

    fn accepted(time: EventTime) -> LifetimeUse<'static> {
        LifetimeUse {
            time,
            kind: Kind::Jwt,
            credential: 1,
            issuer: Some("id"),
            gateway: Some("edge"),
            issued: Some(minute(0)),
            expires: Some(minute(10)),
            outcome: Outcome::Accepted,
            verified: true,
            reason: None,
        }
    }

    fn uses() -> impl Strategy<Value = Vec<LifetimeUse<'static>>> {
        let place = (0_i64..30 * 60_000, 0_u64..12, 0_usize..3, 0_usize..3);
        let life = (prop::option::of(-10_i64..30), prop::option::of(0_i64..40));
        let answer = (0_usize..6, any::<bool>(), prop::option::of(0_usize..7));
        let one = (place, life, answer).prop_map(|(place, (issued, expires), answer)| {
            let (ms, credential, issuer, gateway) = place;
            let (outcome, is_revoked, reason) = answer;
            let outcome = *Outcome::ALL.get(outcome).unwrap_or(&Outcome::Accepted);
            let reason = if is_revoked { Some(2) } else { reason };
            LifetimeUse {
                time: START.plus_ms(ms),
                kind: if credential < 6 { Kind::Jwt } else { Kind::Session },
                credential,
                issuer: [None, Some("id"), Some("other")][issuer],
                gateway: [None, Some("edge"), Some("core")][gateway],
                issued: issued.map(minute),
                expires: expires.map(minute),
                outcome,
                verified: credential % 5 != 4 || ms % 2 == 0,
                reason: reason.map(|at| Reason::ALL[at]),
            }
        });
        prop::collection::vec(one, 0..120)
    }

    /// The oracle: the uses that are so far outside by `gap`, their credentials, and the farthest.
    fn misuse(uses: &[&LifetimeUse<'_>], gap: impl Fn(&LifetimeUse<'_>) -> Option<i64>) -> Misuse {
        let accepted = uses.iter().filter(|one| one.outcome == Outcome::Accepted);
        let outside = accepted.filter_map(|one| Some((one.credential, gap(one)?)));
        let outside: Vec<(u64, i64)> = outside.filter(|(_, gap)| *gap > 60_000).collect();
        Misuse {
            uses: outside.len() as u64,
            credentials: outside.iter().map(|one| one.0).collect::<BTreeSet<_>>().len() as u64,
            longest_ms: outside.iter().map(|one| one.1).max().unwrap_or(0),
        }
    }

    fn assert_as_the_oracle(group: &GroupReport, all: &[LifetimeUse<'_>]) {
        let verified: Vec<_> = all.iter().filter(|one| one.verified).collect();
        let name = group.name.as_ref().expect("few groups");
        let of_group = |one: &&&LifetimeUse<'_>| one.group() == name.borrowed();
        let uses: Vec<_> = verified.iter().filter(of_group).copied().collect();
        let credentials: BTreeSet<u64> = uses.iter().map(|one| one.credential).collect();
        let of = |id: &u64| uses.iter().filter(|one| one.credential == *id).collect::<Vec<_>>();
        let endless = credentials.iter().filter(|id| of(id).iter().all(|it| it.expires.is_none()));
        let longest = |id| of(id).iter().filter_map(|one| one.lifetime_ms()).max();
        let mut lives: Vec<i64> = credentials.iter().filter_map(longest).collect();
        lives.sort_unstable();
        let over = lives.iter().filter(|ms| name.kind == Kind::Jwt && **ms > 600_000).count();
        let first_revoked = |id: u64| {
            let of_it = verified.iter().filter(|one| one.credential == id && one.is_revoked());
            of_it.map(|one| one.time).min()
        };
        assert_eq!(group.uses, uses.len() as u64);
        assert_eq!(group.credentials, credentials.len() as u64);
        assert_eq!(group.endless, endless.count() as u64);
        assert_eq!(group.over_policy, over as u64);
        let median = lives.len().checked_sub(1).map(|last| whole_seconds(lives[last / 2]));
        let max = lives.last().map(|ms| whole_seconds(*ms));
        let found = group.lifetimes.map(|of| (of.median_s, of.max_s));
        assert_eq!(found, median.zip(max), "{lives:?}");
        let gap = |to: EventTime, from| Some(to.ms_since(from?));
        assert_eq!(group.after_expiry, misuse(&uses, |one| gap(one.time, one.expires)));
        assert_eq!(group.before_issue, misuse(&uses, |one| gap(one.issued?, Some(one.time))));
        let after = misuse(&uses, |one| gap(one.time, first_revoked(one.credential)));
        assert_eq!(group.after_revocation, after);
        for reason in Reason::ALL.into_iter().map(Some).chain([None]) {
            let is_it =
                |one: &&&LifetimeUse<'_>| one.outcome == Outcome::Rejected && one.reason == reason;
            let count = uses.iter().filter(is_it).count() as u64;
            let found = group.rejections.iter().find(|(held, _)| *held == reason);
            assert_eq!(found.map_or(0, |(_, count)| *count), count, "{reason:?}");
        }
    }

    proptest! {
        #[test]
        fn every_number_is_that_of_a_naive_count_in_any_order(uses in uses()) {
            let first = audit(&uses);
            let mut again = first.again();
            for one in &uses {
                again.record(one);
            }
            let report = again.report();
            for group in &report.groups {
                assert_as_the_oracle(group, &uses);
            }
            prop_assert_eq!(report.late_revocations, 0);
            prop_assert_eq!(report.uses + report.unverified, uses.len() as u64);
            prop_assert_eq!(report.uses, report.groups.iter().map(|it| it.uses).sum::<u64>());
            let mut ordered = uses;
            ordered.sort_by_key(|one| one.time);
            prop_assert_eq!(audit(&ordered).report(), report);
            // A first reading is right where it says so.
            if first.late_revocations() == 0 {
                prop_assert_eq!(first.report(), again.report());
            }
        }

        #[test]
        fn parts_by_credential_add_up_to_the_whole(uses in uses(), parts in 1_u64..5) {
            let mut ordered = uses;
            ordered.sort_by_key(|one| one.time);
            let mut sum = LifetimeAudit::new(PARAMS);
            for part in 0..parts {
                sum.merge(&audit(ordered.iter().filter(|one| one.credential % parts == part)));
            }
            prop_assert_eq!(sum.report(), audit(&ordered).report());
        }
    }

    #[test]
    fn a_use_within_the_clocks_difference_is_in_its_life() {
        let report = |times: &[EventTime]| {
            let uses: Vec<_> = times.iter().map(|time| accepted(*time)).collect();
            audit(&uses).report().groups.remove(0)
        };
        let within = report(&[minute(-1), minute(5), minute(11)]);
        assert!(!within.is_breach(), "{within:?}");
        let outside = report(&[minute(-1).plus_ms(-1), minute(11).plus_ms(1), minute(12)]);
        let late = Misuse { uses: 2, credentials: 1, longest_ms: 120_000 };
        let early = Misuse { uses: 1, credentials: 1, longest_ms: 60_001 };
        assert_eq!((outside.after_expiry, outside.before_issue), (late, early));
    }

    #[test]
    fn a_revocation_at_one_gateway_holds_for_every_gateway() {
        let revoked = LifetimeUse {
            outcome: Outcome::Rejected,
            reason: Some(Reason::Revoked),
            ..accepted(minute(2))
        };
        let elsewhere = LifetimeUse { gateway: Some("core"), ..accepted(minute(6)) };
        let unproven = LifetimeUse { verified: false, ..revoked };
        let report = audit(&[revoked, elsewhere]).report();
        let after: Vec<u64> = report.groups.iter().map(|it| it.after_revocation.uses).collect();
        assert_eq!(after, [1, 0], "core, edge");
        assert_eq!(report.groups[0].after_revocation.longest_ms, 240_000);
        assert!(
            !audit(&[unproven, elsewhere]).report().groups[0].is_breach(),
            "a stranger's claim"
        );
        let reversed = audit(&[elsewhere, revoked]);
        assert_eq!(reversed.late_revocations(), 1);
    }

    #[test]
    fn credentials_beyond_the_most_are_counted_as_left_out() {
        let mut audit = LifetimeAudit::new(Params { credentials_max: 2, ..PARAMS });
        for credential in [1, 2, 3, 1, 3] {
            audit.record(&LifetimeUse { credential, ..accepted(minute(20)) });
        }
        let report = audit.report();
        let late = report.groups[0].after_expiry;
        assert_eq!((report.left_out, late.uses, late.credentials), (2, 5, 2));
    }
}
