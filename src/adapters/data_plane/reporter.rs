//! A thread's report of its shards: findings, minutes and hours to the control
//! plane, counters and its heartbeat to the metrics.

use super::metrics::ThreadMetrics;
use crate::adapters::channels::{ControlMessage, ControlPlane, InUse, Ticket};
use crate::adapters::clock;
use crate::data_plane::shard_driver::{ShardOutput, ShardUsage};
use crate::model::signal::{HoursOfUse, ShardId};
use crate::model::time::EventTime;

/// Which thread reports.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Its stage, as heartbeats name it.
    pub name: &'static str,
    /// Its number in the stage.
    pub number: usize,
    /// Its number among all threads of the data plane.
    pub thread: usize,
}

/// Reports of one thread. The control plane ends after the threads that report to it, so that what it
/// is reported is never lost.
#[derive(Debug)]
pub struct Reporter {
    stage: Stage,
    control: ControlPlane,
    metrics: ThreadMetrics,
    ticket: Ticket,
    /// Hours of use that were not reported yet: every tick rather than every batch.
    hours: HoursOfUse,
}

impl Reporter {
    /// Reports for that thread.
    pub fn new(stage: Stage, control: ControlPlane, metrics: ThreadMetrics) -> Self {
        let hours = HoursOfUse::new();
        Self { stage, control, metrics, ticket: Ticket::default(), hours }
    }

    /// The ticket of what was reported last.
    pub const fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Reports what a shard has to say; its events `arrived` then. Blocks while the control plane is
    /// busy.
    pub fn report(&mut self, shard: ShardId, output: ShardOutput, arrived: EventTime) {
        let ShardOutput { signals, counters, hours, ended_minute, late_uses } = output;
        self.metrics.shards.observe_late_uses(&late_uses);
        self.metrics.shards.add(&counters);
        for user in hours {
            *self.hours.entry(user).or_default() += 1;
        }
        if !signals.is_empty() {
            self.ticket = self.ticket.next();
            let ticket = Some(self.ticket.clone());
            self.send(ControlMessage::Signals(signals, arrived, ticket));
        }
        if let Some(minute) = ended_minute {
            self.send(ControlMessage::MinuteEnded(shard, minute));
        }
    }

    /// Reports the hours of use so far, as before a shard is handed over.
    pub fn flush_hours(&mut self) {
        let hours = std::mem::take(&mut self.hours);
        if !hours.is_empty() {
            self.send(ControlMessage::ActiveHours(hours));
        }
    }

    /// Reports at a tick that the thread lives, what its shards hold, and when the one that waits
    /// longest for a checkpoint got its last one.
    pub fn beat(&mut self, usage: ShardUsage, checkpoint: Option<EventTime>) {
        self.flush_hours();
        let Stage { name, number, thread, .. } = self.stage;
        self.metrics.checkpoint_at.set(name, number, checkpoint);
        // It lives now, whatever time it was reported: while the past is read again that is of the past.
        self.metrics.heartbeat_at.set(name, number, Some(clock::now()));
        self.send(ControlMessage::InUse(InUse { thread, usage }));
    }

    fn send(&self, message: ControlMessage) {
        // It has ended only if tripline stops by a fault.
        let _ended = self.control.send_blocking(message);
    }
}
