//! Which tenant a credential belongs to: the one that its newest verified uses name.
//!
//! A fleet that begins to send `tenant` gives it to every older credential with its next use. A
//! credential that moves from one tenant to another does so once several uses in a row name the other
//! one, so that two senders who disagree don't make its rules flap.

use crate::stats::codec::{Codec, Input};
use hashbrown::HashMap;

/// How many uses in a row must name another tenant. Chosen.
const USES: u8 = 8;
/// How many credentials may be about to move; beyond that all begin afresh. Chosen: moves are rare.
const MOVING_MAX: usize = 4096;

/// The credentials that may be about to move, by hash: to which tenant, by hash, and how many uses
/// in a row have named it.
#[derive(Clone, Debug, Default)]
pub(super) struct Moving(HashMap<u64, (u64, u8)>);

impl Moving {
    /// Records that a use named the credential's own tenant.
    pub(super) fn stays(&mut self, credential: u64) {
        if !self.0.is_empty() {
            self.0.remove(&credential);
        }
    }

    /// Records that a use named the tenant `to`, by hash; true once enough in a row have.
    #[cold]
    pub(super) fn moves(&mut self, credential: u64, to: u64) -> bool {
        if self.0.len() >= MOVING_MAX && !self.0.contains_key(&credential) {
            self.0.clear();
        }
        let (before, uses) = self.0.entry(credential).or_insert((to, 0));
        if *before != to {
            (*before, *uses) = (to, 0);
        }
        *uses += 1;
        let moves = *uses >= USES;
        if moves {
            self.0.remove(&credential);
        }
        moves
    }
}

impl Codec for Moving {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut all: Vec<(u64, (u64, u8))> = self.0.iter().map(|(key, to)| (*key, *to)).collect();
        all.sort_unstable();
        all.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let all: Vec<(u64, (u64, u8))> = Codec::decode(input)?;
        (all.len() <= MOVING_MAX).then(|| Self(all.into_iter().collect()))
    }
}
