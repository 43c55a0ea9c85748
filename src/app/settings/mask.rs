//! Takes secrets out of what is said of a configuration: messages show its lines and values.
//!
//! A line of the file keeps its length, so that a mistake is marked where it stands.

use crate::wire::secret::without_secrets;
use std::ops::Range;

/// Words in names of settings whose values are secrets. One wrong letter is meant all the same.
const SECRET_WORDS: [&str; 13] = [
    "bearer",
    "header",
    "headers",
    "integration",
    "jaas",
    "passphrase",
    "passwd",
    "password",
    "pem",
    "pwd",
    "routing",
    "secret",
    "token",
];

/// The text of a file, with asterisks for secrets.
pub(super) fn source(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut inside = None;
    for line in text.split_inclusive('\n') {
        let masked = without_values(line, &mut inside);
        let masked = without_addresses(&masked, true);
        let masked = without_secrets(&masked, asterisks).unwrap_or(masked);
        shown.push_str(&masked);
    }
    shown
}

/// A message that may hold a value.
pub(super) fn message(text: &str) -> String {
    let shown = without_addresses(text, false);
    without_secrets(&shown, |_| "***".to_owned()).unwrap_or(shown)
}

fn asterisks(text: &str) -> String {
    "*".repeat(text.len())
}

/// Whether a setting of that name holds a secret, rather than the path of a file with one.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let is_meant = |word: &str| {
        let near = |known: &str| strsim::osa_distance(word, known) <= 1;
        // A count of tokens is none, nor is a table of them.
        word != "tokens" && word.len() > 2 && SECRET_WORDS.iter().any(|known| near(known))
    };
    !name.trim_end_matches(['"', '\'', ' ']).ends_with("_file") && words.any(is_meant)
}

/// A line without the values of secret settings. `inside` says what ends one of several lines.
fn without_values(line: &str, inside: &mut Option<&'static str>) -> String {
    let mut at = 0;
    if let Some(end) = *inside {
        match line.find(end) {
            Some(found) => {
                *inside = None;
                at = found;
            }
            None => return hidden(line, 0..line.len()),
        }
    }
    let mut shown = hidden(line, 0..at);
    while let Some(sign) = line.get(at..).and_then(|rest| rest.find('=')).map(|found| at + found) {
        let before = line.get(at..sign).unwrap_or("");
        let name = before.rsplit(['{', ',']).next().unwrap_or(before);
        at = sign + 1;
        if is_secret(name) {
            // To the end of the line: where a text with escapes or a mistake ends is unknown.
            shown = hidden(&shown, at..line.len());
            *inside = line.get(at..).and_then(ends_later);
            break;
        }
    }
    shown
}

/// What ends a value of several lines, if it does not end in its own.
fn ends_later(value: &str) -> Option<&'static str> {
    let value = value.trim_start();
    for (open, close) in [("\"\"\"", "\"\"\""), ("'''", "'''"), ("[", "]")] {
        if let Some(inner) = value.strip_prefix(open) {
            return (!inner.contains(close)).then_some(close);
        }
    }
    None
}

/// The same with asterisks for what stands there, but for spaces, quotes and brackets.
fn hidden(line: &str, range: Range<usize>) -> String {
    let kept = |c: char| c.is_ascii_whitespace() || "\"'[],{}".contains(c);
    let mut shown = String::with_capacity(line.len());
    for (at, char) in line.char_indices() {
        if range.contains(&at) && !kept(char) {
            shown.push_str(&asterisks(char.encode_utf8(&mut [0; 4])));
        } else {
            shown.push(char);
        }
    }
    shown
}

/// The text without users, passwords, queries and fragments of addresses.
fn without_addresses(text: &str, keeps_length: bool) -> String {
    let by = |part: &str| if keeps_length { asterisks(part) } else { "***".to_owned() };
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(['"', '\'', '`', '\n']).unwrap_or(after.len());
        let (address, further) = after.split_at(end);
        let place = match address.rsplit_once('@') {
            Some((user, place)) => {
                shown.push_str(&by(user));
                shown.push('@');
                place
            }
            None => address,
        };
        let query = place.find(['?', '#']).map_or(place.len(), |at| at + 1);
        let (place, query) = place.split_at(query);
        shown.push_str(place);
        if !query.is_empty() {
            shown.push_str(&by(query));
        }
        rest = further;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::{message, source};

    #[test]
    fn the_lines_of_a_file_lose_their_secrets_and_keep_their_length() {
        for (line, shown) in [
            ("url = \"redis://u:hunter2@r:1/0\"", "url = \"redis://*********@r:1/0\""),
            ("url = \"https://h/p?t=x#y\" # z", "url = \"https://h/p?*****\" # z"),
            ("url = \"redis://u:hun ter@r/\"", "url = \"redis://*********@r/\""),
            ("password = \"hunter2\"", "password = \"*******\""),
            ("pasword = hunter2", "pasword = *******"),
            ("x = { token = \"a b\", y = 1 }", "x = { token = \"* *\", * * * }"),
            ("\"sasl.password\" = 'h='", "\"sasl.password\" = '**'"),
            ("password = \"a\\\"b\"", "password = \"**\"*\""),
            ("token_file = \"/etc/token\"", "token_file = \"/etc/token\""),
            ("tokens = \"/usage/tokens\"", "tokens = \"/usage/tokens\""),
            ("secret = '''a\nb = 'c'\n'''\nx = 1", "secret = '''*\n* * '*'\n'''\nx = 1"),
            ("key = \"sk-0123456789abcdef\"", "key = \"*******************\""),
            ("password = \"schlüssel", "password = \"**********"),
        ] {
            assert_eq!(source(line), shown);
            assert_eq!(source(line).len(), line.len());
        }
    }

    #[test]
    fn a_message_loses_the_secrets_of_the_value_that_it_shows() {
        for (text, shown) in [
            ("`redis://u:p@h/?x=y` is none", "`redis://***@h/?***` is none"),
            ("there is no `sk-0123456789abcdef` here", "there is no `***` here"),
            ("`127.0.0.1:x` is no address", "`127.0.0.1:x` is no address"),
        ] {
            assert_eq!(message(text), shown);
        }
    }
}
