//! A backtest over files of events, with labels or without.
//!
//! A label says when, not which requests: what was let through are all requests of the credential
//! from the first one within the label on.

use super::activity::Activity;
use super::labels::Label;
use super::score::{Alarm, Trial, Watched};
use super::stratum::Stratum;
use crate::adapters::sources::file::Records;
use crate::adapters::storage::key_material::{REPLAY_SEED, replay_key};
use crate::config::settings::Settings;
use crate::data_plane::batch::Batch;
use crate::engine::{Engine, Output};
use crate::formats::events::body;
use crate::formats::events::refusal::Limits;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Kind;
use crate::model::event::AuthEvent;
use crate::model::finding::{Finding, FindingId};
use crate::model::time::EventTime;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

const BATCH: usize = 256;
/// How long after the end of a label what is found still belongs to it. Unit: milliseconds; 10 min.
const AFTERMATH_MS: i64 = 600_000;
/// How long a credential is new. Unit: milliseconds; a day.
const NEW_MS: i64 = 86_400_000;
/// Requests whose times are kept, by label. Chosen: 80 MB.
const TIMES_MAX: usize = 10_000_000;

type Key = (Kind, String);

/// The result of a labelled stretch so far.
#[derive(Debug)]
struct Stretch {
    label: Label,
    trial: Trial,
    begun: Option<EventTime>,
    times: Vec<EventTime>,
}

/// The result of the files.
#[derive(Debug, Default)]
pub struct Scored {
    /// Events that were read.
    pub events: u64,
    /// Records that were refused.
    pub refused: u64,
    /// Credentials.
    pub credentials: u64,
    /// False alarms: findings outside the labels.
    pub watched: Watched,
    /// The outcome of the labels.
    pub trials: Vec<Trial>,
    /// The labels whose credential did nothing while they lasted.
    pub idle_labels: u64,
    /// The labels as they were called, and whether they ought to be found.
    pub classes: BTreeMap<String, super::fixture::Class>,
}

struct Scorer {
    engine: Engine,
    batch: Batch,
    offset: i64,
    stretches: BTreeMap<Key, Vec<Stretch>>,
    used: BTreeMap<Key, Activity>,
    findings: BTreeMap<FindingId, Finding>,
    sorts: bool,
}

impl Scorer {
    fn take(&mut self, event: &AuthEvent<'_>) {
        self.batch.push(event, self.offset, REPLAY_SEED);
        self.offset += 1;
        self.note_use(event);
        if self.batch.len() >= BATCH && !self.sorts {
            self.apply();
        }
    }

    fn note_use(&mut self, event: &AuthEvent<'_>) {
        let key = (event.kind, event.credential.clone().into_owned());
        if let Some(stretches) = self.stretches.get_mut(&key) {
            for stretch in stretches {
                let within = (stretch.label.start..=stretch.label.end).contains(&event.time);
                if within && stretch.times.len() < TIMES_MAX {
                    stretch.begun = Some(stretch.begun.unwrap_or(event.time).min(event.time));
                    stretch.times.push(event.time);
                }
            }
        }
        self.used.entry(key).or_insert_with(|| Activity::begin(event.time)).note(event.time);
    }

    fn apply(&mut self) {
        let Self { engine, batch, stretches, findings, .. } = self;
        engine.apply(batch, |output| {
            let Output::Signal(signal) = output else { return };
            let finding = signal.finding;
            let key = (finding.credential.kind(), finding.credential.id().to_owned());
            for stretch in stretches.get_mut(&key).into_iter().flatten() {
                let until = stretch.label.end.plus_ms(AFTERMATH_MS);
                if let Some(begun) = stretch.begun.filter(|_| finding.opened <= until) {
                    stretch.trial.on_finding(&finding, begun);
                }
            }
            findings.insert(finding.id, finding);
        });
        batch.clear();
    }

    fn finish(mut self) -> Scored {
        if self.sorts {
            self.batch.sort_by_time();
            self.batch.number_from(0);
            let all = std::mem::take(&mut self.batch);
            for piece in all.pieces(BATCH) {
                self.batch = piece;
                self.apply();
            }
        } else {
            self.apply();
        }
        let mut scored = Scored {
            credentials: self.used.len() as u64,
            watched: Watched::new(NEW_MS),
            ..Scored::default()
        };
        let mut alarms: BTreeMap<Key, Vec<Alarm>> = BTreeMap::new();
        for finding in self.findings.values() {
            let key = (finding.credential.kind(), finding.credential.id().to_owned());
            let labelled = self.stretches.get(&key).is_some_and(|stretches| {
                stretches.iter().any(|stretch| {
                    let end = stretch.label.end.plus_ms(AFTERMATH_MS);
                    finding.opened <= end && finding.updated >= stretch.label.start
                })
            });
            if !labelled {
                alarms.entry(key).or_default().push(Alarm::of(finding));
            }
        }
        for (key, activity) in &self.used {
            let alarms = alarms.get(key).map(Vec::as_slice).unwrap_or_default();
            scored.watched.add(activity, alarms);
        }
        let stretches = self.stretches.into_iter();
        for (key, mut stretch) in
            stretches.flat_map(|(key, all)| all.into_iter().map(move |one| (key.clone(), one)))
        {
            let Some(begun) = stretch.begun else {
                scored.idle_labels += 1;
                continue;
            };
            stretch.times.sort_unstable();
            if let Some(activity) = self.used.get(&key) {
                let is_new = begun < activity.first.plus_ms(NEW_MS);
                stretch.trial.stratum = Stratum::of(is_new, activity.is_sparse());
            }
            stretch.trial.count_through(begun, &stretch.times);
            scored.classes.insert(stretch.label.label, stretch.label.class);
            scored.trials.push(stretch.trial);
        }
        scored
    }
}

/// Reads `files` through the engine and scores what it finds.
///
/// # Errors
/// The file that can't be read, and why.
pub fn score(
    settings: &Settings,
    files: &[PathBuf],
    labels: Vec<Label>,
    progress: &ProgressBar,
) -> Result<Scored, (PathBuf, io::Error)> {
    let documents = settings.decoder.format.reads_documents();
    let limits = Limits::default();
    let key_file = settings.fingerprint_key_file.as_deref();
    let key = replay_key(key_file)
        .map_err(|error| (key_file.map(PathBuf::from).unwrap_or_default(), error))?;
    let fingerprints = Fingerprinter::new(key).with_random_ids(settings.random_ids);
    let partition = Arc::new(settings.partition.clone());
    let control = Arc::new(settings.control.clone());
    let mut scorer = Scorer {
        engine: Engine::new(partition, control, REPLAY_SEED),
        batch: Batch::default(),
        offset: 0,
        stretches: BTreeMap::new(),
        used: BTreeMap::new(),
        findings: BTreeMap::new(),
        sorts: documents,
    };
    for label in labels {
        let trial = Trial { scenario: label.label.clone(), ..Trial::default() };
        let key = (label.kind, label.credential.clone());
        let stretch = Stretch { label, trial, begun: None, times: Vec::new() };
        scorer.stretches.entry(key).or_default().push(stretch);
    }
    let (mut events, mut refused) = (0, 0);
    for path in files {
        let fault = |error| (path.clone(), error);
        let wrap = |raw: Box<dyn Read>| Box::new(progress.wrap_read(raw)) as Box<dyn Read>;
        let mut records =
            Records::of_format(path, &settings.decoder.format, wrap).map_err(fault)?;
        while records
            .read_on(|_, record| match record {
                Ok(record) => {
                    let decoder = &settings.decoder;
                    body::decode(
                        decoder,
                        record,
                        &limits,
                        &fingerprints,
                        |_, answer| match answer {
                            Ok(event) => {
                                events += 1;
                                scorer.take(&event);
                            }
                            Err(_) => refused += 1,
                        },
                    );
                }
                Err(_) => refused += 1,
            })
            .map_err(fault)?
        {}
    }
    Ok(Scored { events, refused, ..scorer.finish() })
}
