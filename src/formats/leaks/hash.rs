//! The id that the operator's own schema has for a secret: a hash, as it is stored with the credential.

use crate::model::credential::{Credential, Kind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256, Sha512};

/// The least bits of a hash without a key that is proof. Chosen: to find another secret of the same hash takes
/// 2^80 tries.
const PROOF_BITS_MIN: usize = 80;

/// How a secret is hashed.
#[derive(Clone, Debug)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// HMAC-SHA256 with a key.
    HmacSha256(SecretSlice<u8>),
}

/// How a hash is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower case hexadecimal.
    Hex,
    /// Base64 without padding.
    Base64,
    /// Base64 of the alphabet for URLs, without padding.
    Base64Url,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 3] = [Self::Hex, Self::Base64, Self::Base64Url];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
        }
    }

    const fn bits_per_char(self) -> usize {
        match self {
            Self::Hex => 4,
            Self::Base64 | Self::Base64Url => 6,
        }
    }
}

/// The rule by which a secret has its id: `prefix`, then the beginning of its encoded hash.
#[derive(Clone, Debug)]
pub struct HashRule {
    /// How it is hashed.
    pub algorithm: Algorithm,
    /// How the hash is written.
    pub encoding: Encoding,
    /// Text before the hash.
    pub prefix: String,
    /// How much of the hash is kept. Unit: characters.
    pub length: usize,
    /// The kind of credential that has such ids.
    pub kind: Kind,
}

impl HashRule {
    /// The credential of that secret; none where the rule makes no id.
    pub fn credential(&self, secret: &str) -> Option<Credential> {
        let secret = secret.as_bytes();
        let hash = match &self.algorithm {
            Algorithm::Sha256 => Sha256::digest(secret).to_vec(),
            Algorithm::Sha512 => Sha512::digest(secret).to_vec(),
            Algorithm::HmacSha256(key) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).ok()?;
                mac.update(secret);
                mac.finalize().into_bytes().to_vec()
            }
        };
        let encoded = match self.encoding {
            Encoding::Hex => hex(&hash),
            Encoding::Base64 => STANDARD_NO_PAD.encode(hash),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(hash),
        };
        let kept = encoded.get(..self.length.min(encoded.len()))?;
        Credential::new(self.kind, &format!("{}{kept}", self.prefix)).ok()
    }

    /// Whether no one can make up another secret with the same id: the hash has a key, or enough bits are kept.
    pub const fn is_proof(&self) -> bool {
        matches!(self.algorithm, Algorithm::HmacSha256(_))
            || self.length * self.encoding.bits_per_char() >= PROOF_BITS_MIN
    }
}

/// Lower case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')).collect()
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Encoding, HashRule};
    use crate::model::credential::Kind;

    fn id(algorithm: Algorithm, encoding: Encoding, length: usize) -> String {
        let prefix = "tok_".to_owned();
        let rule = HashRule { algorithm, encoding, prefix, length, kind: Kind::Session };
        rule.credential("abc").expect("a credential").to_string()
    }

    /// Source: FIPS 180-4, the examples of "abc"; `openssl dgst -sha256 -hmac key`.
    #[test]
    fn ids_are_the_beginning_of_known_hashes() {
        for (algorithm, encoding, length, expected) in [
            (Algorithm::Sha256, Encoding::Hex, 16, "session:tok_ba7816bf8f01cfea"),
            (Algorithm::Sha512, Encoding::Hex, 16, "session:tok_ddaf35a193617aba"),
            (
                Algorithm::Sha256,
                Encoding::Base64,
                128,
                "session:tok_ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0",
            ),
            (Algorithm::Sha256, Encoding::Base64Url, 9, "session:tok_ungWv48Bz"),
            (
                Algorithm::HmacSha256(b"key".to_vec().into()),
                Encoding::Hex,
                16,
                "session:tok_9c196e32dc0175f8",
            ),
        ] {
            assert_eq!(id(algorithm, encoding, length), expected);
        }
    }

    #[test]
    fn a_short_hash_is_proof_only_with_a_key() {
        let rule = |algorithm, encoding, length| HashRule {
            algorithm,
            encoding,
            prefix: String::new(),
            length,
            kind: Kind::ApiKey,
        };
        assert!(!rule(Algorithm::Sha256, Encoding::Hex, 19).is_proof());
        assert!(rule(Algorithm::Sha256, Encoding::Hex, 20).is_proof());
        assert!(rule(Algorithm::Sha512, Encoding::Base64Url, 14).is_proof());
        assert!(rule(Algorithm::HmacSha256(vec![1; 32].into()), Encoding::Hex, 8).is_proof());
    }
}
