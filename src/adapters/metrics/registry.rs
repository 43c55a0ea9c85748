//! All metrics, in one table. None has a credential, tenant, address or route in a label.
//!
//! Handles are looked up once; machines hand out counters, which are added per batch.

use super::exposition::Exemplar;
use super::exposition::Format;
use super::http::RejectResult;
use crate::adapters::metrics::table::MetricsError;
use crate::adapters::metrics::table::SOURCES;
use crate::formats::events::decoder::DecodeCounters;

use super::exposition::Exemplars;
use super::http::DoorMetrics;
use super::oldest::Oldest;
use super::table::Table;
use crate::adapters::metrics::fast_clocks::FastClocks;
use crate::control_plane::policy::budget::{BUDGETED, Budgets, Cohorts};
use crate::formats::events::refusal::Refusal;
use crate::model::credential::Kind;
use crate::model::decision::{Decision, Mode, Order, Receipt, Safeguard};
use crate::model::event::Field;
use crate::model::finding::{Action, Detector, Finding};
use crate::model::invariant::Invariant;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Registry,
};
use std::sync::Arc;

/// How many of the busiest credentials have a rank.
pub const RANKS: usize = 10;

const LATENCY_S: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
const LAG_S: [f64; 11] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0, 3600.0];

/// Handles to every metric.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct Metrics {
    pub(super) registry: Registry,
    exemplars: Arc<Exemplars>,
    pub events: IntCounterVec,
    pub refused: IntCounterVec,
    pub fields_repaired: IntCounterVec,
    pub secrets_replaced: IntCounter,
    pub redelivered: IntCounter,
    pub rejected: IntCounter,
    pub unverified: IntCounter,
    pub late: IntCounter,
    pub too_late: IntCounter,
    pub ahead: IntCounter,
    /// Senders whose events are ahead of the clock: no label, as names are free.
    pub fast_clocks: FastClocks,
    pub event_lag: Histogram,
    pub queue_full: IntCounter,
    pub credentials: IntGauge,
    pub admitted: IntCounter,
    pub tenant_changed: IntCounter,
    pub without_tenant: IntCounter,
    pub evicted: IntCounterVec,
    /// Events of credentials that were not taken in, as they were not seen before.
    pub deferred: IntCounter,
    /// The memory that credentials take.
    pub credentials_bytes: IntGauge,
    /// The memory that they may take.
    pub credentials_bytes_max: IntGauge,
    pub admission_refused: IntCounter,
    pub open_incidents: IntGauge,
    pub findings: IntCounterVec,
    pub decisions: IntCounterVec,
    pub held: IntCounterVec,
    pub violations: IntCounterVec,
    pub revocations_left: IntGauge,
    /// Checkpoints that were not written, or are of no use.
    pub checkpoint_errors: IntCounter,
    pub checkpoint_at: Oldest,
    /// Bytes of checkpoints written.
    pub checkpoint_bytes: IntCounter,
    /// Times that a partition went on before what was read of it.
    pub consumer_resets: IntCounter,
    /// Offsets that held no record.
    pub consumer_skipped: IntCounter,
    /// Failed writes to the event log, and damage found in it.
    pub event_log_errors: IntCounter,
    /// Segments that were given up as the event log was full.
    pub event_log_segments_dropped: IntCounter,
    /// Bytes of the event log.
    pub event_log_bytes: IntGauge,
    /// The most that it may have.
    pub event_log_bytes_max: IntGauge,
    /// Time to append to it.
    pub event_log_seconds: Histogram,
    /// Events that are watched but not kept.
    pub events_not_durable: IntCounter,
    /// How far the system's clock is ahead of the one that is gone by.
    pub clock_offset: Gauge,
    pub mode: IntGaugeVec,
    pub enforcement: IntCounterVec,
    pub notifications: IntCounterVec,
    pub enforcement_seconds: HistogramVec,
    pub decision_seconds: Histogram,
    pub outbox: IntGaugeVec,
    pub store_up: IntGaugeVec,
    pub reconciled: IntCounterVec,
    pub reconciled_at: GaugeVec,
    pub approvals: IntGauge,
    pub enforced_credentials: IntGauge,
    pub fleet_instances: IntGauge,
    pub fleet_credentials: IntGauge,
    pub tenant_flood_ratio: Gauge,
    pub tenant_limit_ratio: Gauge,
    pub journal_lines: IntGauge,
    pub certified: GaugeVec,
    pub budget_missing: GaugeVec,
    pub budget_store_errors: IntCounter,
    pub finding_errors: IntCounter,
    pub journal_errors: IntCounter,
    pub journal_seconds: Histogram,
    pub reject_log_errors: IntCounter,
    pub door: DoorMetrics,
    pub check: IntCounterVec,
    pub consumer_lag: IntGauge,
    pub consumer_assigned: IntGauge,
    pub consumer_stalls: IntCounter,
    pub consumer_up: IntGauge,
    pub consumer_errors: IntCounter,
    pub top_rate: GaugeVec,
    pub heartbeat_at: Oldest,
    pub reload: IntCounterVec,
}

fn actions() -> [&'static str; Action::ALL.len()] {
    Action::ALL.map(Action::as_str)
}

impl Metrics {
    /// Registers every metric, with a 0 for each known label; `stores` are the names of the auth
    /// stores.
    ///
    /// # Errors
    /// When two metrics have one name.
    #[expect(clippy::too_many_lines, reason = "it is one table")]
    pub fn new(stores: &[&str]) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let t = Table { registry: registry.clone() };
        let enforcement_seconds = HistogramVec::new(
            HistogramOpts::new(
                "tripline_enforcement_seconds",
                "Time from the arrival of the event to the store's receipt.",
            )
            .buckets(LATENCY_S.to_vec()),
            &["store"],
        )?;
        registry.register(Box::new(enforcement_seconds.clone()))?;
        for store in stores {
            enforcement_seconds.with_label_values(&[store]);
        }
        let build = t.float_gauges("build_info", "The version that runs; always 1.", "version")?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let metrics = Self {
            events: t.counters("events_total", "Events applied, by source.", "source", SOURCES)?,
            refused: t.counters_by_two(
                "records_refused_total",
                "Records refused, by source and reason.",
                ["source", "reason"],
                [&SOURCES, &Refusal::ALL.map(Refusal::as_str)],
            )?,
            fields_repaired: t.counters(
                "event_fields_repaired_total",
                "Fields of events that could not be read as they were, and were repaired or left out; \
                 `text` is the record's encoding.",
                "field",
                Field::ALL.map(Field::as_str),
            )?,
            secrets_replaced: t.counter(
                "secrets_replaced_total",
                "Events that held a raw secret, which was replaced by a fingerprint or a jti.",
            )?,
            redelivered: t
                .counter("events_redelivered_total", "Events seen before, not applied.")?,
            rejected: t.counter(
                "events_rejected_total",
                "Events of the outcome rejected.",
            )?,
            unverified: t.counter(
                "events_unverified_total",
                "Events whose caller did not prove to hold the credential: they teach nothing and \
                 justify at most an alert.",
            )?,
            late: t.counter("events_late_total", "Events behind the watermark.")?,
            too_late: t.counter("events_too_late_total", "Events older than every window.")?,
            ahead: t.counter(
                "events_ahead_total",
                "Events too far ahead of the clock to be counted: their sender's clock is wrong.",
            )?,
            fast_clocks: FastClocks::default(),
            event_lag: t.histogram(
                "event_lag_seconds",
                "Age of the newest event of a batch as it is applied.",
                &LAG_S,
            )?,
            queue_full: t
                .counter("queue_full_total", "Requests answered 429: a queue was full.")?,
            credentials: t.gauge("credentials", "Credentials remembered.")?,
            admitted: t.counter("credentials_admitted_total", "Credentials taken in.")?,
            tenant_changed: t.counter(
                "credentials_tenant_changed_total",
                "Credentials that came to belong to another tenant, as their uses name it.",
            )?,
            without_tenant: t.counter(
                "events_without_tenant_room_total",
                "Uses that named a tenant for which there was no room: no rule is for it.",
            )?,
            evicted: t.counters(
                "credentials_evicted_total",
                "Credentials forgotten for room: new ones, used in one hour alone, and others.",
                "worth",
                ["new", "established"],
            )?,
            deferred: t.counter(
                "credentials_deferred_total",
                "Events of unknown credentials not taken in before they come again: memory is full.",
            )?,
            credentials_bytes: t
                .gauge("credentials_memory_bytes", "What credentials take in memory.")?,
            credentials_bytes_max: t
                .gauge("credentials_memory_limit_bytes", "What credentials may take in memory.")?,
            admission_refused: t.counter(
                "credentials_refused_total",
                "Credentials not taken in as all others had open incidents.",
            )?,
            open_incidents: t.gauge("open_incidents", "Credentials with an open finding.")?,
            findings: t.counters_by_two(
                "findings_total",
                "Actions newly justified by findings, by detector and action.",
                ["detector", "action"],
                [&Detector::ALL.map(Detector::as_str), &actions()],
            )?,
            decisions: t.counters_by_two(
                "decisions_total",
                "Decisions, by order and whether it is carried out.",
                ["action", "carried_out"],
                [&Order::ALL.map(Order::as_str), &["true", "false"]],
            )?,
            held: t.counters(
                "decisions_held_total",
                "Decisions that a safeguard lowered, by safeguard.",
                "safeguard",
                Safeguard::ALL.map(Safeguard::as_str),
            )?,
            violations: t.counters(
                "invariant_violations_total",
                "Decisions lowered because they would have broken an invariant; always 0.",
                "invariant",
                Invariant::ALL.map(Invariant::as_str),
            )?,
            consumer_resets: t.counter(
                "consumer_resets_total",
                "Partitions of Kafka that were made anew or cut off while they were read.",
            )?,
            consumer_skipped: t.counter(
                "consumer_skipped_total",
                "Offsets without a record: compacted, of transactions, or removed unread.",
            )?,
            event_log_errors: t.counter(
                "event_log_errors_total",
                "Failed writes to the event log, and segments of it that are of no use.",
            )?,
            event_log_segments_dropped: t.counter(
                "event_log_segments_dropped_total",
                "Segments of the event log that were removed before a checkpoint held them.",
            )?,
            event_log_bytes: t.gauge("event_log_bytes", "Bytes of the event log.")?,
            event_log_bytes_max: t
                .gauge("event_log_limit_bytes", "The most bytes that the event log may have.")?,
            event_log_seconds: t.histogram(
                "event_log_seconds",
                "Time to append to the event log, with the fsync where it is asked for.",
                &LATENCY_S,
            )?,
            events_not_durable: t.counter(
                "events_not_durable_total",
                "Events watched that the event log does not hold: a crash would lose them.",
            )?,
            checkpoint_errors: t.counter(
                "checkpoint_errors_total",
                "Checkpoints that were not written, or are of no use.",
            )?,
            checkpoint_at: Oldest::new(t.float_gauges(
                "checkpoint_timestamp_seconds",
                "When the partition that waits longest for a checkpoint got its last one by this \
                 process; before that, since when it is owned. 0: none is owned.",
                "stage",
            )?),
            checkpoint_bytes: t
                .counter("checkpoint_bytes_total", "Bytes of checkpoints written.")?,
            clock_offset: t.float_gauge(
                "clock_offset_seconds",
                "Offset of the system clock from tripline's clock.",
            )?,
            revocations_left: t.gauge("revocation_limit_tokens", "Revocations that the revocation limit has left.")?,
            mode: t.gauges(
                "mode",
                "1 for the default mode in force.",
                "mode",
                Mode::ALL.map(Mode::as_str),
            )?,
            enforcement: t.counters_by_two(
                "enforcement_total",
                "Deliveries to stores, by store and receipt.",
                ["store", "receipt"],
                [stores, &Receipt::ALL.map(Receipt::as_str)],
            )?,
            enforcement_seconds,
            notifications: t.counters_by_two(
                "notifications_total",
                "Notifications, by receiver and what became of them.",
                ["receiver", "result"],
                [&[], &[]],
            )?,
            decision_seconds: t.histogram(
                "decision_seconds",
                "Time from the arrival of the event to the durable decision.",
                &LATENCY_S,
            )?,
            outbox: t.gauges(
                "outbox_pending",
                "Decisions that are due, by store.",
                "store",
                stores.iter().copied(),
            )?,
            store_up: t.gauges(
                "store_up",
                "1 while the store answers; 0 while it can't be reached.",
                "store",
                stores.iter().copied(),
            )?,
            reconciled: t.counters_by_two(
                "reconciled_total",
                "Credentials on which a store did not agree with the journal, by what it held.",
                ["store", "held"],
                [stores, &["less", "more"]],
            )?,
            reconciled_at: t.float_gauges(
                "reconciled_timestamp_seconds",
                "When a store was last compared whole with what stands.",
                "store",
            )?,
            approvals: t.gauge("pending_approvals", "Revocations that wait for people to agree.")?,
            enforced_credentials: t.gauge("enforced_credentials", "Credentials on which a decision is remembered.")?,
            fleet_instances: t.gauge(
                "fleet_instances",
                "Instances that this one hears of through Redis, and itself.",
            )?,
            fleet_credentials: t.gauge(
                "fleet_credentials",
                "Credentials remembered by all instances that this one hears of, and itself.",
            )?,
            tenant_flood_ratio: t.float_gauge(
                "tenant_flood_ratio",
                "Greatest share of a tenant that floods the fleet, over what is usual for it; 0: none does.",
            )?,
            tenant_limit_ratio: t.float_gauge(
                "tenant_limit_ratio",
                "The most that a tenant took in a minute of its limit in [limits.tenant_sum]; 0: no limit.",
            )?,
            journal_lines: t.gauge("journal_lines", "Lines of the journal.")?,
            certified: t.gauges_of_proof(
                "false_action_rate_upper_bound",
                "The bound on false actions that the own data prove at 95 %; +Inf: nothing yet.",
            )?,
            budget_missing: t.gauges_of_proof(
                "budget_missing_credential_seconds",
                "Use of credentials without a false alarm until the action is open.",
            )?,
            budget_store_errors: t.counter("budget_store_errors_total", "Failed writes of the ledger.")?,
            finding_errors: t.counter(
                "finding_errors_total",
                "Failed writes of findings to disk, and findings that were left out of it.",
            )?,
            journal_errors: t.counter("journal_errors_total", "Failed writes to the journal.")?,
            journal_seconds: t.histogram(
                "journal_seconds",
                "Time to make a batch of entries durable.",
                &LATENCY_S,
            )?,
            reject_log_errors: t
                .counter("reject_log_errors_total", "Rejected records that could not be written.")?,
            door: DoorMetrics::new(&t)?,
            check: t.counters(
                "check_total",
                "Answers of /v1/check, by status code.",
                "code",
                ["200", "400", "401", "403", "429"],
            )?,
            consumer_lag: t.gauge(
                "consumer_lag",
                "Records of Kafka not yet applied, give or take a batch, over partitions.",
            )?,
            consumer_assigned: t.gauge("consumer_assigned", "Kafka partitions owned.")?,
            consumer_stalls: t.counter(
                "consumer_stalls_total",
                "Times the consumer was made anew because it stood still.",
            )?,
            consumer_up: t.gauge(
                "consumer_up",
                "1 while the brokers answer; 0 while they can't be reached, or there is no Kafka.",
            )?,
            consumer_errors: t.counter("consumer_errors_total", "Errors of the Kafka client.")?,
            top_rate: t.float_gauges(
                "top_credential_requests_per_second",
                "Rate of the busiest credentials over the last minute, by rank.",
                "rank",
            )?,
            heartbeat_at: Oldest::new(t.float_gauges(
                "heartbeat_timestamp_seconds",
                "When each stage last showed that all its threads live.",
                "stage",
            )?),
            reload: t.counters(
                "reloads_total",
                "Reloads of the configuration, by result.",
                "result",
                ["applied", "refused"],
            )?,
            registry,
            exemplars: Arc::default(),
        };
        for store in stores {
            metrics.store_up.with_label_values(&[store]).set(1);
        }
        metrics.fleet_instances.set(1);
        metrics.set_top_rates(&[]);
        Ok(metrics)
    }

    /// Shows the default mode in force.
    pub fn show_mode(&self, in_force: Mode) {
        for mode in Mode::ALL {
            let shown = i64::from(mode == in_force);
            self.mode.with_label_values(&[mode.as_str()]).set(shown);
        }
    }

    /// Sets what is proven of false actions.
    pub fn show_budget(&self, cohorts: &Cohorts, budgets: &Budgets) {
        for (kind, cohort) in Kind::ALL.into_iter().zip(cohorts) {
            for action in BUDGETED {
                let labels = [action.as_str(), kind.as_str()];
                self.certified.with_label_values(&labels).set(cohort.certified(action));
                let missing_s = cohort.days_missing(action, budgets) * 86_400.0;
                self.budget_missing.with_label_values(&labels).set(missing_s);
            }
        }
    }

    /// Sets the rates of the busiest; ranks beyond them are 0. Unit: requests per second.
    pub fn set_top_rates(&self, rates: &[f64]) {
        for rank in 0..RANKS {
            let rate = rates.get(rank).copied().unwrap_or(0.0);
            self.top_rate.with_label_values(&[(rank + 1).to_string()]).set(rate);
        }
    }

    /// Notes the finding behind what was just counted as newly justified.
    pub fn record_finding(&self, finding: &Finding) {
        let labels = [("action", finding.action.as_str()), ("detector", finding.detector.as_str())];
        let exemplar = Exemplar { finding: finding.id, value: 1.0, at: finding.updated };
        self.exemplars.count("tripline_findings_total", &labels, exemplar);
    }

    /// Counts a durable decision, that took so long since the event arrived. Unit: seconds.
    pub fn count_decision(&self, decision: &Decision, seconds: f64) {
        let carried_out = if decision.carried_out { "true" } else { "false" };
        let action = decision.order.as_str();
        self.decisions.with_label_values(&[action, carried_out]).inc();
        for safeguard in &decision.held_by {
            self.held.with_label_values(&[safeguard.as_str()]).inc();
        }
        self.decision_seconds.observe(seconds);
        if let Some(finding) = decision.finding {
            let exemplar = |value| Exemplar { finding, value, at: decision.at };
            let labels = [("action", action), ("carried_out", carried_out)];
            self.exemplars.count("tripline_decisions_total", &labels, exemplar(1.0));
            self.exemplars.observe("tripline_decision_seconds", &LATENCY_S, exemplar(seconds));
        }
    }

    /// Everything, as text; the findings behind numbers for who may see them.
    pub fn text(&self, format: Format, with_exemplars: bool) -> String {
        let none = Exemplars::default();
        let exemplars = if with_exemplars { &*self.exemplars } else { &none };
        super::exposition::write(&self.registry.gather(), exemplars, format)
    }
}

impl Metrics {
    /// Adds what became of a rejected record.
    pub fn add_letter(&self, written: RejectResult) {
        match written {
            RejectResult::Yes => {}
            RejectResult::LeftOut => self.door.rejects_dropped.inc(),
            RejectResult::Failed => self.reject_log_errors.inc(),
        }
    }

    /// Records refused since the start, over sources and reasons.
    pub fn records_refused(&self) -> u64 {
        let of = |source: &str| -> u64 {
            Refusal::ALL
                .iter()
                .map(|reason| self.refused.with_label_values(&[source, reason.as_str()]).get())
                .sum()
        };
        SOURCES.iter().map(|source| of(source)).sum()
    }

    /// Adds what had to be changed in decoded events.
    pub fn add_decoded(&self, counters: &DecodeCounters) {
        self.secrets_replaced.inc_by(counters.secrets);
        for (field, count) in counters.repaired() {
            self.fields_repaired.with_label_values(&[field.as_str()]).inc_by(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;
    use crate::adapters::metrics::exposition::Format;

    #[test]
    fn every_known_label_is_there_from_the_start() {
        let text =
            Metrics::new(&["embedded", "redis"]).expect("no name twice").text(Format::Text, false);
        for line in [
            "tripline_records_refused_total{reason=\"no_credential\",source=\"http\"} 0",
            "tripline_findings_total{action=\"revoke\",detector=\"limit\"} 0",
            "tripline_decisions_total{action=\"restore\",carried_out=\"true\"} 0",
            "tripline_decisions_held_total{safeguard=\"common_cause\"} 0",
            "tripline_false_action_rate_upper_bound{action=\"alert\",kind=\"jwt\"} 0",
            "tripline_budget_missing_credential_seconds{action=\"revoke\",kind=\"api_key\"} 0",
            "tripline_top_credential_requests_per_second{rank=\"10\"} 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
