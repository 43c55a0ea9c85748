//! Metrics of all sources: records refused or repaired, how far events lag, and whose clocks are fast.

use super::fast_clocks::FastClocks;
use super::rejects::RejectResult;
use crate::adapters::data_plane::metrics::SOURCES;
use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use crate::formats::events::decoder::DecodeCounters;
use crate::formats::events::refusal::Refusal;
use crate::model::event::Field;
use prometheus::{Histogram, IntCounter, IntCounterVec};

/// Buckets of the age of events. Unit: seconds.
const LAG_S: [f64; 11] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0, 3600.0];

/// Metrics of what sources take and refuse.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct SourceMetrics {
    pub refused: IntCounterVec,
    fields_repaired: IntCounterVec,
    secrets_replaced: IntCounter,
    pub lag: Histogram,
    pub rejects_dropped: IntCounter,
    reject_log_errors: IntCounter,
    pub not_durable: IntCounter,
    /// Senders of events from ahead of the clock: no label, as their names are free.
    pub fast_clocks: FastClocks,
}

impl SourceMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            refused: r.counters_by_two(
                "records_refused_total",
                "Records refused, by source and reason.",
                ["source", "reason"],
                [&SOURCES, &Refusal::ALL.map(Refusal::as_str)],
            )?,
            fields_repaired: r.counters(
                "event_fields_repaired_total",
                "Fields of events that could not be read as they were, and were repaired or left out; \
                 `text` is the record's encoding.",
                "field",
                Field::ALL.map(Field::as_str),
            )?,
            secrets_replaced: r.counter(
                "secrets_replaced_total",
                "Events that held a raw secret, which was replaced by a fingerprint or a jti.",
            )?,
            lag: r.histogram(
                "event_lag_seconds",
                "Age of the newest event of a batch as it is applied.",
                &LAG_S,
            )?,
            rejects_dropped: r.counter(
                "rejects_dropped_total",
                "Refused records beyond the bound of rejected records for a request or a second: counted, \
                 not written.",
            )?,
            reject_log_errors: r
                .counter("reject_log_errors_total", "Rejected records that could not be written.")?,
            not_durable: r.counter(
                "events_not_durable_total",
                "Events watched that the event log does not hold: a crash would lose them.",
            )?,
            fast_clocks: FastClocks::default(),
        })
    }

    /// Records refused since the start, over sources and reasons.
    pub fn records_refused(&self) -> u64 {
        let of = |source: &str| -> u64 {
            Refusal::ALL
                .iter()
                .map(|reason| self.refused.with_label_values(&[source, reason.as_str()]).get())
                .sum()
        };
        SOURCES.iter().map(|source| of(source)).sum()
    }

    /// Counts a rejected record that is not in the log.
    pub fn count_reject(&self, result: RejectResult) {
        match result {
            RejectResult::Yes => {}
            RejectResult::LeftOut => self.rejects_dropped.inc(),
            RejectResult::Failed => self.reject_log_errors.inc(),
        }
    }

    /// Adds the repairs of decoded events.
    pub fn add_decoded(&self, counters: &DecodeCounters) {
        self.secrets_replaced.inc_by(counters.secrets);
        for (field, count) in counters.repaired() {
            self.fields_repaired.with_label_values(&[field.as_str()]).inc_by(count);
        }
    }
}
