//! The smallest hashes of a set: a sketch by which two sets show whether they overlap.
//!
//! Source: k minimum values (KMV), Bar-Yossef et al., Counting distinct elements in a data stream, 2002.

/// How many are kept. Chosen: two partitions with the same credentials show it by one; eight outlive that some
/// are seen in one of them alone.
pub const KEPT: usize = 8;

/// The smallest hashes that were inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smallest {
    /// Ascending; `u64::MAX` where there is none yet.
    hashes: [u64; KEPT],
}

impl Default for Smallest {
    fn default() -> Self {
        Self { hashes: [u64::MAX; KEPT] }
    }
}

impl Smallest {
    /// Takes in a hash, as often as it comes.
    pub fn insert(&mut self, hash: u64) {
        let [.., last] = self.hashes;
        if hash >= last || self.hashes.contains(&hash) {
            return;
        }
        let mut carried = hash;
        for kept in &mut self.hashes {
            if carried < *kept {
                std::mem::swap(kept, &mut carried);
            }
        }
    }

    /// Them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.hashes.into_iter().filter(|hash| *hash != u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Smallest};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn they_are_the_smallest_of_the_set(hashes in prop::collection::vec(0_u64..60, 0..200)) {
            let mut smallest = Smallest::default();
            for hash in &hashes {
                smallest.insert(*hash);
            }
            let oracle: BTreeSet<u64> = hashes.into_iter().collect();
            let oracle: Vec<u64> = oracle.into_iter().take(KEPT).collect();
            prop_assert_eq!(smallest.iter().collect::<Vec<_>>(), oracle);
        }
    }
}
