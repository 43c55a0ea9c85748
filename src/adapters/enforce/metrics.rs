//! Metrics of auth stores: deliveries, outboxes, and how a store compares with the journal.

use crate::adapters::metrics::registrar::{LATENCY_S, MetricsError, Registrar};
use crate::model::decision::Receipt;
use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

/// Metrics of auth stores, by the name of the store.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct EnforceMetrics {
    pub deliveries: IntCounterVec,
    pub seconds: HistogramVec,
    pub outbox: IntGaugeVec,
    pub up: IntGaugeVec,
    pub reconciled: IntCounterVec,
    pub reconciled_at: GaugeVec,
}

impl EnforceMetrics {
    /// Registers its metrics for stores of these names, which count as up until one can't be reached.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar, stores: &[&str]) -> Result<Self, MetricsError> {
        let r = registrar;
        let metrics = Self {
            deliveries: r.counters_by_two(
                "enforcement_total",
                "Deliveries to stores, by store and receipt.",
                ["store", "receipt"],
                [stores, &Receipt::ALL.map(Receipt::as_str)],
            )?,
            seconds: r.histograms(
                "enforcement_seconds",
                "Time from the arrival of the event to the store's receipt.",
                ("store", stores.iter().copied()),
                &LATENCY_S,
            )?,
            outbox: r.gauges(
                "outbox_pending",
                "Decisions that are due, by store.",
                "store",
                stores.iter().copied(),
            )?,
            up: r.gauges(
                "store_up",
                "1 while the store answers; 0 while it can't be reached.",
                "store",
                stores.iter().copied(),
            )?,
            reconciled: r.counters_by_two(
                "reconciled_total",
                "Credentials on which a store did not agree with the journal, by what it held.",
                ["store", "held"],
                [stores, &["less", "more"]],
            )?,
            reconciled_at: r.float_gauges(
                "reconciled_timestamp_seconds",
                "When a store was last compared whole with the enforcement states.",
                "store",
            )?,
        };
        for store in stores {
            metrics.up.with_label_values(&[store]).set(1);
        }
        Ok(metrics)
    }

    /// Deliveries to a store since the start that are settled.
    pub fn settled(&self, store: &str) -> u64 {
        let settles = Receipt::ALL.into_iter().filter(|receipt| receipt.is_settled());
        settles.map(|one| self.deliveries.with_label_values(&[store, one.as_str()]).get()).sum()
    }
}
