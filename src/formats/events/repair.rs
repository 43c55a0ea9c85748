//! Text as its sender meant it. A client chooses bytes that end up in a record: a user agent that is
//! no UTF-8, half of a surrogate pair, a quote that a log writes as `\x22`. None of that may make its
//! request uncounted (invariant S-11), so what is broken is replaced and counted.
//!
//! The usual record is read as it is; only one that can't be is looked at again.

use super::refusal::Refusal;
use crate::model::event::{AuthEvent, Field};
use std::borrow::Cow;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A record without the byte order mark that some writers put in front.
pub(in crate::formats) fn without_mark(record: &[u8]) -> &[u8] {
    record.strip_prefix(BYTE_ORDER_MARK).unwrap_or(record)
}

/// Decodes a line of text; bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// Those of `decode`, and [`Refusal::InvalidUtf8`] where the credential itself was broken.
pub(in crate::formats) fn read_text<'a>(
    record: &'a [u8],
    decode: impl for<'b> Fn(&'b str) -> Result<AuthEvent<'b>, Refusal>,
) -> Result<AuthEvent<'a>, Refusal> {
    let record = without_mark(record);
    // Much faster than to repair, where there is nothing to repair.
    if let Ok(text) = std::str::from_utf8(record) {
        return decode(text);
    }
    match decode_repaired(&String::from_utf8_lossy(record), decode) {
        Err(Refusal::InvalidJson) => Err(Refusal::InvalidUtf8),
        answer => answer,
    }
}

/// Decodes a JSON text; also repairs what is no JSON in or between its strings.
///
/// # Errors
/// Those of `decode`, and [`Refusal::InvalidUtf8`] where the credential itself was broken.
pub(in crate::formats) fn read_json<'a>(
    record: &'a [u8],
    decode: impl for<'b> Fn(&'b str) -> Result<AuthEvent<'b>, Refusal>,
) -> Result<AuthEvent<'a>, Refusal> {
    let answer = read_text(record, &decode);
    let is_deep = matches!(answer, Err(Refusal::TooDeep));
    if !is_deep && !matches!(answer, Err(Refusal::InvalidJson | Refusal::InvalidUtf8)) {
        return answer;
    }
    let mut text = String::from_utf8_lossy(without_mark(record));
    if is_deep {
        text = Cow::Owned(shallow(&text));
        match decode_repaired(&text, &decode) {
            Err(Refusal::InvalidJson | Refusal::InvalidUtf8 | Refusal::TooDeep) => {}
            read => return read,
        }
    }
    match repaired_json(&text).map(|text| decode_repaired(&text, decode)) {
        Some(Err(Refusal::InvalidJson)) if is_deep => answer,
        Some(read) => read,
        None => answer,
    }
}

/// How deep a record may nest that is read again. Unit: levels. Chosen: deeper than any field stands.
const LEVELS_MAX: usize = 32;

/// A JSON text with empty lists and objects where it nests deeper: anything there is no field that
/// is read.
fn shallow(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for char in text.chars() {
        let before = depth;
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        // The brackets of the first level that is left out stay, with nothing between them.
        if before.min(depth) <= LEVELS_MAX {
            out.push(char);
        }
    }
    out
}

fn decode_repaired(
    text: &str,
    decode: impl for<'b> Fn(&'b str) -> Result<AuthEvent<'b>, Refusal>,
) -> Result<AuthEvent<'static>, Refusal> {
    let mut event = decode(text)?;
    if event.credential.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Refusal::InvalidUtf8);
    }
    event.repairs.add(Field::Text);
    Ok(event.into_owned())
}

/// JSON without what no JSON reader takes: raw control characters, unknown escapes and lone
/// surrogates in strings, `NaN` and infinities between them. `None` where there is nothing of that.
pub(super) fn repaired_json(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut changed = false;
    while let Some(open) = rest.find('"') {
        let (between, string) = rest.split_at_checked(open)?;
        changed |= push_between(&mut out, between);
        out.push('"');
        let (length, repaired) = push_string(&mut out, string.get(1..)?);
        changed |= repaired;
        rest = string.get(1 + length..).unwrap_or("");
    }
    changed |= push_between(&mut out, rest);
    changed.then_some(out)
}

/// Copies the text between strings, with numbers that JSON does not know as an empty list: no field
/// reads one, so that a field that decides refuses its record, and another is left out.
fn push_between(out: &mut String, text: &str) -> bool {
    const UNKNOWN: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !text.contains(['I', 'N']) {
        out.push_str(text);
        return false;
    }
    let known = UNKNOWN.iter().fold(text.to_owned(), |text, word| text.replace(word, "[]"));
    out.push_str(&known);
    known != text
}

/// Copies a string up to and with its closing quote; gives how long it was, and whether it changed.
fn push_string(out: &mut String, text: &str) -> (usize, bool) {
    let mut changed = false;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => {
                out.push('"');
                return (at + 1, changed);
            }
            '\\' => {
                let (length, escape) = escape(text.get(at..).unwrap_or(""));
                changed |= escape.is_some();
                out.push_str(escape.unwrap_or_else(|| text.get(at..at + length).unwrap_or("")));
                while chars.offset() < at + length && chars.next().is_some() {}
            }
            control if control < ' ' => {
                changed = true;
                out.push(' ');
            }
            other => out.push(other),
        }
    }
    (text.len(), changed)
}

/// How long the escape is that `text` begins with, and what to write for it where JSON has no such.
fn escape(text: &str) -> (usize, Option<&'static str>) {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    match (text.as_bytes().get(1), unit(0)) {
        (Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), _) => (2, None),
        (_, Some(0xd800..=0xdbff)) => match unit(6) {
            Some(0xdc00..=0xdfff) => (12, None),
            _ => (6, Some("\\ufffd")),
        },
        (_, Some(0xdc00..=0xdfff)) => (6, Some("\\ufffd")),
        (_, Some(_)) => (6, None),
        _ => (1, Some("\\\\")),
    }
}

#[cfg(test)]
mod tests {
    use super::{LEVELS_MAX, repaired_json, shallow};
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn what_clients_break_is_repaired_and_the_rest_is_left_as_it_is() {
        for (broken, right) in [
            (r#"{"a":"x \ud83d","b":1}"#, r#"{"a":"x \ufffd","b":1}"#),
            (r#"{"a":"\udc00\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffd\ufffd\ud83d\ude00"}"#),
            (r#"{"a":"x\x22y"}"#, r#"{"a":"x\\x22y"}"#),
            (r#"{"a":"\u12"}"#, r#"{"a":"\\u12"}"#),
            ("{\"a\":\"x\ty\u{0}\"}", r#"{"a":"x y "}"#),
            (r#"{"a":NaN,"b":[-Infinity,"NaN"]}"#, r#"{"a":[],"b":[[],"NaN"]}"#),
        ] {
            assert_eq!(repaired_json(broken).as_deref(), Some(right), "{broken}");
        }
        for right in [r#"{"a":"\ud83d\ude00 \" \\ \/ \u00e4"}"#, r#"{"N":"I"}"#, "{"] {
            assert_eq!(repaired_json(right), None, "{right}");
        }
    }

    #[test]
    fn what_nests_deep_is_left_out_and_nothing_else() {
        let nested = |levels: usize, inner: &str| {
            format!(
                "{{\"a\":{}{inner}{},\"b\":\"[\\\"[\"}}",
                "[".repeat(levels),
                "]".repeat(levels)
            )
        };
        assert_eq!(shallow(&nested(LEVELS_MAX, "")), nested(LEVELS_MAX, ""));
        for deep in [nested(LEVELS_MAX, "1,[],2"), nested(1000, "\"]]\\\"]\"")] {
            assert_eq!(shallow(&deep), nested(LEVELS_MAX, ""));
        }
    }

    proptest! {
        #[test]
        fn json_is_never_changed(text in "\\PC*", number in any::<f64>()) {
            let json = serde_json::json!({ "a": text, "b": [number] }).to_string();
            prop_assert_eq!(repaired_json(&json), None);
        }

        #[test]
        fn a_string_of_any_escapes_can_be_read(
            parts in prop::collection::vec("[a-fux0-9]|\\\\[ux\"\\\\n]|\\\\u[d][0-9a-f]{3}", 0..12)
        ) {
            // The quote that closes must not be escaped by the text before it.
            let text = format!("{{\"a\":\"{} \"}}", parts.join("").trim_end_matches('\\'));
            let text = repaired_json(&text).unwrap_or(text);
            let read: Result<Value, _> = serde_json::from_str(&text);
            prop_assert!(read.is_ok() || text.matches('"').count() > 4, "{}", text);
        }
    }
}
