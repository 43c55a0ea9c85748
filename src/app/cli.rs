//! The command line: one table from which help, man pages and completions come.

use super::settings::{self, LoadError, Settings};
use crate::app::exit::Exit;
use crate::app::replay;
use crate::wire::decoder::Decoder;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Watches how every API key, token and session is used, notices abuse within a second, and takes
/// the credential out of service.
#[derive(Debug, Parser)]
#[command(name = "tripline", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read files or standard input through the same engine, and say what was found.
    Replay(ReplayArgs),
    /// Say all mistakes of a configuration at once. Exit code 78 if there are any.
    Check {
        /// The configuration file.
        file: PathBuf,
    },
}

/// The arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Files to read in this order; `-` is standard input; `.gz` and `.zst` are unpacked.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The configuration; without one the defaults hold.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// How records are read; `mapping` needs a configuration. [default: of the configuration]
    #[arg(long)]
    pub format: Option<Format>,
    /// Where findings go as they ended, one JSON object a line; `-` is standard output.
    #[arg(long)]
    pub findings: Option<PathBuf>,
    /// Where decisions go, one JSON object a line.
    #[arg(long)]
    pub decisions: Option<PathBuf>,
    /// Where the places of refused records go, one JSON object a line.
    #[arg(long)]
    pub dead_letters: Option<PathBuf>,
    /// Where the report goes as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
}

/// How records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// The contract: one JSON object a line.
    Native,
    /// AWS CloudTrail.
    #[value(name = "cloudtrail")]
    CloudTrail,
    /// Access logs in the common or the combined format.
    AccessLog,
    /// The operator's own JSON, by the configuration.
    Mapping,
}

/// Runs the command; gives its exit code.
pub fn run(cli: Cli) -> Exit {
    match cli.command {
        Command::Replay(args) => run_replay(&args),
        Command::Check { file } => run_check(&file),
    }
}

/// Loads a configuration, or the defaults.
///
/// # Errors
/// The exit code, once all mistakes have been said.
pub(super) fn load(path: Option<&PathBuf>) -> Result<Settings, Exit> {
    let loaded = match path {
        Some(path) => settings::load(path),
        None => settings::defaults(settings::environment()).map_err(LoadError::from),
    };
    loaded.map_err(|error| {
        super::say_error(&error);
        Exit::Configuration
    })
}

fn run_check(file: &PathBuf) -> Exit {
    match load(Some(file)) {
        Ok(_) => {
            super::say(&format!("{}: no mistakes", file.display()));
            Exit::Good
        }
        Err(exit) => exit,
    }
}

fn run_replay(args: &ReplayArgs) -> Exit {
    let mut settings = match load(args.config.as_ref()) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    match (args.format, &settings.decoder) {
        (None, _) | (Some(Format::Mapping), Decoder::Mapping(_)) => {}
        (Some(Format::Mapping), _) => {
            super::say_problem(
                "--format mapping needs a configuration with [intake] format = \"mapping\" and [intake.mapping]",
            );
            return Exit::Usage;
        }
        (Some(Format::Native), _) => settings.decoder = Decoder::Native,
        (Some(Format::CloudTrail), _) => settings.decoder = Decoder::CloudTrail,
        (Some(Format::AccessLog), _) => settings.decoder = Decoder::AccessLog(settings.access_log),
    }
    let outputs = replay::Outputs {
        findings: args.findings.clone(),
        decisions: args.decisions.clone(),
        dead_letters: args.dead_letters.clone(),
        report: args.report.clone(),
    };
    let bar = replay::progress_bar(&args.files);
    match replay::replay(&settings, &args.files, &outputs, &bar) {
        Ok(report) => {
            bar.finish_and_clear();
            super::say_aside(&replay::table(&report));
            Exit::Good
        }
        Err(error) => {
            bar.abandon();
            super::say_error(&error);
            Exit::Findings
        }
    }
}
