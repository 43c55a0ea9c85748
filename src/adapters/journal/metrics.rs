//! Metrics of the journal.

use crate::adapters::metrics::registrar::{LATENCY_S, MetricsError, Registrar};
use prometheus::{Histogram, IntCounter, IntGauge};

/// Metrics of the journal.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct JournalMetrics {
    pub lines: IntGauge,
    pub errors: IntCounter,
    pub seconds: Histogram,
}

impl JournalMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            lines: r.gauge("journal_lines", "Lines of the journal.")?,
            errors: r.counter("journal_errors_total", "Failed writes to the journal.")?,
            seconds: r.histogram(
                "journal_seconds",
                "Time to make a batch of entries durable.",
                &LATENCY_S,
            )?,
        })
    }
}
