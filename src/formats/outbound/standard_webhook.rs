//! Signatures of webhooks by the Standard Webhooks scheme: a receiver can tell who sent a message,
//! that it is whole, and that it is not an old one sent again. Made for receivers, and verified of senders.
//!
//! Source: Standard Webhooks 1.0, "Verifying webhook authenticity".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// The prefix of a secret; base64 follows.
const PREFIX: &str = "whsec_";
/// How long a secret is. Unit: bytes. Source: the scheme asks for 24 to 64.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The version of a symmetric signature, before each.
const VERSION: &str = "v1,";
/// The most signatures of a header that are looked at. Chosen: a sender that changes its key sends two.
const SIGNATURES_MAX: usize = 8;

/// The key that sender and receiver share.
#[derive(Clone)]
pub struct Signer(SecretSlice<u8>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(..)")
    }
}

/// The text is no secret of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` and base64 of 24 to 64 random bytes")]
pub struct NoSecret;

impl Signer {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// When it is none, or too short to be safe.
    pub fn parse(text: &str) -> Result<Self, NoSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NoSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| NoSecret)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(NoSecret);
        }
        Ok(Self(bytes.into()))
    }

    /// The header `webhook-signature` of the message `id`, sent at `timestamp_s` (seconds since
    /// 1970).
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let Some(mac) = self.mac(id, timestamp_s, body) else { return String::new() };
        format!("{VERSION}{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Whether one of the signatures in the header `signatures` is that of the message. Compares in constant time.
    pub fn verifies(&self, signatures: &str, id: &str, timestamp_s: i64, body: &[u8]) -> bool {
        let Some(mac) = self.mac(id, timestamp_s, body) else { return false };
        let known = signatures.split(' ').take(SIGNATURES_MAX);
        known.filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok()).any(|signature| {
            // Its comparison takes the same time wherever the two differ.
            mac.clone().verify_slice(&signature).is_ok()
        })
    }

    fn mac(&self, id: &str, timestamp_s: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
        // A key of any length is good for HMAC.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        Some(mac)
    }

    /// The headers of that message: its id, its time, its signature.
    pub fn headers(&self, id: &str, timestamp_s: i64, body: &[u8]) -> [(&'static str, String); 3] {
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp_s.to_string()),
            ("webhook-signature", self.sign(id, timestamp_s, body)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{NoSecret, Signer};

    /// Source: the test vector of the scheme's reference libraries.
    #[test]
    fn it_signs_as_the_reference_does() {
        let signer = Signer::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature =
            signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn one_good_signature_of_several_is_enough_and_a_changed_message_has_none() {
        let signer = Signer::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let good = signer.sign("m1", 7, b"{}");
        let verifies = |signatures: &str, id: &str, at: i64, body: &[u8]| {
            signer.verifies(signatures, id, at, body)
        };
        assert!(verifies(&good, "m1", 7, b"{}"));
        assert!(verifies(&format!("v1a,AAAA v1,AAAA {good}"), "m1", 7, b"{}"));
        for (signatures, id, at, body) in [
            (good.as_str(), "m2", 7, b"{}"),
            (&good, "m1", 8, b"{}"),
            (&good, "m1", 7, b"[]"),
            (good.trim_start_matches("v1,"), "m1", 7, b"{}"),
            ("", "m1", 7, b"{}"),
            ("v1,", "m1", 7, b"{}"),
            (&format!("{}{good}", "v1,AAAA ".repeat(8)), "m1", 7, b"{}"),
        ] {
            assert!(!verifies(signatures, id, at, body), "{signatures} {id} {at}");
        }
    }

    #[test]
    fn a_weak_or_foreign_secret_is_refused() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"]
        {
            assert_eq!(Signer::parse(text).err(), Some(NoSecret), "{text}");
        }
    }
}
