//! Messages of OTLP, as JSON.
//!
//! They have bytes where `opentelemetry-proto` has strings: these are the same on the wire, and a record is not lost
//! for a text that is no UTF-8. A request in JSON goes this way too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Map, Number, Value};

/// A text as protobuf has it: bytes, which are to be UTF-8.
type Text = Vec<u8>;

/// A message of `opentelemetry-proto` as one of these.
pub(super) fn loose<T: Message + Default>(message: &impl Message) -> Option<T> {
    T::decode(&*message.encode_to_vec()).ok()
}

pub(super) fn text(bytes: Text) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// `LogRecord`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LooseRecord {
    #[prost(fixed64, tag = "1")]
    pub(super) time_unix_nano: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) severity_text: Text,
    #[prost(message, optional, tag = "5")]
    pub(super) body: Option<LooseValue>,
    #[prost(message, repeated, tag = "6")]
    pub(super) attributes: Vec<LooseKeyValue>,
    #[prost(fixed64, tag = "11")]
    pub(super) observed_time_unix_nano: u64,
    #[prost(bytes = "vec", tag = "12")]
    pub(super) event_name: Text,
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
pub(super) struct LooseArray {
    #[prost(message, repeated, tag = "1")]
    values: Vec<LooseValue>,
}

/// `AnyValue`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LooseValue {
    #[prost(oneof = "LooseAny", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) value: Option<LooseAny>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum LooseAny {
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

fn number(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

pub(super) fn object(attributes: Vec<LooseKeyValue>) -> Map<String, Value> {
    let value = |value: Option<LooseValue>| json_of(value.and_then(|value| value.value));
    attributes.into_iter().map(|one| (text(one.key), value(one.value))).collect()
}

pub(super) fn json_of(value: Option<LooseAny>) -> Value {
    match value {
        None => Value::Null,
        Some(LooseAny::Text(bytes)) => Value::String(text(bytes)),
        Some(LooseAny::Bool(flag)) => Value::Bool(flag),
        Some(LooseAny::Int(number)) => Value::Number(number.into()),
        Some(LooseAny::Double(double)) => number(double),
        Some(LooseAny::Array(array)) => {
            array.values.into_iter().map(|value| json_of(value.value)).collect()
        }
        Some(LooseAny::List(list)) => Value::Object(object(list.values)),
        Some(LooseAny::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
    }
}
