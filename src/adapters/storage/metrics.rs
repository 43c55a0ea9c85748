//! Metrics of local storage.

use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use prometheus::IntCounter;

/// Failed writes to local storage.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct StorageMetrics {
    pub budget_errors: IntCounter,
    pub finding_errors: IntCounter,
}

impl StorageMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            budget_errors: r
                .counter("budget_store_errors_total", "Failed writes of the ledger.")?,
            finding_errors: r.counter(
                "finding_errors_total",
                "Failed writes of findings to disk, and findings that were left out of it.",
            )?,
        })
    }
}
