//! Groups of credentials by kind, issuer and gateway, each with its counts.
//!
//! A group is found by binary search among at most [`GROUPS_MAX`], so its names are allocated once.

use crate::model::credential::Kind;
use crate::model::event::Reason;

/// Groups at most; uses of any further one count together. Chosen: five kinds, a few issuers and some
/// dozen gateways; a sender that makes up names gains no memory.
pub const GROUPS_MAX: usize = 256;
/// The place of the uses beyond [`GROUPS_MAX`].
pub const OTHERS: u16 = u16::MAX;
/// The known reasons, and a place for all others.
const REASONS: usize = Reason::ALL.len() + 1;

/// A group's name, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupRef<'a> {
    /// The kind of its credentials.
    pub kind: Kind,
    /// The authority that issued them.
    pub issuer: Option<&'a str>,
    /// The gateway that answered.
    pub gateway: Option<&'a str>,
}

/// A group's name. Shape: at most two texts of [`crate::model::credential::NAME_BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// The kind of its credentials.
    pub kind: Kind,
    /// The authority that issued them.
    pub issuer: Option<Box<str>>,
    /// The gateway that answered.
    pub gateway: Option<Box<str>>,
}

impl GroupName {
    /// The same, borrowed.
    pub fn borrowed(&self) -> GroupRef<'_> {
        GroupRef {
            kind: self.kind,
            issuer: self.issuer.as_deref(),
            gateway: self.gateway.as_deref(),
        }
    }
}

impl From<GroupRef<'_>> for GroupName {
    fn from(name: GroupRef<'_>) -> Self {
        Self {
            kind: name.kind,
            issuer: name.issuer.map(Box::from),
            gateway: name.gateway.map(Box::from),
        }
    }
}

/// Accepted uses on one side of a border of life, and the farthest of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// How many.
    pub uses: u64,
    /// The longest gap to the border. Unit: milliseconds.
    pub longest_ms: i64,
}

impl Outside {
    /// Counts a use that is so far outside, if it is.
    pub fn record(&mut self, gap_ms: Option<i64>) {
        if let Some(gap) = gap_ms {
            self.uses += 1;
            self.longest_ms = self.longest_ms.max(gap);
        }
    }

    const fn merge(&mut self, other: Self) {
        self.uses += other.uses;
        if other.longest_ms > self.longest_ms {
            self.longest_ms = other.longest_ms;
        }
    }
}

/// The counts of a group; those of credentials are with the credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Verified uses.
    pub uses: u64,
    /// Accepted uses after expiry.
    pub after_expiry: Outside,
    /// Accepted uses before issue.
    pub before_issue: Outside,
    /// Accepted uses after one that was rejected as revoked.
    pub after_revocation: Outside,
    /// Verified rejections in the order of [`Reason::ALL`], those of any other reason last.
    rejections: [u64; REASONS],
}

impl Counts {
    /// Counts a verified rejection.
    pub fn reject(&mut self, reason: Option<Reason>) {
        let place = reason.map_or(REASONS - 1, |reason| reason as usize);
        if let Some(count) = self.rejections.get_mut(place) {
            *count += 1;
        }
    }

    /// The reasons of verified rejections that occurred; none: a reason outside the vocabulary.
    pub fn rejections(&self) -> impl Iterator<Item = (Option<Reason>, u64)> {
        let reasons = Reason::ALL.into_iter().map(Some).chain([None]);
        reasons.zip(self.rejections).filter(|(_, count)| *count > 0)
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        self.uses += other.uses;
        self.after_expiry.merge(other.after_expiry);
        self.before_issue.merge(other.before_issue);
        self.after_revocation.merge(other.after_revocation);
        for (own, other) in self.rejections.iter_mut().zip(other.rejections) {
            *own += other;
        }
    }
}

/// The groups. A place, once given, stays that of its group.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    named: Vec<(GroupName, Counts)>,
    /// The places in the order of the names.
    order: Vec<u16>,
    others: Counts,
}

impl Groups {
    /// The place of a group, made where there is room for it. Cost: allocates for a new group alone.
    pub fn place(&mut self, name: GroupRef<'_>) -> u16 {
        let compare = |place: &u16| {
            let group = self.named.get(usize::from(*place));
            group.map(|(held, _)| held.borrowed()).cmp(&Some(name))
        };
        match self.order.binary_search_by(compare) {
            Ok(at) => self.order.get(at).copied().unwrap_or(OTHERS),
            Err(_) if self.named.len() >= GROUPS_MAX => OTHERS,
            Err(at) => {
                let place = u16::try_from(self.named.len()).unwrap_or(OTHERS);
                self.named.push((name.into(), Counts::default()));
                self.order.insert(at, place);
                place
            }
        }
    }

    /// The counts at a place.
    pub fn counts_mut(&mut self, place: u16) -> &mut Counts {
        let group = self.named.get_mut(usize::from(place));
        group.map_or(&mut self.others, |(_, counts)| counts)
    }

    /// Adds the groups of another part; gives the own places of its groups, by their places there.
    pub fn merge(&mut self, other: &Self) -> Vec<u16> {
        self.others.merge(&other.others);
        let mut places = Vec::with_capacity(other.named.len());
        for (name, counts) in &other.named {
            let place = self.place(name.borrowed());
            self.counts_mut(place).merge(counts);
            places.push(place);
        }
        places
    }

    /// All groups in the order of their names with their places; the others last, if there are any.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Option<&GroupName>, &Counts)> {
        let named = self.order.iter().filter_map(|place| {
            let (name, counts) = self.named.get(usize::from(*place))?;
            Some((*place, Some(name), counts))
        });
        let others = (self.others.uses > 0).then_some((OTHERS, None, &self.others));
        named.chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUPS_MAX, GroupRef, Groups, OTHERS};
    use crate::model::credential::Kind;

    #[test]
    fn groups_beyond_the_most_count_together_and_places_stay() {
        let mut groups = Groups::default();
        let names: Vec<String> = (0..GROUPS_MAX + 9).rev().map(|n| format!("{n:03}")).collect();
        for _ in 0..2 {
            for (at, gateway) in names.iter().enumerate() {
                let gateway = Some(gateway.as_str());
                let place = groups.place(GroupRef { kind: Kind::Jwt, issuer: None, gateway });
                let is_within = at < GROUPS_MAX;
                assert_eq!(usize::from(place), if is_within { at } else { usize::from(OTHERS) });
                groups.counts_mut(place).uses += 1;
            }
        }
        let all: Vec<_> = groups.iter().map(|(_, name, counts)| (name, counts.uses)).collect();
        assert_eq!(all.len(), GROUPS_MAX + 1);
        assert_eq!(all.last().map(|(name, uses)| (name.is_none(), *uses)), Some((true, 18)));
        let first = all[0].0.and_then(|name| name.gateway.as_deref());
        assert_eq!(first, Some("009"), "in the order of names");
    }
}
