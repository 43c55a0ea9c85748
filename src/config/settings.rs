//! Settings: raw text -> checked values, all mistakes at once.

use crate::adapters::egress;
use crate::adapters::enforce::auth_store;
use crate::adapters::event_log::log;
use crate::adapters::http::auth::Role;
use crate::adapters::http::envelope::HttpSource;
use crate::adapters::http::unix_socket;
use crate::adapters::leaks::params as leaks;
use crate::adapters::notify::receiver;
use crate::adapters::sources::ingest::DEFAULT_SOURCE;
use crate::adapters::sources::kafka::consumer;
use crate::adapters::sources::redis_stream;
use crate::adapters::sources::rejects;
use crate::adapters::sources::sqs::params as sqs;
use crate::adapters::sources::syslog::params as syslog;
use crate::adapters::sources::tail::params as tail;
use crate::adapters::storage::finding_archive;
use crate::adapters::target::Target;
use crate::control_plane;
use crate::data_plane::partition;
use crate::formats::events::decoder::Decoder;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    /// The sources whose events its holder may send; none: all.
    pub sources: Option<Vec<String>>,
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

/// All sources, by name.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Whether `default` is configured; it is there in any case.
    pub has_default: bool,
    /// How the records of each are read, of whatever type it is.
    pub decoders: BTreeMap<String, Decoder>,
    /// The most events a minute that each may take, where that is bounded.
    pub rates: BTreeMap<String, u32>,
    /// Those that take requests.
    pub http: BTreeMap<String, HttpSource>,
    /// Those that receive syslog.
    pub syslog: BTreeMap<String, syslog::Params>,
    /// Those that read objects of S3.
    pub sqs: BTreeMap<String, sqs::Params>,
    /// Those that read streams of Redis.
    pub redis_streams: BTreeMap<String, redis_stream::Params>,
    /// The one that reads standard input.
    pub stdin: Option<(String, Decoder)>,
    /// Those that follow files.
    pub files: BTreeMap<String, tail::Params>,
    /// The one that reads Kafka.
    pub kafka: Option<consumer::Params>,
}

impl Sources {
    /// Whether a source counts its events on this instance, whatever partitions of Kafka it owns.
    pub fn counts_here(&self) -> bool {
        let own = [
            self.syslog.is_empty(),
            self.sqs.is_empty(),
            self.redis_streams.is_empty(),
            self.files.is_empty(),
            self.stdin.is_none(),
        ];
        self.http.values().any(|source| source.into.is_none()) || own.contains(&false)
    }

    /// The Kafka source into whose topic sources of HTTP write, if any does.
    pub fn written_topic(&self) -> Option<&consumer::Params> {
        let kafka = self.kafka.as_ref()?;
        let writes = |source: &HttpSource| source.into.as_ref() == Some(&kafka.source);
        self.http.values().any(writes).then_some(kafka)
    }

    /// The source that follows that file, if one does.
    pub fn of_file(&self, path: &Path) -> Option<&str> {
        let name = path.file_name()?.to_str()?;
        let folder = std::path::absolute(path).ok()?;
        let follows = |files: &tail::Params| {
            files.paths.iter().any(|pattern| {
                let own = std::path::absolute(pattern.folder()).ok();
                own.as_deref() == folder.parent() && pattern.has(name)
            })
        };
        self.files.iter().find(|(_, files)| follows(files)).map(|(name, _)| name.as_str())
    }

    /// The source that accepts connections at that address, if one does.
    pub fn listening_at(&self, address: SocketAddr) -> Option<&str> {
        let is_there = |params: &syslog::Params| {
            !matches!(params.transport, syslog::Transport::Udp) && params.listen == address
        };
        self.syslog.iter().find(|(_, params)| is_there(params)).map(|(name, _)| name.as_str())
    }

    /// The name of the only source that is configured; `default` where there are several, or none.
    pub fn only(&self) -> &str {
        let mut names = self.decoders.keys().filter(|name| *name != DEFAULT_SOURCE);
        match (names.next(), names.next()) {
            (Some(name), None) if !self.has_default => name,
            _ => DEFAULT_SOURCE,
        }
    }
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
    /// The sources.
    pub sources: Sources,
    /// How records of files that a command is given are read: as those of `decoder_source`.
    pub decoder: Decoder,
    /// The source as whose records they are read: the only one, `default`, or the one that the command names.
    pub decoder_source: String,
    /// Threads of the data plane, and hash slots of the sources without partitions.
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
    /// Where other instances reach this one.
    pub fleet_url: Option<Target>,
    /// Parameters of requests to other servers.
    pub egress: egress::Params,
    /// Who may report leaked secrets, and how these are known.
    pub leaks: leaks::Params,
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
        // A topic that HTTP sources write has the credentials that they name.
        let written = self.sources.written_topic().map(|kafka| &kafka.source);
        let mut others = self.sources.decoders.iter().filter(|(name, _)| Some(*name) != written);
        others.all(|(_, decoder)| decoder.raw_secrets)
    }
}
