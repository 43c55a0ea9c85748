//! Errors of the journal.

use crate::formats::storage::journal::LineError;
use std::io::ErrorKind;
use std::path::PathBuf;

/// An error of the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system said no.
    #[error("can't {doing} the journal {}", path.display())]
    Io {
        /// The attempted operation.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Another process holds it.
    #[error("the journal {} is in use by another tripline; stop that one first", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// A line isn't the one that was written there.
    #[error(
        "the journal {} is broken at line {line}: it was changed from outside; keep a copy for \
         the investigation, then move it and its index away to start a new one",
        path.display()
    )]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1, over all files.
        line: u64,
        /// The mistake.
        #[source]
        source: LineError,
    },
    /// Lines are missing at the end.
    #[error(
        "the journal {} ends at line {has}, but line {knew} is known to have been written: lines \
         were cut off from outside, or an older copy was put back; bring the newest files back, or \
         remove the index (journal.db) to go on with what is left",
        path.display()
    )]
    Truncated {
        /// Which file.
        path: PathBuf,
        /// The last line it has.
        has: u64,
        /// The last line that was written.
        knew: u64,
    },
    /// All lines follow each other, but they aren't the ones that were written.
    #[error(
        "line {line} of the journal {} is not the one that is known to have been written: the \
         journal was replaced; bring the right files back, or remove the index (journal.db) to \
         accept these",
        path.display()
    )]
    Replaced {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: u64,
    },
    /// The index can't be used.
    #[error("can't use the index of the journal {}", path.display())]
    Index {
        /// Which journal.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl JournalError {
    /// Whether the disk is full, or the quota of its user is used up.
    pub fn found_no_room(&self) -> bool {
        matches!(
            self,
            Self::Io { source, .. }
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        )
    }
}
