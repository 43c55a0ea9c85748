//! Configuration files and the environment, read and checked.

use super::value::InvalidValue;
use crate::config::reader::Place;
use crate::config::reader::Problems;
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::model::time::EventTime;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

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
/// who looks at the file learns of it, a daemon that starts again long after is not held up.
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
        let message = format!("invalid TOML: {}", error.message());
        reader.report(place, InvalidValue::new(message, "see https://toml.io"));
    }
    let settings = super::sections::all::read(&reader.root(&table));
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
const NO_SETTINGS: [&str; 5] =
    ["TRIPLINE_URL", "TRIPLINE_SOCKET", "TRIPLINE_TOKEN_FILE", "TRIPLINE_INSTANCE", "TRIPLINE_LOG"];

const OF_TESTS: &str = "TRIPLINE_TEST_";

/// Whether Kubernetes made that variable, of a service whose name begins with `tripline`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let of_address = name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    let of_port = name.ends_with("_PORT") && value.contains("://");
    let of_ports = name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP"));
    !name.contains("__") && (of_address || of_port || of_ports)
}

/// The variables of the environment that are settings, or are meant to be: those that begin with
/// `TRIPLINE_`, in any case. A value that is no UTF-8 is `reader::NO_UTF8`.
pub fn environment() -> BTreeMap<String, String> {
    let read = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok()?;
        let upper = name.to_uppercase();
        let is_other = NO_SETTINGS.contains(&name.as_str()) || upper.starts_with(OF_TESTS);
        if !upper.starts_with(super::reader::PREFIX) || is_other {
            return None;
        }
        let value = value.into_string().unwrap_or_else(|_| super::reader::NO_UTF8.to_owned());
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
    load_with(path, environment(), now)
}

/// The same with these variables instead of the environment's.
///
/// # Errors
/// When it can't be read, or all its mistakes.
pub fn load_with(
    path: &Path,
    environment: BTreeMap<String, String>,
    now: Option<EventTime>,
) -> Result<Settings, LoadError> {
    let text = read_text(path)?;
    let settings = check_at(&path.display().to_string(), &text, environment, now)?;
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
            return Err(std::io::Error::other("it is larger than 1 MiB"));
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
