//! `GET /v1/check`: whether a request with this credential may pass. Forward-auth for gateways.

use super::auth::{bearer, may_check};
use super::problem::Problem;
use super::{Shared, State};
use crate::edge::auth_store::embedded::Passage;
use crate::edge::clock;
use crate::model::credential::Kind;
use crate::model::decision::Status;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Secrets that a request may hold. Chosen: a bearer token, an API key, and one of each to spare.
const SECRETS_MAX: usize = 4;

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
    let mut named = headers.get_all("x-tripline-credential").iter();
    if let Some(name) = named.next() {
        let name = std::str::from_utf8(name.as_bytes());
        return match (name, named.next()) {
            (Ok(name), None) => {
                let (kind, id) = shared.fingerprints.named(name);
                if id.is_empty() { no_credential() } else { pass(shared, kind, &id) }
            }
            _ => ambiguous(),
        };
    }
    let bearers = headers.get_all(AUTHORIZATION).iter().map(bearer);
    let keys = headers.get_all("x-api-key").iter().map(|key| key.to_str().ok().map(str::trim));
    let mut passed = None;
    for (number, secret) in bearers.chain(keys).enumerate() {
        let secret = secret.filter(|secret| number < SECRETS_MAX && is_one(secret));
        // What is skipped here the service behind might read in its own way.
        let Some(secret) = secret else { return ambiguous() };
        let response = pass_secret(shared, secret);
        // Which of them the service behind will take is not known here: all must be in service.
        match response.status() {
            StatusCode::NO_CONTENT => passed = Some(response),
            _ => return response,
        }
    }
    passed.unwrap_or_else(no_credential)
}

/// Whether a request with a secret may pass. Events may have told of it by its fingerprint or, where
/// it does not look like a secret, by itself, or by any reading of its `jti` (all its candidates), and
/// as any kind that it does not tell itself. A name
/// alone takes nothing from what a throttled credential may do: who knows it need not hold it.
fn pass_secret(shared: &Shared, secret: &str) -> Response {
    let now = clock::now();
    let candidates = shared.fingerprints.candidates(secret);
    if candidates.is_cut {
        return ambiguous();
    }
    let found = candidates.main;
    let kinds = || Kind::ALL.into_iter().filter(|kind| found.kind.is_none_or(|one| one == *kind));
    for kind in kinds() {
        for id in &candidates.ids {
            let stored = shared.embedded.stored(kind, id, now).map(|stored| stored.status);
            if let Some(status @ (Status::Suspended | Status::Revoked)) = stored {
                return denied(status.as_str());
            }
        }
    }
    for kind in kinds() {
        let response = pass(shared, kind, &found.id);
        if response.status() != StatusCode::NO_CONTENT {
            return response;
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Whether every reader takes the same secret from it: one visible word.
fn is_one(secret: &str) -> bool {
    !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn ambiguous() -> Response {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "the request names no single credential",
        "send X-Tripline-Credential once, in UTF-8; or Authorization: Bearer and X-Api-Key, a few at \
         most, each with one secret and nothing else",
    )
    .into_response()
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
        Passage::Suspended => denied("suspended"),
        Passage::Revoked => denied("revoked"),
        Passage::Wait(seconds) => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
    }
}

fn denied(status: &'static str) -> Response {
    let mut response = StatusCode::FORBIDDEN.into_response();
    let status = HeaderValue::from_static(status);
    response.headers_mut().insert("x-tripline-status", status);
    response
}
