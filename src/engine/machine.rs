//! A machine for one thread: a partition and the control plane behind it.
//!
//! **Invariant** D-1: the same events, parameters and seed give the same signals and decisions,
//! byte for byte.

use super::batch::{Batch, HashSeed};
use super::control::{self, Control};
use super::partition::{self, Clock, Partition, Signal};
use crate::model::decision::Decision;
use crate::model::time::EventTime;
use std::sync::Arc;

/// What a machine says.
#[derive(Clone, Debug)]
pub enum Output {
    /// A finding changed.
    Signal(Box<Signal>),
    /// A decision was made.
    Decision(Box<Decision>),
}

/// A partition and the control plane behind it; its clock is event time.
#[derive(Debug)]
pub struct Machine {
    partition: Partition,
    control: Control,
}

impl Machine {
    /// An empty machine.
    pub fn new(
        partition: Arc<partition::Params>,
        control: Arc<control::Params>,
        seed: HashSeed,
    ) -> Self {
        Self { partition: Partition::new(partition, seed), control: Control::new(control) }
    }

    /// Applies a batch; `each` gets what follows from it, in order.
    pub fn apply(&mut self, batch: &Batch, mut each: impl FnMut(Output)) {
        let Some(newest) = batch.newest() else { return };
        self.partition.apply(batch, Clock::Events);
        self.control.set_active(self.partition.credentials() as u64);
        self.control.note_active_hours(&self.partition.take_active_hours());
        for signal in self.partition.drain_signals() {
            let now = signal.finding.updated;
            for decision in self.control.tick(now) {
                each(Output::Decision(Box::new(decision)));
            }
            let decision = self.control.on_signal(&signal, now);
            each(Output::Signal(Box::new(signal)));
            if let Some(decision) = decision {
                each(Output::Decision(Box::new(decision)));
            }
        }
        self.tick(newest, each);
    }

    /// Lets time pass up to `now`.
    pub fn tick(&mut self, now: EventTime, mut each: impl FnMut(Output)) {
        for decision in self.control.tick(now) {
            each(Output::Decision(Box::new(decision)));
        }
    }

    /// The data plane.
    pub const fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The data plane, to take its tally.
    pub const fn partition_mut(&mut self) -> &mut Partition {
        &mut self.partition
    }
}
