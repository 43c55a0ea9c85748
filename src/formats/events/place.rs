//! Where a field is in an operator's own JSON: a list of parts, of which the first that holds a value counts.

use super::pointer::Pointer;
use super::query::{parameters, unescaped};
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

    /// Whether it is in a text.
    pub(in crate::formats) fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
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
    /// The parameters of a URL whose values are meant; none: the text itself is.
    pub query: Vec<String>,
    /// Which part of a text is the value.
    pub pattern: Option<Pattern>,
    /// Whether `%20` is a space in the value.
    pub is_escaped: bool,
    /// How a time is written. Default: RFC 3339, or integer milliseconds, also as a text.
    pub time_format: TimeFormat,
    /// Whether the value is a raw secret, whatever it looks like, or an id, though it looks drawn at random. None:
    /// what it looks like.
    pub fingerprint: Option<bool>,
}

impl From<Origin> for Part {
    fn from(origin: Origin) -> Self {
        Self {
            origin,
            query: Vec::new(),
            pattern: None,
            is_escaped: false,
            time_format: TimeFormat::default(),
            fingerprint: None,
        }
    }
}

impl Part {
    /// Its values in a record: one, which is null where there is none, but for parameters of a URL.
    fn values<'a>(&'a self, record: &'a Value) -> impl Iterator<Item = Scalar<'a>> {
        let value = match &self.origin {
            Origin::Pointer(pointer) => pointer.find(record).map_or(Scalar::Null, Scalar::from),
            Origin::Constant(text) => Scalar::Text(Cow::Borrowed(text)),
        };
        let (alone, several) = if self.query.is_empty() {
            (Some(value), Vec::new())
        } else {
            (None, value.text().map_or_else(Vec::new, |url| parameters(&url, &self.query)))
        };
        let several = several.into_iter().map(|value| Scalar::Text(Cow::Owned(value)));
        alone.into_iter().chain(several).map(|value| self.read(value))
    }

    /// The part of a text that is meant, as it was before it was escaped.
    fn read<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        let value = self.matched(value);
        if let (true, Scalar::Text(text)) = (self.is_escaped, &value) {
            return Scalar::Text(Cow::Owned(unescaped(text).into_owned()));
        }
        value
    }

    fn matched<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
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
        let values = |part: &'a Part| part.values(record).map(move |value| (value, part));
        self.0.iter().flat_map(values).filter(|(value, _)| {
            !value.is_null() && !matches!(value, Scalar::Text(text) if is_absent(text))
        })
    }

    /// The value in a record, and the part that holds it.
    pub(in crate::formats) fn find<'a>(
        &'a self,
        record: &'a Value,
    ) -> Option<(Scalar<'a>, &'a Part)> {
        self.all(record).next()
    }

    /// Whether a part of it is said to hold raw secrets.
    pub(in crate::formats) fn has_secrets(&self) -> bool {
        self.0.iter().any(|part| part.fingerprint == Some(true))
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
        let is_value = |value: &Scalar<'_>| !matches!(value, Scalar::Nested);
        let has_value = self.all(record).any(|(value, _)| is_value(&value));
        for (value, part) in self.all(record).filter(|(value, _)| is_value(value) || !has_value) {
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
            let record = json!({ "a": value });
            let part = with(pattern);
            part.values(&record).next().and_then(Scalar::text).map(Cow::into_owned)
        };
        let header = json!("Bearer abc");
        assert_eq!(found("^Bearer (.+)$", header.clone()).as_deref(), Some("abc"));
        assert_eq!(found("^[A-Z]", header.clone()).as_deref(), Some("B"));
        assert_eq!(found("^Basic (.+)$", header), None);
        assert_eq!(found("^4", json!(401)).as_deref(), Some("4"));
        assert_eq!(found("x", json!({"x": 1})), None);
    }

    #[test]
    fn parameters_of_a_url_are_a_value_each_and_escapes_are_undone() {
        let query = vec!["key".to_owned(), "token".to_owned()];
        let place = Place::new(vec![Part { query, fingerprint: Some(true), ..at("/url") }]);
        let found = |url: &str| {
            let record = json!({ "url": url });
            let values = place.credentials(&record, false).into_iter();
            let values = values.filter_map(|(value, _)| value.text().map(Cow::into_owned));
            values.collect::<Vec<_>>()
        };
        assert_eq!(found("/v1?key=a%2Bb&token=c&key="), ["a+b", "c"]);
        assert!(found("/v1?page=1").is_empty() && place.find(&json!({"url": 7})).is_none());
        let part = Part { is_escaped: true, ..at("/a") };
        let record = json!({"a": "Mozilla/5.0%20(X11)"});
        let value = part.values(&record).next().and_then(Scalar::text);
        assert_eq!(value.as_deref(), Some("Mozilla/5.0 (X11)"));
    }

    #[test]
    fn a_pattern_that_unfolds_too_far_is_refused() {
        assert!(Pattern::parse("(").is_err());
        assert!(Pattern::parse("(a{1000}){1000}").is_err());
    }
}
