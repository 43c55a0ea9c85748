//! Metrics as text: the Prometheus format 0.0.4, and OpenMetrics 1.0 with exemplars.
//!
//! Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use prometheus::Registry;
use prometheus::core::Collector;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// How metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

impl Format {
    /// The format for that `Accept`.
    pub fn accepted(accept: Option<&str>) -> Self {
        let asked = accept.unwrap_or("").split(',');
        let mut kinds = asked.filter_map(|one| one.trim().split(';').next());
        if kinds.any(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A finding behind a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// Which.
    pub finding: FindingId,
    /// The value of the exemplar.
    pub value: f64,
    /// When.
    pub at: EventTime,
}

/// The newest finding behind each sample that has one, by the sample's name and labels.
#[derive(Clone, Debug, Default)]
struct Exemplars(Arc<Mutex<BTreeMap<String, Exemplar>>>);

impl Exemplars {
    fn of(&self, sample: &str) -> Option<Exemplar> {
        self.0.lock().get(sample).copied()
    }
}

/// The exemplars of one metric.
#[derive(Clone, Debug)]
pub struct MetricExemplars {
    exemplars: Exemplars,
    name: String,
}

impl MetricExemplars {
    /// Records the finding behind a count. `labels` are in the order of their names.
    pub fn count(&self, labels: &[(&str, &str)], exemplar: Exemplar) {
        self.exemplars.0.lock().insert(sample(&self.name, labels), exemplar);
    }

    /// Records the finding behind an observation of a histogram without labels.
    pub fn observe(&self, bounds: &[f64], exemplar: Exemplar) {
        let bound = bounds.iter().find(|bound| exemplar.value <= **bound);
        let le = number(bound.copied().unwrap_or(f64::INFINITY), Format::OpenMetrics);
        let bucket = sample(&format!("{}_bucket", self.name), &[("le", &le)]);
        self.exemplars.0.lock().insert(bucket, exemplar);
    }
}

/// Everything that is registered, and the findings behind it.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    registry: Registry,
    exemplars: Exemplars,
}

impl Exposition {
    pub(super) fn register(&self, metric: Box<dyn Collector>) -> prometheus::Result<()> {
        self.registry.register(metric)
    }

    pub(super) fn exemplars_of(&self, name: String) -> MetricExemplars {
        MetricExemplars { exemplars: self.exemplars.clone(), name }
    }

    /// All metrics with their samples, by name.
    pub fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// All metrics as text; with the findings behind numbers for those who may read findings.
    pub fn text(&self, format: Format, with_exemplars: bool) -> String {
        let none = Exemplars::default();
        let exemplars = if with_exemplars { &self.exemplars } else { &none };
        write(&self.families(), exemplars, format)
    }
}

/// All metrics in a format.
fn write(families: &[MetricFamily], exemplars: &Exemplars, format: Format) -> String {
    let mut page = Page { text: String::new(), exemplars, format };
    for family in families {
        page.family(family);
    }
    if format == Format::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

struct Page<'a> {
    text: String,
    exemplars: &'a Exemplars,
    format: Format,
}

impl Page<'_> {
    fn family(&mut self, family: &MetricFamily) {
        let (kind, is_counter) = match family.get_field_type() {
            MetricType::COUNTER => ("counter", true),
            MetricType::GAUGE => ("gauge", false),
            MetricType::HISTOGRAM => ("histogram", false),
            // tripline has none of these.
            MetricType::SUMMARY | MetricType::UNTYPED => return,
        };
        let name = family.name();
        // The name of a counter's family is without its suffix.
        let named = match self.format {
            Format::OpenMetrics if is_counter => name.strip_suffix("_total").unwrap_or(name),
            Format::Text | Format::OpenMetrics => name,
        };
        let help = family.help().replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string can't fail.
        let _written = writeln!(self.text, "# HELP {named} {help}\n# TYPE {named} {kind}");
        for metric in family.get_metric() {
            if family.get_field_type() == MetricType::HISTOGRAM {
                self.histogram(name, metric);
            } else {
                let counted = metric.get_counter().get_value();
                let value = if is_counter { counted } else { metric.get_gauge().get_value() };
                self.sample(&sample(name, &labels(metric)), value, is_counter);
            }
        }
    }

    fn histogram(&mut self, name: &str, metric: &Metric) {
        let histogram = metric.get_histogram();
        let bounds = histogram.get_bucket().iter();
        let buckets = bounds.map(|one| (one.upper_bound(), one.cumulative_count()));
        let all = histogram.get_sample_count();
        for (bound, count) in buckets.chain([(f64::INFINITY, all)]) {
            let le = number(bound, self.format);
            let mut labels = labels(metric);
            labels.push(("le", &le));
            self.sample(&sample(&format!("{name}_bucket"), &labels), count as f64, true);
        }
        let labels = labels(metric);
        let sum = sample(&format!("{name}_sum"), &labels);
        self.sample(&sum, histogram.get_sample_sum(), false);
        self.sample(&sample(&format!("{name}_count"), &labels), all as f64, false);
    }

    fn sample(&mut self, sample: &str, value: f64, may_have_exemplar: bool) {
        let _written = write!(self.text, "{sample} {}", number(value, Format::Text));
        let wanted = may_have_exemplar && self.format == Format::OpenMetrics;
        if let Some(one) = wanted.then(|| self.exemplars.of(sample)).flatten() {
            let (value, at_s) = (number(one.value, Format::Text), one.at.as_secs_f64());
            let _written =
                write!(self.text, " # {{finding_id=\"{}\"}} {value} {at_s:.3}", one.finding);
        }
        self.text.push('\n');
    }
}

fn labels(metric: &Metric) -> Vec<(&str, &str)> {
    metric.get_label().iter().map(|label: &LabelPair| (label.name(), label.value())).collect()
}

/// The name and labels of a sample.
fn sample(name: &str, labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return name.to_owned();
    }
    let escaped =
        |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    format!("{name}{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// A number as both formats write it; bounds of buckets have a point in OpenMetrics.
fn number(value: f64, format: Format) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let text = value.to_string();
    let is_whole = !text.contains('.');
    if format == Format::OpenMetrics && is_whole { format!("{text}.0") } else { text }
}

#[cfg(test)]
mod tests {
    use super::{Exemplar, Exposition, Format};
    use crate::model::credential::{Credential, Kind};
    use crate::model::finding::{Detector, FindingId};
    use crate::model::time::EventTime;
    use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, TextEncoder};

    fn exposition() -> Exposition {
        let exposition = Exposition::default();
        let counter = IntCounterVec::new(Opts::new("a_total", "Of \\ a."), &["x"]).expect("fits");
        counter.with_label_values(&["say \"hi\"\n"]).inc_by(3);
        let opts = HistogramOpts::new("b_seconds", "Of b.").buckets(vec![0.5, 1.0]);
        let histogram = Histogram::with_opts(opts).expect("fits");
        histogram.observe(0.7);
        histogram.observe(70.0);
        exposition.register(Box::new(counter)).expect("registers");
        exposition.register(Box::new(histogram)).expect("registers");
        exposition
    }

    #[test]
    fn the_text_format_is_that_of_the_library() {
        let exposition = exposition();
        let families = exposition.families();
        let expected = TextEncoder::new().encode_to_string(&families).expect("encodes");
        assert_eq!(exposition.text(Format::Text, true), expected);
    }

    #[test]
    fn open_metrics_names_families_without_suffix_and_gives_exemplars() {
        let credential = Credential::new(Kind::ApiKey, "key_1").expect("valid");
        let at = EventTime::from_ms(1_700_000_000_123);
        let finding = FindingId::of(&credential, Detector::Burst, at);
        let exposition = exposition();
        let exemplars = exposition.exemplars_of("b_seconds".to_owned());
        exemplars.observe(&[0.5, 1.0], Exemplar { finding, value: 0.7, at });
        let text = exposition.text(Format::OpenMetrics, true);
        let expected = format!(
            "# HELP a Of \\\\ a.\n# TYPE a counter\na_total{{x=\"say \\\"hi\\\"\\n\"}} 3\n\
             # HELP b_seconds Of b.\n# TYPE b_seconds histogram\n\
             b_seconds_bucket{{le=\"0.5\"}} 0\n\
             b_seconds_bucket{{le=\"1.0\"}} 1 # {{finding_id=\"{finding}\"}} 0.7 1700000000.123\n\
             b_seconds_bucket{{le=\"+Inf\"}} 2\nb_seconds_sum 70.7\nb_seconds_count 2\n# EOF\n"
        );
        assert_eq!(text, expected);
        assert!(!exposition.text(Format::OpenMetrics, false).contains("finding_id"));
    }

    #[test]
    fn who_asks_for_open_metrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        assert_eq!(Format::accepted(Some("text/plain")), Format::Text);
        assert_eq!(Format::accepted(None), Format::Text);
    }
}
