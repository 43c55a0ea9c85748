//! The profile table: the bounded table of profiles.
//!
//! ```text
//!  index: 32 bits of the hash -> number     warm:  profiles, 336 bytes
//!                                           cold: what is left after an hour of silence, 116
//! ```
//! Profiles lie in slabs that never move, so growth copies nothing. The index maps 32 bits of the
//! credential's hash to the profile's number; the id at the profile settles the rest. A credential that is
//! silent for an hour gets a cold profile, and a warm one with the next event. Eviction from a full table is
//! full is in `room`.

use super::profile_entry::Entry;
use crate::data_plane::profile_entry::COLD;
use crate::data_plane::profile_entry::ColdEntry;
use crate::data_plane::profile_entry::Slot;
use crate::data_plane::profile_entry::spread;
use crate::data_plane::profile_entry::tag_of;
use crate::detect::limit::Limit;

use super::batch::HashSeed;
use super::eviction_policy::Room;
use super::snapshot_progress::Saving;
use super::unproven_table::UnprovenTable;
use crate::collections::slab::Slab;
use crate::detect::cold_profile::{ColdProfile, SILENCE_S};
use crate::detect::identity::Identity;
use crate::detect::params::Params;
use crate::detect::profile::{Profile, Recorded};
use crate::detect::unproven::day_of;
use crate::model::credential::Kind;
use crate::model::features::Facts;
use crate::model::proof::Family;
use compact_str::CompactString;
use hashbrown::HashTable;

/// The bounded table of profiles.
#[derive(Clone, Debug)]
pub struct ProfileTable {
    pub(super) seed: HashSeed,
    pub(super) index: HashTable<Slot>,
    pub(super) warm: Slab<Entry>,
    pub(super) cold: Slab<ColdEntry>,
    pub(super) room: Room,
    pub(super) sleep_hand: u32,
    pub(super) saving: Option<Box<Saving>>,
    pub(super) unproven: UnprovenTable,
}

impl ProfileTable {
    /// An empty profile table of at most `bytes_max` (at least one credential fits). Unit: bytes.
    pub fn new(bytes_max: usize, seed: HashSeed) -> Self {
        Self {
            seed,
            index: HashTable::new(),
            warm: Slab::default(),
            cold: Slab::default(),
            room: Room::new(bytes_max),
            sleep_hand: 0,
            saving: None,
            unproven: UnprovenTable::sized_for(bytes_max),
        }
    }

    /// How many credentials it holds.
    pub const fn len(&self) -> usize {
        self.warm.len() + self.cold.len()
    }

    /// How many of them are cold.
    pub const fn cold_entries(&self) -> usize {
        self.cold.len()
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of that number; none for a cold entry's.
    pub fn get(&self, number: u32) -> Option<&Entry> {
        self.warm.get(number)
    }

    /// The entry of that number, to change; none for a cold entry's.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Entry> {
        self.save_first(number);
        self.warm.get_mut(number)
    }

    /// The profile of that number, to record an event, and the table of unproven values; none of a cold
    /// entry's.
    pub fn to_record(&mut self, number: u32) -> Option<(&mut Profile, &UnprovenTable)> {
        self.save_first(number);
        let profile = &mut self.warm.get_mut(number)?.profile;
        Some((profile, &self.unproven))
    }

    /// Takes note of an event's values that are unproven: those that have proven themselves are known
    /// from now on. `counts`: nothing is open, so that the day counts for them.
    pub fn prove(
        &mut self,
        (number, hash): (u32, u64),
        (recorded, facts): (&Recorded, &Facts),
        (second, counts): (u32, bool),
    ) {
        let day = day_of(second);
        self.unproven.add(hash, recorded.graduates, day);
        if !counts || recorded.unproven.is_empty() {
            return;
        }
        let proven = self.unproven.record(hash, recorded.unproven, facts, day);
        if let Some(entry) = self.warm.get_mut(number).filter(|_| !proven.is_empty()) {
            entry.profile.prove(proven, facts);
        }
    }

    /// Something is suspicious about the credential of that number in that second.
    pub fn suspect(&mut self, number: u32, second: u32) {
        if let Some((kind, id)) = self.name(number) {
            let hash = self.seed.hash(kind, id);
            self.unproven.suspect(hash, day_of(second));
        }
    }

    /// A copy of what is remembered under that number, warm as it would be now.
    pub fn snapshot(&self, number: u32, params: &Params) -> Option<Entry> {
        if number & COLD == 0 {
            return self.get(number).cloned();
        }
        let ColdEntry { id, cold } = self.cold.get(number & !COLD)?;
        Some(Entry { id: id.clone(), profile: cold.wake(params) })
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
        if number & COLD == 0 {
            return self.get(number).map(|entry| (entry.profile.kind(), entry.id.as_str()));
        }
        let cold_entry = self.cold.get(number & !COLD)?;
        Some((cold_entry.cold.identity().kind, cold_entry.id.as_str()))
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

    /// The number of that credential, cold or warm.
    pub fn find(&self, hash: u64, kind: Kind, id: &str) -> Option<u32> {
        let tag = tag_of(hash);
        let is_it = |slot: &Slot| slot.tag == tag && self.is(slot.number, kind, id);
        self.index.find(spread(tag), is_it).map(|slot| slot.number)
    }

    /// The number under which the credential of `number` is warm at `second`; wakes it if it sleeps.
    /// `None`: it is full of open incidents.
    pub fn warm(&mut self, number: u32, second: u32, params: &Params) -> Option<u32> {
        if number & COLD == 0 {
            return Some(number);
        }
        self.save_first(number);
        let ColdEntry { id, cold } = self.cold.remove(number & !COLD)?;
        let tag = tag_of(self.seed.hash(cold.identity().kind, &id));
        if !self.make_room_warm(0, second, params) {
            let back = self.cold.insert(ColdEntry { id, cold }) | COLD;
            self.renumber(tag, number, back);
            return None;
        }
        let woken = self.warm.insert(Entry { id, profile: cold.wake(params) });
        self.renumber(tag, number, woken);
        Some(woken)
    }

    fn renumber(&mut self, tag: u32, from: u32, to: u32) {
        let is_it = |slot: &Slot| slot.number == from && slot.tag == tag;
        if let Some(slot) = self.index.find_mut(spread(tag), is_it) {
            slot.number = to;
        }
    }

    /// Lets those of the next `most` entries fall cold that were silent for an hour by `second`
    /// and have no open finding.
    pub fn settle(&mut self, most: u32, second: u32, params: &Params) {
        for _ in 0..most.min(self.warm.places()) {
            let number = self.sleep_hand;
            self.sleep_hand = (self.sleep_hand + 1) % self.warm.places().max(1);
            let silent = self.get(number).is_some_and(|Entry { profile, .. }| {
                let last = profile.windows().newest();
                second.saturating_sub(last) >= SILENCE_S
                    && profile.open_finding().is_none()
                    && !profile.is_hot()
            });
            if silent {
                self.make_cold(number, second, params);
            }
        }
    }

    /// Puts the entry of that number to sleep, if there is room for it among the cold entries.
    pub(super) fn make_cold(&mut self, number: u32, second: u32, params: &Params) -> bool {
        let rank = self.get(number).map(super::eviction_policy::rank);
        if !rank.is_some_and(|rank| self.make_room_cold(rank)) {
            return false;
        }
        self.save_first(number);
        let Some(Entry { id, profile }) = self.warm.remove(number) else { return false };
        let hash = self.seed.hash(profile.kind(), &id);
        let tag = tag_of(hash);
        let (cold, graduates) = ColdProfile::of(profile, second, params);
        self.unproven.add(hash, graduates, day_of(second));
        let number_cold = self.cold.insert(ColdEntry { id, cold }) | COLD;
        self.renumber(tag, number, number_cold);
        true
    }

    /// How many entries there are to look at, for one round of [`ProfileTable::settle`].
    pub const fn places_warm(&self) -> u32 {
        self.warm.places()
    }

    /// Takes in a credential that it does not hold, at `second`; gives its number. `None`: it is full
    /// of open incidents.
    pub fn admit(
        &mut self,
        (hash, id): (u64, &str),
        profile: Profile,
        second: u32,
        params: &Params,
    ) -> Option<u32> {
        if !self.make_room_warm(super::eviction_policy::heap_bytes(id), second, params) {
            return None;
        }
        let tag = tag_of(hash);
        self.room.record_id(id);
        let number = self.warm.insert(Entry { id: CompactString::new(id), profile });
        self.index.insert_unique(spread(tag), Slot { tag, number }, |slot| spread(slot.tag));
        Some(number)
    }

    /// Forgets the credential of that number.
    pub(super) fn forget(&mut self, number: u32) {
        self.save_first(number);
        let (identity, id) = if number & COLD == 0 {
            let Some(entry) = self.warm.remove(number) else { return };
            (*entry.profile.identity(), entry.id)
        } else {
            let Some(cold_entry) = self.cold.remove(number & !COLD) else { return };
            (*cold_entry.cold.identity(), cold_entry.id)
        };
        self.room.record_evicted(&identity, &id);
        let tag = tag_of(self.seed.hash(identity.kind, &id));
        let is_it = |slot: &Slot| slot.number == number && slot.tag == tag;
        if let Ok(found) = self.index.find_entry(spread(tag), is_it) {
            found.remove();
        }
    }

    /// The family of the credential of that number.
    pub fn family(&self, number: u32) -> Option<Family> {
        if number & COLD == 0 {
            return self.get(number).map(|entry| entry.profile.family());
        }
        self.cold.get(number & !COLD).map(|cold_entry| cold_entry.cold.family())
    }

    /// The credentials of a family: their numbers, identities, and the second (since 1970) in which each was last
    /// used. Cost: looks at every profile.
    pub fn of_family(&self, family: Family) -> Vec<(u32, Identity, u32)> {
        let places = self.warm.places().max(self.cold.places());
        let numbers = (0..places).chain((0..places).map(|number| number | COLD));
        let of = |number: u32| {
            if self.family(number)? != family {
                return None;
            }
            if number & COLD == 0 {
                let profile = &self.get(number)?.profile;
                return Some((number, *profile.identity(), profile.windows().newest()));
            }
            let cold = &self.cold.get(number & !COLD)?.cold;
            Some((number, *cold.identity(), cold.last_seen()))
        };
        numbers.filter_map(of).collect()
    }

    /// The identity of each, and the second (since 1970) in which it was last used.
    pub fn identities(&self) -> impl Iterator<Item = (&Identity, u32)> {
        let warm = self.warm.iter().map(|entry| &entry.profile);
        let warm = warm.map(|profile| (profile.identity(), profile.windows().newest()));
        let cold = self.cold.iter().map(|cold_entry| &cold_entry.cold);
        warm.chain(cold.map(|cold| (cold.identity(), cold.last_seen())))
    }

    /// Sets the limit of each to what `limit_of` says of its id.
    pub fn set_limits(&mut self, limit_of: impl Fn(&Identity, &str) -> Limit) {
        for entry in self.warm.iter_mut() {
            entry.profile.set_limit(limit_of(entry.profile.identity(), &entry.id));
        }
        for cold_entry in self.cold.iter_mut() {
            cold_entry.cold.set_limit(limit_of(cold_entry.cold.identity(), &cold_entry.id));
        }
    }

    /// Memory of the profile of that number to prefetch: one word of each part that an event uses.
    /// The reads of a whole batch do not depend on each other, so the processor overlaps them.
    pub fn touch(&self, number: u32, second: u32) -> u32 {
        self.get(number).map_or(0, |entry| {
            u32::try_from(entry.id.len()).unwrap_or(0) ^ entry.profile.touch(second)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HashSeed, Identity, ProfileTable};
    use crate::data_plane::eviction_policy::{Evictions, bytes_for};
    use crate::detect::limit::Limit;
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
        let identity = Identity::new(Kind::ApiKey, 0, Limit::NONE, second);
        Profile::new(identity, Prior { events: 0.5, mean_per_s: 1.0 }, &Params::default())
    }

    fn hash(id: &str) -> u64 {
        SEED.hash(Kind::ApiKey, id)
    }

    fn admit(profiles: &mut ProfileTable, id: &str, second: u32) -> Option<u32> {
        profiles.admit((hash(id), id), profile(second), second, &Params::default())
    }

    proptest! {
        /// Hashes of few values, so that tags collide often.
        #[test]
        fn a_profiles_finds_what_a_map_finds(
            uses in prop::collection::vec((0_u64..40, 0_u64..4), 1..300)
        ) {
            let mut profiles = of(1000);
            let mut map = BTreeMap::new();
            for (name, clash) in uses {
                let (id, hash) = (format!("k{name}"), (name % (clash + 1)) << 32);
                let hash = *map.entry(id.clone()).or_insert((hash, None::<u32>));
                let found = profiles.find(hash.0, Kind::ApiKey, &id);
                prop_assert_eq!(found, hash.1);
                if found.is_none() {
                    let named = (hash.0, id.as_str());
                    let admitted = profiles.admit(named, profile(1), 1, &Params::default());
                    map.insert(id, (hash.0, admitted));
                }
            }
            prop_assert_eq!(profiles.len(), map.len());
        }
    }

    proptest! {
        #[test]
        fn who_falls_cold_and_wakes_is_found_under_the_same_id(
            steps in prop::collection::vec((0_u64..30, 0_u32..3000), 1..200)
        ) {
            let (mut profiles, params, mut now) = (of(1000), Params::default(), 1);
            for (name, passes) in steps {
                now += passes;
                let id = format!("k{name}");
                let found = profiles.find(hash(&id), Kind::ApiKey, &id);
                let number = match found {
                    Some(number) => profiles.warm(number, now, &params).expect("there"),
                    None => admit(&mut profiles, &id, now).expect("room"),
                };
                let entry = profiles.get_mut(number).expect("warm");
                prop_assert_eq!(&entry.id, &id);
                let time = EventTime::from_s(i64::from(now));
                entry.profile.record(time, &Facts::default(), (false, || None), &params);
                profiles.settle(3, now, &params);
                let all = profiles.identities().count();
                prop_assert_eq!(all, profiles.len());
                prop_assert_eq!(profiles.name_of(hash(&id)), Some((Kind::ApiKey, id.as_str())));
            }
        }
    }

    /// A profile table in which that many are warm at most.
    fn of(warm: usize) -> ProfileTable {
        ProfileTable::new(bytes_for(warm), SEED)
    }

    fn is_there(profiles: &ProfileTable, id: &str) -> bool {
        profiles.find(hash(id), Kind::ApiKey, id).is_some()
    }

    /// Uses it in another hour than before, so that it is new no more.
    fn use_again(profiles: &mut ProfileTable, id: &str, second: u32) {
        let number = profiles.find(hash(id), Kind::ApiKey, id).expect("there");
        let profile = &mut profiles.get_mut(number).expect("warm").profile;
        let time = EventTime::from_s(i64::from(second));
        profile.record(time, &Facts::default(), (false, || None), &Params::default());
    }

    #[test]
    fn new_ones_go_first_the_oldest_of_them_before_the_others_and_none_with_an_open_finding() {
        let mut profiles = of(4);
        for (id, second) in [("old", 10), ("abused", 4000), ("new_1", 5000), ("new_2", 5001)] {
            admit(&mut profiles, id, second).expect("room");
        }
        use_again(&mut profiles, "old", 4000);
        let abused = profiles.find(hash("abused"), Kind::ApiKey, "abused").expect("there");
        profiles.get_mut(abused).expect("there").profile.set_open_finding(Some(0));
        admit(&mut profiles, "new_3", 5002).expect("room");
        assert!(!is_there(&profiles, "new_1"), "the oldest that is new");
        admit(&mut profiles, "new_4", 5003).expect("room");
        for left in ["old", "abused", "new_3", "new_4"] {
            assert!(is_there(&profiles, left), "{left}");
        }
        assert_eq!(profiles.take_evictions(), Evictions { new: 2, ..Evictions::default() });
    }

    #[test]
    fn while_it_is_full_a_credential_is_expected_once_it_was_seen_before() {
        let mut profiles = of(2);
        for id in ["k1", "k2"] {
            assert!(profiles.expects(hash(id), id));
            admit(&mut profiles, id, 1).expect("room");
        }
        assert!(!profiles.expects(hash("k3"), "k3"));
        assert!(profiles.expects(hash("k3"), "k3"));
        assert_eq!(profiles.take_evictions().deferred, 1);
    }

    #[test]
    fn who_is_silent_sleeps_before_anybody_is_forgotten() {
        let mut profiles = of(8);
        for n in 0..8 {
            admit(&mut profiles, &format!("k{n}"), 10).expect("room");
            use_again(&mut profiles, &format!("k{n}"), 4000);
        }
        admit(&mut profiles, "new", 4400).expect("room");
        assert_eq!((profiles.len(), profiles.cold_entries()), (9, 1));
        assert_eq!(profiles.take_evictions(), Evictions::default());
    }

    #[test]
    fn long_ids_count() {
        let mut profiles = of(100);
        for n in 0..300 {
            let id = format!("{n:0200}");
            admit(&mut profiles, &id, 1).expect("room");
            assert!(profiles.bytes() <= bytes_for(100));
        }
        assert!(profiles.len() < 90, "{}", profiles.len());
    }

    #[test]
    fn a_profiles_full_of_open_findings_admits_nobody() {
        let mut profiles = of(1);
        let number = admit(&mut profiles, "k1", 1).expect("room");
        profiles.get_mut(number).expect("there").profile.set_open_finding(Some(0));
        assert_eq!(admit(&mut profiles, "k2", 2), None);
    }
}
