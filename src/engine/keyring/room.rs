//! Who makes room when the keyring is full: its memory is bounded, whatever is sent.
//!
//! A credential is worth the hours in which it was used, as these are what its baseline rests on. One
//! that was used in a single hour is new: those go first, the oldest of them before the others, so
//! that a flood of made-up credentials displaces only itself. While the keyring is full a credential
//! is taken in when it is seen for the second time.
//!
//! ```text
//!  full: one that is new -> who can sleep, sleeps -> the least worth of a few
//! ```
//! Never one with an open episode, or among the busiest. What stands about a credential (that it is
//! revoked, say) is kept elsewhere, and never forgotten for room.

use super::{ASLEEP, Entry, Keyring, Sleeper, Slot, spread, tag_of};
use crate::detect::profile::{Identity, Params};
use crate::engine::slab::Slab;
use crate::stats::codec::{Codec, Input};
use crate::stats::doorkeeper::Doorkeeper;
use hashbrown::HashMap;
use std::mem::size_of;

/// How many entries are looked at to find one that is new, or the least worth of them. Chosen: new
/// ones are left a part of the places, however much the others are worth.
const CANDIDATES: u32 = 64;
/// In how many hours a credential that is new was used at most.
const NEW_HOURS_MAX: u8 = 1;
/// How long one must be silent to sleep before its time. Unit: seconds. Its windows are over.
const SILENCE_MIN_S: u32 = 300;
/// What an entry takes besides the slabs: its place in the index, which is between half and all full.
/// Unit: bytes.
const BESIDE: usize = 24;
/// What an entry awake takes. Unit: bytes.
const AWAKE_BYTES: usize = size_of::<Option<Entry>>() + BESIDE;
/// What a sleeper takes. Unit: bytes.
const ASLEEP_BYTES: usize = size_of::<Option<Sleeper>>() + BESIDE;
/// The part of the memory that those awake may take. Chosen: sleepers take a third each.
const AWAKE_PART: f64 = 0.75;

/// The memory in which that many credentials fit that are awake. Unit: bytes.
pub const fn bytes_for(awake: usize) -> usize {
    (awake * AWAKE_BYTES * 4).div_ceil(3)
}

/// What a credential is worth: the hours in which it was used, then when it last was.
pub(super) type Rank = (u8, u32);

pub(super) const fn rank(entry: &Entry) -> Rank {
    (entry.profile.identity().hours, entry.profile.windows().newest())
}

const fn rank_asleep(sleeper: &Sleeper) -> Rank {
    (sleeper.asleep.identity().hours, sleeper.asleep.last_seen())
}

const fn is_new((hours, _): Rank) -> bool {
    hours <= NEW_HOURS_MAX
}

/// What a long id takes outside of its entry. Unit: bytes.
pub(super) const fn heap_bytes(id: &str) -> usize {
    if id.len() <= size_of::<compact_str::CompactString>() { 0 } else { id.len() + 16 }
}

/// Who was not remembered, for want of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// New ones that were forgotten.
    pub new: u64,
    /// Others that were forgotten.
    pub established: u64,
    /// Events of credentials that were not taken in, as they were not seen before.
    pub deferred: u64,
}

/// The bounds of the keyring, and who goes first.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) bytes_max: usize,
    awake_max: u32,
    /// Bytes of ids outside of their entries.
    pub(super) ids: usize,
    /// Where it is looked for one to go.
    awake_hand: u32,
    asleep_hand: u32,
    doorkeeper: Option<Doorkeeper>,
    evictions: Evictions,
    /// The tenants of those that were forgotten since the last call.
    forgotten: Vec<u16>,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Self {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "clamped")]
        let awake = (bytes_max as f64 * AWAKE_PART / AWAKE_BYTES as f64).clamp(1.0, 1e9) as u32;
        Self {
            bytes_max: bytes_max.max(AWAKE_BYTES),
            awake_max: awake,
            ids: 0,
            awake_hand: 0,
            asleep_hand: 0,
            doorkeeper: None,
            evictions: Evictions::default(),
            forgotten: Vec::new(),
        }
    }

    pub(super) fn note_id(&mut self, id: &str) {
        self.ids += heap_bytes(id);
    }

    pub(super) fn note_forgotten(&mut self, identity: &Identity, id: &str) {
        self.ids = self.ids.saturating_sub(heap_bytes(id));
        self.forgotten.push(identity.tenant);
        if identity.hours <= NEW_HOURS_MAX {
            self.evictions.new += 1;
        } else {
            self.evictions.established += 1;
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        (self.awake_hand, self.asleep_hand).encode(out);
        self.doorkeeper.encode(out);
    }

    pub(super) fn decode(&mut self, input: &mut Input<'_>) -> Option<()> {
        (self.awake_hand, self.asleep_hand) = Codec::decode(input)?;
        self.doorkeeper = Codec::decode(input)?;
        Some(())
    }
}

impl Keyring {
    /// What it takes in memory, whether or not all of it is in use. Unit: bytes.
    pub const fn bytes(&self) -> usize {
        self.awake.places() as usize * AWAKE_BYTES
            + self.asleep.places() as usize * ASLEEP_BYTES
            + self.room.ids
    }

    /// Who was not remembered since the last call.
    pub fn take_evictions(&mut self) -> Evictions {
        std::mem::take(&mut self.room.evictions)
    }

    /// The tenants of the credentials that were forgotten since the last call, one each.
    pub fn drain_forgotten(&mut self) -> std::vec::Drain<'_, u16> {
        self.room.forgotten.drain(..)
    }

    /// Whether a credential that it does not hold is to be taken in: while there is room, and one
    /// that was seen before.
    pub fn expects(&mut self, hash: u64, id: &str) -> bool {
        if self.has_room_awake(heap_bytes(id)) {
            return true;
        }
        let most = self.room.awake_max;
        let doorkeeper = self.room.doorkeeper.get_or_insert_with(|| Doorkeeper::new(most));
        let expected = doorkeeper.admits(hash);
        self.room.evictions.deferred += u64::from(!expected);
        expected
    }

    /// Forgets the least worth until the others fit, as where it is read back into less memory than it
    /// had, and moves them together. Gives the new numbers of those awake by their old ones.
    pub(super) fn fit(&mut self) -> HashMap<u32, u32> {
        let mut ranked: Vec<(bool, Rank, u32)> = Vec::with_capacity(self.len());
        ranked.extend((0..self.awake.places()).filter_map(|number| {
            let entry = self.awake.get(number)?;
            Some((!may_go(entry), rank(entry), number))
        }));
        ranked.extend((0..self.asleep.places()).filter_map(|number| {
            let sleeper = self.asleep.get(number)?;
            Some((false, rank_asleep(sleeper), number | ASLEEP))
        }));
        ranked.sort_unstable_by_key(|one| std::cmp::Reverse(*one));
        let (mut awake, mut asleep) = (Slab::default(), Slab::default());
        (self.room.ids, self.room.doorkeeper) = (0, None);
        self.index.clear();
        let mut renumbered = HashMap::new();
        for (_, _, number) in ranked {
            let Some((kind, id)) = self.name(number) else { continue };
            let (tag, heap) = (tag_of(self.seed.hash(kind, id)), heap_bytes(id));
            let bytes = awake.len() * AWAKE_BYTES + asleep.len() * ASLEEP_BYTES + self.room.ids;
            let is_awake = number & ASLEEP == 0;
            let takes = heap + if is_awake { AWAKE_BYTES } else { ASLEEP_BYTES };
            let is_full = is_awake && awake.len() >= self.room.awake_max as usize;
            if is_full || bytes + takes > self.room.bytes_max {
                continue;
            }
            let to = if is_awake {
                let Some(entry) = self.awake.remove(number) else { continue };
                let to = awake.insert(entry);
                renumbered.insert(number, to);
                to
            } else {
                let Some(sleeper) = self.asleep.remove(number & !ASLEEP) else { continue };
                asleep.insert(sleeper) | ASLEEP
            };
            self.room.ids += heap;
            self.index
                .insert_unique(spread(tag), Slot { tag, number: to }, |slot| spread(slot.tag));
        }
        (self.awake, self.asleep) = (awake, asleep);
        renumbered
    }

    fn has_room_awake(&self, heap: usize) -> bool {
        let (places, has_free) =
            (self.awake.places(), self.awake.len() < self.awake.places() as usize);
        let grows = if has_free { 0 } else { AWAKE_BYTES };
        (has_free || places < self.room.awake_max)
            && self.bytes() + grows + heap <= self.room.bytes_max
    }

    fn has_room_asleep(&self) -> bool {
        let has_free = self.asleep.len() < self.asleep.places() as usize;
        has_free || self.bytes() + ASLEEP_BYTES <= self.room.bytes_max
    }

    /// Makes room for one more awake, whose id takes `heap` bytes; says whether there is.
    pub(super) fn make_room_awake(&mut self, heap: usize, second: u32, params: &Params) -> bool {
        // More than one may have to go for a long id.
        for _ in 0..CANDIDATES {
            if self.has_room_awake(heap) {
                return true;
            }
            let (awake, hand) = (&self.awake, &mut self.room.awake_hand);
            let Some((rank, number)) =
                least(awake, hand, |entry| may_go(entry).then(|| rank(entry)))
            else {
                return false;
            };
            let silent = second.saturating_sub(rank.1) >= SILENCE_MIN_S;
            if is_new(rank) || !silent || !self.fall_asleep(number, second, params) {
                self.forget(number);
            }
        }
        self.has_room_awake(heap)
    }

    /// Makes room for a sleeper of that rank, unless those who sleep are worth more.
    pub(super) fn make_room_asleep(&mut self, rank: Rank) -> bool {
        if self.has_room_asleep() {
            return true;
        }
        let (asleep, hand) = (&self.asleep, &mut self.room.asleep_hand);
        let least = least(asleep, hand, |sleeper| Some(rank_asleep(sleeper)));
        let less = least.filter(|(other, _)| *other < rank);
        less.inspect(|(_, number)| self.forget(*number | ASLEEP)).is_some()
    }
}

fn may_go(entry: &Entry) -> bool {
    entry.profile.episode().is_none() && !entry.profile.is_hot()
}

/// The first of a slab from `hand` on that is new, or the least worth of the next few; `rank` says
/// what one is worth, or none if it must stay. As the hand goes round, the oldest new ones come first.
fn least<T>(
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
