//! The report of an audit of lifetimes.

use super::credentials::{Member, Members, Traits};
use super::groups::{Counts, GroupName, Groups, Outside};
use crate::model::event::Reason;
use std::collections::BTreeMap;

/// Accepted uses on one side of a border of life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misuse {
    /// How many uses.
    pub uses: u64,
    /// Of how many credentials.
    pub credentials: u64,
    /// The longest gap between a use and the border. Unit: milliseconds.
    pub longest_ms: i64,
}

impl Misuse {
    const fn new(outside: Outside, credentials: u64) -> Self {
        Self { uses: outside.uses, credentials, longest_ms: outside.longest_ms }
    }
}

/// How long credentials live, by the longest known lifetime of each. Unit: seconds, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Credentials whose lifetime is known.
    pub credentials: u64,
    /// Half of them live no longer.
    pub median_s: u32,
    /// 99 % of them live no longer.
    pub p99_s: u32,
    /// The longest.
    pub max_s: u32,
}

impl Lifetimes {
    /// Those of the lifetimes given, if there are any.
    fn of(mut lifetimes: Vec<u32>) -> Option<Self> {
        lifetimes.sort_unstable();
        let quantile = |percent: usize| {
            let rank = (lifetimes.len() * percent).div_ceil(100);
            lifetimes.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            credentials: lifetimes.len() as u64,
            median_s: quantile(50)?,
            p99_s: quantile(99)?,
            max_s: quantile(100)?,
        })
    }
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// Its name; none: all groups beyond [`super::groups::GROUPS_MAX`].
    pub name: Option<GroupName>,
    /// Verified uses.
    pub uses: u64,
    /// Distinct credentials of these uses.
    pub credentials: u64,
    /// Credentials of which no use named an end.
    pub endless: u64,
    /// How long credentials live, where any lifetime is known.
    pub lifetimes: Option<Lifetimes>,
    /// Credentials that live longer than the policy of their kind allows.
    pub over_policy: u64,
    /// Accepted uses after expiry.
    pub after_expiry: Misuse,
    /// Accepted uses before issue.
    pub before_issue: Misuse,
    /// Accepted uses after one of the same credential, at any gateway, was rejected as revoked.
    pub after_revocation: Misuse,
    /// Verified rejections by reason, those that occurred; none: a reason outside the vocabulary.
    pub rejections: Vec<(Option<Reason>, u64)>,
}

impl GroupReport {
    /// Whether a use was accepted outside its credential's life, or a lifetime is over policy.
    pub const fn is_breach(&self) -> bool {
        self.over_policy > 0
            || self.after_expiry.uses > 0
            || self.before_issue.uses > 0
            || self.after_revocation.uses > 0
    }
}

/// The report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifetimeReport {
    /// The groups, in the order of kind, issuer and gateway; the rest last.
    pub groups: Vec<GroupReport>,
    /// Verified uses.
    pub uses: u64,
    /// Events that are no verified use, and count nowhere else.
    pub unverified: u64,
    /// Uses of credentials beyond the most that are kept: their credentials are not counted.
    pub left_out: u64,
    /// Revocations that came after later uses, some of which may be missing in
    /// [`GroupReport::after_revocation`].
    pub late_revocations: u64,
}

#[derive(Debug, Default)]
struct Tally {
    credentials: u64,
    endless: u64,
    over_policy: u64,
    after_expiry: u64,
    before_issue: u64,
    after_revocation: u64,
    lifetimes: Vec<u32>,
}

impl Tally {
    fn add(&mut self, member: &Member) {
        let has = |trait_| u64::from(member.traits.has(trait_));
        self.credentials += 1;
        self.endless += 1 - has(Traits::ENDS);
        self.over_policy += has(Traits::OVER_POLICY);
        self.after_expiry += has(Traits::AFTER_EXPIRY);
        self.before_issue += has(Traits::BEFORE_ISSUE);
        self.after_revocation += has(Traits::AFTER_REVOCATION);
        if member.traits.has(Traits::LASTS) {
            self.lifetimes.push(member.lifetime_s);
        }
    }

    fn report(self, name: Option<&GroupName>, counts: &Counts) -> GroupReport {
        GroupReport {
            name: name.cloned(),
            uses: counts.uses,
            credentials: self.credentials,
            endless: self.endless,
            lifetimes: Lifetimes::of(self.lifetimes),
            over_policy: self.over_policy,
            after_expiry: Misuse::new(counts.after_expiry, self.after_expiry),
            before_issue: Misuse::new(counts.before_issue, self.before_issue),
            after_revocation: Misuse::new(counts.after_revocation, self.after_revocation),
            rejections: counts.rejections().collect(),
        }
    }
}

/// The reports of all groups. Cost: reads every member once and sorts the lifetimes.
pub fn report_groups(groups: &Groups, members: &Members) -> Vec<GroupReport> {
    let mut tallies: BTreeMap<u16, Tally> = BTreeMap::new();
    for member in members.iter() {
        tallies.entry(member.group).or_default().add(member);
    }
    let report = |(place, name, counts): (u16, Option<&GroupName>, &Counts)| {
        tallies.remove(&place).unwrap_or_default().report(name, counts)
    };
    groups.iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::Lifetimes;

    #[test]
    fn quantiles_are_lifetimes_that_occurred() {
        let of = |lifetimes: &[u32]| Lifetimes::of(lifetimes.to_vec());
        let made = |credentials, median_s, p99_s, max_s| {
            Some(Lifetimes { credentials, median_s, p99_s, max_s })
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), made(1, 7, 7, 7));
        assert_eq!(of(&[9, 1, 5, 3]), made(4, 3, 9, 9));
        let many: Vec<u32> = (1..=200).rev().collect();
        assert_eq!(of(&many), made(200, 100, 198, 200));
    }
}
