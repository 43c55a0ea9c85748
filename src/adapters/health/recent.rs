//! Samples of the daemon's health, and how it was within the last two minutes.

use super::fleet::FleetFaults;
use crate::formats::api::status::{IssueJson, KafkaJson, Part, SourceJson, StoreJson};
use crate::model::time::EventTime;
use std::collections::VecDeque;

/// How long it is remembered how it was. Unit: milliseconds. Chosen: longer than anything that is reported
/// only once it lasts.
pub(super) const KEPT_MS: i64 = 120_000;
pub(super) const MINUTE_MS: i64 = 60_000;

/// A sample of health. Counts are totals since the start.
#[derive(Clone, Debug)]
pub struct Measurements {
    /// When.
    pub at: EventTime,
    /// When tripline was started.
    pub started: EventTime,
    /// Invariants that would have been broken.
    pub violations: u64,
    /// Whether the journal can be written.
    pub journal_is_writable: bool,
    /// Whether the decisions of other instances are followed, or there is nowhere to follow them.
    pub is_following: bool,
    /// Faults of the fleet.
    pub fleet: FleetFaults,
    /// When each stage last showed that its threads live.
    pub beats: Vec<(&'static str, EventTime)>,
    /// The auth stores.
    pub stores: Vec<StoreJson>,
    /// The deliveries that each of them has settled, in the same order.
    pub settled: Vec<u64>,
    /// Events that a crash would lose.
    pub not_kept: u64,
    /// Requests answered 429 as a queue was full.
    pub queue_full: u64,
    /// Requests answered 503 as Kafka did not store their events.
    pub not_written: u64,
    /// Records refused.
    pub refused: u64,
    /// Events applied.
    pub applied: u64,
    /// Those of them whose caller did not prove to hold the credential.
    pub unverified: u64,
    /// The sender whose clock is furthest ahead, if its events are not counted for that, and by how
    /// much. Unit: milliseconds.
    pub fast_clock: Option<(String, i64)>,
    /// The sources.
    pub sources: Vec<SourceJson>,
    /// The Kafka source, where there is one.
    pub kafka: Option<KafkaJson>,
    /// Events of Kafka taken.
    pub kafka_events: u64,
    /// When the partition that waits longest for a checkpoint got its last one.
    pub checkpoint: Option<EventTime>,
    /// How often each gets one. Unit: milliseconds.
    pub checkpoint_interval_ms: i64,
    /// Credentials with a baseline that were forgotten for want of memory.
    pub forgotten: u64,
    /// Uses of unknown credentials that were not counted for want of memory.
    pub deferred: u64,
    /// Credentials that were not taken in, as all others had an open finding.
    pub not_watched: u64,
    /// Revocations that the revocation limit has left; none where it may never let any through.
    pub revocation_tokens: Option<i64>,
}

/// How it was recently.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    kept: VecDeque<Measurements>,
}

impl Recent {
    /// Takes down how it is.
    pub fn record(&mut self, now: Measurements) {
        // A clock that was set back leaves nothing to compare with.
        self.kept.retain(|one| (0..KEPT_MS).contains(&now.at.ms_since(one.at)));
        self.kept.push_back(now);
    }

    /// For how long something has been so without a break, as far as it is remembered; none if it
    /// is not so. Unit: milliseconds.
    pub(super) fn since_ms(
        &self,
        now: &Measurements,
        is_so: impl Fn(&Measurements) -> bool,
    ) -> Option<i64> {
        let before = self.kept.iter().rev().filter(|one| one.at <= now.at);
        let first = std::iter::once(now).chain(before).take_while(|one| is_so(one)).last();
        first.map(|first| now.at.ms_since(first.at))
    }

    /// By how much a total rose within the last minute, and in how many seconds; none where nothing was
    /// taken down in it.
    pub(super) fn risen(
        &self,
        now: &Measurements,
        total: impl Fn(&Measurements) -> u64,
    ) -> Option<(u64, f64)> {
        let since =
            self.kept.iter().find(|one| (1..=MINUTE_MS).contains(&now.at.ms_since(one.at)))?;
        let seconds = now.at.ms_since(since.at) as f64 / 1000.0;
        Some((total(now).saturating_sub(total(since)), seconds))
    }
}

impl Measurements {
    /// The deliveries that a store has settled.
    pub(super) fn settled_by(&self, name: &str) -> Option<u64> {
        let mut stores = self.stores.iter().zip(&self.settled);
        stores.find(|(store, _)| store.name == name).map(|(_, settled)| *settled)
    }
}

pub(super) fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn warning(part: Part, runbook: &str, found: String) -> IssueJson {
    IssueJson {
        part,
        instances: Vec::new(),
        store: None,
        source: None,
        critical: false,
        found,
        runbook: runbook.to_owned(),
    }
}

pub(super) fn critical(part: Part, runbook: &str, found: String) -> IssueJson {
    IssueJson { critical: true, ..warning(part, runbook, found) }
}
