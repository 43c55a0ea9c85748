//! Signatures of requests between instances.
//!
//! All instances hold one fingerprint key. A request from one to another is signed by a key that follows from it,
//! over the instance and the address that are asked, the path with its query, and the time: so no token has to be set up, none is
//! sent, and a signature opens nothing else, at no other instance, and only for a while.

use crate::model::decision::InstanceId;
use crate::model::time::EventTime;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// The header of the signature.
pub const SIGNATURE: &str = "x-tripline-instance";
/// How far the clocks of two instances may be apart. Unit: milliseconds.
const SKEW_MS_MAX: i64 = 60_000;

/// The key by which instances know each other.
#[derive(Clone)]
pub struct FleetKey([u8; 32]);

impl std::fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FleetKey(..)")
    }
}

/// A question of one instance to another.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Which instance: two may have one address by mistake.
    pub instance: InstanceId,
    /// Where it is, `host:port`.
    pub authority: &'a str,
    /// The path, with its query.
    pub path: &'a str,
}

/// Why a request is not one of another instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOfFleet {
    /// The signature is none, or of another key, address or question.
    #[error(
        "the signature does not fit: all instances need the same fingerprint_key_file, and each its own \
         [fleet] url, where it is reached"
    )]
    Wrong,
    /// It is of another time.
    #[error(
        "it was signed at another time: the clocks of the two machines differ by more than a minute"
    )]
    OtherTime,
}

impl FleetKey {
    /// Follows from the fingerprint key.
    pub fn of(fingerprint_key: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"tripline fleet").chain_update(fingerprint_key);
        Self(digest.finalize().into())
    }

    /// Tells keys apart, and gives nothing of them away.
    pub fn check(&self) -> u64 {
        let digest = Sha256::new().chain_update(b"which").chain_update(self.0).finalize();
        digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    fn mac(&self, asked: Asked<'_>, at: i64) -> Option<Hmac<Sha256>> {
        let Asked { instance, authority, path } = asked;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("GET\n{instance}\n{authority}\n{path}\n{at}").as_bytes());
        Some(mac)
    }

    /// Signs a question.
    pub fn sign(&self, asked: Asked<'_>, now: EventTime) -> String {
        let mut text = format!("{}.", now.ms());
        let mac = self.mac(asked, now.ms()).map(|mac| mac.finalize().into_bytes());
        for byte in mac.iter().flatten() {
            // Writing to a string can't fail.
            let _written = write!(text, "{byte:02x}");
        }
        text
    }

    /// Whether another instance signed that at about `now`.
    ///
    /// # Errors
    /// When not.
    pub fn verify(
        &self,
        signature: &str,
        asked: Asked<'_>,
        now: EventTime,
    ) -> Result<(), NotOfFleet> {
        let (at, hex) = signature.split_once('.').ok_or(NotOfFleet::Wrong)?;
        let at: i64 = at.parse().map_err(|_| NotOfFleet::Wrong)?;
        let bytes = read_hex(hex).ok_or(NotOfFleet::Wrong)?;
        let mac = self.mac(asked, at).ok_or(NotOfFleet::Wrong)?;
        mac.verify_slice(&bytes).map_err(|_| NotOfFleet::Wrong)?;
        let is_near = now.ms().checked_sub(at).is_some_and(|ms| ms.abs() <= SKEW_MS_MAX);
        if is_near { Ok(()) } else { Err(NotOfFleet::OtherTime) }
    }
}

fn read_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Asked, FleetKey, NotOfFleet};
    use crate::model::decision::InstanceId;
    use crate::model::time::EventTime;

    const NOW: EventTime = EventTime::from_ms(1_800_000_000_000);

    #[test]
    fn a_signature_holds_for_one_instance_one_address_one_question_and_a_minute() {
        let key = FleetKey::of(&[7; 32]);
        let instance = InstanceId(7);
        let asked = Asked { instance, authority: "10.0.0.7:7878", path: "/v1/status?a=b" };
        let signed = key.sign(asked, NOW);
        assert_eq!(key.verify(&signed, asked, NOW), Ok(()));
        assert_eq!(key.verify(&signed, asked, NOW.plus_ms(60_000)), Ok(()));
        for other in [-60_001, 60_001] {
            assert_eq!(key.verify(&signed, asked, NOW.plus_ms(other)), Err(NotOfFleet::OtherTime));
        }
        for other in [
            Asked { instance: InstanceId(8), ..asked },
            Asked { authority: "10.0.0.8:7878", ..asked },
            Asked { path: "/v1/status?a=c", ..asked },
        ] {
            assert_eq!(key.verify(&signed, other, NOW), Err(NotOfFleet::Wrong));
        }
        let stranger = FleetKey::of(&[8; 32]);
        assert_eq!(stranger.verify(&signed, asked, NOW), Err(NotOfFleet::Wrong));
        assert_ne!(stranger.check(), key.check());
        assert_eq!(FleetKey::of(&[7; 32]).check(), key.check());
    }

    #[test]
    fn nonsense_is_no_signature() {
        let key = FleetKey::of(&[7; 32]);
        let asked = Asked { instance: InstanceId(7), authority: "a:1", path: "/" };
        let later = format!("{}.{}", i64::MIN, "0".repeat(64));
        for text in ["", ".", "1.", "x.00", "1.é", &format!("1.{}é", "0".repeat(62)), &later] {
            assert_eq!(key.verify(text, asked, NOW), Err(NotOfFleet::Wrong), "{text}");
        }
    }
}
