//! `GET /v1/audit/expiry`: how long credentials live, and which gateways let them pass outside their life.

use super::auth::Reader;
use super::credentials::CredentialsState;
use super::problem::Problem;
use crate::adapters::channels::ThreadStalled;
use crate::formats::api::expiry::{ExpiryReport, Reading};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Lifetimes of the credentials that were seen since the start, by kind, issuer and gateway. The first use of a
/// credential counts, and each use outside its life.
#[utoipa::path(
    get, path = "/v1/audit/expiry",
    responses((status = 200, body = ExpiryReport), (status = 401, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn audit_expiry(
    State(state): State<Arc<CredentialsState>>,
    _reader: Reader,
) -> Result<Json<ExpiryReport>, Problem> {
    let (audit, is_whole) = state.data.lifetimes().await;
    if !is_whole {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(Problem::new(status, "not known now", ThreadStalled.to_string()));
    }
    let found = audit.report();
    let reading = Reading { events: found.uses, ..Reading::default() };
    Ok(Json(ExpiryReport::new(&found, audit.params(), reading)))
}
