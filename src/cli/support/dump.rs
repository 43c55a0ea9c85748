//! `tripline support dump`: all that helps to help, in one archive, without secrets, and without names
//! unless they are asked for.

use super::redact::Redactor;
use crate::adapters::clock;
use crate::adapters::host::logging;
use crate::cli::client::{Client, ClientError, Connection, Output};
use crate::cli::doctor::checks::{self, DoctorArgs};
use crate::cli::doctor::files;
use crate::cli::exit::Exit;
use crate::cli::output::{print_error, print_out};
use crate::config::loader;
use crate::config::settings::Settings;
use clap::{Args, Subcommand};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Findings and decisions that are taken along at most.
const ROWS_MAX: usize = 200;
/// The end of a log that is taken along. Unit: bytes. Chosen: some thousand lines.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// How long the daemon may take to answer each question.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A redacted support bundle.
#[derive(Debug, Subcommand)]
pub enum Support {
    /// Write a redacted archive (.tar.gz) for support: version, settings, doctor's report, status,
    /// metrics, the newest findings and decisions, facts about the machine. Secrets are left out;
    /// names of credentials, subjects, addresses and reasons become hashes. Review it before you
    /// send it.
    Dump(DumpArgs),
}

/// The arguments of `support dump`.
#[derive(Debug, Args)]
pub struct DumpArgs {
    /// The configuration.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The daemon's address. [default: from its configuration]
    #[arg(long, env = "TRIPLINE_URL")]
    pub url: Option<String>,
    /// The daemon's Unix socket. [default: from its configuration]
    #[arg(long, env = "TRIPLINE_SOCKET")]
    pub socket: Option<PathBuf>,
    /// A file with a bearer token.
    #[arg(long, env = "TRIPLINE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// The output file; an existing file is never overwritten. [default:
    /// ./tripline-support-TIME.tar.gz]
    #[arg(long, short)]
    pub output: Option<PathBuf>,
    /// The daemon's log, whose end is included; `journalctl -o cat -u tripline > FILE` writes one.
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Keep the names of credentials, tenants and people, addresses and reasons: no hashes.
    #[arg(long)]
    pub with_names: bool,
}

impl DumpArgs {
    fn doctor(&self) -> DoctorArgs {
        let connection = Connection {
            instance: None,
            url: self.url.clone(),
            socket: self.socket.clone(),
            token_file: self.token_file.clone(),
            output: Output::Json,
        };
        DoctorArgs { config: self.config.clone(), connection, canary: false, no_daemon: false }
    }
}

/// A file of the archive, and what it is.
struct Part {
    name: &'static str,
    about: &'static str,
    text: String,
}

/// Runs `tripline support …`.
pub fn run(command: &Support) -> Exit {
    let Support::Dump(args) = command;
    logging::start("off");
    let time = clock::now().to_string();
    let time: String = time.split('.').next().unwrap_or("").replace([':', '-'], "");
    let folder = format!("tripline-support-{time}Z");
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{folder}.tar.gz")));
    match dump(args, &path, &folder) {
        Ok(told) => {
            print_out(&told);
            Exit::Good
        }
        Err(error) => {
            print_error(&error);
            Exit::Findings
        }
    }
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
enum DumpError {
    #[error("{} exists; name another file: --output FILE", .0.display())]
    Exists(PathBuf),
    #[error("can't write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("can't read the log {}", path.display())]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("can't look")]
    Look(#[source] io::Error),
}

fn dump(args: &DumpArgs, path: &Path, folder: &str) -> Result<String, DumpError> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return DumpError::Exists(path.to_owned());
        }
        DumpError::Write { path: path.to_owned(), source }
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = gather(args).and_then(|parts| {
        let packed = pack(&parts, folder, args.with_names).map_err(failed)?;
        file.write_all(&packed).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok((parts, packed.len()))
    });
    match written {
        Ok((parts, bytes)) => Ok(farewell(&parts, path, bytes, args.with_names)),
        Err(error) => {
            // Half of one is of no use to anyone.
            let _gone = std::fs::remove_file(path);
            Err(error)
        }
    }
}

/// The bundle's parts, and the steps before it is sent.
fn farewell(parts: &[Part], path: &Path, bytes: usize, with_names: bool) -> String {
    let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
    let of_names = if with_names {
        "Credentials, tenants, people, addresses and reasons ARE in it by name."
    } else {
        "Credentials, tenants, people, addresses and reasons are hashes in it."
    };
    format!(
        "{path}: {} KiB, for you alone (mode 0600)\nIn it: README.txt, {}. {of_names} Secrets were taken \
         out where they were known. Look through it before you send it: tar -xzOf {path} | less",
        bytes.div_ceil(1024),
        names.join(", "),
        path = path.display(),
    )
}

fn gather(args: &DumpArgs) -> Result<Vec<Part>, DumpError> {
    let of_doctor = args.doctor();
    let report = checks::examine(&of_doctor).map_err(DumpError::Look)?;
    let settings = match &args.config {
        Some(file) => loader::load(file).ok(),
        None => loader::defaults(loader::environment()).ok(),
    };
    let text = args.config.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    let table = text.and_then(|text| text.parse::<toml::Table>().ok());
    let mut veil = veil(args, settings.as_ref(), table.as_ref()).map_err(DumpError::Look)?;

    let configuration = json!({
        "file": args.config,
        "settings": table.as_ref().map(|table| veil.settings(table)),
        "environment": veil.environment(),
        "remark": "settings not listed here have their default: tripline generate config",
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DumpError::Look)?;
    let connection = of_doctor.connection.or_of(settings.as_ref());
    let told = runtime.block_on(RenamedNames::ask(&connection));
    let (decisions, findings) = (rows(&told.decisions, &mut veil), rows(&told.findings, &mut veil));
    // After findings and decisions, whose names are sought in it.
    let log = args.log.as_ref().map(|path| log_tail(path, &mut veil)).transpose()?;
    let data_dir = settings.as_ref().map(|settings| settings.data_dir.as_path());
    let report = veil.text(&pretty(&serde_json::to_value(&report).unwrap_or_default()));
    let part = |name, about, text| Part { name, about, text };
    let mut parts = vec![
        part("version.json", "the version and build of this command", pretty(&version())),
        part(
            "configuration.json",
            "settings of the file and the environment",
            pretty(&configuration),
        ),
        part("doctor.json", "what `tripline doctor` found", report),
        part("status.json", "the daemon's /v1/status", pretty(&told.status)),
        part("metrics.txt", "the daemon's /metrics", told.metrics),
        part("decisions.ndjson", "the newest decisions, 200 at most", decisions),
        part("findings.ndjson", "the newest findings, 200 at most", findings),
        part("system.json", "facts of this machine", pretty(&super::system::facts(data_dir))),
    ];
    if let Some(log) = log {
        parts.push(part("log.txt", "the end of the log that was named", log));
    }
    for part in &mut parts {
        part.text = veil.without_secrets(&part.text);
    }
    Ok(parts)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Knows the secrets that this configuration names.
fn veil(
    args: &DumpArgs,
    settings: Option<&Settings>,
    table: Option<&toml::Table>,
) -> io::Result<Redactor> {
    let mut secret = files::secret_files(args.config.as_deref());
    secret.extend(args.token_file.clone());
    secret.extend(settings.map(|settings| settings.data_dir.join("fingerprint.key")));
    let mut key = vec![0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    Ok(Redactor::new(super::redact::secrets(&secret, table), key, args.with_names))
}

fn version() -> Value {
    let features: Vec<&str> = [
        (cfg!(feature = "kafka-ssl"), "kafka-ssl"),
        (cfg!(feature = "kafka-ssl-vendored"), "kafka-ssl-vendored"),
        (cfg!(feature = "kafka-gssapi"), "kafka-gssapi"),
        (cfg!(feature = "cloud"), "cloud"),
    ]
    .into_iter()
    .filter_map(|(is_on, name)| is_on.then_some(name))
    .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "features": features,
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "written": clock::now().to_string(),
    })
}

/// The answers of the daemon; where it gives none, why.
#[derive(Default)]
struct RenamedNames {
    status: Value,
    metrics: String,
    decisions: Value,
    findings: Value,
}

impl RenamedNames {
    async fn ask(connection: &Connection) -> Self {
        let client = match Client::new(connection) {
            Ok(client) => client,
            Err(error) => return Self { status: why(&error), ..Self::default() },
        };
        let late = || ClientError::Late { seconds: ANSWER_MAX.as_secs() };
        let get = async |path: &str| {
            let answer = tokio::time::timeout(ANSWER_MAX, client.get(path)).await;
            answer.unwrap_or_else(|_| Err(late())).unwrap_or_else(|error| why(&error))
        };
        let metrics = tokio::time::timeout(ANSWER_MAX, client.ask("/metrics", &[])).await;
        let metrics = metrics.unwrap_or_else(|_| Err(late()));
        Self {
            status: get("/v1/status").await,
            metrics: metrics.map_or_else(|error| error.to_string(), |(_, text)| text),
            decisions: get(&format!("/v1/decisions?limit={ROWS_MAX}")).await,
            findings: get(&format!("/v1/findings?limit={ROWS_MAX}")).await,
        }
    }
}

fn why(error: &ClientError) -> Value {
    json!({ "error": error.to_string() })
}

/// A line each.
fn rows(answer: &Value, veil: &mut Redactor) -> String {
    let Value::Array(rows) = answer else { return answer.to_string() };
    let lines: Vec<String> = rows.iter().map(|row| veil.row(row).to_string()).collect();
    lines.join("\n")
}

fn log_tail(path: &Path, veil: &mut Redactor) -> Result<String, DumpError> {
    let failed = |source| DumpError::Log { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let from = length.saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be half of one.
    let lines = text.lines().skip(usize::from(from > 0));
    let lines: Vec<String> = lines.map(|line| veil.log_line(line)).collect();
    Ok(lines.join("\n"))
}

fn pack(parts: &[Part], folder: &str, with_names: bool) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let now_s = u64::try_from(clock::now().ms() / 1000).unwrap_or(0);
    let mut add = |name: &str, text: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now_s);
        archive.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())
    };
    add("README.txt", &readme(parts, with_names))?;
    for part in parts {
        add(part.name, &format!("{}\n", part.text.trim_end()))?;
    }
    archive.into_inner()?.finish()
}

fn readme(parts: &[Part], with_names: bool) -> String {
    let mut text = "Written by `tripline support dump`.\n\n".to_owned();
    for part in parts {
        text.push_str(&format!("{:20} {}\n", part.name, part.about));
    }
    text.push_str(if with_names {
        "\nNames of credentials, tenants and people, addresses and reasons are in it (--with-names).\n"
    } else {
        "\nh_… stands for the name of a credential, a tenant or a person, an address or a reason: the same\n\
         name has the same hash within this archive alone. Ids of decisions and findings are theirs:\n\
         `tripline explain ID` explains them to the operator of the daemon. They derive from the\n\
         credential and the time, so a correct guess of both can be confirmed.\n"
    });
    text.push_str(
        "Secrets of the configuration, and what looks like one, were taken out. Look through it before\n\
         you send it.\n",
    );
    text
}
