//! Requests to servers that the configuration names: auth stores and receivers of notifications.
//!
//! An address from a configuration, or a name that starts to point elsewhere, must not become a
//! way into the network that tripline runs in. So a connection is made only to public addresses,
//! and to networks that the operator allows; redirects are not followed, and no proxy of the
//! environment is used.
//!
//! **Invariant.** What a connection is made to was checked after the name was resolved: a name
//! can't pass the check with one address and be connected to with another.

use super::target::Target;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ETAG, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The longest answer that is read of a server that only acknowledges. Unit: bytes. Chosen: an error's text.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Parameters of egress requests.
#[derive(Clone, Debug)]
pub struct Params {
    /// Networks that may be connected to although they are not public. Default: none.
    pub networks: Vec<IpNet>,
    /// How long a request may take, with its answer. Default: 5 s.
    pub timeout: Duration,
    /// A file with further certificate authorities (PEM). Default: those of the system alone.
    pub authorities: Option<PathBuf>,
    /// The longest answer that is read; the rest is left. Unit: bytes. Default: [`ANSWER_BYTES_MAX`].
    pub answer_bytes_max: usize,
}

impl Params {
    /// Whether `target` could never be connected to, whatever its name resolves to.
    pub fn shuts_out(&self, target: &Target) -> bool {
        match target.literal() {
            Some(address) => {
                !Guard(self.networks.clone()).lets_through(address, target.is_encrypted())
            }
            None => self.networks.is_empty() && !target.is_encrypted(),
        }
    }
}

impl Default for Params {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            timeout: Duration::from_secs(5),
            authorities: None,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }
}

/// A server's answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The version of the content (`ETag`), for the next question about it.
    pub version: Option<HeaderValue>,
}

impl Answer {
    /// Whether the server took the request.
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// Whether the same request may be taken later.
    pub const fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..=599)
    }
}

/// Why there is no answer. No text of these holds the address's path or the request.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The address is in a network that may not be connected to.
    #[error("{0} lies in a network that is not allowed; add it to egress.networks")]
    NotAllowed(Target),
    /// There was no connection, or it broke.
    #[error("can't reach {0}")]
    Unreachable(Broken),
    /// There was no answer in time; the request may have been taken.
    #[error("{0} did not answer in time")]
    TimedOut(Target),
}

/// A connection that was not made or did not last, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{target}: {cause}")]
pub struct Broken {
    target: Target,
    cause: Cause,
}

/// Why there is no connection, as far as known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Cause {
    #[error("the connection was refused; nothing listens there")]
    Refused,
    #[error("the name was not found")]
    NoName,
    #[error("no route to host")]
    NoWay,
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("the connection broke")]
    BrokeOff,
}

/// Why no request can be made at all.
#[derive(Debug, thiserror::Error)]
pub enum EgressSetupError {
    /// The file of authorities can't be used.
    #[error("can't use the certificate authorities in {}", path.display())]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[source] reqwest::Error),
}

/// Makes requests.
#[derive(Clone, Debug)]
pub struct Egress {
    encrypted: Client,
    plain: Client,
    guard: Arc<Guard>,
    answer_bytes_max: usize,
}

impl Egress {
    /// Makes a client.
    ///
    /// # Errors
    /// When TLS can't be set up or the authorities can't be read.
    pub fn new(params: &Params) -> Result<Self, EgressSetupError> {
        // `main` has installed it; a test has no `main`, and the first that is installed stays.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let guard = Arc::new(Guard(params.networks.clone()));
        let client = |encrypted| {
            let mut builder = Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(params.timeout)
                .connect_timeout(params.timeout)
                .dns_resolver(Arc::new(Resolver { guard: Arc::clone(&guard), encrypted }))
                .user_agent(concat!("tripline/", env!("CARGO_PKG_VERSION")));
            if let Some(path) = &params.authorities {
                builder = builder.tls_certs_merge(authorities(path)?);
            }
            builder.build().map_err(EgressSetupError::Tls)
        };
        let answer_bytes_max = params.answer_bytes_max;
        Ok(Self { encrypted: client(true)?, plain: client(false)?, guard, answer_bytes_max })
    }

    /// Posts `body`; gives the answer, whatever its status.
    ///
    /// # Errors
    /// When the address is not allowed, or there is no answer.
    pub async fn post(
        &self,
        target: &Target,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, EgressError> {
        self.check(target)?;
        let client = self.client(target);
        self.read(client.post(target.url().clone()).headers(headers).body(body), target).await
    }

    /// Gets what is at that address; gives the answer, whatever its status.
    ///
    /// # Errors
    /// When the address is not allowed, or there is no answer.
    pub async fn get(&self, target: &Target, headers: HeaderMap) -> Result<Answer, EgressError> {
        self.check(target)?;
        self.read(self.client(target).get(target.url().clone()).headers(headers), target).await
    }

    fn client(&self, target: &Target) -> &Client {
        if target.is_encrypted() { &self.encrypted } else { &self.plain }
    }

    /// A literal address is not resolved, so the resolver does not see it.
    fn check(&self, target: &Target) -> Result<(), EgressError> {
        let encrypted = target.is_encrypted();
        if target.literal().is_some_and(|address| !self.guard.lets_through(address, encrypted)) {
            return Err(EgressError::NotAllowed(target.clone()));
        }
        Ok(())
    }

    /// Asks what changes nothing, `HEAD` or `GET`; gives the status, whatever it is.
    ///
    /// # Errors
    /// When the address is not allowed, or there is no answer.
    pub async fn reach(&self, target: &Target, reads: bool) -> Result<u16, EgressError> {
        self.check(target)?;
        let client = self.client(target);
        let method = if reads { reqwest::Method::GET } else { reqwest::Method::HEAD };
        let sent = client.request(method, target.url().clone()).send().await;
        Ok(sent.map_err(|error| fault(&error, target))?.status().as_u16())
    }

    /// Whether the name of an address is found, and may be connected to. Nothing is sent.
    ///
    /// # Errors
    /// When it is not.
    pub async fn resolve(&self, target: &Target) -> Result<(), EgressError> {
        self.check(target)?;
        if target.literal().is_some() {
            return Ok(());
        }
        let none = || {
            let (target, cause) = (target.clone(), Cause::NoName);
            EgressError::Unreachable(Broken { target, cause })
        };
        let host = target.url().host_str().unwrap_or("");
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|_| none())?;
        let encrypted = target.is_encrypted();
        let found: Vec<bool> =
            found.map(|one| self.guard.lets_through(one.ip(), encrypted)).collect();
        match found.iter().any(|allowed| *allowed) {
            true => Ok(()),
            false if found.is_empty() => Err(none()),
            false => Err(EgressError::NotAllowed(target.clone())),
        }
    }

    /// Sends a request, and reads the answer as far as it is bounded.
    async fn read(&self, request: RequestBuilder, target: &Target) -> Result<Answer, EgressError> {
        let mut response = request.send().await.map_err(|error| fault(&error, target))?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            body: Vec::new(),
            retry_after: seconds(response.headers()),
            version: response.headers().get(ETAG).cloned(),
        };
        while answer.body.len() < self.answer_bytes_max {
            match response.chunk().await.map_err(|error| fault(&error, target))? {
                Some(chunk) => answer.body.extend_from_slice(&chunk),
                None => break,
            }
        }
        answer.body.truncate(self.answer_bytes_max);
        Ok(answer)
    }
}

fn authorities(path: &PathBuf) -> Result<Vec<reqwest::Certificate>, EgressSetupError> {
    let fault = |source: Box<dyn std::error::Error + Send + Sync>| EgressSetupError::Authorities {
        path: path.clone(),
        source,
    };
    let text = std::fs::read(path).map_err(|error| fault(error.into()))?;
    match reqwest::Certificate::from_pem_bundle(&text) {
        Ok(found) if found.is_empty() => Err(fault("it holds no certificate in PEM".into())),
        found => found.map_err(|error| fault(error.into())),
    }
}

fn seconds(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn fault(error: &reqwest::Error, target: &Target) -> EgressError {
    let mut cause = Cause::BrokeOff;
    let mut link: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = link {
        if one.is::<NotAllowed>() {
            return EgressError::NotAllowed(target.clone());
        }
        if let Some(told) = told(one) {
            cause = told;
        }
        link = one.source();
    }
    if error.is_timeout() {
        EgressError::TimedOut(target.clone())
    } else {
        EgressError::Unreachable(Broken { target: target.clone(), cause })
    }
}

/// The cause that one error of a chain names.
fn told(error: &(dyn std::error::Error + 'static)) -> Option<Cause> {
    if error.is::<NoName>() {
        return Some(Cause::NoName);
    }
    let error = error.downcast_ref::<io::Error>()?;
    // An I/O error's inner error is no link of its own in the chain.
    if let Some(inner) = error.get_ref() {
        let tls = inner.downcast_ref::<rustls::Error>();
        return tls.map_or_else(|| told(inner), |tls| Some(Cause::Tls(tls.to_string())));
    }
    let kind = error.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        Some(Cause::Refused)
    } else if matches!(kind, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) {
        Some(Cause::NoWay)
    } else {
        None
    }
}

/// A name that has no address, or of which none could be learned.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the name was not found")]
struct NoName;

/// Every address of a name is in a network that may not be connected to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not an allowed network")]
struct NotAllowed;

/// Resolves names to addresses that may be connected to.
struct Resolver {
    guard: Arc<Guard>,
    encrypted: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, encrypted) = (Arc::clone(&self.guard), self.encrypted);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NoName)?;
            let found: Vec<SocketAddr> = found.collect();
            let known = !found.is_empty();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| guard.lets_through(address.ip(), encrypted))
                .collect();
            if known && allowed.is_empty() {
                return Err(NotAllowed.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// The networks that are allowed beyond the public one.
#[derive(Debug)]
struct Guard(Vec<IpNet>);

impl Guard {
    /// Without encryption only networks that the operator named will do.
    fn lets_through(&self, address: IpAddr, encrypted: bool) -> bool {
        let address = address.to_canonical();
        let named = self.0.iter().any(|network| network.contains(&address));
        named || (encrypted && is_public(address))
    }
}

/// Whether an address is of the public internet. Source: the special-purpose address registries
/// of IANA, IPv4 and IPv6.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || first == 0
        || first >= 240
        || (first == 100 && second & 0xc0 == 64)
        || (first == 192 && second == 0 && third == 0)
        || (first == 192 && second == 88 && third == 99)
        || (first == 198 && second & 0xfe == 18);
    !special
}

/// Of IPv6 only `2000::/3` is given out; within it tunnels to IPv4 and special blocks are left out.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let special = (first == 0x2001 && (second < 0x200 || second == 0xdb8))
        || first == 0x2002
        || (first == 0x3fff && second < 0x1000);
    first & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::{Egress, Guard, Params, is_public};
    use crate::adapters::target::Target;
    use std::net::IpAddr;
    use tokio::net::TcpListener;

    /// The error of a request to `url`.
    async fn failure(url: &str) -> String {
        let networks = vec!["127.0.0.0/8".parse().expect("a network")];
        let egress = Egress::new(&Params { networks, ..Params::default() }).expect("set up");
        let target = Target::parse(url).expect("an address");
        let sent = egress.post(&target, reqwest::header::HeaderMap::new(), Vec::new()).await;
        sent.expect_err("no answer").to_string()
    }

    #[tokio::test]
    async fn why_there_is_no_answer_is_said_with_the_port_and_without_the_path() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let plain = tokio::spawn(async move {
            // It speaks no TLS, then it is gone.
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.readable().await.expect("a greeting");
            let read = stream.try_read(&mut [0; 4096]).expect("a greeting");
            assert!(read < 4096, "nothing unread resets the connection");
            stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
        });
        let said = failure(&format!("https://127.0.0.1:{port}/secret")).await;
        assert!(said.contains(&format!("127.0.0.1:{port}/…: TLS failed: ")), "{said}");
        plain.await.expect("served");
        let said = failure(&format!("http://127.0.0.1:{port}/secret")).await;
        assert!(
            said.contains(&format!("127.0.0.1:{port}/…: the connection was refused")),
            "{said}"
        );
        let said = failure("http://nobody.invalid/secret").await;
        assert!(said.contains("nobody.invalid:80/…: the name was not found"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_the_public_internet_is_public() {
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "100.128.0.1", "198.20.0.1"] {
            assert!(is_public(address(public)), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:a00::1",
            "2001::1",
            "64:ff9b::a00:1",
        ] {
            assert!(!is_public(address(special)), "{special}");
        }
    }

    #[test]
    fn a_named_network_is_let_through_and_without_encryption_nothing_else() {
        let guard = Guard(vec!["10.0.0.0/8".parse().expect("a network")]);
        assert!(guard.lets_through(address("10.0.0.7"), false));
        assert!(guard.lets_through(address("::ffff:10.0.0.7"), true));
        assert!(!guard.lets_through(address("::ffff:127.0.0.1"), true));
        assert!(guard.lets_through(address("1.1.1.1"), true));
        assert!(!guard.lets_through(address("1.1.1.1"), false));
    }
}
