//! JSON pointers (RFC 6901): where a field is in an operator's own JSON, also where its names have dots.

use serde_json::{Map, Value};

/// A JSON pointer, `/user/key` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

/// Why a text is no JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not begin with a slash.
    #[error("a JSON pointer begins with a slash, like /user/key")]
    NoSlash,
    /// A tilde is followed by neither 0 nor 1.
    #[error("in a JSON pointer ~ is written ~0 and / in a name is written ~1")]
    BadEscape,
}

impl Pointer {
    /// Reads a JSON pointer.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if !text.starts_with('/') {
            return Err(PointerError::NoSlash);
        }
        let escapes_well = |part: &str| part.starts_with(['0', '1']);
        if !text.split('~').skip(1).all(escapes_well) {
            return Err(PointerError::BadEscape);
        }
        Ok(Self(text.to_owned()))
    }

    /// The value there, if there is one.
    pub(in crate::formats) fn find<'a>(&self, record: &'a Value) -> Option<&'a Value> {
        record.pointer(&self.0)
    }
}

/// Dotted names of a record that are taken apart; others stay as they are. Chosen: more than any product writes.
const NESTED_MAX: usize = 1_000;
/// The most names that one name with dots is. Chosen: twice what the Elastic Common Schema has.
const DOTTED_NAMES_MAX: usize = 8;

/// A record in which `{"http.request": {"method": "GET"}}` is `{"http": {"request": {"method": "GET"}}}`: producers
/// of the Elastic Common Schema write both, and Elasticsearch takes them for the same.
///
/// A name never leaves the object that it is in. A value that is there by its nested names wins.
pub(in crate::formats) fn without_dots(record: Value) -> Value {
    let mut left = NESTED_MAX;
    nested(record, &mut left)
}

/// `left`: how many names may still be taken apart.
fn nested(record: Value, left: &mut usize) -> Value {
    match record {
        Value::Object(map) => {
            let (dotted, plain): (Map<_, _>, Map<_, _>) =
                map.into_iter().partition(|(name, _)| is_dotted(name));
            let plain = plain.into_iter().map(|(name, value)| (name, nested(value, left)));
            let mut out: Map<_, _> = plain.collect();
            for (name, value) in dotted {
                let value = nested(value, left);
                let Some(rest) = left.checked_sub(1) else {
                    out.insert(name, value);
                    continue;
                };
                *left = rest;
                let (outer, inner) = name.split_once('.').unwrap_or((&name, ""));
                let inner = inner.rsplit('.').fold(value, |value, name| {
                    Value::Object(Map::from_iter([(name.to_owned(), value)]))
                });
                merge(&mut out, outer.to_owned(), inner);
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| nested(item, left)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => record,
    }
}

fn is_dotted(name: &str) -> bool {
    let parts = name.split('.').take(DOTTED_NAMES_MAX + 1);
    let (count, whole) =
        parts.fold((0, true), |(count, whole), part| (count + 1, whole && !part.is_empty()));
    (2..=DOTTED_NAMES_MAX).contains(&count) && whole
}

/// Adds a value; one that is there already stays, and objects have the names of both.
fn merge(into: &mut Map<String, Value>, name: String, value: Value) {
    match (into.get_mut(&name), value) {
        (None, value) => {
            into.insert(name, value);
        }
        (Some(Value::Object(there)), Value::Object(more)) => {
            for (name, value) in more {
                merge(there, name, value);
            }
        }
        (Some(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::without_dots;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn names_with_dots_are_nested_ones() {
        for (dotted, nested) in [
            (json!({"a.b.c": 1, "a.b.d": 2}), json!({"a": {"b": {"c": 1, "d": 2}}})),
            (json!({"a": {"b.c": 1}, "a.b": {"d": 2}}), json!({"a": {"b": {"c": 1, "d": 2}}})),
            (json!([{"a.b": [{"c.d": 1}]}]), json!([{"a": {"b": [{"c": {"d": 1}}]}}])),
        ] {
            assert_eq!(without_dots(dotted), nested);
        }
    }

    #[test]
    fn a_nested_value_wins_and_no_name_leaves_its_object() {
        let both = json!({"event": {"outcome": "failure"}, "event.outcome": "success"});
        assert_eq!(without_dots(both), json!({"event": {"outcome": "failure"}}));
        let header = json!({"headers": {"x.user": 1, "..": 2, "a.": 3}, "user": "u", "user.id": 4});
        let read = json!({"headers": {"x": {"user": 1}, "..": 2, "a.": 3}, "user": "u"});
        assert_eq!(without_dots(header), read);
        let deep = json!({ "a.".repeat(9) + "a": 1 });
        assert_eq!(without_dots(deep.clone()), deep);
    }

    proptest! {
        #[test]
        fn a_record_without_dots_stays_as_it_is(text in "[a-z ]{0,5}", number: i64) {
            let record = json!({ text.clone(): [{ "a": number }, text], "b": Value::Null });
            prop_assert_eq!(without_dots(record.clone()), record);
        }
    }
}
