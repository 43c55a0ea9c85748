//! Envelopes of records that other systems push over HTTP.

use super::body;
use super::decoder::Decoder;
use super::otlp::{self, Encoding, RecordPart};
use super::refusal::{Limits, Record, Refusal};
use super::split::Elements;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::event::AuthEvent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// How the records of a body are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Not at all: lines, or one array.
    Plain,
    /// One event of `CloudEvents` 1.0 in its structured mode; the records are its data.
    CloudEvent,
    /// An array of them.
    CloudEvents,
    /// A request of Amazon Data Firehose to an HTTP endpoint.
    Firehose,
    /// A request of OTLP.
    Otlp(Encoding, RecordPart),
}

/// The body is no such envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSuch;

/// Decodes a body; `each` gets the number of the record in its envelope, from 1, and an answer for each of its
/// events.
///
/// # Errors
/// When the body is no such envelope; records before the fault were given.
pub fn decode(
    envelope: Envelope,
    decoder: &Decoder,
    body: &[u8],
    (limits, fingerprints): (&Limits, &Fingerprinter),
    each: &mut dyn FnMut(usize, Result<AuthEvent<'_>, Refusal>),
) -> Result<(), NotSuch> {
    let mut unwrapped = |number: usize, record: Result<&[u8], Refusal>| match record {
        Ok(record) => {
            body::decode(decoder, record, limits, fingerprints, |_, answer| each(number, answer));
        }
        Err(refusal) => each(number, Err(refusal)),
    };
    match envelope {
        Envelope::Plain => {
            body::decode(decoder, body, limits, fingerprints, |number, answer| {
                each(number, answer);
            });
            Ok(())
        }
        Envelope::CloudEvent => {
            cloud_event(body, &mut |record| unwrapped(1, record));
            Ok(())
        }
        Envelope::CloudEvents => {
            let mut elements = Elements::of(body).ok_or(NotSuch)?;
            let mut last = 0;
            for (number, element) in (1..).zip(elements.by_ref()) {
                cloud_event(element, &mut |record| unwrapped(number, record));
                last = number;
            }
            if elements.has_other_fault(false) {
                unwrapped(last + 1, Err(Refusal::InvalidJson));
            }
            Ok(())
        }
        Envelope::Firehose => {
            let request: Firehose<'_> = serde_json::from_slice(body).map_err(|_| NotSuch)?;
            for (number, record) in (1..).zip(request.records) {
                match STANDARD.decode(record.data.as_bytes()) {
                    Ok(data) => unwrapped(number, Ok(&data)),
                    Err(_) => unwrapped(number, Err(Refusal::InvalidBase64)),
                }
            }
            Ok(())
        }
        Envelope::Otlp(encoding, part) => {
            let mut number = 0;
            otlp::records(body, (encoding, part), limits, &mut |record| {
                number += 1;
                unwrapped(number, record);
            })
            .map_err(|_| NotSuch)
        }
    }
}

#[derive(Deserialize)]
struct Firehose<'a> {
    #[serde(borrow)]
    records: Vec<FirehoseRecord<'a>>,
}

#[derive(Deserialize)]
struct FirehoseRecord<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data_base64: Option<Cow<'a, str>>,
}

/// The data of one event.
fn cloud_event(bytes: &[u8], each: &mut dyn FnMut(Record<'_>)) {
    let event = match serde_json::from_slice::<CloudEvent<'_>>(bytes) {
        Ok(event) if event.specversion.starts_with("1.") => event,
        Err(error) if !error.is_data() => return each(Err(Refusal::InvalidJson)),
        Ok(_) | Err(_) => return each(Err(Refusal::InvalidEnvelope)),
    };
    match (event.data, event.data_base64) {
        (Some(data), None) if data.get().starts_with('"') => {
            match serde_json::from_str::<Cow<'_, str>>(data.get()) {
                Ok(text) => each(Ok(text.as_bytes())),
                Err(_) => each(Err(Refusal::InvalidJson)),
            }
        }
        (Some(data), None) => each(Ok(data.get().as_bytes())),
        (None, Some(text)) => match STANDARD.decode(text.as_bytes()) {
            Ok(data) => each(Ok(&data)),
            Err(_) => each(Err(Refusal::InvalidBase64)),
        },
        (None, None) | (Some(_), Some(_)) => each(Err(Refusal::InvalidEnvelope)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Envelope, NotSuch, decode};
    use crate::formats::events::decoder::Decoder;
    use crate::formats::events::refusal::{Limits, Refusal};
    use crate::formats::secrets::secret::Fingerprinter;

    type Numbered = (usize, Result<String, Refusal>);

    const EVENT: &str = r#"{"time":1795460043500,"credential":"key_1","status":200}"#;

    fn read(envelope: Envelope, body: &str) -> Result<Vec<Numbered>, NotSuch> {
        let mut all = Vec::new();
        let by = (&Limits::default(), &Fingerprinter::new(vec![7; 32]));
        decode(envelope, &Decoder::default(), body.as_bytes(), by, &mut |number, answer| {
            all.push((number, answer.map(|event| event.credential.into_owned())));
        })
        .map(|()| all)
    }

    fn cloud_event(data: &str) -> String {
        format!(r#"{{"specversion":"1.0","id":"1","source":"gw","type":"auth",{data}}}"#)
    }

    fn key_1(number: usize) -> Numbered {
        (number, Ok("key_1".to_owned()))
    }

    #[test]
    fn the_data_of_a_cloud_event_is_a_record_as_object_text_or_base64() {
        let text = serde_json::to_string(EVENT).expect("JSON");
        let packed = "eyJ0aW1lIjoxNzk1NDYwMDQzNTAwLCJjcmVkZW50aWFsIjoia2V5XzEiLCJzdGF0dXMiOjIwMH0=";
        for data in [
            format!(r#""data":{EVENT}"#),
            format!(r#""data":[{EVENT}]"#),
            format!(r#""data":{text}"#),
            format!(r#""data_base64":"{packed}""#),
        ] {
            assert_eq!(
                read(Envelope::CloudEvent, &cloud_event(&data)),
                Ok(vec![key_1(1)]),
                "{data}"
            );
        }
    }

    #[test]
    fn a_fault_of_one_cloud_event_is_that_ones() {
        let good = cloud_event(&format!(r#""data":{EVENT}"#));
        let batch = format!(r#"[{good},{{"specversion":"0.3"}},{{"x"}},{good}]"#);
        let all = read(Envelope::CloudEvents, &batch).expect("a batch");
        assert_eq!(all.first(), Some(&key_1(1)));
        assert_eq!(all.get(1), Some(&(2, Err(Refusal::InvalidEnvelope))));
        assert_eq!(all.get(2), Some(&(3, Err(Refusal::InvalidJson))));
        assert_eq!(all.get(3), Some(&key_1(4)));
        assert_eq!(read(Envelope::CloudEvents, EVENT), Err(NotSuch));
        let empty = cloud_event(r#""subject":"x""#);
        assert_eq!(
            read(Envelope::CloudEvent, &empty),
            Ok(vec![(1, Err(Refusal::InvalidEnvelope))])
        );
    }

    #[test]
    fn each_record_of_firehose_has_lines() {
        use base64::Engine as _;
        let data = super::STANDARD.encode(format!("{EVENT}\n{EVENT}\n"));
        let body = format!(
            r#"{{"requestId":"r","timestamp":1,"records":[{{"data":"{data}"}},{{"data":"%"}}]}}"#
        );
        let expected = vec![key_1(1), key_1(1), (2, Err(Refusal::InvalidBase64))];
        assert_eq!(read(Envelope::Firehose, &body), Ok(expected));
        assert_eq!(read(Envelope::Firehose, "[]"), Err(NotSuch));
    }
}
