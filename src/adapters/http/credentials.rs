//! `/v1/credentials`: what operators read about credentials, and order.
#![expect(unused_qualifications, reason = "the macro of the routes writes them")]

use super::auth::{Operator, Reader};
use super::body::{Body, OrderBody, OrderReason};
use super::extract::{Path, Query};
use super::fleet::is_known_elsewhere;
use super::orders::{OrderResult, most, parse_credential};
use super::problem::Problem;
use crate::adapters::channels::{ControlPlane, DataPlane};
use crate::adapters::clock;
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::fleet::peers::Peers;
use crate::adapters::recent_events::RecentEvents;
use crate::adapters::watchlist::Watchlist;
use crate::control_plane::params::PersonOrder;
use crate::data_plane::partition_view::View;
use crate::formats::api::profile::CredentialJson;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, Order, Status};
use crate::model::finding::{Action, FindingId};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use hashbrown::{HashMap, HashSet};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::IntoParams;

/// The longest suspension that a person may order. Unit: seconds. Chosen: 7 days; beyond that it is
/// a revocation, which may need a second person.
const SUSPENSION_S_MAX: u32 = 7 * 86_400;

/// State of the handlers about credentials.
#[derive(Debug)]
pub struct CredentialsState {
    /// The channels to the data plane.
    pub data: DataPlane,
    /// The channel to the control plane.
    pub control: ControlPlane,
    /// Recent findings and decisions.
    pub recent: Arc<RecentEvents>,
    /// The store that `/v1/check` asks.
    pub embedded: EmbeddedStore,
    /// Where decisions are carried out.
    pub stores: Vec<AuthStore>,
    /// Leaks, which a restore withdraws.
    pub watchlist: Watchlist,
    /// Stands for secrets.
    pub fingerprints: Arc<Fingerprinter>,
    /// The other instances, which may know what this one does not.
    pub peers: Option<Arc<Peers>>,
}

/// Which credentials are wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct CredentialsQuery {
    /// Maximum number; default 100, at most 1000.
    limit: Option<usize>,
    /// Those alone that were seen lately from the network (/24 or /48) of this address, the newest first.
    #[param(value_type = Option<String>, example = "203.0.113.7")]
    from: Option<IpAddr>,
}

/// The busiest credentials of the last minute, and those out of service.
#[utoipa::path(
    get, path = "/v1/credentials", params(CredentialsQuery),
    responses((status = 200, body = Vec<CredentialJson>), (status = 401, body = Problem))
)]
pub(super) async fn list_credentials(
    State(state): State<Arc<CredentialsState>>,
    _reader: Reader,
    Query(wanted): Query<CredentialsQuery>,
) -> Json<Vec<CredentialJson>> {
    let most = most(wanted.limit);
    if let Some(address) = wanted.from {
        return Json(seen_from(&state, address, most).await);
    }
    let (busiest, gone) = (state.data.busiest(most).await, state.embedded.out_of_service(most));
    let views: HashMap<&Credential, &View> =
        busiest.iter().map(|view| (&view.credential, view)).collect();
    // Whether someone still tries is the first question about one that is out of service.
    let first = gone.iter().map(|one| (one, views.get(one).copied()));
    let is_gone: HashSet<&Credential> = gone.iter().collect();
    let others = busiest.iter().filter(|view| !is_gone.contains(&view.credential));
    let others = others.map(|view| (&view.credential, Some(view)));
    let shown: Vec<(&Credential, Option<&View>)> = first.chain(others).take(most).collect();
    let newest = state.recent.newest_about(shown.iter().map(|(credential, _)| *credential));
    let describe = |(credential, view): (&Credential, Option<&View>)| {
        describe(&state, credential, view, newest.get(credential))
    };
    Json(shown.into_iter().map(describe).collect())
}

/// Credentials that were seen lately from the network of an address.
async fn seen_from(state: &CredentialsState, address: IpAddr, most: usize) -> Vec<CredentialJson> {
    let mut described = Vec::new();
    for (credential, _) in state.data.seen_from(address).await.into_iter().take(most) {
        // A stalled thread is left out.
        let view = state.data.look_up(&credential).await.ok().flatten();
        let newest = state.recent.newest_about([&credential]);
        described.push(describe(state, &credential, view.as_ref(), newest.get(&credential)));
    }
    described
}

fn describe(
    state: &CredentialsState,
    credential: &Credential,
    view: Option<&View>,
    newest: Option<&Decision>,
) -> CredentialJson {
    let stored = state.embedded.stored(credential.kind(), credential.id(), clock::now());
    CredentialJson::new(credential, view, stored.map(|s| (s.status, s.until)), newest)
}

/// One credential: its windows next to what is usual, and the enforcement state about it.
#[utoipa::path(
    get, path = "/v1/credentials/{id}",
    params(("id" = String, Path, description = "kind:id, or the id of an API key")),
    responses((status = 200, body = CredentialJson), (status = 404, body = Problem))
)]
pub(super) async fn show_credential(
    State(state): State<Arc<CredentialsState>>,
    _reader: Reader,
    Path(id): Path<String>,
) -> Result<Json<CredentialJson>, Problem> {
    let credential = parse_credential(&state.fingerprints, &id)?;
    let view = state.data.look_up(&credential).await.map_err(|error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not known now", error.to_string())
    })?;
    let newest = state.recent.newest_about([&credential]);
    let described = describe(&state, &credential, view.as_ref(), newest.get(&credential));
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
    post, path = "/v1/credentials/{id}/suspend", request_body = OrderBody,
    params(("id" = String, Path)),
    responses((status = 200, body = OrderResult), (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem, description = "Something more severe is in force"))
)]
pub(super) async fn suspend(
    State(state): State<Arc<CredentialsState>>,
    operator: Operator,
    Path(id): Path<String>,
    Body(body): Body<OrderBody>,
) -> Result<Json<OrderResult>, Problem> {
    order(state, operator, &id, Order::Act(Action::Suspend), body).await
}

/// Takes a credential out of service for good.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/revoke", request_body = OrderBody,
    params(("id" = String, Path)),
    responses((status = 200, body = OrderResult), (status = 400, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn revoke(
    State(state): State<Arc<CredentialsState>>,
    operator: Operator,
    Path(id): Path<String>,
    Body(body): Body<OrderBody>,
) -> Result<Json<OrderResult>, Problem> {
    order(state, operator, &id, Order::Act(Action::Revoke), body).await
}

/// Puts a credential back into service.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/restore", request_body = OrderBody,
    params(("id" = String, Path)),
    responses((status = 200, body = OrderResult), (status = 400, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn restore(
    State(state): State<Arc<CredentialsState>>,
    operator: Operator,
    Path(id): Path<String>,
    Body(body): Body<OrderBody>,
) -> Result<Json<OrderResult>, Problem> {
    order(state, operator, &id, Order::Restore, body).await
}

async fn order(
    state: Arc<CredentialsState>,
    Operator { name, account }: Operator,
    id: &str,
    order: Order,
    body: OrderBody,
) -> Result<Json<OrderResult>, Problem> {
    let OrderReason { reason, by } = body.heard(&name, &state.fingerprints)?;
    let lasts = body.lasts_s.is_none_or(|seconds| (1..=SUSPENSION_S_MAX).contains(&seconds));
    let suspends = order == Order::Act(Action::Suspend);
    if !lasts || (body.lasts_s.is_some() && !suspends) {
        let detail = "lasts_s is for a suspension: 1 second to 7 days";
        return Err(Problem::bad_request(detail));
    }
    let credential = parse_credential(&state.fingerprints, id)?;
    let held = state.embedded.stored(credential.kind(), credential.id(), clock::now());
    let held = held.map_or(Status::Active, |stored| stored.status);
    let view = state.data.look_up(&credential).await;
    let decided = !state.recent.decisions(1, |one| one.credential == credential).is_empty();
    // Where a thread stalls it is not known whether it is known; the order goes its way.
    let decided = decided || held != Status::Active;
    let mut known = if decided { Some(true) } else { view.as_ref().ok().map(Option::is_some) };
    if body.only_known && known == Some(false) {
        let elsewhere = is_known_elsewhere(state.peers.as_deref(), &credential).await;
        if elsewhere != Ok(true) {
            return Err(not_known(&credential, elsewhere.err()));
        }
        known = Some(true);
    }
    let view = view.ok().flatten();
    let (mut cannot, mut open_findings, mut leak_withdrawn) = (Vec::new(), Vec::new(), false);
    if order == Order::Restore {
        let kind = credential.kind();
        let cant = |one: &&AuthStore| one.takes(&credential) && !one.can_restore(kind);
        cannot.extend(state.stores.iter().filter(cant).map(|one| one.name().to_owned()));
        // Those that state a fact close as it is restored.
        let goes_on = |id: &FindingId| {
            state.recent.finding(*id).is_none_or(|finding| !finding.detector.is_proof())
        };
        let open = view.into_iter().flat_map(|view| view.open).filter(goes_on);
        open_findings.extend(open.map(|id| id.to_string()));
        leak_withdrawn = state.watchlist.withdraw_leak(credential.clone()).await?;
    }
    let order = PersonOrder {
        credential,
        order,
        by,
        account,
        reason,
        lasts_ms: body.lasts_s.map(|seconds| i64::from(seconds) * 1000),
        held,
    };
    let ordered = state.control.order(order).await.map_err(Problem::from)?;
    let done = OrderResult::settled((&state.embedded, &state.stores), &state.recent, ordered).await;
    Ok(Json(OrderResult { known, cannot, leak_withdrawn, open_findings, ..done }))
}

fn not_known(credential: &Credential, missing: Option<String>) -> Problem {
    let missing =
        missing.map(|missing| format!(", as far as the instances that answered know; {missing}"));
    let detail = format!(
        "nothing was ordered: no event named {credential} of late, and nothing was decided on it{}; if that is \
         its name, order it with `--unknown` of the command line, or without `only_known` of the API",
        missing.unwrap_or_default()
    );
    Problem::new(StatusCode::CONFLICT, "it is not known", detail)
}
