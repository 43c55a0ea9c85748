//! `/v1/findings`: findings, of before the start too.
#![expect(unused_qualifications, reason = "the macro of the routes writes them")]

use super::auth::Reader;
use super::extract::{Path, Query};
use super::orders::{most, parse_credential};
use super::problem::Problem;
use crate::adapters::channels::DataPlane;
use crate::adapters::recent_events::RecentEvents;
use crate::adapters::storage::finding_archive::{FindingArchive, Wanted};
use crate::formats::api::finding::FindingJson;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::finding::{Finding, FindingId};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use hashbrown::HashSet;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// State of the handlers about findings.
#[derive(Debug)]
pub struct FindingsState {
    recent: Arc<RecentEvents>,
    archive: FindingArchive,
    fingerprints: Arc<Fingerprinter>,
    data: DataPlane,
}

impl FindingsState {
    /// Of recent findings and those of before; `data` says which are open.
    pub fn new(
        data: DataPlane,
        archive: FindingArchive,
        recent: &Arc<RecentEvents>,
        fingerprints: &Arc<Fingerprinter>,
    ) -> Self {
        let (recent, fingerprints) = (Arc::clone(recent), Arc::clone(fingerprints));
        Self { recent, archive, fingerprints, data }
    }
}

/// Which findings are wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct FindingsQuery {
    /// How many at most; 100 if not said, 1000 at the most.
    limit: Option<usize>,
    /// Only those whose finding runs.
    open: Option<bool>,
    /// Only those of this credential, `kind:id` or the id of an API key.
    credential: Option<String>,
}

/// Findings, newest first, of before the start too; of those that are open the most severe first.
#[utoipa::path(
    get, path = "/v1/findings", params(FindingsQuery),
    responses((status = 200, body = Vec<FindingJson>), (status = 401, body = Problem))
)]
pub(super) async fn list_findings(
    State(state): State<Arc<FindingsState>>,
    _reader: Reader,
    Query(wanted): Query<FindingsQuery>,
) -> Result<Json<Vec<FindingJson>>, Problem> {
    let credential = wanted
        .credential
        .as_deref()
        .map(|id| parse_credential(&state.fingerprints, id))
        .transpose()?;
    let (only_open, most) = (wanted.open.unwrap_or(false), most(wanted.limit));
    let looked_at = if only_open { usize::MAX } else { most };
    // One whose partition has moved to another instance is open there, or closed by now.
    let open = if only_open { state.data.open_findings().await } else { None };
    let is_open = |finding: &Finding| {
        finding.closed.is_none() && open.as_ref().is_none_or(|open| open.contains(&finding.id))
    };
    let mut found = state.recent.findings(looked_at, |finding| {
        (!only_open || is_open(finding))
            && credential.as_ref().is_none_or(|wanted| finding.credential == *wanted)
    });
    if only_open {
        // The most severe first: many small ones bury none.
        found.sort_by_key(|finding| std::cmp::Reverse((finding.action, finding.opened)));
        found.truncate(most);
    }
    // Open findings are among the recent ones.
    if !only_open && found.len() < most {
        let known: HashSet<FindingId> = found.iter().map(|finding| finding.id).collect();
        let of_before =
            from_archive(&state, move |archive| archive.find(&Wanted { credential, most }));
        found.extend(of_before.await?.into_iter().filter(|finding| !known.contains(&finding.id)));
        found.sort_by_key(|finding| std::cmp::Reverse(finding.opened));
        found.truncate(most);
    }
    Ok(Json(found.into_iter().map(FindingJson).collect()))
}

/// Reads the archive away from the threads that answer.
async fn from_archive<T: Send + 'static>(
    state: &FindingsState,
    look: impl FnOnce(&FindingArchive) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let archive = state.archive.clone();
    let looked = tokio::task::spawn_blocking(move || look(&archive)).await;
    let detail = "can't read earlier findings; see the log";
    let failed = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not answered", detail);
    looked.map_err(|_| failed())?.map_err(|error| {
        tracing::error!(%error, "can't read earlier findings");
        failed()
    })
}

/// One finding.
#[utoipa::path(
    get, path = "/v1/findings/{id}", params(("id" = String, Path)),
    responses((status = 200, body = FindingJson), (status = 404, body = Problem))
)]
pub(super) async fn show_finding(
    State(state): State<Arc<FindingsState>>,
    _reader: Reader,
    Path(id): Path<String>,
) -> Result<Json<FindingJson>, Problem> {
    let id = FindingId::parse(&id);
    let found = match (id.and_then(|id| state.recent.finding(id)), id) {
        (None, Some(id)) => from_archive(&state, move |archive| archive.one(id)).await?,
        (found, _) => found,
    };
    found.map(|finding| Json(FindingJson(finding))).ok_or_else(|| {
        let detail = "its id begins with f_; old ones are forgotten as [findings] says";
        Problem::new(StatusCode::NOT_FOUND, "there is no such finding", detail)
    })
}
