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

/// The end of the year 9999. Unit: milliseconds since 1970.
const YEAR_9999_MS: i64 = 253_402_300_799_000;

/// The longest reason that is kept. Unit: bytes. Chosen: longer than the API takes.
const REASON_BYTES_MAX: usize = 4_096;

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

/// The beginning of a reason, cut between characters.
fn beginning(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default()
}

/// Whether a decision can have that time, which has to be written as RFC 3339 and read again.
pub fn is_possible(time: EventTime) -> bool {
    (0..=YEAR_9999_MS).contains(&time.ms())
}

/// Reads it, with the reason that stands elsewhere, of which the beginning is kept; none if tripline can't have
/// written it.
pub fn decode(text: &str, reason: &str) -> Option<(Credential, Provenance)> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let written: Written<'_> = serde_json::from_str(text).ok()?;
    let times = [Some(written.at), written.until, written.expires];
    if !times.into_iter().flatten().all(|ms| is_possible(EventTime::from_ms(ms))) {
        return None;
    }
    let provenance = Provenance {
        instance: InstanceId::parse(&written.instance)?,
        base: Generation(written.base),
        by: written.by.as_ref().into(),
        reason: beginning(reason).to_owned(),
        at: EventTime::from_ms(written.at),
        until: written.until.map(EventTime::from_ms),
        expires: written.expires.map(EventTime::from_ms),
        tenant: written.tenant.map(|tenant| tenant.as_ref().into()),
        waits: written.waits,
    };
    Some((Credential::parse(&written.credential).ok()?, provenance))
}

#[cfg(test)]
mod tests {
    use super::{REASON_BYTES_MAX, YEAR_9999_MS, decode};
    use crate::formats::storage::journal::{Entry, Link, encode, read_line};
    use crate::model::credential::Credential;
    use crate::model::decision::{Decision, DecisionId, Generation, Mode, Order};
    use crate::model::finding::Action;
    use proptest::prelude::*;

    fn time() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -1_000_i64..1_000, (YEAR_9999_MS - 1_000)..(YEAR_9999_MS + 1_000)]
    }

    proptest! {
        /// An instance that followed a decision whose line it can't read again would never start again.
        #[test]
        fn the_journal_of_each_decision_that_is_believed_can_be_read_again(
            at in time(),
            until in prop::option::of(time()),
            expires in prop::option::of(time()),
            (by, tenant, reason) in (".{0,40}", ".{0,40}", ".{0,40}"),
        ) {
            let json = serde_json::json!({
                "credential": "api_key:k", "instance": "00000000000000aa", "base": 1, "by": by,
                "at": at, "until": until, "expires": expires, "tenant": tenant,
            });
            if let Some((credential, from)) = decode(&json.to_string(), &reason) {
                let order = Order::Act(Action::Revoke);
                let decision = Decision {
                    id: DecisionId::of(&credential, Generation(2), from.at, (None, order)),
                    finding: None,
                    credential,
                    tenant: from.tenant,
                    generation: Generation(2),
                    base: from.base,
                    origin: Some(from.instance),
                    wanted: Action::Revoke,
                    order,
                    mode: Mode::Revoke,
                    carried_out: true,
                    held_by: Vec::new(),
                    until: from.until,
                    at: from.at,
                    expires: from.expires,
                    by: from.by,
                    reason: from.reason,
                    evidence: Vec::new(),
                };
                let entry = Entry::Decision(Box::new(decision));
                let (line, _) = encode(&entry, 1, &Link::first());
                prop_assert_eq!(read_line(&line).ok(), Some(entry));
            }
        }
    }

    #[test]
    fn a_long_reason_is_cut_and_a_long_origin_is_not_read() {
        let json = r#"{"credential":"k","instance":"00000000000000aa","base":0,"by":"ada","at":0}"#;
        let (credential, from) = decode(json, &"é".repeat(REASON_BYTES_MAX)).expect("it is one");
        assert_eq!(credential, Credential::parse("k").expect("valid"));
        assert_eq!(from.reason.len(), REASON_BYTES_MAX);
        let padded = format!("{json}{}", " ".repeat(10_000));
        assert_eq!(decode(&padded, ""), None);
    }
}
