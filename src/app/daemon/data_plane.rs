//! A thread of the data plane: owns its slots, and nothing else does.

use super::saving::{Saving, Slot, per_slot};
use crate::edge::clock;
use crate::edge::metrics::Metrics;
use crate::edge::planes::{ControlMessage, ControlPlane, DataMessage, Hours, InUse, Ticket};
use crate::engine::partition::{Clock, Signal, View};
use crate::model::time::EventTime;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What every thread of the data plane gets.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// Where signals go.
    pub(super) control: ControlPlane,
    /// Where tallies go.
    pub(super) metrics: Metrics,
}

/// How far back the newest event of a slot may be that gets events of the present.
/// Unit: milliseconds. Chosen.
const PRESENT_MS: i64 = 120_000;
/// After how long without events a slot that got some of the past is taken to have all of it.
/// Unit: milliseconds. Chosen: well above the time between two requests of a client.
const QUIET_MS: i64 = 10_000;

/// One thread's slots.
struct Owner {
    number: usize,
    slots: Vec<Slot>,
    hours: Hours,
    /// What was told last.
    told: Ticket,
    saving: Saving,
    shared: Shared,
}

/// Runs thread `number`, which owns `slots`, until it is told to stop. Blocks.
pub(super) fn run(
    number: usize,
    (slots, saving): (Vec<Slot>, Saving),
    shared: Shared,
    mut messages: mpsc::Receiver<DataMessage>,
) {
    let (hours, told) = (Hours::default(), Ticket::default());
    let mut owner = Owner { number, slots, hours, told, saving, shared };
    loop {
        let message = if owner.saving.is_under_way() {
            match messages.try_recv() {
                Ok(message) => Some(message),
                Err(mpsc::error::TryRecvError::Empty) => {
                    owner.save();
                    continue;
                }
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            }
        } else {
            messages.blocking_recv()
        };
        if !message.is_some_and(|message| owner.take(message)) {
            break;
        }
        owner.save();
    }
    // What was handed over before the end is applied.
    messages.close();
    while let Some(message) = messages.blocking_recv() {
        owner.take(message);
    }
    owner.tell_hours();
    let Owner { mut slots, told, saving, .. } = owner;
    saving.end(&mut slots, &told);
}

impl Owner {
    fn take(&mut self, message: DataMessage) -> bool {
        match message {
            DataMessage::Batch(slot, mut batch, arrived) => {
                if let Some(one) = self.slots.iter_mut().find(|one| one.number == slot) {
                    one.arrived = arrived;
                    let partition = &mut one.partition;
                    batch.number_from(partition.next_offset());
                    partition.apply(&batch, Clock::Intake(clock::now()));
                    if let Some(newest) = batch.newest() {
                        let lag_s = clock::now().ms_since(newest) as f64 / 1000.0;
                        self.shared.metrics.event_lag.observe(lag_s.max(0.0));
                    }
                    let signals: Vec<Signal> = partition.drain_signals().collect();
                    let tally = partition.take_tally();
                    self.shared.metrics.add("http", &tally);
                    self.hours.add(&tally.active_hours);
                    self.send(signals, arrived);
                }
            }
            DataMessage::LookUp(credential, reply) => {
                let (kind, id) = (credential.kind(), credential.id());
                let found = self.slots.iter().find_map(|one| one.partition.look_up(kind, id));
                // Whoever asked may have gone away.
                let _gone = reply.send(found);
            }
            DataMessage::Busiest(most, reply) => {
                let of = |one: &mut Slot| one.partition.busiest(most);
                let mut views: Vec<View> = self.slots.iter_mut().flat_map(of).collect();
                views.sort_by_key(|view| std::cmp::Reverse(view.last_minute()));
                views.truncate(most);
                let _gone = reply.send(views);
            }
            DataMessage::Params(params) => {
                let params = per_slot(&params);
                for Slot { partition, .. } in &mut self.slots {
                    partition.set_params(Arc::clone(&params));
                }
            }
            DataMessage::Tick(now) => self.tick(now),
            DataMessage::Stop => return false,
        }
        true
    }

    fn tick(&mut self, now: EventTime) {
        let mut signals = Vec::new();
        let (mut credentials, mut open) = (0, 0);
        for Slot { partition, arrived, .. } in &mut self.slots {
            // While the past comes in, time goes on by its events alone: those who were busy in it
            // have not been silent since.
            let of_present = now.ms_since(partition.watermark()) < PRESENT_MS;
            let quiet = partition.credentials() > 0 && now.ms_since(*arrived) >= QUIET_MS;
            if of_present || quiet {
                partition.tick(now);
            }
            signals.extend(partition.drain_signals());
            let tally = partition.take_tally();
            self.shared.metrics.add("http", &tally);
            self.hours.add(&tally.active_hours);
            credentials += partition.credentials() as u64;
            open += partition.open_episodes() as u64;
        }
        self.send(signals, now);
        self.saving.tick(now, &mut self.slots, &self.told);
        self.tell_hours();
        self.shared.metrics.beat("data_plane", now.ms() as f64 / 1000.0);
        let told = ControlMessage::InUse(InUse { thread: self.number, credentials, open });
        // The control plane ends after this thread.
        let _ended = self.shared.control.tell_blocking(told);
    }

    fn tell_hours(&mut self) {
        if let Some(told) = self.hours.take() {
            // The control plane ends after this thread.
            let _ended = self.shared.control.tell_blocking(told);
        }
    }

    /// Writes down a part of what it owns, if it is time.
    fn save(&mut self) {
        self.saving.go_on(&mut self.slots, &self.told);
    }

    fn send(&mut self, signals: Vec<Signal>, arrived: EventTime) {
        if !signals.is_empty() {
            self.told = self.told.next();
            let message = ControlMessage::Signals(signals, arrived, Some(self.told.clone()));
            // The control plane ends after this thread.
            let _ended = self.shared.control.tell_blocking(message);
        }
    }
}
