//! What the HTTP door turns away to stay open, and what of it had to be refused or repaired.

use super::table::Table;
use super::{INTAKES, Metrics, MetricsError};
use crate::edge::connections::Closed;
use crate::edge::dead_letter::Written;
use crate::wire::decoder::DecodeTally;
use crate::wire::refusal::Refusal;
use prometheus::{IntCounter, IntCounterVec};

/// The metrics of the HTTP door.
#[derive(Clone, Debug)]
pub struct DoorMetrics {
    /// Connections that tripline closed, by reason.
    pub connections_closed: IntCounterVec,
    /// Refused records beyond the bound of dead letters.
    pub dead_letters_left_out: IntCounter,
    /// Requests of senders that sent too much that had to be refused.
    pub over_budget: IntCounter,
}

impl DoorMetrics {
    pub(super) fn new(t: &Table) -> Result<Self, MetricsError> {
        Ok(Self {
            connections_closed: t.counters(
                "connections_closed_total",
                "Connections that tripline closed: idle, displaced (an idle one, for a new one), no_room.",
                "reason",
                Closed::ALL.map(Closed::as_str),
            )?,
            dead_letters_left_out: t.counter(
                "dead_letters_left_out_total",
                "Refused records beyond the bound of dead letters for a request or a second: counted, \
                 not written.",
            )?,
            over_budget: t.counter(
                "refusal_budget_exceeded_total",
                "Requests answered 429: their sender sent too much that had to be refused.",
            )?,
        })
    }
}

impl Metrics {
    /// Adds what became of a dead letter.
    pub fn add_letter(&self, written: Written) {
        match written {
            Written::Yes => {}
            Written::LeftOut => self.door.dead_letters_left_out.inc(),
            Written::Failed => self.dead_letter_errors.inc(),
        }
    }

    /// Records refused since the start, over intakes and reasons.
    pub fn records_refused(&self) -> u64 {
        let of = |intake: &str| -> u64 {
            Refusal::ALL
                .iter()
                .map(|reason| self.refused.with_label_values(&[intake, reason.as_str()]).get())
                .sum()
        };
        INTAKES.iter().map(|intake| of(intake)).sum()
    }

    /// Adds what had to be changed in decoded events.
    pub fn add_decoded(&self, tally: &DecodeTally) {
        self.secrets_replaced.inc_by(tally.secrets);
        for (field, count) in tally.repaired() {
            self.fields_repaired.with_label_values(&[field.as_str()]).inc_by(count);
        }
    }
}
