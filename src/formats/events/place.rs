//! Where a field is in an operator's own JSON: a list of parts, of which the first that holds a value counts.

use super::pointer::Pointer;
use super::scalar::{Scalar, is_absent};
use super::time_format::TimeFormat;
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::borrow::Cow;

/// The largest compiled pattern. Unit: bytes. Chosen: patterns for parts of a header take some kilobytes.
const PATTERN_BYTES_MAX: usize = 1 << 18;

/// A regular expression, of which the first group is the value; without a group all that it matches.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Compiles a regular expression; matching takes time in proportion to the text.
    ///
    /// # Errors
    /// When it is none, or compiles to more than 256 KiB.
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().map(Self)
    }

    /// The part of a text.
    fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        let groups = self.0.captures(text)?;
        groups.get(1).or_else(|| groups.get(0)).map(|group| group.as_str())
    }
}

/// Where a part takes its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in the record.
    Pointer(Pointer),
    /// The same for each record.
    Constant(String),
}

/// One place where a value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it takes its value from.
    pub origin: Origin,
    /// Which part of a text is the value.
    pub pattern: Option<Pattern>,
    /// How a time is written. Default: RFC 3339, or integer milliseconds, also as a text.
    pub time_format: TimeFormat,
    /// Whether the value is a raw secret, whatever it looks like, or an id, though it looks drawn at random. None:
    /// what it looks like.
    pub fingerprint: Option<bool>,
}

impl From<Origin> for Part {
    fn from(origin: Origin) -> Self {
        Self { origin, pattern: None, time_format: TimeFormat::default(), fingerprint: None }
    }
}

impl Part {
    /// Its value in a record; null if there is none.
    fn find<'a>(&'a self, record: &'a Value) -> Scalar<'a> {
        let value = match &self.origin {
            Origin::Pointer(pointer) => pointer.find(record).map_or(Scalar::Null, Scalar::from),
            Origin::Constant(text) => Scalar::Text(Cow::Borrowed(text)),
        };
        let Some(pattern) = &self.pattern else { return value };
        let found = if let Scalar::Text(Cow::Borrowed(text)) = value {
            pattern.find(text).map(Cow::Borrowed)
        } else {
            let text = value.text();
            text.and_then(|text| pattern.find(&text).map(|found| Cow::Owned(found.to_owned())))
        };
        found.map_or(Scalar::Null, Scalar::Text)
    }
}

/// Where a field is: the first part that holds a value counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Vec<Part>);

impl Place {
    /// A place of these parts, in the order in which they are asked.
    pub const fn new(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    /// The same, with a part that is asked before the others.
    #[must_use]
    pub fn after(mut self, first: Option<Part>) -> Self {
        self.0.splice(0..0, first);
        self
    }

    /// The values in a record, each with its part; an empty text and `-` are none.
    fn all<'a>(&'a self, record: &'a Value) -> impl Iterator<Item = (Scalar<'a>, &'a Part)> {
        self.0.iter().filter_map(|part| {
            let value = part.find(record);
            let is_none =
                value.is_null() || matches!(&value, Scalar::Text(text) if is_absent(text));
            (!is_none).then_some((value, part))
        })
    }

    /// The value in a record, and the part that holds it.
    pub(in crate::formats) fn find<'a>(
        &'a self,
        record: &'a Value,
    ) -> Option<(Scalar<'a>, &'a Part)> {
        self.all(record).next()
    }

    /// The credentials of a request: the first one, and where that is a raw secret, each other raw secret
    /// (`all_are_secrets`: as which the source has all that do not say otherwise). A
    /// client chooses which headers it sends, and must not hide one credential behind another.
    pub(in crate::formats) fn credentials<'a>(
        &'a self,
        record: &'a Value,
        all_are_secrets: bool,
    ) -> Vec<(Scalar<'a>, &'a Part)> {
        let is_secret = |part: &Part| part.fingerprint.unwrap_or(all_are_secrets);
        let mut found: Vec<(Scalar<'a>, &Part)> = Vec::new();
        for (value, part) in self.all(record) {
            let goes_on = found.first().is_none_or(|(_, first)| is_secret(first));
            let is_new = found.iter().all(|(other, _)| *other != value);
            if found.is_empty() || (goes_on && is_secret(part) && is_new) {
                found.push((value, part));
            }
        }
        found
    }
}

impl From<Pointer> for Place {
    fn from(pointer: Pointer) -> Self {
        Self(vec![Part::from(Origin::Pointer(pointer))])
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Part, Pattern, Place, Scalar};
    use crate::formats::events::pointer::Pointer;
    use serde_json::json;
    use std::borrow::Cow;

    fn at(pointer: &str) -> Part {
        Part::from(Origin::Pointer(Pointer::parse(pointer).expect("a pointer")))
    }

    #[test]
    fn the_first_part_that_holds_a_value_counts() {
        let constant = Part::from(Origin::Constant("c".to_owned()));
        let place = Place::new(vec![at("/a"), at("/b/0"), constant]);
        let found = |record: serde_json::Value| {
            place.find(&record).and_then(|(value, _)| value.text().map(Cow::into_owned))
        };
        assert_eq!(found(json!({"a": "x", "b": ["y"]})).as_deref(), Some("x"));
        for none in [json!(null), json!(""), json!("-"), json!(" ")] {
            assert_eq!(found(json!({"a": none, "b": ["y"]})).as_deref(), Some("y"));
        }
        assert_eq!(found(json!({"b": []})).as_deref(), Some("c"));
        assert_eq!(Place::new(vec![at("/a")]).find(&json!({})), None);
    }

    #[test]
    fn a_pattern_takes_a_part_of_a_text_or_of_a_number() {
        let with = |pattern: &str| Part {
            pattern: Some(Pattern::parse(pattern).expect("a pattern")),
            ..at("/a")
        };
        let found = |pattern: &str, value: serde_json::Value| {
            with(pattern).find(&json!({ "a": value })).text().map(Cow::into_owned)
        };
        let header = json!("Bearer abc");
        assert_eq!(found("^Bearer (.+)$", header.clone()).as_deref(), Some("abc"));
        assert_eq!(found("^[A-Z]", header.clone()).as_deref(), Some("B"));
        assert_eq!(found("^Basic (.+)$", header), None);
        assert_eq!(found("^4", json!(401)).as_deref(), Some("4"));
        assert_eq!(with("x").find(&json!({"a": {"x": 1}})), Scalar::Null);
    }

    #[test]
    fn a_pattern_that_unfolds_too_far_is_refused() {
        assert!(Pattern::parse("(").is_err());
        assert!(Pattern::parse("(a{1000}){1000}").is_err());
    }
}
