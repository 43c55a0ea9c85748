//! An operator's own JSON, read by JSON pointers (RFC 6901).

use super::native::{clean, country};
use super::refusal::{Limits, Refusal, of_json};
use super::secret::Fingerprinter;
use super::time::rfc3339;
use crate::model::credential::Kind;
use crate::model::event::{AuthEvent, Outcome};
use crate::model::time::EventTime;
use hashbrown::HashMap;
use serde_json::Value;
use std::borrow::Cow;

/// A JSON pointer, `/user/key` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

/// Why a text is no JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not begin with a slash.
    #[error("a JSON pointer begins with a slash, like /user/key")]
    NoSlash,
    /// A tilde is followed by neither 0 nor 1.
    #[error("in a JSON pointer ~ is written ~0 and / in a name is written ~1")]
    BadEscape,
}

impl Pointer {
    /// Reads a JSON pointer.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if !text.starts_with('/') {
            return Err(PointerError::NoSlash);
        }
        let escapes_well = |part: &str| part.starts_with(['0', '1']);
        if !text.split('~').skip(1).all(escapes_well) {
            return Err(PointerError::BadEscape);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Where the fields of an auth event stand in the operator's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The credential's id.
    pub credential: Pointer,
    /// The event time.
    pub time: Pointer,
    /// The kind where no field says it.
    pub kind: Kind,
    /// The other fields, by their name in the contract.
    pub fields: HashMap<Target, Pointer>,
    /// What the operator's words for outcomes mean.
    pub outcomes: HashMap<String, Outcome>,
}

/// A field of the auth event that a mapping may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named after the fields of the contract")]
pub enum Target {
    Kind,
    Id,
    Tenant,
    Subject,
    Outcome,
    Reason,
    Ip,
    Asn,
    Country,
    UserAgent,
    Method,
    Endpoint,
    Status,
    Tokens,
    Issued,
    Expires,
    Family,
}

impl Target {
    /// Every field.
    pub const ALL: [Self; 17] = [
        Self::Kind,
        Self::Id,
        Self::Tenant,
        Self::Subject,
        Self::Outcome,
        Self::Reason,
        Self::Ip,
        Self::Asn,
        Self::Country,
        Self::UserAgent,
        Self::Method,
        Self::Endpoint,
        Self::Status,
        Self::Tokens,
        Self::Issued,
        Self::Expires,
        Self::Family,
    ];

    /// Its name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Id => "id",
            Self::Tenant => "tenant",
            Self::Subject => "subject",
            Self::Outcome => "outcome",
            Self::Reason => "reason",
            Self::Ip => "ip",
            Self::Asn => "asn",
            Self::Country => "country",
            Self::UserAgent => "user_agent",
            Self::Method => "method",
            Self::Endpoint => "endpoint",
            Self::Status => "status",
            Self::Tokens => "tokens",
            Self::Issued => "issued",
            Self::Expires => "expires",
            Self::Family => "family",
        }
    }
}

/// Decodes one record.
///
/// # Errors
/// The reason why it is refused.
pub fn decode(
    mapping: &Mapping,
    record: &[u8],
    limits: &Limits,
    fingerprints: &Fingerprinter,
) -> Result<AuthEvent<'static>, Refusal> {
    limits.check_size(record)?;
    let text = std::str::from_utf8(record).map_err(|_| Refusal::InvalidUtf8)?;
    let value: Value = serde_json::from_str(text).map_err(|error| of_json(text, &error))?;
    if !value.is_object() {
        return Err(Refusal::WrongType);
    }
    let fields = Found { mapping, value: &value };
    let time = value.pointer(&mapping.time.0).ok_or(Refusal::MissingTime)?;
    let time = limits.check_time(time_of(time).ok_or(Refusal::InvalidTime)?)?;
    let credential = value.pointer(&mapping.credential.0).and_then(text_of);
    let credential = credential.ok_or(Refusal::NoCredential)?;
    let status = fields.number(Target::Status).and_then(|n| u16::try_from(n).ok());
    let mut event = AuthEvent {
        kind: fields.kind()?,
        outcome: fields.outcome(status)?,
        id: fields.text(Target::Id),
        tenant: fields.text(Target::Tenant),
        subject: fields.text(Target::Subject),
        reason: fields.text(Target::Reason),
        ip: fields.text(Target::Ip).and_then(|text| text.parse().ok()),
        asn: fields.number(Target::Asn).and_then(|n| u32::try_from(n).ok()),
        country: fields.text(Target::Country).and_then(|text| country(&text)),
        user_agent: fields.text(Target::UserAgent),
        method: fields.text(Target::Method),
        endpoint: fields.text(Target::Endpoint),
        status,
        tokens: fields.number(Target::Tokens),
        issued: fields.time(Target::Issued),
        expires: fields.time(Target::Expires),
        family: fields.text(Target::Family),
        ..AuthEvent::new(time, credential)
    };
    clean(&mut event, fingerprints)?;
    Ok(event)
}

struct Found<'a> {
    mapping: &'a Mapping,
    value: &'a Value,
}

impl Found<'_> {
    fn at(&self, target: Target) -> Option<&Value> {
        self.value.pointer(&self.mapping.fields.get(&target)?.0)
    }

    fn text(&self, target: Target) -> Option<Cow<'static, str>> {
        self.at(target).and_then(text_of)
    }

    fn number(&self, target: Target) -> Option<u64> {
        let value = self.at(target)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    fn time(&self, target: Target) -> Option<EventTime> {
        self.at(target).and_then(time_of)
    }

    fn kind(&self) -> Result<Kind, Refusal> {
        match self.text(Target::Kind) {
            Some(name) => Kind::parse(&name).ok_or(Refusal::InvalidField),
            None => Ok(self.mapping.kind),
        }
    }

    fn outcome(&self, status: Option<u16>) -> Result<Outcome, Refusal> {
        let Some(word) = self.text(Target::Outcome) else { return Ok(Outcome::of_status(status)) };
        let mapped = self.mapping.outcomes.get(word.as_ref()).copied();
        mapped.or_else(|| Outcome::parse(&word)).ok_or(Refusal::InvalidField)
    }
}

fn text_of(value: &Value) -> Option<Cow<'static, str>> {
    match value {
        Value::String(text) => Some(Cow::Owned(text.clone())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// RFC 3339, integer milliseconds, or a text of either.
fn time_of(value: &Value) -> Option<EventTime> {
    match value {
        Value::String(text) => rfc3339(text).or_else(|| text.parse().ok().map(EventTime::from_ms)),
        Value::Number(ms) => ms.as_i64().map(EventTime::from_ms),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
