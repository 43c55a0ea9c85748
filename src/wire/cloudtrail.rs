//! AWS CloudTrail: `{"Records":[…]}` documents and single records.

use super::native::{Text, clean};
use super::refusal::{Limits, Refusal, check_depth, of_json};
use super::secret::Fingerprinter;
use super::time::rfc3339;
use crate::model::event::{AuthEvent, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A document holds one record or many; the others fields are not looked at.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    event_time: Option<Text<'a>>,
    #[serde(borrow, rename = "eventID")]
    event_id: Option<Text<'a>>,
    #[serde(borrow)]
    event_source: Option<Text<'a>>,
    #[serde(borrow)]
    event_name: Option<Text<'a>>,
    #[serde(borrow, rename = "sourceIPAddress")]
    source_ip_address: Option<Text<'a>>,
    #[serde(borrow)]
    user_agent: Option<Text<'a>>,
    #[serde(borrow)]
    error_code: Option<Text<'a>>,
    #[serde(borrow)]
    user_identity: Option<UserIdentity<'a>>,
    #[serde(borrow)]
    recipient_account_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity<'a> {
    #[serde(borrow)]
    access_key_id: Option<Text<'a>>,
    #[serde(borrow)]
    account_id: Option<Text<'a>>,
    #[serde(borrow)]
    arn: Option<Text<'a>>,
    #[serde(borrow)]
    user_name: Option<Text<'a>>,
}

/// Errors by which the service says that it did not believe the caller.
/// Source: AWS General Reference, "Common errors".
const REJECTED: [&str; 10] = [
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
];

/// Errors by which the service says that an authenticated caller is too fast.
const THROTTLED: [&str; 6] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
];

/// `AccessDenied` and the like come after authentication: the caller does hold the key.
fn outcome(error_code: Option<&str>) -> Outcome {
    // Some services put their name in front: `Client.RequestLimitExceeded`.
    let code = error_code.map(|code| code.rsplit('.').next().unwrap_or(code));
    match code {
        Some(code) if REJECTED.contains(&code) => Outcome::Rejected,
        Some(code) if THROTTLED.contains(&code) => Outcome::Throttled,
        _ => Outcome::Accepted,
    }
}

/// Decodes a document, one answer a record in it.
pub fn decode<'a>(
    document: &'a [u8],
    limits: &Limits,
    fingerprints: &Fingerprinter,
    each: &mut impl FnMut(Result<AuthEvent<'a>, Refusal>),
) {
    if let Err(refusal) = limits.check_size(document) {
        return each(Err(refusal));
    }
    let Ok(text) = std::str::from_utf8(document) else {
        return each(Err(Refusal::InvalidUtf8));
    };
    match serde_json::from_str::<Document<'a>>(text) {
        Ok(Document { records: Some(records) }) => {
            for record in records {
                each(decode_one(record.get(), limits, fingerprints));
            }
        }
        Ok(Document { records: None }) => each(decode_one(text, limits, fingerprints)),
        Err(error) => each(Err(of_json(text, &error))),
    }
}

fn decode_one<'a>(
    text: &'a str,
    limits: &Limits,
    fingerprints: &Fingerprinter,
) -> Result<AuthEvent<'a>, Refusal> {
    check_depth(text)?;
    let record: Record<'a> = serde_json::from_str(text).map_err(|error| of_json(text, &error))?;
    let time = record.event_time.ok_or(Refusal::MissingTime)?;
    let time = limits.check_time(rfc3339(&time.0).ok_or(Refusal::InvalidTime)?)?;
    let identity = record.user_identity.ok_or(Refusal::NoCredential)?;
    let key = identity.access_key_id.filter(|key| !key.0.is_empty());
    let key = key.ok_or(Refusal::NoCredential)?;
    let code = record.error_code.as_ref().map(|code| &*code.0);
    let endpoint = match (record.event_source, record.event_name) {
        (Some(source), Some(name)) => Some(Cow::Owned(format!("{}/{}", source.0, name.0))),
        (source, name) => name.or(source).map(|text| text.0),
    };
    let mut event = AuthEvent {
        outcome: outcome(code),
        id: record.event_id.map(|text| text.0),
        tenant: identity.account_id.or(record.recipient_account_id).map(|text| text.0),
        subject: identity.arn.or(identity.user_name).map(|text| text.0),
        ip: record.source_ip_address.and_then(|text| text.0.parse().ok()),
        user_agent: record.user_agent.map(|text| text.0),
        reason: record.error_code.map(|text| text.0),
        endpoint,
        ..AuthEvent::new(time, key.0)
    };
    clean(&mut event, fingerprints)?;
    Ok(event)
}
