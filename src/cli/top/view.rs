//! Draws what the screen is about. It changes nothing.
//!
//! ```text
//! how the daemon is (1 to 3 lines)
//! what is amiss between it and here, if anything
//! the lists' names, filter, order
//! rows, or all about one credential
//! what the chosen row says at length
//! keys, or what an order came to
//! ```

use super::model::{Model, Overlay};
use super::rows::Pane;
use super::text::{clean, cut, fit, span, wrap};
use super::theme::Theme;
use super::{detail, dialog, head, table};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// The smallest terminal that can show anything. Unit: columns and lines.
const SMALLEST: (u16, u16) = (24, 6);
/// From how many lines on the chosen row is shown in full.
const ROOM_FOR_ASIDE: u16 = 14;
/// From how many lines on all of the daemon's state is shown.
const ROOM_FOR_HEAD: u16 = 12;
/// Lines in which the chosen row is shown in full.
const ASIDE: usize = 2;

/// Lines that are given out from the top, and from the bottom.
struct Room(Rect);

impl Room {
    fn top(&mut self, lines: u16) -> Rect {
        let lines = lines.min(self.0.height);
        let taken = Rect { height: lines, ..self.0 };
        self.0.y += lines;
        self.0.height -= lines;
        taken
    }

    fn bottom(&mut self, lines: u16) -> Rect {
        let lines = lines.min(self.0.height);
        self.0.height -= lines;
        Rect { y: self.0.y + self.0.height, height: lines, ..self.0 }
    }
}

fn height(lines: &[Line<'_>]) -> u16 {
    u16::try_from(lines.len()).unwrap_or(u16::MAX)
}

/// Draws it; gives by how many lines the detail can be scrolled.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) -> u16 {
    let look = model.look;
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        frame.render_widget(Paragraph::new("too small"), area);
        return 0;
    }
    let columns = usize::from(area.width);
    let mut room = Room(area);
    let most = if area.height < ROOM_FOR_HEAD { 1 } else { 3 };
    let head = head::lines(model, area.width, most);
    let place = room.top(height(&head));
    frame.render_widget(Paragraph::new(head), place);
    let amiss = amiss(model, columns, look);
    let place = room.top(height(&amiss));
    frame.render_widget(Paragraph::new(amiss), place);
    let mut foot = foot(model, columns, look);
    foot.truncate(usize::from(area.height / 3).max(1));
    let place = room.bottom(height(&foot));
    frame.render_widget(Paragraph::new(foot), place);
    let scroll_max = if let Some(name) = &model.detail {
        about_one(frame, model, name, room.0)
    } else {
        lists(frame, model, &mut room);
        0
    };
    match &model.over {
        Overlay::Nothing => {}
        Overlay::Help => dialog::help(frame, look),
        Overlay::Confirm(asked) => dialog::confirm(frame, asked, look),
    }
    scroll_max
}

fn about_one(frame: &mut Frame<'_>, model: &Model, name: &str, area: Rect) -> u16 {
    let lines = detail::lines(model, name, usize::from(area.width));
    let scroll_max = height(&lines).saturating_sub(area.height);
    let scroll = model.scroll.min(scroll_max);
    frame.render_widget(Paragraph::new(lines).scroll((scroll, 0)), area);
    scroll_max
}

fn lists(frame: &mut Frame<'_>, model: &Model, room: &mut Room) {
    let look = model.look;
    let columns = usize::from(room.0.width);
    frame.render_widget(Paragraph::new(tabs(model, look)), room.top(1));
    let told = table::aside(model).filter(|_| frame.area().height >= ROOM_FOR_ASIDE);
    if let Some(told) = told {
        let mut lines: Vec<String> = wrap(&told, columns);
        if lines.len() > ASIDE {
            let rest = lines.split_off(ASIDE - 1).join(" ");
            lines.push(cut(&rest, columns));
        }
        let lines: Vec<Line<'_>> = lines.into_iter().map(Line::raw).collect();
        let place = room.bottom(2);
        frame.render_widget(Paragraph::new(lines), place);
    }
    let titles = table::titles(model.pane, columns);
    frame.render_widget(Paragraph::new(titles), room.top(1));
    let body = table::body(model, columns, usize::from(room.0.height));
    if body.is_empty() {
        let told = match (model.pane, model.filter.is_empty()) {
            (_, false) => "no match for the filter; Esc clears it",
            (Pane::Credentials, true) => "no credentials yet",
            (Pane::Incidents, true) => "no open incidents",
            (Pane::Decisions, true) => "no decisions yet",
        };
        frame.render_widget(Paragraph::new(format!("  {told}")).style(Theme::quiet()), room.0);
        return;
    }
    frame.render_widget(Paragraph::new(body), room.0);
}

fn amiss(model: &Model, columns: usize, look: Theme) -> Vec<Line<'static>> {
    let age = span(model.age_ms());
    let mut told = Vec::new();
    if let Some(why) = &model.lost {
        told.push(format!("UNREACHABLE, retrying; data is {age} old: {}", clean(why)));
    }
    if model.paused {
        told.push(format!("PAUSED, {age} old; space resumes"));
    }
    let line = |text: String| Line::styled(fit(&format!(" {text}"), columns, false), look.banner());
    told.into_iter().map(line).collect()
}

fn tabs(model: &Model, look: Theme) -> Line<'static> {
    let list = model.list();
    let snapshot = &model.snapshot;
    let mut spans = Vec::new();
    for (pane, number) in Pane::ALL.into_iter().zip(1..) {
        let rows = match pane {
            Pane::Credentials => snapshot.credentials.len(),
            Pane::Incidents => snapshot.findings.len(),
            Pane::Decisions => snapshot.decisions.len(),
        };
        let front = pane == model.pane;
        let style =
            if front { look.lead().add_modifier(Modifier::UNDERLINED) } else { Theme::quiet() };
        let (open, close) = if front { ('[', ']') } else { (' ', ' ') };
        spans.push(Span::styled(format!("{open}{number} {} {rows}{close}", pane.title()), style));
    }
    let order = if list.reversed { ", turned" } else { "" };
    spans.push(Span::styled(format!("  by {}{order}", list.by.as_str()), Theme::quiet()));
    if !model.filter.is_empty() && !model.filtering {
        spans.push(Span::styled(format!("  /{}", clean(&model.filter)), look.odd()));
    }
    Line::from(spans)
}

fn foot(model: &Model, columns: usize, look: Theme) -> Vec<Line<'static>> {
    if model.filtering {
        return vec![Line::styled(format!("/{}▏", clean(&model.filter)), look.lead())];
    }
    if let Some((told, _)) = &model.notice {
        let told = wrap(&clean(told), columns);
        return told.into_iter().map(|text| Line::styled(text, look.odd())).collect();
    }
    let back =
        if model.detail.is_some() { "Esc back  j k scroll" } else { "Enter detail  / filter" };
    let sort = if model.detail.is_some() { "" } else { "  s sort" };
    let orders = if model.operate { "  x suspend  X revoke  r restore" } else { "" };
    let told = format!("q quit  ? help{orders}  {back}{sort}  space pause");
    vec![Line::styled(cut(&told, columns), Theme::quiet())]
}
