//! Text of others, for people's eyes: no character in it steers a terminal, turns a line or hides.
//!
//! A character that is not shown as it is becomes `\u202e` and the like, which is also how JSON writes it, so that
//! JSON stays the same JSON.

use std::borrow::Cow;

/// Whether a character is not seen, or makes others be seen as they are not.
pub const fn misleads(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Text to print: lines and tabs stay.
pub fn printed(text: &str) -> Cow<'_, str> {
    escaped(text, |char| misleads(char) || (char.is_control() && !matches!(char, '\n' | '\t')))
}

/// A field of what is printed: it stays on its line.
pub fn field(text: &str) -> Cow<'_, str> {
    escaped(text, |char| misleads(char) || char.is_control())
}

/// A line of the log, whose own colours stay: what logs has escaped other controls.
pub fn logged(text: &str) -> Cow<'_, str> {
    escaped(text, |char| misleads(char) || matches!(char, '\u{7f}'..='\u{9f}'))
}

fn escaped(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if hides(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::{field, logged, printed};

    #[test]
    fn what_steers_turns_or_hides_is_written_out() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\u{200b}d\u{2028}e\u{e0041}f\u{9b}\u{feff}";
        let shown = "a\\u001b[2Jb\\u202ec\\u200bd\\u2028e\\udb40\\udc41f\\u009b\\ufeff";
        assert_eq!(printed(hostile), shown);
        assert_eq!(printed("key_1\u{17b4}\u{2800}\u{1d173}"), "key_1\\u17b4\\u2800\\ud834\\udd73");
        assert_eq!(printed("müde 名\n\tok"), "müde 名\n\tok");
        assert_eq!(field("two\nlines"), "two\\u000alines");
        assert_eq!(logged("\u{1b}[1mbold\u{202e}"), "\u{1b}[1mbold\\u202e");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "id": "x\u{202e}y\u{e0041}\u{7f}" });
        let shown = printed(&value.to_string()).into_owned();
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }
}
