//! Metrics of checkpoints.

use crate::adapters::metrics::oldest::Oldest;
use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use prometheus::IntCounter;

/// Metrics of checkpoints.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct CheckpointMetrics {
    pub errors: IntCounter,
    pub fenced: IntCounter,
    pub written_at: Oldest,
    pub bytes: IntCounter,
}

impl CheckpointMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            errors: r.counter(
                "checkpoint_errors_total",
                "Checkpoints that were not written, or are of no use.",
            )?,
            fenced: r.counter(
                "checkpoints_fenced_total",
                "Checkpoints that were refused, as another instance took the partition over.",
            )?,
            written_at: r.oldest(
                "checkpoint_timestamp_seconds",
                "When the partition that waits longest for a checkpoint got its last one by this \
                 process; before that, since when it is owned. 0: none is owned.",
            )?,
            bytes: r.counter("checkpoint_bytes_total", "Bytes of checkpoints written.")?,
        })
    }
}
