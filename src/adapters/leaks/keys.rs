//! GitHub's public keys: fetched when they are needed, kept, and asked for again by version.
//!
//! Anyone can send a report with an identifier that no key has. So the list is fetched once a minute at most,
//! however many come; the genuine report of a new key waits as long, and is sent again.

use crate::adapters::egress::Egress;
use crate::adapters::target::Target;
use crate::formats::leaks::github::{PublicKey, public_keys};
use parking_lot::RwLock;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, IF_NONE_MATCH};
use tokio::sync::Mutex;

/// The least time between two fetches. Unit: milliseconds. Chosen.
const FETCH_EVERY_MS: i64 = 60_000;
/// How long a list is used before it is asked for again. Unit: milliseconds. Chosen: an hour, so that a key that
/// GitHub takes back is not trusted for long.
const FRESH_MS: i64 = 3_600_000;
/// How long a list is used when no other can be had. Unit: milliseconds. Chosen: a day.
const STALE_MS: i64 = 86_400_000;

/// Where the keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// GitHub, or a mirror of it.
    Url(Target),
    /// A file, which was read: no other keys are good.
    File(Vec<(String, PublicKey)>),
}

/// The result of looking for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFound {
    /// The key.
    Key(PublicKey),
    /// No key has that identifier.
    Unknown,
    /// That can't be said now.
    Unavailable,
}

#[derive(Debug, Default)]
struct KeyList {
    keys: Vec<(String, PublicKey)>,
    version: Option<HeaderValue>,
    /// When it was last known to be the newest; none: never.
    at_ms: Option<i64>,
}

/// The keys of GitHub.
#[derive(Debug)]
pub struct GithubKeys {
    /// Where to fetch them; none: those of the file are all.
    url: Option<(Target, Egress)>,
    list: RwLock<KeyList>,
    /// When the last fetch was tried. Held during a fetch, so that there is one at a time.
    tried_ms: Mutex<Option<i64>>,
}

impl GithubKeys {
    /// Knows the keys of a file, or none yet; nothing is fetched.
    pub fn new(source: KeySource, egress: Egress) -> Self {
        let (url, keys) = match source {
            KeySource::Url(url) => (Some((url, egress)), Vec::new()),
            KeySource::File(keys) => (None, keys),
        };
        let list = RwLock::new(KeyList { keys, ..KeyList::default() });
        Self { url, list, tried_ms: Mutex::new(None) }
    }

    /// The key of that identifier, at `now_ms`, a time that never steps back.
    pub async fn find(&self, identifier: &str, now_ms: i64) -> KeyFound {
        let Some((url, egress)) = &self.url else {
            return self
                .held(identifier, now_ms, i64::MAX)
                .map_or(KeyFound::Unknown, KeyFound::Key);
        };
        if let Some(key) = self.held(identifier, now_ms, FRESH_MS) {
            return KeyFound::Key(key);
        }
        let is_newest = self.refresh((url, egress), now_ms).await;
        match self.held(identifier, now_ms, STALE_MS) {
            Some(key) => KeyFound::Key(key),
            None if is_newest => KeyFound::Unknown,
            None => KeyFound::Unavailable,
        }
    }

    /// The key of that identifier, if the list is not older than that.
    fn held(&self, identifier: &str, now_ms: i64, age_ms_max: i64) -> Option<PublicKey> {
        let list = self.list.read();
        let age_ms = list.at_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
        let found = list.keys.iter().find(|(known, _)| known == identifier);
        found.filter(|_| age_ms <= age_ms_max).map(|(_, key)| key.clone())
    }

    /// Fetches the list, if that may be; returns whether it is the newest.
    async fn refresh(&self, from: (&Target, &Egress), now_ms: i64) -> bool {
        let mut tried_ms = self.tried_ms.lock().await;
        if self.list.read().at_ms.is_some_and(|at_ms| at_ms >= now_ms) {
            return true;
        }
        if tried_ms.is_some_and(|tried| now_ms.saturating_sub(tried) < FETCH_EVERY_MS) {
            return false;
        }
        *tried_ms = Some(now_ms);
        self.fetch(from, now_ms).await
    }

    async fn fetch(&self, (url, egress): (&Target, &Egress), now_ms: i64) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(version) = self.list.read().version.clone() {
            headers.insert(IF_NONE_MATCH, version);
        }
        let answer = match egress.get(url, headers).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "can't fetch the keys of GitHub; its reports wait");
                return false;
            }
        };
        if answer.status == 304 {
            self.list.write().at_ms = Some(now_ms);
            return true;
        }
        match public_keys(&answer.body) {
            Ok(keys) if answer.is_success() => {
                *self.list.write() = KeyList { keys, version: answer.version, at_ms: Some(now_ms) };
                true
            }
            Ok(_) | Err(_) => {
                tracing::warn!(
                    status = answer.status, server = %url,
                    "the keys of GitHub can't be read; its reports wait"
                );
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FETCH_EVERY_MS, FRESH_MS, GithubKeys, KeyFound, KeySource, STALE_MS};
    use crate::adapters::egress::{Egress, Params};
    use crate::adapters::target::Target;
    use axum::http::{HeaderMap, StatusCode};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    const LIST: &str = r#"{"public_keys":[{"key_identifier":"k1","is_current":true,"key":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\nAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n"}]}"#;

    #[derive(Default)]
    struct Server {
        requests: AtomicUsize,
        unchanged: AtomicUsize,
        fails: AtomicBool,
    }

    async fn serve() -> (Arc<Server>, GithubKeys) {
        let server = Arc::new(Server::default());
        let shared = Arc::clone(&server);
        let answer = move |headers: HeaderMap| {
            let server = Arc::clone(&shared);
            async move {
                server.requests.fetch_add(1, Ordering::Relaxed);
                let version = [("etag", "\"v1\"")];
                if server.fails.load(Ordering::Relaxed) {
                    (StatusCode::BAD_GATEWAY, version, "")
                } else if headers.get("if-none-match").is_some_and(|one| one == "\"v1\"") {
                    server.unchanged.fetch_add(1, Ordering::Relaxed);
                    (StatusCode::NOT_MODIFIED, version, "")
                } else {
                    (StatusCode::OK, version, LIST)
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let networks = vec!["127.0.0.0/8".parse().expect("a network")];
        let egress = Egress::new(&Params { networks, ..Params::default() }).expect("set up");
        let url = Target::parse(&format!("http://127.0.0.1:{port}/keys")).expect("an address");
        (server, GithubKeys::new(KeySource::Url(url), egress))
    }

    #[tokio::test]
    async fn ten_thousand_unknown_identifiers_are_one_request() {
        let (server, keys) = serve().await;
        let asked = (0..10_000).map(|n| {
            let keys = &keys;
            async move { keys.find(&format!("unknown{n}"), 1_000 + n % 50_000).await }
        });
        let found = futures_util::future::join_all(asked).await;
        assert!(!found.iter().any(|one| matches!(one, KeyFound::Key(_))));
        assert_eq!(server.requests.load(Ordering::Relaxed), 1);
        assert!(matches!(keys.find("k1", 1_500).await, KeyFound::Key(_)));
        assert_eq!(server.requests.load(Ordering::Relaxed), 1);
        let later = 11_000 + FETCH_EVERY_MS;
        assert_eq!(keys.find("unknown", later).await, KeyFound::Unknown);
        assert_eq!(keys.find("unknown", later + 1).await, KeyFound::Unavailable);
        assert_eq!(server.requests.load(Ordering::Relaxed), 2);
        assert_eq!(server.unchanged.load(Ordering::Relaxed), 1, "it was asked by version");
    }

    #[tokio::test]
    async fn a_list_is_used_for_a_day_while_no_other_can_be_had() {
        let (server, keys) = serve().await;
        server.fails.store(true, Ordering::Relaxed);
        assert_eq!(keys.find("k1", 0).await, KeyFound::Unavailable);
        server.fails.store(false, Ordering::Relaxed);
        assert!(matches!(keys.find("k1", FETCH_EVERY_MS).await, KeyFound::Key(_)));
        server.fails.store(true, Ordering::Relaxed);
        for age in [FRESH_MS, STALE_MS] {
            let found = keys.find("k1", FETCH_EVERY_MS + age).await;
            assert!(matches!(found, KeyFound::Key(_)), "{age}");
        }
        let over = keys.find("k1", 2 * FETCH_EVERY_MS + STALE_MS + 1).await;
        assert_eq!(over, KeyFound::Unavailable);
    }
}
