//! Why the daemon could not start.

use crate::adapters::checkpoint::store::NoSnapshots;
use crate::adapters::checkpoint::store::Withheld;
use crate::adapters::egress::EgressSetupError;
use crate::adapters::enforce::auth_store::AuthStoreError;
use crate::adapters::enforce::embedded::store::EmbeddedError;
use crate::adapters::host::threads;
use crate::adapters::journal::error::JournalError;
use crate::adapters::metrics::registrar::MetricsError;
use crate::adapters::notify::receiver::NoReceiver;
use crate::adapters::redis_connection::ServerAddressError;
use crate::adapters::sources::kafka::topic_writer::NoWriter;
use crate::adapters::sources::syslog::receiver::BindError;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Why the daemon can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or folder can't be used.
    #[error("can't use {}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address can't be bound.
    #[error("can't listen on {address}; another process may, or set http.listen")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An address of a syslog source can't be bound.
    #[error(transparent)]
    Syslog(#[from] BindError),
    /// A Redis with a stream of events, or with names of secrets, can't be used.
    #[error(transparent)]
    RedisStream(#[from] ServerAddressError),
    /// The topic of HTTP sources can't be written.
    #[error(transparent)]
    Topic(#[from] NoWriter),
    /// A bucket or a queue can't be used.
    #[cfg(feature = "cloud")]
    #[error(transparent)]
    Sqs(#[from] crate::adapters::sources::sqs::reader::SetupError),
    /// The Unix socket can't be bound.
    #[error("can't listen on the socket {}; set admin.socket to another short path", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The watchlist can't be opened, and is nowhere else.
    #[error("can't use {}", path.display())]
    Watchlist {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The findings of before can't be opened.
    #[error("can't use {}", path.display())]
    Findings {
        /// Their file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The embedded store can't be opened.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// An auth store can't be set up.
    #[error(transparent)]
    AuthStore(#[from] AuthStoreError),
    /// A receiver of notifications can't be set up.
    #[error(transparent)]
    Receiver(#[from] NoReceiver),
    /// No request to other servers can be made.
    #[error(transparent)]
    Egress(#[from] EgressSetupError),
    /// The store of checkpoints can't be used.
    #[error(transparent)]
    Snapshots(#[from] NoSnapshots),
    /// The checkpoints are of another fingerprint key, or of a newer tripline.
    #[error(transparent)]
    Withheld(#[from] Withheld),
    /// A metric can't be registered.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A thread can't be started.
    #[error("can't start a thread")]
    Thread(#[source] std::io::Error),
}

pub(super) fn spawn(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    threads::spawn(name, run).map_err(StartError::Thread)
}

/// Names the file at fault.
pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StartError + use<> {
    let path = path.to_owned();
    move |source| StartError::Path { path, source }
}
