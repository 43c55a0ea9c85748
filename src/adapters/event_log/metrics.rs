//! Metrics of the event log.

use crate::adapters::metrics::registrar::{LATENCY_S, MetricsError, Registrar};
use prometheus::{Histogram, IntCounter, IntGauge};

/// Metrics of the event log.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct EventLogMetrics {
    pub errors: IntCounter,
    pub segments_dropped: IntCounter,
    pub bytes: IntGauge,
    pub bytes_max: IntGauge,
    pub seconds: Histogram,
}

impl EventLogMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            errors: r.counter(
                "event_log_errors_total",
                "Failed writes to the event log, and segments of it that are of no use.",
            )?,
            segments_dropped: r.counter(
                "event_log_segments_dropped_total",
                "Segments of the event log that were removed before a checkpoint held them.",
            )?,
            bytes: r.gauge("event_log_bytes", "Bytes of the event log.")?,
            bytes_max: r
                .gauge("event_log_limit_bytes", "The most bytes that the event log may have.")?,
            seconds: r.histogram(
                "event_log_seconds",
                "Time to append to the event log, with the fsync where it is asked for.",
                &LATENCY_S,
            )?,
        })
    }
}
