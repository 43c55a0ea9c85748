//! `tripline audit expiry`: how long credentials live, and which gateways let them pass outside their life.
//!
//! The files are read once; a second time only where a revocation came after later uses of the files, as
//! where each gateway has a file of its own.

use super::expiry_table::table;
use crate::adapters::storage::key_material::REPLAY_SEED;
use crate::cli::client::{Client, Connection, Output, block_on};
use crate::cli::exit::Exit;
use crate::cli::output::{print_out, print_problem};
use crate::cli::record_format::RecordArgs;
use crate::cli::replay;
use crate::config::settings::Settings;
use crate::config::units::{DURATIONS, duration_of};
use crate::data_plane::lifetimes::audit::{LifetimeAudit, Params};
use crate::data_plane::lifetimes::lifetime_use::LifetimeUse;
use crate::formats::api::expiry::{ExpiryReport, Reading};
use crate::model::credential::Kind;
use crate::model::event::Field;
use crate::sim::event_files;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use std::io;
use std::path::{Path, PathBuf};

/// The share of refused records from which on they are mentioned. Chosen, as in `replay`.
const REFUSED_MAX: f64 = 0.1;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Report how long credentials live by kind, issuer and gateway, and accepted uses after expiry, after
    /// revocation and before issue. Exit code 1 if there is one, or a lifetime over `--lifetime-max`, or
    /// if the files can't show it.
    Expiry(ExpiryArgs),
}

/// The arguments of `audit expiry`.
#[derive(Clone, Debug, Args)]
pub struct ExpiryArgs {
    /// Files of events; `-` is standard input; `.gz` and `.zst` are unpacked.
    #[arg(required_unless_present = "live", conflicts_with = "live")]
    pub files: Vec<PathBuf>,
    /// Ask the running daemon instead: credentials that it saw since its start, by their first use and by those
    /// outside their life.
    #[arg(long, conflicts_with = "lifetime_max")]
    pub live: bool,
    /// Where the daemon is, and the output format.
    #[command(flatten)]
    pub connection: Connection,
    /// How records are read.
    #[command(flatten)]
    pub records: RecordArgs,
    /// The longest lifetime (`expires - issued`) that credentials of a kind may have, as `jwt=1h`; once for
    /// each kind. [default: any]
    #[arg(long, value_name = "KIND=DURATION", value_parser = lifetime_max)]
    pub lifetime_max: Vec<(Kind, i64)>,
    /// How far clocks of issuers and gateways may differ: nearer to the border of its life no use is
    /// wrong.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub skew: i64,
}

impl ExpiryArgs {
    fn params(&self) -> Params {
        let mut params = Params { skew_ms: self.skew, ..Params::default() };
        for (kind, most) in &self.lifetime_max {
            if let Some(place) = params.lifetime_max_ms.get_mut(*kind as usize) {
                *place = Some(*most);
            }
        }
        params
    }
}

/// A duration of the command line. Unit: milliseconds.
fn duration(text: &str) -> Result<i64, String> {
    duration_of(text).ok_or_else(|| DURATIONS.to_owned())
}

/// A kind with a duration.
fn lifetime_max(text: &str) -> Result<(Kind, i64), String> {
    let (kind, most) = text.split_once('=').ok_or("write KIND=DURATION, as jwt=1h")?;
    let known = Kind::parse(kind).ok_or_else(|| {
        let names = Kind::ALL.map(Kind::as_str).join(", ");
        format!("unknown kind `{kind}`, expected {names}")
    })?;
    Ok((known, duration(most)?))
}

/// Runs the command.
pub fn run(args: &ExpiryArgs, settings: &Settings) -> Exit {
    if args.live {
        return live(args);
    }
    let bar = replay::progress_bar(&args.files);
    let read = read(settings, args, &bar);
    bar.finish_and_clear();
    match read {
        Ok(report) => shown(&report, args),
        Err((path, error)) => {
            print_problem(&format!("can't read {}: {error}", path.display()));
            Exit::Findings
        }
    }
}

/// Shows a report; says whether there is a breach, or one may be missing.
fn shown(report: &ExpiryReport, args: &ExpiryArgs) -> Exit {
    print_out(&match args.connection.output {
        Output::Table => table(report),
        Output::Json => serde_json::to_string_pretty(report).unwrap_or_default(),
    });
    say_what_is_missing(report);
    let is_clean = report.breaches.is_empty() && report.doubts.is_empty();
    if is_clean { Exit::Good } else { Exit::Findings }
}

/// The report of the running daemon.
fn live(args: &ExpiryArgs) -> Exit {
    let mut outcome = Exit::Good;
    let asked = block_on(async {
        let client = Client::new(&args.connection)?;
        let report = client.get("/v1/audit/expiry").await?;
        outcome = if let Ok(report) = serde_json::from_value(report) {
            shown(&report, args)
        } else {
            print_problem("the daemon's report can't be read: is it another version of tripline?");
            Exit::Findings
        };
        Ok(())
    });
    if asked == Exit::Good { outcome } else { asked }
}

/// Whether a file can be read twice; pipes and standard input can't.
fn is_repeatable(path: &Path) -> bool {
    path.as_os_str() != "-" && std::fs::metadata(path).is_ok_and(|file| file.is_file())
}

fn read(
    settings: &Settings,
    args: &ExpiryArgs,
    bar: &ProgressBar,
) -> Result<ExpiryReport, (PathBuf, io::Error)> {
    let params = args.params();
    let mut audit = LifetimeAudit::new(params);
    let mut reading = read_into(&mut audit, settings, &args.files, bar)?;
    if audit.late_revocations() > 0 && args.files.iter().all(|file| is_repeatable(file)) {
        bar.inc_length(bar.length().unwrap_or(0));
        audit = audit.again();
        reading.changed = read_into(&mut audit, settings, &args.files, bar)? != reading;
    }
    Ok(ExpiryReport::new(&audit.report(), &params, reading))
}

/// Reads the files into an audit. An event that names no gateway is of the one that the source is named after.
fn read_into(
    audit: &mut LifetimeAudit,
    settings: &Settings,
    files: &[PathBuf],
    bar: &ProgressBar,
) -> Result<Reading, (PathBuf, io::Error)> {
    let mut unreadable = 0;
    let records = event_files::read(settings, files, bar, |event| {
        let hash = REPLAY_SEED.hash(event.kind, &event.credential);
        let mut one = LifetimeUse::of_event(event, hash);
        one.gateway = one.gateway.or(Some(settings.decoder_source.as_str()));
        audit.record(&one);
        let is_repaired = |field| event.repairs.has(field);
        unreadable += u64::from(is_repaired(Field::Issued) || is_repaired(Field::Expires));
    })?;
    let (events, refused) = (records.events, records.refused);
    Ok(Reading { events, refused, unreadable, changed: false })
}

/// Says why the numbers may be too low.
fn say_what_is_missing(report: &ExpiryReport) {
    let refused = report.refused as f64;
    if refused > (report.events as f64 + refused) * REFUSED_MAX {
        print_problem(&format!(
            "{} of {} records were refused: `tripline check --sample FILE` says why",
            report.refused,
            report.events + report.refused
        ));
    }
    if report.unreadable > 0 {
        print_problem(&format!(
            "`issued` or `expires` of {} events can't be read and counts as unknown: docs/events.md says how \
             times are written",
            report.unreadable
        ));
    }
    for doubt in &report.doubts {
        print_problem(doubt);
    }
}
