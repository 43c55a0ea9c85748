//! `tripline backtest`: how well the engine does, on files or on streams that it makes.

use super::exit::Exit;
use super::record_format::RecordArgs;
use super::replay;
use super::simulate::{Source, progress};
use crate::config::settings::Settings;
use crate::data_plane::partition;
use crate::detect::limit::Limit;
use crate::sim::adversary::{self, AdversaryReport};
use crate::sim::report::Report;
use crate::sim::rules::comparison;
use crate::sim::runner::{self, Job};
use crate::sim::trace::Trace;
use crate::sim::{fleet_events, labelled_files, labels, plot};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Which half of the traces takes part, by the number in their names. Minute counts judge only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Regime {
    /// Even numbers: for tuning settings.
    Tune,
    /// Odd numbers: for judging them.
    Judge,
}

impl Regime {
    /// Whether a trace belongs to it.
    pub fn has(self, trace: &Trace) -> bool {
        let counts_minutes = trace.window_ms == 60_000;
        let judges = counts_minutes || !trace.number.is_multiple_of(2);
        judges == (self == Self::Judge)
    }
}

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BacktestOutput {
    /// A table.
    #[default]
    Table,
    /// JSON.
    Json,
}

/// The arguments of `backtest`.
#[derive(Clone, Debug, Args)]
pub struct BacktestArgs {
    /// Files of events to score, in this order; `-` is standard input; `.gz` and `.zst` are
    /// unpacked. Without files, streams are generated from traces and scored in memory.
    pub files: Vec<PathBuf>,
    /// The labels of the files, one JSON object a line: credential, kind, label, class (attack or
    /// control), start, end. Without labels every finding counts as a false alarm.
    #[arg(long, requires = "files")]
    pub labels: Option<PathBuf>,
    /// The clients where streams are made.
    #[command(flatten)]
    pub source: Source,
    /// Only the half of the traces for tuning, or for judging. [default: all]
    #[arg(long)]
    pub half: Option<Regime>,
    /// How often each client is attacked with the whole library.
    #[arg(long, default_value_t = 1)]
    pub forks: u32,
    /// How many clients are attacked, drawn by the seed.
    #[arg(long, default_value_t = 200)]
    pub attacked: usize,
    /// Instead of all else: an attacker who holds the key and is patient. How long does it take to reach
    /// 10,000 requests a minute without being throttled?
    #[arg(long, conflicts_with_all = ["files", "traces", "half", "plot", "baselines"])]
    pub adversary: bool,
    /// Keep the absolute limits of the configuration. By default they are off on generated
    /// streams, so that learned detectors are measured alone.
    #[arg(long)]
    pub with_limits: bool,
    /// Try simple rules on the same requests and attacks: a fixed limit, z-score, moving average, ratio
    /// to the own maximum, peaks over threshold; at no more false alarms than tripline.
    #[arg(long, conflicts_with = "files")]
    pub baselines: bool,
    /// Threads. [default: one a core]
    #[arg(long)]
    pub threads: Option<usize>,
    /// How records are read.
    #[command(flatten)]
    pub records: RecordArgs,
    /// Output format.
    #[arg(short, long, default_value = "table")]
    pub output: BacktestOutput,
    /// Output file for the report as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Output file for a plot of power against false alarms (SVG).
    #[arg(long)]
    pub plot: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &BacktestArgs, settings: &Settings) -> Exit {
    let written =
        if args.adversary { of_adversary(args, settings) } else { of_requests(args, settings) };
    match written {
        Ok(()) => Exit::Good,
        Err(problem) => {
            super::output::print_problem(&problem);
            Exit::Findings
        }
    }
}

fn of_requests(args: &BacktestArgs, settings: &Settings) -> Result<(), String> {
    let begun = Instant::now();
    let made =
        if args.files.is_empty() { of_traces(args, settings) } else { of_files(args, settings) };
    let mut report = made?;
    let events = (report.events + report.trial_events) as f64;
    report.events_per_s = events / begun.elapsed().as_secs_f64();
    let svg = || plot::svg(&report.curve, &format!("tripline on {}", report.source));
    save(args.plot.as_ref(), &svg)?;
    write(args, &report, Report::table)
}

fn unread(path: &Path, error: &io::Error) -> String {
    format!("can't read {}: {error}", path.display())
}

fn of_files(args: &BacktestArgs, settings: &Settings) -> Result<Report, String> {
    let labels = match &args.labels {
        Some(path) => labels::read(path).map_err(|error| unread(path, &error))?,
        None => Vec::new(),
    };
    let bar = replay::progress_bar(&args.files);
    let scored = labelled_files::score(settings, &args.files, labels, &bar)
        .map_err(|(path, error)| unread(&path, &error))?;
    bar.finish_and_clear();
    let names: Vec<String> = args.files.iter().map(|file| file.display().to_string()).collect();
    let mut report = Report {
        source: names.join(", "),
        credentials: scored.credentials,
        events: scored.events,
        refused: scored.refused,
        idle_labels: scored.idle_labels,
        ..Report::default()
    };
    report.score(&scored.watched, &scored.trials, &scored.classes);
    Ok(report)
}

/// Parameters of partitions for generated streams.
fn generated(args: &BacktestArgs, settings: &Settings) -> Arc<partition::Params> {
    let mut params = settings.partition.clone();
    if !args.with_limits {
        params.profile.limits.by_kind.fill(Limit::NONE);
    }
    // Each client has a partition of its own, which is copied for each trial.
    params.memory_bytes = params.memory_bytes.min(1 << 19);
    Arc::new(params)
}

fn of_adversary(args: &BacktestArgs, settings: &Settings) -> Result<(), String> {
    let params = generated(args, settings);
    let report = adversary::run(&params, args.source.seed);
    write(args, &report, AdversaryReport::table)
}

fn of_traces(args: &BacktestArgs, settings: &Settings) -> Result<Report, String> {
    let in_half = |trace: &Trace| args.half.is_none_or(|half| half.has(trace));
    let clients = args.source.clients(3e7, in_half).map_err(|error| {
        let path = args.source.traces.clone().unwrap_or_default();
        unread(&path, &error)
    })?;
    let params = generated(args, settings);
    let job = Job {
        params: Arc::clone(&params),
        seed: args.source.seed,
        warm_up_ms: clients.warm_up_ms,
        new_ms: clients.warm_up_ms.min(86_400_000),
        forks: args.forks,
        attacked: args.attacked,
        compares_rules: args.baselines,
    };
    let threads = args
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let requests = clients.traces.iter().map(|trace| trace.requests()).sum();
    let bar = progress(requests, "{bar:40} {human_pos}/{human_len} honest events {per_sec} {eta}");
    let results = runner::all(&job, &clients.traces, threads, &bar);
    bar.finish_and_clear();
    let mut report = Report {
        source: args.source.name(),
        seed: Some(args.source.seed),
        credentials: clients.traces.len() as u64,
        left_out: clients.left_out,
        events: results.honest_events,
        trial_events: results.trial_events,
        fleets: fleet_events::both(&clients, &params, args.source.seed),
        ..Report::default()
    };
    report.score(&results.watched, &results.trials, &BTreeMap::new());
    if args.baselines {
        let exposures = &results.watched.exposures;
        report.simple_rules = comparison::report(exposures, &results.rule_alarms, &results.trials);
    }
    Ok(report)
}

fn save(path: Option<&PathBuf>, text: &dyn Fn() -> String) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, text()).map_err(|error| format!("can't write {}: {error}", path.display()))
}

/// Writes a report as JSON where it was asked for, and prints it.
fn write<R: Serialize>(
    args: &BacktestArgs,
    report: &R,
    table: impl Fn(&R) -> String,
) -> Result<(), String> {
    let json = || serde_json::to_string_pretty(report).unwrap_or_default();
    save(args.report.as_ref(), &json)?;
    match args.output {
        BacktestOutput::Table => super::output::print_out(&table(report)),
        BacktestOutput::Json => super::output::print_out(&json()),
    }
    Ok(())
}
