//! `tripline explain`: what was seen, what was usual, which gates it passed, what held it back, and
//! what would have changed the outcome.

use super::client::{Client, Connection, block_on, escaped};
use super::credentials::credential_text;
use super::exit::Exit;
use super::render::{finding_text, name, text};
use crate::model::decision::Safeguard;
use crate::model::finding::Gate;
use serde_json::Value;

/// Runs `tripline explain …`.
pub fn explain(connection: &Connection, id: &str) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        let findings = if id.starts_with("f_") {
            vec![client.get(&format!("/v1/findings/{}", escaped(id))).await?]
        } else {
            let path = format!("/v1/findings?limit=10&credential={}", escaped(id));
            client.get(&path).await?.as_array().cloned().unwrap_or_default()
        };
        let named = match findings.first() {
            Some(finding) => name(finding),
            None => id.to_owned(),
        };
        let path = format!("/v1/decisions?limit=10&credential={}", escaped(&named));
        let decisions = client.get(&path).await?;
        let path = format!("/v1/credentials/{}", escaped(&named));
        // A credential may be forgotten while its findings are still known.
        let nothing = findings.is_empty() && decisions.as_array().is_none_or(Vec::is_empty);
        let credential = match client.get(&path).await {
            Err(error) if nothing => return Err(error),
            found => found.ok(),
        };
        let whole = serde_json::json!({
            "credential": credential, "findings": findings, "decisions": decisions,
        });
        client.write(&whole, |_| explanation(&named, credential.as_ref(), &findings, &decisions));
        Ok(())
    })
}

fn explanation(
    named: &str,
    credential: Option<&Value>,
    findings: &[Value],
    decisions: &Value,
) -> String {
    let mut out = credential.map_or_else(|| format!("{named}: no profile\n"), credential_text);
    out.push('\n');
    if findings.is_empty() {
        out.push_str("no findings\n");
    }
    for finding in findings {
        out.push_str(&finding_text(finding));
        out.push_str(&gates(finding));
        for line in more(finding) {
            out.push_str(&format!("  next step: {line}\n"));
        }
        out.push('\n');
    }
    let decisions = decisions.as_array().map_or(&[] as &[Value], Vec::as_slice);
    if decisions.is_empty() {
        out.push_str("no decision: nothing more severe than an alert was justified\n");
    }
    for decision in decisions {
        out.push_str(&decided(decision));
    }
    out
}

fn passed(finding: &Value, gate: Gate) -> bool {
    let gates = finding.get("gates").and_then(Value::as_array);
    gates.into_iter().flatten().any(|one| one.as_str() == Some(gate.as_str()))
}

/// The gates that a burst passed and did not pass.
fn gates(finding: &Value) -> String {
    if text(finding, "detector") != "burst" {
        return String::new();
    }
    let names = |has: bool| {
        let those = Gate::ALL.into_iter().filter(|gate| passed(finding, *gate) == has);
        let names: Vec<_> = those.map(Gate::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    format!("  gates passed: {}; not passed: {}\n", names(true), names(false))
}

/// The gates of the next more severe action that were not passed.
fn more(finding: &Value) -> Vec<String> {
    let number = |name: &str| {
        finding.get("evidence").and_then(|all| all.get(name)).and_then(Value::as_f64).unwrap_or(0.0)
    };
    let mut lines = Vec::new();
    let action = text(finding, "action");
    match (text(finding, "detector").as_str(), action.as_str()) {
        ("burst", "observe") if number("hours_used") < 24.0 => lines.push(format!(
            "it was used in {:.0} hours: until [burst] mature_hours its baseline is trusted in part, \
             and an alert needs a higher ratio",
            number("hours_used")
        )),
        ("burst", "observe" | "alert") => lines.push(format!(
            "it reached {:.1} times its peak; [burst] sets the ratios that justify an alert and \
             throttling",
            number("peak_ratio")
        )),
        ("origin", "observe") => lines.push(
            "an alert is justified at 18 nats of surprise, at 14 where network, user agent and \
             endpoint are all new, or when the rate rises and most of the excess comes from new \
             sources"
                .to_owned(),
        ),
        ("limit" | "burst", _) => {}
        _ => lines.push("this detector never justifies more than an alert".to_owned()),
    }
    if text(finding, "detector") == "burst" && action != "observe" && action != "revoke" {
        let needs = [
            (Gate::Rate, "a rate of four times its peak and of 600 a minute"),
            (Gate::Context, "new sources with 14 nats of surprise that make 80 % of the excess"),
            (Gate::Mature, "a credential that is 7 days old and was used in 24 hours"),
        ];
        let lacks = needs.into_iter().filter(|(gate, _)| !passed(finding, *gate));
        lines.extend(lacks.map(|(_, need)| format!("to suspend: {need}")));
        if action == "suspend" {
            lines.push(if passed(finding, Gate::Corroborated) {
                "to revoke: a minute more of the same".to_owned()
            } else {
                "to revoke: a minute more, and a new user agent or endpoint, or 30 days of sleep"
                    .to_owned()
            });
        }
    }
    lines
}

fn decided(decision: &Value) -> String {
    let held = decision.get("held_by").and_then(Value::as_array);
    let held: Vec<&str> = held.into_iter().flatten().filter_map(Value::as_str).collect();
    let carried = decision.get("carried_out") == Some(&Value::Bool(true));
    let held_back = if held.is_empty() {
        String::new()
    } else {
        format!("; {} was justified, held back by {}", text(decision, "wanted"), held.join(", "))
    };
    let mut out = format!(
        "{} decision {}: {}{}, by {}{held_back}\n",
        text(decision, "at"),
        text(decision, "id"),
        text(decision, "action"),
        if carried { "" } else { ", not carried out" },
        text(decision, "by"),
    );
    out.push_str(&format!("  why: {}\n", text(decision, "reason")));
    for safeguard in held {
        let remedy = match Safeguard::parse(safeguard) {
            Some(Safeguard::Approval) => approval(&text(decision, "id")),
            Some(known) => remedy(known).to_owned(),
            None => "unknown to this command: the daemon has another version".to_owned(),
        };
        out.push_str(&format!("  {safeguard}: {remedy}\n"));
    }
    out
}

/// The approval that is needed, and how to give it.
fn approval(id: &str) -> String {
    format!("{}: tripline decisions approve {id}", remedy(Safeguard::Approval))
}

/// Changes that would have led to another outcome.
const fn remedy(safeguard: Safeguard) -> &'static str {
    match safeguard {
        Safeguard::Mode => "the mode allows less; raise [mode] once you trust what you see",
        Safeguard::AllowList => "an entry of [allow_list] protects it; remove the entry to act",
        Safeguard::RevocationLimit => {
            "the revocations of this hour are used up; see [revocation_limit]"
        }
        Safeguard::CatchUp => {
            "it was catching up with the past; on live events it would have \
            acted"
        }
        Safeguard::Budget => {
            "not yet proven to be rare enough; `tripline budget` shows what is \
            missing"
        }
        Safeguard::CommonCause => {
            "many credentials burst at once, which points to a common cause \
            instead of theft"
        }
        Safeguard::Maturity => {
            "too little is known of it to revoke it for its rate; that takes 7 days of age and use \
             in 24 hours ([burst] mature_hours)"
        }
        Safeguard::WarmUp => {
            "tripline had just started and knew few baselines; see [actions] warm_up"
        }
        Safeguard::Approval => "operators have to approve it",
        Safeguard::Invariant => "a bug in tripline held it back; see the log and report it",
    }
}

#[cfg(test)]
mod tests {
    use super::{explanation, remedy};
    use crate::model::decision::Safeguard;
    use serde_json::json;

    #[test]
    fn only_a_broken_invariant_is_called_a_fault() {
        for safeguard in Safeguard::ALL {
            let faults = remedy(safeguard).contains("bug");
            assert_eq!(faults, safeguard == Safeguard::Invariant, "{}", safeguard.as_str());
        }
    }

    #[test]
    fn what_waits_for_people_says_how_they_agree() {
        let decision = json!([{
            "id": "d_1", "at": "-", "action": "suspend", "wanted": "revoke", "by": "tripline",
            "carried_out": true, "held_by": ["approval", "of_tomorrow"], "reason": "-",
        }]);
        let said = explanation("api_key:k", None, &[], &decision);
        let line = "  approval: operators have to approve it: tripline decisions approve d_1";
        assert!(said.lines().any(|one| one == line), "{said}");
        assert!(!said.contains("bug") && said.contains("another version"), "{said}");
    }

    #[test]
    fn a_burst_says_which_gates_it_passed_and_what_more_would_have_taken() {
        let finding = json!({
            "id": "f_1", "credential": "k", "kind": "api_key", "detector": "burst",
            "action": "throttle", "opened": "-", "gates": ["rate", "mature"],
            "evidence_nats": 40.0, "evidence": { "peak_ratio": 20.0, "hours_used": 90.0 },
            "reached": {}, "summary": "made 900 requests in 1 s",
        });
        let decision = json!([{
            "id": "d_1", "at": "-", "action": "alert", "wanted": "throttle", "by": "tripline",
            "carried_out": false, "held_by": ["budget"], "reason": "made 900 requests in 1 s",
        }]);
        let said = explanation("api_key:k", None, &[finding], &decision);
        for line in [
            "  gates passed: rate, mature; not passed: context, corroborated",
            "  next step: to suspend: new sources with 14 nats of surprise that make 80 % of the \
             excess",
            "- decision d_1: alert, not carried out, by tripline; throttle was justified, held back by budget",
            "  budget: not yet proven to be rare enough; `tripline budget` shows what is missing",
        ] {
            assert!(said.lines().any(|one| one == line), "{line}\n{said}");
        }
    }
}
