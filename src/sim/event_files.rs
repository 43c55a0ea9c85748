//! Files of events, read into memory's bounds: each event to a function, or through an engine.

use crate::adapters::sources::file::Records;
use crate::adapters::storage::key_material::{REPLAY_SEED, replay_key};
use crate::config::settings::Settings;
use crate::data_plane::batch::Batch;
use crate::engine::{Engine, Output};
use crate::formats::events::refusal::Limits;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::event::AuthEvent;
use indicatif::ProgressBar;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// Events applied at once.
const BATCH: usize = 256;

/// How many records there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Those that are events.
    pub events: u64,
    /// Those that were refused.
    pub refused: u64,
}

/// Reads `files`, each event to `each`, in the order of the files.
///
/// # Errors
/// The file that can't be read, and why.
pub fn read(
    settings: &Settings,
    files: &[PathBuf],
    progress: &ProgressBar,
    mut each: impl FnMut(&AuthEvent<'_>),
) -> Result<RecordCounts, (PathBuf, io::Error)> {
    let limits = Limits::default();
    let key_file = settings.fingerprint_key_file.as_deref();
    let key = replay_key(key_file)
        .map_err(|error| (key_file.map(PathBuf::from).unwrap_or_default(), error))?;
    let fingerprints = Fingerprinter::new(key).with_random_ids(settings.random_ids);
    let mut counts = RecordCounts::default();
    for path in files {
        let fault = |error| (path.clone(), error);
        let wrap = |raw: Box<dyn Read>| Box::new(progress.wrap_read(raw)) as Box<dyn Read>;
        let decoder = &settings.decoder;
        let mut records = Records::of_format(path, &decoder.format, wrap).map_err(fault)?;
        let mut take = |_, answer: Result<AuthEvent<'_>, _>| match answer {
            Ok(event) => {
                counts.events += 1;
                each(&event);
            }
            Err(_) => counts.refused += 1,
        };
        while records.decode_on(decoder, (&limits, &fingerprints), &mut take).map_err(fault)? {}
    }
    Ok(counts)
}

/// An engine that events are fed to one by one.
#[derive(Debug)]
pub struct EngineRun {
    engine: Engine,
    batch: Batch,
    offset: i64,
    /// Documents of one trail overlap in time, so all are put in order before they are applied.
    sorts: bool,
}

impl EngineRun {
    /// An engine with those settings, before the first event.
    pub fn new(settings: &Settings) -> Self {
        let partition = Arc::new(settings.partition.clone());
        let control = Arc::new(settings.control.clone());
        Self {
            engine: Engine::new(partition, control, REPLAY_SEED),
            batch: Batch::default(),
            offset: 0,
            sorts: settings.decoder.format.reads_documents(),
        }
    }

    /// Takes an event; `each` gets what follows from it and those before.
    pub fn take(&mut self, event: &AuthEvent<'_>, each: impl FnMut(Output)) {
        self.batch.push(event, self.offset, REPLAY_SEED);
        self.offset += 1;
        if self.batch.len() >= BATCH && !self.sorts {
            self.engine.apply(&self.batch, each);
            self.batch.clear();
        }
    }

    /// Applies what was not yet.
    pub fn finish(mut self, mut each: impl FnMut(Output)) {
        if self.sorts {
            self.batch.sort_by_time();
            self.batch.number_from(0);
            for piece in self.batch.pieces(BATCH) {
                self.engine.apply(&piece, &mut each);
            }
        } else {
            self.engine.apply(&self.batch, each);
        }
    }
}
