//! Security Event Tokens: signed statements that a credential is no good any more.
//!
//! Source: RFC 8417 (the token), CAEP 1.0 (`session-revoked`), RISC 1.0
//! (`credential-compromise`), RFC 9493 (`sub_id`), RFC 7638 (the key's name).

use crate::model::credential::Kind;
use crate::model::decision::Decision;
use crate::model::time::EventTime;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// A session ended.
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
/// A credential is known to someone who should not have it.
const CREDENTIAL_COMPROMISE: &str =
    "https://schemas.openid.net/secevent/risc/event-type/credential-compromise";

/// Signs statements.
#[derive(Clone)]
pub struct Transmitter {
    issuer: String,
    audience: String,
    key: EncodingKey,
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
        let key = EncodingKey::from_ec_pem(pem).map_err(|_| NoKey)?;
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|_| NoKey)?;
        let name = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| NoKey)?;
        public.common.key_id = Some(name);
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { issuer, audience, key, public })
    }

    /// The key with which receivers verify.
    pub fn keys(&self) -> JwkSet {
        JwkSet { keys: vec![self.public.clone()] }
    }

    /// The statement that a decision makes, signed at `now`. Its `jti` is the decision's id, so a
    /// receiver knows a repeated one. None where the key can't sign.
    pub fn sign(&self, decision: &Decision, now: EventTime) -> Option<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("secevent+jwt".to_owned());
        header.kid.clone_from(&self.public.common.key_id);
        let claims = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now.ms().div_euclid(1000),
            "jti": decision.id.to_string(),
            "txn": decision.finding.map(|finding| finding.to_string()),
            "sub_id": { "format": "opaque", "id": decision.credential.id() },
            "events": event(decision),
        });
        jsonwebtoken::encode(&header, &claims, &self.key).ok()
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
