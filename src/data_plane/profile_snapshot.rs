//! A copy of the keyring as it was at one moment, taken while it goes on.
//!
//! ```text
//!  begin: the shape of the slabs          an entry that is about to change is written first,
//!  part, part, …: entries by number       then skipped when its turn comes
//! ```
//! So a copy of a million credentials holds an event up by the writing of one entry at most.
//!
//! **Invariant.** Every entry that was there at the beginning is written once, as it was then, and
//! no other. Shape of an entry: its number, its id, what is remembered of it.

use super::batch::HashSeed;
use super::profile_entry::{ASLEEP, Entry, Sleeper, Slot, spread, tag_of};
use super::profile_table::Keyring;
use crate::collections::slab::Slab;
use crate::data_plane::eviction_policy::heap_bytes;
use crate::data_plane::snapshot_progress::{Places, Saving};
use crate::stats::codec::{Codec, Input};
use hashbrown::HashMap;

crate::codec!(Entry { id, profile });
crate::codec!(Sleeper { id, asleep });

impl Keyring {
    /// Begins a copy; writes what does not depend on any credential.
    pub fn begin_saving(&mut self, out: &mut Vec<u8>) {
        let saving = Saving {
            awake: Places::of(&self.awake),
            asleep: Places::of(&self.asleep),
            out: Vec::new(),
        };
        self.saving = Some(Box::new(saving));
        self.sleep_hand.encode(out);
        self.room.encode(out);
        encode_shape(&self.awake, out);
        encode_shape(&self.asleep, out);
    }

    /// Writes up to `most` further entries; gives what was written since the last call, and whether
    /// that was all. Nothing, if no copy was begun.
    pub fn save_part(&mut self, most: u32) -> (Vec<u8>, bool) {
        let Some(mut saving) = self.saving.take() else { return (Vec::new(), true) };
        let mut left = most;
        while left > 0 && saving.awake.next < saving.awake.count {
            let number = saving.awake.next;
            saving.awake.next += 1;
            if saving.awake.claim(number)
                && let Some(entry) = self.awake.get(number)
            {
                saving.write(number, entry);
                left -= 1;
            }
        }
        while left > 0 && saving.asleep.next < saving.asleep.count {
            let number = saving.asleep.next;
            saving.asleep.next += 1;
            if saving.asleep.claim(number)
                && let Some(sleeper) = self.asleep.get(number)
            {
                saving.write(number | ASLEEP, sleeper);
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
            if number & ASLEEP == 0 {
                if saving.awake.claim(number)
                    && let Some(entry) = self.awake.get(number)
                {
                    saving.write(number, entry);
                }
            } else if saving.asleep.claim(number & !ASLEEP)
                && let Some(sleeper) = self.asleep.get(number & !ASLEEP)
            {
                saving.write(number, sleeper);
            }
            self.saving = Some(saving);
        }
    }
}

/// A keyring that is read back. It takes no more memory than what was read.
#[derive(Debug)]
pub struct Restoring {
    keyring: Keyring,
    awake: Read<Entry>,
    asleep: Read<Sleeper>,
}

/// What was read of a slab: how many places it had, those that are free, and the others so far.
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
    /// Reads what [`Keyring::begin_saving`] wrote; none if that was not it.
    pub fn begin(bytes_max: usize, seed: HashSeed, input: &mut Input<'_>) -> Option<Self> {
        let mut keyring = Keyring::new(bytes_max, seed);
        keyring.sleep_hand = Codec::decode(input)?;
        keyring.room.decode(input)?;
        Some(Self { keyring, awake: Read::begin(input)?, asleep: Read::begin(input)? })
    }

    /// Reads a part; none if that was not one.
    pub fn part(&mut self, mut input: Input<'_>) -> Option<()> {
        while !input.is_empty() {
            let number = u32::decode(&mut input)?;
            if number & ASLEEP == 0 {
                self.awake.values.push((number, Codec::decode(&mut input)?));
            } else {
                self.asleep.values.push((number & !ASLEEP, Codec::decode(&mut input)?));
            }
        }
        Some(())
    }

    /// The keyring, and if it had to be made smaller the new numbers of those awake by their old ones;
    /// none if entries are missing, or stand there twice.
    pub fn finish(self) -> Option<(Keyring, Option<HashMap<u32, u32>>)> {
        let Self { mut keyring, awake, asleep } = self;
        (keyring.awake, keyring.asleep) = (awake.finish()?, asleep.finish()?);
        let places = keyring.awake.places().max(keyring.asleep.places());
        for number in (0..places).chain((0..places).map(|number| number | ASLEEP)) {
            let Some((kind, id)) = keyring.name(number) else { continue };
            let (tag, ids) = (tag_of(keyring.seed.hash(kind, id)), heap_bytes(id));
            keyring.room.ids += ids;
            let slot = Slot { tag, number };
            keyring.index.insert_unique(spread(tag), slot, |slot| spread(slot.tag));
        }
        let too_large = keyring.bytes() > keyring.room.bytes_max;
        let renumbered = too_large.then(|| keyring.fit());
        Some((keyring, renumbered))
    }
}
