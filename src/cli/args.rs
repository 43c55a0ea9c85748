//! The command line: one table from which help, man pages and completions come.

use super::audit::expiry::{self, AuditCommand};
use super::backtest::{self, BacktestArgs};
use super::client::{self, Connection};
use super::doctor::checks;
use super::exit::Exit;
use super::limits::suggest::{self, LimitsCommand};
use super::record_format::{RecordArgs, SourceArgs, consequences};
use super::sample;
use super::scenario::expectation;
use super::scenario::runner;
use super::simulate::{self, SimulateArgs};
use super::support::dump;
use super::top::app;
use super::{
    budget, canary, credentials, decisions, demo, explain, findings, generate, health, journal,
    notify, rekey, reload, replay, run, tenants,
};
use crate::adapters::clock;
use crate::adapters::host::logging;
use crate::config::loader;
use crate::config::loader::LoadError;
use crate::config::settings::Settings;
use crate::formats::events::refusal::Refusal;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;

/// Watches how every API key, token and session is used, notices abuse within a second, and takes
/// the credential out of service.
#[derive(Debug, Parser)]
#[command(name = "tripline", version, max_term_width = 100)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a demonstration: a simulated fleet, a stolen key, detection, revocation, undo; a leak report,
    /// a copied refresh token. Needs no set-up and ends by itself; exit code 0 only if every step
    /// succeeded.
    Demo(DemoArgs),
    /// Run the daemon. Without a configuration: HTTP source on 127.0.0.1:7878, embedded store in
    /// ./tripline-data, mode shadow.
    Run {
        /// The configuration.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Run files or standard input through the same engine, and report findings and decisions.
    Replay(ReplayArgs),
    /// Write a labelled stream of events: honest clients from rate traces, with attacks and with
    /// benign look-alikes.
    Simulate(SimulateArgs),
    /// Measure detection: false alarms per key-day, power and delay by attack. Reads files and their
    /// labels; without files it generates streams from traces.
    Backtest(Box<BacktestArgs>),
    /// List and show credentials; suspend, revoke and restore them.
    Credentials {
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
        /// The command.
        #[command(subcommand)]
        command: credentials::Credentials,
    },
    /// Add, list and remove canaries: credentials that no one has a reason to use.
    Canary {
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
        /// The command.
        #[command(subcommand)]
        command: canary::Canary,
    },
    /// List, show and follow findings.
    Findings {
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
        /// The command.
        #[command(subcommand)]
        command: findings::Findings,
    },
    /// List and show decisions; approve or reject pending revocations.
    Decisions {
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
        /// The command.
        #[command(subcommand)]
        command: decisions::Decisions,
    },
    /// Verify and maintain the journal.
    Journal {
        /// The command.
        #[command(subcommand)]
        command: journal::Journal,
    },
    /// Test the receivers of notifications.
    Notify {
        /// The command.
        #[command(subcommand)]
        command: notify::Notify,
    },
    /// Explain a finding, or all findings of a credential: evidence, decisions, and the safeguards
    /// that held them back.
    Explain {
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
        /// A finding (`f_…`), or a credential (`kind:id`, or the id of an API key).
        id: String,
    },
    /// Copy a Kafka topic to one keyed by credential, each event exactly once: tripline needs all
    /// events of a credential in one partition. Runs until a signal ends it, and resumes when it is
    /// started again.
    Rekey(rekey::RekeyArgs),
    /// Show the daemon live on a terminal: its health, the busiest credentials, open findings, the
    /// newest decisions.
    Top(app::TopArgs),
    /// Check configuration, daemon and dependencies, each failure with its remedy: files, Kafka and
    /// its keys, Redis and its rights, stores, notifications, clocks. Exit code 1 if a check failed, 78
    /// if the configuration is invalid.
    Doctor(checks::DoctorArgs),
    /// Create a redacted support bundle.
    Support {
        /// The command.
        #[command(subcommand)]
        command: dump::Support,
    },
    /// Show the proven upper bound on false actions by kind of credential, and how much more traffic
    /// an action needs before it is enabled.
    Budget {
        /// For the credentials of this tenant, whose own false alarms count in full. Default: for those
        /// without a tenant, or of one without use and false alarms of its own.
        #[arg(long)]
        tenant: Option<String>,
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
    },
    /// Reload the configuration; report what was applied and what needs a restart.
    Reload {
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
    },
    /// Check that the daemon is ready, as container checks do. Exit code 1 if it is not, 69 if it
    /// can't be reached.
    Health {
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
    },
    /// Show each tenant's requests in the last whole minute against its baseline.
    Tenants {
        /// Where the daemon is.
        #[command(flatten)]
        connection: Connection,
    },
    /// Generate what ships with tripline: configuration, dashboards, alerts, units, completions, reference.
    Generate {
        /// The output.
        #[command(subcommand)]
        what: generate::Generate,
    },
    /// Test a configuration against scenarios: events in, findings and decisions expected. Exit code 1
    /// if an expectation fails.
    Test {
        /// The scenarios (TOML).
        #[arg(required = true)]
        scenarios: Vec<PathBuf>,
        /// Output format.
        #[arg(long, short, value_enum, default_value = "table")]
        output: client::Output,
    },
    /// Propose limits from a history of events.
    Limits {
        /// The command.
        #[command(subcommand)]
        command: LimitsCommand,
    },
    /// Audit files of events: whether credentials are used within their life.
    Audit {
        /// The command.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Validate a configuration and report every error; show how records are understood. Exit code 78 if the
    /// configuration has an error, 1 if no record of the sample is read.
    Check(CheckArgs),
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file. [default with --sample: built-in defaults]
    #[arg(required_unless_present = "sample")]
    pub file: Option<PathBuf>,
    /// Records of a source: show the first five field by field, what is refused and why, and what would
    /// follow from them.
    #[arg(long)]
    pub sample: Option<PathBuf>,
    /// How records are read.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The port of the demo; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Keep running after the demonstration: every minute another key leaks.
    #[arg(long)]
    pub stay: bool,
}

/// The arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Files to read in this order; `-` is standard input; `.gz` and `.zst` are unpacked.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How records are read.
    #[command(flatten)]
    pub records: RecordArgs,
    /// Output file for findings in their final state, one JSON object a line; `-` is standard
    /// output.
    #[arg(long)]
    pub findings: Option<PathBuf>,
    /// Output file for decisions, one JSON object a line.
    #[arg(long)]
    pub decisions: Option<PathBuf>,
    /// Output file for rejected records (place and reason), one JSON object a line.
    #[arg(long)]
    pub rejects: Option<PathBuf>,
    /// Output file for the report as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
}

/// Runs the command; gives its exit code.
pub fn run(cli: Cli) -> Exit {
    match cli.command {
        Command::Demo(args) => {
            logging::start("error");
            demo::launch::demo(args.port, args.stay)
        }
        Command::Run { config } => {
            logging::start("info");
            load(config.as_ref()).map_or_else(|exit| exit, run::run)
        }
        Command::Rekey(args) => {
            logging::start("warn");
            load(Some(&args.config)).map_or_else(|exit| exit, |settings| rekey::run(args, settings))
        }
        Command::Replay(args) => run_replay(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Backtest(args) => {
            args.records.load().map_or_else(|exit| exit, |settings| backtest::run(&args, &settings))
        }
        Command::Credentials { connection, command } => credentials::run(&connection, command),
        Command::Canary { connection, command } => canary::run(&connection, command),
        Command::Findings { connection, command } => findings::run(&connection, command),
        Command::Decisions { connection, command } => decisions::run(&connection, command),
        Command::Notify { command: notify::Notify::Test { config, receiver } } => {
            logging::start("warn");
            let test = |settings: Settings| {
                notify::test(&settings, config.as_deref(), receiver.as_deref())
            };
            load(config.as_ref()).map_or_else(|exit| exit, test)
        }
        Command::Journal { command } => journal::run(&command),
        Command::Explain { connection, id } => explain::explain(&connection, &id),
        Command::Top(args) => app::run(args),
        Command::Doctor(args) => checks::run(&args),
        Command::Support { command } => dump::run(&command),
        Command::Budget { tenant, connection } => budget::budget(&connection, tenant.as_deref()),
        Command::Reload { connection } => reload::reload(&connection),
        Command::Health { connection } => health::health(&connection),
        Command::Tenants { connection } => tenants::tenants(&connection),
        Command::Limits { command: LimitsCommand::Suggest(args) } => {
            args.records.load().map_or_else(|exit| exit, |settings| suggest::run(&args, &settings))
        }
        Command::Audit { command: AuditCommand::Expiry(args) } => {
            args.records.load().map_or_else(|exit| exit, |settings| expiry::run(&args, &settings))
        }
        Command::Generate { what } => generate::run(&what, Cli::command()),
        Command::Test { scenarios, output } => run_scenarios(&scenarios, output),
        Command::Check(args) => run_check(&args),
    }
}

/// Loads a configuration, or the defaults.
///
/// # Errors
/// The exit code, once all mistakes have been said.
pub(crate) fn load(path: Option<&PathBuf>) -> Result<Settings, Exit> {
    let loaded = match path {
        Some(path) => loader::load(path),
        None => loader::defaults(loader::environment()).map_err(LoadError::from),
    };
    loaded.map_err(|error| {
        super::output::print_error(&error);
        Exit::Configuration
    })
}

fn run_scenarios(scenarios: &[PathBuf], output: client::Output) -> Exit {
    let mut exit = Exit::Good;
    for path in scenarios {
        match runner::run(path) {
            Ok(outcomes) => {
                if outcomes.iter().any(|outcome| !outcome.came_true) {
                    exit = Exit::Findings;
                }
                super::output::print_out(&match output {
                    client::Output::Json => serde_json::to_string(&outcomes).unwrap_or_default(),
                    client::Output::Table => {
                        format!("{}\n{}", path.display(), expectation::table(&outcomes))
                    }
                });
            }
            Err(error) => {
                super::output::print_error(&error);
                return Exit::Configuration;
            }
        }
    }
    exit
}

fn run_check(args: &CheckArgs) -> Exit {
    let settings =
        match args.source.load(args.file.as_deref(), Some(clock::now()), args.sample.as_deref()) {
            Ok(settings) => settings,
            Err(exit) => return exit,
        };
    if let Some(file) = &args.file {
        let led_to = consequences(&settings);
        super::output::print_out(&format!("{}: no errors\n{led_to}", file.display()));
    }
    let Some(path) = &args.sample else { return Exit::Good };
    match sample::describe(&settings, path) {
        Ok(sample) => {
            super::output::print_out(&sample.table(&settings));
            if sample.is_blind() { Exit::Findings } else { Exit::Good }
        }
        Err(error) => {
            super::output::print_problem(&format!("can't read {}: {error}", path.display()));
            Exit::Findings
        }
    }
}

fn run_replay(args: &ReplayArgs) -> Exit {
    let settings = match args.records.load() {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let outputs = replay::Outputs {
        findings: args.findings.clone(),
        decisions: args.decisions.clone(),
        rejects: args.rejects.clone(),
        report: args.report.clone(),
    };
    let bar = replay::progress_bar(&args.files);
    match replay::replay(&settings, &args.files, &outputs, &bar) {
        Ok(report) => {
            bar.finish_and_clear();
            super::output::print_err(&replay::table(&report));
            for (file, error) in &report.unread {
                super::output::print_problem(&format!("can't read {file} to its end: {error}"));
            }
            if report.events > 0 && report.unverified == report.events {
                super::output::print_problem(
                    "none of the events counts as a use of its credential: say which do, by \
                     --verified 2xx, or as verified = \"2xx\" of the source (docs/events.md)",
                );
            }
            let is_blind = say_what_was_refused(&report, args, settings.decoder.format.as_str());
            if report.unread.is_empty() && !is_blind { Exit::Good } else { Exit::Findings }
        }
        Err(error) => {
            bar.abandon();
            super::output::print_error(&error);
            Exit::Findings
        }
    }
}

/// Says what was refused and why, and which format it may have; whether that is more than a replay can be
/// trusted with.
fn say_what_was_refused(report: &replay::Report, args: &ReplayArgs, format: &str) -> bool {
    for (reason, place) in &report.first_refused {
        let remedy = Refusal::ALL.into_iter().find(|one| one.as_str() == *reason);
        let remedy = remedy.map_or("", Refusal::remedy);
        super::output::print_problem(&format!("{reason}, the first is {place}: {remedy}"));
    }
    let is_blind = report.is_blind();
    if is_blind && report.malformed > 0 {
        super::output::print_problem(&format!(
            "{} of {} records were refused: the findings say little",
            report.malformed,
            report.events + report.malformed
        ));
        let guessed = args.files.first().and_then(|file| sample::guess(file, format));
        if let Some(guessed) = guessed {
            super::output::print_problem(&format!(
                "{} looks like the format {guessed}: --format {guessed}",
                args.files.first().map(|file| file.display().to_string()).unwrap_or_default()
            ));
        }
    }
    is_blind
}
