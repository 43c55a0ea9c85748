//! How other systems push records over HTTP: which envelope a request is, and the answer that they expect.

use super::answer::Answer;
use super::problem::Problem;
use crate::formats::events::decoder::Decoder;
use crate::formats::events::envelope::Envelope;
use crate::formats::events::otlp::{Encoding, RecordPart};
use crate::model::time::EventTime;
use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use prost::Message;
use serde_json::json;

/// The headers of Amazon Data Firehose: the version of its protocol, and the request's id.
const FIREHOSE_VERSION: &str = "x-amz-firehose-protocol-version";
const FIREHOSE_REQUEST: &str = "x-amz-firehose-request-id";
const PROTOBUF: &str = "application/x-protobuf";

/// A source that takes requests.
#[derive(Clone, Debug)]
pub struct HttpSource {
    /// How its records are read.
    pub decoder: Decoder,
    /// For a source of OTLP: which part of a log record is a record.
    pub otlp: Option<RecordPart>,
    /// The Kafka source into whose topic its events go; none: they count here.
    pub into: Option<String>,
}

/// The path of a request below that of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/events`.
    Events,
    /// `/v1/logs`, which exporters append to the address of a collector.
    OtlpLogs,
}

/// The media type of a body, without its parameters.
fn media_type(headers: &HeaderMap) -> &str {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    text.split(';').next().unwrap_or("").trim()
}

/// The envelope of a request.
///
/// # Errors
/// When the source takes no such request.
pub(super) fn of_request(
    source: &HttpSource,
    route: Route,
    headers: &HeaderMap,
) -> Result<Envelope, Problem> {
    let media_type = media_type(headers);
    let is = |name: &str| media_type.eq_ignore_ascii_case(name);
    match (source.otlp, route) {
        (Some(part), Route::OtlpLogs) if is(PROTOBUF) => {
            Ok(Envelope::Otlp(Encoding::Protobuf, part))
        }
        (Some(part), Route::OtlpLogs) if is("application/json") => {
            Ok(Envelope::Otlp(Encoding::Json, part))
        }
        (Some(_), Route::OtlpLogs) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this is no OTLP over HTTP",
            "send Content-Type: application/x-protobuf or application/json",
        )),
        (Some(_), Route::Events) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "this source takes OTLP",
            "send to /v1/sources/NAME/v1/logs; or set type = \"http\" for the source",
        )),
        (None, Route::OtlpLogs) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "this source takes no OTLP",
            "set type = \"otlp\" for the source; or send to /v1/sources/NAME/events",
        )),
        (None, Route::Events) if is("application/cloudevents+json") => Ok(Envelope::CloudEvent),
        (None, Route::Events) if is("application/cloudevents-batch+json") => {
            Ok(Envelope::CloudEvents)
        }
        (None, Route::Events) if headers.contains_key(FIREHOSE_VERSION) => Ok(Envelope::Firehose),
        (None, Route::Events) => Ok(Envelope::Plain),
    }
}

/// The name that the envelope gives the request, if it gives one: it is sent again under the same.
pub(super) fn request_id(envelope: Envelope, headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(FIREHOSE_REQUEST).filter(|_| envelope == Envelope::Firehose)
}

/// The answer that the sender of the envelope expects.
pub(super) fn answer(
    envelope: Envelope,
    headers: &HeaderMap,
    (status, answer): (StatusCode, Answer),
    now: EventTime,
) -> Response {
    match envelope {
        Envelope::Plain | Envelope::CloudEvent | Envelope::CloudEvents => {
            (status, Json(answer)).into_response()
        }
        Envelope::Firehose => {
            let id = request_id(envelope, headers).and_then(|id| id.to_str().ok()).unwrap_or("");
            Json(json!({ "requestId": id, "timestamp": now.ms() })).into_response()
        }
        Envelope::Otlp(encoding, _) => {
            let partial = answer.fault.map(|(rejected, error_message)| ExportLogsPartialSuccess {
                rejected_log_records: i64::try_from(rejected).unwrap_or(i64::MAX),
                error_message,
            });
            let response = ExportLogsServiceResponse { partial_success: partial };
            match encoding {
                Encoding::Protobuf => {
                    ([(CONTENT_TYPE, PROTOBUF)], response.encode_to_vec()).into_response()
                }
                Encoding::Json => Json(response).into_response(),
            }
        }
    }
}
