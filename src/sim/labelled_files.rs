//! A backtest over files of events, with labels or without.
//!
//! A label says when, not which requests: what was let through are all requests of the credential
//! from the first one within the label on.

use super::activity::Activity;
use super::event_files::{self, EngineRun, RecordCounts};
use super::labels::Label;
use super::score::{Alarm, Trial, Watched};
use super::stratum::Stratum;
use crate::config::settings::Settings;
use crate::engine::Output;
use crate::model::credential::Kind;
use crate::model::event::AuthEvent;
use crate::model::finding::{Finding, FindingId};
use crate::model::time::EventTime;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

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

/// The state while the files are read.
#[derive(Default)]
struct Scorer {
    stretches: BTreeMap<Key, Vec<Stretch>>,
    used: BTreeMap<Key, Activity>,
    findings: BTreeMap<FindingId, Finding>,
}

impl Scorer {
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

    fn on_output(&mut self, output: Output) {
        let Output::Signal(signal) = output else { return };
        let finding = signal.finding;
        let key = (finding.credential.kind(), finding.credential.id().to_owned());
        for stretch in self.stretches.get_mut(&key).into_iter().flatten() {
            let until = stretch.label.end.plus_ms(AFTERMATH_MS);
            if let Some(begun) = stretch.begun.filter(|_| finding.opened <= until) {
                stretch.trial.on_finding(&finding, begun);
            }
        }
        self.findings.insert(finding.id, finding);
    }

    fn finish(self) -> Scored {
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
    let mut scorer = Scorer::default();
    for label in labels {
        let trial = Trial { scenario: label.label.clone(), ..Trial::default() };
        let key = (label.kind, label.credential.clone());
        let stretch = Stretch { label, trial, begun: None, times: Vec::new() };
        scorer.stretches.entry(key).or_default().push(stretch);
    }
    let mut run = EngineRun::new(settings);
    let RecordCounts { events, refused } = event_files::read(settings, files, progress, |event| {
        scorer.note_use(event);
        run.take(event, |output| scorer.on_output(output));
    })?;
    run.finish(|output| scorer.on_output(output));
    Ok(Scored { events, refused, ..scorer.finish() })
}
