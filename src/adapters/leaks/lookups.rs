//! Places that know whose a secret is: the operator's Redis, and a service of theirs.

use crate::adapters::egress::Egress;
use crate::adapters::redis_connection::{Link, ServerAddress, ServerAddressError};
use crate::adapters::target::Target;
use crate::formats::leaks::hash::hex;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Credential;
use redis::RedisError;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The placeholder of the secret's SHA-256, in hexadecimal.
const SHA256: &str = "{sha256}";
/// The placeholder of the secret's fingerprint.
const FINGERPRINT: &str = "{fingerprint}";

/// A look-up could not be made, and may be made later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupFailed;

/// The key under which Redis has a credential's name: text with `{sha256}` or `{fingerprint}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate(String);

/// The text is no template of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has {SHA256} or {FINGERPRINT} in it, and no other braces")]
pub struct NoKeyTemplate;

impl KeyTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// When it names no secret, or has other braces.
    pub fn parse(text: &str) -> Result<Self, NoKeyTemplate> {
        let rest = text.replace(SHA256, "").replace(FINGERPRINT, "");
        let is_good = rest.len() < text.len() && !rest.contains(['{', '}']);
        if is_good { Ok(Self(text.to_owned())) } else { Err(NoKeyTemplate) }
    }

    /// Whether only the whole secret has that key: the fingerprint of a JWT is without its signature.
    fn is_of_whole(&self) -> bool {
        self.0.contains(SHA256)
    }

    fn fill(&self, fingerprints: &Fingerprinter, secret: &str) -> String {
        let fingerprint = fingerprints.without_claims().identify(secret).id;
        self.0.replace(SHA256, &hex(&Sha256::digest(secret))).replace(FINGERPRINT, &fingerprint)
    }
}

/// A Redis that has the name of a credential under a hash of its secret.
#[derive(Clone, Debug)]
pub struct RedisLookup {
    /// Where it is.
    pub place: ServerAddress,
    /// The key.
    pub key: KeyTemplate,
}

/// A service that is sent `{"token": …}`, and answers `{"credential": "kind:id"}` or 404.
#[derive(Clone, Debug)]
pub struct HttpLookup {
    /// Where it is.
    pub url: Target,
    /// The bearer token that it is shown, if it wants one.
    pub token: Option<SecretString>,
}

/// The Redis, connected to when it is first needed.
pub(super) struct RedisNames {
    link: Link,
    key: KeyTemplate,
    fingerprints: Arc<Fingerprinter>,
}

impl RedisNames {
    pub(super) fn new(
        params: &RedisLookup,
        fingerprints: &Arc<Fingerprinter>,
    ) -> Result<Self, ServerAddressError> {
        let link = Link::new(&params.place)?;
        Ok(Self { link, key: params.key.clone(), fingerprints: Arc::clone(fingerprints) })
    }

    /// Whether a name that it has is proof of the whole secret.
    pub(super) fn is_of_whole(&self) -> bool {
        self.key.is_of_whole()
    }

    /// The credential of a secret, if it knows one.
    pub(super) async fn find(&self, secret: &str) -> Result<Option<Credential>, LookupFailed> {
        let key = self.key.fill(&self.fingerprints, secret);
        let value = self.get(&key).await.map_err(|error| {
            tracing::warn!(%error, "Redis can't say whose a reported secret is");
            LookupFailed
        })?;
        let text = value.map(|value| String::from_utf8(value).unwrap_or_default());
        Ok(text.and_then(|text| named(&self.fingerprints, text.trim())))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RedisError> {
        let (mut live, number) = self.link.connection().await?;
        let answer = redis::Cmd::get(key).query_async(&mut live).await;
        if let Err(error) = &answer {
            self.link.record(error, number).await;
        }
        answer
    }
}

/// The service.
pub(super) struct HttpNames {
    params: HttpLookup,
    egress: Egress,
    fingerprints: Arc<Fingerprinter>,
}

impl HttpNames {
    pub(super) fn new(
        params: HttpLookup,
        egress: Egress,
        fingerprints: &Arc<Fingerprinter>,
    ) -> Self {
        Self { params, egress, fingerprints: Arc::clone(fingerprints) }
    }

    /// The credential of a secret, if it knows one.
    pub(super) async fn find(&self, secret: &str) -> Result<Option<Credential>, LookupFailed> {
        let body = json!({ "token": secret }).to_string().into_bytes();
        let answer = self.egress.post(&self.params.url, self.headers(), body).await;
        let answer = answer.map_err(|error| {
            tracing::warn!(%error, "the resolver can't say whose a reported secret is");
            LookupFailed
        })?;
        if answer.status == 404 {
            return Ok(None);
        }
        // Whatever else is in the answer, tripline has from events.
        let value: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let name = value.as_ref().and_then(|value| value.get("credential")?.as_str());
        if let Some(name) = name.filter(|_| answer.is_success()) {
            return Ok(named(&self.fingerprints, name));
        }
        tracing::warn!(
            status = answer.status, resolver = %self.params.url,
            "the resolver's answer is none: 200 with a credential, or 404"
        );
        Err(LookupFailed)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let bearer = self.params.token.as_ref().map(SecretString::expose_secret);
        let bearer = bearer.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        if let Some(mut bearer) = bearer {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        headers
    }
}

/// The credential of that name; a secret in its place is not kept.
fn named(fingerprints: &Fingerprinter, name: &str) -> Option<Credential> {
    let named = fingerprints.credential(name);
    if named.is_err() {
        tracing::warn!("the name given for a reported secret is none: expected kind:id");
    }
    named.ok()
}

#[cfg(test)]
mod tests {
    use super::{KeyTemplate, NoKeyTemplate};
    use crate::formats::secrets::secret::Fingerprinter;

    #[test]
    fn a_key_names_a_secret_by_a_hash() {
        let fingerprints = Fingerprinter::new(vec![1; 32]);
        let fill = |text: &str| KeyTemplate::parse(text).map(|key| key.fill(&fingerprints, "abc"));
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(fill("token:{sha256}"), Ok(format!("token:{hash}")));
        let fingerprint = fingerprints.fingerprint(b"abc");
        assert_eq!(fill("{fingerprint}:id"), Ok(format!("{fingerprint}:id")));
        for wrong in ["", "token", "token:{id}", "{sha256}{", "{{sha256}}"] {
            assert_eq!(fill(wrong), Err(NoKeyTemplate), "{wrong}");
        }
    }
}
