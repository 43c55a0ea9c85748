//! The contract: an auth event as a JSON object.

use super::refusal::{Limits, Refusal, check_depth, of_json};
use super::secret::Fingerprinter;
use super::time::rfc3339;
use crate::model::credential::{Kind, NAME_BYTES_MAX, check_id, has_control};
use crate::model::event::{AuthEvent, Outcome};
use crate::model::time::EventTime;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A text that is borrowed from the record wherever it stands there without escapes. (Serde's
/// own `Option<Cow<str>>` always copies.)
#[derive(Clone, Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Borrowing).map(Self)
    }
}

/// A time: RFC 3339, or integer milliseconds since 1970. `None` where a text can't be read.
#[derive(Clone, Copy, Debug)]
struct Time(Option<EventTime>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl Visitor<'_> for Reading {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("RFC 3339 or integer milliseconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                Ok(Time(rfc3339(text)))
            }

            fn visit_u64<E: de::Error>(self, ms: u64) -> Result<Time, E> {
                Ok(Time(Some(EventTime::from_ms(i64::try_from(ms).unwrap_or(i64::MAX)))))
            }

            fn visit_i64<E: de::Error>(self, ms: i64) -> Result<Time, E> {
                Ok(Time(Some(EventTime::from_ms(ms))))
            }
        }
        deserializer.deserialize_any(Reading)
    }
}

#[derive(Deserialize)]
struct Record<'a> {
    time: Option<Time>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    credential: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    tenant: Option<Text<'a>>,
    #[serde(borrow)]
    subject: Option<Text<'a>>,
    #[serde(borrow)]
    outcome: Option<Text<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    #[serde(borrow)]
    ip: Option<Text<'a>>,
    asn: Option<u32>,
    #[serde(borrow)]
    country: Option<Text<'a>>,
    #[serde(borrow)]
    user_agent: Option<Text<'a>>,
    #[serde(borrow)]
    method: Option<Text<'a>>,
    #[serde(borrow)]
    endpoint: Option<Text<'a>>,
    status: Option<u16>,
    tokens: Option<u64>,
    issued: Option<Time>,
    expires: Option<Time>,
    #[serde(borrow)]
    family: Option<Text<'a>>,
}

/// Decodes one record. Cost: no allocation where the record has neither escapes nor secrets.
///
/// # Errors
/// The reason why it is refused.
pub fn decode<'a>(
    record: &'a [u8],
    limits: &Limits,
    fingerprints: &Fingerprinter,
) -> Result<AuthEvent<'a>, Refusal> {
    limits.check_size(record)?;
    let text = std::str::from_utf8(record).map_err(|_| Refusal::InvalidUtf8)?;
    if !text.trim_start().starts_with('{') {
        return Err(not_an_object(text));
    }
    check_depth(text)?;
    let record: Record<'a> = serde_json::from_str(text).map_err(|error| of_json(text, &error))?;
    event(record, limits, fingerprints)
}

fn not_an_object(text: &str) -> Refusal {
    if text.trim().is_empty() {
        return Refusal::Empty;
    }
    let read = serde_json::from_str::<de::IgnoredAny>(text);
    read.map_or_else(|error| of_json(text, &error), |_| Refusal::WrongType)
}

fn event<'a>(
    record: Record<'a>,
    limits: &Limits,
    fingerprints: &Fingerprinter,
) -> Result<AuthEvent<'a>, Refusal> {
    let time = record.time.ok_or(Refusal::MissingTime)?.0.ok_or(Refusal::InvalidTime)?;
    let time = limits.check_time(time)?;
    let kind = match record.kind {
        Some(kind) => Kind::parse(&kind.0).ok_or(Refusal::InvalidField)?,
        None => Kind::default(),
    };
    let outcome = match record.outcome {
        Some(outcome) => Outcome::parse(&outcome.0).ok_or(Refusal::InvalidField)?,
        None => Outcome::of_status(record.status),
    };
    let optional = |time: Option<Time>| match time {
        Some(Time(None)) => Err(Refusal::InvalidTime),
        Some(Time(read)) => Ok(read),
        None => Ok(None),
    };
    let mut event = AuthEvent {
        kind,
        outcome,
        id: record.id.map(|text| text.0),
        tenant: record.tenant.map(|text| text.0),
        subject: record.subject.map(|text| text.0),
        reason: record.reason.map(|text| text.0),
        ip: record.ip.and_then(|text| text.0.parse().ok()),
        asn: record.asn,
        country: record.country.and_then(|text| country(&text.0)),
        user_agent: record.user_agent.map(|text| text.0),
        method: record.method.map(|text| text.0),
        endpoint: record.endpoint.map(|text| text.0),
        status: record.status,
        tokens: record.tokens,
        issued: optional(record.issued)?,
        expires: optional(record.expires)?,
        family: record.family.map(|text| text.0),
        ..AuthEvent::new(time, record.credential.ok_or(Refusal::NoCredential)?.0)
    };
    clean(&mut event, fingerprints)?;
    Ok(event)
}

pub(super) fn country(text: &str) -> Option<[u8; 2]> {
    let code: [u8; 2] = text.as_bytes().try_into().ok()?;
    code.iter().all(u8::is_ascii_uppercase).then_some(code)
}

/// Takes secrets out of an event and holds its names against their limits; every decoder ends
/// here.
///
/// # Errors
/// When the credential or a name can't be kept.
pub(super) fn clean(
    event: &mut AuthEvent<'_>,
    fingerprints: &Fingerprinter,
) -> Result<(), Refusal> {
    if let Some(found) = fingerprints.replace_credential(event.kind, &event.credential) {
        event.held_secret = true;
        event.credential = Cow::Owned(found.id);
        event.kind = found.kind.unwrap_or(event.kind);
        event.expires = event.expires.or(found.expires);
        event.subject = event.subject.take().or(found.subject.map(Cow::Owned));
    }
    check_id(&event.credential)?;
    if let Some(endpoint) = &mut event.endpoint {
        cut_query(endpoint);
    }
    let names = [
        &mut event.id,
        &mut event.tenant,
        &mut event.subject,
        &mut event.family,
        &mut event.reason,
        &mut event.user_agent,
        &mut event.method,
        &mut event.endpoint,
    ];
    for (index, name) in names.into_iter().enumerate() {
        let Some(text) = name else { continue };
        // Id, tenant, subject and family name things; the others are what clients happen to send.
        let names_something = index < 4;
        let clean = match index {
            0 => fingerprints.clean_event_id(text),
            1..4 => fingerprints.clean_name(text),
            _ => fingerprints.clean_text(text),
        };
        if let Some(clean) = clean {
            event.held_secret = true;
            *text = Cow::Owned(clean);
        }
        if names_something && (text.len() > NAME_BYTES_MAX || has_control(text)) {
            return Err(Refusal::InvalidField);
        }
    }
    Ok(())
}

/// Queries and fragments carry secrets; the path does for detection.
fn cut_query(endpoint: &mut Cow<'_, str>) {
    let Some(cut) = endpoint.find(['?', '#']) else { return };
    match endpoint {
        Cow::Borrowed(text) => *text = text.get(..cut).unwrap_or(""),
        Cow::Owned(text) => text.truncate(cut),
    }
}

#[derive(Serialize)]
struct Written<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    credential: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'a str>,
}

/// Writes an event as a line of the contract, with all that is known of it.
pub fn encode(event: &AuthEvent<'_>) -> String {
    let written = Written {
        time: event.time.to_string(),
        id: event.id.as_deref(),
        credential: &event.credential,
        kind: event.kind.as_str(),
        tenant: event.tenant.as_deref(),
        subject: event.subject.as_deref(),
        outcome: event.outcome.as_str(),
        reason: event.reason.as_deref(),
        ip: event.ip.map(|ip| ip.to_string()),
        asn: event.asn,
        country: event.country.as_ref().and_then(|code| std::str::from_utf8(code).ok()),
        user_agent: event.user_agent.as_deref(),
        method: event.method.as_deref(),
        endpoint: event.endpoint.as_deref(),
        status: event.status,
        tokens: event.tokens,
        issued: event.issued.map(|time| time.to_string()),
        expires: event.expires.map(|time| time.to_string()),
        family: event.family.as_deref(),
    };
    serde_json::to_string(&written).unwrap_or_default()
}
