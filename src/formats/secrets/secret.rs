//! Secrets are never kept: a JWT gives its claims, anything else a fingerprint.
//!
//! ```text
//! event     "Token sk-4fK…"    ── bare ──▶ sk-4fK…   ── identify ──▶ fp_9c1e…
//! gateway   X-Api-Key: sk-4fK… ──────────▶ sk-4fK…   ── candidates ─▶ fp_9c1e…, and what else it may be
//! ```
//!
//! **Invariant** P-1: no decoded text holds a secret that `secret_scan` finds.

use super::jwt::{self, Claims, is_jwt};
use super::scan::{self, Rules, SECRET_BYTES_MIN};
use super::spelling::{bare, is_token_with_spaces, one_spelling, signed_part, without_spaces};
use crate::model::credential::{Credential, IdError, Kind, check_id};
use crate::model::time::EventTime;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use std::borrow::Cow;
use std::sync::Arc;

/// Whether `text` holds a secret, or what looks drawn at random as secrets are.
pub fn looks_like_secret(text: &str) -> bool {
    scan::find(text, 0, Rules::Random).is_some()
}

/// Whether events never have the name `named`, of a credential or a tenant, as a fingerprint stands
/// in its place.
pub fn is_replaced(named: &str, random_ids: bool) -> bool {
    let is_jwt =
        named.split_once(':').is_some_and(|(kind, _)| Kind::parse(kind) == Some(Kind::Jwt));
    let rules = if is_jwt || random_ids { Rules::Known } else { Rules::Random };
    scan::find(named, 0, rules).is_some()
}

/// `text` with `by` in the place of each secret; none if it holds none.
pub fn without_secrets(text: &str, by: impl Fn(&str) -> String) -> Option<String> {
    replaced(text, Rules::Random, by)
}

fn replaced(text: &str, rules: Rules, by: impl Fn(&str) -> String) -> Option<String> {
    let mut found = scan::find(text, 0, rules)?;
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    loop {
        clean.push_str(text.get(at..found.start).unwrap_or(""));
        clean.push_str(&by(text.get(found.clone()).unwrap_or("")));
        at = found.end;
        match scan::find(text, at, rules) {
            Some(next) => found = next,
            None => break,
        }
    }
    clean.push_str(text.get(at..).unwrap_or(""));
    Some(clean)
}

/// Base64 as lenient readers take it: whatever its last bits are, padded or not.
pub(crate) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Text that base64 encodes, as the most lenient readers take it: in either alphabet, passing over all that
/// is no letter of it.
pub fn decode_leniently(encoded: &[u8]) -> Vec<u8> {
    jwt::decoded(encoded).collect()
}

/// The substitute for a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The kind, where the secret reports it.
    pub kind: Option<Kind>,
    /// The id: a `jti`, or a fingerprint.
    pub id: String,
    /// The actor, from a JWT's `sub`.
    pub subject: Option<String>,
    /// The issuer, from a JWT's `iss`.
    pub issuer: Option<String>,
    /// When it was issued, from a JWT's `iat`.
    pub issued: Option<EventTime>,
    /// When it ends, from a JWT's `exp`.
    pub expires: Option<EventTime>,
}

/// Everything that a presented secret may be known as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// The substitute for it in tripline's own events.
    pub main: Identified,
    /// All ids under which it may be out of service, the main one first, each once: every reading of
    /// a `jti`, fingerprints of its spellings, and the text itself.
    pub ids: Vec<String>,
    /// Whether there may be further ones. Such a request can't be let pass: its token is larger than
    /// any honest one, or claims a dozen ids.
    pub is_cut: bool,
}

impl Candidates {
    fn add(&mut self, id: impl Into<String> + AsRef<str>) {
        if check_id(id.as_ref()).is_ok() && !self.ids.iter().any(|known| known == id.as_ref()) {
            self.ids.push(id.into());
        }
    }
}

/// Turns secrets into fingerprints under a key that stays on this machine.
#[derive(Clone)]
pub struct Fingerprinter {
    key: Arc<SecretSlice<u8>>,
    /// The names and ids that are replaced.
    rules: Rules,
    /// Whether every credential of an event is a secret, whatever it looks like.
    every_credential: bool,
    /// Whether every credential that is named is one, unless it is a fingerprint.
    every_name: bool,
    /// Whether a JWT is known by its fingerprint as well, and not by its `jti`.
    ignores_claims: bool,
}

impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprinter(..)")
    }
}

impl Fingerprinter {
    /// Fingerprints under that key. All instances of a fleet need the same one.
    pub fn new(key: Vec<u8>) -> Self {
        let key = Arc::new(SecretSlice::from(key));
        Self {
            key,
            rules: Rules::Random,
            every_credential: false,
            every_name: false,
            ignores_claims: false,
        }
    }

    /// Takes ids and names that look drawn at random for what they are said to be, if `random_ids`;
    /// known forms of secrets are replaced all the same.
    #[must_use]
    pub fn with_random_ids(mut self, random_ids: bool) -> Self {
        self.rules = if random_ids { Rules::Known } else { Rules::Random };
        self
    }

    /// Takes every credential that people and gateways name for a secret, if `raw`, but for JWTs and
    /// fingerprints: no source has other ids.
    #[must_use]
    pub fn with_raw_names(mut self, raw: bool) -> Self {
        self.every_name = raw;
        self
    }

    /// Whether it takes every credential of an event for a secret.
    pub const fn is_for_raw_secrets(&self) -> bool {
        self.every_credential
    }

    /// One that takes every credential of an event for a secret.
    #[must_use]
    pub fn for_raw_secrets(&self) -> Self {
        Self { every_credential: true, ..self.clone() }
    }

    /// One that knows a JWT by its fingerprint: its claims are worth nothing where it is not what the gateway
    /// asked for. [`Self::candidates`] has both names.
    #[must_use]
    pub fn without_claims(&self) -> Self {
        Self { ignores_claims: true, ..self.clone() }
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
        let raw = self.every_name && kind != Kind::Jwt && !id.is_empty() && !is_fingerprint(id);
        match self.secret_in(kind, id).or_else(|| raw.then_some(id)) {
            Some(secret) => {
                let found = self.identify(secret);
                (found.kind.unwrap_or(kind), Cow::Owned(found.id))
            }
            None => (kind, Cow::Borrowed(id)),
        }
    }

    /// The substitute for the credential that an event names, if it names it by a secret.
    pub fn replace_credential(&self, kind: Kind, id: &str) -> Option<Identified> {
        if self.every_credential && !id.is_empty() {
            return Some(self.identify(id));
        }
        self.secret_in(kind, id).map(|secret| self.identify(secret))
    }

    /// The text of a name (a tenant, a subject) with fingerprints for the secrets in it; none if it
    /// holds none.
    pub fn clean_name(&self, text: &str) -> Option<String> {
        replaced(text, self.rules, |secret| self.identify(secret).id)
    }

    /// The same of an event's id, which is random by nature: known forms alone.
    pub fn clean_event_id(&self, text: &str) -> Option<String> {
        replaced(text, Rules::Known, |secret| self.identify(secret).id)
    }

    /// The same of what people and clients write: a reason, a user agent, a path.
    pub fn clean_text(&self, text: &str) -> Option<String> {
        without_secrets(text, |secret| self.identify(secret).id)
    }

    /// The secret by which a credential is named. A `jti` is random by nature, and no secret.
    fn secret_in<'a>(&self, kind: Kind, id: &'a str) -> Option<&'a str> {
        if id.len() < SECRET_BYTES_MIN {
            return None;
        }
        let rules = if kind == Kind::Jwt { Rules::Known } else { self.rules };
        let found = scan::find(id, 0, rules).and_then(|found| id.get(found));
        let core = bare(id);
        if is_token_with_spaces(core) {
            return Some(core);
        }
        let Some(found) = found else {
            let hidden = core.len() < id.len() && scan::find(core, 0, rules).is_some();
            return hidden.then_some(core);
        };
        // All of it where nothing but its introduction stands before it: gateways present all of it.
        let is_core = core.starts_with(found) && !core.contains(char::is_whitespace);
        Some(if is_core { core } else { found })
    }

    /// `fp_` and 32 hexadecimal digits: the first half of HMAC-SHA256 (RFC 2104).
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose_secret()) else {
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

    /// The substitute for a secret: a JWT by its `jti`, anything else by its fingerprint, whatever it
    /// looks like. The JWT's signature is not looked at: the gateway has done that, or refuses the
    /// request anyway.
    pub fn identify(&self, secret: &str) -> Identified {
        let secret = bare(secret);
        let token = without_spaces(secret);
        if is_jwt(&token) {
            let claims = if self.ignores_claims { Claims::default() } else { jwt::claims(&token) };
            return self.of_claims(&token, claims);
        }
        let id = self.fingerprint(one_spelling(&token).unwrap_or(Cow::Borrowed(secret)).as_bytes());
        Identified { kind: None, id, subject: None, issuer: None, issued: None, expires: None }
    }

    /// All that a secret presented by a caller may be known as. Services differ in what they read
    /// from it, and events in how they name it: a gateway's question is about each.
    pub fn candidates(&self, secret: &str) -> Candidates {
        let (shown, token) = (secret, without_spaces(bare(secret)));
        let main = self.identify(secret);
        let mut found = Candidates { ids: vec![main.id.clone()], main, is_cut: false };
        if is_jwt(&token) {
            let claims = jwt::claims(&token);
            found.is_cut = claims.is_cut;
            for id in claims.ids.iter().chain(&claims.lenient_ids) {
                let (_, name) = self.named_as_id(id);
                found.add(name);
                found.add(id.as_str());
                // As a source names it that sends secrets alone.
                found.add(self.fingerprint(id.as_bytes()));
                // As it is named by an order about a session, or another kind.
                if let Some(secret) = self.secret_in(Kind::Session, id) {
                    found.add(self.identify(secret).id);
                }
            }
            found.add(self.fingerprint(signed_part(&token).as_bytes()));
        }
        found.add(self.fingerprint(bare(secret).as_bytes()));
        found.add(self.fingerprint(shown.as_bytes()));
        let (_, name) = self.named(shown);
        found.add(name);
        found.add(shown);
        found
    }

    fn named_as_id<'a>(&self, id: &'a str) -> (Kind, Cow<'a, str>) {
        match self.secret_in(Kind::Jwt, id) {
            Some(secret) => (Kind::Jwt, Cow::Owned(self.identify(secret).id)),
            None => (Kind::Jwt, Cow::Borrowed(id)),
        }
    }

    fn of_claims(&self, token: &str, claims: Claims) -> Identified {
        // Of two, the last: so do the readers of nearly all services.
        let id = claims.ids.iter().rev().map(|id| self.named_as_id(id).1);
        let id = id.into_iter().find(|id| check_id(id).is_ok()).map(Cow::into_owned);
        // An address of a realm looks random at times, a secret never names an issuer.
        let name = |text: Option<String>, rules| {
            text.filter(|name| check_id(name).is_ok() && scan::find(name, 0, rules).is_none())
        };
        Identified {
            kind: Some(Kind::Jwt),
            id: id.unwrap_or_else(|| self.fingerprint(signed_part(token).as_bytes())),
            subject: name(claims.subject, self.rules),
            issuer: name(claims.issuer, Rules::Known),
            issued: claims.issued.and_then(numeric_date),
            expires: claims.expires.and_then(numeric_date),
        }
    }
}

/// A `NumericDate` of RFC 7519, up to the year 2099.
fn numeric_date(seconds: f64) -> Option<EventTime> {
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the filter")]
    (0.0..4.1e9).contains(&seconds).then(|| EventTime::from_ms((seconds * 1000.0) as i64))
}

/// Whether an id is what [`Fingerprinter::fingerprint`] makes.
fn is_fingerprint(id: &str) -> bool {
    let digits = id.strip_prefix("fp_").unwrap_or("");
    digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::{EventTime, Fingerprinter, looks_like_secret};
    use crate::model::credential::Kind;
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use std::io::Write;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"ES256"}"#), part(claims), part("signature"))
    }

    fn one() -> Fingerprinter {
        Fingerprinter::new(vec![1; 32])
    }

    #[test]
    fn a_jwt_gives_its_claims() {
        let found = one().identify(&jwt(r#"{"jti":"j1","sub":"ada","exp":1795460040}"#));
        assert_eq!((found.kind, found.id.as_str()), (Some(Kind::Jwt), "j1"));
        assert_eq!(found.subject.as_deref(), Some("ada"));
        assert_eq!(found.expires.map(EventTime::ms), Some(1_795_460_040_000));
        for claims in [
            r#"{"jti":"j1","sub":7,"exp":"1795999999"}"#,
            r#"{"jti":"j1","sub":["a","b"],"exp":"1.7e9"}"#,
            r#"{"jti":"j0","jti":"j1"}"#,
        ] {
            assert_eq!(one().identify(&jwt(claims)).id, "j1", "{claims}");
        }
    }

    #[test]
    fn a_jwt_without_a_usable_jti_gives_a_fingerprint() {
        for claims in
            ["{}", r#"{"jti":""}"#, r#"{"jti":7}"#, "not json", r#"{"jti":"ghp_0123456789abcdef"}"#]
        {
            let found = one().identify(&jwt(claims));
            assert!(found.id.starts_with("fp_") && found.kind == Some(Kind::Jwt), "{claims}");
        }
        let candidates = one().candidates(&jwt(r#"{"jti":7}"#));
        assert!(candidates.ids.iter().any(|id| id == "7"), "{candidates:?}");
    }

    #[test]
    fn another_spelling_of_a_token_is_the_same_token() {
        let one = one();
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
        let (one, two) = (one(), Fingerprinter::new(vec![2; 32]));
        let found = one.identify("sk-abcdefghijklmnop");
        assert_eq!(found, one.identify("Bearer sk-abcdefghijklmnop"));
        assert_ne!(found, two.identify("sk-abcdefghijklmnop"));
        assert_eq!(found.id.len(), 35);
        assert_eq!(format!("{one:?}"), "Fingerprinter(..)");
    }

    #[test]
    fn a_token_with_more_than_can_be_told_apart_is_said_to_be_cut() {
        let ids: String =
            (0..20).map(|n| n.to_string()).map(|n| ["\"jti\":\"", &n, "\","].concat()).collect();
        assert!(one().candidates(&jwt(&format!("{{{ids}\"x\":1}}"))).is_cut);
        assert!(!one().candidates(&jwt(r#"{"jti":"a","jti":"b"}"#)).is_cut);
    }

    /// How the parts of a token are written: base64 of either alphabet, padded or not.
    fn written(text: &[u8], padded: bool, spaced: bool) -> String {
        let text = if padded { STANDARD.encode(text) } else { URL_SAFE_NO_PAD.encode(text) };
        if spaced { text.replace('J', "J ") } else { text }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is the time that is tested")]
    fn the_cost_of_a_token_grows_with_its_length_alone() {
        let begun = std::time::Instant::now();
        for unit in
            ["\"\":1", "\"jti\":1", "\"\":[1", "\"a\" ", "\"\":\"", "{", "\\", "\"jti\":[[", " "]
        {
            let claims = format!("{{{}", unit.repeat((1 << 18) / unit.len()));
            let mut packed =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            packed.write_all(claims.as_bytes()).expect("writes");
            let packed = packed.finish().expect("packs");
            for payload in [claims.as_bytes(), &packed] {
                let token = format!(
                    "{}.{}.x",
                    written(br#"{"alg":"ES256"}"#, false, false),
                    written(payload, false, false)
                );
                assert!(!one().candidates(&token).main.id.is_empty());
            }
        }
        // Milliseconds each; a reader that is quadratic takes minutes.
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }

    proptest! {
        /// However a service reads the `jti` of a token, that reading is asked for.
        #[test]
        fn a_revoked_jti_is_found_in_every_spelling_of_a_token(
            jti in "[a-zA-Z0-9:._/+=-]{1,60}|[0-9a-f]{32}|[A-Za-z0-9_-]{43}",
            other in "[a-z]{1,8}",
            way in 0..12_usize,
            packing in 0..8_usize,
            (padded, spaced) in any::<(bool, bool)>(),
            header in "[ \t\r\n]{0,3}",
            fill in 0..16_usize,
        ) {
            let quoted = serde_json::to_string(&jti).expect("JSON");
            let escaped: Vec<String> = jti.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
            let escaped = escaped.concat();
            let number: u32 = jti.bytes().map(u32::from).sum();
            let (claims, jti) = match way {
                0 => (format!("\"jti\":{quoted},\"sub\":7,\"exp\":\"x\""), jti),
                1 => (format!("\"jti\":{quoted},\"jti\":\"{other}\""), jti),
                2 => (format!("\"jti\":\"{other}\",\"jti\":{quoted}"), jti),
                3 => (format!("\"JTI\":{quoted},\"jti\":7"), jti),
                4 => (format!("\"\\u006ati\" : \"{escaped}\""), jti),
                5 => (format!("\"jti\":[{quoted}]"), jti),
                6 => (format!("\"jti\":{number}"), number.to_string()),
                7 => (format!("\"jti\":{number}.0"), number.to_string()),
                8 => (format!("\"x\":NaN,\"y\":\"\\ud800\",\"jti\":{quoted}"), jti),
                9 => (format!("\"x\":{{\"jti\":\"{other}\"}},\"jti\":{quoted}"), jti),
                10 => (format!("\"aud\":[\"{other}\",[]],\"jti\":{quoted},\"jti\":null"), jti),
                _ => (format!("\"sub\":[1],\"exp\":1e99,\"jti\":{quoted}"), jti),
            };
            let filler = "a".repeat(match fill {
                // Packed claims are read up to 64 KiB.
                0 | 1 if packing == 1 => 40_000,
                0 => 100_000,
                1 => 20_000,
                _ => 0,
            });
            let claims = format!("{header}{{\"f\":\"{filler}\",{claims}}}");
            let token_of = |claims: &[u8]| format!(
                "{}.{}.{}",
                written(format!("{header}{{\"alg\":\"ES256\"}}").as_bytes(), padded, spaced),
                written(claims, padded, spaced),
                written(b"signature", padded, false),
            );
            let token = match packing {
                0 => token_of(token_of(claims.as_bytes()).as_bytes()),
                1 => {
                    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
                    packed.write_all(claims.as_bytes()).expect("writes");
                    token_of(&packed.finish().expect("packs"))
                }
                2 => token_of(&claims.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()),
                _ => token_of(claims.as_bytes()),
            };
            let found = one().candidates(&token);
            prop_assert!(!found.is_cut && found.ids.contains(&jti), "{jti}: {:?}", found.ids);
            prop_assert_eq!(found.main.kind, Some(Kind::Jwt));
            // Never kept either: an event that names it so is known by something else.
            let (_, name) = one().named(&token);
            prop_assert!(name != token && found.ids.iter().any(|id| *id == name));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            looks_like_secret(&text);
            one().clean_text(&text);
            let found = one().candidates(&text);
            prop_assert!(!found.main.id.is_empty());
        }

        #[test]
        fn what_was_cleaned_is_clean(before in "[ -~]{0,30}", after in "[ -~]{0,30}") {
            let text = format!("{before} ghp_PLANTED0123456789abcdef0123456789 {after}");
            let clean = one().clean_text(&text).expect("a secret");
            prop_assert!(!clean.contains("PLANTED"), "{clean}");
        }
    }
}
