//! Decisions, and those that wait for approval.
#![expect(unused_qualifications, reason = "the macro of the routes writes them")]

use super::auth::{Operator, Reader};
use super::body::{Body, OrderBody, OrderReason};
use super::extract::{Path, Query};
use super::orders::{OrderResult, most, parse_credential};
use super::problem::Problem;
use crate::adapters::channels::ControlPlane;
use crate::adapters::clock;
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::journal::history::History;
use crate::adapters::recent_events::RecentEvents;
use crate::control_plane::approvals::PendingApproval;
use crate::formats::api::decision::DecisionJson;
use crate::formats::api::schema::one_of;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, DecisionId, Receipt, Vote};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::openapi::schema::{Object, ObjectBuilder};
use utoipa::{IntoParams, ToSchema};

/// Stands for the answer of a store that has not answered yet.
const WAITING: &str = "waiting";

/// State of the handlers about decisions and approvals.
#[derive(Debug)]
pub struct DecisionsState {
    /// The channel to the control plane.
    pub control: ControlPlane,
    /// Recent findings and decisions.
    pub recent: Arc<RecentEvents>,
    /// All decisions of the journal.
    pub history: History,
    /// The store that `/v1/check` asks.
    pub embedded: EmbeddedStore,
    /// Where decisions are carried out.
    pub stores: Vec<AuthStore>,
    /// Stands for secrets.
    pub fingerprints: Arc<Fingerprinter>,
}

/// Which decisions are wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct DecisionsQuery {
    /// Maximum number; default 100, at most 1000.
    limit: Option<usize>,
    /// Only those about this credential, `kind:id` or the id of an API key.
    credential: Option<String>,
}

/// Decisions, newest first: of one credential all that the journal has, otherwise the newest.
#[utoipa::path(
    get, path = "/v1/decisions", params(DecisionsQuery),
    responses((status = 200, body = Vec<DecisionAnswer>), (status = 401, body = Problem))
)]
pub(super) async fn list_decisions(
    State(state): State<Arc<DecisionsState>>,
    _reader: Reader,
    Query(wanted): Query<DecisionsQuery>,
) -> Result<Json<Vec<DecisionAnswer>>, Problem> {
    let most = most(wanted.limit);
    let found = match wanted
        .credential
        .as_deref()
        .map(|id| parse_credential(&state.fingerprints, id))
        .transpose()?
    {
        Some(credential) => decisions_of(state.history.clone(), credential, most).await?,
        None => state.recent.decisions(most, |_| true),
    };
    Ok(Json(found.into_iter().map(|decision| DecisionAnswer::new(&state, decision)).collect()))
}

/// A decision, and how far the stores are with it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DecisionAtStores)]
pub(super) struct DecisionAnswer {
    #[serde(flatten)]
    decision: DecisionJson,
    /// The answer of each store, or `waiting`; left out of old decisions and those that no store
    /// reported of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, schema_with = receipts_schema)]
    stores: Option<BTreeMap<String, &'static str>>,
}

/// The answers by store.
fn receipts_schema() -> Object {
    let words = Receipt::ALL.map(Receipt::as_str).into_iter().chain([WAITING]);
    let answer = one_of("The answer of the store; `waiting`: it is due.", words);
    let description = "The answer of each store that takes the credential, by its name; absent of old \
         decisions and of those that are not carried out.";
    let map = ObjectBuilder::new().additional_properties(Some(answer));
    map.description(Some(description)).build()
}

impl DecisionAnswer {
    fn new(state: &DecisionsState, decision: Decision) -> Self {
        // One that is followed is delivered to the others by the instance that made it.
        let is_told = |store: &&AuthStore| {
            store.takes(&decision.credential) && (store.is_local() || decision.origin.is_none())
        };
        let told = state.stores.iter().filter(is_told);
        let receipts = state.recent.receipts(decision.id).filter(|_| decision.carried_out);
        let stores = receipts.map(|receipts| {
            let answered = |name: &str| receipts.get(name).map_or(WAITING, |one| one.as_str());
            told.map(|store| (store.name().to_owned(), answered(store.name()))).collect()
        });
        Self { decision: DecisionJson(decision), stores }
    }
}

async fn decisions_of(
    history: History,
    credential: Credential,
    most: usize,
) -> Result<Vec<Decision>, Problem> {
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    read(move || history.of(&credential, most)).await
}

/// Reads the journal away from the threads that answer.
async fn read<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, crate::adapters::journal::error::JournalError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(look).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::error!(%error, "the journal can't be read");
            Err(unreadable())
        }
        Err(_) => Err(unreadable()),
    }
}

fn unreadable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the journal can't be read",
        "see the log; `tripline journal verify` says what is wrong with it",
    )
}

/// One decision, however old.
#[utoipa::path(
    get, path = "/v1/decisions/{id}", params(("id" = String, Path)),
    responses((status = 200, body = DecisionAnswer), (status = 404, body = Problem))
)]
pub(super) async fn show_decision(
    State(state): State<Arc<DecisionsState>>,
    _reader: Reader,
    Path(id): Path<String>,
) -> Result<Json<DecisionAnswer>, Problem> {
    let id = DecisionId::parse(&id).ok_or_else(no_decision)?;
    let history = state.history.clone();
    let found = read(move || history.decision(id)).await?;
    found.map(|decision| Json(DecisionAnswer::new(&state, decision))).ok_or_else(no_decision)
}

fn no_decision() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such decision", "its id begins with d_")
}

/// A revocation that waits for people.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingApproval)]
pub(super) struct PendingApprovalJson {
    /// The decision made meanwhile.
    decision: DecisionJson,
    /// Until when people may say yes or no.
    #[schema(format = DateTime)]
    until: String,
    /// The names of those who agreed and may operate now.
    agreed: Vec<String>,
    /// How many more have to.
    missing: u8,
}

impl From<PendingApproval> for PendingApprovalJson {
    fn from(waiting: PendingApproval) -> Self {
        Self {
            until: waiting.until.to_string(),
            missing: waiting.missing(),
            agreed: waiting.agreed.iter().map(|(_, by)| by.to_string()).collect(),
            decision: DecisionJson(waiting.decision),
        }
    }
}

/// The revocations that wait for people, the most urgent first.
#[utoipa::path(
    get, path = "/v1/approvals",
    responses((status = 200, body = Vec<PendingApprovalJson>), (status = 401, body = Problem))
)]
pub(super) async fn list_approvals(
    State(state): State<Arc<DecisionsState>>,
    _reader: Reader,
) -> Json<Vec<PendingApprovalJson>> {
    let waiting = state.control.waiting().await.unwrap_or_default();
    Json(waiting.into_iter().map(PendingApprovalJson::from).collect())
}

/// Says yes to a revocation that waits for people.
#[utoipa::path(
    post, path = "/v1/decisions/{id}/approve", request_body = OrderBody,
    params(("id" = String, Path)),
    responses((status = 200, body = OrderResult), (status = 404, body = Problem), (status = 409, body = Problem))
)]
pub(super) async fn approve(
    State(state): State<Arc<DecisionsState>>,
    operator: Operator,
    Path(id): Path<String>,
    Body(body): Body<OrderBody>,
) -> Result<Json<OrderResult>, Problem> {
    vote(state, operator, &id, true, &body).await
}

/// Says no to a revocation that waits for people: the suspension ends by itself.
#[utoipa::path(
    post, path = "/v1/decisions/{id}/reject", request_body = OrderBody,
    params(("id" = String, Path)),
    responses((status = 200, body = OrderResult), (status = 404, body = Problem), (status = 409, body = Problem))
)]
pub(super) async fn reject(
    State(state): State<Arc<DecisionsState>>,
    operator: Operator,
    Path(id): Path<String>,
    Body(body): Body<OrderBody>,
) -> Result<Json<OrderResult>, Problem> {
    vote(state, operator, &id, false, &body).await
}

async fn vote(
    state: Arc<DecisionsState>,
    Operator { name, account }: Operator,
    id: &str,
    agrees: bool,
    body: &OrderBody,
) -> Result<Json<OrderResult>, Problem> {
    let OrderReason { reason, by } = body.heard(&name, &state.fingerprints)?;
    let decision = DecisionId::parse(id).ok_or_else(no_decision)?;
    let vote = Vote { decision, agrees, account, by, reason, at: clock::now() };
    match state.control.vote(vote).await {
        Ok(ordered) => Ok(Json(
            OrderResult::settled((&state.embedded, &state.stores), &state.recent, ordered).await,
        )),
        Err(error) => Err(error.into()),
    }
}
