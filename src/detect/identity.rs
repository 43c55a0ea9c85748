//! The identity of a profile, and its places in the partition's lists.

use super::limit::Limit;
use crate::model::credential::Kind;
use crate::stats::codec::{Codec, Input};

/// Whether a profile is on the partition's list of the busiest (the highest bit), and the number of its open
/// incidents in the partition's list. Shape: 4 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks(u32);

impl Marks {
    const HOT: u32 = 1 << 31;
    /// No finding.
    pub(super) const CALM: u32 = Self::HOT - 1;

    pub(super) const fn new(is_hot: bool, open_finding: u32) -> Self {
        Self(open_finding & Self::CALM | if is_hot { Self::HOT } else { 0 })
    }

    pub(super) const fn is_hot(self) -> bool {
        self.0 & Self::HOT != 0
    }

    pub(super) const fn open_finding(self) -> u32 {
        self.0 & Self::CALM
    }
}

/// A profile's identity. Shape: 12 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The second (since 1970) in which it was first seen.
    pub first_seen: u32,
    /// Its absolute limit.
    pub limit: Limit,
    /// The number of its tenant in the partition's list.
    pub tenant: u16,
    /// Its kind.
    pub kind: Kind,
    /// In how many hours it was used; at most 255. 0: it was handed out alone.
    pub hours: u8,
}

impl Identity {
    /// Of a credential first seen at `second`.
    pub const fn new(kind: Kind, tenant: u16, limit: Limit, second: u32) -> Self {
        Self { first_seen: second, limit, tenant, kind, hours: 1 }
    }

    /// Whether it was ever used.
    pub const fn is_used(&self) -> bool {
        self.hours > 0
    }
}

crate::codec!(Identity { first_seen, limit, tenant, kind, hours });
impl Codec for Marks {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.open_finding(), self.is_hot()).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        // Before layout 6 no finding was all ones: the lower ones are.
        let (open_finding, is_hot) = Codec::decode(input)?;
        Some(Self::new(is_hot, open_finding))
    }
}
