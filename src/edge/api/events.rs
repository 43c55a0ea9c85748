//! `POST /v1/events`: auth events, a line or an array element each.

use super::auth::Ingest;
use super::problem::Problem;
use super::{Shared, State};
use crate::edge::clock;
use crate::edge::dead_letter::{Place, letter};
use crate::edge::intake;
use crate::edge::planes::{DataPlane, NotTaken, SLOTS};
use crate::engine::batch::Batch;
use crate::model::time::EventTime;
use crate::wire::body;
use crate::wire::decoder::DecodeTally;
use crate::wire::refusal::{Limits, Refusal};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::io::Read;
use std::sync::atomic::Ordering;
use utoipa::ToSchema;

/// How many refused lines an answer names; all are counted.
const NAMED_MAX: usize = 100;

/// What names a request, so that it is taken once however often it is sent.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What became of the events.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Answer {
    /// Events taken.
    accepted: usize,
    /// Whether they outlive a crash; they are watched in any case.
    durable: bool,
    /// Lines refused.
    refused: usize,
    /// The first hundred of them.
    lines: Vec<RefusedLine>,
}

/// A refused line.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedLine {
    /// Its number, from 1.
    line: usize,
    /// Why.
    reason: &'static str,
    /// What to do.
    remedy: &'static str,
}

/// Takes auth events: one JSON object a line, or a JSON array; `Content-Encoding: gzip` is read.
/// With an `Idempotency-Key` a request that was sent again is taken once.
#[utoipa::path(
    post, path = "/v1/events",
    params(("Idempotency-Key" = Option<String>, Header, description =
        "Names the request: one that is sent again, since no answer came, is not counted twice")),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = Answer, description = "Counts, and each refused line"),
        (status = 202, body = Answer, description =
            "The same, but the disk is full or failing: a crash would lose these events"),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 413, body = Problem, description = "The body is too large"),
        (status = 429, body = Problem, description = "A queue is full; nothing was taken"),
    )
)]
pub(super) async fn post_events(
    axum::extract::State(shared): State,
    Ingest(sender): Ingest,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let gzip = match parts.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None => false,
        Some(name) if name.eq_ignore_ascii_case(b"identity") => false,
        // RFC 9110: names are of any case, and `x-gzip` is another one for `gzip`.
        Some(name) if [&b"gzip"[..], b"x-gzip"].iter().any(|it| name.eq_ignore_ascii_case(it)) => {
            true
        }
        Some(_) => {
            let detail = "send plain text or Content-Encoding: gzip";
            return Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown encoding", detail)
                .into_response();
        }
    };
    match read(body, gzip, shared.body_bytes_max).await {
        Ok(body) => {
            // A key that was used again for something else names another request.
            let key = parts.headers.get(IDEMPOTENCY_KEY);
            let key =
                key.map(|key| shared.seed.hash_all(&[sender.as_bytes(), key.as_bytes(), &body]));
            take(&shared, &sender, &body, key).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn read(body: Body, gzip: bool, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("send at most {bytes_max} bytes, unpacked; or raise http.body_max");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail)
    };
    let bytes = axum::body::to_bytes(body, bytes_max).await.map_err(|_| too_large())?;
    if !gzip {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(&*bytes).take(bytes_max as u64 + 1);
    reader.read_to_end(&mut unpacked).map_err(|_| Problem::bad_request("this is no gzip"))?;
    if unpacked.len() > bytes_max { Err(too_large()) } else { Ok(unpacked.into()) }
}

async fn take(shared: &Shared, sender: &str, body: &[u8], key: Option<u64>) -> Response {
    let arrived = clock::now();
    let request = shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let limits = Limits::at(arrived);
    let mut slots: Vec<Batch> = vec![Batch::default(); SLOTS];
    let mut answer = Answer::default();
    let mut refusals = Vec::new();
    let mut decoded = DecodeTally::default();
    let mut newest = EventTime::MIN;
    body::decode(&shared.decoder, body, &limits, &shared.fingerprints, |line, event| match event {
        Ok(event) => {
            answer.accepted += 1;
            decoded.add(&event);
            newest = newest.max(event.time);
            let slot = DataPlane::slot(shared.seed.hash(event.kind, &event.credential));
            if let Some(batch) = slots.get_mut(slot) {
                batch.push(&event, 0, shared.seed);
            }
        }
        Err(refusal) => refusals.push((line, refusal)),
    });
    let batches = (0..).zip(slots).filter(|(_, batch)| !batch.is_empty()).collect();
    answer.durable = match shared.intake.take(intake::Request { arrived, key, batches }).await {
        Ok(durable) => durable,
        Err(error) => return not_taken(shared, error).into_response(),
    };
    if !answer.durable {
        shared.metrics.events_not_kept.inc_by(answer.accepted as u64);
    }
    shared.metrics.add_decoded(&decoded);
    let ahead_ms = newest.ms_since(arrived);
    if ahead_ms > shared.about.read().skew_ms_max
        && shared.metrics.fast_clocks.record(sender, ahead_ms, arrived)
    {
        tracing::warn!(
            sender,
            ahead_s = ahead_ms / 1000,
            "events are too far ahead of this machine's clock to be counted: set the sender's clock"
        );
    }
    if decoded.secrets > 0 {
        tracing::warn!(
            events = decoded.secrets,
            "a sender names credentials by their secrets; they were replaced by fingerprints"
        );
    }
    answer.refused = refusals.len();
    note_refusals(shared, request, arrived, &refusals);
    let named = refusals.into_iter().take(NAMED_MAX);
    answer.lines = named
        .map(|(line, refusal)| RefusedLine {
            line,
            reason: refusal.as_str(),
            remedy: refusal.remedy(),
        })
        .collect();
    let status = if answer.durable { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(answer)).into_response()
}

fn not_taken(shared: &Shared, error: NotTaken) -> Problem {
    match error {
        NotTaken::Full => {
            shared.metrics.queue_full.inc();
            let detail = "nothing was taken; send the same events again in a second";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "the queue is full", detail)
        }
        NotTaken::Stopping => {
            let detail = "nothing was taken; send the same events again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tripline is stopping", detail)
        }
    }
}

fn note_refusals(shared: &Shared, request: u64, at: EventTime, refusals: &[(usize, Refusal)]) {
    for (line, refusal) in refusals {
        shared.metrics.refused.with_label_values(&["http", refusal.as_str()]).inc();
        let place = Place::Request { request, line: *line as u64 };
        if !shared.dead_letters.write(&letter(place, *refusal, at), at) {
            shared.metrics.dead_letter_errors.inc();
        }
    }
}
