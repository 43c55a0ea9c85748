//! When the partitions of a thread are written down: one after the other, a part at a time, between
//! its messages.

use crate::edge::planes::{SLOTS, Ticket};
use crate::edge::snapshots::{Finished, Kept, Restored, Snapshots, Writer};
use crate::engine::batch::HashSeed;
use crate::engine::partition::{Params, Partition};
use crate::model::time::EventTime;
use std::sync::Arc;
use tokio::sync::mpsc::OwnedPermit;

/// Credentials written at once. Chosen: some milliseconds.
const PART: u32 = 10_000;

/// One slot of the HTTP intake.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its number.
    pub(super) number: usize,
    /// Its state.
    pub(super) partition: Partition,
    /// When events came last.
    pub(super) arrived: EventTime,
    /// Its checkpoints.
    pub(super) kept: Arc<Kept>,
}

/// The name of a slot among checkpoints.
fn name(slot: usize) -> String {
    format!("http/slot-{slot:02}")
}

/// The limit of credentials is for all slots together.
pub(super) fn per_slot(params: &Params) -> Arc<Params> {
    let credentials_max = params.credentials_max.div_ceil(SLOTS);
    Arc::new(Params { credentials_max, ..params.clone() })
}

/// The partitions of all slots as they were written down, or new ones.
pub(super) async fn restored(snapshots: &Snapshots, params: &Params, seed: HashSeed) -> Vec<Slot> {
    let params = per_slot(params);
    let (mut slots, mut credentials) = (Vec::with_capacity(SLOTS), 0);
    for slot in 0..SLOTS {
        let found = snapshots.restore(&name(slot), &params, seed).await;
        let Restored { partition, kept } = found;
        credentials += partition.as_ref().map_or(0, Partition::credentials);
        slots.push(Slot {
            number: slot,
            partition: partition.unwrap_or_else(|| Partition::new(Arc::clone(&params), seed)),
            arrived: EventTime::MIN,
            kept,
        });
    }
    if credentials > 0 {
        tracing::info!(credentials, "what was remembered of credentials is read back");
    }
    slots
}

/// What is written down now.
#[derive(Debug)]
struct UnderWay {
    /// Its place among those that are written.
    place: OwnedPermit<Finished>,
    /// Which of the thread's partitions.
    index: usize,
    offset: i64,
    frames: Vec<Vec<u8>>,
    /// What was told before it.
    told: Ticket,
}

/// Writes down what a thread owns, again and again.
#[derive(Debug)]
pub(super) struct Saving {
    writer: Writer,
    every_ms: i64,
    due: Option<EventTime>,
    /// The partition that comes next; none while it is not time.
    next: Option<usize>,
    under_way: Option<UnderWay>,
}

impl Saving {
    /// Writes down all partitions once in `every_ms`.
    pub(super) const fn new(writer: Writer, every_ms: i64) -> Self {
        Self { writer, every_ms, due: None, next: None, under_way: None }
    }

    /// Whether there is something to go on with.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins with the first partition, if it is time, or with the next one.
    pub(super) fn tick(&mut self, now: EventTime, slots: &mut [Slot], told: &Ticket) {
        // A clock that was set back must not put it off.
        let latest = now.plus_ms(self.every_ms);
        let due = self.due.map_or(latest, |due| due.min(latest));
        self.due = Some(due);
        if now >= due && self.next.is_none() {
            self.due = Some(latest);
            self.next = Some(0);
        }
        self.begin(slots, told);
    }

    /// Begins with the next partition, if there is one, and room to write it.
    fn begin(&mut self, slots: &mut [Slot], told: &Ticket) {
        let Some(index) = self.next.filter(|_| self.under_way.is_none()) else { return };
        let Some(Slot { partition, .. }) = slots.get_mut(index) else {
            self.next = None;
            return;
        };
        let Ok(place) = self.writer.clone().try_reserve_owned() else { return };
        self.next = Some(index + 1);
        self.under_way = Some(UnderWay {
            place,
            index,
            offset: partition.next_offset(),
            frames: vec![partition.begin_checkpoint()],
            told: told.clone(),
        });
    }

    /// Writes down a part, if something is under way.
    pub(super) fn go_on(&mut self, slots: &mut [Slot], told: &Ticket) {
        let Some(mut one) = self.under_way.take() else { return };
        let Some(Slot { number, partition, kept, .. }) = slots.get_mut(one.index) else { return };
        let (part, is_last) = partition.checkpoint_part(PART);
        one.frames.push(part);
        if !is_last {
            self.under_way = Some(one);
            return;
        }
        let UnderWay { place, offset, frames, told: before, .. } = one;
        let kept = Arc::clone(kept);
        place.send(Finished { place: name(*number), offset, frames, told: before, kept });
        self.begin(slots, told);
    }

    /// Writes down everything once more, at the end. Blocks.
    pub(super) fn end(mut self, slots: &mut [Slot], told: &Ticket) {
        self.under_way = None;
        for Slot { number, partition, kept, .. } in slots {
            let offset = partition.next_offset();
            let mut frames = vec![partition.begin_checkpoint()];
            frames.push(partition.checkpoint_part(u32::MAX).0);
            let (place, told, kept) = (name(*number), told.clone(), Arc::clone(kept));
            let finished = Finished { place, offset, frames, told, kept };
            // The task that writes ends only after this thread.
            let _ended = self.writer.blocking_send(finished);
        }
    }
}
