//! The events of some records, by the thread that owns their credentials or as records for a topic, and the
//! records that were refused.

use super::ingest::Taken;
use super::kafka::keyed_record::KeyedRecord;
use super::metrics::SourceMetrics;
use super::rate_bound::RateBounds;
use crate::adapters::channels::{DataPlane, SLOTS};
use crate::data_plane::batch::{Batch, HashSeed};
use crate::formats::events::decoder::DecodeCounters;
use crate::formats::events::refusal::Refusal;
use crate::model::event::AuthEvent;
use crate::model::time::EventTime;

/// Rejected records whose places are kept; further ones are counted. Chosen: what is wrong with a sender
/// is seen in a thousand.
const PLACES_MAX: usize = 1_000;

/// Events, as they go on.
#[derive(Debug)]
enum Events {
    /// To the threads here, by slot.
    Slots(Vec<Batch>),
    /// To a topic.
    Topic(Vec<KeyedRecord>),
}

/// The events of some records, and those that were refused.
#[derive(Debug)]
pub struct Decoded {
    events: Events,
    /// How many events there are.
    pub accepted: usize,
    /// Repairs.
    pub counters: DecodeCounters,
    /// The time of the newest event.
    pub newest: EventTime,
    /// The refused records.
    pub refusals: Refusals,
}

impl Default for Decoded {
    fn default() -> Self {
        Self::of(Events::Slots(vec![Batch::default(); SLOTS]))
    }
}

impl Decoded {
    fn of(events: Events) -> Self {
        Self {
            events,
            accepted: 0,
            counters: DecodeCounters::default(),
            newest: EventTime::MIN,
            refusals: Refusals::default(),
        }
    }

    /// None yet, of records whose events go to a topic.
    pub fn for_topic() -> Self {
        Self::of(Events::Topic(Vec::new()))
    }

    /// Takes the answer for the record at that place.
    pub fn add(&mut self, place: u64, answer: Result<AuthEvent<'_>, Refusal>, seed: HashSeed) {
        match answer {
            Ok(event) => {
                self.accepted += 1;
                self.counters.add(&event);
                self.newest = self.newest.max(event.time);
                match &mut self.events {
                    Events::Slots(slots) => {
                        let slot = DataPlane::slot(seed.shard(&event));
                        if let Some(batch) = slots.get_mut(slot) {
                            batch.push(&event, 0, seed);
                        }
                    }
                    Events::Topic(records) => records.push(KeyedRecord::new(&event)),
                }
            }
            Err(refusal) => self.refusals.add(place, refusal),
        }
    }

    /// The events, by slot; none where they go to a topic.
    pub fn take_batches(&mut self) -> Vec<(usize, Batch)> {
        let Events::Slots(slots) = &mut self.events else { return Vec::new() };
        (0..).zip(std::mem::take(slots)).filter(|(_, batch)| !batch.is_empty()).collect()
    }

    /// The events as records for a topic; none where they stay here.
    pub fn take_records(&mut self) -> Vec<KeyedRecord> {
        let Events::Topic(records) = &mut self.events else { return Vec::new() };
        std::mem::take(records)
    }

    /// Counts what a source took and refused, and charges its rate.
    pub fn count(
        &self,
        source: &str,
        (taken, arrived): (Taken, EventTime),
        metrics: &SourceMetrics,
        bounds: &RateBounds,
    ) {
        if !taken.durable {
            metrics.not_durable.inc_by(self.accepted as u64);
        }
        bounds.charge(source, self.accepted, arrived);
        metrics.count_taken(source, self.accepted as u64, arrived);
        metrics.add_decoded(&self.counters);
        self.refusals.count_in(source, metrics);
    }
}

/// Refused records: all counted, the first places kept.
#[derive(Debug, Default)]
pub struct Refusals {
    /// The first of them: places and reasons.
    pub first: Vec<(u64, Refusal)>,
    by_reason: [u64; Refusal::ALL.len()],
}

impl Refusals {
    fn add(&mut self, place: u64, refusal: Refusal) {
        if self.first.len() < PLACES_MAX {
            self.first.push((place, refusal));
        }
        if let Some(count) = self.by_reason.get_mut(refusal as usize) {
            *count += 1;
        }
    }

    /// How many records are at fault, and the fault of the first of them. A request without a credential is none:
    /// there is nothing to mend.
    pub fn fault(&self) -> Option<(u64, String)> {
        let harmless = self.by_reason.get(Refusal::NoCredential as usize).copied().unwrap_or(0);
        let at_fault = self.count() - harmless;
        let first = self.first.iter().find(|(_, refusal)| *refusal != Refusal::NoCredential);
        let message = first.map(|(place, refusal)| {
            format!("record {place}: {}; {}", refusal.as_str(), refusal.remedy())
        });
        (at_fault > 0).then(|| (at_fault, message.unwrap_or_default()))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.by_reason.iter().sum()
    }

    fn count_in(&self, source: &str, metrics: &SourceMetrics) {
        for (reason, count) in Refusal::ALL.iter().zip(self.by_reason) {
            metrics.refused.with_label_values(&[source, reason.as_str()]).inc_by(count);
        }
        metrics.rejects_dropped.inc_by(self.count() - self.first.len() as u64);
    }
}
