//! When the partitions of a thread are written down: one after the other, a part at a time, between
//! its messages.

use super::fence::SOLE_OWNER;
use super::store::{Finished, KeptOffset, Writer};
use crate::adapters::channels::Ticket;
use crate::data_plane::partition::Partition;
use crate::model::time::EventTime;
use std::sync::Arc;
use tokio::sync::mpsc::OwnedPermit;

/// Credentials written at once. Chosen: some milliseconds.
const PART: u32 = 10_000;

/// A partition that is written down.
pub trait Saved {
    /// Its name among checkpoints.
    fn place(&self) -> &str;
    /// Its state.
    fn partition(&mut self) -> &mut Partition;
    /// Its checkpoints.
    fn kept(&self) -> &Arc<KeptOffset>;
    /// Its owner's epoch.
    fn epoch(&self) -> u64 {
        SOLE_OWNER
    }
    /// Whether it is to be written down by now.
    fn is_ready(&self) -> bool {
        true
    }
}

/// The checkpoint in progress.
#[derive(Debug)]
struct CheckpointInProgress {
    /// Its room among those that are written.
    room: OwnedPermit<Finished>,
    place: String,
    offset: i64,
    frames: Vec<Vec<u8>>,
    /// The ticket of the messages before it.
    told: Ticket,
    /// Of which owner it is.
    kept: Arc<KeptOffset>,
    epoch: u64,
}

/// Writes down what a thread owns, again and again.
#[derive(Debug)]
pub struct Saving {
    writer: Writer,
    every_ms: i64,
    due: Option<EventTime>,
    /// The partition that comes next; none while it is not time.
    next: Option<usize>,
    under_way: Option<CheckpointInProgress>,
}

impl Saving {
    /// Writes down all partitions once in `every_ms`.
    pub const fn new(writer: Writer, every_ms: i64) -> Self {
        Self { writer, every_ms, due: None, next: None, under_way: None }
    }

    /// Whether there is something to go on with.
    pub const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins with the first partition, if it is time, or with the next one.
    pub fn tick(&mut self, now: EventTime, owned: &mut [impl Saved], told: &Ticket) {
        // A clock that was set back must not put it off.
        let latest = now.plus_ms(self.every_ms);
        let due = self.due.map_or(latest, |due| due.min(latest));
        self.due = Some(due);
        if now >= due && self.next.is_none() {
            self.due = Some(latest);
            self.next = Some(0);
        }
        self.begin(owned, told);
    }

    /// Begins with the next partition, if there is one, and room to write it.
    fn begin(&mut self, owned: &mut [impl Saved], told: &Ticket) {
        let Some(index) = self.next.filter(|_| self.under_way.is_none()) else { return };
        let Some(one) = owned.get_mut(index) else {
            self.next = None;
            return;
        };
        if !one.is_ready() {
            self.next = Some(index + 1);
            return;
        }
        let Ok(room) = self.writer.clone().try_reserve_owned() else { return };
        self.next = Some(index + 1);
        self.under_way = Some(CheckpointInProgress {
            room,
            place: one.place().to_owned(),
            offset: one.partition().next_offset(),
            frames: vec![one.partition().begin_checkpoint()],
            told: told.clone(),
            kept: Arc::clone(one.kept()),
            epoch: one.epoch(),
        });
    }

    /// Writes down a part, if something is under way. Shards handed over meanwhile are left out.
    pub fn go_on(&mut self, owned: &mut [impl Saved], told: &Ticket) {
        let Some(mut under_way) = self.under_way.take() else { return };
        // One that was handed over and came back has another epoch: what was begun is of its state before.
        let one = owned.iter_mut().find(|one| {
            one.place() == under_way.place
                && one.epoch() == under_way.epoch
                && Arc::ptr_eq(one.kept(), &under_way.kept)
        });
        if let Some(one) = one {
            let (part, is_last) = one.partition().checkpoint_part(PART);
            under_way.frames.push(part);
            if !is_last {
                self.under_way = Some(under_way);
                return;
            }
            let CheckpointInProgress { room, place, offset, frames, told, kept, epoch } = under_way;
            room.send(Finished { place, offset, frames, told, kept, epoch });
        }
        self.begin(owned, told);
    }

    /// Writes down everything once more, at the end. Blocks.
    pub fn end(mut self, owned: &mut [impl Saved], told: &Ticket) {
        self.under_way = None;
        for one in owned {
            // The task that writes ends only after this thread.
            let _ended = self.writer.blocking_send(whole(one, told));
        }
    }
}

/// When the partition that waits longest for a checkpoint got its last one, as [`KeptOffset::written`] says.
/// None: none is owned.
pub fn oldest_checkpoint(owned: &[impl Saved]) -> Option<EventTime> {
    owned.iter().map(|one| one.kept().written()).min()
}

/// All of a partition at once.
pub fn whole(one: &mut impl Saved, told: &Ticket) -> Finished {
    let offset = one.partition().next_offset();
    let mut frames = vec![one.partition().begin_checkpoint()];
    frames.push(one.partition().checkpoint_part(u32::MAX).0);
    let (place, kept, epoch) = (one.place().to_owned(), Arc::clone(one.kept()), one.epoch());
    Finished { place, offset, frames, told: told.clone(), kept, epoch }
}
