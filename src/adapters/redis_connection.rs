//! The connection to Redis: one server, the master that Sentinel names, or a Cluster.
//!
//! Made when it is first needed, shared by all who ask, and recreated after an error that a new
//! connection may mend: after a failover the old master answers that it is read-only now.

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use ::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisError, RedisFuture, ServerErrorKind, TlsCertificates,
    TlsMode, Value,
};
use secrecy::{ExposeSecret, SecretString};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long after a failure no one tries to connect again, so that those who wait fail together.
const PAUSE: Duration = Duration::from_millis(200);

/// How the servers stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server, or an address behind which the master is.
    Single,
    /// Sentinels know the master of that name.
    Sentinel(String),
    /// A Cluster.
    Cluster,
}

/// Where Redis is.
#[derive(Clone, Debug)]
pub struct ServerAddress {
    /// `redis://user:password@host:port/db`, or `rediss://` for TLS.
    pub url: SecretString,
    /// `host:port` of the Sentinels or of further nodes of the Cluster, besides that of the URL.
    pub nodes: Vec<String>,
    /// How the servers stand together.
    pub topology: Topology,
    /// The user at the Sentinels, if they want one.
    pub sentinel_user: Option<String>,
    /// The password at the Sentinels, if they want one.
    pub sentinel_password: Option<SecretString>,
    /// Whom to trust, and the client's own certificate. Default: the system's authorities.
    pub certificates: Option<TlsCertificates>,
    /// How long an answer is waited for. Default: 500 ms.
    pub response_timeout: Duration,
}

/// A place that can't be used. Never holds the URL, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerAddressError {
    /// The URL.
    #[error("the URL of Redis can't be used; write redis://user:password@host:port/db")]
    Url,
    /// A node.
    #[error("a node of Redis can't be used; write host:port")]
    Node,
    /// Nodes of nothing.
    #[error("there are nodes, and neither a Sentinel nor a Cluster; set sentinel or cluster")]
    Nodes,
    /// A Cluster has one database.
    #[error("a Cluster has no databases; leave /db out of the URL")]
    Database,
    /// A connection that anyone could pretend to be the server of.
    #[error("#insecure takes any certificate; leave it out and name the authority in ca_file")]
    Insecure,
    /// A certificate.
    #[error("a certificate for Redis can't be used; write PEM files, and a URL with rediss://")]
    Certificate,
}

impl ServerAddress {
    /// Whether it can be used; nothing is connected to.
    ///
    /// # Errors
    /// A mistake in an address.
    pub fn check(&self) -> Result<(), ServerAddressError> {
        Link::new(self).map(|_| ())
    }

    /// Whether the URL and the settings next to it go together.
    fn check_together(&self, info: &ConnectionInfo) -> Result<(), ServerAddressError> {
        if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
            return Err(ServerAddressError::Insecure);
        }
        if self.topology == Topology::Cluster && info.redis_settings().db() != 0 {
            return Err(ServerAddressError::Database);
        }
        if self.topology == Topology::Single && !self.nodes.is_empty() {
            return Err(ServerAddressError::Nodes);
        }
        Ok(())
    }
}

/// A way to a connection.
enum ConnectMode {
    Single(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

/// A connection, or when the last try failed.
#[derive(Default)]
struct ConnectionState {
    live: Option<Live>,
    failed: Option<Instant>,
    /// How often a connection was made.
    count: u64,
}

/// A connection that is made when it is needed.
pub(crate) struct Link {
    way: ConnectMode,
    config: AsyncConnectionConfig,
    held: Mutex<ConnectionState>,
}

/// An open connection. Clones share it.
#[derive(Clone)]
pub(crate) enum Live {
    /// To one server.
    One(MultiplexedConnection),
    /// To a Cluster.
    Cluster(ClusterConnection),
}

impl ConnectionLike for Live {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

impl Live {
    /// The masters of a Cluster; of one server none.
    pub(crate) async fn masters(&self) -> Result<Vec<(String, u16)>, RedisError> {
        let Self::Cluster(connection) = self else { return Ok(Vec::new()) };
        let mut asked = ::redis::cmd("CLUSTER");
        asked.arg("SLOTS");
        let answer: Value = asked.query_async(&mut connection.clone()).await?;
        let Value::Array(ranges) = answer else { return Ok(Vec::new()) };
        let mut masters = Vec::new();
        // A slot range: its ends, then its nodes, the master first.
        for range in ranges {
            let Value::Array(parts) = range else { continue };
            let Some(Value::Array(node)) = parts.into_iter().nth(2) else { continue };
            let mut node = node.into_iter();
            let (Some(host), Some(port)) = (node.next(), node.next()) else { continue };
            let node = (String::from_redis_value(host)?, u16::from_redis_value(port)?);
            if !masters.contains(&node) {
                masters.push(node);
            }
        }
        Ok(masters)
    }

    /// Asks a node of a Cluster, or the one server.
    pub(crate) async fn ask_node(
        &self,
        node: Option<&(String, u16)>,
        command: Cmd,
    ) -> Result<Value, RedisError> {
        match (self, node) {
            (Self::Cluster(connection), Some((host, port))) => {
                let at = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                connection.clone().route_command(command, RoutingInfo::SingleNode(at)).await
            }
            (live, _) => command.query_async(&mut live.clone()).await,
        }
    }
}

impl Link {
    /// Prepares a connection; none is made yet.
    pub(crate) fn new(place: &ServerAddress) -> Result<Self, ServerAddressError> {
        let url = place.url.expose_secret();
        let info = url.into_connection_info().map_err(|_| ServerAddressError::Url)?;
        place.check_together(&info)?;
        let way = match &place.topology {
            Topology::Single => ConnectMode::Single(Box::new(single(info, place)?)),
            Topology::Sentinel(name) => {
                ConnectMode::Sentinel(Box::new(Mutex::new(sentinel(&info, name, place)?)))
            }
            Topology::Cluster => ConnectMode::Cluster(Box::new(cluster(&info, place)?)),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(place.response_timeout));
        Ok(Self { way, config, held: Mutex::default() })
    }

    /// Whether the keys of one command may lie on several servers.
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self.way, ConnectMode::Cluster(_))
    }

    /// The connection and its number; made if there is none.
    pub(crate) async fn connection(&self) -> Result<(Live, u64), RedisError> {
        let mut held = self.held.lock().await;
        if let Some(live) = &held.live {
            return Ok((live.clone(), held.count));
        }
        if held.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
            return Err((ErrorKind::Io, "could not connect a moment ago").into());
        }
        match self.connect().await {
            Ok(live) => {
                *held = ConnectionState {
                    live: Some(live.clone()),
                    failed: None,
                    count: held.count + 1,
                };
                Ok((live, held.count))
            }
            Err(error) => {
                held.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<Live, RedisError> {
        let connect = async {
            match &self.way {
                ConnectMode::Single(client) => client
                    .get_multiplexed_async_connection_with_config(&self.config)
                    .await
                    .map(Live::One),
                ConnectMode::Sentinel(client) => client
                    .lock()
                    .await
                    .get_async_connection_with_config(&self.config)
                    .await
                    .map(Live::One),
                ConnectMode::Cluster(client) => {
                    client.get_async_connection().await.map(Live::Cluster)
                }
            }
        };
        // Sentinels are asked one after the other, and some may be gone.
        let connected = tokio::time::timeout(3 * CONNECT_WITHIN, connect).await;
        connected.unwrap_or_else(|_| Err((ErrorKind::Io, "connecting took too long").into()))
    }

    /// Drops the connection of that number where the error says that a new one may do better.
    pub(crate) async fn record(&self, error: &RedisError, number: u64) {
        let moved = matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        );
        let dropped = error.is_connection_dropped() || error.is_io_error() || error.is_timeout();
        let mut held = self.held.lock().await;
        if (moved || dropped) && held.count == number {
            held.live = None;
        }
    }
}

/// Whether the URL asks for TLS.
fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

fn certificates<'a>(
    info: &ConnectionInfo,
    place: &'a ServerAddress,
) -> Result<Option<&'a TlsCertificates>, ServerAddressError> {
    let certificates = place.certificates.as_ref();
    if certificates.is_some() && !is_tls(info) {
        return Err(ServerAddressError::Certificate);
    }
    Ok(certificates)
}

fn single(info: ConnectionInfo, place: &ServerAddress) -> Result<Client, ServerAddressError> {
    match certificates(&info, place)? {
        Some(certificates) => Client::build_with_tls(info, certificates.clone())
            .map_err(|_| ServerAddressError::Certificate),
        None => Client::open(info).map_err(|_| ServerAddressError::Url),
    }
}

/// The nodes besides that of the URL, reached like it.
fn nodes(
    info: &ConnectionInfo,
    place: &ServerAddress,
) -> Result<Vec<ConnectionAddr>, ServerAddressError> {
    let tls = is_tls(info);
    let read = |node: &String| {
        let (host, port) = node.rsplit_once(':')?;
        let (host, port) = (host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?);
        Some(if tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        })
    };
    place.nodes.iter().map(|node| read(node).ok_or(ServerAddressError::Node)).collect()
}

fn sentinel(
    info: &ConnectionInfo,
    name: &str,
    place: &ServerAddress,
) -> Result<SentinelClient, ServerAddressError> {
    let mut sentinels = vec![info.addr().clone()];
    sentinels.extend(nodes(info, place)?);
    let redis = info.redis_settings();
    let mut builder = SentinelClientBuilder::new(sentinels, name, SentinelServerType::Master)
        .map_err(|_| ServerAddressError::Url)?
        .set_client_to_redis_db(redis.db());
    if let Some(user) = redis.username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = redis.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(user) = &place.sentinel_user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &place.sentinel_password {
        builder = builder.set_client_to_sentinel_password(password.expose_secret());
    }
    if is_tls(info) {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(info, place)? {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates.clone());
    }
    builder.build().map_err(|_| ServerAddressError::Certificate)
}

fn cluster(
    info: &ConnectionInfo,
    place: &ServerAddress,
) -> Result<ClusterClient, ServerAddressError> {
    let redis = info.redis_settings().clone();
    let further = nodes(info, place)?;
    let certificates = certificates(info, place)?.cloned();
    let alike = |addr| info.clone().set_addr(addr).set_redis_settings(redis.clone());
    let mut first: Vec<ConnectionInfo> = further.into_iter().map(alike).collect();
    first.push(info.clone());
    let mut builder = ClusterClient::builder(first)
        .connection_timeout(CONNECT_WITHIN)
        .response_timeout(place.response_timeout)
        .retries(2);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build().map_err(|_| ServerAddressError::Url)
}
