//! One reported secret, and the JSON objects that reports are read from.

use crate::formats::printable::misleads;
use crate::formats::secrets::secret::without_secrets;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

/// The most reports of a request. Chosen: a scan of a large repository finds some hundred.
pub const REPORTS_MAX: usize = 1_000;
/// The longest secret. Unit: bytes. Chosen: the largest header that servers take; keys in PEM have 3,300.
pub const SECRET_BYTES_MAX: usize = 8_192;
/// The longest place. Unit: bytes. Chosen: addresses of files in a repository are shorter.
pub const PLACE_BYTES_MAX: usize = 512;
/// The longest kind or source. Unit: bytes. Chosen: names of rules have up to 60.
pub const KIND_BYTES_MAX: usize = 128;
/// Stands for a secret.
const REMOVED: &str = "***";

/// A secret that someone found.
#[derive(Clone, Debug)]
pub struct LeakReport {
    /// The secret, 1 to [`SECRET_BYTES_MAX`] bytes.
    pub secret: SecretString,
    /// Where it was found, without secrets and control characters; [`PLACE_BYTES_MAX`] at most.
    pub place: Option<String>,
    /// Its type, as the scanner names it; [`KIND_BYTES_MAX`] at most. Empty: it names none.
    pub kind: String,
    /// The scanner, or the part of a forge in which it was found.
    pub source: String,
}

/// Why a body is no report. No text of these holds anything of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It is no JSON of the expected form.
    #[error("the body is not of the expected form; docs/guides/leaks.md has an example")]
    Form,
    /// It has too many reports.
    #[error("too many reports; send {REPORTS_MAX} at most in a request")]
    TooMany,
    /// A secret is missing, empty or too long.
    #[error("a report has no secret, or one of more than {SECRET_BYTES_MAX} bytes")]
    Secret,
    /// The scanner left the secrets out.
    #[error("the secrets are redacted; let the scanner report them whole")]
    Redacted,
    /// A message of `GitGuardian`, which has no secret in it.
    #[error(
        "webhooks of GitGuardian hold no secret, so there is nothing to look up; send the secret itself \
         as {{\"token\": …, \"place\": …}}"
    )]
    NoSecretSent,
    /// A type that was not announced as revocable.
    #[error("a type is none of those at /v1/revocable_token_types")]
    UnknownType,
}

impl LeakReport {
    /// A report of a secret found at `place`.
    ///
    /// # Errors
    /// When the secret is empty or too long.
    pub fn new(secret: String, place: &str, kind: &str, source: &str) -> Result<Self, ReportError> {
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err(ReportError::Secret);
        }
        let clean = |text: &str, bytes_max| clean(text, &secret, bytes_max);
        let place = clean(place, PLACE_BYTES_MAX);
        let kind = clean(kind, KIND_BYTES_MAX);
        let source = clean(source, KIND_BYTES_MAX);
        let place = (!place.is_empty()).then_some(place);
        Ok(Self { secret: SecretString::from(secret), place, kind, source })
    }

    /// The secret.
    pub fn exposed(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// How often an address may be encoded over and over. Chosen.
const DECODED_MAX: usize = 3;

/// A text of others without control characters, without `secret` and what else looks like one.
fn clean(text: &str, secret: &str, bytes_max: usize) -> String {
    let plain = |text: &str| -> String {
        text.chars().filter(|char| !char.is_control() && !misleads(*char)).collect()
    };
    // More than this is not looked into: the rest would be cut off anyway.
    let text = plain(cut(text, 2 * SECRET_BYTES_MAX));
    let secret = plain(secret);
    let text = decoded_if_telling(text, &secret);
    let text = if secret.is_empty() { text } else { text.replace(&secret, REMOVED) };
    let text = without_secrets(&text, |_| REMOVED.to_owned()).unwrap_or(text);
    cut(text.trim(), bytes_max).to_owned()
}

/// A text as it reads once `%` and `+` of an address are decoded, however often, if a secret shows then.
fn decoded_if_telling(text: String, secret: &str) -> String {
    let tells = |text: &str| {
        !secret.is_empty() && text.contains(secret)
            || without_secrets(text, |_| String::new()).is_some()
    };
    let mut decoded = text.clone();
    for _ in 0..DECODED_MAX {
        let spaced = percent_decoded(&decoded.replace('+', " "));
        decoded = percent_decoded(&decoded);
        if let Some(telling) = [&decoded, &spaced].into_iter().find(|text| tells(text)) {
            return telling.clone();
        }
    }
    text
}

/// A text with `%2F` and the like as the characters that they stand for.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(byte);
            rest = after.get(2..).unwrap_or(&[]);
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    let decoded = String::from_utf8_lossy(&decoded);
    decoded.chars().filter(|char| !char.is_control() && !misleads(*char)).collect()
}

/// The beginning of a text, at most so long.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or("")
}

/// A JSON object whose members are found by name in any case.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The fields of an object.
    pub(super) fn of(value: &'a Value) -> Result<Self, ReportError> {
        value.as_object().map(Self).ok_or(ReportError::Form)
    }

    /// A member, if it is there: by its exact name first.
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        let is_alike = |(key, _): &(&'a String, &'a Value)| key.eq_ignore_ascii_case(name);
        self.0.get(name).or_else(|| self.0.iter().find(is_alike).map(|(_, value)| value))
    }

    /// A member that is a text; empty where it is not there or null.
    pub(super) fn text(self, name: &str) -> Result<&'a str, ReportError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(""),
            Some(value) => value.as_str().ok_or(ReportError::Form),
        }
    }
}

/// The elements of a JSON array of bounded length.
pub(super) fn elements(body: &[u8]) -> Result<Vec<Value>, ReportError> {
    // The message of a failed parse may hold a piece of the body.
    match serde_json::from_slice(body) {
        Ok(Value::Array(elements)) => bounded(elements),
        Ok(_) | Err(_) => Err(ReportError::Form),
    }
}

/// The same elements, if they are not too many.
pub(super) fn bounded(elements: Vec<Value>) -> Result<Vec<Value>, ReportError> {
    if elements.len() > REPORTS_MAX { Err(ReportError::TooMany) } else { Ok(elements) }
}

#[cfg(test)]
mod tests {
    use super::{LeakReport, PLACE_BYTES_MAX, ReportError, SECRET_BYTES_MAX};

    fn place(secret: &str, place: &str) -> Option<String> {
        LeakReport::new(secret.to_owned(), place, "k", "s").expect("a report").place
    }

    #[test]
    fn a_place_holds_neither_the_secret_nor_another_nor_a_control_character() {
        for (secret, text, expected) in [
            ("plain", "https://x/plain?y", Some("https://x/***?y")),
            ("plain", "https://x/pl\u{0}ain", Some("https://x/***")),
            ("other", "a ghp_PLANTED0123456789abcdefghijklmnopqr b", Some("a *** b")),
            ("a b/c", "https://x?k=a%20b%2fc&y=%2f", Some("https://x?k=***&y=/")),
            ("x1", "50 % of 7 %zz %", Some("50 % of 7 %zz %")),
            ("x1", "a\nb\u{202e}c\u{85}d", Some("abcd")),
            ("x1", " \r\n ", None),
        ] {
            assert_eq!(place(secret, text).as_deref(), expected, "{text:?}");
        }
        let long = place("x1", &"ü".repeat(5_000)).expect("a place");
        assert_eq!(long.len(), PLACE_BYTES_MAX);
    }

    #[test]
    fn a_secret_has_a_length_and_is_not_shown() {
        let new = |secret: String| LeakReport::new(secret, "", "PLANTED", "").map(|_| ());
        assert_eq!(new(String::new()), Err(ReportError::Secret));
        assert_eq!(new("x".repeat(SECRET_BYTES_MAX)), Ok(()));
        assert_eq!(new("x".repeat(SECRET_BYTES_MAX + 1)), Err(ReportError::Secret));
        let report = LeakReport::new("PLANTED".to_owned(), "at PLANTED", "PLANTED", "PLANTED");
        assert!(!format!("{report:?}").contains("PLANTED"), "{report:?}");
    }
}
