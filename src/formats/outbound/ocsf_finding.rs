//! Notifications as OCSF Detection Findings (class 2004), for collectors of security events.
//!
//! A finding is created, updated and closed under one `finding_info.uid`; a decision updates the
//! finding behind it, and says by `action_id` whether the credential is let through.
//! Source: OCSF schema 1.4.0, class `detection_finding`, profile `security_control`.

use super::notification::sentence;
use crate::control_plane::notifications::notice::{Message, Notice, NotifiedFinding, Stage};
use crate::formats::api::decision::DecisionJson;
use crate::formats::api::finding::FindingJson;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, Order, Status};
use crate::model::finding::{Action, Detector};
use serde_json::{Value, json};

const SCHEMA: &str = "1.4.0";
const CLASS: u32 = 2004;

/// The finding's change. Source: `activity_id` of the class.
#[derive(Clone, Copy)]
enum Activity {
    Create = 1,
    Update = 2,
    Close = 3,
}

/// Writes a message as a Detection Finding.
pub fn detection_finding(message: &Message) -> Value {
    match &message.notice {
        Notice::Finding { stage, known, .. } => of_finding(message, *stage, known),
        Notice::Decision(decision) => of_decision(message, decision),
        Notice::More(_) => {
            let info = json!({ "uid": message.id, "title": "messages left out" });
            base(message, Activity::Create, Action::Observe, &info)
        }
    }
}

fn of_finding(message: &Message, stage: Stage, known: &NotifiedFinding) -> Value {
    let finding = &known.finding;
    let activity = match stage {
        Stage::Opened => Activity::Create,
        Stage::Escalated => Activity::Update,
        Stage::Closed => Activity::Close,
    };
    let info = json!({
        "uid": finding.id.to_string(),
        "title": title(finding.detector),
        "desc": finding.summary,
        "types": [finding.detector.as_str()],
        "first_seen_time": finding.opened.ms(),
        "last_seen_time": finding.updated.ms(),
        "analytic": {
            "name": finding.detector.as_str(),
            "type": "Behavioral",
            "type_id": 2,
        },
    });
    let mut event = base(message, activity, finding.action, &info);
    let evidence = FindingJson((**finding).clone());
    extend(
        &mut event,
        json!({
            "start_time": finding.opened.ms(),
            "end_time": finding.closed.unwrap_or(finding.updated).ms(),
            "resources": [resource(&finding.credential, finding.tenant.as_deref())],
            "evidences": [{ "data": { "finding": evidence } }],
        }),
    );
    event
}

fn of_decision(message: &Message, decision: &Decision) -> Value {
    // An order of a person's own accord has no finding behind it.
    let uid = decision.finding.map_or_else(|| decision.id.to_string(), |id| id.to_string());
    let activity = if decision.finding.is_some() { Activity::Update } else { Activity::Create };
    let info = json!({ "uid": uid, "title": "decision on a credential", "desc": decision.reason });
    let action = match decision.order {
        Order::Act(action) => action,
        Order::Restore => Action::Observe,
    };
    let mut event = base(message, activity, action, &info);
    let refused = matches!(decision.order.status(), Some(Status::Suspended | Status::Revoked));
    let (id, caption) =
        if refused && decision.carried_out { (2, "Denied") } else { (1, "Allowed") };
    extend(
        &mut event,
        json!({
            "action_id": id,
            "action": caption,
            "resources": [resource(&decision.credential, decision.tenant.as_deref())],
            "unmapped": { "decision": DecisionJson(decision.clone()) },
        }),
    );
    if let Some(profiles) = event.pointer_mut("/metadata") {
        extend(profiles, json!({ "profiles": ["security_control"] }));
    }
    event
}

fn base(message: &Message, activity: Activity, action: Action, info: &Value) -> Value {
    let (name, status_id, status) = match activity {
        Activity::Create => ("Create", 1, "New"),
        Activity::Update => ("Update", 2, "In Progress"),
        Activity::Close => ("Close", 4, "Resolved"),
    };
    let (severity_id, severity) = severity(action);
    json!({
        "activity_id": activity as u32,
        "activity_name": name,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + activity as u32,
        "type_name": format!("Detection Finding: {name}"),
        "time": message.at.ms(),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "message": sentence(&message.notice),
        "finding_info": info,
        "metadata": {
            "version": SCHEMA,
            "uid": message.id,
            "product": {
                "name": "tripline",
                "vendor_name": "tripline",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
    })
}

/// Source: `severity_id` of the base event.
const fn severity(action: Action) -> (u32, &'static str) {
    match action {
        Action::Observe => (1, "Informational"),
        Action::Alert => (3, "Medium"),
        Action::Throttle | Action::Suspend => (4, "High"),
        Action::Revoke => (5, "Critical"),
    }
}

fn title(detector: Detector) -> String {
    format!("abuse of a credential: {detector}")
}

fn resource(credential: &Credential, tenant: Option<&str>) -> Value {
    let mut resource = json!({ "type": credential.kind().as_str(), "uid": credential.id() });
    if let Some(tenant) = tenant {
        extend(&mut resource, json!({ "owner": { "org": { "name": tenant } } }));
    }
    resource
}

fn extend(value: &mut Value, with: Value) {
    if let (Some(fields), Value::Object(with)) = (value.as_object_mut(), with) {
        fields.extend(with);
    }
}
