//! `GET /v1/check`: whether a request with this credential may pass. Forward-auth for gateways.
//!
//! A request may hold several credentials, and which of them the service behind will take is not
//! known here, so all of them must be in service: the one that the gateway names, the bearer token,
//! the API key, and whatever else `Authorization` holds.
//!
//! **Does not** verify a signature or know which secrets exist: the service behind does that.

use super::auth::Tokens;
use super::auth::{bearer, may_check};
use super::authorization::{Scheme, candidates, scheme};
use super::orders::parse_credential;
use super::problem::Problem;
use crate::adapters::clock;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::enforce::embedded::throttle::Passage;
use crate::formats::secrets::secret::{Fingerprinter, Identified, LENIENT};
use crate::model::credential::Kind;
use crate::model::decision::Status;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use prometheus::IntCounterVec;
use std::sync::Arc;

/// How often a header with a secret may come, always with one value. Chosen.
const TIMES_MAX: usize = 4;

const NAME: HeaderName = HeaderName::from_static("x-tripline-credential");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// State of the handlers of `/v1/check`.
#[derive(Debug)]
pub struct CheckState {
    /// The known tokens.
    pub tokens: Arc<Tokens>,
    /// Stands for secrets.
    pub fingerprints: Arc<Fingerprinter>,
    /// The store that is asked.
    pub embedded: EmbeddedStore,
    /// Counts answers by status code.
    pub answers: IntCounterVec,
}

/// 200: let it pass. 401: it has no credential. 403: out of service. 429: slow it down.
#[utoipa::path(
    get, path = "/v1/check",
    params(
        ("X-Tripline-Credential" = Option<String>, Header, description = "kind:id, as events name it"),
        ("X-Api-Key" = Option<String>, Header, description = "the secret itself"),
        ("X-Tripline-Token" = Option<String>, Header, description = "the gateway's token"),
    ),
    responses(
        (status = 200, description = "Let it pass; the body is empty"),
        (
            status = 400, body = Problem,
            description = "X-Tripline-Credential can't name a credential: the gateway's mistake"
        ),
        (
            status = 401, body = Problem,
            description = "It has no credential or no single one, or the gateway no token"
        ),
        (status = 403, description = "Suspended or revoked, as X-Tripline-Status says"),
        (status = 429, description = "Throttled; Retry-After says for how long"),
    )
)]
pub(super) async fn get_check(
    State(state): State<Arc<CheckState>>,
    headers: HeaderMap,
) -> Response {
    let response = match decide(&state, &headers) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => refusal.into_response(),
    };
    let code = response.status();
    state.answers.with_label_values(&[code.as_str()]).inc();
    response
}

/// Why a request may not pass.
enum Refusal {
    /// The client or the gateway asked in a wrong way.
    Problem(Problem),
    /// A credential in it is suspended or revoked.
    OutOfService(&'static str),
    /// It may pass in that many seconds.
    Throttled(u32),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::OutOfService(status) => {
                (StatusCode::FORBIDDEN, [("x-tripline-status", status)]).into_response()
            }
            Self::Throttled(seconds) => {
                let wait = HeaderValue::from(seconds);
                (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, wait)]).into_response()
            }
        }
    }
}

/// Whether a request may pass.
fn decide(state: &CheckState, headers: &HeaderMap) -> Result<(), Refusal> {
    may_check(&state.tokens, headers).map_err(Refusal::Problem)?;
    let authorization = single(state, headers, &AUTHORIZATION)?;
    let key = single(state, headers, &API_KEY)?;
    if let Some(name) = single(state, headers, &NAME)? {
        // The gateway decides by what it names; what else the request holds can only refuse it.
        for value in [authorization, key].into_iter().flatten() {
            refuse_any_out_of_service(state, value)?;
        }
        return pass_named(state, name);
    }
    if let Some(value) = authorization {
        refuse_any_out_of_service(state, value)?;
    }
    let mut secrets = Vec::with_capacity(2);
    match authorization.map(scheme) {
        Some(Scheme::Bearer) => secrets.push(authorization.and_then(bearer)),
        Some(Scheme::Other) | None => {}
    }
    secrets.extend(key.map(|key| key.to_str().ok().map(str::trim)));
    for secret in &secrets {
        // A value skipped here might be read by the service behind in its own way.
        let secret = secret.filter(|secret| is_one(secret)).ok_or_else(ambiguous)?;
        pass_secret(state, secret)?;
    }
    if secrets.is_empty() {
        return Err(no_credential());
    }
    Ok(())
}

/// The value of a header that may come once, or again with the same value: of several the service
/// behind might take any, and a gateway or a map of nginx looks at one alone.
fn single<'a>(
    state: &CheckState,
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let all = || headers.get_all(name).iter();
    let Some(first) = all().next() else { return Ok(None) };
    let times_max = if *name == NAME { 1 } else { TIMES_MAX };
    if all().all(|value| value == first) && all().nth(times_max).is_none() {
        return Ok(Some(first));
    }
    // One that is out of service is worth more to know than that there are several.
    for value in all().take(TIMES_MAX).filter(|_| *name != NAME) {
        refuse_any_out_of_service(state, value)?;
    }
    Err(ambiguous())
}

/// Whether a request may pass whose credential the gateway names: by an id, or by the secret itself, as
/// from a cookie, which is looked up like any other.
fn pass_named(state: &CheckState, name: &HeaderValue) -> Result<(), Refusal> {
    let name = std::str::from_utf8(name.as_bytes()).map_err(|_| ambiguous())?;
    let (kind, id) = state.fingerprints.named(name);
    if id.is_empty() {
        return Err(no_credential());
    }
    if let Some(mistake) = misspelt(name) {
        return Err(Refusal::Problem(Problem::bad_request(mistake)));
    }
    let credential = parse_credential(&state.fingerprints, name).map_err(Refusal::Problem)?;
    let given = name.split_once(':').filter(|(word, _)| Kind::parse(word).is_some());
    let given = given.map_or(name, |(_, given)| given);
    if given != id {
        refuse_out_of_service(state, given)?;
    }
    // Another source may know it by its fingerprint alone.
    let fingerprint = state.fingerprints.identify(given);
    pass(state, fingerprint.kind.unwrap_or(kind), &fingerprint.id, None)?;
    if kind == Kind::Jwt {
        // The `jti` may have been revoked as that of a session, or another kind.
        for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
            pass(state, other, credential.id(), None)?;
        }
    }
    pass(state, credential.kind(), credential.id(), None)
}

/// Says why a name isn't written as events write it, if it has what no id begins or ends with.
fn misspelt(name: &str) -> Option<String> {
    let (word, id) = name.split_once([':', '='])?;
    let is_around = |c: char| c.is_whitespace() || "\"'`:=;,".contains(c);
    let misplaced = id.starts_with(is_around) || name.get(word.len()..)?.starts_with('=');
    let is_kind = Kind::parse(word.trim_matches(is_around)).is_some();
    (is_kind && (misplaced || name.ends_with(is_around) || name.starts_with(is_around))).then(
        || {
            format!(
                "a credential is written kind:id, as in {}:key_1, without spaces or quotes",
                word.trim()
            )
        },
    )
}

/// Whether a request with a secret may pass. Events may have named it by its fingerprint or, where
/// it does not look like a secret, by itself, or by any reading of its `jti` (all its candidates), and
/// as any kind: a JWT's `jti` may be known as that of a session. A name alone takes nothing from what a
/// throttled credential may do: who knows it need not hold it.
fn pass_secret(state: &CheckState, secret: &str) -> Result<(), Refusal> {
    let found = refuse_out_of_service(state, secret)?;
    let token = (found.kind == Some(Kind::Jwt)).then_some(secret);
    for kind in Kind::ALL {
        pass(state, kind, &found.id, token)?;
    }
    Ok(())
}

/// Refuses a request that holds anything that is out of service in that value, however it is written.
fn refuse_any_out_of_service(state: &CheckState, value: &HeaderValue) -> Result<(), Refusal> {
    for candidate in candidates(value).ok_or_else(ambiguous)? {
        refuse_out_of_service(state, &candidate)?;
    }
    Ok(())
}

fn refuse_out_of_service(state: &CheckState, secret: &str) -> Result<Identified, Refusal> {
    let now = clock::now();
    let candidates = state.fingerprints.candidates(secret);
    if candidates.is_cut {
        return Err(ambiguous());
    }
    for kind in Kind::ALL {
        for id in &candidates.ids {
            let stored = state.embedded.stored(kind, id, now).map(|stored| stored.status);
            if let Some(status @ (Status::Suspended | Status::Revoked)) = stored {
                return Err(Refusal::OutOfService(status.as_str()));
            }
        }
    }
    Ok(candidates.main)
}

/// Whether every reader takes the same secret from it: one visible word.
fn is_one(secret: &str) -> bool {
    !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// The hash of a JWT as a whole, under a key that stays on this machine. A signature that is written
/// in another way, by its last bits or with padding, is the same.
fn hash_of(fingerprints: &Fingerprinter, token: &str) -> Option<u64> {
    let (signed, signature) = token.rsplit_once('.')?;
    let mut whole = signed.as_bytes().to_vec();
    whole.push(b'.');
    match LENIENT.decode(signature) {
        Ok(signature) => whole.extend(signature),
        Err(_) => whole.extend(signature.as_bytes()),
    }
    let hash = fingerprints.fingerprint(&whole);
    u64::from_str_radix(hash.strip_prefix("fp_")?.get(..16)?, 16).ok()
}

fn ambiguous() -> Refusal {
    Refusal::Problem(Problem::new(
        StatusCode::UNAUTHORIZED,
        "the request names no single credential",
        "send X-Tripline-Credential once, in UTF-8; or Authorization: Bearer and X-Api-Key, each once \
         and with one secret and nothing else",
    ))
}

fn no_credential() -> Refusal {
    Refusal::Problem(Problem::new(
        StatusCode::UNAUTHORIZED,
        "the request has no credential",
        "send X-Tripline-Credential, Authorization: Bearer or X-Api-Key; of other schemes of \
         Authorization the gateway has to name the credential",
    ))
}

fn pass(state: &CheckState, kind: Kind, id: &str, token: Option<&str>) -> Result<(), Refusal> {
    let token = || token.and_then(|token| hash_of(&state.fingerprints, token));
    match state.embedded.pass(kind, id, clock::now(), token) {
        Passage::Free => Ok(()),
        Passage::Suspended => Err(Refusal::OutOfService(Status::Suspended.as_str())),
        Passage::Revoked => Err(Refusal::OutOfService(Status::Revoked.as_str())),
        Passage::Wait(seconds) => Err(Refusal::Throttled(seconds)),
    }
}
