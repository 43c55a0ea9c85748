//! Where JSON values end, so that a fault of one element stays that element's.
//!
//! A JSON reader gives up at the first fault and loses all that follows. This one only follows
//! quotes and brackets; each element is then read by itself. A string ends at its quote or, as JSON
//! allows no line feed in one, at the end of its line.

/// Nesting up to which brackets are matched; deeper ones are counted. Chosen.
const MATCHED_MAX: usize = 1024;

/// The elements of an array that `text` begins with, as they are written; one that is missing
/// between two commas is empty.
#[derive(Clone, Debug)]
pub(in crate::formats) struct Elements<'a> {
    text: &'a [u8],
    at: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    First,
    Next,
    /// The closing bracket was seen.
    Closed,
    /// The text ended before it.
    CutOff,
}

impl<'a> Elements<'a> {
    /// The elements of an array; `None` if `text` does not begin with one.
    pub(in crate::formats) fn of(text: &'a [u8]) -> Option<Self> {
        let at = text.iter().position(|byte| !byte.is_ascii_whitespace())?;
        (text.get(at) == Some(&b'[')).then_some(Self { text, at: at + 1, state: State::First })
    }

    /// Whether, once all elements were seen, something is wrong that none of them shows: a missing
    /// end, unless the last one was refused as it was cut off there, or more behind the end.
    pub(in crate::formats) fn has_other_fault(&self, last_was_refused: bool) -> bool {
        match self.state {
            State::Closed => !self.rest().trim_ascii().is_empty(),
            State::First | State::Next | State::CutOff => !last_was_refused,
        }
    }

    /// The rest after the elements so far.
    pub(in crate::formats) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if matches!(self.state, State::Closed | State::CutOff) {
            return None;
        }
        let length = value_bytes(self.rest(), b']');
        let element = self.text.get(self.at..self.at + length).unwrap_or_default().trim_ascii();
        self.at += length;
        let is_first = self.state == State::First;
        self.state = match self.text.get(self.at) {
            Some(b',') => State::Next,
            Some(_) => State::Closed,
            None => State::CutOff,
        };
        self.at = (self.at + 1).min(self.text.len());
        let is_nothing = element.is_empty() && self.state != State::Next && is_first;
        (!is_nothing).then_some(element)
    }
}

/// The instances of an object that `text` begins with: names as they are written between their
/// quotes, and values.
pub(in crate::formats) fn instances(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let inner = text.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
    let mut rest = inner;
    std::iter::from_fn(move || {
        let instance = rest.trim_ascii_start();
        let name_end = 1 + string_bytes(instance.strip_prefix(b"\"")?);
        let name = instance.get(1..name_end.checked_sub(1)?)?;
        let value = instance.get(name_end..)?.trim_ascii_start().strip_prefix(b":")?;
        let length = value_bytes(value, b'}');
        rest = value.get(length + 1..).filter(|_| value.get(length) == Some(&b',')).unwrap_or(b"");
        Some((name, value.get(..length)?.trim_ascii()))
    })
}

/// The first value of a sequence of values, and what follows it: documents one after the other,
/// with or without commas. `None` at the end.
pub(in crate::formats) fn first_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let begin = text.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b',')?;
    let text = text.get(begin..)?;
    let length = match text.first()? {
        b'{' | b'[' => nested_bytes(text),
        // No document begins so: all up to the next line is one fault.
        _ => memchr::memchr(b'\n', text).unwrap_or(text.len()).max(1),
    };
    text.split_at_checked(length)
}

/// How long a string is, with its closing quote, from behind its opening one.
fn string_bytes(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', text.get(at..).unwrap_or_default())
    {
        at += found;
        match text.get(at) {
            Some(b'\\') => at += 2,
            Some(b'\n') => return at,
            _ => return at + 1,
        }
    }
    text.len()
}

/// How long a value is, up to the comma or to the `closing` bracket of what holds it.
fn value_bytes(text: &[u8], closing: u8) -> usize {
    let mut brackets = Brackets::default();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match *byte {
            b',' if brackets.is_empty() => return at,
            byte if byte == closing && brackets.is_empty() => return at,
            b'"' => at += string_bytes(text.get(at + 1..).unwrap_or_default()),
            byte => brackets.see(byte),
        }
        at += 1;
    }
    text.len()
}

/// How long a value is that begins with a bracket, up to its own closing one.
fn nested_bytes(text: &[u8]) -> usize {
    let mut brackets = Brackets::default();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string_bytes(text.get(at + 1..).unwrap_or_default()),
            _ => brackets.see(*byte),
        }
        at += 1;
        if brackets.is_empty() {
            return at;
        }
    }
    text.len()
}

/// The brackets that are open.
#[derive(Default)]
struct Brackets {
    open: Vec<u8>,
    deeper: usize,
}

impl Brackets {
    const fn is_empty(&self) -> bool {
        self.open.is_empty() && self.deeper == 0
    }

    /// A closing bracket closes its own opening one and all within it; without one it is ignored.
    fn see(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' if self.open.len() < MATCHED_MAX => self.open.push(byte),
            b'{' | b'[' => self.deeper += 1,
            b'}' | b']' if self.deeper > 0 => self.deeper -= 1,
            b'}' | b']' => {
                let opening = if byte == b'}' { b'{' } else { b'[' };
                if let Some(at) = self.open.iter().rposition(|open| *open == opening) {
                    self.open.truncate(at);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Elements, first_value, instances};
    use proptest::prelude::*;
    use serde_json::Value;

    fn elements(text: &str) -> (Vec<&str>, bool) {
        let mut elements = Elements::of(text.as_bytes()).expect("an array");
        let seen = elements.by_ref().map(|e| std::str::from_utf8(e).expect("text")).collect();
        (seen, !elements.has_other_fault(false))
    }

    #[test]
    fn a_fault_of_one_element_is_that_elements() {
        for (text, expected, whole) in [
            ("[]", vec![], true),
            (" [ 1 , {\"a\":[2,3]} ] ", vec!["1", "{\"a\":[2,3]}"], true),
            (
                r#"[{"a":NaN},{"b":[}},{"c":1}]"#,
                vec![r#"{"a":NaN}"#, r#"{"b":[}}"#, r#"{"c":1}"#],
                true,
            ),
            (r#"[{"b":[},{"c":1}]"#, vec![r#"{"b":[}"#, r#"{"c":1}"#], true),
            (r#"["]",",\"",{"}":1}]"#, vec![r#""]""#, r#"",\"""#, r#"{"}":1}"#], true),
            ("[1,,2]", vec!["1", "", "2"], true),
            ("[1,", vec!["1", ""], false),
            ("[1] x", vec!["1"], false),
            ("[{\"a\":\"x\n},2]", vec!["{\"a\":\"x\n}", "2"], true),
        ] {
            assert_eq!(elements(text), (expected, whole), "{text}");
        }
        assert!(Elements::of(b"{}").is_none());
        assert!(Elements::of(b"  ").is_none());
    }

    #[test]
    fn instances_are_found_by_name() {
        let text = br#" {"a" : 1, "Records":[{"x":","}] , "b":"}"} "#;
        let seen: Vec<_> = instances(text).collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"a", b"1"), (b"Records", br#"[{"x":","}]"#), (b"b", br#""}""#)];
        assert_eq!(seen, expected);
        assert_eq!(instances(b"[1]").count(), 0);
    }

    #[test]
    fn values_follow_each_other_in_any_layout() {
        let mut rest: &[u8] = b"{\"a\":1}\n{\"b\":\n[2]},{}junk\n[3]\n";
        let mut seen = Vec::new();
        while let Some((value, after)) = first_value(rest) {
            seen.push(String::from_utf8_lossy(value).into_owned());
            rest = after;
        }
        assert_eq!(seen, ["{\"a\":1}", "{\"b\":\n[2]}", "{}", "junk", "[3]"]);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "\\PC*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("\\PC{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_elements_of_an_array_are_those_a_json_reader_finds(
            values in prop::collection::vec(json(), 0..6), pretty in any::<bool>()
        ) {
            let array = Value::from(values.clone());
            let text = if pretty { format!("{array:#}") } else { array.to_string() };
            let (seen, whole) = elements(&text);
            let read: Vec<Value> =
                seen.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
            prop_assert_eq!(read, values);
            prop_assert!(whole);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(elements) = Elements::of(&bytes) {
                prop_assert!(elements.count() <= bytes.len());
            }
            prop_assert!(instances(&bytes).count() <= bytes.len());
            let mut rest = bytes.as_slice();
            while let Some((value, after)) = first_value(rest) {
                prop_assert!(!value.is_empty() && after.len() < rest.len());
                rest = after;
            }
        }
    }
}
