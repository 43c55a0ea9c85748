//! Registration of metrics: under the common prefix, with a 0 for each known label.

use super::exposition::{Exposition, MetricExemplars};
use super::oldest::Oldest;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

/// Buckets of what takes a disk, a network or a queue. Unit: seconds.
pub const LATENCY_S: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Registers metrics; each subsystem gets its handles from it.
///
/// # Errors
/// Every method fails when two metrics have one name.
#[derive(Debug, Default)]
pub struct Registrar {
    exposition: Exposition,
}

/// The name of a metric under the common prefix.
fn full(name: &str) -> String {
    format!("tripline_{name}")
}

#[expect(clippy::missing_errors_doc, reason = "the type names the error of all")]
impl Registrar {
    /// Shows everything that is registered here, now and later.
    pub fn exposition(&self) -> Exposition {
        self.exposition.clone()
    }

    /// The exemplars of a metric.
    pub fn exemplars(&self, name: &str) -> MetricExemplars {
        self.exposition.exemplars_of(full(name))
    }

    fn add<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M, MetricsError> {
        self.exposition.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// Registers the metrics of the process itself, as every client library of Prometheus has them.
    pub fn process(&self) -> Result<(), MetricsError> {
        #[cfg(target_os = "linux")]
        self.exposition
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(())
    }

    /// Registers a counter.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        self.add(IntCounter::new(full(name), help)?)
    }

    /// Registers a counter by one label, with a 0 for each known value.
    pub fn counters<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<IntCounterVec, MetricsError> {
        let metric = self.add(IntCounterVec::new(Opts::new(full(name), help), &[label])?)?;
        for value in values {
            metric.with_label_values(&[value]);
        }
        Ok(metric)
    }

    /// Registers a counter by two labels, with a 0 for each pair of known values.
    pub fn counters_by_two(
        &self,
        name: &str,
        help: &str,
        labels: [&str; 2],
        values: [&[&str]; 2],
    ) -> Result<IntCounterVec, MetricsError> {
        let metric = self.add(IntCounterVec::new(Opts::new(full(name), help), &labels)?)?;
        let [first, second] = values;
        for one in first {
            for two in second {
                metric.with_label_values(&[one, two]);
            }
        }
        Ok(metric)
    }

    /// Registers a gauge of whole numbers.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        self.add(IntGauge::new(full(name), help)?)
    }

    /// Registers a gauge.
    pub fn float_gauge(&self, name: &str, help: &str) -> Result<Gauge, MetricsError> {
        self.add(Gauge::new(full(name), help)?)
    }

    /// Registers a gauge of whole numbers by one label, with a 0 for each known value.
    pub fn gauges<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<IntGaugeVec, MetricsError> {
        let metric = self.add(IntGaugeVec::new(Opts::new(full(name), help), &[label])?)?;
        for value in values {
            metric.with_label_values(&[value]);
        }
        Ok(metric)
    }

    /// Registers a gauge by one label, whose values are not known yet.
    pub fn float_gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<GaugeVec, MetricsError> {
        self.add(GaugeVec::new(Opts::new(full(name), help), &[label])?)
    }

    /// Registers a gauge by two labels, with a 0 for each pair of known values.
    pub fn float_gauges_by_two(
        &self,
        name: &str,
        help: &str,
        labels: [&str; 2],
        values: [&[&str]; 2],
    ) -> Result<GaugeVec, MetricsError> {
        let metric = self.add(GaugeVec::new(Opts::new(full(name), help), &labels)?)?;
        let [first, second] = values;
        for one in first {
            for two in second {
                metric.with_label_values(&[one, two]);
            }
        }
        Ok(metric)
    }

    /// Registers times of threads, as a gauge for each stage.
    pub fn oldest(&self, name: &str, help: &str) -> Result<Oldest, MetricsError> {
        Ok(Oldest::new(self.float_gauges(name, help, "stage")?))
    }

    /// Registers a histogram with these upper bounds of buckets.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
    ) -> Result<Histogram, MetricsError> {
        let opts = HistogramOpts::new(full(name), help).buckets(bounds.to_vec());
        self.add(Histogram::with_opts(opts)?)
    }

    /// Registers a histogram by one label with these upper bounds of buckets, with a 0 for each known value.
    pub fn histograms<'a>(
        &self,
        name: &str,
        help: &str,
        (label, values): (&str, impl IntoIterator<Item = &'a str>),
        bounds: &[f64],
    ) -> Result<HistogramVec, MetricsError> {
        let opts = HistogramOpts::new(full(name), help).buckets(bounds.to_vec());
        let metric = self.add(HistogramVec::new(opts, &[label])?)?;
        for value in values {
            metric.with_label_values(&[value]);
        }
        Ok(metric)
    }
}

/// A registration failed: two metrics have one name, which is a fault of tripline's own.
#[derive(Debug, thiserror::Error)]
#[error("a metric can't be registered")]
pub struct MetricsError(#[from] prometheus::Error);
