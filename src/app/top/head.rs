//! The lines at the top: how the daemon is. What is not well comes in capitals, and first where
//! there is no room for all.

use super::model::Model;
use super::text::{bytes, clean, compact, span, sparkline, width};
use crate::wire::status_json::StatusJson;
use crate::wire::time::rfc3339;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Records not yet applied that are many, whatever the rate. Chosen.
const LAG_MANY: u64 = 10_000;
/// How many seconds of events not yet applied are many. Chosen.
const LAG_S_MANY: u64 = 10;
/// Columns of the sparkline of events.
const RATE_COLUMNS: usize = 20;
/// Columns between two parts.
const GAP: usize = 2;

/// One thing that is said of the daemon.
struct Part {
    text: String,
    well: bool,
}

fn part(well: bool, text: String) -> Part {
    Part { text, well }
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
    let line = |some: &Vec<&Part>| {
        let span = |part: &&Part| {
            let style = if part.well { Style::new() } else { look.bad() };
            [Span::styled(part.text.clone(), style), Span::raw(" ".repeat(GAP))]
        };
        Line::from(some.iter().flat_map(span).collect::<Vec<_>>())
    };
    placed.iter().take(most).map(line).collect()
}

fn place(parts: &[Part], columns: usize) -> Vec<Vec<&Part>> {
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

fn parts(model: &Model) -> Vec<Part> {
    let status = &model.snapshot.status;
    let up = rfc3339(&status.started).map(|at| model.daemon_now().ms_since(at));
    let rate = model.rates.per_s().map_or_else(|| "…".to_owned(), compact);
    let rates = sparkline(&model.rates.all(), RATE_COLUMNS, 0.0);
    let posture = match &*status.posture {
        "shadow" => "posture shadow (nothing is done)".to_owned(),
        other => format!("posture {}", clean(other)),
    };
    let out = model.snapshot.out_of_service();
    let episodes = status.open_episodes;
    let approvals = match status.approvals {
        0 => part(true, "approvals 0".to_owned()),
        1 => part(false, "1 APPROVAL WAITS".to_owned()),
        many => part(false, format!("{many} APPROVALS WAIT")),
    };
    let mut parts = vec![
        part(true, format!("tripline {}", clean(&status.version))),
        part(true, posture),
        part(true, format!("{rate} events/s {rates}")),
        match episodes {
            0 => part(true, "episodes 0".to_owned()),
            1 => part(false, "EPISODES on 1 credential".to_owned()),
            many => part(false, format!("EPISODES on {} credentials", compact(many))),
        },
        part(true, format!("out of service {out}")),
        approvals,
    ];
    parts.extend(machinery(model, status));
    if let Some(up) = up {
        parts.push(part(true, format!("up {}", span(up))));
    }
    parts
}

fn machinery(model: &Model, status: &StatusJson) -> Vec<Part> {
    let mut parts = Vec::new();
    let lag = status.kafka.lag;
    let many = LAG_MANY.max(model.rates.per_s().unwrap_or(0).saturating_mul(LAG_S_MANY));
    parts.push(match (status.kafka.partitions, lag) {
        (0, 0) => part(true, "lag – (no Kafka)".to_owned()),
        _ if lag > many => part(false, format!("lag {} BEHIND", compact(lag))),
        _ => part(true, format!("lag {}", compact(lag))),
    });
    let (memory, most) = (status.memory_bytes, status.memory_bytes_max.max(1));
    let percent = memory.saturating_mul(100) / most;
    parts.push(if percent >= 90 {
        part(false, format!("memory NEARLY FULL {percent} % of {}", bytes(most)))
    } else {
        part(true, format!("memory {percent} % of {}", bytes(most)))
    });
    parts.push(if status.journal.writable {
        part(true, "journal ok".to_owned())
    } else {
        part(false, "JOURNAL NOT WRITABLE: nothing is carried out".to_owned())
    });
    let late: Vec<String> = status
        .stores
        .iter()
        .filter(|store| store.waiting > 0)
        .map(|store| format!("{} {}", clean(&store.name), compact(store.waiting)))
        .collect();
    parts.push(match (late.is_empty(), status.stores.len()) {
        (false, _) => part(false, format!("STORES WAITING: {}", late.join(", "))),
        (true, 1) => part(true, "1 store settled".to_owned()),
        (true, stores) => part(true, format!("{stores} stores settled")),
    });
    if status.breaker_tokens <= 0 {
        parts.push(part(false, "BREAKER EMPTY: suspends, does not revoke".to_owned()));
    }
    let (full, refused) = (model.rates.full(), model.rates.refused());
    if full > 0 {
        parts.push(part(false, format!("QUEUE FULL {} × in a minute", compact(full))));
    }
    if refused > 0 {
        parts.push(part(false, format!("{} RECORDS REFUSED in a minute", compact(refused))));
    }
    parts
}
