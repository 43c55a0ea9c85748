//! An entry of the profile table: a credential's id and profile, warm or cold.

use crate::detect::cold_profile::ColdProfile;
use crate::detect::profile::Profile;
use compact_str::CompactString;

/// The bit that reports the numbers of cold entries.
pub(super) const COLD: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) tag: u32,
    pub(super) number: u32,
}

/// Spreads a tag over the bits that the table follows.
/// Source: Fibonacci hashing, Knuth, TAOCP vol. 3, 6.4.
pub(super) const fn spread(tag: u32) -> u64 {
    (tag as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

pub(super) const fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A credential's id and profile.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The id.
    pub id: CompactString,
    /// All else that is remembered.
    pub profile: Profile,
}

/// A credential's id and what is left of its profile.
#[derive(Clone, Debug)]
pub(super) struct ColdEntry {
    pub(super) id: CompactString,
    pub(super) cold: ColdProfile,
}
