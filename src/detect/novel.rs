//! The aspects of an event whose values are new.

use crate::model::features::{Aspect, Facts};

/// A value that is no longer new: its aspect, and 24 bits of its hash.
pub type Graduate = (Aspect, u32);

/// The aspects of one event that were never seen before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Novel(u8);

impl Novel {
    /// Whether `aspect` was never seen before.
    pub const fn has(self, aspect: Aspect) -> bool {
        self.0 & (1 << aspect as u8) != 0
    }

    /// Every aspect.
    pub const ALL: Self = Self(0b1111);

    /// Those of them of whose value in `facts` that holds.
    #[must_use]
    pub fn filter(self, facts: &Facts, holds: impl Fn(Aspect, u32) -> bool) -> Self {
        let mut held = Self::default();
        for (aspect, hash) in Aspect::ALL.into_iter().zip(facts.values) {
            if self.has(aspect) && holds(aspect, hash) {
                held = held.and(aspect);
            }
        }
        held
    }

    /// The same, and `aspect`.
    #[must_use]
    pub const fn and(self, aspect: Aspect) -> Self {
        Self(self.0 | 1 << aspect as u8)
    }

    /// These and the others.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without the others.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is new.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether who asks or where from is new: network, country or user agent.
    pub const fn is_of_source(self) -> bool {
        self.0 & 0b111 != 0
    }
}

crate::codec!(Novel);
