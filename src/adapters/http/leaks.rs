//! `POST /v1/leaks/…`, `/v1/revoke_tokens`: reports of leaked secrets, from who can prove who they are.
//!
//! A body is verified before it is parsed, and no answer or log line holds anything of it. Each endpoint is there
//! where its table is configured.

use super::auth::bearer;
use super::problem::Problem;
use super::remote_address::RemoteAddress;
use crate::adapters::clock;
use crate::adapters::egress::Egress;
use crate::adapters::leaks::desk::{LeakDesk, LeakError};
use crate::adapters::leaks::keys::{GithubKeys, KeyFound};
use crate::adapters::leaks::metrics::{LeakMetrics, Reporter};
use crate::adapters::leaks::params::Params;
use crate::adapters::leaks::rate_window::RateWindow;
use crate::adapters::leaks::replay_guard::{Refused, ReplayGuard};
use crate::formats::leaks::github::{self, Feedback};
use crate::formats::leaks::gitlab::{self, RevocableTypes};
use crate::formats::leaks::report::{LeakReport, ReportError};
use crate::formats::leaks::scanners;
use crate::formats::outbound::standard_webhook::Signer;
use crate::model::leak::LeakOutcome;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

/// The largest body. Unit: bytes. Chosen: a thousand reports of a kilobyte.
const BODY_BYTES_MAX: usize = 1 << 20;
/// When to send again what could not be verified or looked up. Chosen: keys are fetched once a minute.
const AGAIN: Duration = Duration::from_secs(59);

/// State of the handlers of reports.
#[derive(Debug)]
pub struct LeakState {
    desk: Arc<LeakDesk>,
    github: Option<GithubKeys>,
    gitlab: Option<Gitlab>,
    webhook: Option<(Signer, ReplayGuard)>,
    self_service: Option<RateWindow>,
    metrics: LeakMetrics,
}

/// GitLab as a reporter.
#[derive(Debug)]
struct Gitlab {
    digest: [u8; 32],
    types: Vec<String>,
}

impl LeakState {
    /// The endpoints that are configured.
    pub fn new(params: Params, desk: LeakDesk, egress: Egress, metrics: LeakMetrics) -> Self {
        let gitlab = params.gitlab.map(|gitlab| Gitlab {
            digest: Sha256::digest(gitlab.token.expose_secret().as_bytes()).into(),
            types: gitlab.types,
        });
        Self {
            desk: Arc::new(desk),
            github: params.github.map(|source| GithubKeys::new(source, egress)),
            gitlab,
            webhook: params.webhook.map(|signer| (signer, ReplayGuard::default())),
            self_service: params.self_service.map(RateWindow::new),
            metrics,
        }
    }

    /// Hands over reports.
    async fn report(
        &self,
        reporter: Reporter,
        reports: Vec<LeakReport>,
    ) -> Result<Vec<LeakOutcome>, Problem> {
        let outcomes = self
            .desk
            .report(reports, reporter.as_str())
            .await
            .map_err(|error| not_taken(&error))?;
        self.metrics.count(reporter, &outcomes);
        Ok(outcomes)
    }

    /// The answer; a request that was refused is counted.
    fn answer<T: IntoResponse>(&self, reporter: Reporter, answer: Result<T, Problem>) -> Response {
        if answer.is_err() {
            self.metrics.count_refused(reporter);
        }
        answer.map_or_else(Problem::into_response, T::into_response)
    }
}

/// The result of a signed report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LeakAnswer {
    /// Secrets of credentials that tripline knows.
    known: usize,
    /// Secrets of none.
    unknown: usize,
}

/// The answer to a holder of a secret, whatever became of the report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SelfReportAnswer {
    /// Always true: the report is looked into.
    accepted: bool,
}

/// Takes reports of GitHub's secret scanning for partners.
#[utoipa::path(
    post, path = "/v1/leaks/github",
    params(
        ("Github-Public-Key-Identifier" = String, Header, description = "The key of the signature"),
        ("Github-Public-Key-Signature" = String, Header, description =
            "ECDSA (P-256, SHA-256) of the body as it is sent; base64 of DER"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description =
        "An array of objects with `token`, `type`, `url` and `source`"),
    responses(
        (status = 200, body = Vec<Feedback>, description = "Whether each is the token of a credential"),
        (status = 403, body = Problem, description = "The signature is not GitHub's"),
        (status = 404, body = Problem, description = "There is no [leaks.github]"),
    )
)]
pub(super) async fn post_github(State(state): State<Arc<LeakState>>, request: Request) -> Response {
    let Some(keys) = &state.github else { return not_configured("github").into_response() };
    let answer = github_report(&state, keys, request).await.map(Json);
    state.answer(Reporter::Github, answer)
}

async fn github_report(
    state: &LeakState,
    keys: &GithubKeys,
    request: Request,
) -> Result<Vec<Feedback>, Problem> {
    let (parts, body) = request.into_parts();
    let identifier = text(&parts.headers, "github-public-key-identifier");
    let signature = text(&parts.headers, "github-public-key-signature");
    if !github::is_identifier(identifier) || signature.is_empty() {
        return Err(not_signed());
    }
    let body = whole(&parts.headers, body).await?;
    let key = match keys.find(identifier, clock::since_boot_ms()).await {
        KeyFound::Key(key) => key,
        KeyFound::Unknown => return Err(not_signed()),
        KeyFound::Unavailable => {
            return Err(again("the keys of GitHub are not to be had now", "send it again later"));
        }
    };
    if !key.verifies(signature, &body) {
        return Err(not_signed());
    }
    let (known, reports): (Vec<_>, Vec<_>) = github::parse(&body)
        .map_err(no_report)?
        .into_iter()
        .map(github::GithubReport::split)
        .unzip();
    let outcomes = state.report(Reporter::Github, reports).await?;
    let answers = known.into_iter().zip(outcomes);
    Ok(answers.map(|(known, outcome)| known.label(outcome == LeakOutcome::Known)).collect())
}

/// Lists the types of tokens that GitLab may send.
#[utoipa::path(
    get, path = "/v1/revocable_token_types",
    responses(
        (status = 200, body = RevocableTypes, description = "Those of [leaks.gitlab] types"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "There is no [leaks.gitlab]"),
    )
)]
pub(super) async fn revocable_token_types(
    State(state): State<Arc<LeakState>>,
    headers: HeaderMap,
) -> Result<Json<RevocableTypes>, Problem> {
    let gitlab = state.gitlab.as_ref().ok_or_else(|| not_configured("gitlab"))?;
    gitlab.admit(&headers)?;
    Ok(Json(RevocableTypes { types: gitlab.types.clone() }))
}

/// Takes tokens that GitLab found, to be revoked.
#[utoipa::path(
    post, path = "/v1/revoke_tokens",
    request_body(content = serde_json::Value, content_type = "application/json", description =
        "An array of objects with `type`, `token` and `location`"),
    responses(
        (status = 204, description = "All were accepted"),
        (status = 400, body = Problem, description = "No such array, or a type that is not revocable"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "There is no [leaks.gitlab]"),
    )
)]
pub(super) async fn revoke_tokens(
    State(state): State<Arc<LeakState>>,
    request: Request,
) -> Response {
    let Some(gitlab) = &state.gitlab else { return not_configured("gitlab").into_response() };
    let answer = gitlab_report(&state, gitlab, request).await.map(|()| StatusCode::NO_CONTENT);
    state.answer(Reporter::Gitlab, answer)
}

async fn gitlab_report(
    state: &LeakState,
    gitlab: &Gitlab,
    request: Request,
) -> Result<(), Problem> {
    let (parts, body) = request.into_parts();
    gitlab.admit(&parts.headers)?;
    let body = whole(&parts.headers, body).await?;
    let reports = gitlab::parse(&body, &gitlab.types).map_err(no_report)?;
    state.report(Reporter::Gitlab, reports).await.map(|_| ())
}

impl Gitlab {
    /// Authorizes who shows the token: GitLab sends it without a scheme.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let value = headers.get(AUTHORIZATION);
        let plain = value.and_then(|value| value.to_str().ok()).map(str::trim);
        let shown = value.and_then(bearer).or(plain).unwrap_or("");
        let digest: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        if bool::from(self.digest.ct_eq(&digest)) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "no known token",
            "send the token of [leaks.gitlab] token_file as `Authorization`",
        ))
    }
}

/// Takes the report of a scanner, signed by Standard Webhooks.
#[utoipa::path(
    post, path = "/v1/leaks",
    params(
        ("webhook-id" = String, Header, description = "Names the message; one that was taken is refused"),
        ("webhook-timestamp" = String, Header, description = "Seconds since 1970, five minutes off at most"),
        ("webhook-signature" = String, Header, description = "`v1,` and HMAC-SHA256 in base64"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description =
        "A report of gitleaks or TruffleHog, or objects with `token`, `place` and `type`"),
    responses(
        (status = 200, body = LeakAnswer),
        (status = 403, body = Problem, description = "The signature or the time is wrong"),
        (status = 404, body = Problem, description = "There is no [leaks.webhook]"),
        (status = 409, body = Problem, description = "The message was taken before"),
    )
)]
pub(super) async fn post_leaks(State(state): State<Arc<LeakState>>, request: Request) -> Response {
    let Some(webhook) = &state.webhook else { return not_configured("webhook").into_response() };
    let answer = webhook_report(&state, webhook, request).await.map(Json);
    state.answer(Reporter::Webhook, answer)
}

async fn webhook_report(
    state: &LeakState,
    (signer, guard): &(Signer, ReplayGuard),
    request: Request,
) -> Result<LeakAnswer, Problem> {
    let (parts, body) = request.into_parts();
    let [id, sent, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| text(&parts.headers, name));
    let sent_s: i64 = sent.parse().map_err(|_| not_signed())?;
    let now_s = clock::now().ms().div_euclid(1000);
    ReplayGuard::check_time(sent_s, now_s).map_err(not_admitted)?;
    let body = whole(&parts.headers, body).await?;
    // The time is signed as it is written: `+7` is not what was signed as `7`.
    if sent_s.to_string() != sent || !signer.verifies(signature, id, sent_s, &body) {
        return Err(not_signed());
    }
    // Forgotten where the report is not taken, or the request ends before that.
    let admission = guard.admit(id, sent_s, now_s).map_err(not_admitted)?;
    let reports = scanners::parse(&body).map_err(no_report)?;
    let outcomes = state.report(Reporter::Webhook, reports).await?;
    admission.keep();
    let known = outcomes.iter().filter(|outcome| **outcome == LeakOutcome::Known).count();
    Ok(LeakAnswer { known, unknown: outcomes.len() - known })
}

/// Takes the report of a holder of a secret, who proves it by the secret. The answer is the same whether
/// tripline knows it or not, and does not wait for that.
#[utoipa::path(
    post, path = "/v1/leaks/self",
    request_body(content = serde_json::Value, content_type = "application/json", description =
        "An object with `token`, and `place` where it was found"),
    responses(
        (status = 202, body = SelfReportAnswer),
        (status = 404, body = Problem, description = "There is no [leaks.self_service]"),
        (status = 429, body = Problem, description = "Too many reports; nothing was taken"),
    )
)]
pub(super) async fn post_self(
    State(state): State<Arc<LeakState>>,
    address: RemoteAddress,
    request: Request,
) -> Response {
    if state.self_service.is_none() {
        return not_configured("self_service").into_response();
    }
    let answer = self_report(&state, address, request).await;
    state.answer(Reporter::Holder, answer)
}

async fn self_report(
    state: &Arc<LeakState>,
    RemoteAddress(address): RemoteAddress,
    request: Request,
) -> Result<(StatusCode, Json<SelfReportAnswer>), Problem> {
    let window = state.self_service.as_ref().ok_or_else(|| not_configured("self_service"))?;
    let (parts, body) = request.into_parts();
    // A page of another site can't send this type without asking.
    if !text(&parts.headers, CONTENT_TYPE.as_str()).starts_with("application/json") {
        let detail = "send Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is no JSON", detail));
    }
    window.try_acquire(address, clock::since_boot_ms()).map_err(|wait| {
        let detail = "nothing was taken; send it again later";
        let title = "too many reports";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, title, detail).retry_after(wait)
    })?;
    let body = whole(&parts.headers, body).await?;
    let reports = scanners::parse(&body).map_err(no_report)?;
    if reports.len() != 1 {
        return Err(no_report(ReportError::Form));
    }
    // How long it takes to know the secret, or not to know it, is not to be seen.
    let state = Arc::clone(state);
    let taken = async move { state.report(Reporter::Holder, reports).await.map(|_| ()) };
    tokio::spawn(taken);
    Ok((StatusCode::ACCEPTED, Json(SelfReportAnswer { accepted: true })))
}

/// A header's text; empty where it is not there or none.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The whole body, as it was sent.
async fn whole(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let encoding = text(headers, CONTENT_ENCODING.as_str());
    if headers.contains_key(CONTENT_ENCODING) && !encoding.eq_ignore_ascii_case("identity") {
        let detail = "send the body as it is, without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown encoding", detail));
    }
    axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let detail = "send 1 MiB at most; a long report in several requests";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail)
    })
}

fn not_configured(table: &str) -> Problem {
    let detail = format!("there is no [leaks.{table}] in the configuration");
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here", detail)
}

fn not_signed() -> Problem {
    let detail = "sign the body as it is sent; docs/guides/leaks.md says how";
    Problem::new(StatusCode::FORBIDDEN, "the signature is not that of the reporter", detail)
}

fn not_admitted(refused: Refused) -> Problem {
    match refused {
        Refused::Time => {
            let detail =
                "its time is more than five minutes off; check both clocks, and sign it again";
            Problem::new(StatusCode::FORBIDDEN, "the message is too old, or of the future", detail)
        }
        Refused::Id => not_signed(),
        Refused::Replayed => {
            let detail = "a message of that webhook-id was taken; a new one needs a new id";
            Problem::new(StatusCode::CONFLICT, "the message was taken before", detail)
        }
        Refused::Full => again("too many messages", "send fewer, with more reports in each"),
    }
}

fn no_report(error: ReportError) -> Problem {
    Problem::bad_request(error.to_string())
}

fn not_taken(error: &LeakError) -> Problem {
    tracing::warn!(%error, "reported leaks were not taken whole; the reporter is to send them again");
    again("not carried out yet", error.to_string())
}

fn again(title: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, title, detail).retry_after(AGAIN)
}
