//! Who makes room when the keyring is full: its memory is bounded, whatever is sent.
//!
//! A credential is worth the hours in which it was used, as these are what its baseline rests on. One
//! that was used in a single hour is new: those go first, the oldest of them before the others, so
//! that a flood of made-up credentials displaces only itself. While the keyring is full a credential
//! is taken in when it is seen for the second time.
//!
//! ```text
//!  full: one that is new -> who can sleep, sleeps -> the least worth of a few
//! ```
//! Never one with an open episode, or among the busiest. What stands about a credential (that it is
//! revoked, say) is kept elsewhere, and never forgotten for room.

use super::profile_entry::{ASLEEP, Slot, spread, tag_of};
use super::profile_table::Keyring;
use crate::collections::slab::Slab;
use crate::data_plane::eviction_policy::Evictions;
use crate::data_plane::eviction_policy::Rank;
use crate::data_plane::eviction_policy::heap_bytes;
use crate::data_plane::eviction_policy::{
    ASLEEP_BYTES, AWAKE_BYTES, CANDIDATES, is_new, least, may_go, rank, rank_asleep,
};
use crate::detect::params::Params;
use crate::stats::doorkeeper::Doorkeeper;
use hashbrown::HashMap;

/// How long one must be silent to sleep before its time. Unit: seconds. Its windows are over.
const SILENCE_MIN_S: u32 = 300;
impl Keyring {
    /// What it takes in memory, whether or not all of it is in use. Unit: bytes.
    pub const fn bytes(&self) -> usize {
        self.awake.places() as usize * AWAKE_BYTES
            + self.asleep.places() as usize * ASLEEP_BYTES
            + self.room.ids
    }

    /// Who was not remembered since the last call.
    pub fn take_evictions(&mut self) -> Evictions {
        std::mem::take(&mut self.room.evictions)
    }

    /// The tenants of the credentials that were forgotten since the last call, one each.
    pub fn drain_forgotten(&mut self) -> std::vec::Drain<'_, u16> {
        self.room.forgotten.drain(..)
    }

    /// Whether a credential that it does not hold is to be taken in: while there is room, and one
    /// that was seen before.
    pub fn expects(&mut self, hash: u64, id: &str) -> bool {
        if self.has_room_awake(heap_bytes(id)) {
            return true;
        }
        let most = self.room.awake_max;
        let doorkeeper = self.room.doorkeeper.get_or_insert_with(|| Doorkeeper::new(most));
        let expected = doorkeeper.admits(hash);
        self.room.evictions.deferred += u64::from(!expected);
        expected
    }

    /// Forgets the least worth until the others fit, as where it is read back into less memory than it
    /// had, and moves them together. Gives the new numbers of those awake by their old ones.
    pub(super) fn fit(&mut self) -> HashMap<u32, u32> {
        let mut ranked: Vec<(bool, Rank, u32)> = Vec::with_capacity(self.len());
        ranked.extend((0..self.awake.places()).filter_map(|number| {
            let entry = self.awake.get(number)?;
            Some((!may_go(entry), rank(entry), number))
        }));
        ranked.extend((0..self.asleep.places()).filter_map(|number| {
            let sleeper = self.asleep.get(number)?;
            Some((false, rank_asleep(sleeper), number | ASLEEP))
        }));
        ranked.sort_unstable_by_key(|one| std::cmp::Reverse(*one));
        let (mut awake, mut asleep) = (Slab::default(), Slab::default());
        (self.room.ids, self.room.doorkeeper) = (0, None);
        self.index.clear();
        let mut renumbered = HashMap::new();
        for (_, _, number) in ranked {
            let Some((kind, id)) = self.name(number) else { continue };
            let (tag, heap) = (tag_of(self.seed.hash(kind, id)), heap_bytes(id));
            let bytes = awake.len() * AWAKE_BYTES + asleep.len() * ASLEEP_BYTES + self.room.ids;
            let is_awake = number & ASLEEP == 0;
            let takes = heap + if is_awake { AWAKE_BYTES } else { ASLEEP_BYTES };
            let is_full = is_awake && awake.len() >= self.room.awake_max as usize;
            if is_full || bytes + takes > self.room.bytes_max {
                continue;
            }
            let to = if is_awake {
                let Some(entry) = self.awake.remove(number) else { continue };
                let to = awake.insert(entry);
                renumbered.insert(number, to);
                to
            } else {
                let Some(sleeper) = self.asleep.remove(number & !ASLEEP) else { continue };
                asleep.insert(sleeper) | ASLEEP
            };
            self.room.ids += heap;
            self.index
                .insert_unique(spread(tag), Slot { tag, number: to }, |slot| spread(slot.tag));
        }
        (self.awake, self.asleep) = (awake, asleep);
        renumbered
    }

    fn has_room_awake(&self, heap: usize) -> bool {
        let (places, has_free) =
            (self.awake.places(), self.awake.len() < self.awake.places() as usize);
        let grows = if has_free { 0 } else { AWAKE_BYTES };
        (has_free || places < self.room.awake_max)
            && self.bytes() + grows + heap <= self.room.bytes_max
    }

    fn has_room_asleep(&self) -> bool {
        let has_free = self.asleep.len() < self.asleep.places() as usize;
        has_free || self.bytes() + ASLEEP_BYTES <= self.room.bytes_max
    }

    /// Makes room for one more awake, whose id takes `heap` bytes; says whether there is.
    pub(super) fn make_room_awake(&mut self, heap: usize, second: u32, params: &Params) -> bool {
        // More than one may have to go for a long id.
        for _ in 0..CANDIDATES {
            if self.has_room_awake(heap) {
                return true;
            }
            let (awake, hand) = (&self.awake, &mut self.room.awake_hand);
            let Some((rank, number)) =
                least(awake, hand, |entry| may_go(entry).then(|| rank(entry)))
            else {
                return false;
            };
            let silent = second.saturating_sub(rank.1) >= SILENCE_MIN_S;
            if is_new(rank) || !silent || !self.fall_asleep(number, second, params) {
                self.forget(number);
            }
        }
        self.has_room_awake(heap)
    }

    /// Makes room for a sleeper of that rank, unless those who sleep are worth more.
    pub(super) fn make_room_asleep(&mut self, rank: Rank) -> bool {
        if self.has_room_asleep() {
            return true;
        }
        let (asleep, hand) = (&self.asleep, &mut self.room.asleep_hand);
        let least = least(asleep, hand, |sleeper| Some(rank_asleep(sleeper)));
        let less = least.filter(|(other, _)| *other < rank);
        less.inspect(|(_, number)| self.forget(*number | ASLEEP)).is_some()
    }
}
