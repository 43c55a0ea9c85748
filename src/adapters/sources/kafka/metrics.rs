//! Metrics of the consumer of Kafka, and of the topic that HTTP sources write.

use crate::adapters::metrics::registrar::{LATENCY_S, MetricsError, Registrar};
use prometheus::{Histogram, IntCounter, IntGauge};

/// Metrics of the consumer.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct ConsumerMetrics {
    pub resets: IntCounter,
    pub skipped: IntCounter,
    pub lost: IntCounter,
    pub lag: IntGauge,
    pub assigned: IntGauge,
    pub stalls: IntCounter,
    pub up: IntGauge,
    pub errors: IntCounter,
}

impl ConsumerMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            resets: r.counter(
                "consumer_resets_total",
                "Kafka partitions that were recreated or truncated while they were read.",
            )?,
            skipped: r.counter(
                "consumer_skipped_total",
                "Offsets without a record: compacted, of transactions, or removed unread.",
            )?,
            lost: r.counter(
                "consumer_lost_total",
                "Records of Kafka that retention removed before they were read.",
            )?,
            lag: r.gauge(
                "consumer_lag",
                "Records of Kafka not yet applied, give or take a batch, over partitions.",
            )?,
            assigned: r.gauge("consumer_assigned", "Kafka partitions owned.")?,
            stalls: r.counter(
                "consumer_stalls_total",
                "Times the consumer was recreated because it stalled.",
            )?,
            up: r.gauge(
                "consumer_up",
                "1 while the brokers answer; 0 while they can't be reached, or there is no Kafka.",
            )?,
            errors: r.counter("consumer_errors_total", "Errors of the Kafka client.")?,
        })
    }
}

/// Metrics of the topic that HTTP sources write.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct TopicMetrics {
    pub events: IntCounter,
    pub failures: IntCounter,
    pub seconds: Histogram,
}

impl TopicMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            events: r.counter(
                "topic_events_total",
                "Events of HTTP sources that Kafka has stored in the topic of their setting `into`.",
            )?,
            failures: r.counter(
                "topic_failures_total",
                "Requests of which not all was written: Kafka did not store all of their events in time, or too much waited \
                 for it.",
            )?,
            seconds: r.histogram(
                "topic_write_seconds",
                "How long Kafka takes to store all events of a request.",
                &LATENCY_S,
            )?,
        })
    }
}
