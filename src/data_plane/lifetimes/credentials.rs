//! The credentials of an audit: a record of 16 bytes for each in each group, and when it was first rejected
//! as revoked.

use crate::model::time::EventTime;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Facts about a credential that hold once a use has shown them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u8);

impl Traits {
    /// It has an end.
    pub const ENDS: Self = Self(1);
    /// Its lifetime is known.
    pub const LASTS: Self = Self(1 << 1);
    /// Its lifetime is over policy.
    pub const OVER_POLICY: Self = Self(1 << 2);
    /// It was accepted after expiry.
    pub const AFTER_EXPIRY: Self = Self(1 << 3);
    /// It was accepted before issue.
    pub const BEFORE_ISSUE: Self = Self(1 << 4);
    /// It was accepted after revocation.
    pub const AFTER_REVOCATION: Self = Self(1 << 5);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The same, and `other` if `holds`.
    #[must_use]
    pub const fn and_if(self, holds: bool, other: Self) -> Self {
        if holds { self.and(other) } else { self }
    }

    /// Whether it has that trait.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A credential in a group. Shape: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The credential's hash.
    pub credential: u64,
    /// Its longest lifetime, as a session that is prolonged has several; 0 without [`Traits::LASTS`].
    /// Unit: seconds, rounded up.
    pub lifetime_s: u32,
    /// The place of the group.
    pub group: u16,
    /// Its traits.
    pub traits: Traits,
}

impl Member {
    /// Hashes of credentials are evenly spread already; the groups of one must differ.
    const fn hash(&self) -> u64 {
        (self.credential ^ self.group as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The credentials of all groups.
#[derive(Clone, Debug, Default)]
pub struct Members(HashTable<Member>);

impl Members {
    /// Adds what is known of a credential in a group; false if it is new and there are `most` already.
    pub fn add(&mut self, member: Member, most: usize) -> bool {
        let has_room = self.0.len() < most;
        let is_same =
            |held: &Member| held.credential == member.credential && held.group == member.group;
        match self.0.entry(member.hash(), is_same, Member::hash) {
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                held.traits = held.traits.and(member.traits);
                held.lifetime_s = held.lifetime_s.max(member.lifetime_s);
            }
            Entry::Vacant(place) if has_room => {
                place.insert(member);
            }
            Entry::Vacant(_) => return false,
        }
        true
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }
}

/// When credentials were first rejected as revoked, of all groups.
#[derive(Clone, Debug, Default)]
pub struct Revocations(HashTable<(u64, EventTime)>);

impl Revocations {
    /// When a credential was first rejected as revoked.
    pub fn first(&self, credential: u64) -> Option<EventTime> {
        self.0.find(credential, |held| held.0 == credential).map(|held| held.1)
    }

    /// Takes a rejection; false if its credential is new and there are `most` already.
    pub fn add(&mut self, credential: u64, time: EventTime, most: usize) -> bool {
        let has_room = self.0.len() < most;
        match self.0.entry(credential, |held| held.0 == credential, |held| held.0) {
            Entry::Occupied(mut held) => {
                let first = &mut held.get_mut().1;
                *first = time.min(*first);
            }
            Entry::Vacant(place) if has_room => {
                place.insert((credential, time));
            }
            Entry::Vacant(_) => return false,
        }
        true
    }

    /// Forgets that a credential was rejected.
    pub fn remove(&mut self, credential: u64) {
        if let Ok(held) = self.0.find_entry(credential, |held| held.0 == credential) {
            held.remove();
        }
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, EventTime)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, Members, Traits};

    #[test]
    fn a_member_has_sixteen_bytes_and_no_more_than_the_most_are_kept() {
        assert_eq!(size_of::<Member>(), 16);
        let mut members = Members::default();
        let member = |credential, group, traits, lifetime_s| Member {
            credential,
            lifetime_s,
            group,
            traits,
        };
        assert!(members.add(member(7, 0, Traits::ENDS, 0), 2));
        assert!(members.add(member(7, 1, Traits::default(), 5), 2));
        assert!(!members.add(member(8, 0, Traits::default(), 5), 2), "is full");
        assert!(members.add(member(7, 0, Traits::LASTS, 9), 2), "is known");
        let held = members.iter().find(|held| held.group == 0).copied();
        assert_eq!(held, Some(member(7, 0, Traits::ENDS.and(Traits::LASTS), 9)));
    }
}
