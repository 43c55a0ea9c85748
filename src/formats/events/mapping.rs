//! An operator's own JSON, read by JSON pointers (RFC 6901).

use super::context::Context;
use super::details::{self, clean};
use super::log_format::LogFormat;
use super::place::{Part, Pattern, Place};
use super::pointer::{Pointer, without_dots};
use super::refusal::{Refusal, of_json};
use super::repair::{read_json, read_text};
use super::scalar::Scalar;
use super::verified::{Verified, VerifiedRule, is_preflight};
use crate::model::credential::Kind;
use crate::model::event::{AuthEvent, Field, Outcome};
use hashbrown::HashMap;
use serde_json::Value;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};

/// Where the fields of an auth event are in the operator's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The name of the format: `mapping`, or that of the catalog.
    pub name: &'static str,
    /// The format of lines that are no JSON: their variables are the fields of a record.
    pub line: Option<LogFormat>,
    /// Which lines are passed over: those that hold no record, as headers.
    pub skip: Option<Pattern>,
    /// Whether a name with dots in a record is several nested ones.
    pub is_dotted: bool,
    /// Values that a record must have, one of the texts at each pointer, or in the list there; others are passed over.
    pub only: Vec<(Pointer, Vec<String>)>,
    /// The credential's id, or its secret.
    pub credential: Place,
    /// Whether of several secrets of a request the first one counts alone, as the gateway looks at no other.
    pub takes_first: bool,
    /// The event time.
    pub time: Place,
    /// The kind where no field says it.
    pub default_kind: Kind,
    /// The kind.
    pub kind: Option<Place>,
    /// The outcome.
    pub outcome: Option<Place>,
    /// The meanings of the operator's words for outcomes; `true`, `false` and numbers are words, too.
    pub outcomes: HashMap<String, Outcome>,
    /// The meaning of all other words. None: such a record is refused.
    pub default_outcome: Option<Outcome>,
    /// The status code.
    pub status: Option<Place>,
    /// The rule that shows that the caller holds the credential.
    pub verified: Verified,
    /// The fields that decide nothing.
    pub details: Vec<(Field, Place)>,
}

impl Mapping {
    /// The two fields that every record needs, and nothing else.
    pub fn new(credential: impl Into<Place>, time: impl Into<Place>) -> Self {
        Self {
            name: "mapping",
            line: None,
            skip: None,
            is_dotted: false,
            only: Vec::new(),
            credential: credential.into(),
            takes_first: false,
            time: time.into(),
            default_kind: Kind::default(),
            kind: None,
            outcome: None,
            outcomes: HashMap::new(),
            default_outcome: None,
            status: None,
            verified: Verified::default(),
            details: Vec::new(),
        }
    }

    /// Whether a record is one of those that are wanted.
    fn wants(&self, record: &Value) -> bool {
        self.only.iter().all(|(pointer, texts)| {
            let is_wanted = |value: &Value| {
                let text = Scalar::from(value).text();
                text.is_some_and(|text| texts.iter().any(|wanted| *wanted == *text))
            };
            pointer.find(record).is_some_and(|value| match value.as_array() {
                Some(values) => values.iter().any(is_wanted),
                None => is_wanted(value),
            })
        })
    }
}

/// Decodes one record, with an answer for each credential of its request; none if it is not one of those that are
/// wanted.
pub fn decode<'a>(
    mapping: &Mapping,
    record: &'a [u8],
    context: &Context<'_>,
    each: &mut impl FnMut(Result<AuthEvent<'a>, Refusal>),
) {
    if let Err(refusal) = context.limits.check_size(record) {
        return each(Err(refusal));
    }
    // A record that is repaired is looked at again: what counts is the last time.
    let (further, is_unwanted) = (RefCell::new(Vec::new()), Cell::new(false));
    let events = |record: &Value| {
        is_unwanted.set(!mapping.wants(record));
        let all_are_secrets = context.fingerprints.is_for_raw_secrets();
        let mut credentials = mapping.credential.credentials(record, all_are_secrets);
        if mapping.takes_first
            && let Some(first) = credentials.first().map(|(_, part)| *part)
        {
            credentials.retain(|(_, part)| std::ptr::eq(*part, first));
        }
        // The gateway looked at one of several secrets; none can say which. A fingerprint takes the secret, the
        // claims of a JWT are anyone's to write.
        let apart = (credentials.len() > 1).then(|| context.fingerprints.without_claims());
        let fingerprints = apart.as_ref().unwrap_or(context.fingerprints);
        let context = &Context { fingerprints, ..*context };
        let mut credentials = credentials.into_iter();
        let first = event(mapping, record, credentials.next(), context);
        let others = credentials.map(|other| event(mapping, record, Some(other), context));
        further.replace(others.collect());
        first
    };
    let answer = if let Some(format) = &mapping.line {
        read_text(record, |line| {
            is_unwanted.set(mapping.skip.as_ref().is_some_and(|skip| skip.is_in(line)));
            match format.read(line) {
                Some(record) if !is_unwanted.get() => events(&record),
                Some(_) | None => Err(Refusal::MalformedLine),
            }
        })
    } else {
        read_json(record, |text| {
            let value: Value = serde_json::from_str(text).map_err(|error| of_json(text, &error))?;
            let value = if mapping.is_dotted { without_dots(value) } else { value };
            if value.is_object() { events(&value) } else { Err(Refusal::WrongType) }
        })
    };
    if !is_unwanted.get() {
        each(answer);
        further.into_inner().into_iter().for_each(each);
    }
}

fn event(
    mapping: &Mapping,
    record: &Value,
    credential: Option<(Scalar<'_>, &Part)>,
    context: &Context<'_>,
) -> Result<AuthEvent<'static>, Refusal> {
    let (time, part) = mapping.time.find(record).ok_or(Refusal::MissingTime)?;
    let time = part.time_format.read(&time).ok_or(Refusal::InvalidTime)?;
    let time = context.limits.check_time(time)?;
    let (credential, part) = credential.ok_or(Refusal::NoCredential)?;
    let credential = credential.text().ok_or(Refusal::NoCredential)?;
    let fingerprint = part.fingerprint;
    let status = deciding(mapping.status.as_ref(), record).status()?;
    let stated = outcome(mapping, deciding(mapping.outcome.as_ref(), record))?;
    let verified = match &mapping.verified {
        Verified::Rule(rule) => rule.verifies(status),
        Verified::Outcome => stated.is_some_and(Outcome::implies_verified),
        Verified::Field(pointer) => flag(pointer, record)?,
    };
    let mut event = AuthEvent {
        kind: deciding(mapping.kind.as_ref(), record).kind()?.unwrap_or(mapping.default_kind),
        outcome: stated.unwrap_or_else(|| Outcome::of_status(status)),
        verified,
        status,
        ..AuthEvent::new(time, credential)
    };
    for (field, place) in &mapping.details {
        let Some((value, part)) = place.find(record) else { continue };
        if matches!(field, Field::Issued | Field::Expires) {
            details::set_time(&mut event, *field, part.time_format.read(&value));
        } else {
            details::set(&mut event, *field, value, context);
        }
    }
    let by_status = mapping.verified == Verified::Rule(VerifiedRule::Success);
    event.verified &= !by_status || !is_preflight(&event);
    let own = fingerprint.map(|is_secret| {
        if is_secret {
            context.fingerprints.for_raw_secrets()
        } else {
            context.fingerprints.clone().with_random_ids(true)
        }
    });
    let fingerprints = own.as_ref().unwrap_or(context.fingerprints);
    clean(&mut event, &Context { fingerprints, ..*context })?;
    Ok(event.into_owned())
}

/// A value that decides whether a use counts; null where there is none.
fn deciding<'a>(place: Option<&'a Place>, record: &'a Value) -> Scalar<'a> {
    place.and_then(|place| place.find(record)).map_or(Scalar::Null, |(value, _)| value)
}

/// A boolean of the record; false where there is none.
fn flag(pointer: &Pointer, record: &Value) -> Result<bool, Refusal> {
    Ok(pointer.find(record).map_or(Scalar::Null, Scalar::from).flag()?.unwrap_or(false))
}

/// The meaning of the operator's word.
fn outcome(mapping: &Mapping, value: Scalar<'_>) -> Result<Option<Outcome>, Refusal> {
    if value.is_null() {
        return Ok(None);
    }
    let word = if let Scalar::Bool(flag) = value {
        Cow::Borrowed(if flag { "true" } else { "false" })
    } else {
        value.text().ok_or(Refusal::InvalidField)?
    };
    let known = mapping.outcomes.get(word.as_ref()).copied().or_else(|| Outcome::parse(&word));
    known.or(mapping.default_outcome).map(Some).ok_or(Refusal::InvalidField)
}
