//! Finds secrets inside texts, by their form alone.
//!
//! A text is read once, chunk by chunk (the parts between spaces, quotes, commas and brackets):
//!
//! ```text
//! asked with Authorization: Bearer sk-4fK…  /v1/keys/ghp_8Rt…?token=…  hooks.slack.com/services/T…
//!                                  ^ after a scheme  ^ known prefix ^ assigned  ^ secret path
//! ```
//!
//! and what is at least `RANDOM_BYTES_MIN` long and looks drawn at random is a secret, too, unless
//! a word such as `key_` names it as an id. **Does not** replace anything: [`super::secret`] does.

use super::forms::{KEY_BLOCK, NEVER_IDS, PREFIXES, SCHEMES, SECRET_NAMES, SECRET_PATHS};
use super::jwt;
use super::randomness::{Class, RANDOM_BYTES_MIN, class_of, is_shaped, part, random_in};
use std::ops::Range;

/// A prefix alone is a word; with at least this many bytes it is a secret. Chosen.
pub(in crate::formats) const SECRET_BYTES_MIN: usize = 16;
/// The shortest value that is a secret for the name or scheme before it. Unit: bytes. Chosen.
const VALUE_BYTES_MIN: usize = 8;
/// The shortest one after `Token` and the like, which are words of sentences, too. Chosen.
const SCHEME_VALUE_BYTES_MIN: usize = 12;
/// Which rules are gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats) enum Rules {
    /// Known forms alone, for ids that are random by nature: a `jti`, the id of an event.
    Known,
    /// Forms that look drawn at random, too.
    Random,
}

/// The table of bytes.
struct Table {
    class: [Class; 256],
    separates: [bool; 256],
    /// Whether it is a letter or a digit.
    in_word: [bool; 256],
    /// Where the prefixes that begin with it stand among all: from and to.
    prefixes: [(u8, u8); 256],
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks bounds")]
#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 256 prefixes")]
const fn table() -> Table {
    let mut table = Table {
        class: [Class::Separator; 256],
        separates: [true; 256],
        in_word: [false; 256],
        prefixes: [(0, 0); 256],
    };
    let mut byte = 0_u8;
    while byte < 128 {
        table.class[byte as usize] = class_of(byte);
        table.separates[byte as usize] = matches!(class_of(byte), Class::Separator);
        table.in_word[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut prefix = 0;
    while prefix < PREFIXES.len() {
        let range = &mut table.prefixes[PREFIXES[prefix].as_bytes()[0] as usize];
        if range.1 == 0 {
            range.0 = prefix as u8;
        }
        range.1 = prefix as u8 + 1;
        prefix += 1;
    }
    table
}

static TABLE: Table = table();

fn class(byte: u8) -> Class {
    TABLE.class.get(usize::from(byte)).copied().unwrap_or(Class::Separator)
}

/// The first byte from `at` on that `table` has as `wanted`, or the end.
fn first_where(bytes: &[u8], mut at: usize, table: &[bool; 256], wanted: bool) -> usize {
    while let Some(byte) = bytes.get(at)
        && table.get(usize::from(*byte)) != Some(&wanted)
    {
        at += 1;
    }
    at
}

/// The prefixes that begin with that byte.
fn prefixes(byte: u8) -> &'static [&'static str] {
    let (from, to) = TABLE.prefixes.get(usize::from(byte)).copied().unwrap_or_default();
    PREFIXES.get(usize::from(from)..usize::from(to)).unwrap_or(&[])
}

/// Where the first secret is in `text` from `from` on. Cost: one look-up a byte where chunks
/// are short, some more for chunks of [`SECRET_BYTES_MIN`] and more.
pub(in crate::formats) fn find(text: &str, from: usize, rules: Rules) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if bytes.len() < SECRET_BYTES_MIN + from {
        // Shorter than any secret, and than `Bearer` with a value.
        return None;
    }
    let (mut before, mut at) = (0..0, from);
    let (mut is_first, mut assigns) = (from == 0, false);
    while let Some(chunk) = next_chunk(bytes, at) {
        at = chunk.end;
        if chunk.len() <= 2 && matches!(bytes.get(chunk.start), Some(b':' | b'=')) {
            // Between a name and its value, as in JSON.
            assigns = true;
            continue;
        }
        if chunk.len() >= VALUE_BYTES_MIN
            && (3..=40).contains(&before.len())
            && is_introduced(bytes, (&before, assigns), &chunk)
        {
            return Some(without_stop(bytes, chunk));
        }
        if bytes.get(chunk.start) == Some(&b'-')
            && part(bytes, chunk.clone()).starts_with(KEY_BLOCK.as_bytes())
        {
            return Some(chunk.start..bytes.len());
        }
        if chunk.len() >= SECRET_BYTES_MIN
            && let Some(found) = in_chunk(bytes, &chunk, rules, is_first)
        {
            return Some(without_stop(bytes, found));
        }
        before = chunk;
        (is_first, assigns) = (false, false);
    }
    None
}

/// The next bytes without a separator.
fn next_chunk(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let begin = first_where(bytes, from, &TABLE.separates, false);
    let end = first_where(bytes, begin, &TABLE.separates, true);
    (begin < end).then_some(begin..end)
}

/// Without the stop that ends a sentence.
fn without_stop(bytes: &[u8], found: Range<usize>) -> Range<usize> {
    let text = part(bytes, found.clone());
    let end = text.iter().rposition(|byte| !matches!(byte, b'.' | b':' | b'!' | b'?'));
    found.start..end.map_or(found.end, |last| found.start + last + 1)
}

/// Whether the chunk before says that a secret follows: `Bearer`, `Authorization: Bearer`,
/// `password:`, `"password": "…"`. `apart`: whether a sign stands between the two by itself.
fn is_introduced(
    bytes: &[u8],
    (before, apart): (&Range<usize>, bool),
    chunk: &Range<usize>,
) -> bool {
    let whole = part(bytes, before.clone());
    let assigns = apart || matches!(whole.last(), Some(b':' | b'='));
    let name = whole.strip_suffix(b":").or_else(|| whole.strip_suffix(b"=")).unwrap_or(whole);
    let name = name.rsplit(|byte| matches!(byte, b':' | b'=' | b'/')).next().unwrap_or(name);
    if !name.last().is_some_and(|byte| ends_name(*byte)) {
        return false;
    }
    let value = part(bytes, chunk.clone());
    let alone = next_chunk(bytes, chunk.end).is_none() && before_is_first(bytes, before);
    let of_header = ["bearer", "authorization"];
    if apart && is_secret_name(name, &SECRET_NAMES) {
        return true;
    }
    if assigns && is_secret_name(name, &NEVER_IDS) {
        return alone || is_no_word(value) || !is_secret_name(name, &of_header);
    }
    if name.eq_ignore_ascii_case(b"bearer") {
        return alone || is_no_word(value);
    }
    is_scheme(name) && value.len() >= SCHEME_VALUE_BYTES_MIN && is_no_word(value)
}

/// Whether a scheme or the name of a secret may end with that letter. Rules out most words.
const fn ends_name(byte: u8) -> bool {
    matches!(byte | 0x20, b'r' | b'n' | b'y' | b'c' | b't' | b'd' | b'e' | b'g' | b's')
}

fn is_scheme(name: &[u8]) -> bool {
    SCHEMES.iter().any(|scheme| name.eq_ignore_ascii_case(scheme.as_bytes()))
}

/// Whether nothing but the name of a header stands before that chunk.
fn before_is_first(bytes: &[u8], before: &Range<usize>) -> bool {
    next_chunk(bytes, 0).is_some_and(|first| {
        first.start == before.start || part(bytes, first.clone()).ends_with(b":")
    })
}

fn is_secret_name(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| {
        let begin = name.len().checked_sub(known.len());
        let end = begin.and_then(|begin| name.get(begin..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// Whether a value is no word of a sentence: it has a digit, a capital within, or great length.
fn is_no_word(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
        || value.iter().skip(1).any(u8::is_ascii_uppercase)
        || value.len() >= 24
}

/// The first secret within a chunk, which is read word by word. `is_first`: nothing stands before it.
fn in_chunk(
    bytes: &[u8],
    chunk: &Range<usize>,
    rules: Rules,
    is_first: bool,
) -> Option<Range<usize>> {
    let mut seen = ScanState::default();
    let (mut at, mut run) = (chunk.start, chunk.start);
    let mut random = None;
    let mut end_run = |run: Range<usize>| {
        if rules == Rules::Random && random.is_none() && run.len() >= RANDOM_BYTES_MIN {
            random = random_in(bytes, run);
        }
    };
    while at < chunk.end {
        if let Some(found) = at_prefix(bytes, at, chunk, is_first && at == chunk.start) {
            return Some(found);
        }
        at = first_where(bytes, at, &TABLE.in_word, false).min(chunk.end);
        let Some(byte) = part(bytes, at..chunk.end).first() else { break };
        match class(*byte) {
            Class::Other | Class::Separator => {
                seen.points += usize::from(*byte == b'.');
                seen.assigns |= matches!(byte, b'=' | b':');
                end_run(run..at);
                run = at + 1;
            }
            Class::Slash => seen.slashes += 1,
            Class::Lower | Class::Upper | Class::Digit | Class::Joint => {}
        }
        at += 1;
        if *byte == b'%'
            && let Some(found) = at_prefix(bytes, (at + 2).min(chunk.end), chunk, false)
        {
            return Some(found);
        }
    }
    end_run(run..chunk.end);
    let shaped = is_shaped(part(bytes, chunk.clone())).then(|| chunk.clone());
    seen.find(bytes, chunk).or(shaped).or(random)
}

/// The secret that begins with a known prefix at `at`. It reaches to the end of its chunk, or of its
/// segment of a path or query: what it is made of differs from issuer to issuer. `whole`: the text
/// begins with it, so that it need not look drawn.
fn at_prefix(bytes: &[u8], at: usize, chunk: &Range<usize>, whole: bool) -> Option<Range<usize>> {
    let rest = bytes.get(at..chunk.end).filter(|rest| rest.len() >= SECRET_BYTES_MIN)?;
    let (first, second) = (*rest.first()?, rest.get(1));
    if first == b'e' && rest.starts_with(b"eyJ") && jwt::begins_readable(rest) {
        return Some(at..chunk.end);
    }
    let begins = |prefix: &&&str| {
        // The second letter alone rules out nearly all.
        prefix.as_bytes().get(1) == second && rest.starts_with(prefix.as_bytes())
    };
    let prefix = prefixes(first).iter().find(begins)?;
    let cuts = |byte: &u8| matches!(byte, b'/' | b'?' | b'&' | b'#');
    let end = if *prefix == "1//0" { None } else { rest.iter().position(cuts) };
    let found = rest.get(..end.unwrap_or(rest.len()))?;
    let value = found.get(prefix.len()..)?;
    let letters = value.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(value.len());
    let drawn = is_no_word(value) || letters >= SECRET_BYTES_MIN;
    (found.len() >= SECRET_BYTES_MIN && (whole || drawn)).then_some(at..at + found.len())
}

/// The parts of a chunk that are examined once it has been read.
#[derive(Default)]
struct ScanState {
    points: usize,
    slashes: usize,
    assigns: bool,
}

impl ScanState {
    fn find(&self, bytes: &[u8], chunk: &Range<usize>) -> Option<Range<usize>> {
        if let Some(found) = (self.points >= 2).then(|| token_in(bytes, chunk)).flatten() {
            return Some(found);
        }
        let text = part(bytes, chunk.clone());
        if self.slashes > 0
            && let Some(found) = in_address(text)
        {
            return Some(chunk.start + found.start..chunk.start + found.end);
        }
        if self.assigns
            && let Some(found) = assigned(text)
        {
            return Some(chunk.start + found.start..chunk.start + found.end);
        }
        None
    }
}

/// A JWT or JWE within a chunk: alone, or behind `=`, `:`, `/` and the like. Cost: one pass, and at most
/// [`jwt::HEAD_BYTES_MAX`] bytes for each of these.
fn token_in(bytes: &[u8], chunk: &Range<usize>) -> Option<Range<usize>> {
    let text = part(bytes, chunk.clone());
    let is_stop = |byte: &&u8| matches!(byte, b'.' | b':' | b'!' | b'?');
    let stops = text.iter().rev().take_while(is_stop).filter(|byte| **byte == b'.').count();
    let mut points = memchr::memchr_iter(b'.', text);
    let mut points_left = points.clone().count();
    let mut point = points.next();
    let mut before = b':';
    for (begin, byte) in text.iter().enumerate() {
        let begins = matches!(before, b':' | b'=' | b'/' | b'&' | b'?' | b'@' | b'#');
        before = *byte;
        if begins
            && matches!(class(*byte), Class::Lower | Class::Upper | Class::Digit)
            && text.len() - begin >= SECRET_BYTES_MIN
            && [points_left, points_left.saturating_sub(stops)].iter().any(|n| matches!(n, 2 | 4))
            && let Some(head) = point.and_then(|point| text.get(begin..point))
            && head.len() >= 8
            && jwt::is_head(head)
        {
            return Some(chunk.start + begin..chunk.end);
        }
        if point == Some(begin) {
            points_left -= 1;
            point = points.next();
        }
    }
    None
}

/// The secret of an address: the path of a webhook, or the text before the `@`.
fn in_address(text: &[u8]) -> Option<Range<usize>> {
    let is_scheme_end = |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with(b"://"));
    let begin = memchr::memchr_iter(b':', text).find(is_scheme_end).map_or(0, |at| at + 3);
    let rest = text.get(begin..)?;
    if begin > 0
        && let Some(user) = memchr::memrchr(b'@', rest).and_then(|end| rest.get(..end))
        && (user.contains(&b':') || user.len() >= VALUE_BYTES_MIN)
    {
        return Some(begin..begin + user.len());
    }
    let (host, path) = rest.split_at_checked(memchr::memchr(b'/', rest)?)?;
    if !host.ends_with(b".com") && !host.ends_with(b".org") {
        return None;
    }
    let host = host.rsplit(|byte| matches!(byte, b'@' | b'=')).next()?;
    SECRET_PATHS.iter().find_map(|(known, before)| {
        let secret = path.strip_prefix(before.as_bytes())?;
        let is_there = host.ends_with(known.as_bytes()) && secret.len() >= VALUE_BYTES_MIN;
        is_there.then_some(text.len() - secret.len()..text.len())
    })
}

/// The value after `token=` and the like, or after `password:`.
fn assigned(text: &[u8]) -> Option<Range<usize>> {
    let mut is_first = true;
    for (at, sign) in text.iter().enumerate() {
        if !matches!(sign, b'=' | b':') {
            is_first &= *sign != b'/';
            continue;
        }
        let known: &[&str] = match sign {
            b'=' => &SECRET_NAMES,
            // `arn:aws:secretsmanager:eu-west-1:1:secret:name` names a secret, and is none.
            _ if is_first => &NEVER_IDS,
            _ => &[],
        };
        is_first &= *sign != b':';
        let name = text.get(..at)?;
        if !name.last().is_some_and(|byte| ends_name(*byte)) || !is_secret_name(name, known) {
            continue;
        }
        let value = text.get(at + 1..)?;
        let end = value.iter().position(|byte| matches!(byte, b'&' | b'#')).unwrap_or(value.len());
        if end >= VALUE_BYTES_MIN {
            return Some(at + 1..at + 1 + end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{PREFIXES, Rules, find};

    #[test]
    fn every_prefix_is_known_at_the_begin_and_within_a_text() {
        for prefix in PREFIXES {
            let secret = format!("{prefix}0123456789abcdef");
            for text in
                [secret.clone(), format!("  {secret}"), format!("GET /keys/{secret}/x of a client")]
            {
                let found = find(&text, 0, Rules::Known).expect(prefix);
                assert!(text.get(found).is_some_and(|text| text.starts_with(prefix)), "{text}");
            }
        }
    }

    /// Texts for which a scan that looks at each place again from the start takes minutes.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is the time that is tested")]
    fn the_cost_of_a_scan_grows_with_the_length_alone() {
        let begun = std::time::Instant::now();
        for unit in [
            ":",
            "=",
            "/",
            "a:",
            "e=",
            "/sk-abcdefgh-ijkl",
            "eyJ:",
            "eyJ.",
            "ICAg:",
            "token=&",
            "password:",
            "bearer ",
            "x: ",
            "%sk-",
            "a.",
            "aaaaaaaaa.a.a:",
            "https://@",
            ":ICAgICAg.",
        ] {
            let text = format!("{}.a.b", unit.repeat((1 << 18) / unit.len()));
            for rules in [Rules::Known, Rules::Random] {
                let _found = find(&text, 0, rules);
            }
        }
        // Milliseconds each; one that is quadratic takes over an hour.
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_name_introduces_a_value_in_every_spelling() {
        for text in [
            r#"{"password":"Tr0ub4dor"}"#,
            r#"{"access_token": "s3cr3tvalue"}"#,
            "password = Hunter2hunter",
            "X-Api-Key: abcdefgh12",
            "Cookie: sid=abcdefgh1234",
            "pass=Hunter2hunter",
            "key-0123456789abcdef0123456789abcdef",
            "AVNS_abcdefghijklm012345",
            "fp_0123456789abcdef0123456789abcdef01234567",
            "s.1aB2cD3eF4gH5iJ6kL7mN8oP",
            "aZ18Q~0123456789.abcdefghij_ABCDEFGHIJKL",
            "MTEyMzQ1Njc4OTAxMjM0NTY3.GabcDE.0123456789abcdefGHIJKLMNOPQ",
        ] {
            assert!(find(text, 0, Rules::Random).is_some(), "{text}");
        }
        for text in [
            "fp_0123456789abcdef0123456789abcdef",
            "key_0123456789abcdef0123456789abcdef",
            r#"{"credential":"key_7f3a9b21c4","status":200}"#,
            "api_key:key_7f3a9b21c4",
            "s.example.internal.service",
            "service.eu.production-cluster-number-one",
            "the token of key_7f3a was used",
        ] {
            assert_eq!(find(text, 0, Rules::Random), None, "{text}");
        }
    }

    #[test]
    fn a_prefix_within_a_word_or_without_a_value_is_a_word() {
        for text in [
            "task-0123456789abcdef",
            "/sk-SK/kontakt/formular",
            "/blog/sk-language-pack-released",
            "the package npm_package_name is set",
            "sk-",
        ] {
            assert_eq!(find(text, 0, Rules::Known), None, "{text}");
        }
    }
}
