//! Metrics of the data plane: counts of its shards, the profiles that it holds, and whether its threads
//! live.
//!
//! Shards count by themselves, in [`Counters`]; these are added per batch, so that no event costs a
//! look-up.

use crate::adapters::metrics::exposition::{Exemplar, MetricExemplars};
use crate::adapters::metrics::oldest::Oldest;
use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use crate::data_plane::counters::Counters;
use crate::data_plane::eviction_policy::Evictions;
use crate::data_plane::shard_driver::ShardUsage;
use crate::model::finding::{Action, Detector, Finding};
use crate::model::signal::LateUse;
use compact_str::CompactString;
use parking_lot::Mutex;
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The handles of one thread.
#[derive(Clone, Debug)]
pub struct ThreadMetrics {
    /// Counts of its shards.
    pub shards: ShardMetrics,
    /// When it last showed that it lives.
    pub heartbeat_at: Oldest,
    /// When the partition of it that waits longest for a checkpoint got its last one.
    pub checkpoint_at: Oldest,
}

/// Counts of shards.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct ShardMetrics {
    pub events: IntCounter,
    redelivered: IntCounter,
    rejected: IntCounter,
    pub unverified: IntCounter,
    late: IntCounter,
    too_late: IntCounter,
    ahead: IntCounter,
    admitted: IntCounter,
    tenant_changed: IntCounter,
    without_tenant: IntCounter,
    pub evicted: IntCounterVec,
    pub deferred: IntCounter,
    pub admission_refused: IntCounter,
    late_uses: LateUseMetrics,
    pub findings: FindingMetrics,
}

impl ShardMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            events: r.counter("events_total", "Events applied.")?,
            redelivered: r
                .counter("events_redelivered_total", "Events seen before, not applied.")?,
            rejected: r.counter("events_rejected_total", "Events of the outcome rejected.")?,
            unverified: r.counter(
                "events_unverified_total",
                "Events whose caller did not prove to hold the credential: they teach nothing and \
                 justify at most an alert.",
            )?,
            late: r.counter("events_late_total", "Events behind the watermark.")?,
            too_late: r.counter("events_too_late_total", "Events older than every window.")?,
            ahead: r.counter(
                "events_ahead_total",
                "Events too far ahead of the clock to be counted: their sender's clock is wrong.",
            )?,
            admitted: r.counter("credentials_admitted_total", "Credentials taken in.")?,
            tenant_changed: r.counter(
                "credentials_tenant_changed_total",
                "Credentials that came to belong to another tenant, as their uses name it.",
            )?,
            without_tenant: r.counter(
                "events_without_tenant_room_total",
                "Uses that named a tenant for which there was no room: no rule is for it.",
            )?,
            evicted: r.counters(
                "credentials_evicted_total",
                "Credentials forgotten for room: new ones, used in one hour alone, and others.",
                "worth",
                ["new", "established"],
            )?,
            deferred: r.counter(
                "credentials_deferred_total",
                "Events of unknown credentials not taken in before they come again: memory is full.",
            )?,
            admission_refused: r.counter(
                "credentials_refused_total",
                "Credentials not taken in as all others had open incidents.",
            )?,
            late_uses: LateUseMetrics::register(r)?,
            findings: FindingMetrics::register(r)?,
        })
    }

    /// Events applied since the start.
    pub fn events_applied(&self) -> u64 {
        self.events.get()
    }

    /// Observes uses that gateways let pass although their credential was out of service.
    pub fn observe_late_uses(&self, late: &[LateUse]) {
        for late in late {
            self.late_uses.observe(late);
        }
    }

    /// Adds the counters of a shard.
    pub fn add(&self, counters: &Counters) {
        self.events.inc_by(counters.applied);
        self.redelivered.inc_by(counters.redelivered);
        self.rejected.inc_by(counters.rejected);
        self.unverified.inc_by(counters.unverified);
        self.late.inc_by(counters.late);
        self.too_late.inc_by(counters.too_late);
        self.ahead.inc_by(counters.ahead);
        self.admitted.inc_by(counters.admitted);
        self.tenant_changed.inc_by(counters.tenant_changed);
        self.without_tenant.inc_by(counters.without_tenant);
        let Evictions { new, established, deferred } = counters.evictions;
        for (worth, count) in [("new", new), ("established", established)] {
            if count > 0 {
                self.evicted.with_label_values(&[worth]).inc_by(count);
            }
        }
        self.deferred.inc_by(deferred);
        self.admission_refused.inc_by(counters.refused);
        self.findings.add(counters);
    }
}

/// So many gateways have a series of their own; the others share one. Chosen: a metric's labels are bounded.
const GATEWAYS_MAX: usize = 64;
/// The gateways beyond [`GATEWAYS_MAX`].
const OTHERS: &str = "others";
/// From what a promise of a second allows to a cache of an hour. Unit: seconds.
const LAG_BOUNDS: [f64; 10] = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// How long gateways let credentials pass that were taken out of service.
#[derive(Clone, Debug)]
struct LateUseMetrics {
    lag: HistogramVec,
    gateways: Arc<Mutex<BTreeSet<CompactString>>>,
}

impl LateUseMetrics {
    fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let lag = registrar.histograms(
            "enforcement_lag_seconds",
            "Accepted uses of credentials out of service, by how long after that, and by the gateway \
             that let them pass.",
            ("gateway", [OTHERS]),
            &LAG_BOUNDS,
        )?;
        Ok(Self { lag, gateways: Arc::default() })
    }

    fn observe(&self, late: &LateUse) {
        let mut gateways = self.gateways.lock();
        let is_known = gateways.contains(&late.gateway);
        let is_named = is_known || gateways.len() < GATEWAYS_MAX;
        if is_named && !is_known {
            gateways.insert(late.gateway.clone());
        }
        let gateway = if is_named { late.gateway.as_str() } else { OTHERS };
        self.lag.with_label_values(&[gateway]).observe(late.lag_ms as f64 / 1000.0);
    }
}

const FINDINGS: &str = "findings_total";

/// Counts of findings: shards count them, and the control plane knows the findings behind.
#[derive(Clone, Debug)]
pub struct FindingMetrics {
    findings: IntCounterVec,
    exemplars: MetricExemplars,
}

impl FindingMetrics {
    fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let findings = registrar.counters_by_two(
            FINDINGS,
            "Actions newly justified by findings, by detector and action.",
            ["detector", "action"],
            [&Detector::ALL.map(Detector::as_str), &Action::ALL.map(Action::as_str)],
        )?;
        Ok(Self { findings, exemplars: registrar.exemplars(FINDINGS) })
    }

    fn add(&self, counters: &Counters) {
        for (detector, by_action) in Detector::ALL.into_iter().zip(counters.justified) {
            for (action, count) in Action::ALL.into_iter().zip(by_action) {
                if count > 0 {
                    let labels = [detector.as_str(), action.as_str()];
                    self.findings.with_label_values(&labels).inc_by(count);
                }
            }
        }
    }

    /// Records the finding behind an action that was just counted as newly justified.
    pub fn record(&self, finding: &Finding) {
        let labels = [("action", finding.action.as_str()), ("detector", finding.detector.as_str())];
        let exemplar = Exemplar { finding: finding.id, value: 1.0, at: finding.updated };
        self.exemplars.count(&labels, exemplar);
    }
}

/// The profiles that all threads hold together.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct ProfileMetrics {
    pub credentials: IntGauge,
    pub bytes: IntGauge,
    pub bytes_max: IntGauge,
    pub open_incidents: IntGauge,
}

impl ProfileMetrics {
    /// Registers its metrics.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        Ok(Self {
            credentials: r.gauge("credentials", "Credentials remembered.")?,
            bytes: r.gauge("credentials_memory_bytes", "What credentials take in memory.")?,
            bytes_max: r
                .gauge("credentials_memory_limit_bytes", "What credentials may take in memory.")?,
            open_incidents: r.gauge("open_incidents", "Credentials with an open finding.")?,
        })
    }

    /// Shows the usage of all shards.
    pub fn show(&self, usage: ShardUsage) {
        let ShardUsage { credentials, open, bytes } = usage;
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.credentials.set(i64::try_from(credentials).unwrap_or(i64::MAX));
        self.open_incidents.set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}
