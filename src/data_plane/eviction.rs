//! Eviction from a full profile table: its memory is bounded, whatever is sent.
//!
//! A credential is worth the hours in which it was used, as these are what its baseline rests on. One
//! that was used in a single hour is new: those go first, the oldest of them before the others, so
//! that a flood of made-up credentials displaces only itself. While the profile table is full a credential
//! is taken in when it is seen for the second time.
//!
//! ```text
//!  full: one that is new -> who can sleep, sleeps -> the least worth of a few
//! ```
//! Never one with an open finding, or among the busiest. The enforcement state of a credential (that it is
//! revoked, say) is kept elsewhere, and never forgotten for room.

use super::profile_entry::{COLD, Slot, spread, tag_of};
use super::profile_table::ProfileTable;
use crate::collections::slab::Slab;
use crate::data_plane::eviction_policy::Evictions;
use crate::data_plane::eviction_policy::Rank;
use crate::data_plane::eviction_policy::heap_bytes;
use crate::data_plane::eviction_policy::{
    CANDIDATES, COLD_BYTES, WARM_BYTES, is_new, least, may_go, rank, rank_cold,
};
use crate::detect::identity::Identity;
use crate::detect::params::Params;
use crate::stats::doorkeeper::Doorkeeper;
use hashbrown::HashMap;

/// How long one must be silent to sleep before its time. Unit: seconds. Its windows are over.
const SILENCE_MIN_S: u32 = 300;
impl ProfileTable {
    /// Its memory, whether or not all of it is in use. Unit: bytes.
    pub const fn bytes(&self) -> usize {
        self.warm.places() as usize * WARM_BYTES
            + self.cold.places() as usize * COLD_BYTES
            + self.room.ids
    }

    /// Credentials not remembered since the last call.
    pub fn take_evictions(&mut self) -> Evictions {
        std::mem::take(&mut self.room.evictions)
    }

    /// The tenants of the credentials that were forgotten since the last call, one each.
    pub fn drain_evicted(&mut self) -> std::vec::Drain<'_, u16> {
        self.room.forgotten.drain(..)
    }

    /// Whether a credential that it does not hold is to be taken in: while there is room, and one
    /// that was seen before.
    pub fn expects(&mut self, hash: u64, id: &str) -> bool {
        if self.has_room_warm(heap_bytes(id)) {
            return true;
        }
        let most = self.room.warm_max;
        let doorkeeper = self.room.doorkeeper.get_or_insert_with(|| Doorkeeper::new(most));
        let expected = doorkeeper.admits(hash);
        self.room.evictions.deferred += u64::from(!expected);
        expected
    }

    /// Gives it that many bytes (at least one credential fits) from now on. Where it has more, the least worth
    /// are forgotten: then it returns the new numbers of those warm by their old ones.
    pub(super) fn resize(&mut self, bytes_max: usize) -> Option<HashMap<u32, u32>> {
        self.room.resize(bytes_max);
        self.unproven = std::mem::take(&mut self.unproven).within(bytes_max);
        let is_over = self.warm.len() > self.room.warm_max as usize;
        (is_over || self.bytes() > self.room.bytes_max).then(|| {
            let (numbers, forgotten) = self.fit();
            for identity in &forgotten {
                self.room.count_evicted(identity);
            }
            numbers
        })
    }

    /// Forgets the least worth until the others fit, as where it is read back into less memory than it
    /// had, and moves them together. Returns the new numbers of those warm by their old ones, and the
    /// forgotten.
    pub(super) fn fit(&mut self) -> (HashMap<u32, u32>, Vec<Identity>) {
        let mut ranked: Vec<(bool, Rank, u32)> = Vec::with_capacity(self.len());
        ranked.extend((0..self.warm.places()).filter_map(|number| {
            let entry = self.warm.get(number)?;
            Some((!may_go(entry), rank(entry), number))
        }));
        ranked.extend((0..self.cold.places()).filter_map(|number| {
            let cold_entry = self.cold.get(number)?;
            Some((false, rank_cold(cold_entry), number | COLD))
        }));
        ranked.sort_unstable_by_key(|one| std::cmp::Reverse(*one));
        let (mut warm, mut cold) = (Slab::default(), Slab::default());
        (self.room.ids, self.room.doorkeeper) = (0, None);
        self.index.clear();
        let mut renumbered = HashMap::new();
        for (_, _, number) in ranked {
            let Some((kind, id)) = self.name(number) else { continue };
            let (tag, heap) = (tag_of(self.seed.hash(kind, id)), heap_bytes(id));
            let bytes = warm.len() * WARM_BYTES + cold.len() * COLD_BYTES + self.room.ids;
            let is_warm = number & COLD == 0;
            let takes = heap + if is_warm { WARM_BYTES } else { COLD_BYTES };
            let is_full = is_warm && warm.len() >= self.room.warm_max as usize;
            if is_full || bytes + takes > self.room.bytes_max {
                continue;
            }
            let to = if is_warm {
                let Some(entry) = self.warm.remove(number) else { continue };
                let to = warm.insert(entry);
                renumbered.insert(number, to);
                to
            } else {
                let Some(cold_entry) = self.cold.remove(number & !COLD) else { continue };
                cold.insert(cold_entry) | COLD
            };
            self.room.ids += heap;
            self.index
                .insert_unique(spread(tag), Slot { tag, number: to }, |slot| spread(slot.tag));
        }
        let left = (0..self.warm.places()).filter_map(|number| self.warm.get(number));
        let mut forgotten: Vec<Identity> = left.map(|entry| *entry.profile.identity()).collect();
        let left = (0..self.cold.places()).filter_map(|number| self.cold.get(number));
        forgotten.extend(left.map(|entry| *entry.cold.identity()));
        (self.warm, self.cold) = (warm, cold);
        (renumbered, forgotten)
    }

    fn has_room_warm(&self, heap: usize) -> bool {
        let (places, has_free) =
            (self.warm.places(), self.warm.len() < self.warm.places() as usize);
        let grows = if has_free { 0 } else { WARM_BYTES };
        (has_free || places < self.room.warm_max)
            && self.bytes() + grows + heap <= self.room.bytes_max
    }

    fn has_room_cold(&self) -> bool {
        let has_free = self.cold.len() < self.cold.places() as usize;
        has_free || self.bytes() + COLD_BYTES <= self.room.bytes_max
    }

    /// Makes room for one more warm, whose id takes `heap` bytes; says whether there is.
    pub(super) fn make_room_warm(&mut self, heap: usize, second: u32, params: &Params) -> bool {
        // More than one may have to go for a long id.
        for _ in 0..CANDIDATES {
            if self.has_room_warm(heap) {
                return true;
            }
            let (warm, hand) = (&self.warm, &mut self.room.warm_hand);
            let Some((rank, number)) =
                least(warm, hand, |entry| may_go(entry).then(|| rank(entry)))
            else {
                return false;
            };
            let silent = second.saturating_sub(rank.1) >= SILENCE_MIN_S;
            if is_new(rank) || !silent || !self.make_cold(number, second, params) {
                self.forget(number);
            }
        }
        self.has_room_warm(heap)
    }

    /// Makes room for a cold entry of that rank, unless those who sleep are worth more.
    pub(super) fn make_room_cold(&mut self, rank: Rank) -> bool {
        if self.has_room_cold() {
            return true;
        }
        let (cold, hand) = (&self.cold, &mut self.room.cold_hand);
        let least = least(cold, hand, |cold_entry| Some(rank_cold(cold_entry)));
        let less = least.filter(|(other, _)| *other < rank);
        less.inspect(|(_, number)| self.forget(*number | COLD)).is_some()
    }
}
