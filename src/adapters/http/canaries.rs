//! `/v1/canaries`: credentials that no one has a reason to use.

use super::auth::{Operator, Reader};
use super::body::{Body, is_line};
use super::extract::Path;
use super::orders::parse_credential;
use super::problem::Problem;
use crate::adapters::watchlist::{Watchlist, WatchlistError};
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Kind;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// State of the handlers about canaries.
#[derive(Debug)]
pub struct CanariesState {
    /// Canaries and leaks.
    watchlist: Watchlist,
    /// Stands for secrets.
    fingerprints: Arc<Fingerprinter>,
}

impl CanariesState {
    /// For that watchlist.
    pub fn new(watchlist: Watchlist, fingerprints: &Arc<Fingerprinter>) -> Self {
        Self { watchlist, fingerprints: Arc::clone(fingerprints) }
    }
}

/// A credential to watch for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCanary {
    /// `kind:id`, the id of an API key, or the secret itself, of which a fingerprint is kept alone.
    #[schema(min_length = 1, max_length = 4096)]
    credential: String,
    /// Where it was put: one line, without characters that turn the direction of text.
    #[schema(
        max_length = 1000,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]*$"
    )]
    #[serde(default)]
    note: String,
}

/// A credential that is watched for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Canary)]
pub(super) struct CanaryJson {
    /// Its id.
    credential: String,
    /// Its kind.
    #[schema(value_type = Kind)]
    kind: &'static str,
    /// Where it was put.
    note: String,
    /// Since when it is watched for.
    #[schema(format = DateTime)]
    since: String,
}

/// The outcome of a removal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CanaryRemoval {
    /// Whether it was a canary.
    changed: bool,
}

/// The canaries, oldest first.
#[utoipa::path(
    get, path = "/v1/canaries",
    responses((status = 200, body = Vec<CanaryJson>), (status = 503, body = Problem))
)]
pub(super) async fn list_canaries(
    State(state): State<Arc<CanariesState>>,
    _reader: Reader,
) -> Result<Json<Vec<CanaryJson>>, Problem> {
    let canaries = state.watchlist.canaries().await?;
    let described = canaries.into_iter().map(|canary| CanaryJson {
        credential: canary.credential.id().to_owned(),
        kind: canary.credential.kind().as_str(),
        note: canary.note,
        since: canary.since.to_string(),
    });
    Ok(Json(described.collect()))
}

/// Watches for a credential that no one has a reason to use: any presentation of it alerts.
#[utoipa::path(
    post, path = "/v1/canaries", request_body = NewCanary,
    responses((status = 200, body = CanaryJson), (status = 400, body = Problem), (status = 409, body = Problem),
        (status = 503, body = Problem))
)]
pub(super) async fn add_canary(
    State(state): State<Arc<CanariesState>>,
    operator: Operator,
    Body(canary): Body<NewCanary>,
) -> Result<Json<CanaryJson>, Problem> {
    if !canary.note.is_empty() && !is_line(&canary.note) {
        return Err(Problem::bad_request("`note` is one line of at most 1000 characters"));
    }
    let credential = parse_credential(&state.fingerprints, &canary.credential)?;
    let note = state.fingerprints.clean_text(&canary.note).unwrap_or(canary.note);
    tracing::info!(%credential, by = %operator.name, "a canary is watched for");
    let since = state.watchlist.add_canary(credential.clone(), note.clone()).await?.to_string();
    let (kind, credential) = (credential.kind().as_str(), credential.id().to_owned());
    Ok(Json(CanaryJson { credential, kind, note, since }))
}

/// Watches for a canary no more.
#[utoipa::path(
    delete, path = "/v1/canaries/{id}",
    params(("id" = String, Path, description = "kind:id, or the id of an API key")),
    responses((status = 200, body = CanaryRemoval), (status = 400, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn remove_canary(
    State(state): State<Arc<CanariesState>>,
    operator: Operator,
    Path(id): Path<String>,
) -> Result<Json<CanaryRemoval>, Problem> {
    let credential = parse_credential(&state.fingerprints, &id)?;
    tracing::info!(%credential, by = %operator.name, "a canary is watched for no more");
    let changed = state.watchlist.remove_canary(credential).await?;
    Ok(Json(CanaryRemoval { changed }))
}

impl From<WatchlistError> for Problem {
    fn from(error: WatchlistError) -> Self {
        if matches!(error, WatchlistError::Full) {
            return Self::new(StatusCode::CONFLICT, "the watchlist is full", error.to_string());
        }
        tracing::error!(error = %error, cause = ?std::error::Error::source(&error), "the watchlist");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the watchlist can't be used", error.to_string())
    }
}
