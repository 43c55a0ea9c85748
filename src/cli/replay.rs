//! `tripline replay`: the same engine over files, as fast as it goes.

use crate::adapters::clock;
use crate::adapters::sources::file::Records;
use crate::adapters::sources::rejects::{RecordPlace, letter};
use crate::adapters::storage::key_material;
use crate::config::settings::Settings;
use crate::data_plane::batch::Batch;
use crate::data_plane::eviction_policy::Evictions;
use crate::engine::{Engine, Output};
use crate::formats::api::decision::DecisionJson;
use crate::formats::api::finding::FindingJson;
use crate::formats::events::decoder::DecodeCounters;
use crate::formats::events::refusal::{Limits, Refusal};
use crate::formats::printable::printed;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Credential;
use crate::model::finding::{Action, Detector, Finding, FindingId};
use crate::model::signal::Change;
use crate::model::time::EventTime;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Events applied at once.
const BATCH: usize = 256;

/// Where what comes out goes; `-` is standard output.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Findings as they ended, one a line.
    pub findings: Option<PathBuf>,
    /// Decisions, one a line.
    pub decisions: Option<PathBuf>,
    /// Rejected records, one a line.
    pub rejects: Option<PathBuf>,
    /// The report as JSON.
    pub report: Option<PathBuf>,
}

/// The report of a replay.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Events applied.
    pub events: u64,
    /// Records refused.
    pub malformed: u64,
    /// Records refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Where the first of each reason is: file and line, or number in its document.
    pub first_refused: BTreeMap<&'static str, String>,
    /// Credentials seen.
    pub credentials: u64,
    /// How long they were watched, added up. Unit: days.
    pub key_days: f64,
    /// From the first to the last event. Unit: days.
    pub days: f64,
    /// The credentials with findings: the most severe action, and how many findings justify it. The most
    /// severe ones, at most ten.
    pub found: Vec<Found>,
    /// Findings by detector and most severe action.
    pub findings: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Decisions by order.
    pub decisions: BTreeMap<&'static str, u64>,
    /// The credential with the most requests in a minute of the clock.
    pub busiest: Option<Busiest>,
    /// Events of the outcome `rejected`.
    pub rejected: u64,
    /// Events whose caller did not prove to hold the credential: they justify at most an alert.
    pub unverified: u64,
    /// Fields of events that were repaired or left out, by name; `text` is a record's encoding.
    pub repaired: BTreeMap<&'static str, u64>,
    /// Events that held a raw secret.
    pub secrets_replaced: u64,
    /// Applied events per second of wall-clock time.
    pub events_per_s: f64,
    /// The most memory the process held. Unit: bytes.
    pub peak_rss_bytes: u64,
    /// Files that could not be read to their end, and why. Records before the fault were replayed.
    pub unread: BTreeMap<String, String>,
}

/// A credential with findings.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Its kind and id.
    pub credential: String,
    /// The most severe action that a finding justifies.
    pub action: &'static str,
    /// The detector that made it.
    pub detector: &'static str,
    /// When that finding opened.
    pub opened: String,
    /// All findings of the credential.
    pub findings: u64,
}

/// The credential with the most requests in a minute of the clock.
#[derive(Clone, Debug, Serialize)]
pub struct Busiest {
    /// Its id.
    pub credential: String,
    /// Its kind.
    pub kind: &'static str,
    /// How many requests.
    pub requests_per_min: u32,
    /// When that minute began.
    pub minute: String,
}

/// Below so many days a history shows little of what is usual. Unit: days. Chosen: a week has its rhythm in it.
const HISTORY_DAYS: f64 = 7.0;
/// How many credentials with findings are named. Chosen: a screen.
const FOUND_MAX: usize = 10;
/// The share of refused records from which on a replay says little. Chosen.
const REFUSED_MAX: f64 = 0.1;

impl Report {
    /// Whether nothing was read, or so much was refused that the rest says little. Requests without a
    /// credential are usual.
    pub fn is_blind(&self) -> bool {
        let usual = self.refused.get(Refusal::NoCredential.as_str()).copied().unwrap_or(0);
        let refused = (self.malformed - usual) as f64;
        self.events == 0 || refused > (self.events as f64 + refused) * REFUSED_MAX
    }
}

/// An error of a replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file can't be written.
    #[error("can't write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

struct Sink {
    path: PathBuf,
    writer: Option<Box<dyn Write>>,
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Self, ReplayError> {
        let writer = path.map(|path| -> std::io::Result<Box<dyn Write>> {
            if path.as_os_str() == "-" {
                return Ok(Box::new(BufWriter::new(std::io::stdout())));
            }
            Ok(Box::new(BufWriter::new(File::create(path)?)))
        });
        let path = path.map_or_else(PathBuf::new, Path::to_owned);
        let writer = writer.transpose().map_err(|source| fault(&path, source))?;
        Ok(Self { path, writer })
    }

    fn line(&mut self, text: &str) -> Result<(), ReplayError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writeln!(writer, "{}", printed(text)).map_err(|source| fault(&self.path, source))
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), ReplayError> {
        match &self.writer {
            Some(_) => self.line(&serde_json::to_string(value).unwrap_or_default()),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(), ReplayError> {
        let flushed = self.writer.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|source| fault(&self.path, source))
    }
}

fn fault(path: &Path, source: std::io::Error) -> ReplayError {
    ReplayError::Write { path: path.to_owned(), source }
}

struct Replay {
    engine: Engine,
    report: Report,
    open: BTreeMap<FindingId, Finding>,
    found: FindingsByCredential,
    findings: Sink,
    decisions: Sink,
    failed: Option<ReplayError>,
}

impl Replay {
    fn begin(settings: &Settings, outputs: &Outputs) -> Result<Self, ReplayError> {
        let partition = Arc::new(settings.partition.clone());
        let control = Arc::new(settings.control.clone());
        Ok(Self {
            engine: Engine::new(partition, control, key_material::REPLAY_SEED),
            report: Report::default(),
            open: BTreeMap::new(),
            found: BTreeMap::new(),
            findings: Sink::open(outputs.findings.as_deref())?,
            decisions: Sink::open(outputs.decisions.as_deref())?,
            failed: None,
        })
    }

    fn apply(&mut self, batch: &Batch) {
        let Self { engine, report, open, found, findings, decisions, failed } = self;
        engine.apply(batch, |output| {
            let written = match output {
                Output::Signal(signal) if signal.change == Change::Closed => {
                    open.remove(&signal.finding.id);
                    record((report, found), &signal.finding);
                    findings.json(&FindingJson(signal.finding))
                }
                Output::Signal(signal) => {
                    open.insert(signal.finding.id, signal.finding);
                    Ok(())
                }
                Output::Decision(decision) => {
                    *report.decisions.entry(decision.order.as_str()).or_insert(0) += 1;
                    decisions.json(&DecisionJson(*decision))
                }
            };
            if let Err(error) = written {
                failed.get_or_insert(error);
            }
        });
    }

    fn finish(mut self) -> Result<Report, ReplayError> {
        let mut open: Vec<Finding> = std::mem::take(&mut self.open).into_values().collect();
        open.sort_by_key(|finding| (finding.opened, finding.id));
        for finding in open {
            record((&mut self.report, &mut self.found), &finding);
            self.findings.json(&FindingJson(finding))?;
        }
        self.findings.finish()?;
        self.decisions.finish()?;
        self.report.found = named(std::mem::take(&mut self.found));
        let counters = self.engine.counters();
        let partition = self.engine.partition();
        self.report.events = counters.applied;
        self.report.rejected = counters.rejected;
        self.report.unverified = counters.unverified;
        let Evictions { new, established, .. } = counters.evictions;
        self.report.credentials = partition.credentials() as u64 + new + established;
        self.report.key_days = partition.key_days();
        self.report.busiest =
            partition.busiest_minute().map(|(credential, requests, minute)| Busiest {
                credential: credential.id().to_owned(),
                kind: credential.kind().as_str(),
                requests_per_min: requests,
                minute: minute.to_string(),
            });
        Ok(self.report)
    }
}

type FindingsByCredential = BTreeMap<Credential, (Action, Detector, EventTime, u64)>;

/// The credentials with the most severe findings, those first.
fn named(found: FindingsByCredential) -> Vec<Found> {
    let mut all: Vec<_> = found.into_iter().collect();
    all.sort_by_key(|(_, (action, _, opened, _))| (std::cmp::Reverse(*action), *opened));
    let rows =
        all.into_iter().take(FOUND_MAX).map(|(credential, (action, detector, opened, count))| {
            Found {
                credential: format!("{}:{}", credential.kind(), credential.id()),
                action: action.as_str(),
                detector: detector.as_str(),
                opened: opened.to_string(),
                findings: count,
            }
        });
    rows.collect()
}

fn record((report, found): (&mut Report, &mut FindingsByCredential), finding: &Finding) {
    let (action, detector, opened) = (finding.action, finding.detector, finding.opened);
    let of_it = found.entry(finding.credential.clone()).or_insert((action, detector, opened, 0));
    if action > of_it.0 {
        (of_it.0, of_it.1, of_it.2) = (action, detector, opened);
    }
    of_it.3 += 1;
    let by_action = report.findings.entry(finding.detector.as_str()).or_default();
    *by_action.entry(finding.action.as_str()).or_insert(0) += 1;
}

/// Reads `files` through the engine. A file that can't be read to its end is named in the report, and
/// the others are read.
///
/// # Errors
/// When the fingerprint key can't be read, or what comes out can't be written.
pub fn replay(
    settings: &Settings,
    files: &[PathBuf],
    outputs: &Outputs,
    progress: &ProgressBar,
) -> Result<Report, ReplayError> {
    let begun = Instant::now();
    let mut replay = Replay::begin(settings, outputs)?;
    let mut rejects = Sink::open(outputs.rejects.as_deref())?;
    let fingerprints = Fingerprinter::new(
        key_material::replay_key(settings.fingerprint_key_file.as_deref()).map_err(|source| {
            ReplayError::Read {
                path: settings.fingerprint_key_file.clone().unwrap_or_default(),
                source,
            }
        })?,
    )
    .with_random_ids(settings.random_ids);
    let documents = settings.decoder.format.reads_documents();
    let now = clock::now();
    let limits = Limits::at(now);
    let mut feed = EngineFeed {
        replay: &mut replay,
        rejects: &mut rejects,
        batch: Batch::default(),
        offset: 0,
        now,
        // Documents of one trail overlap in time, so all are put in order before they are applied.
        sorts: documents,
        decoded: DecodeCounters::default(),
        span: (EventTime::MAX, EventTime::MIN),
    };
    let mut unread = BTreeMap::new();
    for path in files {
        let wrap = |raw: Box<dyn Read>| Box::new(progress.wrap_read(raw)) as Box<dyn Read>;
        let name = path.display().to_string();
        let read = Records::of_format(path, &settings.decoder.format, wrap).and_then(|records| {
            feed.read_all(records, (&name, settings), (&limits, &fingerprints))
        });
        if let Err(error) = read {
            unread.insert(name, error.to_string());
        }
        if let Some(error) = feed.replay.failed.take() {
            return Err(error);
        }
    }
    feed.finish();
    rejects.finish()?;
    if let Some(error) = replay.failed.take() {
        return Err(error);
    }
    let mut report = replay.finish()?;
    report.unread = unread;
    report.events_per_s = report.events as f64 / begun.elapsed().as_secs_f64();
    report.peak_rss_bytes = crate::adapters::host::memory::peak_rss_bytes();
    if let Some(path) = &outputs.report {
        let mut sink = Sink::open(Some(path))?;
        sink.line(&serde_json::to_string_pretty(&report).unwrap_or_default())?;
        sink.finish()?;
    }
    Ok(report)
}

struct EngineFeed<'a> {
    replay: &'a mut Replay,
    rejects: &'a mut Sink,
    batch: Batch,
    offset: i64,
    now: EventTime,
    sorts: bool,
    decoded: DecodeCounters,
    /// The times of the first and of the last event.
    span: (EventTime, EventTime),
}

impl EngineFeed<'_> {
    /// Reads all records of a file, until what comes out can't be written.
    fn read_all(
        &mut self,
        mut records: Records,
        (name, settings): (&str, &Settings),
        (limits, fingerprints): (&Limits, &Fingerprinter),
    ) -> std::io::Result<()> {
        let mut go_on = true;
        while go_on && self.replay.failed.is_none() {
            let with = (limits, fingerprints);
            go_on = records
                .decode_on(&settings.decoder, with, |line, answer| self.take(name, line, answer))?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        file: &str,
        line: u64,
        answer: Result<crate::model::event::AuthEvent<'_>, Refusal>,
    ) {
        match answer {
            Ok(event) => {
                self.span = (self.span.0.min(event.time), self.span.1.max(event.time));
                self.decoded.add(&event);
                self.batch.push(&event, self.offset, key_material::REPLAY_SEED);
                self.offset += 1;
                if self.batch.len() == BATCH && !self.sorts {
                    self.replay.apply(&self.batch);
                    self.batch.clear();
                }
            }
            Err(refusal) => self.refuse(file, line, refusal),
        }
    }

    fn refuse(&mut self, file: &str, line: u64, refusal: Refusal) {
        self.replay.report.malformed += 1;
        let reason = refusal.as_str();
        *self.replay.report.refused.entry(reason).or_insert(0) += 1;
        let first = &mut self.replay.report.first_refused;
        first.entry(reason).or_insert_with(|| format!("{file}:{line}"));
        let written =
            self.rejects.line(&letter(RecordPlace::Line { file, line }, refusal, self.now));
        if let Err(error) = written {
            self.replay.failed.get_or_insert(error);
        }
    }

    fn finish(mut self) {
        let report = &mut self.replay.report;
        report.days = self.span.1.ms_since(self.span.0).max(0) as f64 / 86_400_000.0;
        report.secrets_replaced = self.decoded.secrets;
        report.repaired =
            self.decoded.repaired().map(|(field, count)| (field.as_str(), count)).collect();
        if self.sorts {
            self.batch.sort_by_time();
            self.batch.number_from(0);
            for batch in self.batch.pieces(BATCH) {
                self.replay.apply(&batch);
            }
        } else {
            self.replay.apply(&self.batch);
        }
    }
}

/// A progress bar over the bytes of `files`; hidden where standard error is no terminal.
pub fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    let sizes = files.iter().filter_map(|file| Some(std::fs::metadata(file).ok()?.len()));
    let bar = ProgressBar::new(sizes.sum());
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

/// The report as a table for people.
pub fn table(report: &Report) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string can't fail.
        let _written = writeln!(text, "{name:<22}{value}");
    };
    row("events", report.events.to_string());
    row("refused", report.malformed.to_string());
    for (reason, count) in &report.refused {
        row(&format!("  {reason}"), count.to_string());
    }
    row("rejected", report.rejected.to_string());
    row("unverified", report.unverified.to_string());
    for (field, count) in &report.repaired {
        row(&format!("repaired {field}"), count.to_string());
    }
    row("credentials", report.credentials.to_string());
    row("key-days", format!("{:.2}", report.key_days));
    let missing =
        if report.days < HISTORY_DAYS { ": a week at least shows what is usual" } else { "" };
    row("history", format!("{:.2} days{missing}", report.days));
    for detector in Detector::ALL {
        for action in Action::ALL {
            let count =
                report.findings.get(detector.as_str()).and_then(|by| by.get(action.as_str()));
            if let Some(count) = count {
                row(&format!("findings {detector}"), format!("{count} {action}"));
            }
        }
    }
    for Found { credential, action, detector, opened, findings } in &report.found {
        row(
            &format!("  {action}"),
            format!("{credential} by {detector} at {opened}, {findings} in all"),
        );
    }
    for (order, count) in &report.decisions {
        row("decisions", format!("{count} {order}"));
    }
    if let Some(busiest) = &report.busiest {
        let Busiest { credential, requests_per_min, minute, .. } = busiest;
        row(
            "busiest",
            format!("{credential}: {requests_per_min} requests in the minute of {minute}"),
        );
    }
    row("events per second", format!("{:.0}", report.events_per_s));
    row("peak memory", format!("{:.0} MiB", report.peak_rss_bytes as f64 / 1_048_576.0));
    text
}
