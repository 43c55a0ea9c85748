//! Metrics of notifications.

use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use prometheus::{IntCounter, IntCounterVec};

/// Values of the label `result`.
const RESULTS: [&str; 6] = ["delivered", "refused", "limited", "dropped", "expired", "again"];

/// Metrics of notifications.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct NotifyMetrics {
    pub notifications: IntCounterVec,
}

/// Counters of one receiver.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is named after its value of the label `result`")]
pub struct ReceiverMetrics {
    pub delivered: IntCounter,
    pub refused: IntCounter,
    pub limited: IntCounter,
    pub dropped: IntCounter,
    pub expired: IntCounter,
    pub again: IntCounter,
}

impl NotifyMetrics {
    /// Registers its metrics; receivers have none before [`Self::receiver`].
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let notifications = registrar.counters_by_two(
            "notifications_total",
            "Notifications, by receiver and what became of them.",
            ["receiver", "result"],
            [&[], &[]],
        )?;
        Ok(Self { notifications })
    }

    /// The counters of a receiver, each 0 at first.
    pub fn receiver(&self, name: &str) -> ReceiverMetrics {
        let [delivered, refused, limited, dropped, expired, again] =
            RESULTS.map(|result| self.notifications.with_label_values(&[name, result]));
        ReceiverMetrics { delivered, refused, limited, dropped, expired, again }
    }
}
