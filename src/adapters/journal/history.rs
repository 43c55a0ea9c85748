//! Past decisions of the journal: one decision, or those of a credential.

use super::error::JournalError;
use super::files::{full, index_of};
use super::index::Index;
use super::index::LogPosition;
use crate::formats::storage::journal::{Entry, read_line};
use crate::model::credential::Credential;
use crate::model::decision::{Decision, DecisionId};
use parking_lot::Mutex;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads the journal alongside the process that writes it. Cheap to clone; blocks.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    index: Index,
    /// The file that was read last: neighbours are read together.
    file: Option<(u64, File)>,
}

impl History {
    /// Opens the history of the journal at `path`, which must have been opened before.
    ///
    /// # Errors
    /// When the index can't be read.
    pub fn open(path: PathBuf) -> Result<Self, JournalError> {
        let index = Index::open_to_read(&index_of(&path))
            .map_err(|source| JournalError::Index { path: path.clone(), source })?;
        let open = Open { index, file: None };
        Ok(Self { path, open: Arc::new(Mutex::new(open)) })
    }

    /// A decision; none if the journal has none of that id.
    ///
    /// # Errors
    /// When the journal or its index can't be read.
    pub fn decision(&self, id: DecisionId) -> Result<Option<Decision>, JournalError> {
        let mut open = self.open.lock();
        match open.index.find(id).map_err(|source| self.of_index(source))? {
            Some(place) => self.read(&mut open, place).map(Some),
            None => Ok(None),
        }
    }

    /// The newest decisions on a credential, newest first, at most `most`.
    ///
    /// # Errors
    /// When the journal or its index can't be read.
    pub fn of(&self, credential: &Credential, most: u32) -> Result<Vec<Decision>, JournalError> {
        let mut open = self.open.lock();
        let places = open.index.of(credential, most).map_err(|source| self.of_index(source))?;
        places.into_iter().map(|place| self.read(&mut open, place)).collect()
    }

    fn of_index(&self, source: rusqlite::Error) -> JournalError {
        JournalError::Index { path: self.path.clone(), source }
    }

    fn read(&self, open: &mut Open, place: LogPosition) -> Result<Decision, JournalError> {
        let kept = open.file.take().filter(|(first, _)| *first == place.file);
        let file = match kept {
            Some((_, file)) => file,
            None => self.file(place.file)?,
        };
        let mut line = vec![0; place.length as usize];
        let fault = |source| JournalError::Io { doing: "read", path: self.path.clone(), source };
        file.read_exact_at(&mut line, place.offset).map_err(fault)?;
        open.file = Some((place.file, file));
        let text = String::from_utf8_lossy(&line);
        match read_line(&text) {
            Ok(Entry::Decision(decision)) => Ok(*decision),
            Ok(Entry::Receipt(_) | Entry::Vote(_) | Entry::Terms(_) | Entry::Token(_)) => {
                let source = std::io::Error::other("the index points at no decision");
                Err(fault(source))
            }
            Err(source) => {
                Err(JournalError::Broken { path: self.path.clone(), line: place.file, source })
            }
        }
    }

    /// The file that begins with line `first`: full meanwhile, or still written.
    fn file(&self, first: u64) -> Result<File, JournalError> {
        let opened = File::open(full(&self.path, first)).or_else(|_| File::open(&self.path));
        opened.map_err(|source| JournalError::Io { doing: "open", path: self.path.clone(), source })
    }
}
