//! Which tenant a credential belongs to: the one that its newest verified uses name.
//!
//! A fleet that begins to send `tenant` gives it to every older credential with its next use. A
//! credential that moves from one tenant to another does so once several uses in a row name the other
//! one, so that two senders who disagree don't make its rules flap.

use super::{Batch, NO_TENANT, Partition, Row};
use crate::engine::keyring::Entry;
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

impl Partition {
    /// Lets the credential belong to the tenant that a verified use names. Cost: one comparison of
    /// texts where that has not changed.
    pub(super) fn follow_tenant(&mut self, number: u32, batch: &Batch, row: &Row) {
        let Some(named) = batch.tenant(row) else { return };
        let Some(Entry { profile, .. }) = self.keyring.get(number) else { return };
        let current = profile.identity().tenant;
        if self.tenants.name(current).is_some_and(|name| name == named) {
            if !self.moving.0.is_empty() {
                self.moving.0.remove(&row.hash);
            }
            return;
        }
        if current == NO_TENANT || self.moves(named, row) {
            self.move_to(number, current, named);
        }
    }

    #[cold]
    fn moves(&mut self, named: &str, row: &Row) -> bool {
        let to = self.seed.hash_all(&[named.as_bytes()]);
        if self.moving.0.len() >= MOVING_MAX && !self.moving.0.contains_key(&row.hash) {
            self.moving.0.clear();
        }
        let (before, uses) = self.moving.0.entry(row.hash).or_insert((to, 0));
        if *before != to {
            (*before, *uses) = (to, 0);
        }
        *uses += 1;
        let moves = *uses >= USES;
        if moves {
            self.moving.0.remove(&row.hash);
        }
        moves
    }

    #[cold]
    fn move_to(&mut self, number: u32, from: u16, named: &str) {
        let has_rules = self.params.named_tenants.contains(named);
        let Some(to) = self.tenants.number_of(named, has_rules) else {
            self.tally.without_tenant += 1;
            return;
        };
        let Some(Entry { id, profile }) = self.keyring.get_mut(number) else { return };
        let limit = self.params.profile.limits.of(profile.kind(), id, Some(named));
        profile.set_tenant(to);
        profile.set_limit(limit);
        self.tenants.release(from);
        self.tenants.hold(to);
        self.tally.tenant_changed += 1;
    }

    /// Tells tenants of credentials that were forgotten for room.
    pub(super) fn release_forgotten(&mut self) {
        for tenant in self.keyring.drain_forgotten() {
            self.tenants.release(tenant);
        }
    }

    /// Counts each tenant's credentials, as after a restart.
    pub(super) fn hold_tenants(&mut self) {
        for (identity, _) in self.keyring.identities() {
            self.tenants.hold(identity.tenant);
        }
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
