//! A copy of the profile table as it was at one moment, taken while it goes on.
//!
//! ```text
//!  begin: the shape of the slabs          an entry that is about to change is written first,
//!  part, part, …: entries by number       then skipped when its turn comes
//! ```
//! So a copy of a million credentials holds an event up by the writing of one entry at most. The unproven
//! values, of few credentials, are written at the beginning, all at once.
//!
//! **Invariant.** Every entry that was there at the beginning is written once, as it was then, and
//! no other. Shape of an entry: its number, its id, what is remembered of it.

use super::batch::HashSeed;
use super::profile_entry::{COLD, ColdEntry, Entry, Slot, spread, tag_of};
use super::profile_table::ProfileTable;
use super::unproven_table::UnprovenTable;
use crate::collections::slab::Slab;
use crate::data_plane::eviction_policy::heap_bytes;
use crate::data_plane::snapshot_progress::{Places, Saving};
use crate::stats::codec::{Codec, Input};
use hashbrown::HashMap;

crate::codec!(Entry { id, profile });
crate::codec!(ColdEntry { id, cold });

impl ProfileTable {
    /// Begins a copy; writes the unproven values, and what does not depend on any credential.
    pub fn begin_saving(&mut self, out: &mut Vec<u8>) {
        let saving =
            Saving { warm: Places::of(&self.warm), cold: Places::of(&self.cold), out: Vec::new() };
        self.saving = Some(Box::new(saving));
        self.sleep_hand.encode(out);
        self.room.encode(out);
        self.unproven.encode(out);
        encode_shape(&self.warm, out);
        encode_shape(&self.cold, out);
    }

    /// Whether it is being written down.
    pub const fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Writes up to `most` further entries; gives what was written since the last call, and whether
    /// that was all. Nothing, if no copy was begun.
    pub fn save_part(&mut self, most: u32) -> (Vec<u8>, bool) {
        let Some(mut saving) = self.saving.take() else { return (Vec::new(), true) };
        let mut left = most;
        while left > 0 && saving.warm.next < saving.warm.count {
            let number = saving.warm.next;
            saving.warm.next += 1;
            if saving.warm.detection(number)
                && let Some(entry) = self.warm.get(number)
            {
                saving.write(number, entry);
                left -= 1;
            }
        }
        while left > 0 && saving.cold.next < saving.cold.count {
            let number = saving.cold.next;
            saving.cold.next += 1;
            if saving.cold.detection(number)
                && let Some(cold_entry) = self.cold.get(number)
            {
                saving.write(number | COLD, cold_entry);
                left -= 1;
            }
        }
        let part = std::mem::take(&mut saving.out);
        let is_last = left > 0;
        if !is_last {
            self.saving = Some(saving);
        }
        (part, is_last)
    }

    /// Writes an entry that is about to change, if a copy needs it.
    pub(super) fn save_first(&mut self, number: u32) {
        if self.saving.is_some() {
            self.save_now(number);
        }
    }

    #[cold]
    fn save_now(&mut self, number: u32) {
        if let Some(mut saving) = self.saving.take() {
            if number & COLD == 0 {
                if saving.warm.detection(number)
                    && let Some(entry) = self.warm.get(number)
                {
                    saving.write(number, entry);
                }
            } else if saving.cold.detection(number & !COLD)
                && let Some(cold_entry) = self.cold.get(number & !COLD)
            {
                saving.write(number, cold_entry);
            }
            self.saving = Some(saving);
        }
    }
}

/// A profile table that is read back. It takes no more memory than what was read.
#[derive(Debug)]
pub struct Restoring {
    profiles: ProfileTable,
    warm: Read<Entry>,
    cold: Read<ColdEntry>,
}

/// A slab as far as it was read: how many places it had, those that are free, and the others so far.
#[derive(Debug)]
struct Read<T> {
    places: u32,
    free: Vec<u32>,
    values: Vec<(u32, T)>,
}

impl<T> Read<T> {
    fn begin(input: &mut Input<'_>) -> Option<Self> {
        let (places, free) = Codec::decode(input)?;
        Some(Self { places, free, values: Vec::new() })
    }

    fn finish(self) -> Option<Slab<T>> {
        Slab::of(self.values, self.free).filter(|slab| slab.places() == self.places)
    }
}

fn encode_shape<T>(slab: &Slab<T>, out: &mut Vec<u8>) {
    let (places, free) = slab.shape();
    (places, free.to_vec()).encode(out);
}

impl Restoring {
    /// Reads what [`ProfileTable::begin_saving`] wrote; none if that was not it.
    pub fn begin(bytes_max: usize, seed: HashSeed, input: &mut Input<'_>) -> Option<Self> {
        let mut profiles = ProfileTable::new(bytes_max, seed);
        profiles.sleep_hand = Codec::decode(input)?;
        profiles.room.decode(input)?;
        if input.version() >= 5 {
            let unproven: UnprovenTable = Codec::decode(input)?;
            profiles.unproven = unproven.within(bytes_max);
        }
        Some(Self { profiles, warm: Read::begin(input)?, cold: Read::begin(input)? })
    }

    /// Reads a part; none if that was not one.
    pub fn part(&mut self, mut input: Input<'_>) -> Option<()> {
        while !input.is_empty() {
            let number = u32::decode(&mut input)?;
            if number & COLD == 0 {
                self.warm.values.push((number, Codec::decode(&mut input)?));
            } else {
                self.cold.values.push((number & !COLD, Codec::decode(&mut input)?));
            }
        }
        Some(())
    }

    /// The profile table, and if it had to be made smaller the new numbers of those warm by their old ones;
    /// none if entries are missing, or stand there twice.
    pub fn finish(self) -> Option<(ProfileTable, Option<HashMap<u32, u32>>)> {
        let Self { mut profiles, warm, cold } = self;
        (profiles.warm, profiles.cold) = (warm.finish()?, cold.finish()?);
        let places = profiles.warm.places().max(profiles.cold.places());
        for number in (0..places).chain((0..places).map(|number| number | COLD)) {
            let Some((kind, id)) = profiles.name(number) else { continue };
            let (tag, ids) = (tag_of(profiles.seed.hash(kind, id)), heap_bytes(id));
            profiles.room.ids += ids;
            let slot = Slot { tag, number };
            profiles.index.insert_unique(spread(tag), slot, |slot| spread(slot.tag));
        }
        let too_large = profiles.bytes() > profiles.room.bytes_max;
        let renumbered = too_large.then(|| profiles.fit().0);
        Some((profiles, renumbered))
    }
}
