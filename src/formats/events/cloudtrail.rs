//! AWS CloudTrail: `{"Records":[…]}` documents and single records.

use super::context::Context;
use super::details::{self, clean};
use super::refusal::{Refusal, check_depth, of_json};
use super::repair::{read_json, without_mark};
use super::scalar::{Scalar, is_absent};
use super::split::{Elements, first_value, instances};
use crate::formats::time::rfc3339;
use crate::model::event::{AuthEvent, Field, Outcome};
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Record<'a> {
    #[serde(borrow)]
    event_time: Scalar<'a>,
    #[serde(borrow, rename = "eventID")]
    event_id: Scalar<'a>,
    #[serde(borrow)]
    event_source: Scalar<'a>,
    #[serde(borrow)]
    event_name: Scalar<'a>,
    #[serde(borrow, rename = "sourceIPAddress")]
    source_ip_address: Scalar<'a>,
    #[serde(borrow)]
    user_agent: Scalar<'a>,
    #[serde(borrow)]
    error_code: Scalar<'a>,
    #[serde(borrow)]
    error_message: Scalar<'a>,
    #[serde(borrow)]
    user_identity: Option<UserIdentity<'a>>,
    #[serde(borrow)]
    recipient_account_id: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UserIdentity<'a> {
    #[serde(borrow)]
    access_key_id: Scalar<'a>,
    #[serde(borrow)]
    account_id: Scalar<'a>,
    #[serde(borrow)]
    arn: Scalar<'a>,
    #[serde(borrow)]
    user_name: Scalar<'a>,
}

/// Errors by which the service says that it did not believe the caller: the call is `rejected`.
/// Source: AWS General Reference, "Common errors"; services add `Exception` to some.
const REJECTED: [&str; 14] = [
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignature",
    "InvalidToken",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
    "ExpiredToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "TokenRefreshRequired",
];

/// Errors that come after the signature was checked: the caller holds the key, and may not do that.
const DENIED: [&str; 4] =
    ["AccessDenied", "UnauthorizedOperation", "AuthorizationError", "UnauthorizedAccess"];

/// Errors by which the service says that a caller is too fast.
const THROTTLED: [&str; 6] = [
    "Throttling",
    "Throttled",
    "RequestLimitExceeded",
    "TooManyRequests",
    "SlowDown",
    "ProvisionedThroughputExceeded",
];

/// The outcome of a call, and whether it shows that the caller holds the key: a success and a refusal
/// of what a known caller may do does. A failed signature or token does not, nor does a code that is
/// not known here, an error that is not named, or a limit, which may be applied before the signature is
/// checked. A login at the console that failed says so besides the code.
fn outcome(text: &str, record: &Record<'_>) -> Result<(Outcome, bool), Refusal> {
    let code = match record.error_code.only_text()? {
        None if is_failed_login(text, record) => return Ok((Outcome::Rejected, false)),
        None => return Ok((Outcome::Accepted, record.error_message.is_null())),
        Some(code) if is_absent(code) => return Ok((Outcome::Accepted, false)),
        Some(code) => code.trim(),
    };
    // Some services put their name in front: `Client.RequestLimitExceeded`.
    let code = code.rsplit('.').next().unwrap_or(code);
    let code = code.strip_suffix("Exception").unwrap_or(code);
    Ok(match code {
        code if DENIED.contains(&code) => (Outcome::Rejected, true),
        code if REJECTED.contains(&code) => (Outcome::Rejected, false),
        code if THROTTLED.contains(&code) => (Outcome::Throttled, false),
        _ => (Outcome::Accepted, false),
    })
}

/// Whether it is a login by password that failed. Source: AWS, "`CloudTrail` record for console sign-in".
fn is_failed_login(text: &str, record: &Record<'_>) -> bool {
    if !matches!(&record.event_name, Scalar::Text(name) if name == "ConsoleLogin") {
        return false;
    }
    let instance = |of, wanted: &[u8]| instances(of).find(|(name, _)| *name == wanted);
    let response = instance(text.as_bytes(), b"responseElements");
    let result = response.and_then(|(_, response)| instance(response, b"ConsoleLogin"));
    !record.error_message.is_null() || result.is_none_or(|(_, result)| result != b"\"Success\"")
}

/// Decodes documents one after the other, each a record, an array of records or `{"Records": […]}`;
/// one answer a record.
pub fn decode<'a>(
    documents: &'a [u8],
    context: &Context<'_>,
    each: &mut impl FnMut(Result<AuthEvent<'a>, Refusal>),
) {
    let mut rest = without_mark(documents);
    if rest.trim_ascii().is_empty() {
        return each(Err(Refusal::Empty));
    }
    while let Some((document, after)) = first_value(rest) {
        rest = after;
        let records = instances(document).find(|(name, _)| *name == b"Records");
        let array = records.map_or(document, |(_, array)| array);
        let Some(mut elements) = Elements::of(array) else {
            each(decode_one(document, context));
            continue;
        };
        let mut was_refused = false;
        for record in elements.by_ref() {
            let answer = decode_one(record, context);
            was_refused = answer.is_err();
            each(answer);
        }
        if elements.has_other_fault(was_refused) {
            each(Err(Refusal::InvalidJson));
        }
    }
}

fn decode_one<'a>(record: &'a [u8], context: &Context<'_>) -> Result<AuthEvent<'a>, Refusal> {
    context.limits.check_size(record)?;
    read_json(record, |text| decode_text(text, context))
}

fn decode_text<'a>(text: &'a str, context: &Context<'_>) -> Result<AuthEvent<'a>, Refusal> {
    check_depth(text)?;
    let record: Record<'a> = serde_json::from_str(text).map_err(|error| of_json(text, &error))?;
    let time = record.event_time.only_text().map_err(|_| Refusal::InvalidTime)?;
    let time = rfc3339(time.ok_or(Refusal::MissingTime)?).ok_or(Refusal::InvalidTime)?;
    let time = context.limits.check_time(time)?;
    let outcome = outcome(text, &record);
    let identity = record.user_identity.ok_or(Refusal::NoCredential)?;
    let key = identity.access_key_id.only_text()?.cloned().ok_or(Refusal::NoCredential)?;
    let (outcome, verified) = outcome?;
    let endpoint = match (record.event_source, record.event_name) {
        (Scalar::Text(source), Scalar::Text(name)) => {
            Scalar::Text(Cow::Owned(format!("{source}/{name}")))
        }
        (source, Scalar::Null) => source,
        (_, name) => name,
    };
    let mut event = AuthEvent { outcome, verified, ..AuthEvent::new(time, key) };
    // The address is the name of a service where AWS calls itself.
    let is_service = |address: &Scalar<'_>| matches!(address, Scalar::Text(text) if text.ends_with(".amazonaws.com"));
    let address = Some(record.source_ip_address).filter(|address| !is_service(address));
    for (field, value) in [
        (Field::Id, record.event_id),
        (Field::Tenant, first_of(identity.account_id, record.recipient_account_id)),
        (Field::Subject, first_of(identity.arn, identity.user_name)),
        (Field::Ip, address.unwrap_or_default()),
        (Field::UserAgent, record.user_agent),
        (Field::Reason, record.error_code),
        (Field::Endpoint, endpoint),
    ] {
        details::set(&mut event, field, value, context);
    }
    clean(&mut event, context)?;
    Ok(event)
}

fn first_of<'a>(one: Scalar<'a>, other: Scalar<'a>) -> Scalar<'a> {
    if one.is_null() { other } else { one }
}
