//! Credentials in an `Authorization` header that are no bearer token.
//!
//! A scheme other than Bearer is no credential that tripline knows: it can't say whose `Basic` or
//! `AWS4-HMAC-SHA256` it is, so it lets nothing pass. It must not hide a credential that is out of
//! service either, so each word in it is looked up, and one that is out of service refuses.

use crate::formats::secrets::secret::decode_leniently;
use axum::http::HeaderValue;

/// The most words that are looked up in one header. Chosen: OAuth 1.0 and Digest send about ten.
const WORDS_MAX: usize = 32;

/// Between words.
const SPACES: [char; 4] = [' ', '\t', ',', ';'];
/// Around a word.
const QUOTES: [char; 11] = ['"', '\'', '`', '(', ')', '[', ']', '{', '}', '<', '>'];
/// Within a word: between a user and a password, a key and its scope.
const JOINTS: [char; 2] = [':', '/'];

/// How a caller shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `Bearer`, in any case.
    Bearer,
    /// Any other, or none.
    Other,
}

/// The scheme of an `Authorization`. Whatever begins with the word `Bearer` is meant as one, even
/// where no token follows that could be read.
pub(super) fn scheme(value: &HeaderValue) -> Scheme {
    let head = value.as_bytes().get(..6);
    let follows = value.as_bytes().get(6).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let is_bearer = head.is_some_and(|head| head.eq_ignore_ascii_case(b"bearer")) && follows;
    if is_bearer { Scheme::Bearer } else { Scheme::Other }
}

/// Everything in a header's value that could be a secret or the name of a credential: its words, what
/// `name=` names, the text before and behind the first joint of either (`user:`, `KEY/DATE/…`), and
/// user and password of what base64 encodes, as `Basic` does (RFC 7617). None: there are more words than
/// are looked up.
pub(super) fn candidates(value: &HeaderValue) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut found = Vec::new();
    add(&text, &mut found);
    let mut words = text.split(SPACES).filter(|word| !word.is_empty());
    for word in words.by_ref().take(WORDS_MAX) {
        add_parts(word, &mut found);
        if let Some((_, value)) = word.split_once('=') {
            add_parts(value, &mut found);
        }
        // Lenient readers take either alphabet, pass over what is no letter of it, and stop at padding
        // or read on: each may find another user.
        let encoded = word.rsplit_once(':').map_or(word, |(_, encoded)| encoded);
        let unpadded = encoded.split('=').next().unwrap_or(encoded);
        for encoded in [encoded, unpadded] {
            let decoded = decode_leniently(encoded.as_bytes());
            let text = String::from_utf8_lossy(&decoded);
            if let Some((user, password)) = text.split_once(':') {
                for part in [&*text, user, password] {
                    add(part, &mut found);
                }
            }
        }
    }
    words.next().is_none().then_some(found)
}

/// Adds a word, and the text before and behind its first joints.
fn add_parts(word: &str, found: &mut Vec<String>) {
    add(word, found);
    for joint in JOINTS {
        if let Some((before, behind)) = word.split_once(joint) {
            add(before, found);
            add(behind, found);
        }
    }
}

fn add(piece: &str, found: &mut Vec<String>) {
    let piece = piece.trim().trim_matches(QUOTES);
    if !piece.is_empty() && !found.iter().any(|known| known == piece) {
        found.push(piece.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::{Scheme, WORDS_MAX, candidates, scheme};
    use axum::http::HeaderValue;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).expect("a value")
    }

    #[test]
    fn only_bearer_is_bearer_and_a_broken_one_is_too() {
        for bearer in ["Bearer x", "bearer\tx", "BEARER x y", "Bearer", "Bearer: x", "Bearer,x"] {
            assert_eq!(scheme(&value(bearer)), Scheme::Bearer, "{bearer}");
        }
        for other in ["Basic eDp5", "Bearers x", "sk-0123456789abcdef", "", "Token x"] {
            assert_eq!(scheme(&value(other)), Scheme::Other, "{other}");
        }
    }

    #[test]
    fn every_spelling_in_which_a_service_finds_a_key_is_looked_up() {
        for text in [
            "sk-1",
            "Token sk-1",
            "ApiKey sk-1",
            "Token token=\"sk-1\", nonce=\"x\"",
            // sk-1: and :sk-1 and a:sk-1, without padding
            "Basic c2stMTo=",
            "Basic OnNrLTE=",
            "basic YTpzay0x",
            "Basic c2stMTo",
            "Basic sk-1",
            "AWS4-HMAC-SHA256 Credential=sk-1/20261101/eu/s3/aws4_request, Signature=00",
            "AWS sk-1:sig",
            "SharedKey sk-1:sig",
            "hmac id=sk-1:7",
            "Token token='sk-1'",
            "Key (sk-1)",
            "{\"key\":\"sk-1\"}",
            "Basic:c2stMTo=",
            "Basic c2st.MTo=",
            "Basic ~c2s~tMTo",
            "Basic c2stMTo==",
            "Bearer c2stMTo=",
        ] {
            let found = candidates(&value(text)).expect("few");
            assert!(found.iter().any(|one| one == "sk-1"), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_long_password_does_not_hide_the_user() {
        let encoded = STANDARD.encode(format!("sk-1:{}", "x".repeat(20_000)));
        let found = candidates(&value(&format!("Basic {encoded}"))).expect("few");
        assert!(found.iter().any(|one| one == "sk-1"));
    }

    #[test]
    fn more_words_than_are_looked_up_are_not_let_pass() {
        let words =
            |count: usize| (0..count).map(|n| format!("x{n}")).collect::<Vec<_>>().join(" ");
        assert!(candidates(&value(&words(WORDS_MAX))).is_some());
        assert!(candidates(&value(&words(WORDS_MAX + 1))).is_none());
    }

    #[test]
    fn a_long_token_is_one_word_however_many_joints_it_has() {
        let claims =
            (0..60).map(|n| format!("\"claim_{n}\":\"https://x/{n}\"")).collect::<Vec<_>>();
        let token = STANDARD.encode(format!("{{{}}}", claims.join(",")));
        for long in [token.clone(), format!("{token}.{token}.{token}"), "a/b+c=".repeat(500)] {
            let found = candidates(&value(&format!("Bearer {long}"))).expect("is looked up");
            assert!(found.len() < 40, "{}", found.len());
        }
    }
}
