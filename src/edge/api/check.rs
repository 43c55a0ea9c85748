//! `GET /v1/check`: whether a request with this credential may pass. Forward-auth for gateways.

use super::auth::may_check;
use super::problem::Problem;
use super::{Shared, State};
use crate::edge::auth_store::embedded::Passage;
use crate::edge::clock;
use crate::model::credential::Kind;
use crate::model::decision::Status;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// 204: let it pass. 401: it has no credential. 403: out of service. 429: slow it down.
#[utoipa::path(
    get, path = "/v1/check",
    params(
        ("X-Tripline-Credential" = Option<String>, Header, description = "kind:id, as events name it"),
        ("X-Api-Key" = Option<String>, Header, description = "the secret itself"),
        ("X-Tripline-Token" = Option<String>, Header, description = "the gateway's token"),
    ),
    responses(
        (status = 204, description = "Let it pass"),
        (status = 401, description = "It has no credential, or the gateway no token"),
        (status = 403, description = "Suspended or revoked"),
        (status = 429, description = "Throttled; Retry-After says for how long"),
    )
)]
pub(super) async fn get_check(axum::extract::State(shared): State, headers: HeaderMap) -> Response {
    let response = answer(&shared, &headers);
    let code = response.status();
    shared.metrics.check.with_label_values(&[code.as_str()]).inc();
    response
}

fn answer(shared: &Shared, headers: &HeaderMap) -> Response {
    if let Err(problem) = may_check(&shared.tokens, headers) {
        return problem.into_response();
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(named) = text("x-tripline-credential") {
        let (kind, id) = shared.fingerprints.named(named);
        return if id.is_empty() { no_credential() } else { pass(shared, kind, &id) };
    }
    let bearer = text(AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match bearer.or_else(|| text("x-api-key")).filter(|secret| !secret.is_empty()) {
        Some(secret) => {
            let found = shared.fingerprints.identify(secret);
            pass(shared, found.kind.unwrap_or_default(), &found.id)
        }
        None => no_credential(),
    }
}

fn no_credential() -> Response {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "the request has no credential",
        "send X-Tripline-Credential, Authorization: Bearer or X-Api-Key",
    )
    .into_response()
}

fn pass(shared: &Shared, kind: Kind, id: &str) -> Response {
    match shared.embedded.pass(kind, id, clock::now()) {
        Passage::Free => StatusCode::NO_CONTENT.into_response(),
        Passage::Denied(status) => {
            let mut response = StatusCode::FORBIDDEN.into_response();
            let headers = response.headers_mut();
            headers.insert(
                "x-tripline-status",
                HeaderValue::from_static(match status {
                    Status::Revoked => "revoked",
                    Status::Suspended | Status::Throttled | Status::Active => "suspended",
                }),
            );
            response
        }
        Passage::Wait(seconds) => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
    }
}
