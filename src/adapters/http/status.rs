//! `GET /v1/status`: how the daemon is, on one page.

use super::auth::Caller;
use super::metrics::HttpMetrics;
use crate::adapters::checkpoint::metrics::CheckpointMetrics;
use crate::adapters::clock;
use crate::adapters::control_plane::metrics::{DecisionMetrics, FleetMetrics, PolicyMetrics};
use crate::adapters::data_plane::metrics::{ProfileMetrics, ShardMetrics};
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::enforce::metrics::EnforceMetrics;
use crate::adapters::event_log::metrics::EventLogMetrics;
use crate::adapters::fleet::peers::SharedRoster;
use crate::adapters::health::fleet::FleetFaults;
use crate::adapters::health::recent::{Measurements, Recent};
use crate::adapters::journal::metrics::JournalMetrics;
use crate::adapters::metrics::oldest::Oldest;
use crate::adapters::sources::kafka::metrics::{ConsumerMetrics, TopicMetrics};
use crate::adapters::sources::metrics::SourceMetrics;
use crate::control_plane::policy::revocation_limit;
use crate::formats::api::status::{
    FleetJson, InstanceJson, JournalJson, KafkaJson, StatusJson, StoreJson,
};
use crate::model::decision::{InstanceId, Mode, Safeguard};
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
    /// The name of the Kafka source, where there is one.
    pub kafka: Option<String>,
    /// This instance.
    pub instance: InstanceId,
    /// All instances.
    pub roster: SharedRoster,
    /// Facts of the settings.
    pub about: Arc<RwLock<About>>,
    /// Whether the journal can be written.
    pub durable: Arc<AtomicBool>,
    /// The store that `/v1/check` asks.
    pub embedded: EmbeddedStore,
    /// The metrics that it shows.
    pub metrics: StatusMetrics,
    /// Where decisions are carried out.
    pub stores: Vec<AuthStore>,
    /// The measurements of the last minutes.
    pub recent: Mutex<Recent>,
}

/// The groups of metrics that the status shows.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each group is named after its subsystem")]
pub struct StatusMetrics {
    pub sources: SourceMetrics,
    pub consumer: ConsumerMetrics,
    pub topic: TopicMetrics,
    pub shards: ShardMetrics,
    pub profiles: ProfileMetrics,
    pub checkpoint: CheckpointMetrics,
    pub event_log: EventLogMetrics,
    pub decisions: DecisionMetrics,
    pub policy: PolicyMetrics,
    pub fleet: FleetMetrics,
    pub journal: JournalMetrics,
    pub enforce: EnforceMetrics,
    pub http: HttpMetrics,
    /// Heartbeats of all stages.
    pub heartbeat_at: Oldest,
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
    responses((status = 200, body = StatusJson), (status = 401, body = super::problem::Problem))
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
        events: metrics.shards.events_applied(),
        events_refused: now.refused,
        queue_full: now.queue_full,
        credentials: now_at(&metrics.profiles.credentials),
        memory_bytes: now_at(&metrics.profiles.bytes),
        memory_bytes_max: about.memory_bytes_max as u64,
        open_incidents: now_at(&metrics.profiles.open_incidents),
        decisions: by_order(&metrics.decisions),
        held: sum(&metrics.decisions.held, Safeguard::ALL.map(Safeguard::as_str)),
        approvals: now_at(&metrics.policy.approvals),
        out_of_service: state.embedded.len() as u64,
        enforced_credentials: now_at(&metrics.policy.enforced_credentials),
        revocation_tokens: metrics.policy.revocations_left.get(),
        fleet: FleetJson {
            instances: now_at(&metrics.fleet.instances),
            credentials: now_at(&metrics.fleet.credentials),
            roster: state.roster.read().instances().iter().map(InstanceJson::from).collect(),
        },
        sources: now.sources,
        kafka: now.kafka,
        journal: JournalJson {
            writable: now.journal_is_writable,
            lines: now_at(&metrics.journal.lines),
        },
        stores: now.stores,
        event_log_bytes: now_at(&metrics.event_log.bytes),
        checkpoint: now.checkpoint.map(|at| at.to_string()),
    }
}

fn now_at(gauge: &IntGauge) -> u64 {
    u64::try_from(gauge.get()).unwrap_or(0)
}

fn sum<const N: usize>(counters: &IntCounterVec, labels: [&str; N]) -> u64 {
    labels.iter().map(|label| counters.with_label_values(&[*label]).get()).sum()
}

fn by_order(decisions: &DecisionMetrics) -> std::collections::BTreeMap<String, u64> {
    decisions.effective().map(|(order, count)| (order.as_str().to_owned(), count)).collect()
}

/// How the daemon does now.
fn measure(state: &StatusState) -> Measurements {
    let metrics = &state.metrics;
    let about = *state.about.read();
    let stores = state.stores.iter().map(|store| StoreJson {
        name: store.name().to_owned(),
        waiting: now_at(&metrics.enforce.outbox.with_label_values(&[store.name()])),
        up: metrics.enforce.up.with_label_values(&[store.name()]).get() > 0,
        fault: store.fault(),
    });
    let settled = |store: &AuthStore| metrics.enforce.settled(store.name());
    let allowed = about.revocation_limit.for_all(now_at(&metrics.fleet.credentials));
    let kafka = KafkaJson {
        up: metrics.consumer.up.get() > 0,
        partitions: now_at(&metrics.consumer.assigned),
        lag: now_at(&metrics.consumer.lag),
    };
    Measurements {
        at: clock::now(),
        started: about.started,
        violations: sum(&metrics.decisions.violations, Invariant::ALL.map(Invariant::as_str)),
        is_following: metrics.fleet.following.get() != 0,
        fleet: FleetFaults::of(&state.roster.read(), state.instance),
        journal_is_writable: state.durable.load(Ordering::Relaxed),
        beats: metrics.heartbeat_at.by_stage(),
        stores: stores.collect(),
        settled: state.stores.iter().map(settled).collect(),
        not_kept: metrics.sources.not_durable.get(),
        queue_full: metrics.http.queue_full.get(),
        not_written: metrics.topic.failures.get(),
        refused: metrics.sources.records_refused(),
        applied: metrics.shards.events_applied(),
        unverified: metrics.shards.unverified.get(),
        fast_clock: metrics.sources.fast_clocks.furthest(clock::now()),
        kafka: state.kafka.as_ref().map(|_| kafka),
        kafka_events: state.kafka.as_ref().map_or(0, |source| metrics.sources.taken(source)),
        sources: metrics.sources.by_source(),
        checkpoint: metrics.checkpoint.written_at.by_stage().into_iter().map(|(_, at)| at).min(),
        checkpoint_interval_ms: about.checkpoint_interval_ms,
        forgotten: metrics.shards.evicted.with_label_values(&["established"]).get(),
        deferred: metrics.shards.deferred.get(),
        not_watched: metrics.shards.admission_refused.get(),
        revocation_tokens: (allowed > 0).then(|| metrics.policy.revocations_left.get()),
    }
}
