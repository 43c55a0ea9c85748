//! A decision and an enforcement state as JSON, by the contract.

use super::finding::{Measures, known, read_credential, read_time, read_time_if};
use super::schema::written_as;
use crate::model::credential::Kind;
use crate::model::decision::{
    Decision, DecisionId, Generation, InstanceId, Mode, Order, Safeguard,
};
use crate::model::finding::{Action, FindingId};
use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// The complete order about one credential. It never changes.
#[derive(Serialize, Deserialize, ToSchema)]
struct DecisionFields<'a> {
    /// Its id, by which stores know a repeated delivery.
    #[schema(value_type = DecisionId)]
    id: Cow<'a, str>,
    /// The finding that justified it; null where a person or an expiry ordered it.
    #[schema(required, value_type = Option<FindingId>)]
    finding: Option<String>,
    /// The id of the credential that it is about.
    credential: Cow<'a, str>,
    /// The kind of that credential.
    #[schema(value_type = Kind)]
    kind: Cow<'a, str>,
    /// The tenant of that credential; null: unknown.
    #[schema(required)]
    tenant: Option<Cow<'a, str>>,
    /// Its rank among the decisions on this credential, from 1; 0 where it is not carried out.
    generation: u64,
    /// The rank of the newest decision of another instance that was known when it was made; absent: none was.
    #[serde(default, skip_serializing_if = "is_none")]
    #[schema(required = false)]
    base: u64,
    /// The instance that made it, 16 hexadecimal digits; absent: the one that is asked did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    origin: Option<String>,
    /// The order after the safeguards; where it is not carried out, the one that would be.
    #[schema(value_type = Order)]
    action: Cow<'a, str>,
    /// The most severe action that the evidence justified.
    #[schema(value_type = Action)]
    wanted: Cow<'a, str>,
    /// The mode in force.
    #[serde(alias = "posture")]
    #[schema(value_type = Mode)]
    mode: Cow<'a, str>,
    /// Whether stores are to carry it out.
    carried_out: bool,
    /// The safeguards that lowered it, in the order in which they did.
    #[schema(value_type = Vec<Safeguard>)]
    held_by: Vec<Cow<'a, str>>,
    /// When it ends by itself; null: never.
    #[schema(required, format = DateTime)]
    until: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    at: String,
    /// When the credential ends by itself; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    expires: Option<String>,
    /// The author: `tripline`, or the name of a person.
    by: Cow<'a, str>,
    /// The summary of the finding, or the reason that the person gave.
    reason: Cow<'a, str>,
    /// The numbers from which it can be recomputed, by name; the unit is last in the name.
    #[schema(value_type = BTreeMap<String, f64>)]
    evidence: Measures,
}

/// Whether it stands for no decision.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_none(base: &u64) -> bool {
    *base == 0
}

/// A decision that serde can read and write.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionJson(pub Decision);

written_as!(DecisionJson, DecisionFields<'_>, "Decision");

impl Serialize for DecisionJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let decision = &self.0;
        DecisionFields {
            id: Cow::Owned(decision.id.to_string()),
            finding: decision.finding.map(|id| id.to_string()),
            credential: Cow::Borrowed(decision.credential.id()),
            kind: Cow::Borrowed(decision.credential.kind().as_str()),
            tenant: decision.tenant.as_deref().map(Cow::Borrowed),
            generation: decision.generation.0,
            base: decision.base.0,
            origin: decision.origin.map(|origin| origin.to_string()),
            action: Cow::Borrowed(decision.order.as_str()),
            wanted: Cow::Borrowed(decision.wanted.as_str()),
            mode: Cow::Borrowed(decision.mode.as_str()),
            carried_out: decision.carried_out,
            held_by: decision.held_by.iter().map(|g| Cow::Borrowed(g.as_str())).collect(),
            until: decision.until.map(|time| time.to_string()),
            at: decision.at.to_string(),
            expires: decision.expires.map(|time| time.to_string()),
            by: Cow::Borrowed(&decision.by),
            reason: Cow::Borrowed(&decision.reason),
            evidence: Measures(decision.evidence.clone()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DecisionJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = DecisionFields::deserialize(deserializer)?;
        let finding = written.finding.as_deref();
        let finding = finding.map(|id| known(FindingId::parse(id), "finding id")).transpose()?;
        let held_by = written.held_by.iter().map(|name| known(read_safeguard(name), "safeguard"));
        let origin = written.origin.as_deref();
        let origin = origin.map(|origin| known(InstanceId::parse(origin), "instance"));
        Ok(Self(Decision {
            id: known(DecisionId::parse(&written.id), "decision id")?,
            finding,
            credential: read_credential(&written.kind, &written.credential)?,
            tenant: written.tenant.map(|tenant| tenant.as_ref().into()),
            generation: Generation(written.generation),
            base: Generation(written.base),
            origin: origin.transpose()?,
            wanted: known(Action::parse(&written.wanted), "action")?,
            order: known(Order::parse(&written.action), "action")?,
            mode: known(Mode::parse(&written.mode), "mode")?,
            carried_out: written.carried_out,
            held_by: held_by.collect::<Result<_, _>>()?,
            until: read_time_if(written.until.as_deref())?,
            at: read_time(&written.at)?,
            expires: read_time_if(written.expires.as_deref())?,
            by: written.by.as_ref().into(),
            reason: written.reason.into_owned(),
            evidence: written.evidence.0,
        }))
    }
}

/// The safeguard of that name, or of the name that older journals have.
fn read_safeguard(name: &str) -> Option<Safeguard> {
    match name {
        "posture" => Some(Safeguard::Mode),
        "breaker" => Some(Safeguard::RevocationLimit),
        "fleet_suppression" => Some(Safeguard::CommonCause),
        _ => Safeguard::parse(name),
    }
}

#[cfg(test)]
mod tests {
    use super::DecisionJson;
    use crate::model::decision::{Mode, Safeguard};

    #[test]
    fn journals_with_older_names_are_read() {
        let line = r#"{"id":"d_0123456789abcdef","finding":null,"credential":"k","kind":"api_key",
            "tenant":null,"generation":1,"action":"suspend","wanted":"revoke","posture":"suspend",
            "carried_out":true,"held_by":["posture","breaker","fleet_suppression"],"until":null,
            "at":"2026-11-23T18:54:00.000Z","by":"tripline","reason":"r","evidence":{}}"#;
        let DecisionJson(decision) = serde_json::from_str(line).expect("a decision");
        assert_eq!(decision.mode, Mode::Suspend);
        let renamed = [Safeguard::Mode, Safeguard::RevocationLimit, Safeguard::CommonCause];
        assert_eq!(decision.held_by, renamed);
    }
}
