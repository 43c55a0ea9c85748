//! What looks like a secret is never kept: a JWT gives its claims, anything else a fingerprint.

use crate::model::credential::{Credential, ID_BYTES_MAX, IdError, Kind, check_id};
use crate::model::time::EventTime;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use sha2::Sha256;
use std::borrow::Cow;

/// Beginnings of secrets as their issuers make them. Ids of access keys (`AKIA…`) are no secrets.
const PREFIXES: [&str; 38] = [
    "sk-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "pk_live_",
    "whsec_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "xoxa-",
    "xoxb-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "xapp-",
    "AIza",
    "ya29.",
    "npm_",
    "pypi-",
    "SG.",
    "hf_",
    "shpat_",
    "shpss_",
    "dop_v1_",
    "sq0",
    "AGE-SECRET-KEY-",
    "-----BEGIN",
    "lin_api_",
    "dckr_pat_",
    "gsk_",
    "nvapi-",
];

/// A prefix alone is a word; with at least this many bytes it is a secret. Chosen.
const SECRET_BYTES_MIN: usize = 16;
/// The longest JWT payload looked into. Unit: bytes of base64. Chosen.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// Whether a secret may begin with that byte: a prefix, a JWT, or a header's `Bearer`.
const fn may_begin_secret(byte: u8) -> bool {
    matches!(byte, b'-' | b'A' | b'B' | b'S' | b'b' | b'd' | b'e' | b'g' | b'h' | b'l' | b'n')
        || matches!(byte, b'p' | b'r' | b's' | b'w' | b'x' | b'y')
}

/// Whether `text` looks like a secret. Cost: a look at its length and first byte for most texts.
pub fn looks_like_secret(text: &str) -> bool {
    if text.len() < SECRET_BYTES_MIN || !text.bytes().next().is_some_and(may_begin_secret) {
        return false;
    }
    let bearer = text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("bearer "));
    bearer
        || (text.starts_with("eyJ") && (is_jwt(text) || is_jwe(text)))
        || PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Three parts, the first of which is a JSON object: a signed token (JWT).
fn is_jwt(text: &str) -> bool {
    text.split('.').count() == 3 && has_header(text)
}

/// Five parts, the first of which is a JSON object: an encrypted token (JWE).
fn is_jwe(text: &str) -> bool {
    text.split('.').count() == 5 && has_header(text)
}

/// Whether what stands before the first point is a JSON object.
fn has_header(text: &str) -> bool {
    let header = text.split('.').next().unwrap_or("");
    header.len() <= PAYLOAD_BYTES_MAX
        && URL_SAFE_NO_PAD.decode(header).is_ok_and(|header| header.first() == Some(&b'{'))
}

/// Base64 as lenient readers take it: whatever its last bits are, padded or not.
pub(crate) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How many letters of a kind may be wrong for it to be meant all the same. Of a short kind a third
/// at most: `aws:…` and `gw:…` are ids.
const WRONG_MAX: usize = 2;

/// The kind that somebody meant who wrote another word before the first colon of `kind:id`: both. An
/// id that holds a colon (`arn:aws:…`) is not mistaken for one.
pub fn kind_nearby(named: &str) -> Option<(&str, Kind)> {
    let (written, _) = named.split_once(':')?;
    if Kind::parse(written).is_some() || looks_like_secret(named) {
        return None;
    }
    let wrong = |kind: &Kind| strsim::osa_distance(&written.to_ascii_lowercase(), kind.as_str());
    let nearest = Kind::ALL.into_iter().min_by_key(wrong)?;
    let most = WRONG_MAX.min(nearest.as_str().len() / 3);
    (wrong(&nearest) <= most).then_some((written, nearest))
}

/// What stands for a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The kind, where the secret tells it.
    pub kind: Option<Kind>,
    /// The id: a `jti`, or a fingerprint.
    pub id: String,
    /// Who acts, from a JWT's `sub`.
    pub subject: Option<String>,
    /// When it ends, from a JWT's `exp`.
    pub expires: Option<EventTime>,
}

#[derive(Deserialize)]
struct Claims {
    jti: Option<String>,
    sub: Option<String>,
    exp: Option<f64>,
}

/// Turns secrets into fingerprints under a key that stays on this machine.
pub struct Fingerprinter(SecretSlice<u8>);

impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprinter(..)")
    }
}

impl Fingerprinter {
    /// Fingerprints under that key. All members of a fleet need the same one.
    pub fn new(key: Vec<u8>) -> Self {
        Self(SecretSlice::from(key))
    }

    /// The credential that a person or a gateway names: `kind:id`, the id of an API key, or the
    /// secret itself, which is never kept.
    ///
    /// # Errors
    /// When it can't be the name of one.
    pub fn credential(&self, named: &str) -> Result<Credential, IdError> {
        let (kind, id) = self.named(named);
        Credential::new(kind, &id)
    }

    /// The same as its kind and id, which may be no good name. Allocates for a secret alone.
    pub fn named<'a>(&self, named: &'a str) -> (Kind, Cow<'a, str>) {
        let parts = named.split_once(':').and_then(|(kind, id)| Some((Kind::parse(kind)?, id)));
        let (kind, id) = parts.unwrap_or((Kind::ApiKey, named));
        if looks_like_secret(id) {
            let found = self.identify(id);
            return (found.kind.unwrap_or(kind), Cow::Owned(found.id));
        }
        (kind, Cow::Borrowed(id))
    }

    /// `fp_` and 32 hexadecimal digits: the first half of HMAC-SHA256 (RFC 2104).
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else {
            return "fp_0".to_owned();
        };
        mac.update(secret);
        let digest = mac.finalize().into_bytes();
        let mut text = String::with_capacity(35);
        text.push_str("fp_");
        for byte in digest.iter().take(16) {
            text.extend(
                [byte >> 4, byte & 15]
                    .map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')),
            );
        }
        text
    }

    /// What stands for a secret presented by a caller: a JWT by its `jti`, anything else by its
    /// fingerprint, whatever it looks like. The JWT's signature is not looked at: the gateway has
    /// done that, or refuses the request anyway.
    pub fn identify(&self, secret: &str) -> Identified {
        let bearer = secret.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("bearer "));
        let secret = if bearer { secret.get(7..).unwrap_or(secret).trim() } else { secret };
        if secret.starts_with("eyJ") && is_jwt(secret) {
            return self.identify_jwt(secret);
        }
        let id = self.fingerprint(one_spelling(secret).as_bytes());
        Identified { kind: None, id, subject: None, expires: None }
    }

    fn identify_jwt(&self, token: &str) -> Identified {
        let payload = token.split('.').nth(1).filter(|part| part.len() <= PAYLOAD_BYTES_MAX);
        let payload = payload.and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims = payload.and_then(|json| serde_json::from_slice::<Claims>(&json).ok());
        let claims = claims.unwrap_or(Claims { jti: None, sub: None, exp: None });
        let keep = |text: &String| check_id(text).is_ok() && !looks_like_secret(text);
        let id = claims.jti.filter(keep);
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the filter")]
        let expires = claims.exp.filter(|s| (0.0..4.1e9).contains(s)).map(|s| (s * 1000.0) as i64);
        Identified {
            kind: Some(Kind::Jwt),
            id: id.unwrap_or_else(|| self.fingerprint(signed_part(token).as_bytes())),
            subject: claims.sub.filter(|sub| sub.len() <= ID_BYTES_MAX && keep(sub)),
            expires: expires.map(EventTime::from_ms),
        }
    }
}

/// The header and the payload of a JWT: what is signed, as it is written. A signature has several
/// spellings that services take for the same: its last bits, and for ECDSA its negative.
fn signed_part(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(signed, _)| signed)
}

/// An encrypted token (JWE, five parts) with the last bits of its parts as they are to be: services
/// take others for the same. Its header is authenticated as it is written. Anything else is left alone.
fn one_spelling(secret: &str) -> Cow<'_, str> {
    if !secret.starts_with("eyJ") || !is_jwe(secret) {
        return Cow::Borrowed(secret);
    }
    let Some((header, rest)) = secret.split_once('.') else { return Cow::Borrowed(secret) };
    let anew = |part| LENIENT.decode(part).ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    match rest.split('.').map(anew).collect::<Option<Vec<_>>>() {
        Some(rest) => Cow::Owned(format!("{header}.{}", rest.join("."))),
        None => Cow::Borrowed(secret),
    }
}

#[cfg(test)]
mod tests {
    use super::{EventTime, Fingerprinter, kind_nearby, looks_like_secret};
    use crate::model::credential::Kind;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"ES256"}"#), part(claims), part("signature"))
    }

    #[test]
    fn secrets_are_known_by_their_looks_and_ids_are_left_alone() {
        let token = jwt(r#"{"jti":"j1"}"#);
        for secret in ["sk-abcdefghijklmnop", "ghp_0123456789abcdef", "Bearer abcdefghijkl", &token]
        {
            assert!(looks_like_secret(secret), "{secret}");
        }
        for id in ["key_7f3a", "AKIATFQR7NSC8Q4X20BJ", "eyJ", "sk-", "eyJustAName.a.b.of.something"]
        {
            assert!(!looks_like_secret(id), "{id}");
        }
    }

    #[test]
    fn a_kind_that_is_nearly_one_is_meant() {
        for (named, meant) in [
            ("apikey:k", Kind::ApiKey),
            ("API-KEY:k", Kind::ApiKey),
            ("Session:s", Kind::Session),
            ("JWT:j", Kind::Jwt),
            ("jtw:j", Kind::Jwt),
        ] {
            assert_eq!(kind_nearby(named).map(|(_, kind)| kind), Some(meant), "{named}");
        }
        let ids = ["arn:aws:iam::1:user/x", "aws:x", "gw:7", "key_1", "sk-0123456789abcdef:x"];
        for named in ids.into_iter().chain(["api_key:k", "api_key:apikey:k"]) {
            assert_eq!(kind_nearby(named), None, "{named}");
        }
    }

    #[test]
    fn every_prefix_is_known_by_its_first_byte() {
        for prefix in super::PREFIXES {
            assert!(looks_like_secret(&format!("{prefix}0123456789abcdef")), "{prefix}");
        }
    }

    #[test]
    fn a_jwt_gives_its_claims() {
        let found = Fingerprinter::new(vec![1; 32])
            .identify(&jwt(r#"{"jti":"j1","sub":"ada","exp":1795460040}"#));
        assert_eq!((found.kind, found.id.as_str()), (Some(Kind::Jwt), "j1"));
        assert_eq!(found.subject.as_deref(), Some("ada"));
        assert_eq!(found.expires.map(EventTime::ms), Some(1_795_460_040_000));
    }

    #[test]
    fn a_jwt_without_a_usable_jti_gives_a_fingerprint() {
        for claims in
            ["{}", r#"{"jti":""}"#, r#"{"jti":7}"#, "not json", r#"{"jti":"ghp_0123456789abcdef"}"#]
        {
            let found = Fingerprinter::new(vec![1; 32]).identify(&jwt(claims));
            assert!(found.id.starts_with("fp_") && found.kind == Some(Kind::Jwt), "{claims}");
        }
    }

    #[test]
    fn another_spelling_of_a_token_is_the_same_token() {
        let one = Fingerprinter::new(vec![1; 32]);
        let token = jwt("{}");
        let (signed, _) = token.rsplit_once('.').expect("a signature");
        for signature in ["c2lnbmF0dXJl", "c2lnbmF0dXJm", "b3RoZXI"] {
            assert_eq!(one.identify(&format!("{signed}.{signature}")), one.identify(&token));
        }
        let encrypted = "eyJhbGciOiJkaXIifQ..AAAAAAAAAAAAAAAA.AAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA";
        let found = one.identify(encrypted);
        assert!(found.id.starts_with("fp_") && found.kind.is_none());
        assert!(looks_like_secret(encrypted), "it is never kept");
        assert_eq!(
            one.identify(&encrypted.replace("AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB")),
            found
        );
        assert_ne!(one.identify(&encrypted.replace("AAAAAAAAAAA.", "BAAAAAAAAAA.")), found);
    }

    #[test]
    fn a_fingerprint_depends_on_the_key_and_the_secret_alone() {
        let (one, two) = (Fingerprinter::new(vec![1; 32]), Fingerprinter::new(vec![2; 32]));
        let found = one.identify("sk-abcdefghijklmnop");
        assert_eq!(found, one.identify("Bearer sk-abcdefghijklmnop"));
        assert_ne!(found, two.identify("sk-abcdefghijklmnop"));
        assert_eq!(found.id.len(), 35);
        assert_eq!(format!("{one:?}"), "Fingerprinter(..)");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            looks_like_secret(&text);
            let id = Fingerprinter::new(vec![1; 32]).identify(&text).id;
            prop_assert!(!id.is_empty());
        }
    }
}
