//! `POST /v1/events`: auth events, a line or an array element each.

use super::answer::{Answer, RefusedLine};
use super::auth::{Access, Ingest};
use super::decoding::Decoding;
use super::decoding::{RECORD_COST, Sender};
use super::envelope::{self, HttpSource, Route};
use super::extract::Path;
use super::metrics::HttpMetrics;
use super::problem::Problem;
use super::status::About;
use crate::adapters::channels::NotTaken;
use crate::adapters::clock;
use crate::adapters::sources::decoded::Decoded;
use crate::adapters::sources::ingest;
use crate::adapters::sources::ingest::DEFAULT_SOURCE;
use crate::adapters::sources::ingest::{Source, Taken};
use crate::adapters::sources::kafka::keyed_record::KeyedRecord;
use crate::adapters::sources::kafka::topic_writer::{NotWritten, TopicWriter};
use crate::adapters::sources::metrics::SourceMetrics;
use crate::adapters::sources::rate_bound::RateBounds;
use crate::adapters::sources::rejects::{RecordPlace, RejectLog, letter};
use crate::data_plane::batch::HashSeed;
use crate::formats::events::envelope::{Envelope, decode as decode_envelope};
use crate::formats::events::refusal::Limits;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::time::EventTime;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many refused lines an answer names; all are counted.
const NAMED_MAX: usize = 100;
/// Parts of a gzip body. Chosen: senders join some; empty ones without end would cost time for
/// nothing.
const MEMBERS_MAX: usize = 10_000;

/// When events that are not in their topic are to be sent again.
const TOPIC_RETRY: Duration = Duration::from_secs(4);

/// The header that names a request, so that it is taken once however often it is sent.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// State of the handlers of `/v1/events`.
#[derive(Debug)]
pub struct IngestState {
    /// Takes events to the data plane and the event log.
    pub source: Arc<Source>,
    /// Takes those of sources with the setting `into` to a topic.
    pub topic: Option<TopicWriter>,
    /// The sources that take requests.
    pub sources: BTreeMap<String, HttpSource>,
    /// Where bodies are decoded, and what each sender may still waste.
    pub decoding: Decoding,
    /// Where the places of refused events go.
    pub rejects: Arc<RejectLog>,
    /// Stands for secrets.
    pub fingerprints: Arc<Fingerprinter>,
    /// The hash seed of the data plane.
    pub seed: HashSeed,
    /// The largest body. Unit: bytes.
    pub body_bytes_max: usize,
    /// Counters of the API.
    pub metrics: HttpMetrics,
    /// Counters of all sources.
    pub records: SourceMetrics,
    /// Settings: how far ahead of the clock an event may be.
    pub about: Arc<RwLock<About>>,
    /// The rates of sources.
    pub bounds: Arc<RateBounds>,
    /// Requests with events since the start.
    pub requests: AtomicU64,
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
        (status = 429, body = Problem, description =
            "A queue is full, or most of what this sender sent had to be refused; nothing was taken"),
        (status = 503, body = Problem, description =
            "tripline is stopping, or Kafka did not store all events of a source with the setting `into`"),
    )
)]
pub(super) async fn post_events(
    State(state): State<Arc<IngestState>>,
    State(access): State<Access>,
    Ingest(sender): Ingest,
    request: Request,
) -> Response {
    ingest((&state, &access), (DEFAULT_SOURCE, &sender), (Route::Events, request))
        .await
        .unwrap_or_else(Problem::into_response)
}

/// Takes auth events of a source, in its format, as `/v1/events` takes those of the source `default`.
#[utoipa::path(
    post, path = "/v1/sources/{name}/events",
    params(
        ("name" = String, Path, description = "A source of type http"),
        ("Idempotency-Key" = Option<String>, Header, description =
            "Names the request: one that is sent again, since no answer came, is not counted twice"),
    ),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = Answer, description = "Counts, and each refused line"),
        (status = 202, body = Answer, description =
            "The same, but the disk is full or failing: a crash would lose these events"),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "There is no such source"),
        (status = 413, body = Problem, description = "The body is too large"),
        (status = 429, body = Problem, description =
            "A queue is full, or most of what this sender sent had to be refused; nothing was taken"),
        (status = 503, body = Problem, description =
            "tripline is stopping, or Kafka did not store all events of a source with the setting `into`"),
    )
)]
pub(super) async fn post_source_events(
    State(state): State<Arc<IngestState>>,
    State(access): State<Access>,
    Ingest(sender): Ingest,
    Path(source): Path<String>,
    request: Request,
) -> Response {
    ingest((&state, &access), (&source, &sender), (Route::Events, request))
        .await
        .unwrap_or_else(Problem::into_response)
}

/// Takes log records of OTLP over HTTP (protobuf or JSON, optionally gzip) for a source of type `otlp`. Exporters
/// append `/v1/logs` to the address of their collector: `http://HOST/v1/sources/NAME`.
#[utoipa::path(
    post, path = "/v1/sources/{name}/v1/logs",
    params(("name" = String, Path, description = "A source of type otlp")),
    request_body(content(
        (String = "application/x-protobuf"), (serde_json::Value = "application/json"),
    )),
    responses(
        (status = 200, description =
            "ExportLogsServiceResponse, in the encoding of the request, with what was refused"),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "There is no such source of type otlp"),
        (status = 413, body = Problem, description = "The body is too large"),
        (status = 429, body = Problem, description =
            "A queue is full, or most of what this sender sent had to be refused; nothing was taken"),
        (status = 503, body = Problem, description =
            "tripline is stopping, or Kafka did not store all events of a source with the setting `into`"),
    )
)]
pub(super) async fn post_otlp_logs(
    State(state): State<Arc<IngestState>>,
    State(access): State<Access>,
    Ingest(sender): Ingest,
    Path(source): Path<String>,
    request: Request,
) -> Response {
    ingest((&state, &access), (&source, &sender), (Route::OtlpLogs, request))
        .await
        .unwrap_or_else(Problem::into_response)
}

async fn ingest(
    (state, access): (&Arc<IngestState>, &Access),
    (source, sender): (&str, &str),
    (route, request): (Route, Request),
) -> Result<Response, Problem> {
    let configured = state.sources.get(source).ok_or_else(no_source)?;
    access.tokens.admit_to_source(sender, source)?;
    let (parts, body) = request.into_parts();
    let envelope = envelope::of_request(configured, route, &parts.headers)?;
    let gzip = is_gzip(&parts.headers)?;
    let by = (source, sender);
    let decoded = decode_body(state, by, envelope, &parts.headers, (body, gzip)).await?;
    let arrived = decoded.arrived;
    let answer = take(state, by, decoded).await?;
    Ok(envelope::answer(envelope, &parts.headers, answer, arrived))
}

fn no_source() -> Problem {
    let detail = "sources of type http are in the configuration as [sources.NAME]";
    Problem::new(StatusCode::NOT_FOUND, "there is no such source", detail)
}

/// Whether a body is packed.
fn is_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None => Ok(false),
        Some(name) if name.eq_ignore_ascii_case(b"identity") => Ok(false),
        // RFC 9110: names are of any case, and `x-gzip` is another one for `gzip`.
        Some(name) if [&b"gzip"[..], b"x-gzip"].iter().any(|it| name.eq_ignore_ascii_case(it)) => {
            Ok(true)
        }
        Some(_) => {
            let detail = "send plain text or Content-Encoding: gzip";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown encoding", detail))
        }
    }
}

/// A decoded body.
struct DecodedBody {
    arrived: EventTime,
    events: Events,
    decoded: Decoded,
}

/// The events of a body.
enum Events {
    /// They count here.
    Here(ingest::Request),
    /// They go to a topic, under that hash of an idempotency key.
    Topic(Vec<KeyedRecord>, Option<u64>),
}

/// Reads, unpacks and decodes a body, the latter two away from the threads that answer.
async fn decode_body(
    state: &Arc<IngestState>,
    (source, sender_name): (&str, &str),
    envelope: Envelope,
    headers: &HeaderMap,
    (body, gzip): (Body, bool),
) -> Result<DecodedBody, Problem> {
    let sender = state.decoding.sender(sender_name);
    if !sender.may_send(clock::now()) {
        state.metrics.over_budget.inc();
        // A client that still sends would not see the answer.
        drain(body, state.body_bytes_max).await;
        let detail = "nothing was taken: most of what you sent of late had to be refused; mend that, \
                      and send again in some seconds";
        let title = "too much that has to be refused";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, title, detail));
    }
    let bytes_max = state.body_bytes_max;
    let _held = sender.body().await;
    let packed = axum::body::to_bytes(body, bytes_max).await.map_err(|_| too_large(bytes_max))?;
    // A key that was used again for something else names another request.
    let key = headers.get(IDEMPOTENCY_KEY).or_else(|| envelope::request_id(envelope, headers));
    let key = key.cloned();
    let (of, name, state_there) = (Arc::clone(&sender), sender_name.to_owned(), Arc::clone(state));
    let source = source.to_owned();
    let decode = move || {
        let state = state_there;
        let body = if gzip {
            let unpacked = unpack(&packed, bytes_max);
            unpacked.inspect_err(|_| of.wasted(bytes_max as u64, clock::now()))?.into()
        } else {
            packed
        };
        let hash = |key: HeaderValue| {
            let parts = [source.as_bytes(), name.as_bytes(), key.as_bytes(), &body];
            state.seed.hash_all(&parts)
        };
        let source = state.sources.get(&source).ok_or_else(no_source)?;
        decode(&state, (source, envelope), &of, (&body, key.map(hash)))
    };
    state.decoding.run(&sender, decode).await?
}

/// Reads a body and forgets it.
async fn drain(body: Body, bytes_max: usize) {
    let mut chunks = body.into_data_stream();
    let mut read = 0;
    while read <= bytes_max
        && let Some(Ok(chunk)) = chunks.next().await
    {
        read += chunk.len();
    }
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("send at most {bytes_max} bytes, unpacked; or raise http.body_max");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail)
}

/// Unpacks gzip. Blocks.
fn unpack(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let (mut unpacked, mut rest) = (Vec::new(), packed);
    for _ in 0..MEMBERS_MAX {
        let left = (bytes_max - unpacked.len()) as u64 + 1;
        let mut member = flate2::bufread::GzDecoder::new(rest).take(left);
        let read = member.read_to_end(&mut unpacked);
        read.map_err(|_| Problem::bad_request("this is no gzip"))?;
        if unpacked.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        rest = member.into_inner().into_inner();
        if rest.is_empty() {
            return Ok(unpacked);
        }
    }
    Err(Problem::bad_request(format!("this gzip has more than {MEMBERS_MAX} members")))
}

/// Decodes a body. Blocks.
fn decode(
    state: &IngestState,
    (source, envelope): (&HttpSource, Envelope),
    sender: &Sender,
    (body, key): (&[u8], Option<u64>),
) -> Result<DecodedBody, Problem> {
    let arrived = clock::now();
    let limits = Limits::at(arrived);
    let into_topic = source.into.is_some();
    let mut decoded = if into_topic { Decoded::for_topic() } else { Decoded::default() };
    let by = (&limits, &*state.fingerprints);
    let read = decode_envelope(envelope, &source.decoder, body, by, &mut |line, answer| {
        decoded.add(line as u64, answer, state.seed);
    });
    read.map_err(|_| {
        sender.wasted(body.len() as u64, arrived);
        Problem::bad_request("the body is not of its media type; nothing was taken")
    })?;
    let refused = decoded.refusals.count();
    if refused > 0 {
        // The refused share of the bytes, and something for each.
        let bytes = body.len() as u64 / (refused + decoded.accepted as u64) * refused;
        sender.wasted(bytes + refused * RECORD_COST, arrived);
    }
    let events = if into_topic {
        Events::Topic(decoded.take_records(), key)
    } else {
        Events::Here(ingest::Request::new(arrived, key, decoded.take_batches()))
    };
    Ok(DecodedBody { arrived, events, decoded })
}

async fn take(
    state: &Arc<IngestState>,
    (source, sender): (&str, &str),
    body: DecodedBody,
) -> Result<(StatusCode, Answer), Problem> {
    let DecodedBody { arrived, events, decoded } = body;
    let number = state.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(wait) = state.bounds.wait(source, arrived) {
        state.records.count_rate_bound(source);
        let detail =
            "nothing was taken: send the same events again later, or raise rate_max of the source";
        let title = "the source exceeds its rate";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, title, detail).retry_after(wait));
    }
    let taken = hand_over(state, events).await?;
    let Taken { durable, before } = taken;
    if !before {
        decoded.count(source, (taken, arrived), &state.records, &state.bounds);
    }
    let ahead_ms = decoded.newest.ms_since(arrived);
    if ahead_ms > state.about.read().skew_ms_max
        && state.records.fast_clocks.record(sender, ahead_ms, arrived)
    {
        tracing::warn!(
            sender,
            ahead_s = ahead_ms / 1000,
            "events are too far ahead of this machine's clock and don't count: synchronize the \
             sender's clock"
        );
    }
    let expects = state.sources.get(source).is_some_and(|it| it.decoder.expects_secrets());
    if decoded.counters.secrets > 0 && !expects {
        tracing::warn!(
            events = decoded.counters.secrets,
            "a sender names credentials by their secrets; they were replaced by fingerprints"
        );
    }
    let Decoded { accepted, refusals, .. } = decoded;
    let named = refusals.first.iter().take(NAMED_MAX).map(|(line, refusal)| RefusedLine {
        line: *line,
        reason: refusal.as_str(),
        remedy: refusal.remedy(),
    });
    let lines = named.collect();
    let refused = refusals.count();
    let fault = refusals.fault();
    if refused > 0 && !before {
        let state = Arc::clone(state);
        let noted = tokio::task::spawn_blocking(move || {
            for (line, refusal) in &refusals.first {
                let place = RecordPlace::Request { request: number, line: *line };
                let written = state.rejects.write(&letter(place, *refusal, arrived), arrived);
                state.records.count_reject(written);
            }
        });
        if noted.await.is_err() {
            tracing::error!("rejected records were not logged");
        }
    }
    let answer = Answer { accepted, durable, refused, lines, fault };
    let status = if durable { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, answer))
}

async fn hand_over(state: &IngestState, events: Events) -> Result<Taken, Problem> {
    match (events, &state.topic) {
        (Events::Here(request), _) => {
            state.source.take(request).await.map_err(|error| not_taken(state, error))
        }
        (Events::Topic(records, key), Some(topic)) => {
            topic.write(records, key).await.map_err(not_written)
        }
        // The daemon makes a writer where a source has the setting.
        (Events::Topic(..), None) => Err(not_written(NotWritten::Full)),
    }
}

fn not_written(error: NotWritten) -> Problem {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match error {
        NotWritten::Full => {
            let detail = "nothing was taken; send the same events again in some seconds";
            Problem::new(unavailable, "too much waits for Kafka", detail)
        }
        NotWritten::NotStored => {
            let detail = "some events may be in the topic, and count twice once the same events are sent \
                          again; do so in some seconds, as those that are not would be lost";
            Problem::new(unavailable, "Kafka has not stored all events", detail)
        }
    }
    .retry_after(TOPIC_RETRY)
}

fn not_taken(state: &IngestState, error: NotTaken) -> Problem {
    match error {
        NotTaken::Full => {
            state.metrics.queue_full.inc();
            let detail = "nothing was taken; send the same events again in a second";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "the queue is full", detail)
        }
        NotTaken::Stopping => {
            let detail = "nothing was taken; send the same events again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tripline is stopping", detail)
        }
    }
}
