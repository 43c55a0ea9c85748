//! The daemon's answers at one time.

use crate::formats::api::decision::DecisionJson;
use crate::formats::api::finding::FindingJson;
use crate::formats::api::profile::{CredentialJson, WindowJson};
use crate::formats::api::status::StatusJson;
use crate::formats::time::rfc3339;
use crate::model::decision::Decision;
use crate::model::finding::{Finding, FindingId};
use crate::model::time::EventTime;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// How many credentials are asked for; those out of service come first.
pub(super) const CREDENTIALS_MAX: usize = 200;

/// The daemon's answer.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// How it is.
    pub(super) status: StatusJson,
    /// The busiest credentials, and those out of service.
    pub(super) credentials: Vec<CredentialJson>,
    /// The findings whose incident runs.
    pub(super) findings: Vec<Finding>,
    /// The newest decisions.
    pub(super) decisions: Vec<Decided>,
    /// The revocations that wait for people.
    pub(super) approvals: Vec<Approval>,
    /// More of the credential that is looked at.
    pub(super) looked_at: Option<DetailView>,
}

/// A decision, and how far the stores are with it.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    /// The decision.
    pub(super) decision: Decision,
    /// The answer of each store, or `waiting`.
    pub(super) stores: BTreeMap<String, String>,
}

/// A revocation that waits for people.
#[derive(Clone, Debug)]
pub(super) struct Approval {
    /// The decision that waits.
    pub(super) decision: Decision,
    /// Until when people may say yes or no.
    pub(super) until: Option<EventTime>,
    /// The people who agreed.
    pub(super) agreed: Vec<String>,
}

/// More of one credential.
#[derive(Clone, Debug)]
pub(super) struct DetailView {
    /// Which, `kind:id`.
    pub(super) name: String,
    /// Its profile, if there is one.
    pub(super) credential: Option<CredentialJson>,
    /// Its findings, newest first.
    pub(super) findings: Vec<Finding>,
    /// Its decisions, newest first.
    pub(super) decisions: Vec<Decided>,
}

/// `kind:id` of a credential.
pub(super) fn name_of(one: &CredentialJson) -> String {
    format!("{}:{}", one.kind, one.credential)
}

/// The window of a minute.
pub(super) fn minute(one: &CredentialJson) -> WindowJson {
    let found = one.windows.iter().find(|window| window.window_s == 60).cloned();
    found.unwrap_or(WindowJson { window_s: 60, count: 0, expected: 0.0, peak: 0.0 })
}

/// How often a count is the peak; none where there is no peak yet.
pub(super) fn times_peak(window: &WindowJson) -> Option<f64> {
    (window.peak > 0.0).then(|| f64::from(window.count) / window.peak)
}

/// The rows of an answer; one that another version wrote and this one can't read is left out.
pub(super) fn rows<T: DeserializeOwned>(answer: Value) -> Vec<T> {
    let Value::Array(rows) = answer else { return Vec::new() };
    rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect()
}

/// The findings of an answer.
pub(super) fn findings(answer: Value) -> Vec<Finding> {
    rows::<FindingJson>(answer).into_iter().map(|finding| finding.0).collect()
}

/// The decisions of an answer.
pub(super) fn decisions(answer: Value) -> Vec<Decided> {
    let Value::Array(rows) = answer else { return Vec::new() };
    let read = |row: Value| {
        let stores = row.get("stores").and_then(Value::as_object);
        let answered = stores
            .into_iter()
            .flatten()
            .filter_map(|(name, answer)| Some((name.clone(), answer.as_str()?.to_owned())));
        let stores = answered.collect();
        let decision = serde_json::from_value::<DecisionJson>(row).ok()?.0;
        Some(Decided { decision, stores })
    };
    rows.into_iter().filter_map(read).collect()
}

/// The revocations of an answer that wait for people.
pub(super) fn approvals(answer: Value) -> Vec<Approval> {
    let Value::Array(rows) = answer else { return Vec::new() };
    let read = |mut row: Value| {
        let until = row.get("until").and_then(Value::as_str).and_then(rfc3339);
        let agreed = row.get("agreed").and_then(Value::as_array);
        let agreed = agreed.into_iter().flatten().filter_map(Value::as_str);
        let agreed = agreed.map(str::to_owned).collect();
        let decision = row.get_mut("decision").map(Value::take)?;
        let decision = serde_json::from_value::<DecisionJson>(decision).ok()?.0;
        Some(Approval { decision, until, agreed })
    };
    rows.into_iter().filter_map(read).collect()
}

impl Snapshot {
    /// The daemon's clock when it answered.
    pub(super) fn now(&self) -> EventTime {
        rfc3339(&self.status.now).unwrap_or_default()
    }

    /// How many credentials gateways have to refuse, as far as they were asked for.
    pub(super) fn out_of_service(&self) -> String {
        let out = |one: &&CredentialJson| one.status == "suspended" || one.status == "revoked";
        let out = self.credentials.iter().filter(out).count();
        if out >= CREDENTIALS_MAX { format!("{out} or more") } else { out.to_string() }
    }

    /// The decision on a finding, or the safeguards that held it back.
    pub(super) fn done_about(&self, finding: FindingId) -> String {
        let of = |one: &&Decided| one.decision.finding == Some(finding);
        if let Some(found) = self.decisions.iter().find(of) {
            return self.outcome(found);
        }
        let id = finding.to_string();
        let stands = self.credentials.iter().find(|one| one.finding.as_ref() == Some(&id));
        stands.map_or_else(|| "nothing yet".to_owned(), |one| one.status.clone())
    }

    /// The outcome of a decision.
    pub(super) fn outcome(&self, one: &Decided) -> String {
        let Decided { decision, stores } = one;
        let held: Vec<&str> = decision.held_by.iter().map(|one| one.as_str()).collect();
        let held = held.join(", ");
        if self.approvals.iter().any(|waits| waits.decision.id == decision.id) {
            return "pending approval".to_owned();
        }
        if !decision.carried_out {
            return if held.is_empty() {
                "not carried out".to_owned()
            } else {
                format!(
                    "held by \
                {held}"
                )
            };
        }
        let late = stores.iter().filter(|(_, answer)| !matches!(&***answer, "applied" | "already"));
        let late: Vec<String> = late.map(|(name, answer)| format!("{name} {answer}")).collect();
        let done = match decision.order.as_str() {
            "observe" => "observed",
            "alert" => "alerted",
            "throttle" => "throttled",
            "suspend" => "suspended",
            "revoke" => "revoked",
            _ => "restored",
        };
        let mut out = done.to_owned();
        if !late.is_empty() {
            out.push_str(&format!(", but {}", late.join(", ")));
        }
        if !held.is_empty() {
            out.push_str(&format!(", held by {held}"));
        }
        out
    }
}
