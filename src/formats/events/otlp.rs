//! Log records of OTLP (OpenTelemetry's protocol) in protobuf and JSON, as records of a format.
//!
//! Source: `opentelemetry-proto`, `ExportLogsServiceRequest`. **Invariants**: a request is walked through, not
//! held as a tree: one log record at a time is unfolded, and none of more bytes than a record may have. All
//! records of a request together are unfolded to a bounded multiple of it. Text that is no UTF-8 hides no record: a
//! client chooses its user agent.

use super::otlp_message::{LooseAny, LooseList, LooseRecord, json_of, loose, object, text};
use super::refusal::{Limits, Record, Refusal};
use super::repair::repaired_json;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// How many times of a request's bytes its records may be unfolded to, and how many bytes besides. Chosen: a
/// record of some fields with the resource of its service is ten times as long at most.
const UNFOLDED_RATIO: usize = 32;
const UNFOLDED_BYTES: usize = 1 << 20;
/// The longest resource and scope. Unit: bytes. Chosen: they name a service.
const ORIGIN_BYTES_MAX: usize = 64 << 10;

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

/// Where log records come from, as the parts of a whole record.
#[derive(Debug, Default)]
struct Origin {
    resource: String,
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
    let mut left = body.len().saturating_mul(UNFOLDED_RATIO).saturating_add(UNFOLDED_BYTES);
    let mut give = |bytes: &[u8], origin: &Origin| {
        let around = origin.resource.len() + origin.scope.len();
        let unfolded = match left.checked_sub(bytes.len() + around) {
            Some(rest) if bytes.len() <= limits.record_bytes_max => {
                left = rest;
                let record = match encoding {
                    Encoding::Protobuf => {
                        LooseRecord::decode(bytes).map_err(|_| Refusal::InvalidProtobuf)
                    }
                    Encoding::Json => std::str::from_utf8(bytes)
                        .ok()
                        .and_then(parsed::<LogRecord>)
                        .and_then(|record| loose(&record))
                        .ok_or(Refusal::WrongType),
                };
                record.and_then(|record| record_of(record, part, origin))
            }
            Some(_) | None => Err(Refusal::TooLarge),
        };
        each(unfolded.as_deref().map_err(|refusal| *refusal));
    };
    match encoding {
        Encoding::Protobuf => of_protobuf(body, part, &mut give),
        // An array would be read as the fields in their order.
        Encoding::Json if !body.trim_ascii_start().starts_with(b"{") => Err(NotOtlp),
        Encoding::Json => of_json(body, part, &mut give),
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

/// The first field of that number, empty where there is none; none that is too long for what an origin is.
fn of_origin(bytes: &[u8], wanted: u32) -> Result<Vec<u8>, NotOtlp> {
    let mut found = None;
    messages(bytes, &mut |number, message| {
        if number == wanted && found.is_none() {
            found = Some(if message.len() > ORIGIN_BYTES_MAX { &[][..] } else { message }.to_vec());
        }
        Ok(())
    })?;
    Ok(found.unwrap_or_default())
}

fn of_protobuf(
    body: &[u8],
    part: RecordPart,
    give: &mut dyn FnMut(&[u8], &Origin),
) -> Result<(), NotOtlp> {
    let is_whole = part == RecordPart::Whole;
    // resource_logs of the request, scope_logs of each, log_records of each; before them resource and scope.
    messages(body, &mut |number, resource_logs| {
        if number != 1 {
            // OTLP has no other field here: this is something else.
            return Err(NotOtlp);
        }
        let mut origin = Origin::default();
        if is_whole {
            let resource = LooseList::decode(&*of_origin(resource_logs, 1)?);
            let resource = resource.map_err(|_| NotOtlp)?;
            origin.resource = written(&object(resource.values));
        }
        messages(resource_logs, &mut |number, scope_logs| {
            if number != 2 {
                return Ok(());
            }
            if is_whole {
                origin.scope = text(of_origin(&of_origin(scope_logs, 1)?, 1)?);
            }
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
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default)]
    scope_logs: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    #[serde(borrow, default)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default)]
    log_records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Scope {
    #[serde(default)]
    name: String,
}

/// JSON, repaired where it can't be read as it is: a client chose its texts.
fn parsed<T: DeserializeOwned>(json: &str) -> Option<T> {
    let read = |json: &str| serde_json::from_str(json).ok();
    read(json).or_else(|| repaired_json(json).and_then(|json| read(&json)))
}

/// A part of JSON; none that is too long for what an origin is, or that can't be read: its records count without.
fn origin_part<T: DeserializeOwned>(part: Option<&RawValue>) -> Option<T> {
    part.map(RawValue::get).filter(|part| part.len() <= ORIGIN_BYTES_MAX).and_then(parsed)
}

fn of_json(
    body: &[u8],
    part: RecordPart,
    give: &mut dyn FnMut(&[u8], &Origin),
) -> Result<(), NotOtlp> {
    let is_whole = part == RecordPart::Whole;
    let text = String::from_utf8_lossy(body);
    let repaired;
    let request: Request<'_> = if let Ok(request) = serde_json::from_str(&text) {
        request
    } else {
        repaired = repaired_json(&text).ok_or(NotOtlp)?;
        serde_json::from_str(&repaired).map_err(|_| NotOtlp)?
    };
    for resource_logs in request.resource_logs {
        let logs: ResourceLogs<'_> =
            serde_json::from_str(resource_logs.get()).map_err(|_| NotOtlp)?;
        let mut origin = Origin::default();
        if is_whole {
            let resource = origin_part(logs.resource).and_then(|it: Resource| loose(&it));
            let LooseList { values } = resource.unwrap_or_default();
            origin.resource = written(&object(values));
        }
        for scope_logs in logs.scope_logs {
            let logs: ScopeLogs<'_> =
                serde_json::from_str(scope_logs.get()).map_err(|_| NotOtlp)?;
            if is_whole {
                origin.scope =
                    origin_part(logs.scope).map(|Scope { name }| name).unwrap_or_default();
            }
            for record in logs.log_records {
                give(record.get().as_bytes(), &origin);
            }
        }
    }
    Ok(())
}

fn written(object: &Map<String, Value>) -> String {
    serde_json::to_string(object).unwrap_or_default()
}

/// A whole log record.
#[derive(Serialize)]
struct Whole<'a> {
    time_unix_nano: u64,
    observed_time_unix_nano: u64,
    severity_text: &'a str,
    event_name: &'a str,
    body: Value,
    attributes: Map<String, Value>,
    resource: &'a RawValue,
    scope: &'a str,
}

fn record_of(record: LooseRecord, part: RecordPart, origin: &Origin) -> Result<Vec<u8>, Refusal> {
    let written = match (part, record.body.and_then(|body| body.value)) {
        (RecordPart::Body, None) => return Err(Refusal::Empty),
        // It may be no UTF-8 yet: the source's format repairs and counts that.
        (RecordPart::Body, Some(LooseAny::Text(text))) => return Ok(text),
        (RecordPart::Body, body) => serde_json::to_vec(&json_of(body)),
        (RecordPart::Attributes, _) => serde_json::to_vec(&object(record.attributes)),
        (RecordPart::Whole, body) => {
            let resource =
                serde_json::from_str(&origin.resource).map_err(|_| Refusal::WrongType)?;
            serde_json::to_vec(&Whole {
                time_unix_nano: record.time_unix_nano,
                observed_time_unix_nano: record.observed_time_unix_nano,
                severity_text: &text(record.severity_text),
                event_name: &text(record.event_name),
                body: json_of(body),
                attributes: object(record.attributes),
                resource,
                scope: &origin.scope,
            })
        }
    };
    written.map_err(|_| Refusal::WrongType)
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
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"good"}}}},{{"body":{deep}}}]}}]}}]}}"#
        );
        let mut seen = Vec::new();
        let by = (Encoding::Json, RecordPart::Body);
        let answer = records(request.as_bytes(), by, &Limits::default(), &mut |record| {
            seen.push(record.map(<[u8]>::to_vec));
        });
        assert_eq!((answer, seen), (Ok(()), vec![Ok(b"good".to_vec()), Err(Refusal::WrongType)]));
        let deep = (0..200).fold(field(1, b"x"), |inner, _| field(5, &field(1, &inner)));
        let body = request_of(&[field(5, &deep), field(5, &field(1, b"good"))]);
        let all = read(&body, Encoding::Protobuf, RecordPart::Body);
        assert_eq!(
            (all[0].clone(), all[1].as_deref()),
            (Err(Refusal::InvalidProtobuf), Ok("good"))
        );
    }

    /// A field of a message that is bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend_from_slice(bytes);
        out
    }

    fn request(resource: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
        let logs = records.iter().flat_map(|record| field(2, record)).collect::<Vec<_>>();
        field(1, &[field(1, resource), field(2, &logs)].concat())
    }

    fn request_of(records: &[Vec<u8>]) -> Vec<u8> {
        request(b"", records)
    }

    #[test]
    fn text_that_is_no_utf_8_hides_no_record() {
        let attribute = |key: &[u8], value: &[u8]| {
            field(6, &[field(1, key), field(2, &field(1, value))].concat())
        };
        let records = [attribute(b"agent", b"curl/\xff"), field(5, &field(1, b"{\"a\":\"\xff\"}"))];
        let body = request(&attribute(b"na\xffme", b"\xff")[2..], &records);
        let attributes = read(&body, Encoding::Protobuf, RecordPart::Attributes);
        assert_eq!(attributes[0].as_deref(), Ok("{\"agent\":\"curl/\u{fffd}\"}"));
        let bodies = read(&body, Encoding::Protobuf, RecordPart::Body);
        assert_eq!(
            bodies[1].as_deref(),
            Ok("{\"a\":\"\u{fffd}\"}"),
            "left to the format, as bytes"
        );
    }

    #[test]
    fn broken_text_in_json_hides_no_record_either() {
        for text in [&b"curl/\xff"[..], b"curl/\\ud800", b"curl/\\x22", b"curl/\x01"] {
            let resource = [
                &b"{\"attributes\":[{\"key\":\"name\",\"value\":{\"stringValue\":\""[..],
                text,
                b"\"}}]}",
            ];
            let record = |text| {
                [
                    &b"{\"attributes\":[{\"key\":\"agent\",\"value\":{\"stringValue\":\""[..],
                    text,
                    b"\"}}]}",
                ]
                .concat()
            };
            let body = [
                &b"{\"resourceLogs\":[{\"resource\":"[..],
                &resource.concat(),
                b",\"scopeLogs\":[{\"scope\":5,\"logRecords\":[",
                &record(text),
                b",",
                &record(b"plain"),
                b"]}]}]}",
            ];
            for part in [RecordPart::Attributes, RecordPart::Whole] {
                let all = read(&body.concat(), Encoding::Json, part);
                assert!(all.len() == 2 && all.iter().all(Result::is_ok), "{text:?}: {all:?}");
                assert!(all[0].as_deref().is_ok_and(|it| it.contains("curl/")), "{all:?}");
            }
        }
    }

    #[test]
    fn a_resource_is_not_written_without_bound() {
        let attribute = [field(1, b"name"), field(2, &field(1, &[b'x'; 1_000]))].concat();
        let body = request(&field(1, &attribute), &vec![Vec::new(); 10_000]);
        let all = read(&body, Encoding::Protobuf, RecordPart::Whole);
        let refused = all.iter().filter(|record| **record == Err(Refusal::TooLarge)).count();
        assert!(all.len() == 10_000 && refused > 5_000 && refused < 9_900, "{refused}");
        let honest = vec![field(5, &field(1, &[b'x'; 100])); 10_000];
        let body = request(&field(1, &attribute), &honest);
        assert!(read(&body, Encoding::Protobuf, RecordPart::Whole).iter().all(Result::is_ok));
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
