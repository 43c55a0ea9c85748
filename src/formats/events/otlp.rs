//! Log records of OTLP (OpenTelemetry's protocol) in protobuf and JSON, as records of a format.
//!
//! Source: `opentelemetry-proto`, `ExportLogsServiceRequest`. **Invariant**: a request is walked through, not
//! held as a tree: one log record at a time is unfolded, and none of more bytes than a record may have.

use super::refusal::{Limits, Record, Refusal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};

/// The encoding of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// The part of a log record that is a record of the source's format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordPart {
    /// The body: a line that a program logged, or an object.
    #[default]
    Body,
    /// The attributes, as an object.
    Attributes,
    /// An object with `time_unix_nano`, `observed_time_unix_nano`, `severity_text`, `event_name`, `body`, `attributes`,
    /// `resource` (its attributes) and `scope` (its name).
    Whole,
}

impl RecordPart {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Body, Self::Attributes, Self::Whole];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Attributes => "attributes",
            Self::Whole => "whole",
        }
    }
}

/// The request is none of OTLP's, in that encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOtlp;

/// Where a log record comes from.
#[derive(Debug, Default)]
struct Origin {
    resource: Map<String, Value>,
    scope: String,
}

/// Gives each log record of a request, as a record of the source's format.
///
/// # Errors
/// When the request can't be read; records before the fault were given.
pub fn records(
    body: &[u8],
    (encoding, part): (Encoding, RecordPart),
    limits: &Limits,
    each: &mut dyn FnMut(Record<'_>),
) -> Result<(), NotOtlp> {
    let mut give = |bytes: &[u8], origin: &Origin| {
        let unfolded = if bytes.len() > limits.record_bytes_max {
            Err(Refusal::TooLarge)
        } else {
            let record = match encoding {
                Encoding::Protobuf => {
                    LogRecord::decode(bytes).map_err(|_| Refusal::InvalidProtobuf)
                }
                Encoding::Json => serde_json::from_slice(bytes).map_err(|_| Refusal::WrongType),
            };
            record.and_then(|record| record_of(record, part, origin))
        };
        each(unfolded.as_deref().map_err(|refusal| *refusal));
    };
    match encoding {
        Encoding::Protobuf => of_protobuf(body, &mut give),
        // An array would be read as the fields in their order.
        Encoding::Json if !body.trim_ascii_start().starts_with(b"{") => Err(NotOtlp),
        Encoding::Json => of_json(body, &mut give).map_err(|_| NotOtlp),
    }
}

/// Takes a field by its number.
type EachField<'a> = dyn FnMut(u32, &[u8]) -> Result<(), NotOtlp> + 'a;

/// The fields of a message that are messages themselves, by number.
fn messages(mut bytes: &[u8], each: &mut EachField<'_>) -> Result<(), NotOtlp> {
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).map_err(|_| NotOtlp)?;
        if matches!(wire, WireType::StartGroup | WireType::EndGroup) {
            return Err(NotOtlp);
        }
        if wire == WireType::LengthDelimited {
            let length = decode_varint(&mut bytes).map_err(|_| NotOtlp)?;
            let length = usize::try_from(length).map_err(|_| NotOtlp)?;
            let (message, rest) = bytes.split_at_checked(length).ok_or(NotOtlp)?;
            bytes = rest;
            each(number, message)?;
        } else {
            skip_field(wire, number, &mut bytes, DecodeContext::default()).map_err(|_| NotOtlp)?;
        }
    }
    Ok(())
}

/// The first field of that number; empty where there is none.
fn message(bytes: &[u8], wanted: u32) -> Result<Vec<u8>, NotOtlp> {
    let mut found = Vec::new();
    messages(bytes, &mut |number, message| {
        if number == wanted && found.is_empty() {
            found.extend_from_slice(message);
        }
        Ok(())
    })?;
    Ok(found)
}

fn of_protobuf(body: &[u8], give: &mut dyn FnMut(&[u8], &Origin)) -> Result<(), NotOtlp> {
    // resource_logs of the request, scope_logs of each, log_records of each; before them resource and scope.
    messages(body, &mut |number, resource_logs| {
        if number != 1 {
            // OTLP has no other field here: this is something else.
            return Err(NotOtlp);
        }
        let resource = Resource::decode(&*message(resource_logs, 1)?).map_err(|_| NotOtlp)?;
        let mut origin = Origin { resource: object(resource.attributes), scope: String::new() };
        messages(resource_logs, &mut |number, scope_logs| {
            if number != 2 {
                return Ok(());
            }
            let name = message(&message(scope_logs, 1)?, 1)?;
            origin.scope = String::from_utf8_lossy(&name).into_owned();
            messages(scope_logs, &mut |number, record| {
                if number == 2 {
                    give(record, &origin);
                }
                Ok(())
            })
        })
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default)]
    resource_logs: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    #[serde(default)]
    resource: Option<Resource>,
    #[serde(borrow, default)]
    scope_logs: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(borrow, default)]
    log_records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Scope {
    #[serde(default)]
    name: String,
}

fn of_json(body: &[u8], give: &mut dyn FnMut(&[u8], &Origin)) -> serde_json::Result<()> {
    for resource_logs in serde_json::from_slice::<Request<'_>>(body)?.resource_logs {
        let logs: ResourceLogs<'_> = serde_json::from_str(resource_logs.get())?;
        let resource = logs.resource.map(|resource| object(resource.attributes));
        let mut origin = Origin { resource: resource.unwrap_or_default(), scope: String::new() };
        for scope_logs in logs.scope_logs {
            let logs: ScopeLogs<'_> = serde_json::from_str(scope_logs.get())?;
            origin.scope = logs.scope.map(|scope| scope.name).unwrap_or_default();
            for record in logs.log_records {
                give(record.get().as_bytes(), &origin);
            }
        }
    }
    Ok(())
}

fn record_of(record: LogRecord, part: RecordPart, origin: &Origin) -> Result<Vec<u8>, Refusal> {
    let body = record.body.and_then(|body| body.value);
    let object = match part {
        RecordPart::Body => match body {
            Some(Any::StringValue(text)) => return Ok(text.into_bytes()),
            None => return Err(Refusal::Empty),
            Some(body) => json_of(Some(body)),
        },
        RecordPart::Attributes => Value::Object(object(record.attributes)),
        RecordPart::Whole => json!({
            "time_unix_nano": record.time_unix_nano,
            "observed_time_unix_nano": record.observed_time_unix_nano,
            "severity_text": record.severity_text,
            "event_name": record.event_name,
            "body": json_of(body),
            "attributes": object(record.attributes),
            "resource": origin.resource,
            "scope": origin.scope,
        }),
    };
    serde_json::to_vec(&object).map_err(|_| Refusal::WrongType)
}

fn object(attributes: Vec<KeyValue>) -> Map<String, Value> {
    let value = |value: Option<AnyValue>| json_of(value.and_then(|value| value.value));
    attributes.into_iter().map(|one| (one.key, value(one.value))).collect()
}

fn json_of(value: Option<Any>) -> Value {
    match value {
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => Value::String(text),
        Some(Any::BoolValue(flag)) => Value::Bool(flag),
        Some(Any::IntValue(number)) => Value::Number(number.into()),
        Some(Any::DoubleValue(number)) => {
            Number::from_f64(number).map_or(Value::Null, Value::Number)
        }
        Some(Any::ArrayValue(array)) => {
            array.values.into_iter().map(|value| json_of(value.value)).collect()
        }
        Some(Any::KvlistValue(list)) => Value::Object(object(list.values)),
        Some(Any::BytesValue(bytes)) => Value::String(STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, NotOtlp, RecordPart, records};
    use crate::formats::events::refusal::{Limits, Refusal};
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use proptest::prelude::*;
    use prost::Message;

    const REQUEST: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":
        {"stringValue":"gw"}}]},"scopeLogs":[{"scope":{"name":"access"},"logRecords":[
        {"timeUnixNano":"1795460043500000000","severityText":"INFO","body":{"stringValue":"{\"a\":1}"},
         "attributes":[{"key":"http.status","value":{"intValue":"200"}},{"key":"ok","value":{"boolValue":true}}]},
        {"body":{"kvlistValue":{"values":[{"key":"b","value":{"arrayValue":{"values":[{"doubleValue":0.5}]}}}]}}},
        {}]}]}]}"#;

    fn read(body: &[u8], encoding: Encoding, part: RecordPart) -> Vec<Result<String, Refusal>> {
        let mut all = Vec::new();
        let read = records(body, (encoding, part), &Limits::default(), &mut |record| {
            all.push(record.map(|record| String::from_utf8_lossy(record).into_owned()));
        });
        read.expect("it is OTLP");
        all
    }

    fn protobuf() -> Vec<u8> {
        let request: ExportLogsServiceRequest = serde_json::from_str(REQUEST).expect("JSON");
        request.encode_to_vec()
    }

    #[test]
    fn both_encodings_give_the_same_records() {
        for part in RecordPart::ALL {
            let json = read(REQUEST.as_bytes(), Encoding::Json, part);
            assert_eq!(json, read(&protobuf(), Encoding::Protobuf, part), "{part:?}");
            assert_eq!(json.len(), 3);
        }
    }

    #[test]
    fn a_record_is_the_part_that_is_asked_for() {
        let text = |part| read(&protobuf(), Encoding::Protobuf, part);
        let body = text(RecordPart::Body);
        assert_eq!(body[0].as_deref(), Ok(r#"{"a":1}"#));
        assert_eq!(body[1].as_deref(), Ok(r#"{"b":[0.5]}"#));
        assert_eq!(body[2], Err(Refusal::Empty));
        assert_eq!(
            text(RecordPart::Attributes)[0].as_deref(),
            Ok(r#"{"http.status":200,"ok":true}"#)
        );
        let whole = text(RecordPart::Whole)[0].clone().expect("a record");
        let whole: serde_json::Value = serde_json::from_str(&whole).expect("JSON");
        assert_eq!(whole["resource"]["service.name"], "gw");
        assert_eq!((&whole["scope"], &whole["body"]), (&"access".into(), &r#"{"a":1}"#.into()));
        assert_eq!(whole["time_unix_nano"], 1_795_460_043_500_000_000_u64);
    }

    #[test]
    fn a_request_that_is_cut_off_or_something_else_is_none() {
        let whole = protobuf();
        let part = (Encoding::Protobuf, RecordPart::Body);
        let read = |body: &[u8], part| records(body, part, &Limits::default(), &mut |_| ());
        assert_eq!(read(&whole[..whole.len() - 1], part), Err(NotOtlp));
        assert_eq!(read(b"{\"resourceLogs\":[]}", part), Err(NotOtlp));
        assert_eq!(read(b"[]", (Encoding::Json, RecordPart::Body)), Err(NotOtlp));
        assert_eq!(read(b"", part), Ok(()), "an empty request has no records");
    }

    #[test]
    fn a_record_that_nests_too_deep_or_is_too_large_is_refused_alone() {
        let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(200), "]}}".repeat(200));
        let long = "x".repeat(2 << 20);
        let request = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"{long}"}}}},{{"body":{{"stringValue":"good"}}}}]}}]}}]}}"#
        );
        let all = read(request.as_bytes(), Encoding::Json, RecordPart::Body);
        assert_eq!((all[0].clone(), all[1].as_deref()), (Err(Refusal::TooLarge), Ok("good")));
        let request = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{deep}}}]}}]}}]}}"#
        );
        let read = records(
            request.as_bytes(),
            (Encoding::Json, RecordPart::Body),
            &Limits::default(),
            &mut |record| assert!(record.is_err()),
        );
        assert!(matches!(read, Ok(()) | Err(NotOtlp)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
            let mut mutated = protobuf();
            let at = cut.index(mutated.len());
            mutated[at] ^= flip;
            for body in [&bytes, &mutated] {
                for encoding in [Encoding::Protobuf, Encoding::Json] {
                    let read = records(body, (encoding, RecordPart::Whole), &Limits::default(), &mut |_| ());
                    prop_assert!(matches!(read, Ok(()) | Err(NotOtlp)));
                }
            }
        }
    }
}
