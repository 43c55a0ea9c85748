//! Metrics of all sources: records refused or repaired, how far events lag, and whose clocks are fast.

use super::fast_clocks::FastClocks;
use super::rejects::RejectResult;
use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use crate::formats::api::status::SourceJson;
use crate::formats::events::decoder::DecodeCounters;
use crate::formats::events::refusal::Refusal;
use crate::model::event::Field;
use crate::model::time::EventTime;
use prometheus::{GaugeVec, Histogram, IntCounter, IntCounterVec, IntGaugeVec};

/// Buckets of the age of events. Unit: seconds.
const LAG_S: [f64; 11] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0, 3600.0];

/// Metrics of what sources take and refuse.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct SourceMetrics {
    names: Vec<String>,
    names_of_read: Vec<String>,
    taken: IntCounterVec,
    last_at: GaugeVec,
    pub refused: IntCounterVec,
    rate_bound: IntCounterVec,
    files: IntGaugeVec,
    unread_bytes: IntGaugeVec,
    read_errors: IntCounterVec,
    fields_repaired: IntCounterVec,
    secrets_replaced: IntCounter,
    pub lag: Histogram,
    pub rejects_dropped: IntCounter,
    reject_log_errors: IntCounter,
    pub not_durable: IntCounter,
    /// Senders of events from ahead of the clock: no label, as their names are free.
    pub fast_clocks: FastClocks,
}

fn rate_bound(registrar: &Registrar, sources: &[&str]) -> Result<IntCounterVec, MetricsError> {
    registrar.counters(
        "source_rate_exceeded_total",
        "Batches and requests that came faster than the rate_max of their source: they wait, or are \
         answered 429.",
        "source",
        sources.iter().copied(),
    )
}

impl SourceMetrics {
    /// Registers its metrics, for sources of these names; `files` are those that follow files, `read`
    /// these and others that tripline reads from.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(
        registrar: &Registrar,
        sources: &[&str],
        (files, read): (&[&str], &[&str]),
    ) -> Result<Self, MetricsError> {
        let r = registrar;
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Ok(Self {
            names: owned(sources),
            names_of_read: owned(read),
            taken: r.counters(
                "source_events_total",
                "Events taken, by source.",
                "source",
                sources.iter().copied(),
            )?,
            last_at: r.float_gauges(
                "source_last_event_timestamp_seconds",
                "When each source last took an event, by tripline's clock; absent before the first.",
                "source",
            )?,
            refused: r.counters_by_two(
                "records_refused_total",
                "Records refused, by source and reason.",
                ["source", "reason"],
                [sources, &Refusal::ALL.map(Refusal::as_str)],
            )?,
            rate_bound: rate_bound(r, sources)?,
            files: r.gauges(
                "source_files",
                "Files that a source follows.",
                "source",
                files.iter().copied(),
            )?,
            unread_bytes: r.gauges(
                "source_unread_bytes",
                "Bytes of its files that a source has not read yet.",
                "source",
                files.iter().copied(),
            )?,
            read_errors: r.counters(
                "source_read_errors_total",
                "Attempts to read a file, a stream of Redis or a queue that failed.",
                "source",
                read.iter().copied(),
            )?,
            fields_repaired: r.counters(
                "event_fields_repaired_total",
                "Fields of events that could not be read as they were, and were repaired or left out; \
                 `text` is the record's encoding.",
                "field",
                Field::ALL.map(Field::as_str),
            )?,
            secrets_replaced: r.counter(
                "secrets_replaced_total",
                "Events that held a raw secret, which was replaced by a fingerprint or a jti.",
            )?,
            lag: r.histogram(
                "event_lag_seconds",
                "Age of the newest event of a batch as it is applied.",
                &LAG_S,
            )?,
            rejects_dropped: r.counter(
                "rejects_dropped_total",
                "Refused records beyond the bound of rejected records for a request or a second: counted, \
                 not written.",
            )?,
            reject_log_errors: r
                .counter("reject_log_errors_total", "Rejected records that could not be written.")?,
            not_durable: r.counter(
                "events_not_durable_total",
                "Events watched that the event log does not hold: a crash would lose them.",
            )?,
            fast_clocks: FastClocks::default(),
        })
    }

    /// Records refused since the start, over sources and reasons.
    pub fn records_refused(&self) -> u64 {
        self.by_source().into_iter().map(|source| source.refused).sum()
    }

    /// What each source took and refused since the start.
    pub fn by_source(&self) -> Vec<SourceJson> {
        let each = self.names.iter().map(|name| {
            let refused =
                |reason: Refusal| self.refused.with_label_values(&[&**name, reason.as_str()]).get();
            let events = self.taken(name);
            #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
            let last_ms = || (self.last_at.with_label_values(&[name]).get() * 1000.0) as i64;
            let is_read = self.names_of_read.contains(name);
            SourceJson {
                name: name.clone(),
                events,
                refused: Refusal::ALL
                    .into_iter()
                    .filter(|reason| *reason != Refusal::UnknownSender)
                    .map(refused)
                    .sum(),
                without_credential: refused(Refusal::NoCredential),
                last_event: (events > 0).then(|| EventTime::from_ms(last_ms()).to_string()),
                read_errors: if is_read {
                    self.read_errors.with_label_values(&[name]).get()
                } else {
                    0
                },
            }
        });
        each.collect()
    }

    /// Events that a source took since the start.
    pub fn taken(&self, source: &str) -> u64 {
        self.taken.with_label_values(&[source]).get()
    }

    /// Counts events that a source took at `now`.
    pub fn count_taken(&self, source: &str, events: u64, now: EventTime) {
        if events == 0 {
            return;
        }
        self.taken.with_label_values(&[source]).inc_by(events);
        self.last_at.with_label_values(&[source]).set(now.ms() as f64 / 1000.0);
    }

    /// Counts a batch or a request that came faster than its source may.
    pub fn count_rate_bound(&self, source: &str) {
        self.rate_bound.with_label_values(&[source]).inc();
    }

    /// Counts a failed attempt to read from a source.
    pub fn count_read_error(&self, source: &str) {
        self.read_errors.with_label_values(&[source]).inc();
    }

    /// Shows how many files a source follows, how many bytes it has not read, and counts failed attempts.
    pub fn show_files(&self, source: &str, (files, unread, faults): (usize, u64, u64)) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.files.with_label_values(&[source]).set(whole(files as u64));
        self.unread_bytes.with_label_values(&[source]).set(whole(unread));
        self.read_errors.with_label_values(&[source]).inc_by(faults);
    }

    /// Counts a rejected record that is not in the log.
    pub fn count_reject(&self, result: RejectResult) {
        match result {
            RejectResult::Yes => {}
            RejectResult::LeftOut => self.rejects_dropped.inc(),
            RejectResult::Failed => self.reject_log_errors.inc(),
        }
    }

    /// Adds the repairs of decoded events.
    pub fn add_decoded(&self, counters: &DecodeCounters) {
        self.secrets_replaced.inc_by(counters.secrets);
        for (field, count) in counters.repaired() {
            self.fields_repaired.with_label_values(&[field.as_str()]).inc_by(count);
        }
    }
}
