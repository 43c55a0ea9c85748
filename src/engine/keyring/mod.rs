//! The keyring: the bounded table of profiles.
//!
//! ```text
//!  index: 32 bits of the hash -> number     awake:  profiles, 312 bytes
//!                                           asleep: what is left after an hour of silence, 108
//! ```
//! Profiles lie in slabs that never move, so growth copies nothing. The index maps 32 bits of the
//! credential's hash to the profile's number; the id beside the profile settles the rest. Who is
//! silent for an hour falls asleep and wakes with the next event. When the keyring is full, the
//! least recently used of a few candidates makes room, sleepers first, never one with an open
//! episode.

mod saving;

pub use saving::Restoring;

use super::batch::HashSeed;
use super::slab::Slab;
use crate::detect::asleep::{Asleep, SILENCE_S};
use crate::detect::profile::{Identity, Params, Profile};
use crate::model::credential::Kind;
use compact_str::CompactString;
use hashbrown::HashTable;
use saving::Saving;

/// How many entries are looked at to find one that may go. Chosen.
const CANDIDATES: u32 = 16;
/// How many places are looked at for a sleeper, before one who is awake must go: the slab of
/// sleepers is nearly empty while nearly all are awake.
const SLEEPER_PLACES: u32 = 256;
/// The bit that tells the numbers of sleepers.
const ASLEEP: u32 = 1 << 31;

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
    /// The id.
    pub id: CompactString,
    /// All else that is remembered.
    pub profile: Profile,
}

/// A credential's id and what is left of its profile.
#[derive(Clone, Debug)]
struct Sleeper {
    id: CompactString,
    asleep: Asleep,
}

/// The bounded table of profiles.
#[derive(Clone, Debug)]
pub struct Keyring {
    seed: HashSeed,
    index: HashTable<Slot>,
    awake: Slab<Entry>,
    asleep: Slab<Sleeper>,
    length_max: u32,
    evict_hand: u32,
    sleep_hand: u32,
    saving: Option<Box<Saving>>,
}

impl Keyring {
    /// An empty keyring for at most `length_max` credentials (at least one).
    pub fn new(length_max: usize, seed: HashSeed) -> Self {
        Self {
            seed,
            index: HashTable::new(),
            awake: Slab::default(),
            asleep: Slab::default(),
            length_max: u32::try_from(length_max).unwrap_or(ASLEEP - 1).clamp(1, ASLEEP - 1),
            evict_hand: 0,
            sleep_hand: 0,
            saving: None,
        }
    }

    /// How many credentials it holds.
    pub const fn len(&self) -> usize {
        self.awake.len() + self.asleep.len()
    }

    /// How many of them are asleep.
    pub const fn sleepers(&self) -> usize {
        self.asleep.len()
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of that number; none for a sleeper's.
    pub fn get(&self, number: u32) -> Option<&Entry> {
        self.awake.get(number)
    }

    /// The entry of that number, to change; none for a sleeper's.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Entry> {
        self.save_first(number);
        self.awake.get_mut(number)
    }

    /// A copy of what is remembered under that number, awake as it would be now.
    pub fn snapshot(&self, number: u32, params: &Params) -> Option<Entry> {
        if number & ASLEEP == 0 {
            return self.get(number).cloned();
        }
        let Sleeper { id, asleep } = self.asleep.get(number & !ASLEEP)?;
        Some(Entry { id: id.clone(), profile: asleep.wake(params) })
    }

    /// Kind and id of the credential with that hash.
    pub fn name_of(&self, hash: u64) -> Option<(Kind, &str)> {
        let tag = tag_of(hash);
        let named = |slot: &Slot| {
            self.name(slot.number)
                .filter(|(kind, id)| slot.tag == tag && self.seed.hash(*kind, id) == hash)
        };
        let slot = self.index.find(spread(tag), |slot| named(slot).is_some())?;
        named(slot)
    }

    fn name(&self, number: u32) -> Option<(Kind, &str)> {
        if number & ASLEEP == 0 {
            return self.get(number).map(|entry| (entry.profile.kind(), entry.id.as_str()));
        }
        let sleeper = self.asleep.get(number & !ASLEEP)?;
        Some((sleeper.asleep.identity().kind, sleeper.id.as_str()))
    }

    /// A number that is likely the credential's, from the index alone: no profile is touched.
    pub fn guess(&self, hash: u64) -> Option<u32> {
        let tag = tag_of(hash);
        self.index.find(spread(tag), |slot| slot.tag == tag).map(|slot| slot.number)
    }

    /// Whether the number is the credential's.
    pub fn is(&self, number: u32, kind: Kind, id: &str) -> bool {
        self.name(number) == Some((kind, id))
    }

    /// The number of that credential, asleep or awake.
    pub fn find(&self, hash: u64, kind: Kind, id: &str) -> Option<u32> {
        let tag = tag_of(hash);
        let is_it = |slot: &Slot| slot.tag == tag && self.is(slot.number, kind, id);
        self.index.find(spread(tag), is_it).map(|slot| slot.number)
    }

    /// The number under which the credential of `number` is awake; wakes it if it sleeps.
    pub fn awake(&mut self, number: u32, params: &Params) -> Option<u32> {
        if number & ASLEEP == 0 {
            return Some(number);
        }
        self.save_first(number);
        let Sleeper { id, asleep } = self.asleep.remove(number & !ASLEEP)?;
        let tag = tag_of(self.seed.hash(asleep.identity().kind, &id));
        let woken = self.awake.insert(Entry { id, profile: asleep.wake(params) });
        self.renumber(tag, number, woken);
        Some(woken)
    }

    fn renumber(&mut self, tag: u32, from: u32, to: u32) {
        if let Some(slot) = self.index.find_mut(spread(tag), |slot| slot.number == from) {
            slot.number = to;
        }
    }

    /// Lets those of the next `most` entries fall asleep that were silent for an hour by `second`
    /// and have no open episode.
    pub fn settle(&mut self, most: u32, second: u32, params: &Params) {
        for _ in 0..most.min(self.awake.places()) {
            let number = self.sleep_hand;
            self.sleep_hand = (self.sleep_hand + 1) % self.awake.places().max(1);
            let silent = self.get(number).is_some_and(|Entry { profile, .. }| {
                let last = profile.windows().newest();
                second.saturating_sub(last) >= SILENCE_S
                    && profile.episode().is_none()
                    && !profile.is_hot()
            });
            if silent {
                self.save_first(number);
            }
            if let Some(Entry { id, profile }) = silent.then(|| self.awake.remove(number)).flatten()
            {
                let tag = tag_of(self.seed.hash(profile.kind(), &id));
                let asleep = Asleep::of(profile, second, params);
                let number_asleep = self.asleep.insert(Sleeper { id, asleep }) | ASLEEP;
                self.renumber(tag, number, number_asleep);
            }
        }
    }

    /// How many entries there are to look at, for one round of [`Keyring::settle`].
    pub const fn places_awake(&self) -> u32 {
        self.awake.places()
    }

    /// Takes in a credential that it does not hold; gives its number and whether another had to
    /// go. `None`: it is full of open episodes.
    pub fn admit(&mut self, hash: u64, id: &str, profile: Profile) -> Option<(u32, bool)> {
        let tag = tag_of(hash);
        let evicts = self.len() >= self.length_max as usize;
        if evicts {
            self.evict()?;
        }
        let number = self.awake.insert(Entry { id: CompactString::new(id), profile });
        self.index.insert_unique(spread(tag), Slot { tag, number }, |slot| spread(slot.tag));
        Some((number, evicts))
    }

    /// Forgets the least recently used of a few: of the sleepers, if there are any.
    fn evict(&mut self) -> Option<()> {
        let number = match self.least_recent_sleeper() {
            Some(number) => number | ASLEEP,
            None => self.least_recently_used()?,
        };
        self.save_first(number);
        let (kind, id) = if number & ASLEEP == 0 {
            let entry = self.awake.remove(number)?;
            (entry.profile.kind(), entry.id)
        } else {
            let sleeper = self.asleep.remove(number & !ASLEEP)?;
            (sleeper.asleep.identity().kind, sleeper.id)
        };
        let tag = tag_of(self.seed.hash(kind, &id));
        if let Ok(found) = self.index.find_entry(spread(tag), |slot| slot.number == number) {
            found.remove();
        }
        Some(())
    }

    fn least_recent_sleeper(&mut self) -> Option<u32> {
        let (asleep, hand) = (&self.asleep, &mut self.evict_hand);
        let places = asleep.places().min(SLEEPER_PLACES);
        oldest(asleep, hand, places, |sleeper| Some(sleeper.asleep.last_seen()))
    }

    /// The least recently used of the next few entries without an open episode or a place among
    /// the busiest.
    fn least_recently_used(&mut self) -> Option<u32> {
        let (awake, hand) = (&self.awake, &mut self.evict_hand);
        oldest(awake, hand, awake.places(), |entry| {
            let may_go = entry.profile.episode().is_none() && !entry.profile.is_hot();
            may_go.then(|| entry.profile.windows().newest())
        })
    }

    /// What hardly changes of each, and the second (since 1970) in which it was last used.
    pub fn identities(&self) -> impl Iterator<Item = (&Identity, u32)> {
        let awake = self.awake.iter().map(|entry| &entry.profile);
        let awake = awake.map(|profile| (profile.identity(), profile.windows().newest()));
        let asleep = self.asleep.iter().map(|sleeper| &sleeper.asleep);
        awake.chain(asleep.map(|asleep| (asleep.identity(), asleep.last_seen())))
    }

    /// Sets the limit of each to what `limit_of` says of its id.
    pub fn set_limits(&mut self, limit_of: impl Fn(&Identity, &str) -> u32) {
        for entry in self.awake.iter_mut() {
            entry.profile.set_limit(limit_of(entry.profile.identity(), &entry.id));
        }
        for sleeper in self.asleep.iter_mut() {
            sleeper.asleep.set_limit(limit_of(sleeper.asleep.identity(), &sleeper.id));
        }
    }

    /// What touching the profile of that number reads: one word of each part that an event uses.
    /// The reads of a whole batch do not depend on each other, so the processor overlaps them.
    pub fn touch(&self, number: u32, second: u32) -> u32 {
        self.get(number).map_or(0, |entry| {
            u32::try_from(entry.id.len()).unwrap_or(0) ^ entry.profile.touch(second)
        })
    }
}

/// The least recently used of the next few of a slab from `hand` on, found within so many
/// `places`; `seen` says when one was, or none if it must stay.
fn oldest<T>(
    slab: &Slab<T>,
    hand: &mut u32,
    places: u32,
    seen: impl Fn(&T) -> Option<u32>,
) -> Option<u32> {
    let mut oldest: Option<(u32, u32)> = None;
    for step in 0..places {
        if step >= CANDIDATES && oldest.is_some() {
            break;
        }
        *hand = (*hand + 1) % slab.places();
        let Some(second) = slab.get(*hand).and_then(&seen) else { continue };
        if oldest.is_none_or(|(least, _)| second < least) {
            oldest = Some((second, *hand));
        }
    }
    oldest.map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::{ASLEEP, HashSeed, Identity, Keyring, SILENCE_S};
    use crate::detect::profile::{Params, Profile};
    use crate::model::credential::Kind;
    use crate::model::facts::Facts;
    use crate::model::time::EventTime;
    use crate::stats::rate::Prior;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SEED: HashSeed = HashSeed(1, 2);

    fn profile(second: u32) -> Profile {
        let identity = Identity::new(Kind::ApiKey, 0, 0, second);
        Profile::new(identity, Prior { events: 0.5, mean_per_s: 1.0 }, &Params::default())
    }

    fn hash(id: &str) -> u64 {
        SEED.hash(Kind::ApiKey, id)
    }

    fn admit(keyring: &mut Keyring, id: &str, second: u32) -> Option<(u32, bool)> {
        keyring.admit(hash(id), id, profile(second))
    }

    proptest! {
        /// Hashes of few values, so that tags collide often.
        #[test]
        fn a_keyring_finds_what_a_map_finds(
            uses in prop::collection::vec((0_u64..40, 0_u64..4), 1..300)
        ) {
            let mut keyring = Keyring::new(1000, SEED);
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

    proptest! {
        #[test]
        fn who_falls_asleep_and_wakes_is_found_under_the_same_id(
            steps in prop::collection::vec((0_u64..30, 0_u32..3000), 1..200)
        ) {
            let (mut keyring, params, mut now) = (Keyring::new(1000, SEED), Params::default(), 1);
            for (name, passes) in steps {
                now += passes;
                let id = format!("k{name}");
                let found = keyring.find(hash(&id), Kind::ApiKey, &id);
                let number = match found {
                    Some(number) => keyring.awake(number, &params).expect("there"),
                    None => admit(&mut keyring, &id, now).expect("room").0,
                };
                let entry = keyring.get_mut(number).expect("awake");
                prop_assert_eq!(&entry.id, &id);
                let time = EventTime::from_s(i64::from(now));
                entry.profile.record(time, &Facts::default(), false, &params);
                keyring.settle(3, now, &params);
                let all = keyring.identities().count();
                prop_assert_eq!(all, keyring.len());
                prop_assert_eq!(keyring.name_of(hash(&id)), Some((Kind::ApiKey, id.as_str())));
            }
        }
    }

    #[test]
    fn a_full_keyring_forgets_the_least_recently_used_without_an_episode() {
        let mut keyring = Keyring::new(3, SEED);
        for (id, second) in [("k1", 30), ("k2", 10), ("k3", 20)] {
            admit(&mut keyring, id, second);
        }
        let oldest = keyring.find(hash("k2"), Kind::ApiKey, "k2").expect("there");
        keyring.get_mut(oldest).expect("there").profile.set_episode(Some(0));
        let (_, evicts) = admit(&mut keyring, "k4", 40).expect("room");
        assert!(evicts);
        assert_eq!(keyring.len(), 3);
        assert_eq!(keyring.find(hash("k3"), Kind::ApiKey, "k3"), None);
        for left in ["k1", "k2", "k4"] {
            assert!(keyring.find(hash(left), Kind::ApiKey, left).is_some());
        }
    }

    #[test]
    fn a_full_keyring_forgets_sleepers_first() {
        let mut keyring = Keyring::new(2, SEED);
        admit(&mut keyring, "sleeper", 1);
        admit(&mut keyring, "awake", SILENCE_S);
        keyring.settle(2, SILENCE_S + 1, &Params::default());
        let asleep = keyring.find(hash("sleeper"), Kind::ApiKey, "sleeper").expect("there");
        assert!(asleep & ASLEEP != 0 && keyring.sleepers() == 1);
        admit(&mut keyring, "new", SILENCE_S + 2).expect("room");
        assert_eq!(keyring.find(hash("sleeper"), Kind::ApiKey, "sleeper"), None);
        assert!(keyring.find(hash("awake"), Kind::ApiKey, "awake").is_some());
    }

    #[test]
    fn a_keyring_full_of_episodes_admits_nobody() {
        let mut keyring = Keyring::new(1, SEED);
        let (number, _) = admit(&mut keyring, "k1", 1).expect("room");
        keyring.get_mut(number).expect("there").profile.set_episode(Some(0));
        assert_eq!(admit(&mut keyring, "k2", 2), None);
    }
}
