//! `/livez`, `/readyz`, `/metrics`.

use super::auth::Reader;
use super::extract::Query;
use super::metrics::{HttpMetrics, RANKS};
use super::problem::Problem;
use crate::adapters::channels::DataPlane;
use crate::adapters::metrics::exposition::{Exposition, Format};
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// State of the handlers of `/readyz` and `/metrics`.
#[derive(Debug)]
pub struct HealthState {
    /// The channels to the data plane: it knows the busiest credentials.
    pub data: DataPlane,
    /// Whether the journal can be written.
    pub durable: Arc<AtomicBool>,
    /// Whether the decisions of the other instances are known.
    pub caught_up: Arc<AtomicBool>,
    /// All metrics, as text.
    pub exposition: Exposition,
    /// Metrics of the API, with the rates of the busiest credentials.
    pub metrics: HttpMetrics,
    /// Whether tripline is stopping.
    pub stopping: Arc<AtomicBool>,
}

/// Whether to say every check.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Verbose {
    /// Any value: say every check.
    verbose: Option<String>,
}

/// The process lives.
#[utoipa::path(get, path = "/livez", responses((status = 200, body = String)))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// It takes events and can carry out decisions.
#[utoipa::path(
    get, path = "/readyz", params(Verbose),
    responses((status = 200, body = String), (status = 503, body = String))
)]
pub(super) async fn readyz(
    State(state): State<Arc<HealthState>>,
    Query(verbose): Query<Verbose>,
) -> Response {
    let checks = [
        ("running", !state.stopping.load(Ordering::Relaxed)),
        ("journal", state.durable.load(Ordering::Relaxed)),
        ("fleet", state.caught_up.load(Ordering::Relaxed)),
    ];
    let ready = checks.iter().all(|(_, good)| *good);
    let mut text = String::new();
    for (name, good) in checks {
        if verbose.verbose.is_some() || !good {
            // Writing to a string can't fail.
            let _written = writeln!(text, "{} {name}", if good { "ok" } else { "failed" });
        }
    }
    if ready {
        text.push_str("ready\n");
        (StatusCode::OK, text).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

/// All metrics: OpenMetrics for who accepts it, with exemplars for who may read findings, else the Prometheus text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
pub(super) async fn metrics(
    State(state): State<Arc<HealthState>>,
    reader: Result<Reader, Problem>,
    headers: HeaderMap,
) -> Response {
    let busiest = state.data.busiest(RANKS).await;
    let rates: Vec<f64> = busiest.iter().map(|view| f64::from(view.last_minute()) / 60.0).collect();
    state.metrics.show_top_rates(&rates);
    let format = Format::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    ([(CONTENT_TYPE, format.media_type())], state.exposition.text(format, reader.is_ok()))
        .into_response()
}
