//! Metrics of the HTTP API: what it answers, and what it turns away to stay open.

use super::connections::Closed;
use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use prometheus::{GaugeVec, IntCounter, IntCounterVec};

/// How many of the busiest credentials have a rank.
pub const RANKS: usize = 10;

/// Metrics of the HTTP API.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct HttpMetrics {
    pub connections_closed: IntCounterVec,
    pub check: IntCounterVec,
    pub queue_full: IntCounter,
    pub over_budget: IntCounter,
    top_rate: GaugeVec,
}

impl HttpMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        let metrics = Self {
            connections_closed: r.counters(
                "connections_closed_total",
                "Connections that tripline closed: idle, displaced (an idle one, for a new one), no_room.",
                "reason",
                Closed::ALL.map(Closed::as_str),
            )?,
            check: r.counters(
                "check_total",
                "Answers of /v1/check, by status code.",
                "code",
                ["200", "400", "401", "403", "429"],
            )?,
            queue_full: r.counter("queue_full_total", "Requests answered 429: a queue was full.")?,
            over_budget: r.counter(
                "refusal_budget_exceeded_total",
                "Requests answered 429: their sender sent too much that had to be refused.",
            )?,
            top_rate: r.float_gauges(
                "top_credential_requests_per_second",
                "Rate of the busiest credentials over the last minute, by rank.",
                "rank",
            )?,
        };
        metrics.show_top_rates(&[]);
        Ok(metrics)
    }

    /// Shows the rates of the busiest; ranks beyond them are 0. Unit: requests per second.
    pub fn show_top_rates(&self, rates: &[f64]) {
        for rank in 0..RANKS {
            let rate = rates.get(rank).copied().unwrap_or(0.0);
            self.top_rate.with_label_values(&[(rank + 1).to_string()]).set(rate);
        }
    }
}
