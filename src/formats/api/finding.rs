//! A finding as JSON, by the contract.

use super::schema::written_as;
use crate::formats::time::rfc3339;
use crate::model::credential::{Credential, Kind};
use crate::model::finding::{Action, Detector, Finding, FindingId, Gate, Gates, Measure, Reached};
use crate::model::time::EventTime;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// Numbers under names, in their order.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::formats) struct Measures(pub(in crate::formats) Vec<Measure>);

impl Serialize for Measures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for measure in &self.0 {
            map.serialize_entry(&measure.name, &measure.value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Measures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Measures;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Measures, A::Error> {
                let mut measures = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, f64>()? {
                    measures.push(Measure { name: Cow::Owned(name), value });
                }
                Ok(Measures(measures))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

pub(in crate::formats) fn read_time<E: Error>(text: &str) -> Result<EventTime, E> {
    rfc3339(text).ok_or_else(|| E::custom("a time is written 2026-11-23T18:54:00.123Z"))
}

pub(in crate::formats) fn read_time_if<E: Error>(
    text: Option<&str>,
) -> Result<Option<EventTime>, E> {
    text.map(read_time).transpose()
}

pub(in crate::formats) fn read_credential<E: Error>(kind: &str, id: &str) -> Result<Credential, E> {
    let kind = Kind::parse(kind).ok_or_else(|| E::custom("unknown kind of credential"))?;
    Credential::new(kind, id).map_err(|_| E::custom("invalid credential id"))
}

pub(in crate::formats) fn known<T, E: Error>(found: Option<T>, what: &str) -> Result<T, E> {
    found.ok_or_else(|| E::custom(format_args!("unknown {what}")))
}

/// One detector's result about one stretch of abnormal use; it is updated while that lasts.
#[derive(Serialize, Deserialize, ToSchema)]
struct FindingFields<'a> {
    /// Its id.
    #[schema(value_type = FindingId)]
    id: Cow<'a, str>,
    /// The id of the credential that it is about.
    credential: Cow<'a, str>,
    /// The kind of that credential.
    #[schema(value_type = Kind)]
    kind: Cow<'a, str>,
    /// The tenant of that credential; null: unknown.
    #[schema(required)]
    tenant: Option<Cow<'a, str>>,
    /// The detector that found it.
    #[schema(value_type = Detector)]
    detector: Cow<'a, str>,
    /// The most severe action that was justified so far.
    #[schema(value_type = Action)]
    action: Cow<'a, str>,
    /// When it opened, by the time of the events.
    #[schema(format = DateTime)]
    opened: String,
    /// When each action was first justified, by the time of the events.
    #[schema(value_type = BTreeMap<Action, EventTime>)]
    reached: BTreeMap<Cow<'a, str>, String>,
    /// The gates that it passed so far.
    #[serde(default)]
    #[schema(required, value_type = Vec<Gate>)]
    gates: Vec<Cow<'a, str>>,
    /// When it last changed, by the time of the events.
    #[schema(format = DateTime)]
    updated: String,
    /// When it closed, by the time of the events; null: it is open.
    #[schema(required, format = DateTime)]
    closed: Option<String>,
    /// Strength of the claim. Unit: nats, the negative logarithm of a tail probability.
    evidence_nats: f64,
    /// A sentence for the person on call.
    summary: Cow<'a, str>,
    /// The numbers from which the claim can be recomputed, by name; the unit is last in the name.
    #[schema(value_type = BTreeMap<String, f64>)]
    evidence: Measures,
    /// Where a fact was seen: the place of a leak, or the gateway that let a use pass; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    place: Option<Cow<'a, str>>,
    /// When the credential ends by itself; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    expires: Option<String>,
}

/// A finding that serde can read and write.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingJson(pub Finding);

written_as!(FindingJson, FindingFields<'_>, "Finding");

impl Serialize for FindingJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let finding = &self.0;
        let reached = Action::ALL.into_iter().filter_map(|action| {
            Some((Cow::Borrowed(action.as_str()), finding.reached.at(action)?.to_string()))
        });
        FindingFields {
            id: Cow::Owned(finding.id.to_string()),
            credential: Cow::Borrowed(finding.credential.id()),
            kind: Cow::Borrowed(finding.credential.kind().as_str()),
            tenant: finding.tenant.as_deref().map(Cow::Borrowed),
            detector: Cow::Borrowed(finding.detector.as_str()),
            action: Cow::Borrowed(finding.action.as_str()),
            opened: finding.opened.to_string(),
            reached: reached.collect(),
            gates: finding.gates.iter().map(|gate| Cow::Borrowed(gate.as_str())).collect(),
            updated: finding.updated.to_string(),
            closed: finding.closed.map(|time| time.to_string()),
            evidence_nats: finding.evidence_nats,
            summary: Cow::Borrowed(&finding.summary),
            evidence: Measures(finding.evidence.clone()),
            place: finding.place.as_deref().map(Cow::Borrowed),
            expires: finding.expires.map(|time| time.to_string()),
        }
        .serialize(serializer)
    }
}

/// The detector of that name, or of the name that findings of older versions have.
fn read_detector(name: &str) -> Option<Detector> {
    if name == "ceiling" { Some(Detector::Limit) } else { Detector::parse(name) }
}

impl<'de> Deserialize<'de> for FindingJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = FindingFields::deserialize(deserializer)?;
        let mut reached = Reached::default();
        for action in Action::ALL.into_iter().rev() {
            if let Some(at) = written.reached.get(action.as_str()) {
                reached.record_exactly(action, read_time(at)?);
            }
        }
        let mut gates = Gates::default();
        for name in &written.gates {
            gates = gates.with(known(Gate::parse(name), "gate")?, true);
        }
        Ok(Self(Finding {
            id: known(FindingId::parse(&written.id), "finding id")?,
            credential: read_credential(&written.kind, &written.credential)?,
            tenant: written.tenant.map(|tenant| tenant.as_ref().into()),
            detector: known(read_detector(&written.detector), "detector")?,
            action: known(Action::parse(&written.action), "action")?,
            opened: read_time(&written.opened)?,
            reached,
            gates,
            updated: read_time(&written.updated)?,
            closed: read_time_if(written.closed.as_deref())?,
            evidence_nats: written.evidence_nats,
            summary: written.summary.into_owned(),
            evidence: written.evidence.0,
            place: written.place.map(|place| place.as_ref().into()),
            expires: read_time_if(written.expires.as_deref())?,
        }))
    }
}
