//! One JSON value as a field may hold it, and what the fields that decide make of it.
//!
//! Senders write the same thing in several ways: `401`, `401.0`, `"401 Unauthorized"`. A field that
//! decides whether a use counts is read or refuses the record; it is never dropped for a default.

use super::refusal::Refusal;
use crate::formats::time::rfc3339;
use crate::model::credential::Kind;
use crate::model::event::Outcome;
use crate::model::time::EventTime;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// A JSON value; texts are borrowed where the record holds them without escapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::formats) enum Scalar<'a> {
    /// `null`, or no value at all.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, 0 or more.
    Unsigned(u64),
    /// A whole number below 0.
    Negative(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An array or an object.
    Nested,
}

/// The sign for no value in logs.
pub(in crate::formats) fn is_absent(text: &str) -> bool {
    // Nearly every text begins with a letter or a digit.
    let may_be = text.bytes().next().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    may_be && matches!(text.trim(), "" | "-")
}

impl<'a> Scalar<'a> {
    /// Whether there is a value.
    pub(in crate::formats) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// A text, or a number as text; `None` for anything else.
    pub(in crate::formats) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Unsigned(number) => Some(Cow::Owned(number.to_string())),
            Self::Negative(number) => Some(Cow::Owned(number.to_string())),
            Self::Float(number) => Some(Cow::Owned(number.to_string())),
            Self::Null | Self::Bool(_) | Self::Nested => None,
        }
    }

    /// A whole number of 0 or more, also as `7.0` and `"7"`.
    pub(in crate::formats) fn whole(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Float(number) => whole_of(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Null | Self::Bool(_) | Self::Negative(_) | Self::Nested => None,
        }
    }

    /// A number, also as text.
    pub(in crate::formats) fn number(&self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(*number as f64),
            Self::Negative(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Null | Self::Bool(_) | Self::Nested => None,
        }
    }

    /// RFC 3339, or integer milliseconds since 1970.
    pub(in crate::formats) fn time(&self) -> Option<EventTime> {
        match self {
            Self::Text(text) => rfc3339(text),
            Self::Unsigned(ms) => Some(EventTime::from_ms(i64::try_from(*ms).unwrap_or(i64::MAX))),
            Self::Negative(ms) => Some(EventTime::from_ms(*ms)),
            Self::Null | Self::Bool(_) | Self::Float(_) | Self::Nested => None,
        }
    }

    /// The status code of an answer: a number, also as text, and with its phrase behind it.
    ///
    /// # Errors
    /// When there is a value that is none.
    pub(in crate::formats) fn status(&self) -> Result<Option<u16>, Refusal> {
        let digits = |text: &str| {
            let text = text.trim();
            let code = text.split([' ', '\t']).next().unwrap_or(text);
            let is_plain = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
            code.parse::<u64>().ok().filter(|_| is_plain)
        };
        let code = match self {
            Self::Null => return Ok(None),
            Self::Text(text) if is_absent(text) => return Ok(None),
            Self::Text(text) => digits(text),
            Self::Bool(_)
            | Self::Unsigned(_)
            | Self::Negative(_)
            | Self::Float(_)
            | Self::Nested => self.whole(),
        };
        code.and_then(|code| u16::try_from(code).ok()).map(Some).ok_or(Refusal::WrongType)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When there is a value that is neither.
    pub(in crate::formats) const fn flag(&self) -> Result<Option<bool>, Refusal> {
        match self {
            Self::Null => Ok(None),
            Self::Bool(flag) => Ok(Some(*flag)),
            Self::Unsigned(_)
            | Self::Negative(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Nested => Err(Refusal::WrongType),
        }
    }

    /// A kind of credential.
    ///
    /// # Errors
    /// When there is a value that is none.
    pub(in crate::formats) fn kind(&self) -> Result<Option<Kind>, Refusal> {
        self.word(Kind::parse)
    }

    /// An outcome.
    ///
    /// # Errors
    /// When there is a value that is none.
    pub(in crate::formats) fn outcome(&self) -> Result<Option<Outcome>, Refusal> {
        self.word(Outcome::parse)
    }

    fn word<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        let word = self.only_text()?;
        word.map(|word| parse(word).ok_or(Refusal::InvalidField)).transpose()
    }

    /// A text and nothing else.
    ///
    /// # Errors
    /// When there is a value of another type.
    pub(in crate::formats) fn only_text(&self) -> Result<Option<&Cow<'a, str>>, Refusal> {
        match self {
            Self::Null => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Bool(_)
            | Self::Unsigned(_)
            | Self::Negative(_)
            | Self::Float(_)
            | Self::Nested => Err(Refusal::WrongType),
        }
    }
}

/// The whole number that a double holds exactly.
fn whole_of(number: f64) -> Option<u64> {
    let exact = number.fract().abs() < f64::EPSILON && (0.0..9.0e15).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..9e15")]
    let whole = number as u64;
    exact.then_some(whole)
}

impl<'a> From<&'a Value> for Scalar<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => Self::Unsigned(number),
                (None, Some(number)) => Self::Negative(number),
                (None, None) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Self::Nested,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(|value: Scalar<'de>| value)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(flag))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Negative(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Scalar};

    fn read(json: &str) -> Scalar<'_> {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn a_status_is_read_as_gateways_write_it() {
        for json in ["401", "401.0", "\"401\"", "\" 401\"", "\"401 Unauthorized\"", "4.01e2"] {
            assert_eq!(read(json).status(), Ok(Some(401)), "{json}");
        }
        for json in ["null", "\"-\"", "\"\""] {
            assert_eq!(read(json).status(), Ok(None), "{json}");
        }
        for json in ["-1", "401.5", "70000", "\"OK\"", "\"4xx\"", "\"502, 200\"", "true", "[401]"] {
            assert_eq!(read(json).status(), Err(Refusal::WrongType), "{json}");
        }
    }

    #[test]
    fn what_decides_is_read_or_refused() {
        assert_eq!(read("true").flag(), Ok(Some(true)));
        for json in ["1", "\"true\"", "{}"] {
            assert_eq!(read(json).flag(), Err(Refusal::WrongType), "{json}");
        }
        assert_eq!(read("\"rejected\"").outcome().map(|found| found.is_some()), Ok(true));
        assert_eq!(read("\"REJECTED\"").outcome(), Err(Refusal::InvalidField));
        assert_eq!(read("[]").outcome(), Err(Refusal::WrongType));
        assert_eq!(read("7").kind(), Err(Refusal::WrongType));
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        let whole = |json| read(json).whole();
        assert_eq!([whole("7"), whole("7.0"), whole("\"7\"")], [Some(7); 3]);
        assert_eq!([whole("-7"), whole("7.5"), whole("1e300"), whole("\"x\"")], [None; 4]);
    }
}
