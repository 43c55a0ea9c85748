//! The keyring: the bounded table of profiles.
//!
//! ```text
//!  index: 32 bits of the hash -> number     awake:  profiles, 312 bytes
//!                                           asleep: what is left after an hour of silence, 108
//! ```
//! Profiles lie in slabs that never move, so growth copies nothing. The index maps 32 bits of the
//! credential's hash to the profile's number; the id at the profile settles the rest. Who is
//! silent for an hour falls asleep and wakes with the next event. Who makes room when the keyring is
//! full stands in `room`.

use super::profile_entry::Entry;
use crate::data_plane::profile_entry::ASLEEP;
use crate::data_plane::profile_entry::Sleeper;
use crate::data_plane::profile_entry::Slot;
use crate::data_plane::profile_entry::spread;
use crate::data_plane::profile_entry::tag_of;

use super::batch::HashSeed;
use super::eviction_policy::Room;
use super::snapshot_progress::Saving;
use crate::collections::slab::Slab;
use crate::detect::cold_profile::{Asleep, SILENCE_S};
use crate::detect::params::Params;
use crate::detect::profile::{Identity, Profile};
use crate::model::credential::Kind;
use compact_str::CompactString;
use hashbrown::HashTable;

/// The bounded table of profiles.
#[derive(Clone, Debug)]
pub struct Keyring {
    pub(super) seed: HashSeed,
    pub(super) index: HashTable<Slot>,
    pub(super) awake: Slab<Entry>,
    pub(super) asleep: Slab<Sleeper>,
    pub(super) room: Room,
    pub(super) sleep_hand: u32,
    pub(super) saving: Option<Box<Saving>>,
}

impl Keyring {
    /// An empty keyring of at most `bytes_max` (at least one credential fits). Unit: bytes.
    pub fn new(bytes_max: usize, seed: HashSeed) -> Self {
        Self {
            seed,
            index: HashTable::new(),
            awake: Slab::default(),
            asleep: Slab::default(),
            room: Room::new(bytes_max),
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

    pub(super) fn name(&self, number: u32) -> Option<(Kind, &str)> {
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

    /// The number under which the credential of `number` is awake at `second`; wakes it if it sleeps.
    /// `None`: it is full of open episodes.
    pub fn awake(&mut self, number: u32, second: u32, params: &Params) -> Option<u32> {
        if number & ASLEEP == 0 {
            return Some(number);
        }
        self.save_first(number);
        let Sleeper { id, asleep } = self.asleep.remove(number & !ASLEEP)?;
        let tag = tag_of(self.seed.hash(asleep.identity().kind, &id));
        if !self.make_room_awake(0, second, params) {
            let back = self.asleep.insert(Sleeper { id, asleep }) | ASLEEP;
            self.renumber(tag, number, back);
            return None;
        }
        let woken = self.awake.insert(Entry { id, profile: asleep.wake(params) });
        self.renumber(tag, number, woken);
        Some(woken)
    }

    fn renumber(&mut self, tag: u32, from: u32, to: u32) {
        let is_it = |slot: &Slot| slot.number == from && slot.tag == tag;
        if let Some(slot) = self.index.find_mut(spread(tag), is_it) {
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
                self.fall_asleep(number, second, params);
            }
        }
    }

    /// Puts the entry of that number to sleep, if there is room for it among the sleepers.
    pub(super) fn fall_asleep(&mut self, number: u32, second: u32, params: &Params) -> bool {
        let rank = self.get(number).map(super::eviction_policy::rank);
        if !rank.is_some_and(|rank| self.make_room_asleep(rank)) {
            return false;
        }
        self.save_first(number);
        let Some(Entry { id, profile }) = self.awake.remove(number) else { return false };
        let tag = tag_of(self.seed.hash(profile.kind(), &id));
        let asleep = Asleep::of(profile, second, params);
        let number_asleep = self.asleep.insert(Sleeper { id, asleep }) | ASLEEP;
        self.renumber(tag, number, number_asleep);
        true
    }

    /// How many entries there are to look at, for one round of [`Keyring::settle`].
    pub const fn places_awake(&self) -> u32 {
        self.awake.places()
    }

    /// Takes in a credential that it does not hold, at `second`; gives its number. `None`: it is full
    /// of open episodes.
    pub fn admit(
        &mut self,
        (hash, id): (u64, &str),
        profile: Profile,
        second: u32,
        params: &Params,
    ) -> Option<u32> {
        if !self.make_room_awake(super::eviction_policy::heap_bytes(id), second, params) {
            return None;
        }
        let tag = tag_of(hash);
        self.room.note_id(id);
        let number = self.awake.insert(Entry { id: CompactString::new(id), profile });
        self.index.insert_unique(spread(tag), Slot { tag, number }, |slot| spread(slot.tag));
        Some(number)
    }

    /// Forgets the credential of that number.
    pub(super) fn forget(&mut self, number: u32) {
        self.save_first(number);
        let (identity, id) = if number & ASLEEP == 0 {
            let Some(entry) = self.awake.remove(number) else { return };
            (*entry.profile.identity(), entry.id)
        } else {
            let Some(sleeper) = self.asleep.remove(number & !ASLEEP) else { return };
            (*sleeper.asleep.identity(), sleeper.id)
        };
        self.room.note_forgotten(&identity, &id);
        let tag = tag_of(self.seed.hash(identity.kind, &id));
        let is_it = |slot: &Slot| slot.number == number && slot.tag == tag;
        if let Ok(found) = self.index.find_entry(spread(tag), is_it) {
            found.remove();
        }
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

#[cfg(test)]
mod tests {
    use super::{HashSeed, Identity, Keyring};
    use crate::data_plane::eviction_policy::{Evictions, bytes_for};
    use crate::detect::params::Params;
    use crate::detect::profile::Profile;
    use crate::model::credential::Kind;
    use crate::model::features::Facts;
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

    fn admit(keyring: &mut Keyring, id: &str, second: u32) -> Option<u32> {
        keyring.admit((hash(id), id), profile(second), second, &Params::default())
    }

    proptest! {
        /// Hashes of few values, so that tags collide often.
        #[test]
        fn a_keyring_finds_what_a_map_finds(
            uses in prop::collection::vec((0_u64..40, 0_u64..4), 1..300)
        ) {
            let mut keyring = of(1000);
            let mut map = BTreeMap::new();
            for (name, clash) in uses {
                let (id, hash) = (format!("k{name}"), (name % (clash + 1)) << 32);
                let hash = *map.entry(id.clone()).or_insert((hash, None::<u32>));
                let found = keyring.find(hash.0, Kind::ApiKey, &id);
                prop_assert_eq!(found, hash.1);
                if found.is_none() {
                    let named = (hash.0, id.as_str());
                    let admitted = keyring.admit(named, profile(1), 1, &Params::default());
                    map.insert(id, (hash.0, admitted));
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
            let (mut keyring, params, mut now) = (of(1000), Params::default(), 1);
            for (name, passes) in steps {
                now += passes;
                let id = format!("k{name}");
                let found = keyring.find(hash(&id), Kind::ApiKey, &id);
                let number = match found {
                    Some(number) => keyring.awake(number, now, &params).expect("there"),
                    None => admit(&mut keyring, &id, now).expect("room"),
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

    /// A keyring in which that many are awake at most.
    fn of(awake: usize) -> Keyring {
        Keyring::new(bytes_for(awake), SEED)
    }

    fn is_there(keyring: &Keyring, id: &str) -> bool {
        keyring.find(hash(id), Kind::ApiKey, id).is_some()
    }

    /// Uses it in another hour than before, so that it is new no more.
    fn use_again(keyring: &mut Keyring, id: &str, second: u32) {
        let number = keyring.find(hash(id), Kind::ApiKey, id).expect("there");
        let profile = &mut keyring.get_mut(number).expect("awake").profile;
        let time = EventTime::from_s(i64::from(second));
        profile.record(time, &Facts::default(), false, &Params::default());
    }

    #[test]
    fn new_ones_go_first_the_oldest_of_them_before_the_others_and_none_with_an_episode() {
        let mut keyring = of(4);
        for (id, second) in [("old", 10), ("abused", 4000), ("new_1", 5000), ("new_2", 5001)] {
            admit(&mut keyring, id, second).expect("room");
        }
        use_again(&mut keyring, "old", 4000);
        let abused = keyring.find(hash("abused"), Kind::ApiKey, "abused").expect("there");
        keyring.get_mut(abused).expect("there").profile.set_episode(Some(0));
        admit(&mut keyring, "new_3", 5002).expect("room");
        assert!(!is_there(&keyring, "new_1"), "the oldest that is new");
        admit(&mut keyring, "new_4", 5003).expect("room");
        for left in ["old", "abused", "new_3", "new_4"] {
            assert!(is_there(&keyring, left), "{left}");
        }
        assert_eq!(keyring.take_evictions(), Evictions { new: 2, ..Evictions::default() });
    }

    #[test]
    fn while_it_is_full_a_credential_is_expected_once_it_was_seen_before() {
        let mut keyring = of(2);
        for id in ["k1", "k2"] {
            assert!(keyring.expects(hash(id), id));
            admit(&mut keyring, id, 1).expect("room");
        }
        assert!(!keyring.expects(hash("k3"), "k3"));
        assert!(keyring.expects(hash("k3"), "k3"));
        assert_eq!(keyring.take_evictions().deferred, 1);
    }

    #[test]
    fn who_is_silent_sleeps_before_anybody_is_forgotten() {
        let mut keyring = of(8);
        for n in 0..8 {
            admit(&mut keyring, &format!("k{n}"), 10).expect("room");
            use_again(&mut keyring, &format!("k{n}"), 4000);
        }
        admit(&mut keyring, "new", 4400).expect("room");
        assert_eq!((keyring.len(), keyring.sleepers()), (9, 1));
        assert_eq!(keyring.take_evictions(), Evictions::default());
    }

    #[test]
    fn long_ids_count() {
        let mut keyring = of(100);
        for n in 0..300 {
            let id = format!("{n:0200}");
            admit(&mut keyring, &id, 1).expect("room");
            assert!(keyring.bytes() <= bytes_for(100));
        }
        assert!(keyring.len() < 90, "{}", keyring.len());
    }

    #[test]
    fn a_keyring_full_of_episodes_admits_nobody() {
        let mut keyring = of(1);
        let number = admit(&mut keyring, "k1", 1).expect("room");
        keyring.get_mut(number).expect("there").profile.set_episode(Some(0));
        assert_eq!(admit(&mut keyring, "k2", 2), None);
    }
}
