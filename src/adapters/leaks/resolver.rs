//! Which credentials a reported secret is.
//!
//! | way | proof |
//! |---|---|
//! | fingerprints of an opaque secret | yes: only its holder names them |
//! | the operator's hash | yes, where no one can make up another secret of that hash |
//! | Redis, the resolver | yes: the operator knows the secret |
//! | claims of a JWT | no: anyone can write them |
//!
//! **Invariant.** Names with and without proof are never in one leak: a made-up JWT must not borrow the proof of
//! another name.

use super::lookups::{HttpNames, LookupFailed, RedisNames};
use super::params::Params;
use crate::adapters::clock;
use crate::adapters::egress::Egress;
use crate::adapters::redis_connection::ServerAddressError;
use crate::formats::leaks::hash::HashRule;
use crate::formats::leaks::names::names;
use crate::formats::leaks::report::{LeakReport, cut};
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Credential;
use crate::model::leak::{CANDIDATES_MAX, LeakedSecret, PLACE_BYTES_MAX};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long the look-ups of a request may take. Unit: milliseconds. Chosen: a request has 30 s, as GitHub waits.
const LOOKUPS_MS_MAX: i64 = 15_000;

/// The look-ups of one request: after a failure, or too long, no more are made.
#[derive(Debug)]
pub struct Batch {
    ends_ms: i64,
    failed: AtomicBool,
}

impl Batch {
    /// One that begins now.
    pub fn begin() -> Self {
        let ends_ms = clock::since_boot_ms().saturating_add(LOOKUPS_MS_MAX);
        Self { ends_ms, failed: AtomicBool::new(false) }
    }

    /// Whether every look-up was made.
    pub fn is_complete(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    fn is_open(&self) -> bool {
        if clock::since_boot_ms() > self.ends_ms {
            self.failed.store(true, Ordering::Relaxed);
        }
        self.is_complete()
    }

    /// The name that was found, if any.
    fn found(&self, found: Result<Option<Credential>, LookupFailed>) -> Option<Credential> {
        found.unwrap_or_else(|LookupFailed| {
            self.failed.store(true, Ordering::Relaxed);
            None
        })
    }
}

/// Finds out which credentials secrets are.
pub struct Resolver {
    fingerprints: Arc<Fingerprinter>,
    hash: Option<HashRule>,
    redis: Option<RedisNames>,
    http: Option<HttpNames>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver(..)")
    }
}

/// Names of one secret, apart by whether they are proof.
#[derive(Default)]
struct Names {
    proven: Vec<Credential>,
    claimed: Vec<Credential>,
}

impl Names {
    fn add(&mut self, is_proof: bool, credentials: impl IntoIterator<Item = Credential>) {
        let names = if is_proof { &mut self.proven } else { &mut self.claimed };
        for credential in credentials {
            if names.len() < CANDIDATES_MAX && !names.contains(&credential) {
                names.push(credential);
            }
        }
    }
}

impl Resolver {
    /// Sets up the ways of the configuration; nothing is connected to.
    ///
    /// # Errors
    /// When the address of Redis can't be used.
    pub fn new(
        params: &Params,
        egress: &Egress,
        fingerprints: &Arc<Fingerprinter>,
    ) -> Result<Self, ServerAddressError> {
        let redis = params.redis.as_ref().map(|redis| RedisNames::new(redis, fingerprints));
        let http = params.resolver.clone();
        Ok(Self {
            fingerprints: Arc::clone(fingerprints),
            hash: params.hash.clone(),
            redis: redis.transpose()?,
            http: http.map(|http| HttpNames::new(http, egress.clone(), fingerprints)),
        })
    }

    /// The leaks that a report is: one of the names that are proof, one of those that are not.
    pub async fn leaks(
        &self,
        report: &LeakReport,
        reporter: &str,
        batch: &Batch,
    ) -> Vec<LeakedSecret> {
        let secret = report.exposed();
        let derived = names(&self.fingerprints, secret);
        let mut names = Names::default();
        if let Some(redis) = self.redis.as_ref().filter(|_| batch.is_open()) {
            let is_proof = derived.is_proof || redis.is_of_whole();
            names.add(is_proof, batch.found(redis.find(secret).await));
        }
        if let Some(http) = self.http.as_ref().filter(|_| batch.is_open()) {
            names.add(true, batch.found(http.find(secret).await));
        }
        let is_confirmed = !names.proven.is_empty();
        if let Some(hash) = &self.hash {
            names.add(hash.is_proof(), hash.credential(secret));
        }
        // The operator knows the token: what it claims about itself adds nothing.
        if derived.is_proof || !is_confirmed {
            names.add(derived.is_proof, derived.candidates);
        }
        let leak = |candidates: Vec<Credential>, is_proof| LeakedSecret {
            candidates,
            place: cut(report.place.as_deref().unwrap_or(""), PLACE_BYTES_MAX).into(),
            reporter: reporter.into(),
            is_proof,
        };
        let leaks = [leak(names.proven, true), leak(names.claimed, false)];
        leaks.into_iter().filter(|leak| !leak.candidates.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Resolver};
    use crate::adapters::egress::{Egress, Params as EgressParams};
    use crate::adapters::leaks::lookups::HttpLookup;
    use crate::adapters::leaks::params::Params;
    use crate::adapters::target::Target;
    use crate::formats::leaks::hash::{Algorithm, Encoding, HashRule};
    use crate::formats::leaks::report::LeakReport;
    use crate::formats::secrets::secret::Fingerprinter;
    use crate::model::credential::Kind;
    use crate::model::leak::LeakedSecret;
    use axum::http::StatusCode;
    use std::sync::Arc;

    /// Its `jti` is `victim`; its signature is made up.
    const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ2aWN0aW0ifQ.bWFkZSB1cA";

    async fn leaks(params: Params, secret: &str) -> (Vec<LeakedSecret>, bool) {
        let networks = vec!["127.0.0.0/8".parse().expect("a network")];
        let egress = EgressParams { networks, ..EgressParams::default() };
        let egress = Egress::new(&egress).expect("set up");
        let fingerprints = Arc::new(Fingerprinter::new(vec![1; 32]));
        let resolver = Resolver::new(&params, &egress, &fingerprints).expect("set up");
        let report = LeakReport::new(secret.to_owned(), "p", "k", "s").expect("a report");
        let batch = Batch::begin();
        let leaks = resolver.leaks(&report, "github", &batch).await;
        (leaks, batch.is_complete())
    }

    fn shown(leaks: &[LeakedSecret], proof: bool) -> Vec<String> {
        let leaks = leaks.iter().filter(|leak| leak.is_proof == proof);
        leaks.flat_map(|leak| leak.candidates.iter().map(ToString::to_string)).collect()
    }

    fn hashed(length: usize) -> Params {
        let (algorithm, encoding) = (Algorithm::Sha256, Encoding::Hex);
        let rule =
            HashRule { algorithm, encoding, prefix: String::new(), length, kind: Kind::ApiKey };
        Params { hash: Some(rule), ..Params::default() }
    }

    #[tokio::test]
    async fn an_opaque_secret_is_proof_and_a_jwt_by_itself_is_not() {
        let (opaque, _) = leaks(Params::default(), "sk-0123456789abcdef").await;
        assert_eq!((opaque.len(), opaque[0].is_proof), (1, true));
        assert_eq!((&*opaque[0].place, &*opaque[0].reporter), ("p", "github"));
        let (jwt, _) = leaks(Params::default(), JWT).await;
        assert!(shown(&jwt, true).is_empty(), "{jwt:?}");
        assert_eq!(shown(&jwt, false)[0], "jwt:victim");
    }

    #[tokio::test]
    async fn the_hash_of_a_jwt_is_proof_of_that_name_alone() {
        let (jwt, _) = leaks(hashed(64), JWT).await;
        let proven = shown(&jwt, true);
        assert_eq!(proven.len(), 1, "{proven:?}");
        assert!(!proven[0].contains("victim"));
        assert!(shown(&jwt, false).contains(&"jwt:victim".to_owned()));
        let (short, _) = leaks(hashed(8), "sk-0123456789abcdef").await;
        let claimed = shown(&short, false);
        assert_eq!((claimed.len(), claimed[0].len()), (1, "api_key:".len() + 8));
        assert!(shown(&short, true).iter().all(|name| name.contains(":fp_")));
    }

    async fn answered(
        status: StatusCode,
        body: &'static str,
        secret: &str,
    ) -> (Vec<LeakedSecret>, bool) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let router = axum::Router::new().fallback(move || async move { (status, body) });
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let url = Target::parse(&format!("http://127.0.0.1:{port}/")).expect("an address");
        let resolver = Some(HttpLookup { url, token: None });
        let found = leaks(Params { resolver, ..Params::default() }, secret).await;
        server.abort();
        found
    }

    #[tokio::test]
    async fn a_jwt_that_the_operator_knows_is_proof() {
        let body = r#"{"credential":"session:s1","tenant":"acme"}"#;
        let (jwt, is_complete) = answered(StatusCode::OK, body, JWT).await;
        assert_eq!(shown(&jwt, true), ["session:s1"]);
        assert!(shown(&jwt, false).is_empty() && is_complete);
        let (opaque, _) = answered(StatusCode::OK, body, "sk-0123456789abcdef").await;
        assert_eq!(shown(&opaque, true)[0], "session:s1", "the best comes first");
    }

    #[tokio::test]
    async fn a_resolver_that_fails_proves_nothing_and_leaves_the_rest() {
        let (jwt, is_complete) = answered(StatusCode::NOT_FOUND, "", JWT).await;
        assert!(shown(&jwt, true).is_empty() && is_complete);
        for (status, body) in [
            (StatusCode::INTERNAL_SERVER_ERROR, r#"{"credential":"session:s1"}"#),
            (StatusCode::OK, "nonsense"),
            (StatusCode::OK, "{}"),
        ] {
            let (found, is_complete) = answered(status, body, "sk-0123456789abcdef").await;
            assert!(!is_complete, "{status} {body}");
            assert!(shown(&found, true).iter().all(|name| name.contains(":fp_")), "{found:?}");
        }
    }
}
