//! What an `Authorization` header may hold that is no bearer token.
//!
//! A scheme other than Bearer is no credential that tripline knows: it can't say whose `Basic` or
//! `AWS4-HMAC-SHA256` it is, so it lets nothing pass. It must not hide a credential that is out of
//! service either, so each word in it is looked up, and one that is out of service refuses.

use crate::model::credential::ID_BYTES_MAX;
use crate::wire::secret::LENIENT;
use axum::http::HeaderValue;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;

/// The most words that are looked up in one header. Chosen: OAuth 1.0 and Digest send about ten.
const WORDS_MAX: usize = 32;

/// The standard alphabet as lenient readers take it.
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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
/// stands behind `name=`, what `Basic` encodes, the access key in `Credential=KEY/DATE/…`. None: there
/// are more than are looked up.
pub(super) fn candidates(value: &HeaderValue) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut found = vec![text.trim().to_owned()];
    let words = text.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty());
    for (number, word) in words.enumerate() {
        if number >= WORDS_MAX {
            return None;
        }
        let named = word.split_once('=').map(|(_, value)| value);
        for part in [Some(word), named].into_iter().flatten() {
            let part = part.trim_matches('"');
            found.push(part.to_owned());
            found.extend(part.split_once('/').map(|(head, _)| head.to_owned()));
        }
        found.extend(user_and_password(word).into_iter().flatten());
    }
    found.retain(|one| !one.is_empty());
    found.dedup();
    Some(found)
}

/// The user and the password that `Basic` encodes (RFC 7617), and both together.
fn user_and_password(word: &str) -> Option<[String; 3]> {
    if word.len() > 8 * ID_BYTES_MAX {
        return None;
    }
    let bytes = LENIENT_STANDARD.decode(word).or_else(|_| LENIENT.decode(word)).ok()?;
    let text: Cow<'_, str> = String::from_utf8_lossy(&bytes);
    let (user, password) = text.split_once(':').unwrap_or((&text, ""));
    Some([user, password, &*text].map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::{Scheme, WORDS_MAX, candidates, scheme};
    use axum::http::HeaderValue;

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
        ] {
            let found = candidates(&value(text)).expect("few");
            assert!(found.iter().any(|one| one == "sk-1"), "{text}: {found:?}");
        }
    }

    #[test]
    fn more_words_than_are_looked_up_are_not_let_pass() {
        let many = |words: usize| candidates(&value(&"x ".repeat(words)));
        assert!(many(WORDS_MAX).is_some());
        assert!(many(WORDS_MAX + 1).is_none());
    }
}
