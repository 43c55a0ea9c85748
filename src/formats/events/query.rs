//! The query of a URL: `api_key=k%2B1&page=2`, as a log has it, which may have escaped it once more.

use std::borrow::Cow;

/// How often a text is unescaped at most. Chosen: a client escapes once, and `CloudFront` what the client sent; one more
/// to be safe.
const ROUNDS_MAX: usize = 3;

/// A text in which `%2B` is a plus, however often it was escaped.
pub(in crate::formats) fn unescaped(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    for _ in 0..ROUNDS_MAX {
        let Some(next) = unescaped_once(&out) else { break };
        out = Cow::Owned(next);
    }
    out
}

fn unescaped_once(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.as_bytes().to_vec();
    let mut changed = false;
    for part in parts {
        let code = part.get(..2).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            out.push(code);
            out.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
            changed = true;
        } else {
            out.push(b'%');
            out.extend_from_slice(part.as_bytes());
        }
    }
    changed.then(|| String::from_utf8_lossy(&out).into_owned())
}

/// The values of the parameters of those names in a URL or its query: of each name the first and the last, as servers
/// take one of these, and a client must not hide one behind the other. Where servers differ in what they read (`;`
/// between parameters, names in capitals, what is behind a `#`), each reading counts: one too many is the safe side.
pub(in crate::formats) fn parameters(url: &str, names: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for query in queries(url) {
        for between in [&['&'][..], &['&', ';']] {
            for name in names.iter().map(|name| spelled(name)) {
                let values = || {
                    let pairs = query.split(between).filter_map(|pair| pair.split_once('='));
                    pairs.filter(|(key, _)| spelled(key) == name).map(|(_, value)| value)
                };
                for value in values().next().into_iter().chain(values().next_back()) {
                    let value = unescaped(value).into_owned();
                    if !found.contains(&value) {
                        found.push(value);
                    }
                }
            }
        }
    }
    found
}

/// The readings of a URL's query, or of a text that is one already.
fn queries(url: &str) -> Vec<&str> {
    let behind = url.split_once('?').map(|(_, query)| query);
    let is_url = url.starts_with('/')
        || url.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['?', '=', '&']));
    let whole = (!is_url || behind.is_none()).then_some(url);
    let mut queries: Vec<&str> = Vec::new();
    for query in behind.into_iter().chain(whole) {
        let cut = query.split('#').next().unwrap_or(query);
        queries.extend([cut, query].into_iter().take(1 + usize::from(cut.len() < query.len())));
    }
    queries
}

/// A name as the most lenient servers take it: whatever its case, and with `_` for a point, a space and a plus.
fn spelled(name: &str) -> String {
    let name = unescaped(name);
    let plain = |char: char| if matches!(char, '.' | ' ' | '+') { '_' } else { char };
    name.trim_start_matches([' ', '+']).chars().map(plain).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{parameters, unescaped};
    use proptest::prelude::*;

    #[test]
    fn escapes_are_undone_however_often_they_were_made() {
        for (escaped, text) in [
            ("a%20b", "a b"),
            ("a%2520b", "a b"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%c3%a4", "\u{e4}"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(unescaped(escaped), text);
        }
    }

    #[test]
    fn a_parameter_is_found_in_every_spelling_and_hidden_by_no_other() {
        let names = ["api_key".to_owned(), "token".to_owned()];
        let found = |url: &str| parameters(url, &names).join(" ");
        assert_eq!(found("https://a:443/v1?x=1&api_key=k1#y"), "k1 k1#y");
        for url in [
            "/v1/items;x=1?api_key=k1",
            "/v1/a=b?api_key=k1",
            "/v1/a&b?api_key=k1",
            "?x=#&api_key=k1",
            "?a=1;api_key=k1",
            "?API_KEY=k1",
            "?api.key=k1",
            "?+api_key=k1",
        ] {
            assert!(found(url).split(' ').any(|value| value == "k1"), "{url}: {}", found(url));
        }
        assert_eq!(found("x=1&api%5fkey=%6b1"), "k1");
        assert_eq!(found("api_key=k1&z=?"), "k1");
        assert_eq!(found("api_key=k1&z=a?b=c"), "k1");
        assert_eq!(found("z=?&api_key=k1"), "k1");
        assert_eq!(found("api%255Fkey=%256B1"), "k1");
        assert_eq!(found("/v1?api_key=a&api_key=b&api_key=c&token=t&x=%26api_key=d"), "a c t");
        assert_eq!(found("/v1?my_api_key=a&api_key&token"), "");
        assert_eq!(found("/v1?api_key=a=b%26c"), "a=b&c");
    }

    proptest! {
        #[test]
        fn a_value_is_found_as_it_was_escaped(value in "\\PC{1,20}", before in "[a-z=&?]{0,10}", after in "(&[a-z?=]{0,6}){0,2}") {
            prop_assume!(!value.contains('%'));
            let escape = |text: String, byte| text + &format!("%{byte:02x}");
            let escaped = value.bytes().fold(String::new(), escape);
            for begin in ["/v1?", ""] {
                let url = format!("{begin}{before}&key={escaped}{after}");
                let found = parameters(&url, &["key".to_owned()]);
                prop_assert!(found.contains(&value), "{url}: {found:?}");
            }
        }
    }
}
