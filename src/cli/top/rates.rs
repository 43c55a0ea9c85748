//! How fast events come: from the totals of the daemon to a line of the last minutes.

use crate::formats::api::status::StatusJson;
use crate::formats::time::rfc3339;
use crate::model::time::EventTime;
use std::collections::VecDeque;

/// How many rates are kept. Chosen: five minutes, asked once a second.
const KEPT_MAX: usize = 300;

/// The rates of the last minutes.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    /// The newest answer.
    last: Option<(EventTime, Box<StatusJson>)>,
    /// Events in a second, oldest first.
    kept: VecDeque<u64>,
}

impl Rates {
    /// Takes an answer in. A daemon that was started again counts from 0, and an instance that is missing counts
    /// nothing, which is no rate.
    pub(super) fn take(&mut self, status: &StatusJson) {
        let Some(at) = rfc3339(&status.now) else { return };
        if let Some((before, last)) = &self.last {
            let ms = at.ms_since(*before);
            if ms <= 0 {
                return;
            }
            if last.counted() == status.counted() {
                let ms = u64::try_from(ms).unwrap_or(1);
                let events = status.events.saturating_sub(last.events);
                self.kept.push_back(events.saturating_mul(1000).div_euclid(ms));
            }
        }
        self.last = Some((at, Box::new(status.clone())));
        while self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    /// Events in a second, by the two newest answers.
    pub(super) fn per_s(&self) -> Option<u64> {
        self.kept.back().copied()
    }

    /// The rates, oldest first.
    pub(super) fn all(&self) -> Vec<u64> {
        self.kept.iter().copied().collect()
    }
}
