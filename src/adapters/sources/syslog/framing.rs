//! The frames of a syslog stream (RFC 6587): by count of bytes, or by line feed, whichever each begins as.

use crate::formats::events::refusal::{Record, Refusal};

/// Digits of a count. Chosen: a longer one is none.
const COUNT_DIGITS_MAX: usize = 9;

/// How far a stream was read: bytes that came, without those of whole frames.
#[derive(Debug, Default)]
pub struct Frames {
    held: Vec<u8>,
    /// Bytes that are still passed over: the rest of a counted frame that is too large.
    skip: usize,
    /// Whether all up to the next line feed is passed over.
    passing_over: bool,
    /// How many of the bytes that are held have no line feed.
    searched: usize,
}

impl Frames {
    /// Takes bytes as they come, and gives each whole frame; one of more than `bytes_max` is refused once.
    pub fn push(&mut self, bytes: &[u8], bytes_max: usize, each: &mut dyn FnMut(Record<'_>)) {
        self.held.extend_from_slice(bytes);
        let mut held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while let Some(after) = self.frame(rest, bytes_max, each) {
            rest = after;
        }
        let used = held.len() - rest.len();
        held.drain(..used);
        self.held = held;
    }

    /// Gives the frame at the begin of `text`, and returns what is behind it; none where more has to come.
    fn frame<'a>(
        &mut self,
        text: &'a [u8],
        bytes_max: usize,
        each: &mut dyn FnMut(Record<'_>),
    ) -> Option<&'a [u8]> {
        if text.is_empty() {
            return None;
        }
        if self.skip > 0 {
            let (_, rest) = text.split_at(self.skip.min(text.len()));
            self.skip -= text.len() - rest.len();
            return Some(rest);
        }
        match count(text) {
            Count::Of(length, rest) if !self.passing_over => {
                if length > bytes_max {
                    each(Err(Refusal::TooLarge));
                    self.skip = length;
                    return Some(rest);
                }
                let (frame, rest) = rest.split_at_checked(length)?;
                each(Ok(frame));
                Some(rest)
            }
            Count::Unfinished if !self.passing_over => None,
            Count::Of(..) | Count::Unfinished | Count::Not => {
                let from = std::mem::take(&mut self.searched).min(text.len());
                let behind = text.get(from..).unwrap_or_default();
                let Some(end) = memchr::memchr(b'\n', behind).map(|at| from + at) else {
                    if self.passing_over || text.len() > bytes_max {
                        if !std::mem::replace(&mut self.passing_over, true) {
                            each(Err(Refusal::TooLarge));
                        }
                        return Some(&[]);
                    }
                    self.searched = text.len();
                    return None;
                };
                let (line, rest) = text.split_at(end);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if std::mem::take(&mut self.passing_over) {
                } else if line.len() > bytes_max {
                    each(Err(Refusal::TooLarge));
                } else if !line.is_empty() {
                    each(Ok(line));
                }
                rest.get(1..)
            }
        }
    }

    /// Whether a frame was begun, and has no end yet.
    pub const fn is_partial(&self) -> bool {
        !self.held.is_empty() || self.skip > 0 || self.passing_over
    }

    /// The stream has ended: what is left of it is a frame, if it can be one.
    pub fn end(self, each: &mut dyn FnMut(Record<'_>)) {
        let is_line = matches!(count(&self.held), Count::Not);
        if is_line && !self.held.is_empty() && self.skip == 0 && !self.passing_over {
            each(Ok(&self.held));
        }
    }
}

enum Count<'a> {
    /// A frame of so many bytes follows, which begin there.
    Of(usize, &'a [u8]),
    /// It may become one.
    Unfinished,
    /// It begins as no count.
    Not,
}

fn count(text: &[u8]) -> Count<'_> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > COUNT_DIGITS_MAX || text.first() == Some(&b'0') {
        return Count::Not;
    }
    match text.split_at_checked(digits) {
        Some((number, [b' ', rest @ ..])) => {
            let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
            number.map_or(Count::Not, |number| Count::Of(number, rest))
        }
        Some((_, [])) => Count::Unfinished,
        Some(_) | None => Count::Not,
    }
}

#[cfg(test)]
mod tests {
    use super::Frames;
    use crate::formats::events::refusal::Refusal;
    use proptest::prelude::*;

    /// The frames of a stream that comes in parts of so many bytes.
    fn frames(stream: &[u8], part: usize) -> Vec<Result<String, Refusal>> {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        let mut each = |frame: Result<&[u8], Refusal>| {
            all.push(frame.map(|frame| String::from_utf8_lossy(frame).into_owned()));
        };
        for part in stream.chunks(part) {
            frames.push(part, 16, &mut each);
        }
        frames.end(&mut each);
        all
    }

    #[test]
    fn frames_are_counted_or_end_with_a_line_feed_and_what_is_too_large_hides_no_other() {
        let stream = b"8 <1>a\nb c<2>line\r\n\n<3>next\n20 aaaaaaaaaaaaaaaaaaaa5 <4>ab<5>bbbbbbbbbbbbbbbbbbbbb\n<6>end";
        let ok = |text: &str| Ok(text.to_owned());
        let large = || Err(Refusal::TooLarge);
        let expected = vec![
            ok("<1>a\nb c"),
            ok("<2>line"),
            ok("<3>next"),
            large(),
            ok("<4>ab"),
            large(),
            ok("<6>end"),
        ];
        for part in 1..stream.len() {
            assert_eq!(frames(stream, part), expected, "in parts of {part}");
        }
    }

    #[test]
    fn a_count_that_is_cut_off_or_a_lie_gives_nothing() {
        assert_eq!(frames(b"15 short", 3), vec![]);
        assert_eq!(frames(b"12", 1), vec![]);
        assert_eq!(frames(b"9999999999 x", 5), vec![Ok("9999999999 x".to_owned())]);
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_a_stream_is_cut(stream in "[ 1-3<>\n]{0,60}", part in 1_usize..30) {
            prop_assert_eq!(frames(stream.as_bytes(), part), frames(stream.as_bytes(), 1));
        }
    }
}
