//! Takes secrets out of what is said of a configuration: messages show its lines and values.
//!
//! A secret may stand anywhere: under a name that no setting has, where a file is expected, in a
//! command, in a comment. So of a line only the names of settings are shown, each at its place; a
//! message shows a value only where its setting is none for a secret.

use crate::formats::secrets::secret::without_secrets;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest name of a setting that is shown. Unit: bytes. Chosen: the longest that librdkafka has.
const NAME_BYTES_MAX: usize = 48;

/// The text of a file, with asterisks for all but the names of settings. It keeps its length, so that
/// a mistake is marked where it stands.
pub(super) fn source(text: &str) -> String {
    let (table, _) = DeTable::parse_recoverable(text);
    let mut names = Vec::new();
    names_of_table(table.get_ref(), &mut names);
    names.retain(|range| is_name(text, range));
    names.extend(headers(text, &names));
    names.sort_by_key(|range| range.start);
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for name in names {
        // A name of a table may be found twice.
        if name.start >= at {
            shown.push_str(&hidden(text.get(at..name.start).unwrap_or("")));
            shown.push_str(text.get(name.clone()).unwrap_or(""));
            at = name.end;
        }
    }
    shown.push_str(&hidden(text.get(at..).unwrap_or("")));
    without_secrets(&shown, asterisks).unwrap_or(shown)
}

/// The parts of headers (`[limits.kind]`) that are names which stand elsewhere, too: the parser gives
/// the place of each name once.
fn headers(text: &str, names: &[Range<usize>]) -> Vec<Range<usize>> {
    let known: Vec<&str> = names.iter().filter_map(|range| text.get(range.clone())).collect();
    let mut found = Vec::new();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let is_header = line.trim().starts_with('[') && line.trim().ends_with(']');
        let mut at = begin;
        for part in line.split_inclusive(['[', ']', '.', '\n']).filter(|_| is_header) {
            let name = part.trim_end_matches(['[', ']', '.', '\n']);
            if known.contains(&name) {
                found.push(at..at + name.len());
            }
            at += part.len();
        }
        begin += line.len();
    }
    found
}

fn names_of_table(table: &DeTable<'_>, names: &mut Vec<Range<usize>>) {
    for (name, value) in table {
        names.push(name.span());
        names_of_value(value, names);
    }
}

fn names_of_value(value: &Spanned<DeValue<'_>>, names: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => names_of_table(table, names),
        DeValue::Array(array) => array.iter().for_each(|one| names_of_value(one, names)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

/// Whether that stands for a name, and looks like one: where a file is no TOML, a line of a key in PEM
/// may stand for one, too.
fn is_name(text: &str, range: &Range<usize>) -> bool {
    let Some((name, after)) = text.get(range.clone()).zip(text.get(range.end..)) else {
        return false;
    };
    let bare = name.trim_matches(['"', '\'']);
    let known = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-.".contains(&c);
    let after = after.trim_start_matches([' ', '\t']);
    let goes_on = after.starts_with(['.', ']'])
        || after
            .strip_prefix('=')
            .is_some_and(|value| !value.starts_with(['=', '\n', '\r']) && !value.is_empty());
    goes_on && bare.len() <= NAME_BYTES_MAX && bare.bytes().all(known)
}

/// A message that may hold a value.
pub(super) fn message(text: &str) -> String {
    let shown = without_addresses(text);
    without_secrets(&shown, |_| "***".to_owned()).unwrap_or(shown)
}

/// The path of a file as a message shows it: not if it looks like none, as then it may be the secret
/// itself.
pub(super) fn path(text: &str) -> &str {
    let known = |c: u8| c.is_ascii_alphanumeric() || b"._/~-".contains(&c);
    let is_rooted = ["/", "./", "../", "~/"].iter().any(|root| text.starts_with(root));
    let file = text.rsplit('/').next().unwrap_or(text);
    let has_ending = file.rsplit_once('.').is_some_and(|(name, ending)| {
        let is_short = (1..=5).contains(&ending.len());
        !name.is_empty() && is_short && ending.bytes().all(|c| c.is_ascii_lowercase())
    });
    if text.bytes().all(known) && (is_rooted || has_ending) { text } else { "***" }
}

/// An address or a network as a message shows it: not if it can't be meant as one.
pub(super) fn address(text: &str) -> &str {
    let known = |c: u8| c.is_ascii_alphanumeric() || b".:/-[]".contains(&c);
    let is_joined = text.contains([':', '.']);
    if is_joined && text.len() <= 45 && text.bytes().all(known) { text } else { "***" }
}

fn asterisks(text: &str) -> String {
    "*".repeat(text.len())
}

/// The same with asterisks for the text there, but for spaces, quotes, brackets and signs.
fn hidden(text: &str) -> String {
    let kept = |c: char| c.is_ascii_whitespace() || "\"'[],{}=.".contains(c);
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if kept(char) {
            shown.push(char);
        } else {
            shown.push_str(&asterisks(char.encode_utf8(&mut [0; 4])));
        }
    }
    shown
}

/// The text without users, passwords, queries and fragments of addresses.
fn without_addresses(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(['"', '\'', '`', '\n']).unwrap_or(after.len());
        let (address, further) = after.split_at(end);
        let place = match address.rsplit_once('@') {
            Some((_, place)) => {
                shown.push_str("***@");
                place
            }
            None => address,
        };
        let query = place.find(['?', '#']).map_or(place.len(), |at| at + 1);
        let (place, query) = place.split_at(query);
        shown.push_str(place);
        if !query.is_empty() {
            shown.push_str("***");
        }
        rest = further;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::{address, message, path, source};

    #[test]
    fn of_the_lines_of_a_file_only_names_are_shown_at_their_places() {
        for (line, shown) in [
            ("url = \"u:hunter2@r:1\" # z", "url = \"*************\" * *"),
            ("[http.tokens]\nx = 'y'", "[http.tokens]\nx = '*'"),
            ("\"sasl.pasword\" = 'h='", "\"sasl.pasword\" = '*='"),
            ("x = { token = \"a b\", y = 1 }", "x = { token = \"* *\", y = * }"),
            ("secret = '''a\nb = 'c'\n'''\nx = 1", "secret = '''*\n* = '*'\n'''\nx = *"),
            ("[[a]]\nb = [{ c = 1 }]", "[[a]]\nb = [{ c = * }]"),
            ("password = \"schl\u{fc}ssel", "password = \"**********"),
            ("MIIEvQ==\nhunter2\n", "******==\n*******\n"),
            ("hunter2=\n", "*******=\n"),
            ("Acme = 1 # hunter2", "**** = * * *******"),
            ("pasword : 'hunter2'", "******* * '*******'"),
        ] {
            assert_eq!(source(line), shown);
            assert_eq!(source(line).len(), line.len());
        }
    }

    #[test]
    fn a_path_or_an_address_that_looks_like_none_is_not_shown() {
        for text in ["/etc/tripline/token", "./token", "keys/token.txt", "~/a"] {
            assert_eq!(path(text), text);
        }
        for text in ["hunter2", "abc/def+gh==", "u:hunter2@h.example", "-----BEGIN KEY-----\nx"] {
            assert_eq!(path(text), "***");
        }
        assert_eq!(address("127.0.0.1:x"), "127.0.0.1:x");
        assert_eq!(address("u:hunter2@127.0.0.1:1"), "***");
    }

    #[test]
    fn a_message_loses_the_secrets_of_the_value_that_it_shows() {
        for (text, shown) in [
            ("`redis://u:p@h/?x=y` is none", "`redis://***@h/?***` is none"),
            ("unknown value `sk-0123456789abcdef`", "unknown value `***`"),
            ("`127.0.0.1:x` is no address", "`127.0.0.1:x` is no address"),
        ] {
            assert_eq!(message(text), shown);
        }
    }
}
