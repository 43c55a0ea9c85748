//! Recently seen hashes: a set in a byte each, that errs a little towards having seen.
//!
//! Source: Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970; as a doorkeeper
//! before a cache: Einziger, Friedman and Manes, `TinyLFU`, 2017.

use super::codec::{Codec, Input};

/// Bits a hash sets, all in one word, so that a look costs one read.
const BITS: u32 = 4;
/// Bits kept for each hash before the set begins again. With four bits in one word one in thirty or
/// fewer is taken for seen that was not: measured below.
const BITS_PER_HASH: usize = 8;

/// A set of hashes seen since it was last full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doorkeeper {
    words: Vec<u64>,
    room: u32,
    seen: u32,
}

impl Doorkeeper {
    /// An empty set that begins again after `room` hashes (at least one).
    pub fn new(room: u32) -> Self {
        let room = room.max(1);
        let words = (room as usize * BITS_PER_HASH).div_ceil(64).next_power_of_two();
        Self { words: vec![0; words], room, seen: 0 }
    }

    /// Whether `hash` was seen; from now on it was.
    pub fn admits(&mut self, hash: u64) -> bool {
        let mask = (0..BITS).fold(0, |mask, bit| mask | 1 << (hash >> (6 * bit) & 63));
        let place = (hash >> (6 * BITS)) as usize & (self.words.len() - 1);
        let Some(word) = self.words.get_mut(place) else { return true };
        if *word & mask == mask {
            return true;
        }
        *word |= mask;
        self.seen += 1;
        if self.seen >= self.room {
            self.words.fill(0);
            self.seen = 0;
        }
        false
    }
}

impl Codec for Doorkeeper {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.room, self.seen).encode(out);
        self.words.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (room, seen) = Codec::decode(input)?;
        let words: Vec<u64> = Codec::decode(input)?;
        words.len().is_power_of_two().then_some(Self { words, room, seen })
    }
}

#[cfg(test)]
mod tests {
    use super::Doorkeeper;
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;
    use std::hash::Hasher;

    fn hash(number: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(1, 2);
        hasher.write_u64(number);
        hasher.finish()
    }

    proptest! {
        #[test]
        fn who_was_seen_is_admitted_until_it_begins_anew(numbers in prop::collection::vec(0_u64..500, 1..400)) {
            let mut doorkeeper = Doorkeeper::new(1000);
            for number in numbers {
                doorkeeper.admits(hash(number));
                prop_assert!(doorkeeper.admits(hash(number)));
            }
        }
    }

    #[test]
    fn few_are_admitted_that_were_never_seen() {
        let mut doorkeeper = Doorkeeper::new(100_000);
        let wrong = (0..90_000).filter(|number| doorkeeper.admits(hash(*number))).count();
        assert!(wrong < 90_000 / 30, "{wrong}");
    }
}
