//! The journal: the append-only, hash-chained, fsynced trail of decisions and receipts.
//!
//! **Invariant** S-2: what [`Journal::append`] returned from is on disk. After a crash the last
//! line may be torn; it was never acknowledged, so it is cut off and reported.

use crate::wire::journal_json::{Entry, LineError, Link, decode, encode};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The longest line read. Unit: bytes. Chosen: a decision has one to two thousand.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What went wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system said no.
    #[error("can't {doing} the journal {}", path.display())]
    Io {
        /// What was tried.
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
         the investigation, then move the file away to start a new one",
        path.display()
    )]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: LineError,
    },
}

/// What was found in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Whole lines.
    pub lines: u64,
    /// Bytes of a torn last line, which were cut off. Unit: bytes.
    pub torn_bytes: u64,
}

/// A file that no other process appends to while this one has it.
#[derive(Debug)]
struct Owned(File);

impl Drop for Owned {
    /// Closing the file is not enough: a child between fork and exec still has it, and the lock.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "can't give the journal's lock back");
        }
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: Owned,
    path: PathBuf,
    next: u64,
    link: Link,
    length: u64,
}

impl Journal {
    /// Opens or creates the journal at `path`, verifies it whole, and gives each entry to `each`.
    ///
    /// # Errors
    /// When it can't be read, another process holds it, or its chain is broken.
    pub fn open(path: &Path, each: impl FnMut(Entry)) -> Result<(Self, Found), JournalError> {
        let io = |doing| {
            let path = path.to_owned();
            move |source| JournalError::Io { doing, path, source }
        };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(path).map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        let file = Owned(file);
        if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
            folder.sync_all().map_err(io("make durable the folder of"))?;
        }
        let (chain, found) = read_chain(&file.0, path, each)?;
        let (next, link, length) = chain;
        let journal = Self { file, path: path.to_owned(), next, link, length };
        if found.torn_bytes > 0 {
            journal.cut_back().map_err(io("repair"))?;
        }
        Ok((journal, found))
    }

    /// Appends entries; they are on disk when it returns.
    ///
    /// # Errors
    /// When the disk is full or broken. The file is then cut back to its last good line, so that
    /// the same entries may be tried again.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let mut text = String::new();
        let (mut next, mut link) = (self.next, self.link.clone());
        for entry in entries {
            let (line, after) = encode(entry, next, &link);
            text.push_str(&line);
            text.push('\n');
            next += 1;
            link = after;
        }
        let written = self.file.0.write_all(text.as_bytes()).and_then(|()| self.file.0.sync_data());
        if let Err(source) = written {
            let repaired = self.cut_back();
            let doing = if repaired.is_ok() { "write to" } else { "write to or repair" };
            return Err(JournalError::Io { doing, path: self.path.clone(), source });
        }
        self.next = next;
        self.link = link;
        self.length += text.len() as u64;
        Ok(())
    }

    fn cut_back(&self) -> std::io::Result<()> {
        self.file.0.set_len(self.length)?;
        self.file.0.sync_all()
    }
}

/// Verifies a journal without changing it.
///
/// # Errors
/// When it can't be read or its chain is broken.
pub fn verify(path: &Path) -> Result<Found, JournalError> {
    let file = File::open(path).map_err(|source| JournalError::Io {
        doing: "open",
        path: path.to_owned(),
        source,
    })?;
    read_chain(&file, path, |_| {}).map(|(_, found)| found)
}

/// The number of the next line, the link to it, and where it begins.
type End = (u64, Link, u64);

fn read_chain(
    file: &File,
    path: &Path,
    mut each: impl FnMut(Entry),
) -> Result<(End, Found), JournalError> {
    let io = |source| JournalError::Io { doing: "read", path: path.to_owned(), source };
    let broken = |line, source| JournalError::Broken { path: path.to_owned(), line, source };
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0)).map_err(io)?;
    let (mut next, mut link, mut length) = (1, Link::first(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = std::io::Read::take(&mut reader, LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line).map_err(io)? as u64;
        if line.last() != Some(&b'\n') {
            if read == LINE_BYTES_MAX {
                return Err(broken(next, LineError::Incomplete));
            }
            let found = Found { lines: next - 1, torn_bytes: read };
            return Ok(((next, link, length), found));
        }
        line.pop();
        let text = std::str::from_utf8(&line).map_err(|_| broken(next, LineError::Changed))?;
        let (entry, after) = decode(text, next, &link).map_err(|source| broken(next, source))?;
        each(entry);
        next += 1;
        link = after;
        length += read;
    }
}
