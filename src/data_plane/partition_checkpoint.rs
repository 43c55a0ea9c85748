//! A partition as bytes and back: what restarts from an offset as if nothing had happened.
//!
//! ```text
//!  begin_checkpoint: the head, at one offset
//!  checkpoint_part:  credentials, a few at a time, between batches -> parts
//!  Restoring:        head, parts -> the partition as it was at that offset
//! ```
//! **Invariant** D-1: a partition that was read back and is given the events from its offset on
//! reports what one reports that never stopped.

use super::batch::HashSeed;
use super::counters::Counters;
use super::grants::GrantTable;
use super::partition::{BusiestMinute, Partition};
use super::partition::{LIFETIME_BYTES_EACH, Params};
use super::profile_snapshot;
use super::tenant_usage::Tenants;
use crate::stats::codec::{Codec, Input};
use hashbrown::HashMap;
use std::sync::Arc;

/// Which version of the layout is written. Rises whenever a type of it changes; older ones are
/// read on.
pub const VERSION: u16 = 7;

crate::codec!(BusiestMinute { hash, requests, minute });

/// Why a checkpoint is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Useless {
    /// It does not hold what it should.
    #[error("it does not hold what it should: it is damaged")]
    Damaged,
    /// A newer tripline wrote it.
    #[error("a newer tripline wrote it (layout {0}, this one reads up to {VERSION})")]
    Newer(u16),
    /// It was written under another fingerprint key, so no credential would be found.
    #[error(
        "it was written under another fingerprint key; use that one (fingerprint_key_file, or data_dir/fingerprint.key), or move it away to learn again"
    )]
    OtherKey,
}

impl Partition {
    /// Begins a checkpoint of the partition as it is now; gives its head. The signals so far must
    /// have been taken: they belong to the time before it.
    pub fn begin_checkpoint(&mut self) -> Vec<u8> {
        debug_assert!(self.signals.is_empty(), "signals would be lost");
        let mut head = Vec::new();
        let out = &mut head;
        self.seed.mark().encode(out);
        self.next_offset.encode(out);
        (self.newest, self.now).encode(out);
        self.newest_event.encode(out);
        self.moving.encode(out);
        (self.next_close, self.settles_at).encode(out);
        self.minute.encode(out);
        self.hours.encode(out);
        self.busiest_minute.encode(out);
        (self.hot.clone(), self.hot_floor).encode(out);
        self.open_findings.encode(out);
        self.tenants.encode(out);
        self.cohorts.encode(out);
        self.failing.encode(out);
        self.grants.encode(out);
        self.profiles.begin_saving(out);
        head
    }

    /// Writes up to `most` further credentials of the checkpoint that was begun; gives what was
    /// written since the last call, and whether that was all.
    pub fn checkpoint_part(&mut self, most: u32) -> (Vec<u8>, bool) {
        self.profiles.save_part(most)
    }
}

/// Changes of the numbers under which profiles are held.
impl Partition {
    /// Gives it that much memory from now on, for credentials and tenants together; the least worth is forgotten
    /// where it has more. False, and nothing changes, while a checkpoint is being written. Unit: bytes.
    /// Cost: where it shrinks below what it holds, touches every profile.
    pub fn resize(&mut self, bytes: usize) -> bool {
        if self.params.all_bytes() == bytes {
            return true;
        }
        if self.profiles.is_saving() {
            return false;
        }
        let params = (*self.params).clone().with_memory(bytes);
        let memory = params.memory_bytes;
        self.tenants = std::mem::take(&mut self.tenants).within(params.tenants_bytes);
        self.grants = std::mem::take(&mut self.grants).within(memory);
        self.sightings = std::mem::take(&mut self.sightings).within(memory);
        self.lifetimes.set_credentials_max(memory / LIFETIME_BYTES_EACH);
        self.params = Arc::new(params);
        if let Some(numbers) = self.profiles.resize(memory) {
            self.renumber(&numbers);
            self.release_evicted();
        }
        true
    }

    fn renumber(&mut self, numbers: &HashMap<u32, u32>) {
        self.open_findings.renumber(numbers);
        self.hot.retain_mut(|number| match numbers.get(number) {
            Some(to) => {
                *number = *to;
                true
            }
            None => false,
        });
    }
}

/// A partition that is read back.
#[derive(Debug)]
pub struct Restoring {
    partition: Partition,
    profiles: profile_snapshot::Restoring,
    version: u16,
}

impl Restoring {
    /// Reads a head that was written in that version.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn begin(
        (head, version): (&[u8], u16),
        params: Arc<Params>,
        seed: HashSeed,
    ) -> Result<Self, Useless> {
        if version > VERSION {
            return Err(Useless::Newer(version));
        }
        let mut input = Input::new(head, version);
        if u64::decode(&mut input) != Some(seed.mark()) {
            return Err(Useless::OtherKey);
        }
        Self::read(&mut input, params, seed).ok_or(Useless::Damaged)
    }

    fn read(input: &mut Input<'_>, params: Arc<Params>, seed: HashSeed) -> Option<Self> {
        let bytes_max = params.memory_bytes;
        let mut partition = Partition::new(params, seed);
        partition.next_offset = Codec::decode(input)?;
        (partition.newest, partition.now) = Codec::decode(input)?;
        let before = partition.newest;
        partition.newest_event = before;
        if input.version() >= 3 {
            partition.newest_event = Codec::decode(input)?;
            partition.moving = Codec::decode(input)?;
        }
        (partition.next_close, partition.settles_at) = Codec::decode(input)?;
        partition.minute = Codec::decode(input)?;
        partition.hours = Codec::decode(input)?;
        partition.busiest_minute = Codec::decode(input)?;
        (partition.hot, partition.hot_floor) = Codec::decode(input)?;
        partition.open_findings = Codec::decode(input)?;
        let tenants: Tenants = Codec::decode(input)?;
        partition.tenants = tenants.within(partition.params.tenants_bytes);
        partition.cohorts = Codec::decode(input)?;
        partition.failing = Codec::decode(input)?;
        if input.version() >= 7 {
            let grants: GrantTable = Codec::decode(input)?;
            partition.grants = grants.within(bytes_max);
        }
        let profiles = profile_snapshot::Restoring::begin(bytes_max, seed, input)?;
        partition.counters = Counters::default();
        let version = input.version();
        input.is_empty().then_some(Self { partition, profiles, version })
    }

    /// Reads a part.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn part(&mut self, bytes: &[u8]) -> Result<(), Useless> {
        self.profiles.part(Input::new(bytes, self.version)).ok_or(Useless::Damaged)
    }

    /// The partition, under the limits of its parameters.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn finish(self) -> Result<Partition, Useless> {
        let Self { mut partition, profiles, version } = self;
        let (profiles, renumbered) = profiles.finish().ok_or(Useless::Damaged)?;
        partition.profiles = profiles;
        if let Some(numbers) = renumbered {
            partition.renumber(&numbers);
        }
        partition.hold_tenants();
        if version < 4 {
            partition.count_mature();
        }
        let params = Arc::clone(&partition.params);
        partition.set_params(params);
        Ok(partition)
    }
}
