//! An operator's own JSON, read by JSON pointers (RFC 6901).

use super::context::Context;
use super::details::{self, clean};
use super::pointer::Pointer;
use super::refusal::{Refusal, of_json};
use super::repair::read_json;
use super::scalar::{Scalar, is_absent};
use super::verified::{Verified, VerifiedRule, is_preflight};
use crate::model::credential::Kind;
use crate::model::event::{AuthEvent, Field, Outcome};
use crate::model::time::EventTime;
use hashbrown::HashMap;
use serde_json::Value;
use std::borrow::Cow;

/// Where the fields of an auth event are in the operator's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The credential's id.
    pub credential: Pointer,
    /// The event time.
    pub time: Pointer,
    /// The kind where no field says it.
    pub default_kind: Kind,
    /// The kind.
    pub kind: Option<Pointer>,
    /// The outcome.
    pub outcome: Option<Pointer>,
    /// The meanings of the operator's words for outcomes; `true` and `false` are words, too.
    pub outcomes: HashMap<String, Outcome>,
    /// The status code.
    pub status: Option<Pointer>,
    /// The rule that shows that the caller holds the credential.
    pub verified: Verified,
    /// The fields that decide nothing.
    pub details: Vec<(Field, Pointer)>,
}

impl Mapping {
    /// The two fields that every record needs, and nothing else.
    pub fn new(credential: Pointer, time: Pointer) -> Self {
        Self {
            credential,
            time,
            default_kind: Kind::default(),
            kind: None,
            outcome: None,
            outcomes: HashMap::new(),
            status: None,
            verified: Verified::default(),
            details: Vec::new(),
        }
    }
}

/// Decodes one record.
///
/// # Errors
/// The reason why it is refused.
pub fn decode<'a>(
    mapping: &Mapping,
    record: &'a [u8],
    context: &Context<'_>,
) -> Result<AuthEvent<'a>, Refusal> {
    context.limits.check_size(record)?;
    read_json(record, |text| {
        let value: Value = serde_json::from_str(text).map_err(|error| of_json(text, &error))?;
        if value.is_object() { event(mapping, &value, context) } else { Err(Refusal::WrongType) }
    })
}

fn event(
    mapping: &Mapping,
    record: &Value,
    context: &Context<'_>,
) -> Result<AuthEvent<'static>, Refusal> {
    let at = |pointer: &Pointer| pointer.find(record).map_or(Scalar::Null, Scalar::from);
    let deciding = |pointer: &Option<Pointer>| pointer.as_ref().map_or(Scalar::Null, at);
    let time = at(&mapping.time);
    if time.is_null() {
        return Err(Refusal::MissingTime);
    }
    let time = context.limits.check_time(time_of(&time).ok_or(Refusal::InvalidTime)?)?;
    let credential = at(&mapping.credential).text().ok_or(Refusal::NoCredential)?;
    let status = deciding(&mapping.status).status()?;
    let stated = outcome(mapping, deciding(&mapping.outcome))?;
    let verified = match &mapping.verified {
        Verified::Rule(rule) => rule.verifies(status),
        Verified::Outcome => stated.is_some_and(Outcome::implies_verified),
        Verified::Field(pointer) => at(pointer).flag()?.unwrap_or(false),
    };
    let mut event = AuthEvent {
        kind: deciding(&mapping.kind).kind()?.unwrap_or(mapping.default_kind),
        outcome: stated.unwrap_or_else(|| Outcome::of_status(status)),
        verified,
        status,
        ..AuthEvent::new(time, credential)
    };
    for (field, pointer) in &mapping.details {
        let value = match (field, at(pointer)) {
            (Field::Issued | Field::Expires, Scalar::Text(text)) => ms_in(text),
            (_, value) => value,
        };
        details::set(&mut event, *field, value, context);
    }
    let by_status = mapping.verified == Verified::Rule(VerifiedRule::Success);
    event.verified &= !by_status || !is_preflight(&event);
    clean(&mut event, context)?;
    Ok(event.into_owned())
}

/// The meaning of the operator's word.
fn outcome(mapping: &Mapping, value: Scalar<'_>) -> Result<Option<Outcome>, Refusal> {
    if value.is_null() || matches!(&value, Scalar::Text(word) if is_absent(word)) {
        return Ok(None);
    }
    let word = if let Scalar::Bool(flag) = value {
        Cow::Borrowed(if flag { "true" } else { "false" })
    } else {
        value.text().ok_or(Refusal::InvalidField)?
    };
    let known = mapping.outcomes.get(word.as_ref()).copied().or_else(|| Outcome::parse(&word));
    known.map(Some).ok_or(Refusal::InvalidField)
}

/// RFC 3339, integer milliseconds, or a text of either.
fn time_of(value: &Scalar<'_>) -> Option<EventTime> {
    if let Scalar::Text(text) = value { ms_in(text.clone()).time() } else { value.time() }
}

/// Milliseconds that are in a text as the number that they are.
fn ms_in(text: Cow<'_, str>) -> Scalar<'_> {
    text.parse().map_or(Scalar::Text(text), |ms: i64| {
        u64::try_from(ms).map_or(Scalar::Negative(ms), Scalar::Unsigned)
    })
}
