//! The HTTP API: events in, answers to gateways, and what people read and order.

use super::auth::Access;
use super::canaries::CanariesState;
use super::changes::ChangesState;
use super::check::CheckState;
use super::credentials::CredentialsState;
use super::decisions::DecisionsState;
use super::events::IngestState;
use super::findings::FindingsState;
use super::health::HealthState;
use super::leaks::LeakState;
use super::reload::Reloads;
use super::status::StatusState;
use super::stream::StreamState;
use crate::adapters::channels::ControlPlane;
use crate::adapters::console;
use crate::adapters::fleet::peers::Peers;
use crate::formats::outbound::security_event::JwkSet;
use axum::Router;
use axum::extract::FromRef;
use axum::http::header::AUTHORIZATION;
use axum::routing::{MethodFilter, any, on};
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The methods with which a gateway may ask besides GET and HEAD.
const METHODS_BESIDE_GET: MethodFilter = MethodFilter::POST
    .or(MethodFilter::PUT)
    .or(MethodFilter::PATCH)
    .or(MethodFilter::DELETE)
    .or(MethodFilter::OPTIONS);

/// How long a request may take; streams are not bound by it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The state of each handler.
#[derive(Debug)]
pub struct Api {
    /// The access rules.
    pub access: Access,
    /// Of what is answered for all instances.
    pub peers: Option<Arc<Peers>>,
    /// Of `/v1/events` and `/v1/sources`.
    pub ingest: Arc<IngestState>,
    /// Of `/v1/check`.
    pub check: Arc<CheckState>,
    /// Of `/v1/changes`.
    pub changes: Arc<ChangesState>,
    /// Of `/v1/credentials`.
    pub credentials: Arc<CredentialsState>,
    /// Of `/v1/canaries`.
    pub canaries: Arc<CanariesState>,
    /// Of `/v1/findings`.
    pub findings: Arc<FindingsState>,
    /// Of `/v1/decisions` and `/v1/approvals`.
    pub decisions: Arc<DecisionsState>,
    /// Of `/v1/stream`.
    pub stream: Arc<StreamState>,
    /// Of `/v1/status`.
    pub status: Arc<StatusState>,
    /// Of `/readyz` and `/metrics`.
    pub health: Arc<HealthState>,
    /// Of `/v1/budget` and `/v1/tenants`.
    pub control: ControlPlane,
    /// Of `/v1/reload`.
    pub reloads: Reloads,
    /// Of `/v1/leaks` and `/v1/revoke_tokens`.
    pub leaks: Arc<LeakState>,
    /// Of `/.well-known/jwks.json`.
    pub keys: Arc<JwkSet>,
}

/// The states behind one pointer: axum clones it several times a request.
#[derive(Clone, Debug)]
struct States(Arc<Api>);

macro_rules! parts {
    ($($part:ident: $type:ty),*) => {
        $(impl FromRef<States> for $type {
            fn from_ref(States(api): &States) -> Self {
                api.$part.clone()
            }
        })*
    };
}
parts!(
    access: Access, ingest: Arc<IngestState>, check: Arc<CheckState>, changes: Arc<ChangesState>,
    credentials: Arc<CredentialsState>, findings: Arc<FindingsState>,
    decisions: Arc<DecisionsState>, stream: Arc<StreamState>, status: Arc<StatusState>,
    canaries: Arc<CanariesState>, health: Arc<HealthState>, control: ControlPlane, reloads: Reloads,
    leaks: Arc<LeakState>, keys: Arc<JwkSet>
);

#[derive(OpenApi)]
#[openapi(info(
    title = "tripline",
    description = "Watches how every API key, token and session is used, and takes abused ones out of service."
))]
struct Document;

fn open_api_router() -> OpenApiRouter<States> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(super::events::post_events))
        .routes(routes!(super::events::post_source_events))
        .routes(routes!(super::events::post_otlp_logs))
        .routes(routes!(super::check::get_check))
        .routes(routes!(super::changes::get_changes))
        .routes(routes!(super::credentials::list_credentials))
        .routes(routes!(super::credentials::show_credential))
        .routes(routes!(super::credentials::suspend))
        .routes(routes!(super::credentials::revoke))
        .routes(routes!(super::credentials::restore))
        .routes(routes!(super::audit::audit_expiry))
        .routes(routes!(super::canaries::list_canaries))
        .routes(routes!(super::canaries::add_canary))
        .routes(routes!(super::canaries::remove_canary))
        .routes(routes!(super::findings::list_findings))
        .routes(routes!(super::findings::show_finding))
        .routes(routes!(super::decisions::list_decisions))
        .routes(routes!(super::decisions::show_decision))
        .routes(routes!(super::decisions::list_approvals))
        .routes(routes!(super::decisions::approve))
        .routes(routes!(super::decisions::reject))
        .routes(routes!(super::budget::show_budget))
        .routes(routes!(super::tenants::list_tenants))
        .routes(routes!(super::status::status))
        .routes(routes!(super::reload::reload))
        .routes(routes!(super::leaks::post_github))
        .routes(routes!(super::leaks::revocable_token_types))
        .routes(routes!(super::leaks::revoke_tokens))
        .routes(routes!(super::leaks::post_leaks))
        .routes(routes!(super::leaks::post_self))
        .routes(routes!(super::jwks::jwks))
        .routes(routes!(super::health::metrics))
        .routes(routes!(super::health::livez))
        .routes(routes!(super::health::readyz))
}

/// Streams, which go on until the listener leaves: no time bounds them.
fn streams_router() -> OpenApiRouter<States> {
    OpenApiRouter::new().routes(routes!(super::stream::stream))
}

/// The description of the API, as JSON.
pub fn open_api() -> String {
    let all = open_api_router().merge(streams_router());
    let described = serde_json::to_value(all.into_openapi()).map(super::openapi::complete);
    described.and_then(|json| serde_json::to_string_pretty(&json)).unwrap_or_default()
}

/// All routes.
pub fn router(api: Api) -> Router {
    let document: Arc<str> = open_api().into();
    let (bounded, _) = open_api_router().split_for_parts();
    let (streams, _) = streams_router().split_for_parts();
    let for_all = axum::middleware::from_fn_with_state(
        (api.peers.clone(), Arc::clone(&api.access.fingerprints)),
        super::fleet::answer_for_all,
    );
    let timeout =
        TimeoutLayer::with_status_code(axum::http::StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT);
    let description = move || async move {
        ([(axum::http::header::CONTENT_TYPE, "application/json")], document.to_string())
    };
    bounded
        .layer(for_all)
        .layer(timeout)
        .merge(streams)
        .merge(console::router())
        // Envoy asks with the method of the request, and appends its path.
        .route("/v1/check", on(METHODS_BESIDE_GET, super::check::get_check))
        .route("/v1/check/", any(super::check::get_check))
        .route("/v1/check/{*path}", any(super::check::get_check))
        .route("/openapi.json", axum::routing::get(description))
        .fallback(super::problem::not_found)
        .method_not_allowed_fallback(super::problem::method_not_allowed)
        .layer(CatchPanicLayer::new())
        .layer(SetSensitiveRequestHeadersLayer::new([
            AUTHORIZATION,
            axum::http::HeaderName::from_static(super::auth::FIREHOSE_KEY),
        ]))
        .with_state(States(Arc::new(api)))
}
