//! How metrics are registered: under the common prefix, with a 0 for each known label.

use crate::control_plane::policy::budget::BUDGETED;
use crate::model::credential::Kind;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

/// Registers metrics under the common prefix.
pub(super) struct Table {
    pub(super) registry: Registry,
}

impl Table {
    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        let metric = IntCounter::new(format!("tripline_{name}"), help)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// A counter by one label, with a 0 for each known value.
    pub(super) fn counters<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<IntCounterVec, MetricsError> {
        let metric = IntCounterVec::new(Opts::new(format!("tripline_{name}"), help), &[label])?;
        self.registry.register(Box::new(metric.clone()))?;
        for value in values {
            metric.with_label_values(&[value]);
        }
        Ok(metric)
    }

    /// A counter by two labels, with a 0 for each pair of known values.
    pub(super) fn counters_by_two(
        &self,
        name: &str,
        help: &str,
        labels: [&str; 2],
        values: [&[&str]; 2],
    ) -> Result<IntCounterVec, MetricsError> {
        let metric = IntCounterVec::new(Opts::new(format!("tripline_{name}"), help), &labels)?;
        self.registry.register(Box::new(metric.clone()))?;
        let [first, second] = values;
        for one in first {
            for two in second {
                metric.with_label_values(&[one, two]);
            }
        }
        Ok(metric)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        let metric = IntGauge::new(format!("tripline_{name}"), help)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Result<Gauge, MetricsError> {
        let metric = Gauge::new(format!("tripline_{name}"), help)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn gauges<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<IntGaugeVec, MetricsError> {
        let metric = IntGaugeVec::new(Opts::new(format!("tripline_{name}"), help), &[label])?;
        self.registry.register(Box::new(metric.clone()))?;
        for value in values {
            metric.with_label_values(&[value]);
        }
        Ok(metric)
    }

    pub(super) fn float_gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<GaugeVec, MetricsError> {
        let metric = GaugeVec::new(Opts::new(format!("tripline_{name}"), help), &[label])?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// A gauge by action and kind, with a 0 for each pair.
    pub(super) fn gauges_of_proof(&self, name: &str, help: &str) -> Result<GaugeVec, MetricsError> {
        let opts = Opts::new(format!("tripline_{name}"), help);
        let metric = GaugeVec::new(opts, &["action", "kind"])?;
        self.registry.register(Box::new(metric.clone()))?;
        for action in BUDGETED {
            for kind in Kind::ALL {
                metric.with_label_values(&[action.as_str(), kind.as_str()]);
            }
        }
        Ok(metric)
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, MetricsError> {
        let opts = HistogramOpts::new(format!("tripline_{name}"), help).buckets(buckets.to_vec());
        let metric = Histogram::with_opts(opts)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// A registration failed: two metrics have one name, which is a fault of tripline's own.
#[derive(Debug, thiserror::Error)]
#[error("a metric can't be registered")]
pub struct MetricsError(#[from] prometheus::Error);

/// Where events come from, as a label.
pub const SOURCES: [&str; 2] = ["http", "kafka"];
