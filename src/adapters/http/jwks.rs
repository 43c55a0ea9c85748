//! `GET /.well-known/jwks.json`: the keys with which receivers of Shared Signals verify.

use super::problem::Problem;
use crate::formats::outbound::security_event::JwkSet;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// The public keys; everybody may read them.
#[utoipa::path(
    get, path = "/.well-known/jwks.json",
    responses((status = 200, body = Object), (status = 404, body = Problem))
)]
pub(super) async fn jwks(State(keys): State<Arc<JwkSet>>) -> Result<Json<JwkSet>, Problem> {
    if keys.keys.is_empty() {
        let detail = "there is one for each [auth_store.shared_signals.NAME]";
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no key", detail));
    }
    Ok(Json(JwkSet::clone(&keys)))
}
