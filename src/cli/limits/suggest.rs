//! `tripline limits suggest`: limits that suit a history, and what each would have done in it.
//!
//! The files are read twice: for the levels of credentials, and with the suggested limits through the
//! engine, so that the false alarms are those of the detector itself.

use super::history::History;
use super::suggestion::{self, FLOOD_PER_MIN, Scope, Suggestion};
use crate::cli::exit::Exit;
use crate::cli::record_format::RecordArgs;
use crate::cli::replay;
use crate::config::settings::Settings;
use crate::detect::limit::Limits;
use crate::engine::Output;
use crate::model::finding::{Action, Detector, Detectors, Finding, FindingId};
use crate::sim::event_files::{self, EngineRun, RecordCounts};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

/// Below so many days a history shows little of what is usual. Unit: days. Chosen: a week has its
/// rhythm in it.
const DAYS_MIN: f64 = 7.0;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum LimitsCommand {
    /// Propose limits by kind and tenant, and for credentials that stand out, from a history of
    /// events, with the false alarms that each would have made in it.
    Suggest(SuggestArgs),
}

/// The arguments of `limits suggest`.
#[derive(Clone, Debug, Args)]
pub struct SuggestArgs {
    /// Files of events, as `replay` reads them; `.gz` and `.zst` are unpacked. They are read twice.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How records are read.
    #[command(flatten)]
    pub records: RecordArgs,
    /// How many times the level of its credentials a limit is, at least 1. The level of a
    /// credential is what 99.9 % of the minutes in which it was used do not exceed.
    #[arg(long, default_value_t = 2.0)]
    pub headroom: f64,
    /// Output format.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: SuggestOutput,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuggestOutput {
    /// A table.
    Table,
    /// The section `[limits]` of a configuration.
    Toml,
    /// JSON.
    Json,
}

/// The report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SuggestReport {
    /// Events.
    pub events: u64,
    /// Records that were refused.
    pub refused: u64,
    /// Events of credentials beyond a million, which are not in the suggestions.
    pub left_out: u64,
    /// Requests that are much older than one before them, as where the newest file comes first; they are
    /// left out.
    pub out_of_order: u64,
    /// Whether the second reading, for false alarms, found another number of records.
    pub changed: bool,
    /// Credentials.
    pub credentials: u64,
    /// From the first to the last event. Unit: days.
    pub days: f64,
    /// The limits.
    pub limits: Vec<Suggestion>,
}

/// Runs the command.
pub fn run(args: &SuggestArgs, settings: &Settings) -> Exit {
    if args.files.iter().any(|file| file.as_os_str() == "-") {
        crate::cli::output::print_problem("the files are read twice, so `-` can't be one of them");
        return Exit::Usage;
    }
    if !(args.headroom >= 1.0 && args.headroom.is_finite()) {
        crate::cli::output::print_problem("--headroom must be a number of at least 1");
        return Exit::Usage;
    }
    match report(settings, args) {
        Ok(report) => {
            crate::cli::output::print_out(&match args.output {
                SuggestOutput::Table => table(&report),
                SuggestOutput::Toml => toml(&report),
                SuggestOutput::Json => serde_json::to_string_pretty(&report).unwrap_or_default(),
            });
            if report.events > 0 && report.credentials == 0 {
                crate::cli::output::print_problem(
                    "none of the events counts as a use of its credential: say which do, by \
                     --verified 2xx, or as verified = \"2xx\" of the source (docs/events.md)",
                );
            } else if report.events > 0 && report.days < DAYS_MIN {
                crate::cli::output::print_problem(&format!(
                    "a history of {:.1} days shows little of what is usual: take a week at least",
                    report.days
                ));
            }
            if report.out_of_order > 0 {
                crate::cli::output::print_problem(&format!(
                    "{} requests are older than those before them and were left out: name the files in the \
                     order of time, the oldest first",
                    report.out_of_order
                ));
            }
            if report.changed {
                crate::cli::output::print_problem(
                    "the files changed between the two readings, or can be read only once, as a pipe: the \
                     false alarms are not to be trusted; save them as a file first",
                );
            }
            if report.out_of_order > 0 || report.changed { Exit::Findings } else { Exit::Good }
        }
        Err((path, error)) => {
            crate::cli::output::print_problem(&format!("can't read {}: {error}", path.display()));
            Exit::Findings
        }
    }
}

fn report(settings: &Settings, args: &SuggestArgs) -> Result<SuggestReport, (PathBuf, io::Error)> {
    let bar = replay::progress_bar(&args.files);
    bar.inc_length(bar.length().unwrap_or(0));
    let mut history = History::new(settings.decoder.format.reads_documents());
    let RecordCounts { events, refused } =
        event_files::read(settings, &args.files, &bar, |event| history.add(event))?;
    let (left_out, out_of_order) = (history.left_out, history.out_of_order);
    let (credentials, days) = history.finish();
    let mut limits = suggestion::suggest(&credentials, args.headroom);
    let credentials = credentials.len() as u64;
    let (found, again) = findings(settings, &args.files, suggestion::limits(&limits), &bar)?;
    bar.finish_and_clear();
    count(&mut limits, found.values());
    let changed = again != RecordCounts { events, refused };
    Ok(SuggestReport {
        events,
        refused,
        left_out,
        out_of_order,
        changed,
        credentials,
        days,
        limits,
    })
}

/// The findings of the limits, as they ended.
fn findings(
    settings: &Settings,
    files: &[PathBuf],
    limits: Limits,
    bar: &indicatif::ProgressBar,
) -> Result<(BTreeMap<FindingId, Finding>, RecordCounts), (PathBuf, io::Error)> {
    let mut settings = settings.clone();
    let profile = &mut settings.partition.profile;
    profile.limits = limits;
    // A broken limit differs from an early warning by its action.
    profile.limit_action = Action::Revoke;
    let others = Detector::ALL.into_iter().filter(|detector| *detector != Detector::Limit);
    profile.disabled = others.fold(Detectors::default(), |off, detector| off.with(detector, true));
    let mut run = EngineRun::new(&settings);
    let mut found = BTreeMap::new();
    let mut note = |output: Output| {
        if let Output::Signal(signal) = output {
            found.insert(signal.finding.id, signal.finding);
        }
    };
    let counts = event_files::read(&settings, files, bar, |event| run.take(event, &mut note))?;
    run.finish(note);
    Ok((found, counts))
}

/// Counts each finding for the limit that held: the most particular one.
fn count<'a>(limits: &mut [Suggestion], findings: impl Iterator<Item = &'a Finding>) {
    let place = |(at, one): (usize, &Suggestion)| ((one.scope, one.name.clone()), at);
    let places: BTreeMap<(Scope, String), usize> = limits.iter().enumerate().map(place).collect();
    for finding in findings {
        let credential = &finding.credential;
        let names = [
            Some((Scope::Credential, format!("{}:{}", credential.kind(), credential.id()))),
            finding.tenant.as_ref().map(|tenant| (Scope::Tenant, tenant.to_string())),
            Some((Scope::Kind, credential.kind().as_str().to_owned())),
        ];
        let holds = names.iter().flatten().find_map(|name| places.get(name).copied());
        if let Some(one) = holds.and_then(|at| limits.get_mut(at)) {
            let is_broken = finding.action > Action::Throttle;
            *if is_broken { &mut one.broken } else { &mut one.warned } += 1;
        }
    }
}

/// How much of the flood a limit catches, and after how long.
fn flood(one: &Suggestion) -> String {
    match one.flood_let_through {
        Some(requests) => format!(
            "on {:.0} % after {:.0} s",
            100.0 * one.flood_caught,
            (60.0 * f64::from(requests) / FLOOD_PER_MIN).min(60.0).ceil()
        ),
        None => "on none".to_owned(),
    }
}

fn table(report: &SuggestReport) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ok = writeln!(
        text,
        "{} events of {} credentials in {:.1} days ({} records refused)\n\n{:<12}{:<34}{:>12}\
         {:>12}{:>12}{:>14}{:>8}{:>8}  A FLOOD OF +10k/min",
        report.events,
        report.credentials,
        report.days,
        report.refused,
        "FOR",
        "NAME",
        "LIMIT/MIN",
        "P99.9/MIN",
        "CREDENTIALS",
        "USED MINUTES",
        "BROKEN",
        "WARNED"
    );
    for one in &report.limits {
        let for_whom = match one.scope {
            Scope::Kind => "kind",
            Scope::Tenant => "tenant",
            Scope::Credential => "credential",
        };
        let _ok = writeln!(
            text,
            "{for_whom:<12}{:<34}{:>12}{:>12.0}{:>12}{:>14}{:>8}{:>8}  {}",
            one.name,
            one.limit_per_min,
            one.level_per_min,
            one.credentials,
            one.used_minutes,
            one.broken,
            one.warned,
            flood(one)
        );
    }
    if report.left_out > 0 {
        let _ok = writeln!(
            text,
            "{} events of credentials beyond a million are left out",
            report.left_out
        );
    }
    text
}

/// The section `[limits]`. Names are written as JSON writes them, which is a TOML string, too.
fn toml(report: &SuggestReport) -> String {
    let mut text = format!(
        "[limits]\n# Suggested from {} events of {} credentials in {:.1} days. Breaking a limit \
         justifies `action`.\n",
        report.events, report.credentials, report.days
    );
    for scope in [Scope::Kind, Scope::Tenant, Scope::Credential] {
        let of_scope = report.limits.iter().filter(|one| one.scope == scope);
        for (index, one) in of_scope.enumerate() {
            if index == 0 {
                let _ok = writeln!(text, "\n[limits.{}]", scope.table());
            }
            let _ok = writeln!(
                text,
                "# Credentials: {}. That history broke it {} times and came near {} times; a flood of \
                 +10k/min is caught {}.\n{} = \"{}/min\"",
                one.credentials,
                one.broken,
                one.warned,
                flood(one),
                serde_json::to_string(&one.name).unwrap_or_default(),
                one.limit_per_min
            );
        }
    }
    text
}
