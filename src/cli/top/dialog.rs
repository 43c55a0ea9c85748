//! Overlays: the help, and the question before an order.

use super::confirm::{Confirm, Verb};
use super::text::{clean, cut, span, width, wrap};
use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

const HELP: &[(&str, &str)] = &[
    ("Tab 1 2 3", "the lists: credentials, incidents, decisions"),
    ("j k ↓ ↑", "down, up; PgDn PgUp by a page; g G first, last"),
    ("Enter", "credential detail; Esc goes back"),
    ("/", "filter; Enter keeps it, Esc clears it"),
    ("s S", "sort by the next column; reverse"),
    ("space", "pause, resume"),
    ("x X r", "suspend, revoke, restore (with --operate)"),
    ("q Esc ^C", "quit"),
    ("", ""),
    ("!", "open incident: its use is abnormal now"),
    ("▲ × PEAK", "the last minute over its peak minute"),
    ("EXPECTED", "requests a minute by its baseline"),
    ("CAPITALS", "in the top lines: needs attention"),
];

fn window(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'static>>, style: Style) {
    let all = frame.area();
    let most = lines.iter().map(Line::width).max().unwrap_or(0).max(width(title) + 2);
    let columns = u16::try_from(most + 4).unwrap_or(u16::MAX).min(all.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(all.height);
    let area = Rect {
        x: all.x + (all.width - columns) / 2,
        y: all.y + (all.height - height) / 2,
        width: columns,
        height,
    };
    let block = Block::bordered().title(format!(" {title} ")).border_style(style);
    let block = block.padding(ratatui::widgets::Padding::horizontal(1));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// The keys and their effects.
pub(super) fn help(frame: &mut Frame<'_>, look: Theme) {
    let line = |(keys, told): &(&str, &str)| {
        let gap = " ".repeat(10_usize.saturating_sub(width(keys)));
        Line::from(vec![
            ratatui::text::Span::styled(format!("{keys}{gap}"), look.lead()),
            ratatui::text::Span::raw((*told).to_owned()),
        ])
    };
    window(frame, "Keys and marks", HELP.iter().map(line).collect(), look.lead());
}

/// The question before an order.
pub(super) fn confirm(frame: &mut Frame<'_>, asked: &Confirm, look: Theme) {
    let columns = usize::from(frame.area().width).saturating_sub(4).clamp(1, 70);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let told = match asked.verb {
        Verb::Suspend => "Requests with it will be refused for a while.",
        Verb::Revoke => "Requests with it will be refused for good, until it is restored.",
        Verb::Restore => "Requests with it will be accepted again.",
    };
    let mut lines = Vec::new();
    let mut write = |text: &str, style: Style| {
        lines.extend(wrap(text, columns).into_iter().map(|part| Line::styled(part, style)));
    };
    write(&clean(&asked.name), bold);
    write(told, Style::new());
    if let Some(lasts_s) = asked.lasts_s() {
        let lasts = match lasts_s {
            300..3600 => format!("{} min", lasts_s / 60),
            _ => span(i64::from(lasts_s) * 1000).replace("60 min", "1 h").replace("24 h", "1 d"),
        };
        write(&format!("For {lasts} (↑ ↓ change it)"), Style::new());
    }
    let field = |text: &str, here: bool| {
        let room = columns.saturating_sub(3);
        let chars = text.chars().count();
        let tail: String = text.chars().skip(chars.saturating_sub(room)).collect();
        let tail = cut(&tail, room);
        let style = if here { bold } else { Theme::quiet() };
        let gap = " ".repeat(columns.saturating_sub(width(&tail) + 3));
        Line::styled(format!("> {tail}{}{gap}", if here { '▏' } else { ' ' }), style)
    };
    lines.push(Line::default());
    lines.push(Line::raw("Reason (recorded in the audit log):"));
    lines.push(field(&asked.reason, !asked.at_id));
    if asked.asks_for_id() {
        let id = cut(&asked.id(), columns.saturating_sub(25).max(8));
        lines.push(Line::raw(cut(&format!("Its id, to be sure: {id}"), columns)));
        lines.push(field(&asked.typed, asked.at_id));
    }
    lines.push(Line::styled(asked.amiss.unwrap_or("").to_owned(), look.bad()));
    let keys = if asked.asks_for_id() { "Tab: next field  " } else { "" };
    lines.push(Line::styled(
        format!("Enter: {}  {keys}Esc: cancel", asked.verb.as_str()),
        look.lead(),
    ));
    let title = match asked.verb {
        Verb::Suspend => "Suspend?",
        Verb::Revoke => "Revoke?",
        Verb::Restore => "Restore?",
    };
    window(frame, title, lines, look.bad());
}
