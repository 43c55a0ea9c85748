//! The outcome of an expectation.

use super::format::Expectation;
use super::story::ScenarioResult;
use crate::model::decision::Decision;
use crate::model::finding::{Action, Finding};
use crate::model::time::EventTime;
use serde::Serialize;

/// The outcome of an expectation.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Whether it came true.
    pub came_true: bool,
    /// The expectation, in words.
    pub expected: String,
    /// The actual result; empty where it came true.
    pub seen: Vec<String>,
}

fn ms_after(time: EventTime, start: EventTime) -> String {
    format!("{:.1} s", time.ms_since(start) as f64 / 1000.0)
}

/// Holds an expectation against what happened since `start`.
pub(super) fn judge(expected: &Expectation, story: &ScenarioResult, start: EventTime) -> Outcome {
    let findings: Vec<_> = story
        .findings
        .values()
        .filter(|finding| finding.credential == expected.credential)
        .collect();
    let decisions: Vec<_> = story
        .decisions
        .iter()
        .filter(|decision| decision.credential == expected.credential)
        .collect();
    let came_true = match (expected.decision, expected.at_most) {
        (Some(_), _) => decisions.iter().any(|one| is_decision(expected, one, start)),
        (None, Some(most)) => findings.iter().all(|one| is_at_most(expected, one, most, start)),
        (None, None) => findings.iter().any(|one| is_finding(expected, one, start)),
    };
    let mut seen = Vec::new();
    if !came_true {
        seen.extend(findings.iter().map(|one| finding_line(one, start)));
        seen.extend(decisions.iter().map(|one| decision_line(one, start)));
        if seen.is_empty() {
            seen.push("nothing was found and nothing decided".to_owned());
        }
    }
    Outcome { came_true, expected: in_words(expected), seen }
}

fn in_time(expected: &Expectation, at: EventTime, start: EventTime) -> bool {
    let after = at.ms_since(start) - expected.after;
    after >= 0 && expected.within.is_none_or(|within| after <= within)
}

fn is_finding(expected: &Expectation, finding: &Finding, start: EventTime) -> bool {
    let action = expected.action.unwrap_or(Action::Observe);
    expected.finding.is_none_or(|detector| finding.detector == detector)
        && finding.reached.at(action).is_some_and(|at| in_time(expected, at, start))
}

fn is_at_most(expected: &Expectation, finding: &Finding, most: Action, start: EventTime) -> bool {
    let graver = Action::ALL.into_iter().filter(|action| *action > most);
    let mut reached = graver.filter_map(|action| finding.reached.at(action));
    !reached.any(|at| in_time(expected, at, start))
}

fn is_decision(expected: &Expectation, decision: &Decision, start: EventTime) -> bool {
    Some(decision.order) == expected.decision
        && expected.carried_out.is_none_or(|carried_out| decision.carried_out == carried_out)
        && expected.held_by.as_ref().is_none_or(|held_by| decision.held_by == *held_by)
        && in_time(expected, decision.at, start)
}

fn in_words(expected: &Expectation) -> String {
    let mut words = format!("{}: ", expected.credential);
    match (expected.decision, expected.at_most) {
        (Some(order), _) => {
            words.push_str(&format!("decision {}", order.as_str()));
            match expected.carried_out {
                Some(true) => words.push_str(", carried out"),
                Some(false) => words.push_str(", not carried out"),
                None => {}
            }
            if let Some(held_by) = &expected.held_by {
                let names: Vec<_> = held_by.iter().map(|one| one.as_str()).collect();
                words.push_str(&format!(", held by [{}]", names.join(", ")));
            }
        }
        (None, Some(most)) => words.push_str(&format!("nothing above {most}")),
        (None, None) => {
            let detector = expected.finding.map_or("any detector", |detector| detector.as_str());
            let action = expected.action.unwrap_or(Action::Observe);
            words.push_str(&format!("{detector} justifies {action}"));
        }
    }
    if expected.after > 0 {
        words.push_str(&format!(", after {} s", expected.after / 1000));
    }
    if let Some(within) = expected.within {
        words.push_str(&format!(", within {:.1} s", within as f64 / 1000.0));
    }
    words
}

fn finding_line(finding: &Finding, start: EventTime) -> String {
    let reached = Action::ALL.into_iter().filter_map(|action| {
        Some(format!("{action} at {}", ms_after(finding.reached.at(action)?, start)))
    });
    format!(
        "{} justified {}: {}",
        finding.detector,
        reached.collect::<Vec<_>>().join(", "),
        finding.summary
    )
}

fn decision_line(decision: &Decision, start: EventTime) -> String {
    let held: Vec<_> = decision.held_by.iter().map(|one| one.as_str()).collect();
    format!(
        "decision {} at {}, {}, held by [{}]",
        decision.order.as_str(),
        ms_after(decision.at, start),
        if decision.carried_out { "carried out" } else { "not carried out" },
        held.join(", ")
    )
}

/// The outcomes as lines for people.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        out.push_str(if outcome.came_true { "ok      " } else { "FAILED  " });
        out.push_str(&outcome.expected);
        out.push('\n');
        for line in &outcome.seen {
            out.push_str(&format!("        seen: {line}\n"));
        }
    }
    out
}
