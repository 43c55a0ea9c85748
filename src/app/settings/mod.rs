//! Settings: raw text -> checked values, all mistakes at once.

mod mask;
pub mod reader;
mod sections;
pub mod units;

use crate::edge::api::auth::Role;
use crate::edge::api::local;
use crate::edge::auth_store;
use crate::edge::dead_letter;
use crate::edge::event_log;
use crate::edge::finding_archive;
use crate::edge::kafka;
use crate::edge::notify;
use crate::edge::outgoing;
use crate::engine::control;
use crate::engine::partition;
use crate::model::time::EventTime;
use crate::wire::access_log::AccessLog;
use crate::wire::decoder::Decoder;
use reader::{Place, Problems, Reader, Wrong};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use url::Url;

/// A bearer token.
#[derive(Clone, Debug)]
pub struct Token {
    /// Whose it is; stands in the journal.
    pub name: String,
    /// The token.
    pub secret: SecretString,
    /// What it lets its holder do.
    pub roles: Vec<Role>,
}

/// The HTTP door.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The largest body. Unit: bytes.
    pub body_bytes_max: usize,
    /// Who may do what; none: everybody on this machine may do everything but order.
    pub tokens: Vec<Token>,
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file that they come from; none: the defaults.
    pub file: Option<PathBuf>,
    /// Where the journal, the store, keys and dead letters are.
    pub data_dir: PathBuf,
    /// The HTTP door.
    pub http: Http,
    /// The Kafka door.
    pub kafka: Option<kafka::Params>,
    /// How records of the HTTP intake and of files are read.
    pub decoder: Decoder,
    /// How access logs are read, whether or not that is the format.
    pub access_log: AccessLog,
    /// Threads of the data plane, and hash slots of the HTTP intake.
    pub threads: usize,
    /// Parameters of partitions.
    pub partition: partition::Params,
    /// The Unix socket.
    pub admin: local::Params,
    /// Parameters of the control plane.
    pub control: control::Params,
    /// The auth stores besides the embedded one.
    pub stores: Vec<auth_store::Params>,
    /// Receivers of notifications.
    pub receivers: Vec<notify::Params>,
    /// Parameters of requests to other servers.
    pub outgoing: outgoing::Params,
    /// The key of fingerprints; none: one is made in the data folder.
    pub fingerprint_key_file: Option<PathBuf>,
    /// Whether ids, tenants and subjects that look drawn at random are ids, and no secrets.
    pub random_ids: bool,
    /// How large a file of the journal gets before the next one begins. Unit: bytes.
    pub journal_rotate_bytes: u64,
    /// How often what is remembered of credentials is written down. Unit: milliseconds.
    pub checkpoint_every_ms: i64,
    /// Where checkpoints of Kafka partitions are kept; none: in the data folder.
    pub checkpoints_url: Option<Url>,
    /// The event log.
    pub event_log: event_log::Params,
    /// For how long, and how much of, findings are kept on disk.
    pub findings: finding_archive::Params,
    /// For how long, and how many, dead letters are kept.
    pub dead_letters: dead_letter::Params,
}

impl Settings {
    /// Whether every source sends secrets as credentials, so that no other name is one.
    pub fn has_raw_secrets_alone(&self) -> bool {
        self.decoder.raw_secrets && self.kafka.iter().all(|kafka| kafka.decoder.raw_secrets)
    }
}

/// Checks a configuration. `name` is what the text is called in messages.
///
/// # Errors
/// All its mistakes.
pub fn check(
    name: &str,
    text: &str,
    environment: BTreeMap<String, String>,
) -> Result<Settings, Problems> {
    check_at(name, text, environment, None)
}

/// Checks a configuration, and with the time also whether something in it has expired: a person
/// who looks at the file is told, a daemon that starts again long after is not held up.
///
/// # Errors
/// All its mistakes.
pub fn check_at(
    name: &str,
    text: &str,
    environment: BTreeMap<String, String>,
    now: Option<EventTime>,
) -> Result<Settings, Problems> {
    let (table, syntax) = toml::de::DeTable::parse_recoverable(text);
    let reader = Reader::new(environment, now);
    for error in &syntax {
        let place = error.span().map_or(Place::Missing, |span| Place::File(span.start, span.len()));
        let message = format!("this is no TOML: {}", error.message());
        reader.note(place, Wrong::new(message, "see https://toml.io"));
    }
    let settings = sections::read(&reader.root(&table));
    let problems = reader.finish();
    if problems.is_empty() { Ok(settings) } else { Err(Problems::new(name, text, problems)) }
}

/// The settings without a file.
///
/// # Errors
/// The mistakes of the environment.
pub fn defaults(environment: BTreeMap<String, String>) -> Result<Settings, Problems> {
    check("defaults", "", environment)
}

/// Variables of the environment that are no settings: of the command line, the log and the tests.
const NO_SETTINGS: [&str; 4] =
    ["TRIPLINE_URL", "TRIPLINE_SOCKET", "TRIPLINE_TOKEN_FILE", "TRIPLINE_LOG"];
const OF_TESTS: &str = "TRIPLINE_TEST_";

/// Whether Kubernetes made that variable, of a service whose name begins with `tripline`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let of_address = name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    let of_port = name.ends_with("_PORT") && value.contains("://");
    let of_ports = name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP"));
    !name.contains("__") && (of_address || of_port || of_ports)
}

/// The variables of the environment that are settings, or are meant to be: those that begin with
/// `TRIPLINE_`, in any case. A value that is no UTF-8 is [`reader::NO_UTF8`].
pub fn environment() -> BTreeMap<String, String> {
    let read = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok()?;
        let upper = name.to_uppercase();
        let is_other = NO_SETTINGS.contains(&name.as_str()) || upper.starts_with(OF_TESTS);
        if !upper.starts_with(reader::PREFIX) || is_other {
            return None;
        }
        let value = value.into_string().unwrap_or_else(|_| reader::NO_UTF8.to_owned());
        (!is_of_kubernetes(&name, &value)).then_some((name, value))
    };
    std::env::vars_os().filter_map(read).collect()
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// When it can't be read, or all its mistakes.
pub fn load(path: &Path) -> Result<Settings, LoadError> {
    load_at(path, None)
}

/// Reads and checks the file at `path`, and with the time also what has expired by then.
///
/// # Errors
/// When it can't be read, or all its mistakes.
pub fn load_at(path: &Path, now: Option<EventTime>) -> Result<Settings, LoadError> {
    let text = read_text(path)?;
    let settings = check_at(&path.display().to_string(), &text, environment(), now)?;
    Ok(Settings { file: Some(path.to_owned()), ..settings })
}

/// The largest configuration. Unit: bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a configuration as text.
///
/// # Errors
/// When it can't be read, or is far too large to be one.
pub fn read_text(path: &Path) -> Result<String, LoadError> {
    let read = || {
        let mut text = String::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(std::io::Error::other("it has more than 1 MiB"));
        }
        Ok(text)
    };
    read().map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("can't read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has mistakes.
    #[error(transparent)]
    Problems(#[from] Problems),
}
