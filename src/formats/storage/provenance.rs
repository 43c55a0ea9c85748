//! Where a decision comes from, as JSON in a store that all instances write: for instances, not for gateways.
//!
//! ```text
//! {"credential":"api_key:key_1","instance":"6b0c…","base":3,"by":"ada","at":1790000000000}
//! ```
//! Times: milliseconds since 1970.

use crate::model::credential::Credential;
use crate::model::decision::{Decision, Generation, InstanceId, Provenance, Safeguard};
use crate::model::time::EventTime;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The longest text that is read. Unit: bytes. Chosen: an id, a name and a tenant are at most a few hundred each.
const BYTES_MAX: usize = 8_192;

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    credential: Cow<'a, str>,
    instance: String,
    base: u64,
    by: Cow<'a, str>,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    waits: bool,
}

/// Writes where a decision of `instance` comes from.
pub fn encode(decision: &Decision, instance: InstanceId) -> String {
    let written = Written {
        credential: decision.credential.to_string().into(),
        instance: instance.to_string(),
        base: decision.base.0,
        by: decision.by.as_str().into(),
        at: decision.at.ms(),
        until: decision.until.map(EventTime::ms),
        expires: decision.expires.map(EventTime::ms),
        tenant: decision.tenant.as_deref().map(Into::into),
        waits: decision.held_by.contains(&Safeguard::Approval),
    };
    serde_json::to_string(&written).unwrap_or_default()
}

/// Reads it, with the reason that stands elsewhere; none if tripline can't have written it.
pub fn decode(text: &str, reason: &str) -> Option<(Credential, Provenance)> {
    let written: Written<'_> =
        serde_json::from_str(text).ok().filter(|_| text.len() <= BYTES_MAX)?;
    let provenance = Provenance {
        instance: InstanceId::parse(&written.instance)?,
        base: Generation(written.base),
        by: written.by.as_ref().into(),
        reason: reason.to_owned(),
        at: EventTime::from_ms(written.at),
        until: written.until.map(EventTime::from_ms),
        expires: written.expires.map(EventTime::from_ms),
        tenant: written.tenant.map(|tenant| tenant.as_ref().into()),
        waits: written.waits,
    };
    Some((Credential::parse(&written.credential).ok()?, provenance))
}
