//! `/livez`, `/readyz`, `/metrics`.

use super::State;
use super::auth::Reader;
use super::extract::Query;
use super::problem::Problem;
use crate::edge::metrics::{Format, RANKS};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::fmt::Write;
use std::sync::atomic::Ordering;

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
    axum::extract::State(shared): State,
    Query(verbose): Query<Verbose>,
) -> Response {
    let checks = [
        ("running", !shared.stopping.load(Ordering::Relaxed)),
        ("journal", shared.durable.load(Ordering::Relaxed)),
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
    axum::extract::State(shared): State,
    reader: Result<Reader, Problem>,
    headers: HeaderMap,
) -> Response {
    let busiest = shared.data.busiest(RANKS).await;
    let rates: Vec<f64> = busiest.iter().map(|view| f64::from(view.last_minute()) / 60.0).collect();
    shared.metrics.set_top_rates(&rates);
    let format = Format::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    ([(CONTENT_TYPE, format.media_type())], shared.metrics.text(format, reader.is_ok()))
        .into_response()
}
