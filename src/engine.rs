//! A engine for one thread: a partition and the control plane behind it.
//!
//! **Invariant** D-1: the same events, marks, restores, parameters and seed give the same signals and
//! decisions, byte for byte.
//!
//! **Does not** mark what its own control plane takes out of service: a replay reads what gateways did,
//! and these obeyed no decision of it.

use crate::control_plane;
use crate::control_plane::control::Control;
use crate::control_plane::params::PersonOrder;
use crate::data_plane::batch::{Batch, HashSeed};
use crate::data_plane::counters::Counters;
use crate::data_plane::partition::{self, Clock, Partition};
use crate::data_plane::shard_driver::{ShardDriver, ShardOutput};
use crate::model::credential::Credential;
use crate::model::decision::{Decision, Order, Status};
use crate::model::proof::Mark;
use crate::model::signal::{HoursOfUse, Signal, UserOfHour};
use crate::model::time::EventTime;
use compact_str::CompactString;
use std::collections::VecDeque;
use std::sync::Arc;

/// Output of the engine.
#[derive(Clone, Debug)]
pub enum Output {
    /// A finding changed.
    Signal(Box<Signal>),
    /// A decision was made.
    Decision(Box<Decision>),
}

/// Lets the control plane do what is due by `now`, each at its own time.
fn advance(control: &mut Control, now: EventTime) -> Vec<Decision> {
    let mut decisions = Vec::new();
    while let Some(due) = control.next_deadline().filter(|due| *due <= now) {
        decisions.extend(control.tick(due));
    }
    decisions
}

/// So many hours of use wait for a signal at most. Chosen: a few megabytes.
const HOURS_MAX: usize = 1 << 16;

/// A partition and the control plane behind it; its clock is event time.
#[derive(Debug)]
pub struct Engine {
    driver: ShardDriver,
    control: Control,
    /// Hours of use of which the control plane has not learned yet, oldest first.
    hours: VecDeque<UserOfHour>,
    /// How many it has learned of.
    learned: u64,
    counters: Counters,
}

impl Engine {
    /// An empty engine.
    pub fn new(
        partition: Arc<partition::Params>,
        control: Arc<control_plane::params::Params>,
        seed: HashSeed,
    ) -> Self {
        Self {
            driver: ShardDriver::empty(partition, seed),
            control: Control::new(control),
            hours: VecDeque::new(),
            learned: 0,
            counters: Counters::default(),
        }
    }

    /// Applies a batch; `each` gets what follows from it, in order. How events are cut into batches
    /// makes no difference.
    pub fn apply(&mut self, batch: &Batch, mut each: impl FnMut(Output)) {
        let Some(newest) = batch.newest() else { return };
        let output = self.driver.step(batch, Clock::Events);
        self.judge(output, &mut each);
        self.tick(newest, each);
    }

    /// Takes what is known of a credential besides its events, at `now`: after the events before it, and
    /// before those after it. `each` gets what follows, in order.
    pub fn mark(
        &mut self,
        credential: &Credential,
        mark: Mark,
        now: EventTime,
        mut each: impl FnMut(Output),
    ) {
        let output = self.driver.mark(credential, mark, now);
        self.judge(output, &mut each);
        self.tick(now, each);
    }

    /// Puts a credential back into service at `now`, as a person's word.
    pub fn restore(
        &mut self,
        credential: &Credential,
        now: EventTime,
        mut each: impl FnMut(Output),
    ) {
        self.tick(now, &mut each);
        let by = CompactString::const_new("a person");
        let order = PersonOrder {
            credential: credential.clone(),
            order: Order::Restore,
            account: by.clone(),
            by,
            reason: String::new(),
            lasts_ms: None,
            held: Status::Active,
        };
        // Nothing in force is too severe to be restored.
        if let Ok(Some(decision)) = self.control.on_person(order, now) {
            each(Output::Decision(Box::new(decision)));
        }
        self.mark(credential, Mark::InService { by_person: true }, now, each);
    }

    /// Lets the control plane decide on the signals of an output.
    fn judge(&mut self, output: ShardOutput, each: &mut impl FnMut(Output)) {
        self.counters.add(&output.counters);
        self.hours.extend(output.hours);
        for signal in output.signals {
            let now = signal.finding.updated;
            for decision in advance(&mut self.control, now) {
                each(Output::Decision(Box::new(decision)));
            }
            self.control.set_active(signal.seen.credentials);
            self.learn_hours(signal.seen.hours.iter().sum());
            let decision = self.control.on_signal(&signal, now);
            each(Output::Signal(Box::new(signal)));
            if let Some(decision) = decision {
                each(Output::Decision(Box::new(decision)));
            }
        }
        // A history without findings must not pile them up; no later signal knows of fewer.
        if self.hours.len() >= HOURS_MAX {
            self.learn_hours(u64::MAX);
        }
    }

    /// Tells the control plane of the hours of use up to the `seen`th.
    fn learn_hours(&mut self, seen: u64) {
        let mut hours = HoursOfUse::new();
        while self.learned < seen
            && let Some(user) = self.hours.pop_front()
        {
            *hours.entry(user).or_default() += 1;
            self.learned += 1;
        }
        self.control.note_active_hours(&hours);
    }

    /// Lets time pass up to `now`.
    pub fn tick(&mut self, now: EventTime, mut each: impl FnMut(Output)) {
        for decision in advance(&mut self.control, now) {
            each(Output::Decision(Box::new(decision)));
        }
    }

    /// The data plane.
    pub const fn partition(&self) -> &Partition {
        self.driver.partition()
    }

    /// Counters so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}
