//! The configuration read again, at SIGHUP, over the API, or as another file is put in its place.
//!
//! The sections of `LIVE_SECTIONS` change while tripline runs. Changes of others (addresses, stores,
//! files, Kafka) are reported as needing a restart. A configuration with mistakes changes nothing.

use crate::adapters::channels::{ControlMessage, ControlPlane, DataMessage, DataPlane};
use crate::adapters::clock;
use crate::adapters::enforce::auth_store;
use crate::adapters::host::error_chain::error_chain;
use crate::adapters::http::auth::{Role, TokenRights, Tokens, account_of};
use crate::adapters::http::reload::{Asked, Reloaded};
use crate::adapters::http::status::About;
use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use crate::config::loader;
use crate::config::settings::Settings;
use crate::config::table::all::{LIVE_SECTIONS, TOKENS};
use crate::control_plane::approvals::Operators;
use crate::data_plane::partition;
use crate::formats::secrets::secret::Fingerprinter;
use parking_lot::RwLock;
use prometheus::IntCounterVec;
use secrecy::ExposeSecret;
use std::collections::BTreeSet;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often it is looked whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Which file it is (device and number), when it was last written (seconds and nanoseconds), its length.
type FileVersion = (u64, u64, i64, i64, u64);

/// Metrics of reloads.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    reloads: IntCounterVec,
}

impl ReloadMetrics {
    pub(super) fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let reloads = registrar.counters(
            "reloads_total",
            "Reloads of the configuration, by result.",
            "result",
            ["applied", "refused"],
        )?;
        Ok(Self { reloads })
    }
}

/// The parts of a running daemon that follow the configuration.
#[derive(Debug)]
pub(super) struct LiveSettings {
    /// The data plane.
    pub(super) data: DataPlane,
    /// The control plane.
    pub(super) control: ControlPlane,
    /// The parameters of Kafka partitions that are taken over later.
    pub(super) partition: Arc<RwLock<Arc<partition::Params>>>,
    /// The access rules.
    pub(super) tokens: Arc<Tokens>,
    /// By which voices of people are known.
    pub(super) fingerprints: Arc<Fingerprinter>,
    /// Facts of the settings, for people.
    pub(super) about: Arc<RwLock<About>>,
    /// Whether a store counts revocations for all instances, so that nothing is divided.
    pub(super) revocation_limit_is_shared: bool,
    /// Counters.
    pub(super) metrics: ReloadMetrics,
}

/// The configuration as it was last read.
#[derive(Debug)]
pub(super) struct Reloader {
    path: Option<PathBuf>,
    table: toml::Table,
    /// As it was at the start, by which what was opened goes.
    started: toml::Table,
    follows: LiveSettings,
}

impl Reloader {
    /// Of the file at `path`, as it is now; none: there is none, and nothing to read again.
    pub(super) fn new(path: Option<PathBuf>, follows: LiveSettings) -> Self {
        let read = path.as_deref().and_then(|path| loader::read_text(path).ok());
        let table: toml::Table = read.and_then(|text| text.parse().ok()).unwrap_or_default();
        Self { path, started: table.clone(), table, follows }
    }

    /// Reads the file again whenever someone asks, or another one was put in its place, until no one
    /// can ask any more.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Asked>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut known = self.stamp();
        loop {
            tokio::select! {
                reply = asked.recv() => {
                    let Some(reply) = reply else { return };
                    known = self.stamp();
                    let told = self.reload().await;
                    // The caller may have gone away.
                    let _gone = reply.send(told);
                }
                _ = look.tick() => {
                    let now = self.stamp();
                    if now == known {
                        continue;
                    }
                    if is_another_file(known, now) {
                        // It is said in the log.
                        let _told = self.reload().await;
                    } else {
                        // A writer may be half through: a part of it may lack safeguards.
                        tracing::warn!(
                            "the configuration was written in place: it is reloaded at SIGHUP or \
                             POST /v1/reload, or once a whole file is moved there"
                        );
                    }
                    known = now;
                }
            }
        }
    }

    /// The identity of one state of the file; none where there is no file.
    fn stamp(&self) -> Option<FileVersion> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(self.path.as_ref()?).ok().filter(Metadata::is_file)?;
        Some((
            metadata.dev(),
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.len(),
        ))
    }

    /// Reads the file again; says what changed, or why the one before holds on.
    async fn reload(&mut self) -> Result<Reloaded, String> {
        let Some(path) = self.path.clone() else { return Ok(Reloaded::default()) };
        let read_at = clock::now();
        // A disk may hang: what else is to be done goes on.
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let read = read.map_err(|error| error.to_string()).and_then(|read| read);
        let fits = read.and_then(|(settings, table)| {
            if settings.http.tokens.is_empty() && !self.follows.tokens.is_local() {
                return Err(
                    "it has no [http.tokens], and tripline can be reached from other machines: \
                            nobody would need a token"
                        .to_owned(),
                );
            }
            Ok((settings, table))
        });
        let result = if fits.is_ok() { "applied" } else { "refused" };
        self.follows.metrics.reloads.with_label_values(&[result]).inc();
        match fits {
            Ok((settings, table)) => {
                let tokens_differ = self.follows.apply_settings(&settings).await;
                let mut applied = changed(&self.table, &table);
                // Their files may be others, where the configuration here is the same.
                applied.extend(tokens_differ.then(|| TOKENS.to_owned()));
                let mut after_restart = sorted(&changed(&self.started, &table)).after_restart;
                if self.follows.counts_otherwise(&settings) {
                    after_restart.push("revocation_limit.instances".to_owned());
                }
                let reloaded = Reloaded { applied: sorted(&applied).applied, after_restart };
                self.table = table;
                if reloaded.after_restart.is_empty() {
                    self.follows.about.write().configured = read_at;
                }
                tracing::info!(
                    applied = ?reloaded.applied, after_restart = ?reloaded.after_restart,
                    mode = %settings.control.modes.default, "configuration reloaded"
                );
                Ok(reloaded)
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "the configuration is invalid; the previous one stays in force (tripline \
                     check reports every error)"
                );
                Err(error)
            }
        }
    }
}

/// Whether a whole file was put in the place of the one before.
fn is_another_file(known: Option<FileVersion>, now: Option<FileVersion>) -> bool {
    let which = |stamp: Option<FileVersion>| stamp.map(|(device, number, ..)| (device, number));
    now.is_some() && which(known) != which(now)
}

/// The settings of a file, and its table.
fn read(path: &Path) -> Result<(Settings, toml::Table), String> {
    if !std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Err(format!("{} is no file", path.display()));
    }
    let text = loader::read_text(path).map_err(|error| error_chain(&error))?;
    let name = path.display().to_string();
    let checked = loader::check(&name, &text, loader::environment());
    let settings = checked.map_err(|error| error_chain(&error))?;
    Ok((settings, text.parse().unwrap_or_default()))
}

/// The sections that differ; of `http` the tokens by themselves.
fn changed(before: &toml::Table, after: &toml::Table) -> BTreeSet<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changed = BTreeSet::new();
    for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
        if name == "http" {
            let of = |table: &toml::Table| {
                let mut http = table.get("http").and_then(|it| it.as_table()).cloned();
                let tokens = http.as_mut().and_then(|http| http.remove("tokens"));
                (http.unwrap_or_default(), tokens)
            };
            let ((http, tokens), (other_http, other_tokens)) = (of(before), of(after));
            changed.extend((http != other_http).then(|| "http".to_owned()));
            changed.extend((tokens != other_tokens).then(|| TOKENS.to_owned()));
        } else {
            changed.insert(name.clone());
        }
    }
    changed
}

fn sorted(changed: &BTreeSet<String>) -> Reloaded {
    let (applied, after_restart) =
        changed.iter().cloned().partition(|name| LIVE_SECTIONS.contains(&name.as_str()));
    Reloaded { applied, after_restart }
}

impl LiveSettings {
    /// As the settings say at the start.
    pub(super) fn new(
        settings: &Settings,
        (data, control): (DataPlane, ControlPlane),
        partition: Arc<RwLock<Arc<partition::Params>>>,
        revocation_limit_is_shared: bool,
        (fingerprints, metrics): (&Arc<Fingerprinter>, &ReloadMetrics),
    ) -> Self {
        let about = About {
            mode: settings.control.modes.default,
            memory_bytes_max: settings.partition.all_bytes(),
            checkpoint_interval_ms: settings.checkpoint_interval_ms,
            revocation_limit: settings.control.revocation_limit,
            skew_ms_max: settings.partition.skew_ms_max,
            started: clock::now(),
            configured: clock::now(),
        };
        let tokens = Arc::new(Tokens::new(settings.http.listen.ip().is_loopback()));
        let about = Arc::new(RwLock::new(about));
        set_tokens(&tokens, settings);
        let (metrics, fingerprints) = (metrics.clone(), Arc::clone(fingerprints));
        Self {
            data,
            control,
            partition,
            tokens,
            fingerprints,
            about,
            revocation_limit_is_shared,
            metrics,
        }
    }

    /// Whether who counts revocations for all instances is chosen otherwise by these than at the start.
    fn counts_otherwise(&self, settings: &Settings) -> bool {
        let can_be = settings.stores.iter().any(auth_store::Params::can_be_shared);
        let is_wanted = can_be && settings.control.revocation_limit.instances > 1;
        is_wanted != self.revocation_limit_is_shared
    }

    /// Goes by these from now on; says whether other tokens are known.
    async fn apply_settings(&self, settings: &Settings) -> bool {
        let mut control = settings.control.clone();
        control.operators = Some(operators(settings, &self.fingerprints));
        if self.revocation_limit_is_shared {
            (control.revocation_limit.instances, control.revocation_limit.shared) = (1, true);
        }
        let before = Arc::clone(&self.partition.read());
        let profile = settings.partition.profile.clone();
        let named_tenants = settings.partition.named_tenants.clone();
        let partition = partition::Params { profile, named_tenants, ..(*before).clone() };
        let partition = Arc::new(partition);
        let (mode, revocation_limit) = (control.modes.default, control.revocation_limit);
        let tokens_differ = set_tokens(&self.tokens, settings);
        // The control plane follows it first: a lower mode holds before a stricter limit finds anything.
        self.control.send(ControlMessage::Params(Arc::new(control))).await;
        {
            let mut about = self.about.write();
            *about = About { mode, revocation_limit, ..*about };
        }
        *self.partition.write() = Arc::clone(&partition);
        self.data.broadcast(|| DataMessage::Params(Arc::clone(&partition))).await;
        tokens_differ
    }
}

/// The tokens that may operate, by the accounts of their secrets.
pub(super) fn operators(settings: &Settings, fingerprints: &Fingerprinter) -> Arc<Operators> {
    let may = settings.http.tokens.iter().filter(|one| one.roles.contains(&Role::Operate));
    let known = may.map(|one| {
        (one.name.as_str().into(), account_of(fingerprints, one.secret.expose_secret()))
    });
    Arc::new(known.collect())
}

/// Knows the tokens of the settings, and no others; says whether they differ from those before.
fn set_tokens(tokens: &Tokens, settings: &Settings) -> bool {
    let known = settings.http.tokens.iter();
    tokens.set(known.map(|one| TokenRights {
        name: &one.name,
        secret: &one.secret,
        roles: &one.roles,
        sources: one.sources.as_deref(),
    }))
}

#[cfg(test)]
mod tests {
    use super::{changed, sorted};
    use crate::adapters::http::reload::Reloaded;

    #[test]
    fn what_holds_at_once_is_told_from_what_needs_a_restart() {
        let before = "[mode]\ndefault = \"shadow\"\n[http]\nlisten = \"127.0.0.1:1\"\n";
        let after = "[mode]\ndefault = \"alert\"\n[sources.kafka]\ntype = \"kafka\"\nbrokers = \"a\"\n\
                     [http]\nlisten = \"127.0.0.1:1\"\n[http.tokens.ops]\nroles = [\"read\"]\n";
        let read = |text: &str| text.parse::<toml::Table>().expect("TOML");
        let told = sorted(&changed(&read(before), &read(after)));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected = Reloaded {
            applied: names(&["http.tokens", "mode"]),
            after_restart: names(&["sources"]),
        };
        assert_eq!(told, expected);
        assert_eq!(sorted(&changed(&read(after), &read(after))), Reloaded::default());
    }
}
