//! The spellings of one secret: what introduces it, spaces within it, and parts that services take for
//! the same.

use super::jwt::{self, is_jwe, is_jwt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::borrow::Cow;

/// Text before a secret in headers and logs: names of headers, schemes, kinds.
const INTRODUCTIONS: [&str; 15] = [
    "proxy-authorization",
    "authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "api_key",
    "bearer",
    "token",
    "basic",
    "session",
    "refresh_token",
    "access_token",
    "agent_token",
    "jwt",
    "secret",
];

/// A secret without the quotes around it and what introduces it: `Authorization: Bearer "…"`.
pub(in crate::formats) fn bare(text: &str) -> &str {
    let around = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>()[]{},;".contains(c);
    let mut text = text.trim_matches(around);
    loop {
        let introduced = INTRODUCTIONS.iter().find_map(|word| {
            let head = text.get(..word.len())?;
            let rest = text.get(word.len()..).filter(|_| head.eq_ignore_ascii_case(word))?;
            let inner = rest.trim_start_matches(|c| around(c) || matches!(c, ':' | '='));
            (inner.len() < rest.len() && !inner.is_empty()).then_some(inner)
        });
        match introduced {
            Some(inner) => text = inner,
            None => return text,
        }
    }
}

pub(in crate::formats) fn without_spaces(token: &str) -> Cow<'_, str> {
    if token.contains(char::is_whitespace) {
        return Cow::Owned(token.split_whitespace().collect());
    }
    Cow::Borrowed(token)
}

/// A JWT or JWE that someone broke into lines or words.
pub(in crate::formats) fn is_token_with_spaces(text: &str) -> bool {
    if !text.contains('.') || !text.contains(char::is_whitespace) {
        return false;
    }
    let token = without_spaces(text);
    is_jwt(&token) || is_jwe(&token)
}

/// The header and the payload of a JWT: what is signed, as it is written. A signature has several
/// spellings that services take for the same: its last bits, and for ECDSA its negative.
pub(in crate::formats) fn signed_part(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(signed, _)| signed)
}

/// An encrypted token (JWE, five parts) with the last bits of its parts as they are to be: services
/// take others for the same. Its header is authenticated as it is written. None for anything else.
pub(in crate::formats) fn one_spelling(secret: &str) -> Option<Cow<'_, str>> {
    if !is_jwe(secret) {
        return None;
    }
    let (header, rest) = secret.split_once('.')?;
    let respelled =
        |part: &str| URL_SAFE_NO_PAD.encode(jwt::decoded(part.as_bytes()).collect::<Vec<u8>>());
    let rest: Vec<String> = rest.split('.').map(respelled).collect();
    Some(Cow::Owned(format!("{header}.{}", rest.join("."))))
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn what_introduces_a_secret_is_no_part_of_it() {
        assert_eq!(bare(" Authorization: Bearer \"a b\" "), "a b");
        for text in ["token", "Bearer", "tokens:a", "bearer:"] {
            assert!(text.starts_with(bare(text)) && !bare(text).is_empty(), "{text}");
        }
    }
}
