//! Sets of values in a few bytes: which values are known, and about how many distinct ones came.
//!
//! Both follow hashes; a hash of 0 stands for no value and is never asked about.

/// Whether both bits of `hash` are set in `known`, a Bloom filter of 64 bits with two hashes.
///
/// A value never learned is taken for a known one with probability `(bits set / 64)^2`: 1 % after
/// 3 values, 8 % after 10. Source: Bloom (1970), "Space/time trade-offs in hash coding".
pub const fn is_known(known: u64, hash: u32) -> bool {
    let bits = bits_of(hash);
    known & bits == bits
}

/// The two bits of `hash` in a filter of 64 bits.
pub const fn bits_of(hash: u32) -> u64 {
    (1 << (hash & 63)) | (1 << ((hash >> 6) & 63))
}

/// Whether both bits of `hash` are set in `known`, a Bloom filter of 32 bits: 3 % of values never
/// learned are taken for known after 3 values.
pub const fn is_known_of_few(known: u32, hash: u32) -> bool {
    let bits = bits_of_few(hash);
    known & bits == bits
}

/// The two bits of `hash` in a filter of 32 bits.
pub const fn bits_of_few(hash: u32) -> u32 {
    (1 << (hash & 31)) | (1 << ((hash >> 5) & 31))
}

/// About how many distinct values set one bit each of a 32-bit sketch; at most 140.
///
/// Source: linear counting, Whang et al. (1990), `m * ln(m / zeros)`; one zero too few is taken
/// for half a zero.
pub fn distinct(sketch: u32) -> u32 {
    const ESTIMATE: [u8; 33] = [
        0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 17, 18, 20, 22, 24, 26, 29, 31, 34, 37, 41, 44,
        49, 54, 59, 67, 76, 89, 111, 140,
    ];
    u32::from(ESTIMATE.get(sketch.count_ones() as usize).copied().unwrap_or(140))
}

#[cfg(test)]
mod tests {
    use super::{bits_of, bits_of_few, distinct, is_known, is_known_of_few};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_estimates_are_those_of_linear_counting() {
        for set in 0..32_u32 {
            let sketch = (1_u32 << set) - 1;
            let exact = 32.0 * (32.0 / f64::from(32 - set)).ln();
            assert!((f64::from(distinct(sketch)) - exact).abs() <= 0.6, "{set}: {exact}");
        }
        assert_eq!(distinct(u32::MAX), 140);
    }

    proptest! {
        #[test]
        fn what_was_learned_is_known(hashes in prop::collection::vec(1_u32.., 1..20)) {
            let known = hashes.iter().fold(0, |known, hash| known | bits_of(*hash));
            let few = hashes.iter().fold(0, |known, hash| known | bits_of_few(*hash));
            for hash in hashes {
                prop_assert!(is_known(known, hash) && is_known_of_few(few, hash));
            }
        }

        #[test]
        fn the_number_of_distinct_values_is_about_right(
            values in prop::collection::btree_set(any::<u64>(), 1..32)
        ) {
            let hash = |value: u64| (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as u32;
            let sketch = values.iter().fold(0_u32, |sketch, value| sketch | 1 << hash(*value));
            let exact = values.iter().collect::<BTreeSet<_>>().len() as f64;
            let estimate = f64::from(distinct(sketch));
            // Five standard deviations, after Whang et al., eq. 10, and rounding. That law holds
            // while the sketch is not nearly full.
            let load = exact / 32.0;
            let deviation = (32.0 * (load.exp() - load - 1.0)).sqrt();
            prop_assert!((estimate - exact).abs() <= 5.0 * deviation + 2.0, "{estimate} {exact}");
        }
    }
}
