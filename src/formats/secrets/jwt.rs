//! Reads the claims of a JWT as any service might, which is more than a strict one does.
//!
//! The signature is not looked at: the gateway has done that, or refuses the request anyway. A
//! claim that can't be read costs that claim alone. Where services differ (a claim twice, in
//! capitals, as a number), every reading is given, so that none of them passes unseen.
//!
//! **Does not** decide whether a token is valid.

use std::borrow::Cow;
use std::io::Read;

/// The longest payload looked into. Unit: bytes of base64. Chosen: more than any server takes as a
/// header.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The most that packed claims may hold. Unit: bytes. Chosen: several times the largest header.
const INFLATED_BYTES_MAX: usize = 1 << 16;
/// The most readings of a `jti` that are distinguished. Chosen: honest tokens have one.
const READINGS_MAX: usize = 8;
/// The longest name of a claim looked at. Unit: bytes. `jti` has 18 with its letters escaped.
const NAME_BYTES_MAX: usize = 64;

/// The claims of a JWT.
#[derive(Debug, Default, PartialEq)]
pub(in crate::formats) struct Claims {
    /// Values of `jti` that are texts, in their order: services take the last or the first.
    pub(in crate::formats) ids: Vec<String>,
    /// Values that lenient services read as `jti`: numbers, lists of one text, other capitals.
    pub(in crate::formats) lenient_ids: Vec<String>,
    /// The actor, from the last `sub`; a number as its digits.
    pub(in crate::formats) subject: Option<String>,
    /// The issuer, from the last `iss`.
    pub(in crate::formats) issuer: Option<String>,
    /// When it was issued, the earliest if it says so twice. Unit: seconds since 1970.
    pub(in crate::formats) issued: Option<f64>,
    /// When it ends, the latest if it says so twice. Unit: seconds since 1970. None where any can't
    /// be read: a token is not taken to end earlier than a service believes.
    pub(in crate::formats) expires: Option<f64>,
    /// Whether it is too large, or has too many readings, for all of them to be here.
    pub(in crate::formats) is_cut: bool,
}

fn numeric_date(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Bare(bare) => bare.parse().ok().filter(|seconds: &f64| seconds.is_finite()),
        Value::Text(_) | Value::List(_) | Value::Object => None,
    }
}

/// Three parts, the first of which is a JSON object: a signed token.
pub(in crate::formats) fn is_jwt(text: &str) -> bool {
    parts(text) == 3 && begins_object(text)
}

/// Five parts, the first of which is a JSON object: an encrypted token.
pub(in crate::formats) fn is_jwe(text: &str) -> bool {
    parts(text) == 5 && begins_object(text)
}

fn parts(text: &str) -> usize {
    memchr::memchr_iter(b'.', text.as_bytes()).count() + 1
}

/// Whether the text before the first point is a JSON object, behind white space at most.
fn begins_object(text: &str) -> bool {
    let header = text.split('.').next().unwrap_or("");
    let skipped = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
    decoded(header.as_bytes()).find(|byte| !skipped(byte)) == Some(b'{')
}

/// The part of a header that reports it from a name with points in it. Unit: bytes of base64.
pub(in crate::formats) const HEAD_BYTES_MAX: usize = 96;

/// Whether the text before the first point of a token looks like its header: an object that is
/// text. A name with points in it may begin like one by chance.
pub(in crate::formats) fn is_head(header: &[u8]) -> bool {
    let head = header.get(..HEAD_BYTES_MAX).unwrap_or(header);
    let read = |byte: u8| matches!(byte, 0x20..0x7f | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf);
    let skipped = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
    decoded(head).find(|byte| !skipped(byte)) == Some(b'{') && decoded(head).take(64).all(read)
}

/// Whether base64 begins with readable JSON: some tokens are that, followed by other things.
pub(in crate::formats) fn begins_readable(text: &[u8]) -> bool {
    text.len() >= 24
        && decoded(text.get(..HEAD_BYTES_MAX).unwrap_or(text))
            .take(12)
            .all(|byte| (0x20..0x7f).contains(&byte))
}

/// The bytes of base64 in either alphabet, as lenient services take it: padding, spaces and whatever
/// else is no letter of it are passed over, last bits are not looked at.
pub(in crate::formats) fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let (mut bits, mut held) = (0_u32, 0_u32);
    text.iter().filter_map(|byte| value(*byte)).filter_map(move |value| {
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held < 8 {
            return None;
        }
        held -= 8;
        u8::try_from((bits >> held) & 0xff).ok()
    })
}

const fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// The claims of the second part of a token.
pub(in crate::formats) fn claims(token: &str) -> Claims {
    claims_within(token, true)
}

/// `is_outer`: whether a token within it is looked into.
fn claims_within(token: &str, is_outer: bool) -> Claims {
    let mut reading = Reading::default();
    let payload = token.split('.').nth(1).unwrap_or("");
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Claims { is_cut: true, ..Claims::default() };
    }
    if payload.trim_start().starts_with('{') {
        // Unencoded (RFC 7797).
        reading.read(payload.as_bytes());
        return reading.claims;
    }
    let decoded = decoded(payload.as_bytes()).collect::<Vec<u8>>();
    let text = String::from_utf8_lossy(&decoded);
    if is_outer && is_jwt(&text) {
        // Nested (RFC 7519, section 5.2).
        return claims_within(&text, false);
    }
    let begins = |json: &[u8]| {
        let space =
            |byte: &&u8| !(byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf));
        json.iter().find(space) == Some(&b'{')
    };
    let inflated = if begins(&decoded) { None } else { inflated(&decoded) };
    match inflated.filter(|inflated| begins(inflated)) {
        Some(inflated) if inflated.len() > INFLATED_BYTES_MAX => {
            return Claims { is_cut: true, ..Claims::default() };
        }
        Some(inflated) => reading.read(&inflated),
        // In UTF-16 each letter has a NUL next to it.
        None if decoded.contains(&0) => {
            reading.read(&decoded.into_iter().filter(|byte| *byte != 0).collect::<Vec<u8>>());
        }
        None => reading.read(&decoded),
    }
    reading.claims
}

/// The content of DEFLATE, as some issuers pack the claims of signed tokens (`"zip":"DEF"`).
fn inflated(packed: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let mut reader = flate2::read::DeflateDecoder::new(packed).take(INFLATED_BYTES_MAX as u64 + 1);
    // The part before a fault is read, too.
    let _cut = reader.read_to_end(&mut inflated);
    (!inflated.is_empty()).then_some(inflated)
}

/// A claim's value.
enum Value<'a> {
    Text(String),
    /// A number, `true`, `false`, `null`, or something that only some services read: `NaN`.
    Bare(Cow<'a, str>),
    /// A list with these texts in it, at most two.
    List(Vec<String>),
    Object,
}

#[derive(Default)]
struct Reading {
    claims: Claims,
    unreadable_expiry: bool,
}

impl Reading {
    /// Passes over a JSON text, however broken, and takes the claims of the outermost object.
    fn read(&mut self, json: &[u8]) {
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(byte) = json.get(at) {
            match byte {
                b'"' => {
                    let end = end_of_string(json, at);
                    if depth == 1
                        && let Some(value) = value_after(json, end)
                        && let Some(name) = name(json.get(at..end).unwrap_or(&[]))
                    {
                        self.claim(&name, value);
                    }
                    at = end;
                }
                b'{' | b'[' => {
                    depth += 1;
                    at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    at += 1;
                }
                _ => at += 1,
            }
        }
        if self.unreadable_expiry {
            self.claims.expires = None;
        }
    }

    fn claim(&mut self, name: &str, value: Value<'_>) {
        if name.eq_ignore_ascii_case("jti") {
            self.id(name == "jti", value);
        } else if name == "sub" {
            self.claims.subject = match value {
                Value::Text(text) => Some(text),
                Value::Bare(bare) if bare.parse::<i64>().is_ok() => Some(bare.into_owned()),
                Value::Bare(_) | Value::List(_) | Value::Object => self.claims.subject.take(),
            };
        } else if name == "iss" {
            if let Value::Text(text) = value {
                self.claims.issuer = Some(text);
            }
        } else if name == "iat" {
            let read = numeric_date(&value);
            let issued = self.claims.issued;
            self.claims.issued = issued.map_or(read, |one| read.map(|other| one.min(other)));
        } else if name == "exp" {
            let read = numeric_date(&value);
            self.unreadable_expiry |= read.is_none();
            self.claims.expires = match (self.claims.expires, read) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            };
        }
    }

    fn id(&mut self, is_exact: bool, value: Value<'_>) {
        match value {
            Value::Text(text) if is_exact => self.keep(text, true),
            Value::Text(text) => self.keep(text, false),
            Value::Bare(bare) if bare != "null" => {
                if let Some(whole) = whole_number(&bare) {
                    self.keep(whole, false);
                }
                self.keep(bare.into_owned(), false);
            }
            Value::List(texts) => texts.into_iter().for_each(|text| self.keep(text, false)),
            Value::Bare(_) | Value::Object => {}
        }
    }

    fn keep(&mut self, id: String, is_strict: bool) {
        let claims = &mut self.claims;
        let to = if is_strict { &mut claims.ids } else { &mut claims.lenient_ids };
        if to.contains(&id) {
            // The last one counts as such.
            to.retain(|one| *one != id);
        } else if to.len() >= READINGS_MAX {
            claims.is_cut = true;
            return;
        }
        to.push(id);
    }
}

/// `7.0` and `7e0` as services write them that read a number: `7`.
fn whole_number(bare: &str) -> Option<String> {
    let number = bare.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && n.abs() < 9e15)?;
    Some(format!("{number:.0}"))
}

/// Where the string ends that begins at `at`.
fn end_of_string(json: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = json.get(end) {
        match byte {
            b'\\' => end += 2,
            b'"' => return end + 1,
            _ => end += 1,
        }
    }
    json.len()
}

fn after_space(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or(&[]);
    at + rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len())
}

/// The value of the instance whose name ends at `end`; none if it is no name.
fn value_after(json: &[u8], end: usize) -> Option<Value<'_>> {
    let colon = after_space(json, end);
    if json.get(colon) != Some(&b':') {
        return None;
    }
    let at = after_space(json, colon + 1);
    Some(match json.get(at)? {
        b'"' => Value::Text(unescaped(json.get(at..end_of_string(json, at))?)),
        b'[' => Value::List(texts(json, at + 1)),
        b'{' => Value::Object,
        _ => {
            let rest = json.get(at..json.len().min(at + NAME_BYTES_MAX))?;
            let ends = |byte: &u8| byte.is_ascii_whitespace() || b",}]".contains(byte);
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            Value::Bare(String::from_utf8_lossy(rest.get(..length)?))
        }
    })
}

/// The first two texts of a list.
fn texts(json: &[u8], mut at: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < 2 {
        match json.get(at) {
            Some(b'"') => {
                let end = end_of_string(json, at);
                found.push(unescaped(json.get(at..end).unwrap_or(&[])));
                at = end;
            }
            Some(b']') | None => break,
            Some(_) => at += 1,
        }
    }
    found
}

/// The name of a claim, if it is short enough to be one that counts.
fn name(quoted: &[u8]) -> Option<String> {
    (quoted.len() <= NAME_BYTES_MAX).then(|| unescaped(quoted))
}

/// A string without its quotes and escapes; what can't be read becomes U+FFFD, as in lenient services.
fn unescaped(quoted: &[u8]) -> String {
    let inner = quoted.strip_prefix(b"\"").unwrap_or(quoted);
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    let text = String::from_utf8_lossy(inner);
    if !text.contains('\\') {
        return text.into_owned();
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let meant = match char {
            '\\' => match chars.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).unwrap_or(0xfffd));
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(meant.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::{Claims, claims, decoded, is_jwe, is_jwt};
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    fn of(payload: &str) -> Claims {
        claims(&format!("eyJhbGciOiJFUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)))
    }

    #[test]
    fn a_claim_that_cannot_be_read_costs_that_claim_alone() {
        for (payload, subject, expires) in [
            (r#"{"jti":"j","sub":7,"exp":9}"#, Some("7"), Some(9.0)),
            (r#"{"sub":["a"],"jti":"j","exp":9.5}"#, None, Some(9.5)),
            (r#"{"exp":"9","sub":"s","jti":"j"}"#, Some("s"), None),
            (r#"{"exp":9,"exp":12,"sub":"s","jti":"j"}"#, Some("s"), Some(12.0)),
            (r#"{"exp":9,"exp":"x","sub":"s","jti":"j"}"#, Some("s"), None),
            (r#"{"x":NaN,"y":{"jti":"no"},"jti":"j"}"#, None, None),
            ("{\"x\":\"\u{1}\\ud800\",\"jti\":\"j\"", None, None),
        ] {
            let read = of(payload);
            assert_eq!(read.ids, ["j"], "{payload}");
            assert_eq!((read.subject.as_deref(), read.expires), (subject, expires), "{payload}");
        }
    }

    #[test]
    fn issuer_and_time_of_issue_are_read() {
        for (payload, issuer, issued) in [
            (r#"{"iss":"https://a","iat":7}"#, Some("https://a"), Some(7.0)),
            (r#"{"iss":7,"iat":"7"}"#, None, None),
            (r#"{"iss":"a","iss":"b","iat":9,"iat":7.5}"#, Some("b"), Some(7.5)),
            (r#"{"iat":9,"iat":"x"}"#, None, None),
        ] {
            let read = of(payload);
            assert_eq!((read.issuer.as_deref(), read.issued), (issuer, issued), "{payload}");
        }
    }

    #[test]
    fn every_reading_of_an_id_is_given() {
        for (payload, strict, lenient) in [
            (r#"{"jti":"a","jti":"b"}"#, &["a", "b"][..], &[][..]),
            (r#"{"jti":"a","JTI":"b"}"#, &["a"], &["b"]),
            (r#"{"jti":7}"#, &[], &["7"]),
            (r#"{"jti":7.0}"#, &[], &["7", "7.0"]),
            (r#"{"jti":["a"]}"#, &[], &["a"]),
            (r#"{"jti":null}"#, &[], &[]),
            (r#"{"\u006at\u0069" : "\u0061\"\n"}"#, &["a\"\n"], &[]),
            ("{\"jti\":\"\\ud83d\\ude00\"}", &["\u{1f600}"], &[]),
            ("no JSON", &[], &[]),
        ] {
            let read = of(payload);
            assert_eq!(
                (&read.ids[..], &read.lenient_ids[..]),
                (
                    &strict.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    &lenient.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                ),
                "{payload}"
            );
            assert!(!read.is_cut);
        }
        let many: String =
            (0..20).map(|n| n.to_string()).map(|n| ["\"jti\":\"", &n, "\","].concat()).collect();
        assert!(of(&format!("{{{many}\"x\":1}}")).is_cut);
        assert!(claims(&format!("e30.{}.", "A".repeat(1 << 21))).is_cut);
        assert_eq!(claims(r#"eyJiNjQiOmZhbHNlfQ.{"jti":"raw"}.x"#).ids, ["raw"]);
    }

    #[test]
    fn a_token_is_known_however_its_header_is_written() {
        for header in [r#"{"alg":"a"}"#, " {\"alg\":\"a\"}", "\r\n\t {}", "\u{feff}{}"] {
            for header in [STANDARD.encode(header), URL_SAFE_NO_PAD.encode(header)] {
                assert!(is_jwt(&format!("{header}.e30.c2ln")), "{header}");
                assert!(is_jwe(&format!("{header}.e30.c2ln..")), "{header}");
                assert!(!is_jwt(&format!("{header}.e30")), "{header}");
            }
        }
        assert!(!is_jwt("10.0.0") && !is_jwt("..") && !is_jwt("www.example.com"));
    }

    proptest! {
        #[test]
        fn base64_is_read_as_it_was_written(bytes: Vec<u8>) {
            for text in [STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
                prop_assert_eq!(decoded(text.as_bytes()).collect::<Vec<_>>(), bytes.clone());
            }
        }

        #[test]
        fn no_payload_is_too_strange(payload in "\\PC*", bytes: Vec<u8>) {
            of(&payload);
            claims(&format!("e30.{}.", URL_SAFE_NO_PAD.encode(&bytes)));
        }
    }
}
