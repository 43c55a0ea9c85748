//! `GET /v1/status`: how the daemon is, on one page.

use super::auth::Caller;
use crate::adapters::clock;
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::health::{Measurements, Recent};
use crate::adapters::metrics::registry::Metrics;
use crate::control_plane::policy::revocation_limit;
use crate::formats::api::status::{FleetJson, JournalJson, KafkaJson, StatusJson, StoreJson};
use crate::model::decision::Mode;
use crate::model::decision::{Order, Receipt, Safeguard};
use crate::model::finding::Action;
use crate::model::invariant::Invariant;
use crate::model::time::EventTime;
use axum::Json;
use axum::extract::State;
use parking_lot::{Mutex, RwLock};
use prometheus::{IntCounterVec, IntGauge};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often it is taken down how the daemon does.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// State of the handlers of `/v1/status`.
#[derive(Debug)]
pub struct StatusState {
    /// Facts of the settings.
    pub about: Arc<RwLock<About>>,
    /// Whether the journal can be written.
    pub durable: Arc<AtomicBool>,
    /// The store that `/v1/check` asks.
    pub embedded: EmbeddedStore,
    /// All metrics.
    pub metrics: Metrics,
    /// Where decisions are carried out.
    pub stores: Vec<AuthStore>,
    /// The measurements of the last minutes.
    pub recent: Mutex<Recent>,
}

/// Facts of the settings, for people.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The default mode.
    pub mode: Mode,
    /// The memory that credentials may take. Unit: bytes.
    pub memory_bytes_max: usize,
    /// How often each partition gets a checkpoint. Unit: milliseconds.
    pub checkpoint_interval_ms: i64,
    /// How many revocations the revocation limit lets through.
    pub revocation_limit: revocation_limit::Params,
    /// Whether events are read from Kafka.
    pub reads_kafka: bool,
    /// How far ahead of the clock an event may be. Unit: milliseconds.
    pub skew_ms_max: i64,
    /// When the daemon started.
    pub started: EventTime,
    /// Since when the configuration holds as a whole.
    pub configured: EventTime,
}

/// Takes down how the daemon does, for as long as it runs.
pub async fn sample_health(state: Weak<StatusState>) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    loop {
        interval.tick().await;
        let Some(state) = state.upgrade() else { return };
        let now = measure(&state);
        state.recent.lock().record(now);
    }
}

/// How the daemon is, and what the asking account may do.
#[utoipa::path(
    get, path = "/v1/status",
    responses((status = 200, body = Object), (status = 401, body = super::problem::Problem))
)]
pub(super) async fn status(
    State(state): State<Arc<StatusState>>,
    caller: Caller,
) -> Json<StatusJson> {
    Json(describe(&state, caller))
}

fn describe(state: &StatusState, caller: Caller) -> StatusJson {
    let metrics = &state.metrics;
    let about = *state.about.read();
    let now = measure(state);
    StatusJson {
        issues: state.recent.lock().issues(&now),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: now.at.to_string(),
        started: about.started.to_string(),
        configured: Some(about.configured.to_string()),
        mode: about.mode.as_str().to_owned(),
        account: caller.account,
        roles: caller.roles.into_iter().map(|role| role.as_str().to_owned()).collect(),
        events: metrics.events_applied(),
        events_refused: now.refused,
        queue_full: now.queue_full,
        credentials: now_at(&metrics.credentials),
        memory_bytes: now_at(&metrics.credentials_bytes),
        memory_bytes_max: about.memory_bytes_max as u64,
        open_incidents: now_at(&metrics.open_incidents),
        decisions: carried_out(metrics),
        held: sum(&metrics.held, Safeguard::ALL.map(Safeguard::as_str)),
        approvals: now_at(&metrics.approvals),
        out_of_service: state.embedded.len() as u64,
        enforced_credentials: now_at(&metrics.enforced_credentials),
        revocation_tokens: metrics.revocations_left.get(),
        fleet: FleetJson {
            instances: now_at(&metrics.fleet_instances),
            credentials: now_at(&metrics.fleet_credentials),
        },
        kafka: now.kafka,
        journal: JournalJson {
            writable: now.journal_is_writable,
            lines: now_at(&metrics.journal_lines),
        },
        stores: now.stores,
        event_log_bytes: now_at(&metrics.event_log_bytes),
        checkpoint: now.checkpoint.map(|at| at.to_string()),
    }
}

fn now_at(gauge: &IntGauge) -> u64 {
    u64::try_from(gauge.get()).unwrap_or(0)
}

fn sum<const N: usize>(counters: &IntCounterVec, labels: [&str; N]) -> u64 {
    labels.iter().map(|label| counters.with_label_values(&[*label]).get()).sum()
}

fn carried_out(metrics: &Metrics) -> std::collections::BTreeMap<String, u64> {
    let count = |order: Order| {
        let count = |carried_out: &str| {
            metrics.decisions.with_label_values(&[order.as_str(), carried_out]).get()
        };
        // No store gets an alert.
        let is_told = order != Order::Act(Action::Alert);
        let made = if is_told { count("true") } else { count("true") + count("false") };
        (order.as_str().to_owned(), made)
    };
    Order::ALL.into_iter().map(count).collect()
}

/// How the daemon does now.
fn measure(state: &StatusState) -> Measurements {
    let metrics = &state.metrics;
    let about = *state.about.read();
    let stores = state.stores.iter().map(|store| StoreJson {
        name: store.name().to_owned(),
        waiting: now_at(&metrics.outbox.with_label_values(&[store.name()])),
        up: metrics.store_up.with_label_values(&[store.name()]).get() > 0,
        fault: store.fault(),
    });
    let settles = || Receipt::ALL.into_iter().filter(|receipt| receipt.is_settled());
    let settled = |store: &AuthStore| {
        let of = |receipt: Receipt| {
            metrics.enforcement.with_label_values(&[store.name(), receipt.as_str()]).get()
        };
        settles().map(of).sum()
    };
    let allowed = about.revocation_limit.for_all(now_at(&metrics.fleet_credentials));
    let kafka = KafkaJson {
        up: metrics.consumer_up.get() > 0,
        partitions: now_at(&metrics.consumer_assigned),
        lag: now_at(&metrics.consumer_lag),
    };
    Measurements {
        at: clock::now(),
        violations: sum(&metrics.violations, Invariant::ALL.map(Invariant::as_str)),
        journal_is_writable: state.durable.load(Ordering::Relaxed),
        beats: metrics.heartbeat_at.by_stage(),
        stores: stores.collect(),
        settled: state.stores.iter().map(settled).collect(),
        not_kept: metrics.events_not_durable.get(),
        queue_full: metrics.queue_full.get(),
        refused: metrics.records_refused(),
        applied: metrics.events_applied(),
        unverified: metrics.unverified.get(),
        fast_clock: metrics.fast_clocks.furthest(clock::now()),
        kafka: about.reads_kafka.then_some(kafka),
        kafka_events: metrics.events.with_label_values(&["kafka"]).get(),
        checkpoint: metrics.checkpoint_at.by_stage().into_iter().map(|(_, at)| at).min(),
        checkpoint_interval_ms: about.checkpoint_interval_ms,
        forgotten: metrics.evicted.with_label_values(&["established"]).get(),
        deferred: metrics.deferred.get(),
        not_watched: metrics.admission_refused.get(),
        revocation_tokens: (allowed > 0).then(|| metrics.revocations_left.get()),
    }
}
