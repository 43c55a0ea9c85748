//! The lines at the top: how the daemon is. Issues come in capitals, and first where
//! there is no room for all.

use super::model::Model;
use super::text::{bytes, clean, compact, span, sparkline, width};
use crate::formats::api::status::{FleetJson, IssueJson, Part, StatusJson};
use crate::formats::time::rfc3339;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Columns of the sparkline of events.
const RATE_COLUMNS: usize = 20;
/// Columns between two parts.
const GAP: usize = 2;

/// One thing that is said of the daemon.
struct HeadLine {
    text: String,
    well: bool,
}

fn shown(well: bool, text: String) -> HeadLine {
    HeadLine { text, well }
}

/// How the daemon is, in lines of that width, at most so many of them.
pub(super) fn lines(model: &Model, columns: u16, most: usize) -> Vec<Line<'static>> {
    let columns = usize::from(columns);
    let mut parts = parts(model);
    let mut placed = place(&parts, columns);
    if placed.len() > most {
        parts.sort_by_key(|part| part.well);
        placed = place(&parts, columns);
    }
    let look = model.look;
    let line = |some: &Vec<&HeadLine>| {
        let span = |part: &&HeadLine| {
            let style = if part.well { Style::new() } else { look.bad() };
            [Span::styled(part.text.clone(), style), Span::raw(" ".repeat(GAP))]
        };
        Line::from(some.iter().flat_map(span).collect::<Vec<_>>())
    };
    placed.iter().take(most).map(line).collect()
}

fn place(parts: &[HeadLine], columns: usize) -> Vec<Vec<&HeadLine>> {
    let mut lines = vec![Vec::new()];
    let mut taken = 0;
    for part in parts {
        let needs = width(&part.text);
        if taken > 0 && taken + needs > columns {
            lines.push(Vec::new());
            taken = 0;
        }
        taken += needs + GAP;
        if let Some(line) = lines.last_mut() {
            line.push(part);
        }
    }
    lines
}

fn parts(model: &Model) -> Vec<HeadLine> {
    let status = &model.snapshot.status;
    let up = rfc3339(&status.started).map(|at| model.daemon_now().ms_since(at));
    let rate = model.rates.per_s().map_or_else(|| "…".to_owned(), compact);
    let rates = sparkline(&model.rates.all(), RATE_COLUMNS, 0.0);
    let mode = match &*status.mode {
        "shadow" => "mode shadow (no actions)".to_owned(),
        other => format!("mode {}", clean(other)),
    };
    let out = model.snapshot.out_of_service();
    let incidents = status.open_incidents;
    let approvals = match status.approvals {
        0 => shown(true, "approvals 0".to_owned()),
        1 => shown(false, "1 PENDING APPROVAL".to_owned()),
        many => shown(false, format!("{many} PENDING APPROVALS")),
    };
    let mut parts = vec![
        shown(true, format!("tripline {}", clean(&status.version))),
        shown(true, mode),
        shown(true, format!("{rate} events/s {rates}")),
        match incidents {
            0 => shown(true, "incidents 0".to_owned()),
            1 => shown(false, "1 INCIDENT".to_owned()),
            many => shown(false, format!("{} INCIDENTS", compact(many))),
        },
        shown(true, format!("out of service {out}")),
        approvals,
    ];
    parts.extend(machinery(status));
    if let Some(up) = up {
        parts.push(shown(true, format!("up {}", span(up))));
    }
    parts
}

fn machinery(status: &StatusJson) -> Vec<HeadLine> {
    let mut parts: Vec<HeadLine> = status.issues.iter().map(issue).collect();
    parts.extend(instances(&status.fleet));
    let mut well = |of: Part, text: String| {
        if status.issue(of).is_none() {
            parts.push(shown(true, text));
        }
    };
    well(
        Part::Kafka,
        match status.kafka {
            None => "lag – (no Kafka)".to_owned(),
            Some(kafka) => format!("lag {}", compact(kafka.lag)),
        },
    );
    let most = status.memory_bytes_max.max(1);
    let percent = status.memory_bytes.saturating_mul(100) / most;
    well(Part::Memory, format!("memory {percent} % of {}", bytes(most)));
    well(Part::Journal, "journal ok".to_owned());
    let stores = match status.stores.len() {
        1 => "1 store".to_owned(),
        many => format!("{many} stores"),
    };
    let waiting: u64 = status.stores.iter().map(|store| store.waiting).sum();
    well(
        Part::Store,
        match waiting {
            0 => format!("{stores} settled"),
            _ => format!("{stores}, {} pending", compact(waiting)),
        },
    );
    parts
}

/// How many instances there are, where there are several; those of which this lacks what they know.
fn instances(fleet: &FleetJson) -> Option<HeadLine> {
    let missing = fleet.roster.iter().filter(|known| known.missing.is_some()).count();
    match (fleet.roster.len(), missing) {
        (0 | 1, _) => None,
        (all, 0) => Some(shown(true, format!("{all} instances"))),
        (all, missing) => {
            Some(shown(false, format!("{} OF {all} INSTANCES ANSWER", all - missing)))
        }
    }
}

fn issue(one: &IssueJson) -> HeadLine {
    let mut text = one.part.title().replace('_', " ").to_uppercase();
    if let Some(name) = one.store.as_ref().or(one.source.as_ref()) {
        text.push(' ');
        text.push_str(&clean(name));
    }
    shown(false, format!("{text}: {}", clean(&one.found_at())))
}
