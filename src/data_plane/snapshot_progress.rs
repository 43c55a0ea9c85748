//! Which entries of a snapshot are written.

use crate::collections::slab::Slab;
use crate::stats::codec::Codec;

/// Which places of a slab need no writing any more.
#[derive(Clone, Debug)]
pub(super) struct Places {
    done: Vec<u64>,
    /// Those before it are done.
    pub(super) next: u32,
    /// How many there were at the beginning.
    pub(super) count: u32,
}

impl Places {
    pub(super) fn of<T>(slab: &Slab<T>) -> Self {
        let (count, free) = slab.shape();
        let mut places = Self { done: vec![0; count.div_ceil(64) as usize], next: 0, count };
        for number in free {
            places.detection(*number);
        }
        places
    }

    /// Whether that place is to be written; only once.
    pub(super) fn detection(&mut self, number: u32) -> bool {
        let Some(word) = self.done.get_mut(number as usize / 64) else { return false };
        let bit = 1 << (number % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first && number < self.count
    }
}

/// The progress of writing.
#[derive(Clone, Debug)]
pub(super) struct Saving {
    pub(super) warm: Places,
    pub(super) cold: Places,
    pub(super) out: Vec<u8>,
}

impl Saving {
    pub(super) fn write(&mut self, number: u32, value: &impl Codec) {
        number.encode(&mut self.out);
        value.encode(&mut self.out);
    }
}
