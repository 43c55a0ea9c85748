//! What people read and order.
#![expect(unused_qualifications, reason = "the macro of the routes writes them")]

use super::auth::{Operator, Reader};
use super::body::{Body, Heard, Said};
use super::extract::{Path, Query};
use super::problem::Problem;
use super::{Shared, State};
use crate::edge::auth_store::{AuthStore, EMBEDDED};
use crate::edge::clock;
use crate::edge::finding_archive::{FindingArchive, Wanted};
use crate::edge::planes::Ordered;
use crate::engine::control::PersonOrder;
use crate::engine::partition::View;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, Order, Status};
use crate::model::finding::{Action, FindingId};
use crate::wire::decision_json::DecisionJson;
use crate::wire::finding_json::FindingJson;
use crate::wire::secret::kind_nearby;
use crate::wire::view_json::CredentialJson;
use axum::Json;
use axum::http::StatusCode;
use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;

/// How many rows an answer has at most.
const ROWS_MAX: usize = 1000;
const ROWS_DEFAULT: usize = 100;
/// The longest suspension that a person may order. Unit: seconds. Chosen: 7 days; beyond that it is
/// a revocation, which may need a second person.
const SUSPENSION_S_MAX: u32 = 7 * 86_400;

/// How long an answer waits until `/v1/check` obeys the order. Chosen: a disk that is well takes some
/// milliseconds.
const SETTLE_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked meanwhile.
const SETTLE_EVERY: Duration = Duration::from_millis(2);

/// How many rows are given of so many that are wanted.
pub(super) fn most(wanted: Option<usize>) -> usize {
    wanted.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX)
}

/// Which credentials are wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct CredentialsQuery {
    /// How many at most; 100 if not said, 1000 at the most.
    limit: Option<usize>,
}

/// Which findings are wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct FindingsQuery {
    /// How many at most; 100 if not said, 1000 at the most.
    limit: Option<usize>,
    /// Only those whose episode runs.
    open: Option<bool>,
    /// Only those of this credential, `kind:id` or the id of an API key.
    credential: Option<String>,
}

/// What an order came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Done {
    /// Whether anything changed.
    pub(super) changed: bool,
    /// The decision that was made.
    pub(super) decision: Option<DecisionJson>,
    /// For what it counts as a voice, where people have to agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<VoiceJson>,
    /// What stood about the credential before.
    before: &'static str,
    /// Whether tripline knows the credential that is ordered about: it was used, or decided on, recently.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<bool>,
    /// The stores that can't do it.
    cannot: Vec<String>,
    /// What could not be written to disk, and why. The journal has the order, and `/v1/check` follows it,
    /// now or, where it says so, soon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_written: Vec<String>,
    /// What goes on: findings on which nothing is done for a while, as a person restored.
    open_findings: Vec<String>,
}

/// A voice that was counted.
#[derive(Debug, Serialize)]
struct VoiceJson {
    /// For which decision.
    decision: String,
    /// How many more people have to agree.
    missing: u8,
}

impl Done {
    /// Of a person's word, once `/v1/check` obeys it, or it is known what hinders it.
    pub(super) async fn settled(shared: &Shared, ordered: Ordered) -> Self {
        let not_written = match &ordered.decision {
            Some(decision) => not_written(shared, decision).await,
            None => Vec::new(),
        };
        Self { not_written, ..Self::of(ordered) }
    }

    fn of(Ordered { decision, voice, before }: Ordered) -> Self {
        let voice = voice.map(|(decision, missing)| {
            let decision = decision.to_string();
            VoiceJson { decision, missing }
        });
        let decision = decision.map(DecisionJson);
        let before = before.as_str();
        Self { changed: decision.is_some(), decision, voice, before, ..Self::default() }
    }
}

/// The credential that is named; a secret that was pasted is never kept.
pub(super) fn parse(shared: &Shared, id: &str) -> Result<Credential, Problem> {
    if let Some((written, kind)) = kind_nearby(id) {
        let detail = format!(
            "there is no kind `{written}`; did you mean {kind}? The id of an API key that begins so \
             is written api_key:{written}:…"
        );
        return Err(Problem::bad_request(detail));
    }
    shared.fingerprints.credential(id).map_err(|_| {
        Problem::bad_request("a credential is named kind:id, or by the id of an API key")
    })
}

/// The busiest credentials of the last minute, and those out of service.
#[utoipa::path(
    get, path = "/v1/credentials", params(CredentialsQuery),
    responses((status = 200, body = Vec<Object>), (status = 401, body = Problem))
)]
pub(super) async fn list_credentials(
    axum::extract::State(shared): State,
    _reader: Reader,
    Query(wanted): Query<CredentialsQuery>,
) -> Json<Vec<CredentialJson>> {
    let most = most(wanted.limit);
    let (busiest, gone) = (shared.data.busiest(most).await, shared.embedded.out_of_service(most));
    let views: HashMap<&Credential, &View> =
        busiest.iter().map(|view| (&view.credential, view)).collect();
    // Whether somebody still tries is the first question about one that is out of service.
    let first = gone.iter().map(|one| (one, views.get(one).copied()));
    let is_gone: HashSet<&Credential> = gone.iter().collect();
    let others = busiest.iter().filter(|view| !is_gone.contains(&view.credential));
    let others = others.map(|view| (&view.credential, Some(view)));
    let shown: Vec<(&Credential, Option<&View>)> = first.chain(others).take(most).collect();
    let newest = shared.board.newest_about(shown.iter().map(|(credential, _)| *credential));
    let describe = |(credential, view): (&Credential, Option<&View>)| {
        describe(&shared, credential, view, newest.get(credential))
    };
    Json(shown.into_iter().map(describe).collect())
}

fn describe(
    shared: &Shared,
    credential: &Credential,
    view: Option<&View>,
    newest: Option<&Decision>,
) -> CredentialJson {
    let stored = shared.embedded.stored(credential.kind(), credential.id(), clock::now());
    CredentialJson::new(credential, view, stored.map(|s| (s.status, s.until)), newest)
}

/// One credential: its windows next to what is usual, and what stands about it.
#[utoipa::path(
    get, path = "/v1/credentials/{id}",
    params(("id" = String, Path, description = "kind:id, or the id of an API key")),
    responses((status = 200, body = Object), (status = 404, body = Problem))
)]
pub(super) async fn show_credential(
    axum::extract::State(shared): State,
    _reader: Reader,
    Path(id): Path<String>,
) -> Result<Json<CredentialJson>, Problem> {
    let credential = parse(&shared, &id)?;
    let view = shared.data.look_up(&credential).await.map_err(|error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not known now", error.to_string())
    })?;
    let newest = shared.board.newest_about([&credential]);
    let described = describe(&shared, &credential, view.as_ref(), newest.get(&credential));
    if view.is_none() && !described.was_decided_on() {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "this credential is not remembered",
            "name it kind:id; failed requests are not remembered",
        ));
    }
    Ok(Json(described))
}

/// Takes a credential out of service for a while.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/suspend", request_body = Said,
    params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem, description = "Something more severe is in force"))
)]
pub(super) async fn suspend(
    axum::extract::State(shared): State,
    operator: Operator,
    Path(id): Path<String>,
    Body(said): Body<Said>,
) -> Result<Json<Done>, Problem> {
    order(shared, operator, &id, Order::Act(Action::Suspend), said).await
}

/// Takes a credential out of service for good.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/revoke", request_body = Said,
    params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 400, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn revoke(
    axum::extract::State(shared): State,
    operator: Operator,
    Path(id): Path<String>,
    Body(said): Body<Said>,
) -> Result<Json<Done>, Problem> {
    order(shared, operator, &id, Order::Act(Action::Revoke), said).await
}

/// Puts a credential back into service.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/restore", request_body = Said,
    params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 400, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn restore(
    axum::extract::State(shared): State,
    operator: Operator,
    Path(id): Path<String>,
    Body(said): Body<Said>,
) -> Result<Json<Done>, Problem> {
    order(shared, operator, &id, Order::Restore, said).await
}

async fn order(
    shared: Arc<Shared>,
    Operator { name, account }: Operator,
    id: &str,
    order: Order,
    said: Said,
) -> Result<Json<Done>, Problem> {
    let Heard { reason, by } = said.heard(&name, &shared.fingerprints)?;
    let lasts = said.lasts_s.is_none_or(|seconds| (1..=SUSPENSION_S_MAX).contains(&seconds));
    let suspends = order == Order::Act(Action::Suspend);
    if !lasts || (said.lasts_s.is_some() && !suspends) {
        let detail = "lasts_s is for a suspension: 1 second to 7 days";
        return Err(Problem::bad_request(detail));
    }
    let credential = parse(&shared, id)?;
    let held = shared.embedded.stored(credential.kind(), credential.id(), clock::now());
    let held = held.map_or(Status::Active, |stored| stored.status);
    let view = shared.data.look_up(&credential).await;
    let decided = !shared.board.decisions(1, |one| one.credential == credential).is_empty();
    // Where a thread stands still it is not known whether it is known; the order goes its way.
    let decided = decided || held != Status::Active;
    let known = if decided { Some(true) } else { view.as_ref().ok().map(Option::is_some) };
    if said.only_known && known == Some(false) {
        return Err(not_known(&credential));
    }
    let view = view.ok().flatten();
    let (mut cannot, mut open_findings) = (Vec::new(), Vec::new());
    if order == Order::Restore {
        let kind = credential.kind();
        let cant = |one: &&AuthStore| one.takes(&credential) && !one.can_restore(kind);
        cannot.extend(shared.stores.iter().filter(cant).map(|one| one.name().to_owned()));
        open_findings.extend(view.into_iter().flat_map(|view| view.open).map(|id| id.to_string()));
    }
    let order = PersonOrder {
        credential,
        order,
        by,
        account,
        reason,
        lasts_ms: said.lasts_s.map(|seconds| i64::from(seconds) * 1000),
        held,
    };
    let ordered = shared.control.order(order).await.map_err(Problem::from)?;
    let done = Done::settled(&shared, ordered).await;
    Ok(Json(Done { known, cannot, open_findings, ..done }))
}

fn not_known(credential: &Credential) -> Problem {
    let detail = format!(
        "nothing was ordered: no event named {credential} of late, and nothing was decided on it; if that is \
         its name, order it with --unknown (without `only_known`)"
    );
    Problem::new(StatusCode::CONFLICT, "it is not known", detail)
}

/// Waits until `/v1/check` obeys a decision; returns what could not be written to disk meanwhile.
async fn not_written(shared: &Shared, decision: &Decision) -> Vec<String> {
    let obeys = async {
        while !is_obeyed(shared, decision) {
            tokio::time::sleep(SETTLE_EVERY).await;
        }
    };
    if tokio::time::timeout(SETTLE_WAIT, obeys).await.is_err() {
        return vec![format!(
            "{EMBEDDED}: not within {} s; /v1/check may still follow what was in force before",
            SETTLE_WAIT.as_secs()
        )];
    }
    let fault = shared.embedded.fault();
    fault.into_iter().map(|fault| format!("{EMBEDDED}: {fault}")).collect()
}

/// Whether the store that `/v1/check` asks has the decision, or a newer one.
fn is_obeyed(shared: &Shared, decision: &Decision) -> bool {
    let (credential, store) = (&decision.credential, &shared.embedded);
    let held = store.held(credential.kind(), credential.id());
    let has_it = match (held, decision.order) {
        (Some(held), _) => held.generation >= decision.generation,
        // What is active is not in memory; the disk has it, or a fault.
        (None, Order::Restore) => store.fault().is_some(),
        (None, Order::Act(_)) => false,
    };
    has_it
        || shared
            .board
            .receipts(decision.id)
            .is_none_or(|answers| answers.get(EMBEDDED).is_some_and(|answer| answer.is_settled()))
}

/// Findings, newest first, of before the start too; of those that are open the most severe first.
#[utoipa::path(
    get, path = "/v1/findings", params(FindingsQuery),
    responses((status = 200, body = Vec<Object>), (status = 401, body = Problem))
)]
pub(super) async fn list_findings(
    axum::extract::State(shared): State,
    _reader: Reader,
    Query(wanted): Query<FindingsQuery>,
) -> Result<Json<Vec<FindingJson>>, Problem> {
    let credential = wanted.credential.as_deref().map(|id| parse(&shared, id)).transpose()?;
    let (only_open, most) = (wanted.open.unwrap_or(false), most(wanted.limit));
    let looked_at = if only_open { usize::MAX } else { most };
    let mut found = shared.board.findings(looked_at, |finding| {
        (!only_open || finding.closed.is_none())
            && credential.as_ref().is_none_or(|wanted| finding.credential == *wanted)
    });
    if only_open {
        // The most severe first: many small ones bury none.
        found.sort_by_key(|finding| std::cmp::Reverse((finding.action, finding.opened)));
        found.truncate(most);
    }
    // What is open is on the board.
    if !only_open && found.len() < most {
        let known: HashSet<FindingId> = found.iter().map(|finding| finding.id).collect();
        let of_before =
            from_archive(&shared, move |archive| archive.find(&Wanted { credential, most }));
        found.extend(of_before.await?.into_iter().filter(|finding| !known.contains(&finding.id)));
        found.sort_by_key(|finding| std::cmp::Reverse(finding.opened));
        found.truncate(most);
    }
    Ok(Json(found.into_iter().map(FindingJson).collect()))
}

/// Reads the archive away from the threads that answer.
async fn from_archive<T: Send + 'static>(
    shared: &Shared,
    look: impl FnOnce(&FindingArchive) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let archive = shared.archive.clone();
    let looked = tokio::task::spawn_blocking(move || look(&archive)).await;
    let detail = "findings of before can't be read; see the log";
    let failed = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not answered", detail);
    looked.map_err(|_| failed())?.map_err(|error| {
        tracing::error!(%error, "findings of before can't be read");
        failed()
    })
}

/// One finding.
#[utoipa::path(
    get, path = "/v1/findings/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem))
)]
pub(super) async fn show_finding(
    axum::extract::State(shared): State,
    _reader: Reader,
    Path(id): Path<String>,
) -> Result<Json<FindingJson>, Problem> {
    let id = FindingId::parse(&id);
    let found = match (id.and_then(|id| shared.board.finding(id)), id) {
        (None, Some(id)) => from_archive(&shared, move |archive| archive.one(id)).await?,
        (found, _) => found,
    };
    found.map(|finding| Json(FindingJson(finding))).ok_or_else(|| {
        let detail = "its id begins with f_; old ones are forgotten as [findings] says";
        Problem::new(StatusCode::NOT_FOUND, "there is no such finding", detail)
    })
}
