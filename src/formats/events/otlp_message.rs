//! Messages of OTLP, as JSON.
//!
//! Those of protobuf have bytes where `opentelemetry-proto` has strings: these are the same on the wire, and a record
//! is not lost for a text that is no UTF-8.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use serde_json::{Map, Number, Value};

/// A text as protobuf has it: bytes, which are to be UTF-8.
type Text = Vec<u8>;

pub(super) fn text(bytes: Text) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// `LogRecord`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LooseRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(bytes = "vec", tag = "3")]
    severity_text: Text,
    #[prost(message, optional, tag = "5")]
    body: Option<LooseValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<LooseKeyValue>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(bytes = "vec", tag = "12")]
    event_name: Text,
}

/// `KeyValue`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LooseKeyValue {
    #[prost(bytes = "vec", tag = "1")]
    key: Text,
    #[prost(message, optional, tag = "2")]
    value: Option<LooseValue>,
}

/// `Resource`, and `KeyValueList`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LooseList {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<LooseKeyValue>,
}

/// `ArrayValue`.
#[derive(Clone, PartialEq, Message)]
struct LooseArray {
    #[prost(message, repeated, tag = "1")]
    values: Vec<LooseValue>,
}

/// `AnyValue`.
#[derive(Clone, PartialEq, Message)]
struct LooseValue {
    #[prost(oneof = "LooseAny", tags = "1, 2, 3, 4, 5, 6, 7")]
    value: Option<LooseAny>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum LooseAny {
    #[prost(bytes, tag = "1")]
    Text(Text),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(LooseArray),
    #[prost(message, tag = "6")]
    List(LooseList),
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
}

/// A log record, decoded.
pub(super) struct Decoded {
    pub(super) times: (u64, u64),
    pub(super) names: (String, String),
    pub(super) body: Option<Body>,
    pub(super) attributes: Map<String, Value>,
}

/// A text may be no UTF-8 yet: the source's format repairs and counts that.
pub(super) enum Body {
    Text(Vec<u8>),
    Other(Value),
}

impl From<LooseRecord> for Decoded {
    fn from(record: LooseRecord) -> Self {
        let body = record.body.and_then(|body| body.value).map(|body| {
            if let LooseAny::Text(text) = body {
                Body::Text(text)
            } else {
                Body::Other(json_of_loose(Some(body)))
            }
        });
        Self {
            times: (record.time_unix_nano, record.observed_time_unix_nano),
            names: (text(record.severity_text), text(record.event_name)),
            body,
            attributes: loose_object(record.attributes),
        }
    }
}

impl From<LogRecord> for Decoded {
    fn from(record: LogRecord) -> Self {
        let body = record.body.and_then(|body| body.value).map(|body| {
            if let Any::StringValue(text) = body {
                Body::Text(text.into_bytes())
            } else {
                Body::Other(json_of(Some(body)))
            }
        });
        Self {
            times: (record.time_unix_nano, record.observed_time_unix_nano),
            names: (record.severity_text, record.event_name),
            body,
            attributes: object(record.attributes),
        }
    }
}

fn number(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

pub(super) fn object(attributes: Vec<KeyValue>) -> Map<String, Value> {
    let value = |value: Option<AnyValue>| json_of(value.and_then(|value| value.value));
    attributes.into_iter().map(|one| (one.key, value(one.value))).collect()
}

fn json_of(value: Option<Any>) -> Value {
    match value {
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => Value::String(text),
        Some(Any::BoolValue(flag)) => Value::Bool(flag),
        Some(Any::IntValue(number)) => Value::Number(number.into()),
        Some(Any::DoubleValue(double)) => number(double),
        Some(Any::ArrayValue(array)) => {
            array.values.into_iter().map(|value| json_of(value.value)).collect()
        }
        Some(Any::KvlistValue(list)) => Value::Object(object(list.values)),
        Some(Any::BytesValue(bytes)) => Value::String(STANDARD.encode(bytes)),
    }
}

pub(super) fn loose_object(attributes: Vec<LooseKeyValue>) -> Map<String, Value> {
    let value = |value: Option<LooseValue>| json_of_loose(value.and_then(|value| value.value));
    attributes.into_iter().map(|one| (text(one.key), value(one.value))).collect()
}

fn json_of_loose(value: Option<LooseAny>) -> Value {
    match value {
        None => Value::Null,
        Some(LooseAny::Text(bytes)) => Value::String(text(bytes)),
        Some(LooseAny::Bool(flag)) => Value::Bool(flag),
        Some(LooseAny::Int(number)) => Value::Number(number.into()),
        Some(LooseAny::Double(double)) => number(double),
        Some(LooseAny::Array(array)) => {
            array.values.into_iter().map(|value| json_of_loose(value.value)).collect()
        }
        Some(LooseAny::List(list)) => Value::Object(loose_object(list.values)),
        Some(LooseAny::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
    }
}
