//! Security Event Tokens: signed statements that a credential is no good any more.
//!
//! Source: RFC 8417 (the token), RFC 7515 and 7518 (its signature: ES256), CAEP 1.0
//! (`session-revoked`), RISC 1.0 (`credential-compromise`), RFC 9493 (`sub_id`), RFC 7517 (the
//! public key), RFC 7638 (its name). **Does not** verify: only receivers do.

use crate::model::credential::Kind;
use crate::model::decision::Decision;
use crate::model::time::EventTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A session ended.
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
/// A credential is known to someone who should not have it.
const CREDENTIAL_COMPROMISE: &str =
    "https://schemas.openid.net/secevent/risc/event-type/credential-compromise";

/// A public key on the curve P-256, as receivers read it.
#[derive(Clone, Debug, Serialize)]
pub struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    #[serde(rename = "use")]
    used_for: &'static str,
    alg: &'static str,
    kid: String,
}

impl Jwk {
    /// The key of a point, uncompressed: 4, x, y. None where it is of another form.
    fn new(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // The members that RFC 7638 asks for, in its order: the name is that of this very text.
        let named = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(named));
        Some(Self { kty: "EC", crv: "P-256", x, y, used_for: "sig", alg: "ES256", kid })
    }
}

/// The answer of `/.well-known/jwks.json`.
#[derive(Clone, Debug, Serialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// Signs statements.
#[derive(Clone)]
pub struct Transmitter {
    issuer: String,
    audience: String,
    key: Arc<EcdsaKeyPair>,
    public: Jwk,
}

impl std::fmt::Debug for Transmitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transmitter")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// The text is no signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signing key is a private key on the curve P-256 in PEM (PKCS#8), as \
     `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes"
)]
pub struct NoKey;

impl Transmitter {
    /// Signs with the private key `pem`, as `issuer`, for `audience`.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn new(issuer: String, audience: String, pem: &[u8]) -> Result<Self, NoKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| NoKey)?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der(), &SystemRandom::new())
            .map_err(|_| NoKey)?;
        let public = Jwk::new(key.public_key().as_ref()).ok_or(NoKey)?;
        Ok(Self { issuer, audience, key: Arc::new(key), public })
    }

    /// The key with which receivers verify.
    pub fn keys(&self) -> JwkSet {
        JwkSet { keys: vec![self.public.clone()] }
    }

    /// The statement that a decision makes, signed at `now`. Its `jti` is the decision's id, so a
    /// receiver knows a repeated one. None where the key can't sign.
    pub fn sign(&self, decision: &Decision, now: EventTime) -> Option<String> {
        let header = json!({ "typ": "secevent+jwt", "alg": "ES256", "kid": self.public.kid });
        let claims = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now.ms().div_euclid(1000),
            "jti": decision.id.to_string(),
            "txn": decision.finding.map(|finding| finding.to_string()),
            "sub_id": { "format": "opaque", "id": decision.credential.id() },
            "events": event(decision),
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn event(decision: &Decision) -> serde_json::Value {
    let kind = decision.credential.kind();
    let at = decision.at.ms().div_euclid(1000);
    let initiator = if decision.by == "tripline" { "policy" } else { "admin" };
    match kind {
        Kind::Session => json!({ SESSION_REVOKED: {
            "event_timestamp": at,
            "initiating_entity": initiator,
            "reason_admin": { "en": decision.reason },
        }}),
        Kind::ApiKey | Kind::Jwt | Kind::RefreshToken | Kind::AgentToken => {
            json!({ CREDENTIAL_COMPROMISE: {
                "credential_type": kind.as_str(),
                "event_timestamp": at,
                "reason_admin": { "en": decision.reason },
            }})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Transmitter;

    #[test]
    fn what_is_no_key_is_said_without_showing_it() {
        let error = Transmitter::new(String::new(), String::new(), b"PLANTED").expect_err("no key");
        assert!(error.to_string().contains("P-256") && !format!("{error:?}").contains("PLANTED"));
    }
}
