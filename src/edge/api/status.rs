//! `GET /v1/status`: how the daemon is, on one page.

use super::auth::Caller;
use super::{Shared, State};
use crate::edge::auth_store::AuthStore;
use crate::edge::clock;
use crate::edge::metrics::Metrics;
use crate::edge::vitals::Vitals;
use crate::model::decision::{Guardrail, Order, Receipt};
use crate::model::finding::Action;
use crate::model::invariant::Invariant;
use crate::wire::status_json::{FleetJson, JournalJson, KafkaJson, StatusJson, StoreJson};
use axum::Json;
use prometheus::{IntCounterVec, IntGauge};
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it is taken down how the daemon does.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes down how the daemon does, for as long as it runs.
pub async fn keep_vitals(shared: Weak<Shared>) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    loop {
        interval.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let now = measure(&shared);
        shared.vitals.lock().note(now);
    }
}

/// How the daemon is, and what the asking account may do.
#[utoipa::path(
    get, path = "/v1/status",
    responses((status = 200, body = Object), (status = 401, body = super::problem::Problem))
)]
pub(super) async fn status(
    axum::extract::State(shared): State,
    caller: Caller,
) -> Json<StatusJson> {
    Json(describe(&shared, caller))
}

fn describe(shared: &Shared, caller: Caller) -> StatusJson {
    let metrics = &shared.metrics;
    let about = *shared.about.read();
    let now = measure(shared);
    StatusJson {
        concerns: shared.vitals.lock().concerns(&now),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: now.at.to_string(),
        started: about.started.to_string(),
        configured: Some(about.configured.to_string()),
        posture: about.posture.as_str().to_owned(),
        account: caller.account,
        roles: caller.roles.into_iter().map(|role| role.as_str().to_owned()).collect(),
        events: metrics.events_applied(),
        events_refused: now.refused,
        queue_full: now.queue_full,
        credentials: now_at(&metrics.credentials),
        memory_bytes: now_at(&metrics.credentials_bytes),
        memory_bytes_max: about.memory_bytes_max as u64,
        open_episodes: now_at(&metrics.open_episodes),
        decisions: carried_out(metrics),
        held: sum(&metrics.held, Guardrail::ALL.map(Guardrail::as_str)),
        approvals: now_at(&metrics.approvals),
        out_of_service: shared.embedded.len() as u64,
        standing: now_at(&metrics.standing),
        breaker_tokens: metrics.breaker_left.get(),
        fleet: FleetJson {
            members: now_at(&metrics.fleet_members),
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
        // No store is told of an alert.
        let is_told = order != Order::Act(Action::Alert);
        let made = if is_told { count("true") } else { count("true") + count("false") };
        (order.as_str().to_owned(), made)
    };
    Order::ALL.into_iter().map(count).collect()
}

/// How the daemon does now.
fn measure(shared: &Shared) -> Vitals {
    let metrics = &shared.metrics;
    let about = *shared.about.read();
    let stores = shared.stores.iter().map(|store| StoreJson {
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
    let allowed = about.breaker.for_all(now_at(&metrics.fleet_credentials));
    let kafka = KafkaJson {
        up: metrics.consumer_up.get() > 0,
        partitions: now_at(&metrics.consumer_assigned),
        lag: now_at(&metrics.consumer_lag),
    };
    Vitals {
        at: clock::now(),
        violations: sum(&metrics.violations, Invariant::ALL.map(Invariant::as_str)),
        journal_is_writable: shared.durable.load(Ordering::Relaxed),
        beats: metrics.heartbeat_at.by_stage(),
        stores: stores.collect(),
        settled: shared.stores.iter().map(settled).collect(),
        not_kept: metrics.events_not_kept.get(),
        queue_full: metrics.queue_full.get(),
        refused: metrics.records_refused(),
        applied: metrics.events_applied(),
        unverified: metrics.unverified.get(),
        fast_clock: metrics.fast_clocks.furthest(clock::now()),
        kafka: about.reads_kafka.then_some(kafka),
        kafka_events: metrics.events.with_label_values(&["kafka"]).get(),
        checkpoint: metrics.checkpoint_at.by_stage().into_iter().map(|(_, at)| at).min(),
        checkpoint_every_ms: about.checkpoint_every_ms,
        forgotten: metrics.evicted.with_label_values(&["established"]).get(),
        deferred: metrics.deferred.get(),
        not_watched: metrics.admission_refused.get(),
        breaker_tokens: (allowed > 0).then(|| metrics.breaker_left.get()),
    }
}
