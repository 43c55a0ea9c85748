//! Which entries are evicted first, and how many fit.

use crate::collections::slab::Slab;
use crate::data_plane::profile_entry::ColdEntry;
use crate::data_plane::profile_entry::Entry;
use crate::detect::identity::Identity;
use crate::stats::codec::Codec;
use crate::stats::codec::Input;
use crate::stats::doorkeeper::Doorkeeper;

/// How many entries are looked at to find one that is new, or the least worth of them. Chosen: new
/// ones are left a part of the places, however much the others are worth.
pub(super) const CANDIDATES: u32 = 64;

/// In how many hours a credential that is new was used at most.
pub(super) const NEW_HOURS_MAX: u8 = 1;

/// The size of an entry besides the slabs: its place in the index, which is between half and all full.
/// Unit: bytes.
const BESIDE: usize = 24;

/// The size of a warm entry. Unit: bytes.
pub(super) const WARM_BYTES: usize = size_of::<Option<Entry>>() + BESIDE;

/// The size of a cold entry. Unit: bytes.
pub(super) const COLD_BYTES: usize = size_of::<Option<ColdEntry>>() + BESIDE;

/// The part of the memory that those warm may take. Chosen: cold entries take a third each.
const WARM_PART: f64 = 0.75;

/// The memory in which that many credentials fit that are warm. Unit: bytes.
pub const fn bytes_for(warm: usize) -> usize {
    (warm * WARM_BYTES * 4).div_ceil(3)
}

/// The value of a credential: the hours in which it was used, then when it last was.
pub(super) type Rank = (u8, u32);

pub(super) const fn rank(entry: &Entry) -> Rank {
    (entry.profile.identity().hours, entry.profile.windows().newest())
}

pub(super) const fn rank_cold(cold_entry: &ColdEntry) -> Rank {
    (cold_entry.cold.identity().hours, cold_entry.cold.last_seen())
}

pub(super) const fn is_new((hours, _): Rank) -> bool {
    hours <= NEW_HOURS_MAX
}

/// The size of a long id outside of its entry. Unit: bytes.
pub(super) const fn heap_bytes(id: &str) -> usize {
    if id.len() <= size_of::<compact_str::CompactString>() { 0 } else { id.len() + 16 }
}

/// Credentials not remembered, for want of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// New ones that were forgotten.
    pub new: u64,
    /// Others that were forgotten.
    pub established: u64,
    /// Events of credentials that were not taken in, as they were not seen before.
    pub deferred: u64,
}

/// The bounds of the profile table, and who goes first.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) bytes_max: usize,
    pub(super) warm_max: u32,
    /// Bytes of ids outside of their entries.
    pub(super) ids: usize,
    /// Where it is looked for one to go.
    pub(super) warm_hand: u32,
    pub(super) cold_hand: u32,
    pub(super) doorkeeper: Option<Doorkeeper>,
    pub(super) evictions: Evictions,
    /// The tenants of those that were forgotten since the last call.
    pub(super) forgotten: Vec<u16>,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Self {
        let (bytes_max, warm_max) = bounds(bytes_max);
        Self {
            bytes_max,
            warm_max,
            ids: 0,
            warm_hand: 0,
            cold_hand: 0,
            doorkeeper: None,
            evictions: Evictions::default(),
            forgotten: Vec::new(),
        }
    }

    /// Gives it other bounds; the doorkeeper of the old ones begins again.
    pub(super) fn resize(&mut self, bytes_max: usize) {
        (self.bytes_max, self.warm_max) = bounds(bytes_max);
        self.doorkeeper = None;
    }

    pub(super) fn record_id(&mut self, id: &str) {
        self.ids += heap_bytes(id);
    }

    pub(super) fn record_evicted(&mut self, identity: &Identity, id: &str) {
        self.ids = self.ids.saturating_sub(heap_bytes(id));
        self.count_evicted(identity);
    }

    pub(super) fn count_evicted(&mut self, identity: &Identity) {
        self.forgotten.push(identity.tenant);
        if identity.hours <= NEW_HOURS_MAX {
            self.evictions.new += 1;
        } else {
            self.evictions.established += 1;
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        (self.warm_hand, self.cold_hand).encode(out);
        self.doorkeeper.encode(out);
    }

    pub(super) fn decode(&mut self, input: &mut Input<'_>) -> Option<()> {
        (self.warm_hand, self.cold_hand) = Codec::decode(input)?;
        self.doorkeeper = Codec::decode(input)?;
        Some(())
    }
}

/// The bytes of a table (at least one credential fits), and how many may be warm.
fn bounds(bytes_max: usize) -> (usize, u32) {
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "clamped")]
    let warm = (bytes_max as f64 * WARM_PART / WARM_BYTES as f64).clamp(1.0, 1e9) as u32;
    (bytes_max.max(WARM_BYTES), warm)
}

pub(super) fn may_go(entry: &Entry) -> bool {
    entry.profile.open_finding().is_none() && !entry.profile.is_hot()
}

/// The first of a slab from `hand` on that is new, or the least worth of the next few; `rank` says
/// what one is worth, or none if it must stay. As the hand goes round, the oldest new ones come first.
pub(super) fn least<T>(
    slab: &Slab<T>,
    hand: &mut u32,
    rank: impl Fn(&T) -> Option<Rank>,
) -> Option<(Rank, u32)> {
    let mut least: Option<(Rank, u32)> = None;
    for step in 0..slab.places() {
        if step >= CANDIDATES && least.is_some() {
            break;
        }
        *hand = (*hand + 1) % slab.places();
        let Some(rank) = slab.get(*hand).and_then(&rank) else { continue };
        if least.is_none_or(|(other, _)| rank < other) {
            least = Some((rank, *hand));
        }
        if is_new(rank) {
            break;
        }
    }
    least
}
