//! The lists: columns that fit, the most needed first.

use super::model::Model;
use super::rows::{Pane, Row, RowOf};
use super::snapshot::{Decided, Snapshot, minute, times_peak};
use super::text::{clean, clock, compact, decimal, fit, span, sparkline};
use super::theme::Theme;
use crate::formats::api::profile::CredentialJson;
use crate::model::finding::Finding;
use crate::model::time::EventTime;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// A column.
struct Column {
    title: &'static str,
    /// Its width at the least.
    width: usize,
    /// Its share of what is left over.
    share: usize,
    right: bool,
    /// Which columns come first where there is no room for all: 0 always.
    rank: u8,
}

const fn column(title: &'static str, width: usize, rank: u8) -> Column {
    Column { title, width, share: 0, right: false, rank }
}

const fn number(title: &'static str, width: usize, rank: u8) -> Column {
    Column { title, width, share: 0, right: true, rank }
}

const fn wide(title: &'static str, width: usize, (rank, share): (u8, usize)) -> Column {
    Column { title, width, share, right: false, rank }
}

const CREDENTIALS: &[Column] = &[
    column("", 2, 0),
    wide("CREDENTIAL", 12, (0, 1)),
    column("KIND", 7, 8),
    column("TENANT", 10, 7),
    column("STATUS", 9, 1),
    number("60 S", 6, 2),
    number("EXPECTED", 8, 4),
    number("PEAK", 6, 5),
    number("× PEAK", 8, 3),
    column("LAST 60 SECONDS", 15, 6),
];

const INCIDENTS: &[Column] = &[
    column("", 2, 0),
    wide("CREDENTIAL", 12, (0, 2)),
    column("DETECTOR", 12, 3),
    column("JUSTIFIED", 9, 1),
    number("AGE", 7, 4),
    wide("DONE", 25, (2, 1)),
    wide("SUMMARY", 16, (5, 4)),
];

const DECISIONS: &[Column] = &[
    column("", 2, 0),
    column("TIME UTC", 8, 1),
    column("ACTION", 8, 0),
    wide("CREDENTIAL", 12, (0, 2)),
    wide("OUTCOME", 25, (2, 2)),
    wide("BY", 9, (3, 1)),
    wide("REASON", 16, (4, 4)),
];

/// A cell's text and style.
type Cell = (String, Style);

/// The widths of the columns; none for one that has no place.
fn widths(columns: &[Column], total: usize) -> Vec<Option<usize>> {
    let mut ranked: Vec<&Column> = columns.iter().collect();
    ranked.sort_by_key(|column| column.rank);
    let mut taken = 0;
    let mut rank_max = None;
    for column in ranked {
        taken += column.width + usize::from(taken > 0);
        if taken > total && column.rank > 0 {
            taken -= column.width + 1;
            break;
        }
        rank_max = Some(column.rank);
    }
    let kept = |column: &&Column| rank_max.is_some_and(|most| column.rank <= most);
    let shares: usize = columns.iter().filter(kept).map(|column| column.share).sum();
    let left = total.saturating_sub(taken);
    let width = |column: &Column| {
        let more = (left * column.share).checked_div(shares).unwrap_or(0);
        kept(&column).then_some(column.width + more)
    };
    columns.iter().map(width).collect()
}

fn line(columns: &[Column], cells: Vec<Cell>, total: usize) -> Line<'static> {
    let mut spans = Vec::new();
    for ((column, cell), width) in columns.iter().zip(cells).zip(widths(columns, total)) {
        let (Some(width), (text, style)) = (width, cell) else { continue };
        if !spans.is_empty() {
            spans.push(Span::raw(" "));
        }
        spans.push(Span::styled(fit(&text, width, column.right), style));
    }
    Line::from(spans)
}

const fn columns(pane: Pane) -> &'static [Column] {
    match pane {
        Pane::Credentials => CREDENTIALS,
        Pane::Incidents => INCIDENTS,
        Pane::Decisions => DECISIONS,
    }
}

/// The line over the rows.
pub(super) fn titles(pane: Pane, total: usize) -> Line<'static> {
    let style = Theme::quiet().add_modifier(Modifier::BOLD);
    let cells = columns(pane).iter().map(|column| (column.title.to_owned(), style)).collect();
    line(columns(pane), cells, total)
}

/// As many rows as there are lines, those around the chosen one.
pub(super) fn body(model: &Model, total: usize, lines: usize) -> Vec<Line<'static>> {
    let rows = model.rows();
    let chosen = model.list().place(&rows);
    let first = chosen.saturating_sub(lines / 2).min(rows.len().saturating_sub(lines));
    let look = model.look;
    let draw = |(at, row): (usize, &Row<'_>)| {
        let cells = cells(model, row, at == chosen, look);
        let drawn = line(columns(model.pane), cells, total);
        if at == chosen { drawn.patch_style(Theme::cursor()) } else { drawn }
    };
    rows.iter().enumerate().skip(first).take(lines).map(draw).collect()
}

fn cells(model: &Model, row: &Row<'_>, chosen: bool, look: Theme) -> Vec<Cell> {
    let arrow = if chosen { '▸' } else { ' ' };
    match row.of {
        RowOf::Credential(one) => of_credential(one, arrow, look),
        RowOf::Incident(one) => {
            of_incident(one, (&model.snapshot, model.daemon_now()), arrow, look)
        }
        RowOf::Decision(one) => of_decision(one, &model.snapshot, arrow, look),
    }
}

fn plain(text: String) -> Cell {
    (text, Style::new())
}

/// A kind, where there is little room.
fn short_kind(kind: &str) -> String {
    clean(kind.strip_suffix("_token").unwrap_or(kind))
}

fn of_credential(one: &CredentialJson, arrow: char, look: Theme) -> Vec<Cell> {
    let window = minute(one);
    let times = times_peak(&window);
    let above = times.is_some_and(|times| times > 1.0);
    let mark = if one.open_findings.is_empty() { ' ' } else { '!' };
    let counts: Vec<u64> = one.per_second.iter().map(|count| u64::from(*count)).collect();
    let times = times.map_or_else(
        || "–".to_owned(),
        |times| format!("{}{}", if above { "▲ " } else { "" }, decimal(times)),
    );
    let strong = if above { look.bad() } else { Style::new() };
    vec![
        (format!("{arrow}{mark}"), look.bad()),
        plain(clean(&one.credential)),
        plain(short_kind(&one.kind)),
        plain(clean(one.tenant.as_deref().unwrap_or("–"))),
        (clean(&one.status), look.of_status(&one.status)),
        (compact(u64::from(window.count)), strong),
        plain(decimal(window.expected)),
        plain(decimal(window.peak)),
        (times, strong),
        (sparkline(&counts, 15, window.peak / 60.0), strong),
    ]
}

fn of_incident(
    one: &Finding,
    (snapshot, now): (&Snapshot, EventTime),
    arrow: char,
    look: Theme,
) -> Vec<Cell> {
    vec![
        (format!("{arrow}!"), look.bad()),
        plain(clean(one.credential.id())),
        plain(one.detector.as_str().to_owned()),
        (one.action.to_string(), look.of_status(one.action.as_str())),
        plain(span(now.ms_since(one.opened))),
        plain(clean(&snapshot.done_about(one.id))),
        plain(clean(&one.summary)),
    ]
}

fn of_decision(one: &Decided, snapshot: &Snapshot, arrow: char, look: Theme) -> Vec<Cell> {
    let Decided { decision, .. } = one;
    let order = decision.order.as_str();
    let style = if decision.carried_out { look.of_status(order) } else { Theme::quiet() };
    vec![
        (format!("{arrow} "), Style::new()),
        plain(clock(decision.at)),
        (order.to_owned(), style),
        plain(clean(decision.credential.id())),
        plain(clean(&snapshot.outcome(one))),
        plain(clean(&decision.by)),
        plain(clean(&decision.reason)),
    ]
}

/// The whole text of the chosen row; none where its columns show it all.
pub(super) fn aside(model: &Model) -> Option<String> {
    let rows = model.rows();
    let told = match rows.get(model.list().place(&rows))?.of {
        RowOf::Credential(_) => return None,
        RowOf::Incident(one) => format!("{}; {}", one.summary, model.snapshot.done_about(one.id)),
        RowOf::Decision(one) => {
            let decision = &one.decision;
            format!("{}; {}, by {}", decision.reason, model.snapshot.outcome(one), decision.by)
        }
    };
    Some(clean(&told))
}
