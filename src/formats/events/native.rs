//! The contract: an auth event as a JSON object.

use super::context::Context;
use super::details::{self, clean};
use super::refusal::{Refusal, check_depth, of_json};
use super::repair::read_json;
use super::scalar::Scalar;
use super::verified::is_preflight;
use crate::model::event::{AuthEvent, Field, Outcome, is_success};
use crate::model::money::Money;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A field of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Time,
    Credential,
    Kind,
    Outcome,
    Status,
    Verified,
    Detail(Field),
}

/// The fields before the details: those that an event counts by, which can't stand twice.
const DECIDING: usize = 6;
const NAMES: usize = DECIDING + Field::ALL.len();

impl Name {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "time" => Self::Time,
            "credential" => Self::Credential,
            "kind" => Self::Kind,
            "outcome" => Self::Outcome,
            "status" => Self::Status,
            "verified" => Self::Verified,
            "id" => Self::Detail(Field::Id),
            "tenant" => Self::Detail(Field::Tenant),
            "subject" => Self::Detail(Field::Subject),
            "reason" => Self::Detail(Field::Reason),
            "ip" => Self::Detail(Field::Ip),
            "asn" => Self::Detail(Field::Asn),
            "country" => Self::Detail(Field::Country),
            "user_agent" => Self::Detail(Field::UserAgent),
            "method" => Self::Detail(Field::Method),
            "endpoint" => Self::Detail(Field::Endpoint),
            "model" => Self::Detail(Field::Model),
            "tokens" => Self::Detail(Field::Tokens),
            "spend" => Self::Detail(Field::Spend),
            "issued" => Self::Detail(Field::Issued),
            "expires" => Self::Detail(Field::Expires),
            "family" => Self::Detail(Field::Family),
            "issuer" => Self::Detail(Field::Issuer),
            "gateway" => Self::Detail(Field::Gateway),
            _ => return None,
        })
    }

    const fn place(self) -> usize {
        match self {
            Self::Time => 0,
            Self::Credential => 1,
            Self::Kind => 2,
            Self::Outcome => 3,
            Self::Status => 4,
            Self::Verified => 5,
            Self::Detail(field) => DECIDING + field as usize,
        }
    }
}

/// Reads the name of an instance; `None` for a name that the contract doesn't have.
#[derive(Clone, Copy)]
struct NameVisitor;

impl<'de> de::DeserializeSeed<'de> for NameVisitor {
    type Value = Option<Name>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameVisitor {
    type Value = Option<Name>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name::parse(name))
    }
}

/// The instances of a record that the contract knows.
#[derive(Default)]
struct Record<'a> {
    values: [Scalar<'a>; NAMES],
    seen: u32,
    /// Whether a field that decides stands twice.
    contradicts: bool,
}

impl<'a> Record<'a> {
    fn put(&mut self, name: Name, value: Scalar<'a>) {
        let (place, bit) = (name.place(), 1 << name.place());
        self.contradicts |= place < DECIDING && self.seen & bit != 0;
        self.seen |= bit;
        if let Some(slot) = self.values.get_mut(place) {
            *slot = value;
        }
    }

    fn take(&mut self, name: Name) -> Scalar<'a> {
        self.values.get_mut(name.place()).map(std::mem::take).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Record<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor).map(|record: Record<'de>| record)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut record = Record::default();
        while let Some(name) = map.next_key_seed(NameVisitor)? {
            match name {
                Some(name) => record.put(name, map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(record)
    }
}

/// Decodes one record. Cost: no allocation where the record has neither escapes nor secrets.
///
/// # Errors
/// The reason why it is refused.
pub fn decode<'a>(record: &'a [u8], context: &Context<'_>) -> Result<AuthEvent<'a>, Refusal> {
    context.limits.check_size(record)?;
    read_json(record, |text| decode_text(text, context))
}

fn decode_text<'a>(text: &'a str, context: &Context<'_>) -> Result<AuthEvent<'a>, Refusal> {
    if !text.trim_start().starts_with('{') {
        return Err(not_an_object(text));
    }
    check_depth(text)?;
    let record: Record<'a> = serde_json::from_str(text).map_err(|error| of_json(text, &error))?;
    event(record, context)
}

fn not_an_object(text: &str) -> Refusal {
    if text.trim().is_empty() {
        return Refusal::Empty;
    }
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map_or_else(|error| of_json(text, &error), |_| Refusal::WrongType)
}

fn event<'a>(mut record: Record<'a>, context: &Context<'_>) -> Result<AuthEvent<'a>, Refusal> {
    if record.contradicts {
        return Err(Refusal::WrongType);
    }
    let time = record.take(Name::Time);
    if time.is_null() {
        return Err(Refusal::MissingTime);
    }
    if matches!(time, Scalar::Bool(_) | Scalar::Float(_) | Scalar::Nested) {
        return Err(Refusal::WrongType);
    }
    let time = context.limits.check_time(time.time().ok_or(Refusal::InvalidTime)?)?;
    let credential = record.take(Name::Credential);
    let credential = credential.only_text()?.cloned().ok_or(Refusal::NoCredential)?;
    let status = record.take(Name::Status).status()?;
    let stated = record.take(Name::Outcome).outcome()?;
    let verified = record.take(Name::Verified).flag()?;
    let implied = stated.map_or(is_success(status), Outcome::implies_verified);
    let mut event = AuthEvent {
        kind: record.take(Name::Kind).kind()?.unwrap_or_default(),
        outcome: stated.unwrap_or_else(|| Outcome::of_status(status)),
        verified: verified.unwrap_or(implied),
        status,
        ..AuthEvent::new(time, credential)
    };
    for field in Field::ALL {
        details::set(&mut event, field, record.take(Name::Detail(field)), context);
    }
    event.verified &= verified.is_some() || stated.is_some() || !is_preflight(&event);
    clean(&mut event, context)?;
    Ok(event)
}

#[derive(Serialize)]
struct EventFields<'a> {
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
    verified: Option<bool>,
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
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spend: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<&'a str>,
}

/// Writes an event as a line of the contract, with all that is known of it.
pub fn encode(event: &AuthEvent<'_>) -> String {
    let written = EventFields {
        time: event.time.to_string(),
        id: event.id.as_deref(),
        credential: &event.credential,
        kind: event.kind.as_str(),
        tenant: event.tenant.as_deref(),
        subject: event.subject.as_deref(),
        outcome: event.outcome.as_str(),
        // Where the outcome does not imply it.
        verified: (event.verified != event.outcome.implies_verified()).then_some(event.verified),
        reason: event.reason.as_deref(),
        ip: event.ip.map(|ip| ip.to_string()),
        asn: event.asn,
        country: event.country.as_ref().and_then(|code| std::str::from_utf8(code).ok()),
        user_agent: event.user_agent.as_deref(),
        method: event.method.as_deref(),
        endpoint: event.endpoint.as_deref(),
        status: event.status,
        model: event.model.as_deref(),
        tokens: event.tokens,
        spend: event.spend.map(Money::units),
        issued: event.issued.map(|time| time.to_string()),
        expires: event.expires.map(|time| time.to_string()),
        family: event.family.as_deref(),
        issuer: event.issuer.as_deref(),
        gateway: event.gateway.as_deref(),
    };
    serde_json::to_string(&written).unwrap_or_default()
}
