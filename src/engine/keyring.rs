//! The keyring: the bounded table of profiles.
//!
//! Profiles lie in chunks that never move, so growth copies nothing. The index maps 32 bits of the
//! credential's hash to the profile's number; the id beside the profile settles the rest. When the
//! keyring is full, the least recently used of a few candidates makes room, never one with an open
//! episode.

use crate::detect::profile::Profile;
use crate::model::credential::Kind;
use compact_str::CompactString;
use hashbrown::HashTable;

const CHUNK: usize = 16_384;
const CANDIDATES: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    number: u32,
}

/// Spreads a tag over the bits that the table goes by.
/// Source: Fibonacci hashing, Knuth, TAOCP vol. 3, 6.4.
const fn spread(tag: u32) -> u64 {
    (tag as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

const fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A credential's id and profile.
#[derive(Clone, Debug)]
pub struct Entry {
    tag: u32,
    /// The id.
    pub id: CompactString,
    /// All else that is remembered.
    pub profile: Profile,
}

/// The bounded table of profiles.
#[derive(Clone, Debug)]
pub struct Keyring {
    index: HashTable<Slot>,
    chunks: Vec<Vec<Entry>>,
    length: usize,
    length_max: usize,
    hand: usize,
}

impl Keyring {
    /// An empty keyring for at most `length_max` credentials (at least one).
    pub fn new(length_max: usize) -> Self {
        Self {
            index: HashTable::new(),
            chunks: Vec::new(),
            length: 0,
            length_max: length_max.clamp(1, u32::MAX as usize - 1),
            hand: 0,
        }
    }

    /// How many credentials it holds.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The entry of that number.
    pub fn get(&self, number: u32) -> Option<&Entry> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)
    }

    /// The entry of that number, to change.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Entry> {
        self.chunks.get_mut(number as usize / CHUNK)?.get_mut(number as usize % CHUNK)
    }

    /// A number that is likely the credential's, from the index alone: no profile is touched.
    pub fn guess(&self, hash: u64) -> Option<u32> {
        let tag = tag_of(hash);
        self.index.find(spread(tag), |slot| slot.tag == tag).map(|slot| slot.number)
    }

    /// Whether the entry of that number is the credential's.
    pub fn is(&self, number: u32, kind: Kind, id: &str) -> bool {
        self.get(number).is_some_and(|entry| entry.profile.kind() == kind && entry.id == id)
    }

    /// The number of that credential.
    pub fn find(&self, hash: u64, kind: Kind, id: &str) -> Option<u32> {
        let tag = tag_of(hash);
        let is_it = |slot: &Slot| slot.tag == tag && self.is(slot.number, kind, id);
        self.index.find(spread(tag), is_it).map(|slot| slot.number)
    }

    /// Takes in a credential that it does not hold; gives its number and whether another had to
    /// go. `None`: it is full of open episodes.
    pub fn admit(&mut self, hash: u64, id: &str, profile: Profile) -> Option<(u32, bool)> {
        let tag = tag_of(hash);
        let entry = Entry { tag, id: CompactString::new(id), profile };
        let (number, evicts) = if self.length < self.length_max {
            (u32::try_from(self.length).ok()?, false)
        } else {
            (self.least_recently_used()?, true)
        };
        if evicts {
            self.forget(number);
            *self.get_mut(number)? = entry;
        } else {
            if self.length.is_multiple_of(CHUNK) {
                self.chunks.push(Vec::with_capacity(CHUNK.min(self.length_max - self.length)));
            }
            self.chunks.last_mut()?.push(entry);
            self.length += 1;
        }
        self.index.insert_unique(spread(tag), Slot { tag, number }, |slot| spread(slot.tag));
        Some((number, evicts))
    }

    fn forget(&mut self, number: u32) {
        let Some(tag) = self.get(number).map(|entry| entry.tag) else {
            return;
        };
        if let Ok(found) = self.index.find_entry(spread(tag), |slot| slot.number == number) {
            found.remove();
        }
    }

    /// The least recently used of the next few entries without an open episode or a place among
    /// the busiest.
    fn least_recently_used(&mut self) -> Option<u32> {
        let mut oldest: Option<(u32, u32)> = None;
        for step in 0..self.length {
            if step >= CANDIDATES && oldest.is_some() {
                break;
            }
            let number = u32::try_from(self.hand).ok()?;
            self.hand = (self.hand + 1) % self.length;
            let profile = &self.get(number)?.profile;
            let seen = profile.windows().newest();
            let may_go = profile.episode().is_none() && !profile.is_hot();
            if may_go && oldest.is_none_or(|(least, _)| seen < least) {
                oldest = Some((seen, number));
            }
        }
        oldest.map(|(_, number)| number)
    }

    /// All entries, in the order in which they were admitted.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten()
    }

    /// All entries, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.chunks.iter_mut().flatten()
    }

    /// What touching the profile of that number reads: one word of each part that an event uses.
    /// The reads of a whole batch do not depend on each other, so the processor overlaps them.
    pub fn touch(&self, number: u32, second: u32) -> u32 {
        self.get(number).map_or(0, |entry| {
            let windows = entry.profile.windows();
            let length = u32::try_from(entry.id.len()).unwrap_or(0);
            let seconds = windows.seconds_until(second, 1);
            let minutes = windows.minutes_until(second / 60, 1);
            let learned = entry.profile.baseline().touch();
            length ^ windows.newest() ^ seconds ^ minutes ^ learned ^ entry.profile.limit_per_min()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Keyring;
    use crate::detect::profile::{Params, Profile};
    use crate::model::credential::Kind;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn profile(second: u32) -> Profile {
        Profile::new(Kind::ApiKey, 0, 0, second, &Params::default())
    }

    proptest! {
        /// Hashes of few values, so that tags collide often.
        #[test]
        fn a_keyring_finds_what_a_map_finds(
            uses in prop::collection::vec((0_u64..40, 0_u64..4), 1..300)
        ) {
            let mut keyring = Keyring::new(1000);
            let mut map = BTreeMap::new();
            for (name, clash) in uses {
                let (id, hash) = (format!("k{name}"), (name % (clash + 1)) << 32);
                let hash = *map.entry(id.clone()).or_insert((hash, None::<u32>));
                let found = keyring.find(hash.0, Kind::ApiKey, &id);
                prop_assert_eq!(found, hash.1);
                if found.is_none() {
                    let admitted = keyring.admit(hash.0, &id, profile(1)).expect("room");
                    map.insert(id, (hash.0, Some(admitted.0)));
                }
            }
            prop_assert_eq!(keyring.len(), map.len());
        }
    }

    #[test]
    fn a_full_keyring_forgets_the_least_recently_used_without_an_episode() {
        let mut keyring = Keyring::new(3);
        for (hash, second) in [(1_u64, 30), (2, 10), (3, 20)] {
            keyring.admit(hash << 32, &format!("k{hash}"), profile(second));
        }
        let oldest = keyring.find(2 << 32, Kind::ApiKey, "k2").expect("there");
        keyring.get_mut(oldest).expect("there").profile.set_episode(Some(0));
        let (_, evicts) = keyring.admit(4 << 32, "k4", profile(40)).expect("room");
        assert!(evicts);
        assert_eq!(keyring.len(), 3);
        assert_eq!(keyring.find(3 << 32, Kind::ApiKey, "k3"), None);
        for left in [1_u64, 2, 4] {
            assert!(keyring.find(left << 32, Kind::ApiKey, &format!("k{left}")).is_some());
        }
    }

    #[test]
    fn a_keyring_full_of_episodes_admits_nobody() {
        let mut keyring = Keyring::new(1);
        let (number, _) = keyring.admit(1 << 32, "k1", profile(1)).expect("room");
        keyring.get_mut(number).expect("there").profile.set_episode(Some(0));
        assert_eq!(keyring.admit(2 << 32, "k2", profile(2)), None);
    }
}
