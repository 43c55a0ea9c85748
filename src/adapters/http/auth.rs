//! Roles by bearer token.
//!
//! Tokens are compared by their SHA-256 in constant time, all of them, whichever fits.

use super::problem::Problem;
use super::unix_socket::Peer;
use crate::adapters::clock;
use crate::adapters::fleet::peers::Peers;
use crate::adapters::fleet::signature::{Asked, SIGNATURE};
use crate::control_plane::approvals::TOKEN;
use crate::control_plane::params::OTHER;
use crate::formats::secrets::secret::Fingerprinter;
use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use compact_str::CompactString;
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::watch;

/// The header in which Amazon Data Firehose sends its access key.
pub(super) const FIREHOSE_KEY: &str = "x-amz-firehose-access-key";

/// The rights of a bearer token's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Send events.
    Ingest,
    /// Ask `/v1/check`.
    Check,
    /// Read findings, decisions and credentials.
    Read,
    /// Suspend, revoke and restore.
    Operate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Check, Self::Read, Self::Operate];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Check => "check",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

#[derive(PartialEq, Eq)]
struct KnownToken {
    name: String,
    digest: [u8; 32],
    roles: Vec<Role>,
    /// The sources whose events its holder may send; none: all.
    sources: Option<Vec<String>>,
}

/// A token that is known.
#[derive(Clone, Copy, Debug)]
pub struct TokenRights<'a> {
    /// The name of its holder.
    pub name: &'a str,
    /// The token.
    pub secret: &'a SecretString,
    /// What it is for.
    pub roles: &'a [Role],
    /// The sources whose events its holder may send; none: all.
    pub sources: Option<&'a [String]>,
}

/// The tokens that are known; without any, everybody on this machine may do everything but order,
/// if the daemon listens to this machine alone.
pub struct Tokens {
    known: RwLock<Vec<KnownToken>>,
    /// Whether only this machine can connect.
    is_local: bool,
    /// Rises whenever other tokens are known: streams end, and their listeners come again.
    changes: watch::Sender<u64>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.known.read().iter().map(|known| &known.name)).finish()
    }
}

impl Tokens {
    /// None is known. `is_local`: whether only this machine can connect; otherwise no one may do
    /// anything without a token.
    pub fn new(is_local: bool) -> Self {
        Self { known: RwLock::default(), is_local, changes: watch::Sender::new(0) }
    }

    /// Knows these tokens from now on, and no others. Returns whether they differ from those before.
    pub fn set<'a>(&self, tokens: impl Iterator<Item = TokenRights<'a>>) -> bool {
        let known = tokens.map(|token| KnownToken {
            name: token.name.to_owned(),
            digest: Sha256::digest(token.secret.expose_secret().as_bytes()).into(),
            roles: token.roles.to_vec(),
            sources: token.sources.map(<[String]>::to_vec),
        });
        let known: Vec<KnownToken> = known.collect();
        let mut held = self.known.write();
        let differ = *held != known;
        if differ {
            *held = known;
            self.changes.send_modify(|changes| *changes += 1);
        }
        differ
    }

    /// Authorizes the holder of a token, or a user of this machine, to send events of a source.
    pub(super) fn admit_to_source(&self, holder: &str, source: &str) -> Result<(), Problem> {
        let all = self.known.read();
        let known = all.iter().find(|known| known.name == holder);
        let sources = known.and_then(|known| known.sources.as_ref());
        if sources.is_none_or(|sources| sources.iter().any(|one| one == source)) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "this token may not send events of that source",
            format!("name it in `sources` of [http.tokens.{holder}], or use another token"),
        ))
    }

    /// Whether only this machine can connect.
    pub const fn is_local(&self) -> bool {
        self.is_local
    }

    /// Comes to its end once other tokens are known.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changes = self.changes.subscribe();
        async move {
            // Without tokens to come there is no change either.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether who connects needs no token.
    fn is_open(&self) -> bool {
        self.is_local && self.known.read().is_empty()
    }

    /// The name and the roles of the holder of a token.
    fn holder(&self, token: &str) -> Option<(String, Vec<Role>)> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let all = self.known.read();
        let mut found = None;
        for known in &*all {
            let fits: Choice = known.digest.ct_eq(&digest);
            if bool::from(fits) {
                found = Some(known);
            }
        }
        found.map(|known| (known.name.clone(), known.roles.clone()))
    }

    /// The sender of a request, if they may act as `role`.
    fn admit(&self, headers: &HeaderMap, role: Role) -> Result<String, Problem> {
        if self.is_open() {
            return admit_local(headers);
        }
        let token = headers.get(AUTHORIZATION).and_then(bearer).or_else(|| {
            // Firehose can't send another header.
            let key = headers.get(FIREHOSE_KEY).filter(|_| role == Role::Ingest);
            key.and_then(|key| key.to_str().ok())
        });
        let (name, roles) = token.and_then(|token| self.holder(token)).ok_or_else(|| {
            let detail = match token {
                Some(_) => "this token is none of those of [http.tokens]",
                None => "send `Authorization: Bearer …` with a token of [http.tokens]",
            };
            Problem::new(StatusCode::UNAUTHORIZED, "no known token", detail)
        })?;
        if roles.contains(&role) {
            return Ok(name);
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "this token may not do that",
            format!("give it the role `{}` in [http.tokens.{}]", role.as_str(), name),
        ))
    }
}

/// Without tokens only this machine can connect. A web page in a browser on this machine can, too,
/// so a request must name this machine as its host, and must not come from a page of another site.
fn admit_local(headers: &HeaderMap) -> Result<String, Problem> {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if matches!(site, Some("cross-site" | "same-site")) || is_of_other_origin(headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a page of another site may not ask",
            "set up [http.tokens] for what runs elsewhere",
        ));
    }
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    if name == "localhost" || address.is_ok_and(|address| address.is_loopback()) {
        return Ok("local".to_owned());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "without tokens only this machine may ask",
        "ask 127.0.0.1 or localhost, or set up [http.tokens]",
    ))
}

/// Whether a browser says that the page behind the request is of another origin than this host.
fn is_of_other_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    text(ORIGIN).is_some_and(|origin| {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_none() || host != text(HOST)
    })
}

/// The token of an `Authorization: Bearer …`.
pub(super) fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once([' ', '\t'])?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Tokens and fingerprints, by which callers are authorized.
#[derive(Clone, Debug)]
pub struct Access {
    /// The known tokens.
    pub tokens: Arc<Tokens>,
    /// Stands for tokens where an account is named.
    pub fingerprints: Arc<Fingerprinter>,
    /// The other instances, which may read.
    pub peers: Option<Arc<Peers>>,
}

/// Authorizes operators, which over TCP takes a token.
fn admit_operator(tokens: &Tokens, parts: &Parts) -> Result<String, Problem> {
    if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<Peer>>() {
        return Ok(peer.account.clone());
    }
    if tokens.is_open() {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "over TCP only the holder of a token may order",
            "order over the Unix socket (tripline does where it finds it, or with --socket), or \
             set up [http.tokens]",
        ));
    }
    tokens.admit(&parts.headers, Role::Operate)
}

/// The account of a token's holder: that of its secret.
pub fn account_of(fingerprints: &Fingerprinter, token: &str) -> CompactString {
    format!("{TOKEN}{}", fingerprints.fingerprint(token.as_bytes())).into()
}

/// Authorizes readers, and says who they are: over the Unix socket everyone who may open it, and other instances.
fn admit_reader(access: &Access, parts: &Parts) -> Result<String, Problem> {
    if let Some(signature) = parts.headers.get(SIGNATURE) {
        return admit_instance(access.peers.as_deref(), signature, parts);
    }
    if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<Peer>>() {
        return Ok(peer.account.clone());
    }
    access.tokens.admit(&parts.headers, Role::Read)
}

/// Authorizes another instance, by its signature.
fn admit_instance(
    peers: Option<&Peers>,
    signature: &HeaderValue,
    parts: &Parts,
) -> Result<String, Problem> {
    let refused = |detail: String| {
        Problem::new(StatusCode::UNAUTHORIZED, "it is not signed by another instance", detail)
    };
    let Some(peers) = peers else {
        return Err(refused("this instance has no [fleet] url".to_owned()));
    };
    let path = parts.uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let signature = signature.to_str().unwrap_or_default();
    let asked = Asked { instance: peers.me, authority: &peers.authority, path };
    let verified = peers.key.verify(signature, asked, clock::now());
    verified.map(|()| OTHER.to_owned()).map_err(|error| refused(error.to_string()))
}

/// A request that may send events, by that holder of a token or user of this machine.
#[derive(Debug)]
pub(super) struct Ingest(pub(super) String);

/// A request that may read.
#[derive(Debug)]
pub(super) struct Reader;

/// A request that may read: who sent it, and all that they may do.
#[derive(Debug)]
pub(super) struct Caller {
    /// The holder of a token or a user of this machine.
    pub(super) account: String,
    /// Their roles.
    pub(super) roles: Vec<Role>,
}

/// A request that may suspend, revoke and restore, by that holder of a token or user of this
/// machine.
#[derive(Debug)]
pub(super) struct Operator {
    /// The token's name, or the user.
    pub(super) name: String,
    /// Whose voice it is: the token's secret by its fingerprint, whatever its name, or the user.
    pub(super) account: CompactString,
}

impl<S: Send + Sync> FromRequestParts<S> for Ingest
where
    Access: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let access = Access::from_ref(state);
        access.tokens.admit(&parts.headers, Role::Ingest).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reader
where
    Access: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let access = Access::from_ref(state);
        admit_reader(&access, parts).map(|_| Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Access: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let access = Access::from_ref(state);
        let account = admit_reader(&access, parts)?;
        let may = |role: &Role| match role {
            Role::Operate => admit_operator(&access.tokens, parts).is_ok(),
            Role::Read => true,
            Role::Ingest | Role::Check => access.tokens.admit(&parts.headers, *role).is_ok(),
        };
        let roles = Role::ALL.into_iter().filter(may).collect();
        Ok(Self { account, roles })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator
where
    Access: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let access = Access::from_ref(state);
        let name = admit_operator(&access.tokens, parts)?;
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let token = parts.headers.get(AUTHORIZATION).and_then(bearer).filter(|_| peer.is_none());
        let account = token.map_or_else(
            || CompactString::from(name.as_str()),
            |token| account_of(&access.fingerprints, token),
        );
        Ok(Self { name, account })
    }
}

/// Whether `/v1/check` may be asked. Its `Authorization` may be the client's own credential, so the
/// gateway's token may come as `X-Tripline-Token` too.
pub(super) fn may_check(tokens: &Tokens, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(token) = headers.get("x-tripline-token").and_then(|value| value.to_str().ok()) {
        let may = tokens.holder(token).is_some_and(|(_, roles)| roles.contains(&Role::Check));
        return if may || tokens.is_open() { Ok(()) } else { Err(no_check()) };
    }
    if tokens.is_open() {
        return Ok(());
    }
    tokens.admit(headers, Role::Check).map(|_| ()).map_err(|_| no_check())
}

/// Whether a gateway may follow changes. They name credentials, so without tokens only this machine
/// may, by its own name.
pub(super) fn may_follow(tokens: &Tokens, headers: &HeaderMap) -> Result<(), Problem> {
    if tokens.is_open() {
        return admit_local(headers).map(|_| ());
    }
    may_check(tokens, headers)
}

fn no_check() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "no known token",
        "let the gateway send `X-Tripline-Token: …` with a token of the role `check`",
    )
}

#[cfg(test)]
mod tests {
    use super::{Role, TokenRights, Tokens};
    use axum::http::{HeaderMap, HeaderValue};
    use secrecy::SecretString;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    const fn gateway(secret: &SecretString) -> TokenRights<'_> {
        TokenRights { name: "gateway", secret, roles: &[Role::Ingest], sources: None }
    }

    #[test]
    fn a_token_of_some_sources_sends_to_these_alone() {
        let tokens = Tokens::new(true);
        let token = SecretString::from("0123456789abcdef".to_owned());
        let sources = ["nginx".to_owned()];
        let some = TokenRights { sources: Some(&sources), ..gateway(&token) };
        tokens.set(std::iter::once(some));
        assert!(tokens.admit_to_source("gateway", "nginx").is_ok());
        assert!(tokens.admit_to_source("gateway", "default").is_err());
        tokens.set(std::iter::once(gateway(&token)));
        assert!(tokens.admit_to_source("gateway", "default").is_ok());
    }

    #[test]
    fn a_token_opens_what_its_roles_say() {
        let tokens = Tokens::new(true);
        let token = SecretString::from("0123456789abcdef".to_owned());
        tokens.set(std::iter::once(gateway(&token)));
        let good = headers("authorization", "Bearer 0123456789abcdef");
        assert_eq!(tokens.admit(&good, Role::Ingest).ok().as_deref(), Some("gateway"));
        assert!(tokens.admit(&good, Role::Operate).is_err());
        let wrong = headers("authorization", "Bearer 0123456789abcdeg");
        assert!(tokens.admit(&wrong, Role::Ingest).is_err());
        assert!(tokens.admit(&HeaderMap::new(), Role::Ingest).is_err());
        assert!(!format!("{tokens:?}").contains("0123456789abcdef"));
        let other = SecretString::from("fedcba9876543210".to_owned());
        tokens.set(std::iter::once(gateway(&other)));
        assert!(tokens.admit(&good, Role::Ingest).is_err(), "it is no token any more");
    }

    #[test]
    fn without_tokens_a_page_of_another_name_is_turned_away() {
        let tokens = Tokens::new(true);
        for host in ["127.0.0.1:7878", "localhost:7878", "[::1]:7878"] {
            assert!(tokens.admit(&headers("host", host), Role::Operate).is_ok(), "{host}");
        }
        assert!(tokens.admit(&headers("host", "evil.example:7878"), Role::Operate).is_err());
        let mut page = headers("host", "127.0.0.1:7878");
        page.insert("origin", HeaderValue::from_static("http://127.0.0.1:7878"));
        assert!(tokens.admit(&page, Role::Ingest).is_ok(), "the console's own page");
        for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]
        {
            let mut page = headers("host", "127.0.0.1:7878");
            page.insert(name, HeaderValue::from_static(value));
            assert!(tokens.admit(&page, Role::Ingest).is_err(), "{value}");
        }
    }

    #[test]
    fn who_can_be_reached_from_elsewhere_is_open_to_nobody_without_tokens() {
        let tokens = Tokens::new(false);
        let local = headers("host", "localhost");
        assert!(tokens.admit(&local, Role::Read).is_err());
        assert!(super::may_check(&tokens, &local).is_err());
        assert!(super::may_follow(&tokens, &local).is_err());
    }
}
