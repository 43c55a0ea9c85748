//! Texts for a terminal: nothing in them moves the cursor or turns the line, and each fits its place.
//!
//! Ids, reasons and names come from their senders. A terminal obeys control characters, and
//! shows a line in another order where a mark says so; both are replaced before anything is drawn.

use crate::formats::printable::misleads;
use crate::model::time::EventTime;
use ratatui::text::Span;

/// The substitute for a character that is not shown.
pub(super) const REPLACED: char = '\u{fffd}';
/// How many marks a letter may carry; a pile of them covers other lines. Chosen: Vietnamese has two.
const MARKS_MAX: usize = 2;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

fn width_of(char: char) -> usize {
    Span::raw(char.encode_utf8(&mut [0; 4]).to_owned()).width()
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text of someone else, safe to be shown.
pub(crate) fn clean(text: &str) -> String {
    let mut marks = 0;
    let safe = |char: char| {
        if char.is_control() || misleads(char) {
            marks = 0;
            return REPLACED;
        }
        marks = if width_of(char) == 0 { marks + 1 } else { 0 };
        if marks > MARKS_MAX { REPLACED } else { char }
    };
    text.chars().map(safe).collect()
}

/// A text cut to a width; `…` says that there was more.
pub(super) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let (mut out, mut taken) = (String::new(), 1);
    for char in text.chars() {
        taken += width_of(char);
        if taken > most {
            break;
        }
        out.push(char);
    }
    if most > 0 {
        out.push('…');
    }
    out
}

/// A text of exactly that width, cut or filled with spaces.
pub(crate) fn fit(text: &str, exactly: usize, right: bool) -> String {
    let text = cut(text, exactly);
    let gap = " ".repeat(exactly.saturating_sub(width(&text)));
    if right { format!("{gap}{text}") } else { format!("{text}{gap}") }
}

/// A text in lines of at most that width, broken between words where that can be.
pub(super) fn wrap(text: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let room = |line: &String| most.saturating_sub(width(line) + usize::from(!line.is_empty()));
        if lines.last().map_or(0, room) < width(word) && lines.last().is_some_and(|l| !l.is_empty())
        {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut().filter(|line| !line.is_empty()) {
            line.push(' ');
        }
        for char in word.chars() {
            if lines.last().is_some_and(|line| width(line) + width_of(char) > most) {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push(char);
            }
        }
    }
    lines
}

/// Counts as a line of bars, the newest at the right. A bar is the sum of as many counts as it must
/// be for all of them to have a place. `known` is a count that was there before: it comes half way
/// up at the most, so that a quiet credential has a quiet line.
pub(super) fn sparkline(counts: &[u64], columns: usize, known: f64) -> String {
    let columns = columns.max(1);
    let group = counts.len().div_ceil(columns).max(1);
    // The oldest may be of fewer counts, and must not look like less for that.
    let sum = |some: &[u64]| some.iter().sum::<u64>() * group as u64 / some.len().max(1) as u64;
    let sums: Vec<u64> = counts.rchunks(group).rev().map(sum).collect();
    let most = sums.iter().copied().max().unwrap_or(0);
    let known = rounded(known * 2.0 * group as f64);
    let most = most.max(known).max(4);
    let level = |sum: &u64| {
        let level = usize::try_from((sum * 7).div_ceil(most)).unwrap_or(7);
        LEVELS.get(level).copied().unwrap_or('█')
    };
    let bars: String = sums.iter().map(level).collect();
    fit(&bars, columns, true)
}

/// A number that is no less than 0 as a whole one.
pub(super) fn rounded(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let whole = number.max(0.0).round() as u64;
    whole
}

/// A count for people: `950`, `12.3k`, `4.5M`.
pub(super) fn compact(count: u64) -> String {
    let number = count as f64;
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{:.1}k", number / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", number / 1e6),
        _ => format!("{:.1}G", number / 1e9),
    }
}

/// A number that may have a part: `0.5`, `12`, `12.3k`.
pub(super) fn decimal(number: f64) -> String {
    if number < 9.95 { format!("{number:.1}") } else { compact(rounded(number)) }
}

/// Bytes for people.
pub(super) fn bytes(count: u64) -> String {
    let mib = count as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// A span of time for people. Unit: milliseconds.
pub(super) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The time of day, in UTC.
pub(super) fn clock(time: EventTime) -> String {
    time.to_string().get(11..19).unwrap_or("--:--:--").to_owned()
}

/// A bar with the count, and marks where the expected and the peak are: `█████│···┃`.
pub(super) fn bar(count: f64, expected: f64, peak: f64, columns: usize) -> String {
    let most = count.max(expected).max(peak).max(1.0);
    let last = columns.saturating_sub(1);
    let place = |value: f64| {
        let place = rounded(value / most * columns as f64);
        usize::try_from(place).unwrap_or(last)
    };
    let (filled, usual, top) = (place(count), place(expected).min(last), place(peak).min(last));
    let draw = |at: usize| match at {
        _ if at == top => '┃',
        _ if at == usual => '│',
        _ if at < filled => '█',
        _ => '·',
    };
    (0..columns).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        let told = clean("a\u{1b}[2Jb\u{9b}c\nd\u{202e}e\u{2066}f\u{200d}g\u{feff}\u{e0041}");
        assert_eq!(told, "a�[2Jb�c�d�e�f�g��");
        assert_eq!(clean("Zoë 鍵 e\u{301}"), "Zoë 鍵 e\u{301}");
        assert_eq!(clean(&format!("e{}", "\u{301}".repeat(9))), "e\u{301}\u{301}�������");
    }

    #[test]
    fn a_text_is_cut_by_its_columns() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("鍵鍵鍵", 4), "鍵…");
        assert_eq!(fit("鍵", 4, true), "  鍵");
        assert_eq!((cut("ab", 1), cut("ab", 0)), ("…".to_owned(), String::new()));
    }

    #[test]
    fn words_are_kept_whole_where_they_fit() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 0), [""]);
    }

    #[test]
    fn a_line_of_bars_has_its_newest_at_the_right() {
        assert_eq!(sparkline(&[0, 0, 7, 7], 4, 0.0), "▁▁██");
        assert_eq!(sparkline(&[0, 0, 7, 7], 2, 0.0), "▁█");
        assert_eq!(sparkline(&[1, 1], 4, 10.0), "  ▂▂");
        assert_eq!(sparkline(&[9, 9, 9], 2, 0.0), "██");
        assert_eq!(sparkline(&[], 3, 0.0), "   ");
    }

    #[test]
    fn a_bar_shows_the_count_beside_expected_and_peak() {
        assert_eq!(bar(10.0, 2.0, 4.0, 10), "██│█┃█████");
        assert_eq!(bar(2.0, 5.0, 10.0, 10), "██···│···┃");
        assert_eq!(bar(0.0, 0.0, 0.0, 3), "┃··");
        assert_eq!(bar(1.0, 1.0, 1.0, 0), "");
    }
}
