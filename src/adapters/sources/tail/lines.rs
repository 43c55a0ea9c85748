//! The whole lines of a part of a file.

use crate::formats::events::refusal::Refusal;

/// Gives the whole lines of `text`, each with where it begins, to `each`; returns how much of the text they are.
/// The rest is a line that goes on, unless `ended`. A line of more than `bytes_max` is refused once, and passed over
/// up to its end, which may be in a later part: `passing_over` says so.
pub fn split(
    text: &[u8],
    (passing_over, ended): (&mut bool, bool),
    bytes_max: usize,
    mut each: impl FnMut(u64, Result<&[u8], Refusal>),
) -> usize {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        let line = text.get(start..end).unwrap_or_default();
        if !std::mem::take(passing_over) {
            give(start, line, bytes_max, &mut each);
        }
        start = end + 1;
    }
    let rest = text.get(start..).unwrap_or_default();
    if rest.len() > bytes_max || (*passing_over && !rest.is_empty()) {
        if !std::mem::replace(passing_over, true) {
            each(start as u64, Err(Refusal::TooLarge));
        }
        return text.len();
    }
    if ended && !rest.is_empty() {
        give(start, rest, bytes_max, &mut each);
        return text.len();
    }
    start
}

fn give(
    start: usize,
    line: &[u8],
    bytes_max: usize,
    each: &mut impl FnMut(u64, Result<&[u8], Refusal>),
) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > bytes_max {
        each(start as u64, Err(Refusal::TooLarge));
    } else if !line.is_empty() {
        each(start as u64, Ok(line));
    }
}

#[cfg(test)]
mod tests {
    use super::split;
    use proptest::prelude::*;

    /// Reads a text in parts of so many bytes, as far as it has grown, as a follower does.
    fn lines(text: &str, part: usize, ended: bool) -> Vec<(u64, Option<String>)> {
        let (mut at, mut passing_over, mut seen) = (0, false, Vec::new());
        loop {
            let end = (at + part).min(text.len());
            let is_last = ended && end == text.len();
            let chunk = &text.as_bytes()[at..end];
            let used = split(chunk, (&mut passing_over, is_last), 8, |start, line| {
                let line = line.ok().map(|line| String::from_utf8_lossy(line).into_owned());
                seen.push((at as u64 + start, line));
            });
            at += used;
            if used == 0 || at == text.len() {
                return seen;
            }
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text_however_it_is_cut(
            parts in prop::collection::vec("[a-c]{0,12}", 1..30), part in 10_usize..40, ended in any::<bool>()
        ) {
            let text = parts.join("\n");
            let mut expected = Vec::new();
            let mut at = 0;
            for (number, line) in text.split('\n').enumerate() {
                let is_whole = number + 1 < parts.len() || ended;
                if !line.is_empty() && (is_whole || line.len() > 8) {
                    expected.push((at, (line.len() <= 8).then(|| line.to_owned())));
                }
                at += line.len() as u64 + 1;
            }
            prop_assert_eq!(lines(&text, part, ended), expected);
        }
    }
}
