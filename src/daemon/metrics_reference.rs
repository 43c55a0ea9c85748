//! The page that lists every metric.

use super::metrics::Metrics;
use crate::adapters::metrics::registrar::MetricsError;
use crate::model::time::EventTime;
use prometheus::proto::{MetricFamily, MetricType};
use std::collections::BTreeMap;

const HEAD: &str = "# Metrics\nWritten by `tripline generate reference`. Everything at `/metrics`, in the \
    Prometheus text format, or in OpenMetrics\nwith the finding behind a number as exemplar. No label \
    holds a credential, tenant, address or route.\n\n| metric | kind | labels | says |\n|---|---|---|---|\n";

impl Metrics {
    /// Every metric with its kind, labels and help, as a table in Markdown. Values of labels
    /// are named where there are few.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn reference() -> Result<String, MetricsError> {
        let metrics = Self::register(&["embedded"], &["default"], (&["default"], &["default"]))?;
        // A metric without labels at a start has no family either.
        metrics.notify.notifications.with_label_values(&["main", "delivered"]);
        metrics.enforce.reconciled_at.with_label_values(&["embedded"]);
        metrics.sources.count_taken("default", 1, EventTime::MIN);
        for stage in ["control_plane", "data_plane", "kafka"] {
            metrics.process.heartbeat_at.set(stage, 0, None);
        }
        for stage in ["data_plane", "kafka"] {
            metrics.checkpoint.written_at.set(stage, 0, None);
        }
        let families = metrics.exposition.families();
        let own = families.iter().filter(|family| family.name().starts_with("tripline_"));
        let mut text = HEAD.to_owned();
        for family in own {
            text.push_str(&row(family));
        }
        text.push_str("\nThose of the process itself are `process_*`, as in every client library of Prometheus.\n");
        Ok(text)
    }
}

fn row(family: &MetricFamily) -> String {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => "gauge",
    };
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for label in family.get_metric().iter().flat_map(prometheus::proto::Metric::get_label) {
        let values = labels.entry(label.name()).or_default();
        if !values.contains(&label.value()) {
            values.push(label.value());
        }
    }
    let labels = labels.into_iter().map(|(name, values)| match name {
        // These are the operator's own names, the version, or numbers.
        "source" if values == ["default"] => format!("`{name}`"),
        "store" | "receiver" | "version" | "rank" => format!("`{name}`"),
        _ => format!("`{name}`: {}", values.join(", ")),
    });
    let labels: Vec<String> = labels.collect();
    let help = family.help().replace('|', "\\|");
    format!("| `{}` | {kind} | {} | {help} |\n", family.name(), labels.join("; "))
}
