//! Where sources with a thread of their own send their events, batch by batch: it waits while a queue is full,
//! or a source exceeds its rate.

use super::decoded::Decoded;
use super::ingest::{Request, Source};
use super::metrics::SourceMetrics;
use super::rate_bound::RateBounds;
use super::rejects::{RecordPlace, RejectLog, letter};
use crate::adapters::channels::NotTaken;
use crate::adapters::clock;
use crate::data_plane::batch::HashSeed;
use crate::formats::events::decoder::Decoder;
use crate::formats::events::refusal::{Limits, Refusal};
use crate::formats::secrets::secret::Fingerprinter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long it is waited where a queue is full.
const FULL_WAIT: Duration = Duration::from_millis(20);

/// How long it is waited at once where a source exceeds its rate: tripline may be stopping.
const BOUND_WAIT_MAX: Duration = Duration::from_millis(100);

/// State that the threads of sources share with the rest.
#[derive(Clone, Debug)]
pub struct EventSink {
    /// Takes events to the data plane and the event log.
    pub ingest: Arc<Source>,
    /// Stands for secrets.
    pub fingerprints: Arc<Fingerprinter>,
    /// The hash seed of the data plane.
    pub seed: HashSeed,
    /// Counters of all sources.
    pub records: SourceMetrics,
    /// Where the places of refused records go.
    pub rejects: Arc<RejectLog>,
    /// The rates of sources.
    pub bounds: Arc<RateBounds>,
    /// Whether tripline is stopping.
    pub stopping: Arc<AtomicBool>,
}

/// tripline is stopping: nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping;

impl EventSink {
    /// Whether tripline is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Decodes the record at that place.
    pub fn decode(
        &self,
        decoder: &Decoder,
        (place, record): (u64, Result<&[u8], Refusal>),
        limits: &Limits,
        decoded: &mut Decoded,
    ) {
        match record {
            Ok(record) => decoder.decode(record, limits, &self.fingerprints, &mut |answer| {
                decoded.add(place, answer, self.seed);
            }),
            Err(refusal) => decoded.add(place, Err(refusal), self.seed),
        }
    }

    /// Waits while a source exceeds its rate.
    ///
    /// # Errors
    /// When tripline is stopping.
    pub async fn wait_for_rate(&self, source: &str) -> Result<(), Stopping> {
        let mut is_bound = false;
        while let Some(wait) = self.bounds.wait(source, clock::now()) {
            if !std::mem::replace(&mut is_bound, true) {
                self.records.count_rate_bound(source);
            }
            if self.is_stopping() {
                return Err(Stopping);
            }
            tokio::time::sleep(wait.min(BOUND_WAIT_MAX)).await;
        }
        Ok(())
    }

    /// Hands over what was decoded of a source's records, once for a key; `place` says where each record stood. They are
    /// watched even where the disk is full.
    ///
    /// # Errors
    /// When tripline is stopping.
    pub async fn take<'a>(
        &self,
        source: &str,
        key: Option<u64>,
        mut decoded: Decoded,
        place: impl Fn(u64) -> RecordPlace<'a>,
    ) -> Result<(), Stopping> {
        self.wait_for_rate(source).await?;
        let arrived = clock::now();
        let batches = decoded.take_batches();
        let taken = loop {
            match self.ingest.take(Request::new(arrived, key, batches.clone())).await {
                Ok(taken) => break taken,
                Err(NotTaken::Full) if !self.is_stopping() => tokio::time::sleep(FULL_WAIT).await,
                Err(NotTaken::Full | NotTaken::Stopping) => return Err(Stopping),
            }
        };
        if taken.before {
            return Ok(());
        }
        decoded.count(source, (taken, arrived), &self.records, &self.bounds);
        for (number, refusal) in &decoded.refusals.first {
            let written = self.rejects.write(&letter(place(*number), *refusal, arrived), arrived);
            self.records.count_reject(written);
        }
        Ok(())
    }
}
