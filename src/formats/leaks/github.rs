//! GitHub's secret scanning for partners: signed reports of tokens, and the answer about each.
//!
//! The signature is over the body as it was sent, so it is verified before anything is parsed.
//!
//! Source: GitHub Docs, "Secret scanning partner program". The encoding of `token_hash` is not said there;
//! hexadecimal is what other partners send.

use super::hash::hex;
use super::report::{Fields, LeakReport, ReportError, elements};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// The most keys of a list. Chosen: GitHub has one or two.
const KEYS_MAX: usize = 100;
/// The longest identifier of a key. Unit: bytes. Source: they are SHA-256 in hexadecimal.
const IDENTIFIER_BYTES_MAX: usize = 128;
/// The longest signature. Unit: characters. Source: base64 of 72 bytes has 96.
const SIGNATURE_CHARS_MAX: usize = 128;
/// The head of a `SubjectPublicKeyInfo` with an uncompressed point of P-256. Source: RFC 5480.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The length of an uncompressed point. Unit: bytes.
const POINT_BYTES: usize = 65;

/// Whether a text can be the identifier of a key.
pub fn is_identifier(text: &str) -> bool {
    (1..=IDENTIFIER_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A public key of GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

/// The text is no public key on the curve P-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no list of public keys on the curve P-256")]
pub struct NoKeys;

impl PublicKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// When it is none, or one of another curve.
    pub fn parse(pem: &str) -> Result<Self, NoKeys> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| NoKeys)?;
        let point = der.strip_prefix(&SPKI_HEAD).filter(|point| point.len() == POINT_BYTES);
        point.map(|point| Self(point.to_vec())).ok_or(NoKeys)
    }

    /// Whether `signature`, a header, is that of `body`.
    pub fn verifies(&self, signature: &str, body: &[u8]) -> bool {
        if signature.len() > SIGNATURE_CHARS_MAX {
            return false;
        }
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(body, &signature).is_ok()
    }
}

/// GitHub's list of keys, as it is sent.
#[derive(Deserialize)]
struct KeyList {
    public_keys: Vec<ListedKey>,
}

#[derive(Deserialize)]
struct ListedKey {
    key_identifier: String,
    key: String,
}

/// Reads the list of keys: identifiers and keys. A key of a form that is not known is left out; earlier keys
/// (`is_current: false`) sign reports that are sent again.
///
/// # Errors
/// When it is no such list, or holds no key.
pub fn public_keys(list: &[u8]) -> Result<Vec<(String, PublicKey)>, NoKeys> {
    let list: KeyList = serde_json::from_slice(list).map_err(|_| NoKeys)?;
    let listed = list.public_keys.into_iter().take(KEYS_MAX);
    let listed = listed.filter(|listed| is_identifier(&listed.key_identifier));
    let keys: Vec<_> = listed
        .filter_map(|listed| Some((listed.key_identifier, PublicKey::parse(&listed.key).ok()?)))
        .collect();
    if keys.is_empty() { Err(NoKeys) } else { Ok(keys) }
}

/// A token with the type that GitHub knows it by.
#[derive(Debug)]
pub struct GithubReport {
    report: LeakReport,
    /// The type as it was sent, for the answer.
    token_type: String,
}

/// Reads a body whose signature was verified.
///
/// # Errors
/// When it is no array of reports.
pub fn parse(body: &[u8]) -> Result<Vec<GithubReport>, ReportError> {
    let read = |element: &serde_json::Value| {
        let fields = Fields::of(element)?;
        let token_type = fields.text("type")?.to_owned();
        let token = fields.text("token")?.to_owned();
        let (place, source) = (fields.text("url")?, fields.text("source")?);
        let report = LeakReport::new(token, place, &token_type, source)?;
        Ok(GithubReport { report, token_type })
    };
    elements(body)?.iter().map(read).collect()
}

/// The answer about a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LeakFeedback)]
pub struct Feedback {
    /// SHA-256 of the token, in hexadecimal.
    pub token_hash: String,
    /// The type, as it was sent.
    pub token_type: String,
    /// `true_positive`: the token is that of a known credential; `false_positive`: it is none.
    pub label: &'static str,
}

/// The part of the answer that is known before its label.
#[derive(Clone, Debug)]
pub struct Unlabelled {
    token_hash: String,
    token_type: String,
}

impl GithubReport {
    /// The part of the answer that needs the token, and the report.
    pub fn split(self) -> (Unlabelled, LeakReport) {
        let token_hash = hex(&Sha256::digest(self.report.exposed()));
        (Unlabelled { token_hash, token_type: self.token_type }, self.report)
    }
}

impl Unlabelled {
    /// The answer.
    pub fn label(self, is_known: bool) -> Feedback {
        let label = if is_known { "true_positive" } else { "false_positive" };
        Feedback { token_hash: self.token_hash, token_type: self.token_type, label }
    }
}

#[cfg(test)]
mod tests {
    use super::{PublicKey, SIGNATURE_CHARS_MAX, parse, public_keys};
    use crate::formats::leaks::report::ReportError;

    // Source: the sample of GitHub's documentation, and the key that its API has for it.
    const BODY: &str = r#"[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]"#;
    const SIGNATURE: &str = "MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==";
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\nAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n";

    fn key() -> PublicKey {
        PublicKey::parse(PEM).expect("a key")
    }

    #[test]
    fn the_documented_sample_verifies_and_with_any_one_byte_changed_it_does_not() {
        let key = key();
        assert!(key.verifies(SIGNATURE, BODY.as_bytes()));
        for at in 0..BODY.len() {
            let mut body = BODY.as_bytes().to_vec();
            body[at] ^= 1;
            assert!(!key.verifies(SIGNATURE, &body), "byte {at} of the body");
        }
        for at in 0..SIGNATURE.len() {
            let mut signature = SIGNATURE.as_bytes().to_vec();
            signature[at] = if signature[at] == b'A' { b'B' } else { b'A' };
            let signature = String::from_utf8(signature).expect("ASCII");
            assert!(!key.verifies(&signature, BODY.as_bytes()), "byte {at} of the signature");
        }
    }

    #[test]
    fn the_same_report_written_in_another_way_does_not_verify() {
        let value: serde_json::Value = serde_json::from_str(BODY).expect("JSON");
        for other in [
            serde_json::to_string_pretty(&value).expect("JSON"),
            format!("{BODY}\n"),
            BODY.replace("some_token", "some\\u005ftoken"),
        ] {
            assert!(!key().verifies(SIGNATURE, other.as_bytes()), "{other}");
        }
        for signature in ["", "MEQ", "é", &"A".repeat(SIGNATURE_CHARS_MAX + 4)] {
            assert!(!key().verifies(signature, BODY.as_bytes()), "{signature}");
        }
    }

    #[test]
    fn a_list_of_keys_is_read_past_keys_of_other_forms() {
        let list = |keys: serde_json::Value| {
            public_keys(serde_json::json!({ "public_keys": keys }).to_string().as_bytes())
        };
        let entry = |id: &str, key: &str| serde_json::json!({ "key_identifier": id, "key": key, "is_current": false, "x": 1 });
        let read = list(serde_json::json!([entry("new", "rsa"), entry("bcb5", PEM)]));
        assert_eq!(read.expect("keys"), [("bcb5".to_owned(), key())]);
        assert!(list(serde_json::json!([])).is_err());
        assert!(list(serde_json::json!([entry("a b", PEM)])).is_err());
        assert!(public_keys(b"[]").is_err());
    }

    #[test]
    fn reports_are_read_whatever_the_case_of_keys_and_whatever_else_is_in_them() {
        let body = r#"[{"Token":"t1","TYPE":"a","source":"Some_new_source","more":[1]},
                       {"token":"t2","type":"b","url":"","source":null}]"#;
        let read = parse(body.as_bytes()).expect("reports");
        assert_eq!(read.len(), 2);
        assert_eq!((&*read[0].report.kind, &*read[0].report.source), ("a", "Some_new_source"));
        assert_eq!(read[1].report.place, None);
        let fault = |body: &str| parse(body.as_bytes()).err();
        assert_eq!(fault("[{}]"), Some(ReportError::Secret));
        assert_eq!(fault(r#"[{"token":7}]"#), Some(ReportError::Form));
        assert_eq!(fault(r#"{"token":"t"}"#), Some(ReportError::Form));
        let many = vec![r#"{"token":"t"}"#; 1_001].join(",");
        assert_eq!(fault(&format!("[{many}]")), Some(ReportError::TooMany));
    }

    #[test]
    fn the_answer_names_a_token_by_its_hash() {
        let read = parse(BODY.as_bytes()).expect("reports").remove(0);
        let (unlabelled, _) = read.split();
        let answer = serde_json::to_value(unlabelled.clone().label(true)).expect("JSON");
        assert_eq!(
            answer,
            serde_json::json!({
                "token_hash": "9a45520a1213f15016d2d768b5fb3d904492a44ee274b44d4de8803e00fb536a",
                "token_type": "some_type",
                "label": "true_positive",
            })
        );
        assert_eq!(unlabelled.label(false).label, "false_positive");
    }
}
