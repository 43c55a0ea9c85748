//! Random text, as keys and hashes are, distinguished from names of ids.

use super::forms::ID_WORDS;
use std::ops::Range;

/// The shortest text that counts as drawn at random. Unit: bytes. Chosen: 128 bits in hexadecimal.
pub(in crate::formats) const RANDOM_BYTES_MIN: usize = 32;

/// The class of a byte in a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) enum Class {
    /// Ends a chunk: a space, a quote, a comma, a bracket, anything that is no ASCII.
    Separator,
    Lower,
    Upper,
    Digit,
    /// Within base64: `-`, `_`, `+`, `~`.
    Joint,
    Slash,
    Other,
}

pub(in crate::formats) const fn class_of(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' => Class::Lower,
        b'A'..=b'Z' => Class::Upper,
        b'0'..=b'9' => Class::Digit,
        b'-' | b'_' | b'+' | b'~' => Class::Joint,
        b'/' => Class::Slash,
        b'.' | b':' | b'@' | b'%' | b'&' | b'?' | b'#' | b'!' | b'$' | b'*' | b'^' | b'=' => {
            Class::Other
        }
        _ => Class::Separator,
    }
}

pub(in crate::formats) fn part(bytes: &[u8], range: Range<usize>) -> &[u8] {
    bytes.get(range).unwrap_or(&[])
}

/// Whether a chunk has the shape in which an issuer makes secrets that have no prefix of their own: tokens of
/// older Vaults (`s.` and 24 letters), client secrets of Entra ID (`…8Q~…`), tokens of Discord's bots.
pub(in crate::formats) fn is_shaped(chunk: &[u8]) -> bool {
    let in_url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match chunk {
        [b's', b'.', token @ ..] if token.len() == 24 => {
            return token.iter().all(u8::is_ascii_alphanumeric) && CharacterMix::of(token).mixes();
        }
        [_, _, _, b'0'..=b'9', b'Q', b'~', rest @ ..] if (31..=34).contains(&rest.len()) => {
            return rest.iter().all(|byte| in_url(byte) || matches!(byte, b'.' | b'~'));
        }
        _ => {}
    }
    if !(58..=74).contains(&chunk.len()) {
        return false;
    }
    let mut parts = chunk.split(|byte| *byte == b'.');
    let (Some(id), Some(time), Some(mac), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (23..=28).contains(&id.len())
        && time.len() == 6
        && (27..=38).contains(&mac.len())
        && chunk.iter().all(|byte| in_url(byte) || *byte == b'.')
        && CharacterMix::of(id).mixes()
}

/// The random part of a run of base64's letters. A run holds `/`, which standard base64
/// has and paths have: its segments are looked at first.
pub(in crate::formats) fn random_in(bytes: &[u8], run: Range<usize>) -> Option<Range<usize>> {
    let text = part(bytes, run.clone());
    let mut begin = run.start;
    for segment in text.split(|byte| *byte == b'/') {
        if segment.len() >= RANDOM_BYTES_MIN && !is_named_id(segment) && is_random(segment) {
            let padded = bytes.get(begin + segment.len()..).unwrap_or(&[]);
            let padding = padded.iter().take(2).take_while(|byte| **byte == b'=').count();
            return Some(begin..begin + segment.len() + padding);
        }
        begin += segment.len() + 1;
    }
    let slashes = memchr::memchr_iter(b'/', text).count();
    // Standard base64 has `+` and `/`, but neither `-` nor `_`.
    let is_path = text.first() == Some(&b'/') || slashes == 0 || slashes * 12 > text.len();
    let is_standard = !text.iter().any(|byte| matches!(byte, b'-' | b'_' | b'~'));
    (!is_path && is_standard && CharacterMix::of(text).is_base64()).then_some(run)
}

/// Whether a word before the first `_` or `-` says that it is an id. `fp_` and 32 hexadecimal digits are
/// tripline's own; `key-` and as many are a key of Mailgun.
fn is_named_id(run: &[u8]) -> bool {
    let Some(end) = memchr::memchr2(b'_', b'-', run) else { return false };
    let (word, rest) = run.split_at_checked(end).unwrap_or((run, &[]));
    let is_hash = rest.len() == 33 && rest.iter().skip(1).all(u8::is_ascii_hexdigit);
    match word {
        b"fp" => return is_hash,
        b"key" if is_hash && rest.starts_with(b"-") => return false,
        _ => {}
    }
    ID_WORDS.iter().any(|id| word.eq_ignore_ascii_case(id.as_bytes()))
}

/// Whether a run without `/` looks drawn at random: as hexadecimal, as lower-case letters with digits, or
/// as base64. Text written by people has long stretches of one class of letters, few digits, and
/// joints at its words.
fn is_random(run: &[u8]) -> bool {
    let word = |byte: &u8| matches!(byte, b'-' | b'_' | b'+' | b'~');
    let is_drawn = |segment: &[u8]| {
        segment.len() >= RANDOM_BYTES_MIN
            && (has_hexadecimal(segment) || CharacterMix::of(segment).is_base36())
    };
    let is_mixed = run.iter().any(u8::is_ascii_uppercase) && run.iter().any(u8::is_ascii_lowercase);
    if run.split(word).any(is_drawn) {
        return true;
    }
    // Of a name with joints no part mixes capitals, small letters and digits.
    is_mixed
        && CharacterMix::of(run).is_base64()
        && run.split(word).any(|part| CharacterMix::of(part).mixes())
}

/// Whether it has 32 hexadecimal digits of one case in a row, letters and digits in a mixture.
fn has_hexadecimal(segment: &[u8]) -> bool {
    segment.split(|byte| !byte.is_ascii_hexdigit()).any(|digits| {
        let makeup = CharacterMix::of(digits);
        let one_case = makeup.lower == 0 || makeup.upper == 0;
        let letters = makeup.lower + makeup.upper;
        digits.len() >= RANDOM_BYTES_MIN && one_case && letters >= 3 && makeup.distinct() >= 8
    })
}

/// The make-up of a run.
#[derive(Default)]
struct CharacterMix {
    lower: usize,
    upper: usize,
    digits: usize,
    joints: usize,
    /// How often the class changes from a letter or digit to the next. Random base64: 0.62 of them.
    changes: usize,
    letters: u128,
}

impl CharacterMix {
    fn of(run: &[u8]) -> Self {
        let mut makeup = Self::default();
        let mut before = None;
        for byte in run {
            let class = class_of(*byte);
            match class {
                Class::Lower => makeup.lower += 1,
                Class::Upper => makeup.upper += 1,
                Class::Digit => makeup.digits += 1,
                Class::Joint | Class::Slash | Class::Other | Class::Separator => {
                    makeup.joints += 1;
                    continue;
                }
            }
            makeup.changes += usize::from(before.is_some_and(|before| before != class));
            before = Some(class);
            makeup.letters |= 1 << (byte & 127);
        }
        makeup
    }

    /// How many letters and digits differ.
    const fn distinct(&self) -> u32 {
        self.letters.count_ones()
    }

    /// Base64, of which 1 % is missed: shares of classes and changes that words don't reach.
    const fn is_base64(&self) -> bool {
        let read = self.lower + self.upper + self.digits;
        let mixed = self.lower >= 3 && self.upper >= 3 && self.distinct() >= 14;
        let few_joints = self.joints * 6 <= read;
        // 0.42 with digits; without them words in camel case come nearer.
        let enough = if self.digits >= 2 { read * 42 } else { read * 48 };
        mixed && few_joints && self.changes * 100 >= enough
    }

    /// Whether it has letters of both cases, and digits if it is short enough to be a word.
    const fn mixes(&self) -> bool {
        let read = self.lower + self.upper + self.digits;
        self.lower >= 2 && self.upper >= 2 && (self.digits >= 1 || read >= 24)
    }

    /// Letters of one case with digits, all over the place.
    const fn is_base36(&self) -> bool {
        let read = self.lower + self.upper + self.digits;
        let one_case = self.lower == 0 || self.upper == 0;
        let letters = self.lower + self.upper;
        one_case
            && self.digits >= 4
            && letters >= 8
            && self.distinct() >= 14
            && self.changes * 5 >= read
    }
}
