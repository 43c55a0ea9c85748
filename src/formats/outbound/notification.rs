//! Notifications as receivers want them: own JSON, Alertmanager, Slack, `PagerDuty`.
//!
//! Text that an attacker chose (the names of credentials, tenants and endpoints) stays text: no form lets
//! it become a link, a mention or markup.
//! Source: Alertmanager API v2; Slack's incoming webhooks; `PagerDuty` Events API v2.

use crate::control_plane::notifications::notice::{Message, Notice, NotifiedFinding, Stage};
use crate::formats::api::decision::DecisionJson;
use crate::formats::api::finding::FindingJson;
use crate::model::decision::Decision;
use crate::model::finding::{Action, Finding};
use crate::model::time::EventTime;
use serde_json::{Value, json};

/// How long an alert lasts unless it is said again. Unit: milliseconds. Chosen: five times what lies
/// between two sayings.
const ALERT_LASTS_MS: i64 = 5 * 60_000;
/// The longest summary. Unit: characters. Source: `PagerDuty` takes 1024.
const SUMMARY_CHARS_MAX: usize = 1000;

/// A message in one line.
pub fn sentence(notice: &Notice) -> String {
    let text = match notice {
        Notice::Finding { stage, known, .. } => {
            let finding = &known.finding;
            let word = match stage {
                Stage::Opened => "",
                Stage::Escalated => "worse: ",
                Stage::Closed => "over: ",
            };
            let (credential, summary) = (&finding.credential, &finding.summary);
            // Most summaries name it.
            let whom = if summary.contains(credential.id()) {
                String::new()
            } else {
                format!("{credential}: ")
            };
            format!("{word}{whom}{summary} ({}, {})", finding.detector, finding.action)
        }
        Notice::Decision(decision) => sentence_of(decision),
        Notice::More(count) => format!("{count} more, held back by the rate limit"),
    };
    text.chars().take(SUMMARY_CHARS_MAX).collect()
}

fn sentence_of(decision: &Decision) -> String {
    let held: Vec<&str> = decision.held_by.iter().map(|safeguard| safeguard.as_str()).collect();
    let done = if decision.carried_out { "" } else { "not carried out: " };
    let held =
        if held.is_empty() { String::new() } else { format!(", held back by {}", held.join(", ")) };
    let (order, credential, by) = (decision.order.as_str(), &decision.credential, &decision.by);
    format!("{done}{order} {credential} by {by}{held}: {}", decision.reason)
}

/// Own JSON, for a signed webhook.
pub fn native(message: &Message) -> Value {
    let (kind, fields) = match &message.notice {
        Notice::Finding { stage, known, .. } => (
            "tripline.finding",
            json!({
                "stage": stage.as_str(),
                "finding": FindingJson((*known.finding).clone()),
                "decision": known.decision.as_ref().map(|one| DecisionJson((**one).clone())),
            }),
        ),
        Notice::Decision(decision) => {
            ("tripline.decision", json!({ "decision": DecisionJson((**decision).clone()) }))
        }
        Notice::More(count) => ("tripline.more", json!({ "left_out": count })),
    };
    let mut value = json!({ "type": kind, "id": message.id, "at": message.at.to_string() });
    if let (Some(all), Value::Object(fields)) = (value.as_object_mut(), fields) {
        all.extend(fields);
    }
    value
}

/// For Slack, and what takes its messages.
pub fn slack(message: &Message) -> Value {
    let text = sentence(&message.notice);
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // In a span of code neither Slack nor what takes its messages (Mattermost, Rocket.Chat) knows
    // markup, links, `@channel` or emoji.
    let code = format!("`{}`", escaped.replace('`', "'").replace(char::is_control, " "));
    json!({
        // Text that notifications on a phone show.
        "text": code,
        "unfurl_links": false,
        "unfurl_media": false,
        // Plain text knows no links, mentions or markup.
        "blocks": [{
            "type": "section",
            "text": { "type": "plain_text", "text": text, "emoji": false },
        }],
    })
}

/// For `PagerDuty`: an incident for each finding. None where there is nothing to trigger.
pub fn pagerduty(message: &Message, routing_key: &str) -> Option<Value> {
    let event = |action: &str, key: String, payload: Value| {
        json!({
            "routing_key": routing_key,
            "event_action": action,
            "dedup_key": key,
            "payload": payload,
        })
    };
    let payload = |of: Option<&Finding>, details: Value| {
        json!({
            "summary": sentence(&message.notice),
            "source": of.map_or("tripline".to_owned(), |finding| finding.credential.to_string()),
            "severity": of.map_or("info", |finding| severity(finding.action)),
            "timestamp": message.at.to_string(),
            "component": of.map(|finding| finding.credential.kind().as_str()),
            "class": of.map(|finding| finding.detector.as_str()),
            "custom_details": details,
        })
    };
    let details = native(message);
    match &message.notice {
        Notice::Finding { stage: Stage::Closed, known, .. } => {
            let key = known.finding.id.to_string();
            Some(event("resolve", key, payload(Some(&known.finding), details)))
        }
        Notice::Finding { known, .. } => {
            let key = known.finding.id.to_string();
            Some(event("trigger", key, payload(Some(&known.finding), details)))
        }
        Notice::Decision(decision) => {
            let key = decision.finding?.to_string();
            Some(event("trigger", key, payload(None, details)))
        }
        Notice::More(_) => Some(event("trigger", message.id.clone(), payload(None, details))),
    }
}

/// How urgent an action is for people.
pub const fn severity(action: Action) -> &'static str {
    match action {
        Action::Observe => "info",
        Action::Alert | Action::Throttle => "warning",
        Action::Suspend | Action::Revoke => "critical",
    }
}

/// For Alertmanager: the alerts of a message. On an escalation the milder one ends.
pub fn alerts(message: &Message) -> Vec<Value> {
    let Notice::Finding { stage, known, before } = &message.notice else { return Vec::new() };
    let lasts = match stage {
        Stage::Opened | Stage::Escalated => message.at.plus_ms(ALERT_LASTS_MS),
        Stage::Closed => message.at,
    };
    let mut alerts = vec![alert(known, known.told, lasts)];
    if let Some(before) = before.filter(|before| severity(*before) != severity(known.told)) {
        alerts.push(alert(known, before, message.at));
    }
    alerts
}

/// For Alertmanager: what lasts, said again at `now`.
pub fn alerts_again(known: &[NotifiedFinding], now: EventTime) -> Vec<Value> {
    known.iter().map(|one| alert(one, one.told, now.plus_ms(ALERT_LASTS_MS))).collect()
}

fn alert(known: &NotifiedFinding, told: Action, ends: EventTime) -> Value {
    let finding = &known.finding;
    let mut annotations = json!({
        "summary": finding.summary,
        "finding": finding.id.to_string(),
    });
    if let (Some(all), Some(decision)) = (annotations.as_object_mut(), &known.decision) {
        all.insert("decision".to_owned(), sentence_of(decision).into());
    }
    json!({
        "labels": {
            "alertname": "CredentialAbuse",
            "detector": finding.detector.as_str(),
            "kind": finding.credential.kind().as_str(),
            "credential": finding.credential.id(),
            "tenant": finding.tenant.as_deref().unwrap_or(""),
            "severity": severity(told),
            "finding": finding.id.to_string(),
        },
        "annotations": annotations,
        "startsAt": finding.opened.to_string(),
        "endsAt": ends.to_string(),
    })
}

/// A finding that is none, to try receivers with.
pub fn test_finding(now: EventTime) -> Option<Finding> {
    use crate::model::credential::Credential;
    use crate::model::finding::{Detector, FindingId, Gates, Reached};
    let credential = Credential::parse("tripline_test").ok()?;
    Some(Finding {
        id: FindingId::of(&credential, Detector::Limit, now),
        credential,
        tenant: None,
        detector: Detector::Limit,
        action: Action::Alert,
        opened: now,
        reached: Reached::default(),
        gates: Gates::default(),
        updated: now,
        closed: None,
        evidence_nats: 0.0,
        summary: "TEST of tripline's notifications: nothing happened, nothing is to be done"
            .to_owned(),
        evidence: Vec::new(),
        place: None,
        expires: None,
    })
}

#[cfg(test)]
mod tests {
    use super::{alerts, native, pagerduty, slack, test_finding};
    use crate::control_plane::notifications::notice::{Message, NotifiedFinding, Stage};
    use crate::model::credential::Credential;
    use crate::model::finding::Action;
    use crate::model::time::EventTime;
    use std::sync::Arc;

    fn message(stage: Stage, action: Action, before: Option<Action>) -> Message {
        let now = EventTime::from_ms(1_790_000_000_000);
        let mut finding = test_finding(now).expect("a finding");
        finding.credential =
            Credential::parse("<!channel> *x* `@channel` https://evil.example|a").expect("valid");
        finding.summary = format!("{} made 20,000 requests", finding.credential.id());
        finding.action = action;
        let known = NotifiedFinding { finding: Arc::new(finding), told: action, decision: None };
        Message::finding(stage, known, before, now)
    }

    #[test]
    fn what_an_attacker_chose_stays_text_in_a_chat() {
        let said = slack(&message(Stage::Opened, Action::Alert, None));
        let block = said.pointer("/blocks/0/text/type").and_then(|value| value.as_str());
        assert_eq!(block, Some("plain_text"));
        let text = said.get("text").and_then(|value| value.as_str()).expect("a text");
        assert!(text.starts_with("`&lt;!channel&gt; *x*"), "{text}");
        let inside = text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        let inside = inside.expect("a span of code");
        assert!(inside.contains("'@channel'") && !inside.contains(['`', '\n']), "{text}");
    }

    #[test]
    fn an_incident_opens_and_is_resolved_under_one_key() {
        let said =
            |stage| pagerduty(&message(stage, Action::Revoke, None), "key").expect("an event");
        let (opened, closed) = (said(Stage::Opened), said(Stage::Closed));
        let text = |value: &serde_json::Value, at: &str| {
            value.pointer(at).and_then(|value| value.as_str()).map(str::to_owned)
        };
        assert_eq!(text(&opened, "/event_action").as_deref(), Some("trigger"));
        assert_eq!(text(&closed, "/event_action").as_deref(), Some("resolve"));
        assert_eq!(text(&opened, "/dedup_key"), text(&closed, "/dedup_key"));
        assert_eq!(text(&opened, "/payload/severity").as_deref(), Some("critical"));
    }

    #[test]
    fn an_alert_that_gets_worse_replaces_the_milder_one() {
        let said = alerts(&message(Stage::Escalated, Action::Revoke, Some(Action::Alert)));
        let of = |at: &str| {
            let values = said.iter().filter_map(|alert| alert.pointer(at)?.as_str());
            values.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of("/labels/severity"), ["critical", "warning"]);
        let ends = of("/endsAt");
        assert!(ends.first() > ends.last(), "the milder one ends now: {ends:?}");
        assert_eq!(
            alerts(&message(Stage::Escalated, Action::Revoke, Some(Action::Suspend))).len(),
            1
        );
    }

    #[test]
    fn own_json_holds_the_finding_whole() {
        let said = native(&message(Stage::Closed, Action::Alert, None));
        assert_eq!(said.pointer("/stage").and_then(|value| value.as_str()), Some("closed"));
        assert!(said.pointer("/finding/summary").is_some() && said.get("id").is_some());
    }
}
