//! How fast events come: from the totals of the daemon to a line of the last minutes.

use crate::model::time::EventTime;
use crate::wire::status_json::StatusJson;
use crate::wire::time::rfc3339;
use std::collections::VecDeque;

/// How many rates are kept. Chosen: five minutes, asked once a second.
const KEPT_MAX: usize = 300;
/// How long something that went wrong is told. Unit: milliseconds.
const TOLD_MS: i64 = 60_000;

/// What came between two answers.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: EventTime,
    per_s: u64,
    refused: u64,
    full: u64,
}

/// The rates of the last minutes.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    last: Option<(EventTime, StatusJson)>,
    samples: VecDeque<Sample>,
}

impl Rates {
    /// Takes an answer in. A daemon that was started anew counts from 0, which is no rate.
    pub(super) fn take(&mut self, status: &StatusJson) {
        let Some(at) = rfc3339(&status.now) else { return };
        if let Some((before, last)) = &self.last {
            let ms = at.ms_since(*before);
            if ms <= 0 {
                return;
            }
            if last.started == status.started {
                let ms = u64::try_from(ms).unwrap_or(1);
                let events = status.events.saturating_sub(last.events);
                self.samples.push_back(Sample {
                    at,
                    per_s: events.saturating_mul(1000).div_euclid(ms),
                    refused: status.events_refused.saturating_sub(last.events_refused),
                    full: status.queue_full.saturating_sub(last.queue_full),
                });
            }
        }
        self.last = Some((at, status.clone()));
        while self.samples.len() > KEPT_MAX {
            self.samples.pop_front();
        }
    }

    /// Events in a second, by the two newest answers.
    pub(super) fn per_s(&self) -> Option<u64> {
        self.samples.back().map(|sample| sample.per_s)
    }

    /// The rates, oldest first.
    pub(super) fn all(&self) -> Vec<u64> {
        self.samples.iter().map(|sample| sample.per_s).collect()
    }

    fn newest(&self) -> impl Iterator<Item = &Sample> {
        let now = self.samples.back().map_or(EventTime::MIN, |sample| sample.at);
        self.samples.iter().filter(move |sample| now.ms_since(sample.at) < TOLD_MS)
    }

    /// Records refused within a minute.
    pub(super) fn refused(&self) -> u64 {
        self.newest().map(|sample| sample.refused).sum()
    }

    /// How often within a minute a queue was full.
    pub(super) fn full(&self) -> u64 {
        self.newest().map(|sample| sample.full).sum()
    }
}
