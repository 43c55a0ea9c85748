//! A finding as JSON, by the contract.

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

#[derive(Serialize, Deserialize)]
struct FindingFields<'a> {
    id: Cow<'a, str>,
    credential: Cow<'a, str>,
    kind: Cow<'a, str>,
    tenant: Option<Cow<'a, str>>,
    detector: Cow<'a, str>,
    action: Cow<'a, str>,
    opened: String,
    reached: BTreeMap<Cow<'a, str>, String>,
    #[serde(default)]
    gates: Vec<Cow<'a, str>>,
    updated: String,
    closed: Option<String>,
    evidence_nats: f64,
    summary: Cow<'a, str>,
    evidence: Measures,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// A finding that serde can read and write.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingJson(pub Finding);

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
            expires: read_time_if(written.expires.as_deref())?,
        }))
    }
}
