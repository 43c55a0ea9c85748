//! The HTTP door: events in, answers to gateways, and what people read and order.

pub mod auth;
mod body;
mod budget;
pub mod changes;
mod check;
mod decisions;
pub mod decoding;
mod document;
mod events;
mod extract;
mod health;
mod keys;
pub mod local;
mod people;
mod problem;
pub mod reload;
pub mod serve;
pub mod status;
mod stream;
mod tenants;

use crate::edge::auth_store::AuthStore;
use crate::edge::auth_store::embedded::EmbeddedStore;
use crate::edge::board::Board;
use crate::edge::console;
use crate::edge::dead_letter::DeadLetters;
use crate::edge::finding_archive::FindingArchive;
use crate::edge::intake::Intake;
use crate::edge::journal::History;
use crate::edge::metrics::Metrics;
use crate::edge::planes::{ControlPlane, DataPlane};
use crate::edge::vitals;
use crate::engine::batch::HashSeed;
use crate::judge::breaker;
use crate::model::decision::Posture;
use crate::model::time::EventTime;
use crate::wire::decoder::Decoder;
use crate::wire::secret::Fingerprinter;
use auth::Tokens;
use axum::Router;
use axum::http::header::AUTHORIZATION;
use axum::routing::{MethodFilter, any, on};
use jsonwebtoken::jwk::JwkSet;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
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

/// What the handlers share.
#[derive(Debug)]
pub struct Shared {
    /// The ways to the data plane.
    pub data: DataPlane,
    /// The way in for events.
    pub intake: Intake,
    /// The way to the control plane.
    pub control: ControlPlane,
    /// Recent findings and decisions.
    pub board: Arc<Board>,
    /// Findings of before.
    pub archive: FindingArchive,
    /// All decisions of the journal.
    pub history: History,
    /// What stands about credentials.
    pub embedded: EmbeddedStore,
    /// Where decisions are carried out.
    pub stores: Vec<AuthStore>,
    /// Counters.
    pub metrics: Metrics,
    /// What stands for secrets.
    pub fingerprints: Arc<Fingerprinter>,
    /// How events are read.
    pub decoder: Decoder,
    /// Who may do what.
    pub tokens: Arc<Tokens>,
    /// The hash seed of the data plane.
    pub seed: HashSeed,
    /// The largest body. Unit: bytes.
    pub body_bytes_max: usize,
    /// Where the places of refused events go.
    pub dead_letters: Arc<DeadLetters>,
    /// Whether the journal can be written.
    pub durable: Arc<AtomicBool>,
    /// Whether tripline is stopping.
    pub stopping: Arc<AtomicBool>,
    /// The public keys of those who sign what stores are told.
    pub keys: JwkSet,
    /// Who may still listen to changes.
    pub listeners: changes::Listeners,
    /// Where bodies are decoded, and what each sender may still waste.
    pub decoding: decoding::Decoding,
    /// What `/v1/status` says of the settings.
    pub about: Arc<RwLock<About>>,
    /// How the daemon did recently.
    pub vitals: Mutex<vitals::Recent>,
    /// The way to the task that reloads the configuration.
    pub reloads: reload::Reloads,
    /// Requests with events since the start.
    pub requests: AtomicU64,
}

/// What people are told of the settings.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The default posture.
    pub posture: Posture,
    /// What credentials may take in memory. Unit: bytes.
    pub memory_bytes_max: usize,
    /// How often each partition gets a checkpoint. Unit: milliseconds.
    pub checkpoint_every_ms: i64,
    /// How many revocations the breaker lets through.
    pub breaker: breaker::Params,
    /// Whether events are read from Kafka.
    pub reads_kafka: bool,
    /// How far ahead of the clock an event may be. Unit: milliseconds.
    pub skew_ms_max: i64,
    /// When the daemon started.
    pub started: EventTime,
    /// Since when the configuration holds as a whole.
    pub configured: EventTime,
}

type State = axum::extract::State<Arc<Shared>>;

#[derive(OpenApi)]
#[openapi(info(
    title = "tripline",
    description = "Watches how every API key, token and session is used, and takes abused ones out of service."
))]
struct Document;

fn open_api_router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(events::post_events))
        .routes(routes!(check::get_check))
        .routes(routes!(changes::get_changes))
        .routes(routes!(people::list_credentials))
        .routes(routes!(people::show_credential))
        .routes(routes!(people::suspend))
        .routes(routes!(people::revoke))
        .routes(routes!(people::restore))
        .routes(routes!(people::list_findings))
        .routes(routes!(people::show_finding))
        .routes(routes!(decisions::list_decisions))
        .routes(routes!(decisions::show_decision))
        .routes(routes!(decisions::list_approvals))
        .routes(routes!(decisions::approve))
        .routes(routes!(decisions::reject))
        .routes(routes!(budget::show_budget))
        .routes(routes!(tenants::list_tenants))
        .routes(routes!(status::status))
        .routes(routes!(reload::reload))
        .routes(routes!(keys::jwks))
        .routes(routes!(health::metrics))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
}

/// What goes on until the listener leaves: no time bounds it.
fn streams_router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(stream::stream))
}

/// The description of the API, as JSON.
pub fn open_api() -> String {
    let all = open_api_router().merge(streams_router());
    let described = serde_json::to_value(all.into_openapi()).map(document::complete);
    described.and_then(|json| serde_json::to_string_pretty(&json)).unwrap_or_default()
}

/// All routes.
pub fn router(shared: Arc<Shared>) -> Router {
    let document: Arc<str> = open_api().into();
    let (bounded, _) = open_api_router().split_for_parts();
    let (streams, _) = streams_router().split_for_parts();
    let timeout =
        TimeoutLayer::with_status_code(axum::http::StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT);
    let description = move || async move {
        ([(axum::http::header::CONTENT_TYPE, "application/json")], document.to_string())
    };
    bounded
        .layer(timeout)
        .merge(streams)
        .merge(console::router())
        // Envoy asks with the method of the request, and appends its path.
        .route("/v1/check", on(METHODS_BESIDE_GET, check::get_check))
        .route("/v1/check/", any(check::get_check))
        .route("/v1/check/{*path}", any(check::get_check))
        .route("/openapi.json", axum::routing::get(description))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(CatchPanicLayer::new())
        .layer(SetSensitiveRequestHeadersLayer::new([AUTHORIZATION]))
        .with_state(shared)
}
