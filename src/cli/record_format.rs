//! How records of files are read: by the configuration, and by what the command line says instead.

use super::exit::Exit;
use super::output::print_problem;
use crate::adapters::sources::ingest::DEFAULT_SOURCE;
use crate::config::loader::{self, LoadError};
use crate::config::reader;
use crate::config::sections::catalog;
use crate::config::settings::{Settings, Sources};
use crate::model::time::EventTime;
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::path::{Path, PathBuf};

/// The configuration, and how records of files are read.
#[derive(Clone, Debug, Default, Args)]
pub struct RecordArgs {
    /// The configuration. [default: built-in defaults]
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How records are read.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// How records of files are read.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// Read the files as records of this source of the configuration. [default: its only one, or
    /// `default`]
    #[arg(long)]
    pub source: Option<String>,
    /// The format of records; `mapping` needs a configuration. [default: as configured]
    #[arg(long, value_parser = PossibleValuesParser::new(catalog::names()))]
    pub format: Option<String>,
    /// Which records show that the caller holds the credential, so that they count: never, 2xx, always, …
    /// (docs/events.md). [default: as configured, or as the format has it]
    #[arg(long)]
    pub verified: Option<String>,
}

impl RecordArgs {
    /// Loads the configuration, and lets the command line replace what it says of the source.
    ///
    /// # Errors
    /// The exit code, once all mistakes have been said.
    pub(crate) fn load(&self) -> Result<Settings, Exit> {
        self.source.load(self.config.as_deref(), None, None)
    }
}

impl SourceArgs {
    /// Loads a configuration, or the defaults; with the time, what has expired by then is a mistake, too. Without
    /// the name of a source that of the one that follows `file` counts.
    ///
    /// # Errors
    /// The exit code, once all mistakes have been said.
    pub(crate) fn load(
        &self,
        config: Option<&Path>,
        now: Option<EventTime>,
        file: Option<&Path>,
    ) -> Result<Settings, Exit> {
        let environment = loader::environment();
        let load = |environment| {
            let loaded = match config {
                Some(path) => loader::load_with(path, environment, now),
                None => loader::defaults(environment).map_err(LoadError::from),
            };
            loaded.map_err(|error| {
                super::output::print_error(&error);
                Exit::Configuration
            })
        };
        let replaced = [("FORMAT", &self.format), ("VERIFIED", &self.verified)];
        let replaced: Vec<(&str, &String)> =
            replaced.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
        let named = |sources: &Sources| {
            let of_file = || file.and_then(|file| sources.of_file(file));
            self.source.as_deref().or_else(of_file).unwrap_or_else(|| sources.only()).to_owned()
        };
        // Before the replacement the configuration may be wrong, where both are needed.
        let is_plain = replaced.is_empty() || config.is_none() || self.source.is_some();
        let section = match (is_plain, &self.source) {
            (true, Some(name)) => name.clone(),
            (true, None) => DEFAULT_SOURCE.to_owned(),
            (false, _) => named(&load(environment.clone())?.sources),
        };
        let prefix = format!("{}SOURCES__{}__", reader::PREFIX, section.to_uppercase());
        let mut changed = environment;
        changed.extend(
            replaced.iter().map(|(key, value)| (format!("{prefix}{key}"), (*value).clone())),
        );
        let mut settings = load(changed)?;
        let name = if replaced.is_empty() { named(&settings.sources) } else { section };
        let Some(decoder) = settings.sources.decoders.get(&name) else {
            let known: Vec<&str> = settings.sources.decoders.keys().map(String::as_str).collect();
            print_problem(&format!("there is no source `{name}`; there is {}", known.join(", ")));
            return Err(Exit::Usage);
        };
        settings.decoder = decoder.clone();
        settings.decoder_source = name;
        Ok(settings)
    }
}

/// The most severe action that the events of each source can lead to, a line each.
pub(crate) fn consequences(settings: &Settings) -> String {
    let severe = settings.control.modes.most_severe();
    let lines = settings.sources.decoders.iter().map(|(source, decoder)| {
        let name = decoder.format.as_str();
        match decoder.format.counts() {
            Some(counted) => format!(
                "  {source} ({name}): a request {counted} counts; by mode, that leads to {severe} \
                 at most\n"
            ),
            None => format!(
                "  {source} ({name}): no request counts, so its events lead to alerts at most; \
                 say in [sources.{source}] which do, as verified = \"2xx\"\n"
            ),
        }
    });
    lines.collect::<String>().trim_end().to_owned()
}
