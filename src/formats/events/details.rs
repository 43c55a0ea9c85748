//! The fields of an event that decide nothing: read in every spelling that is known, else left out and
//! counted. Every decoder sets them here, and ends with `clean`.

use super::context::Context;
use super::refusal::Refusal;
use super::scalar::{Scalar, is_absent};
use crate::model::credential::{NAME_BYTES_MAX, check_id, has_control};
use crate::model::event::{AuthEvent, Field};
use crate::model::money::Money;
use crate::model::time::EventTime;
use std::borrow::Cow;

/// The longest text of a client that is looked into, and the longest name that is cleaned; more is cut,
/// or left out, and counted. Unit: bytes. Chosen: long for a path or an agent, cheap to scan.
const TEXT_BYTES_MAX: usize = 1024;

/// Sets `field` from what a record holds; a value that can't be read is left out and counted.
pub(in crate::formats) fn set<'a>(
    event: &mut AuthEvent<'a>,
    field: Field,
    value: Scalar<'a>,
    context: &Context<'_>,
) {
    if value.is_null() || matches!(&value, Scalar::Text(text) if is_absent(text)) {
        return;
    }
    let text = |value: Scalar<'a>| value.text();
    let is_read = match field {
        Field::Text => true,
        Field::Id => keep(&mut event.id, text(value)),
        Field::Tenant => keep(&mut event.tenant, text(value)),
        Field::Subject => keep(&mut event.subject, text(value)),
        Field::Reason => keep(&mut event.reason, text(value)),
        Field::UserAgent => keep(&mut event.user_agent, text(value)),
        Field::Method => keep(&mut event.method, text(value)),
        Field::Endpoint => keep(&mut event.endpoint, text(value)),
        Field::Model => keep(&mut event.model, text(value)),
        Field::Family => keep(&mut event.family, text(value)),
        Field::Issuer => keep(&mut event.issuer, text(value)),
        Field::Gateway => keep(&mut event.gateway, text(value)),
        Field::Ip => {
            let client = text(value).and_then(|text| context.proxies.client(&text));
            keep(&mut event.ip, client)
        }
        Field::Asn => keep(&mut event.asn, asn(&value)),
        Field::Country => keep(&mut event.country, text(value).and_then(|text| country(&text))),
        Field::Tokens => keep(&mut event.tokens, value.whole()),
        Field::Spend => keep(&mut event.spend, value.number().and_then(Money::of)),
        Field::Issued => keep(&mut event.issued, value.time()),
        Field::Expires => keep(&mut event.expires, value.time()),
    };
    if !is_read {
        event.repairs.add(field);
    }
}

/// Sets `issued` or `expires`; a time that can't be read is left out and counted.
pub(in crate::formats) fn set_time(
    event: &mut AuthEvent<'_>,
    field: Field,
    time: Option<EventTime>,
) {
    let slot = if field == Field::Issued { &mut event.issued } else { &mut event.expires };
    if !keep(slot, time) {
        event.repairs.add(field);
    }
}

fn keep<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    *slot = value;
    slot.is_some()
}

/// `64500`, also as `"AS64500"`.
fn asn(value: &Scalar<'_>) -> Option<u32> {
    if let Scalar::Text(text) = value {
        let text = text.trim();
        let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
        return digits.parse().ok();
    }
    u32::try_from(value.whole()?).ok()
}

/// A code of ISO 3166, two letters.
fn country(text: &str) -> Option<[u8; 2]> {
    let code: [u8; 2] = text.trim().as_bytes().try_into().ok()?;
    code.iter().all(u8::is_ascii_alphabetic).then(|| code.map(|letter| letter.to_ascii_uppercase()))
}

/// Takes secrets out of an event and holds its names against their limits.
///
/// # Errors
/// When the credential can't be kept.
pub(in crate::formats) fn clean(
    event: &mut AuthEvent<'_>,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let fingerprints = context.fingerprints;
    if is_absent(&event.credential) {
        return Err(Refusal::NoCredential);
    }
    if let Some(found) = fingerprints.replace_credential(event.kind, &event.credential) {
        event.held_secret = true;
        event.credential = Cow::Owned(found.id);
        event.kind = found.kind.unwrap_or(event.kind);
        event.expires = event.expires.or(found.expires);
        event.subject = event.subject.take().or(found.subject.map(Cow::Owned));
        event.issuer = event.issuer.take().or(found.issuer.map(Cow::Owned));
        event.issued = event.issued.or(found.issued);
    }
    check_id(&event.credential)?;
    if let Some(endpoint) = &mut event.endpoint {
        cut_query(endpoint);
    }
    // The first six name things; the others are what clients happen to send.
    let texts = [
        (&mut event.id, Field::Id),
        (&mut event.tenant, Field::Tenant),
        (&mut event.subject, Field::Subject),
        (&mut event.family, Field::Family),
        (&mut event.issuer, Field::Issuer),
        (&mut event.gateway, Field::Gateway),
        (&mut event.reason, Field::Reason),
        (&mut event.user_agent, Field::UserAgent),
        (&mut event.method, Field::Method),
        (&mut event.endpoint, Field::Endpoint),
        (&mut event.model, Field::Model),
    ];
    for (place, (slot, field)) in texts.into_iter().enumerate() {
        let Some(text) = slot else { continue };
        let is_name = place < 6;
        if text.len() > TEXT_BYTES_MAX {
            // The cost of an event is bounded, whatever its client sends.
            event.repairs.add(field);
            if is_name {
                *slot = None;
                continue;
            }
            cut(text);
        }
        let clean = if field == Field::Id {
            fingerprints.clean_event_id(text)
        } else if is_name {
            fingerprints.clean_name(text)
        } else {
            fingerprints.clean_text(text)
        };
        if let Some(clean) = clean {
            event.held_secret = true;
            *text = Cow::Owned(clean);
        }
        if is_name && (text.len() > NAME_BYTES_MAX || has_control(text)) {
            *slot = None;
            event.repairs.add(field);
        }
    }
    Ok(())
}

/// Cuts a text at its limit, before the word that the limit would cut: a part of a secret is not known
/// as one.
fn cut(text: &mut Cow<'_, str>) {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    let head = text.get(..end).unwrap_or("");
    let is_joint = |c: char| c.is_whitespace() || "/,;&?=()\"'".contains(c);
    truncate(text, head.rfind(is_joint).unwrap_or(0));
}

fn truncate(text: &mut Cow<'_, str>, end: usize) {
    match text {
        Cow::Borrowed(text) => *text = text.get(..end).unwrap_or(""),
        Cow::Owned(text) => text.truncate(end),
    }
}

/// Queries and fragments carry secrets; the path does for detection.
fn cut_query(endpoint: &mut Cow<'_, str>) {
    let Some(cut) = endpoint.find(['?', '#']) else { return };
    truncate(endpoint, cut);
}
