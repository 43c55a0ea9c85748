//! All about one credential: its windows next to what is usual, its findings, its decisions.

use super::model::Model;
use super::snapshot::{Decided, DetailView, minute, name_of, times_peak};
use super::text::{bar, clean, clock, compact, decimal, fit, span, sparkline, wrap};
use super::theme::Theme;
use crate::formats::api::profile::{CredentialJson, WindowJson};
use crate::formats::time::rfc3339;
use crate::model::finding::Finding;
use crate::model::time::EventTime;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// How many findings and decisions are shown at the most.
const SHOWN_MAX: usize = 20;
/// The widest bar. Unit: columns.
const BAR_MAX: usize = 50;
/// The columns before a bar. Unit: columns.
const BEFORE_BAR: usize = 44;

/// A page that is being written.
struct Page {
    lines: Vec<Line<'static>>,
    columns: usize,
    look: Theme,
}

impl Page {
    fn title(&mut self, text: &str) {
        self.lines.push(Line::default());
        self.lines.push(Line::styled(text.to_owned(), self.look.lead()));
    }

    fn field(&mut self, name: &str, value: &str, style: Style) {
        let mut before = fit(name, 14, false);
        for part in wrap(value, self.columns.saturating_sub(14)) {
            let name = Span::styled(before, Theme::quiet());
            self.lines.push(Line::from(vec![name, Span::styled(part, style)]));
            before = " ".repeat(14);
        }
    }

    fn text(&mut self, text: &str, style: Style) {
        for part in wrap(text, self.columns.saturating_sub(2)) {
            self.lines.push(Line::styled(format!("  {part}"), style));
        }
    }
}

/// The page, in lines of that width.
pub(super) fn lines(model: &Model, name: &str, columns: usize) -> Vec<Line<'static>> {
    let look = model.look;
    let mut page = Page { lines: Vec::new(), columns, look };
    let snapshot = &model.snapshot;
    let looked_at = snapshot.looked_at.as_ref().filter(|one| one.name == name);
    let listed = || snapshot.credentials.iter().find(|one| name_of(one) == name);
    let credential = looked_at.and_then(|one| one.credential.as_ref()).or_else(listed);
    let head = Style::new().add_modifier(Modifier::BOLD);
    page.lines.push(Line::styled(clean(name), head));
    match credential {
        Some(one) => {
            in_force(&mut page, model, one);
            windows(&mut page, one);
        }
        None if looked_at.is_some() => page.text("No profile.", Style::new()),
        None => {}
    }
    match looked_at {
        Some(more) => {
            findings(&mut page, model, more);
            decisions(&mut page, model, more);
        }
        None => page.text("Loading findings and decisions …", Theme::quiet()),
    }
    page.lines
}

fn ago(model: &Model, time: Option<&String>) -> String {
    let at = time.and_then(|text| rfc3339(text));
    at.map_or_else(
        || "–".to_owned(),
        |at| format!("{} ago, {at}", span(model.daemon_now().ms_since(at))),
    )
}

fn in_force(page: &mut Page, model: &Model, one: &CredentialJson) {
    let until = one.until.as_deref().and_then(rfc3339);
    let left =
        |at: EventTime| format!(" until {at} ({} left)", span(at.ms_since(model.daemon_now())));
    let mut status = clean(&one.status);
    status.push_str(&until.map(left).unwrap_or_default());
    page.field("status", &status, page.look.of_status(&one.status));
    if let (Some(by), Some(reason)) = (&one.by, &one.reason) {
        page.field("decided by", &clean(by), Style::new());
        page.field("because", &clean(reason), Style::new());
    }
    page.field("tenant", &clean(one.tenant.as_deref().unwrap_or("–")), Style::new());
    page.field("first seen", &ago(model, one.first_seen.as_ref()), Style::new());
    page.field("last seen", &ago(model, one.last_seen.as_ref()), Style::new());
    if let Some(limit) = one.limit() {
        page.field("limit", &limit, Style::new());
    }
    let approval = model.snapshot.approvals.iter().find(|waits| {
        let credential = &waits.decision.credential;
        credential.id() == one.credential && credential.kind().as_str() == one.kind
    });
    if let Some(waits) = approval {
        let until = waits.until.map_or_else(String::new, |at| format!(" until {at}"));
        let agreed = waits.agreed.iter().map(|who| clean(who)).collect::<Vec<_>>().join(", ");
        let agreed = if agreed.is_empty() { "no one yet".to_owned() } else { agreed };
        let id = waits.decision.id;
        let told = format!(
            "revocation pending approval{until}, approved by: {agreed}; tripline decisions \
             approve {id}"
        );
        page.field("APPROVAL", &told, page.look.bad());
    }
}

fn windows(page: &mut Page, one: &CredentialJson) {
    if one.windows.is_empty() {
        return;
    }
    page.title("Windows against the baseline");
    let columns = page.columns.saturating_sub(BEFORE_BAR).min(BAR_MAX);
    let legend = if columns > 10 { "█ count  │ expected  ┃ peak" } else { "" };
    let titles = ["window", "count", "expected", "peak", "× peak"].map(|title| fit(title, 8, true));
    let titles = format!("{}  {legend}", titles.join(" "));
    page.lines.push(Line::styled(titles, Theme::quiet()));
    for window in &one.windows {
        let line = window_line(page.look, window, columns);
        page.lines.push(line);
    }
    let counts: Vec<u64> = one.per_second.iter().map(|count| u64::from(*count)).collect();
    let most = counts.iter().max().copied().unwrap_or(0);
    let line = sparkline(&counts, page.columns.saturating_sub(14).min(60), minute(one).peak / 60.0);
    page.lines.push(Line::default());
    page.field("last 60 s", &line, Style::new());
    page.field("", &format!("at most {} in a second", compact(most)), Theme::quiet());
}

fn window_line(look: Theme, window: &WindowJson, columns: usize) -> Line<'static> {
    let times = times_peak(window);
    let above = times.is_some_and(|times| times > 1.0);
    let mark = if above { "▲ " } else { "" };
    let cells = [
        format!("{} s", window.window_s),
        compact(u64::from(window.count)),
        decimal(window.expected),
        decimal(window.peak),
        times.map_or_else(|| "–".to_owned(), |times| format!("{mark}{}", decimal(times))),
    ];
    let cells = cells.map(|cell| fit(&cell, 8, true)).join(" ");
    let bar = bar(f64::from(window.count), window.expected, window.peak, columns);
    let style = if above { look.bad() } else { Style::new() };
    Line::styled(format!("{cells}  {bar}"), style)
}

fn findings(page: &mut Page, model: &Model, more: &DetailView) {
    page.title(&format!("Findings ({})", more.findings.len()));
    if more.findings.is_empty() {
        page.text("none", Theme::quiet());
    }
    for one in more.findings.iter().take(SHOWN_MAX) {
        finding(page, model, one);
    }
}

fn finding(page: &mut Page, model: &Model, one: &Finding) {
    let open = one.closed.is_none();
    let state = one.closed.map_or_else(
        || format!("OPEN for {}", span(model.daemon_now().ms_since(one.opened))),
        |closed| format!("closed {}", clock(closed)),
    );
    let told = format!(
        "{} {} {}, justifies {}, evidence {:.0} nats, {state}",
        clock(one.opened),
        one.id,
        one.detector.as_str(),
        one.action,
        one.evidence_nats
    );
    let style = if open { page.look.of_status(one.action.as_str()) } else { Style::new() };
    page.text(&told, style);
    page.text(&clean(&one.summary), Style::new());
}

fn decisions(page: &mut Page, model: &Model, more: &DetailView) {
    page.title(&format!("Decisions ({})", more.decisions.len()));
    if more.decisions.is_empty() {
        page.text("none", Theme::quiet());
    }
    for one in more.decisions.iter().take(SHOWN_MAX) {
        decision(page, model, one);
    }
}

fn decision(page: &mut Page, model: &Model, one: &Decided) {
    let Decided { decision, stores } = one;
    let until = decision.until.map_or_else(String::new, |at| format!(", until {at}"));
    let told = format!(
        "{} {} {}: {}{until}, by {}",
        clock(decision.at),
        decision.id,
        decision.order.as_str(),
        clean(&model.snapshot.outcome(one)),
        clean(&decision.by)
    );
    let carried_out = if decision.carried_out { decision.order.as_str() } else { "" };
    page.text(&told, page.look.of_status(carried_out));
    page.text(&clean(&decision.reason), Style::new());
    if !stores.is_empty() {
        let told = stores.iter().map(|(name, answer)| format!("{name} {answer}"));
        let told = format!("stores: {}", clean(&told.collect::<Vec<_>>().join(", ")));
        page.text(&told, Theme::quiet());
    }
}
