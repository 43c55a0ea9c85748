//! Settings: raw text -> checked values, all mistakes at once.

use crate::adapters::egress;
use crate::adapters::enforce::auth_store;
use crate::adapters::event_log::log;
use crate::adapters::http::auth::Role;
use crate::adapters::http::unix_socket;
use crate::adapters::notify::receiver;
use crate::adapters::sources::kafka::consumer;
use crate::adapters::sources::rejects;
use crate::adapters::storage::finding_archive;
use crate::control_plane;
use crate::data_plane::partition;
use crate::formats::events::access_log::AccessLog;
use crate::formats::events::decoder::Decoder;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::PathBuf;
use url::Url;

/// A bearer token.
#[derive(Clone, Debug)]
pub struct Token {
    /// Whose it is; is in the journal.
    pub name: String,
    /// The token.
    pub secret: SecretString,
    /// The roles of its holder.
    pub roles: Vec<Role>,
}

/// The HTTP API.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The largest body. Unit: bytes.
    pub body_bytes_max: usize,
    /// The known tokens; none: everyone on this machine may do everything but order.
    pub tokens: Vec<Token>,
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file that they come from; none: the defaults.
    pub file: Option<PathBuf>,
    /// Where the journal, the store, keys and rejected records are.
    pub data_dir: PathBuf,
    /// The HTTP API.
    pub http: Http,
    /// The Kafka source.
    pub kafka: Option<consumer::Params>,
    /// How records of the HTTP source and of files are read.
    pub decoder: Decoder,
    /// How access logs are read, whether or not that is the format.
    pub access_log: AccessLog,
    /// Threads of the data plane, and hash slots of the HTTP source.
    pub threads: usize,
    /// Parameters of partitions.
    pub partition: partition::Params,
    /// The Unix socket.
    pub admin: unix_socket::Params,
    /// Parameters of the control plane.
    pub control: control_plane::params::Params,
    /// The auth stores besides the embedded one.
    pub stores: Vec<auth_store::Params>,
    /// Receivers of notifications.
    pub receivers: Vec<receiver::Params>,
    /// Parameters of requests to other servers.
    pub egress: egress::Params,
    /// The key of fingerprints; none: one is made in the data folder.
    pub fingerprint_key_file: Option<PathBuf>,
    /// Whether ids, tenants and subjects that look drawn at random are ids, and no secrets.
    pub random_ids: bool,
    /// How large a file of the journal gets before the next one begins. Unit: bytes.
    pub journal_rotate_bytes: u64,
    /// How often what is remembered of credentials is written down. Unit: milliseconds.
    pub checkpoint_interval_ms: i64,
    /// Where checkpoints of Kafka partitions are kept; none: in the data folder.
    pub checkpoints_url: Option<Url>,
    /// The event log.
    pub event_log: log::Params,
    /// For how long, and how much of, findings are kept on disk.
    pub findings: finding_archive::Params,
    /// For how long, and how many, rejected records are kept.
    pub rejects: rejects::Params,
}

impl Settings {
    /// Whether every source sends secrets as credentials, so that no other name is one.
    pub fn has_raw_secrets_alone(&self) -> bool {
        self.decoder.raw_secrets && self.kafka.iter().all(|kafka| kafka.decoder.raw_secrets)
    }
}
