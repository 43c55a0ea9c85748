//! The journal: the append-only, hash-chained, fsynced trail of decisions, receipts and votes.
//!
//! **Invariant** S-2: what [`Journal::append`] returned from is on disk. After a crash the last
//! line may be torn; it was never acknowledged, so it is cut off and reported.
//!
//! A line that was changed, left out or cut off is noticed when it is read: by the chain, and at the end,
//! where a chain is silent, by the index, which remembers the last line.

use super::files::{full, index_of, lock_of, open_active, segments, sync_folder};
use super::index::Head;
use super::index::LogPosition;
use super::index::{Index, Row};
use crate::adapters::journal::error::JournalError;
use crate::formats::storage::journal::{Entry, LineError, Link, decode, encode};
use crate::model::credential::Credential;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The longest line read. Unit: bytes. Chosen: a decision has one to two thousand.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Rows that are put into the index together as it is recreated. Chosen.
const ROWS_TOGETHER: usize = 10_000;

/// The content of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalScan {
    /// Whole lines.
    pub lines: u64,
    /// Bytes of a torn last line. Unit: bytes.
    pub torn_bytes: u64,
    /// How many files.
    pub files: usize,
    /// The hash of the last line; of a journal without lines, zeros.
    pub head: String,
}

/// A lock that no other process has while this one has it.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a child between fork and exec still has it, and the lock.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "can't release the journal's lock");
        }
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    _lock: Lock,
    file: File,
    path: PathBuf,
    index: Index,
    /// Whether the index lacks what was written; it is made whole at the next start.
    index_behind: bool,
    rotate_bytes: u64,
    end: End,
}

/// Where the next line goes.
#[derive(Clone, Debug)]
struct End {
    /// Its number.
    next: u64,
    /// The hash that it links to.
    link: Link,
    /// The first line of the file that it goes to.
    file: u64,
    /// How much that file has. Unit: bytes.
    length: u64,
}

impl Journal {
    /// Opens or creates the journal at `path`, verifies it whole, and gives each entry to `each`.
    /// A file is full at `rotate_bytes`.
    ///
    /// # Errors
    /// When it can't be read, another process holds it, its chain is broken or its end is missing.
    pub fn open(
        path: &Path,
        rotate_bytes: u64,
        each: impl FnMut(Entry),
    ) -> Result<(Self, JournalScan), JournalError> {
        let io = |doing| {
            let path = path.to_owned();
            move |source| JournalError::Io { doing, path, source }
        };
        let lock = open_active(&lock_of(path)).map_err(io("open the lock of"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        let lock = Lock(lock);
        let file = open_active(path).map_err(io("open"))?;
        sync_folder(path).map_err(io("make durable the folder of"))?;
        let of_index = |source| JournalError::Index { path: path.to_owned(), source };
        let mut index = Index::open(&index_of(path)).map_err(of_index)?;
        let known = index.head().map_err(of_index)?;
        let mut indexer = Indexer { index: &mut index, rows: Vec::new(), failed: None };
        let (end, found) = read_chain(path, known.as_ref(), each, |row, head| {
            indexer.add(row, head);
        })?;
        indexer.finish(&(found.lines, found.head.clone())).map_err(of_index)?;
        let journal = Self {
            _lock: lock,
            file,
            path: path.to_owned(),
            index,
            index_behind: false,
            rotate_bytes,
            end,
        };
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
        let mut end = self.end.clone();
        let mut rows = Vec::new();
        for entry in entries {
            let (line, after) = encode(entry, end.next, &end.link);
            let length = u32::try_from(line.len()).unwrap_or(u32::MAX);
            let place = LogPosition { file: end.file, offset: end.length, length };
            rows.extend(row(entry, end.next, place));
            text.push_str(&line);
            text.push('\n');
            end.next += 1;
            end.link = after;
            end.length += line.len() as u64 + 1;
        }
        let written = self.write(text.as_bytes());
        if let Err(source) = written {
            let repaired = self.cut_back();
            let doing = if repaired.is_ok() { "write to" } else { "write to or repair" };
            return Err(JournalError::Io { doing, path: self.path.clone(), source });
        }
        self.end = end;
        self.record(&rows);
        if self.end.length >= self.rotate_bytes
            && let Err(error) = self.rotate()
        {
            // The file that is full is written on; the next append tries again.
            tracing::warn!(%error, "can't rotate the journal");
        }
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> std::io::Result<()> {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("journal.before_write", |_| std::process::abort());
        let (first, rest) = text.split_at(text.len() / 2);
        self.file.write_all(first)?;
        #[cfg(feature = "failpoints")]
        fail::fail_point!("journal.half_written", |_| std::process::abort());
        self.file.write_all(rest)?;
        #[cfg(feature = "failpoints")]
        fail::fail_point!("journal.before_sync", |_| std::process::abort());
        self.file.sync_data()?;
        #[cfg(feature = "failpoints")]
        fail::fail_point!("journal.after_sync", |_| std::process::abort());
        Ok(())
    }

    /// Writes rows to the index; should it fail, it is behind until the next start.
    fn record(&mut self, rows: &[Row]) {
        if self.index_behind {
            return;
        }
        let head = (self.end.next - 1, self.end.link.as_str().to_owned());
        if let Err(error) = self.index.add(rows, &head) {
            self.index_behind = true;
            tracing::warn!(%error, "can't write the journal's index; the next start repairs it");
        }
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        std::fs::rename(&self.path, full(&self.path, self.end.file))?;
        #[cfg(feature = "failpoints")]
        fail::fail_point!("journal.renamed", |_| std::process::abort());
        self.file = open_active(&self.path)?;
        self.end.file = self.end.next;
        self.end.length = 0;
        sync_folder(&self.path)
    }

    /// The number of lines, and the hash of the last one, which stands for all of them.
    pub fn head(&self) -> (u64, &str) {
        (self.end.next - 1, self.end.link.as_str())
    }

    fn cut_back(&self) -> std::io::Result<()> {
        self.file.set_len(self.end.length)?;
        self.file.sync_all()
    }
}

fn row(entry: &Entry, line: u64, place: LogPosition) -> Option<Row> {
    match entry {
        Entry::Decision(decision) => {
            let credential: Credential = decision.credential.clone();
            Some(Row { line, decision: decision.id, credential, place })
        }
        Entry::Receipt(_) | Entry::Vote(_) | Entry::Terms(_) | Entry::Token(_) => None,
    }
}

/// Makes the index whole as the journal is read.
struct Indexer<'a> {
    index: &'a mut Index,
    rows: Vec<Row>,
    failed: Option<rusqlite::Error>,
}

impl Indexer<'_> {
    fn add(&mut self, row: Row, head: &Head) {
        self.rows.push(row);
        if self.rows.len() >= ROWS_TOGETHER && self.failed.is_none() {
            self.failed = self.index.add(&self.rows, head).err();
            self.rows.clear();
        }
    }

    fn finish(self, head: &Head) -> rusqlite::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.index.add(&self.rows, head),
        }
    }
}

/// Reads a head as `LINE:HASH`.
pub fn parse_head(text: &str) -> Option<Head> {
    let (line, hash) = text.split_once(':')?;
    let whole = hash.len() == Link::first().as_str().len();
    let digits = whole && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((line.parse().ok()?, hash.to_owned())).filter(|_| digits)
}

/// Verifies the journal at `path` without changing it, against what its index knows and against a
/// `head` that was kept elsewhere.
///
/// # Errors
/// When it can't be read, its chain is broken, or its end is missing.
pub fn verify(path: &Path, head: Option<&Head>) -> Result<JournalScan, JournalError> {
    let index = Index::open_to_read(&index_of(path)).ok();
    let known = index.and_then(|index| index.head().ok().flatten());
    let mut files = segments(path).map_or(0, |all| all.len());
    loop {
        let outcome = read_chain(path, known.as_ref(), |_| {}, |_, _| {});
        let now = segments(path).map_or(0, |all| all.len());
        // A file that became full meanwhile was missed, or read twice.
        if outcome.is_err() && now != files {
            files = now;
            continue;
        }
        let found = outcome.map(|(_, found)| found)?;
        if head.is_some() {
            read_chain(path, head, |_| {}, |_, _| {})?;
        }
        return Ok(found);
    }
}

/// Reads all files, verifies the chain, and holds it against what the index `known`s; rows that
/// the index lacks go to `lacking`.
fn read_chain(
    path: &Path,
    known: Option<&Head>,
    mut each: impl FnMut(Entry),
    mut lacking: impl FnMut(Row, &Head),
) -> Result<(End, JournalScan), JournalError> {
    let io = |source| JournalError::Io { doing: "read", path: path.to_owned(), source };
    let known_line = known.map_or(0, |(line, _)| *line);
    let mut end = End { next: 1, link: Link::first(), file: 1, length: 0 };
    let files = segments(path).map_err(io)?;
    let mut found = JournalScan { files: files.len(), ..JournalScan::default() };
    let mut line = Vec::new();
    for segment in &files {
        let broken =
            |line, source| JournalError::Broken { path: segment.path.clone(), line, source };
        if segment.first.is_some_and(|first| first != end.next) {
            return Err(broken(end.next, LineError::Unlinked));
        }
        let file = match File::open(&segment.path) {
            // A crash between the renaming of a full file and the next one.
            Err(error) if error.kind() == ErrorKind::NotFound && files.len() > 1 => continue,
            opened => opened.map_err(io)?,
        };
        let mut reader = BufReader::new(file);
        (end.file, end.length) = (end.next, 0);
        loop {
            line.clear();
            let mut bounded = std::io::Read::take(&mut reader, LINE_BYTES_MAX);
            let read = bounded.read_until(b'\n', &mut line).map_err(io)? as u64;
            if line.last() != Some(&b'\n') {
                let last = segment.first.is_none();
                if read == LINE_BYTES_MAX || (read > 0 && !last) {
                    return Err(broken(end.next, LineError::Incomplete));
                }
                found.torn_bytes = read;
                break;
            }
            line.pop();
            let text = str::from_utf8(&line).map_err(|_| broken(end.next, LineError::Changed))?;
            let (entry, after) =
                decode(text, end.next, &end.link).map_err(|source| broken(end.next, source))?;
            if known.is_some_and(|(line, hash)| *line == end.next && hash != after.as_str()) {
                return Err(JournalError::Replaced { path: path.to_owned(), line: end.next });
            }
            let length = u32::try_from(line.len()).unwrap_or(u32::MAX);
            let place = LogPosition { file: end.file, offset: end.length, length };
            if end.next > known_line
                && let Some(row) = row(&entry, end.next, place)
            {
                lacking(row, &(end.next, after.as_str().to_owned()));
            }
            each(entry);
            end.next += 1;
            end.link = after;
            end.length += read;
        }
    }
    found.lines = end.next - 1;
    if found.lines < known_line {
        let (has, knew) = (found.lines, known_line);
        return Err(JournalError::Truncated { path: path.to_owned(), has, knew });
    }
    end.link.as_str().clone_into(&mut found.head);
    Ok((end, found))
}
