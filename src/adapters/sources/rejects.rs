//! Rejected records: where refused records stood and why, one JSON object a line. Never their bytes,
//! which may hold secrets; the place leads back to them.

use crate::formats::events::refusal::Refusal;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Where a record stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RecordPlace<'a> {
    /// A line, or the number of a record in a document.
    Line {
        /// The file, or `-`.
        file: &'a str,
        /// From 1.
        line: u64,
    },
    /// A Kafka record.
    Record {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// A line of a file that is followed.
    Offset {
        /// The name of the source.
        source: &'a str,
        /// The file.
        file: &'a str,
        /// Where the line begins. Unit: bytes, unpacked.
        offset: u64,
    },
    /// A message, or a line of standard input.
    Message {
        /// The name of the source.
        source: &'a str,
        /// Its number since the start, from 1.
        number: u64,
    },
    /// An entry of a stream of Redis.
    Entry {
        /// The name of the source.
        source: &'a str,
        /// Its id.
        entry: &'a str,
    },
    /// A record of an object in S3.
    Object {
        /// The name of the source.
        source: &'a str,
        /// Its key.
        object: &'a str,
        /// From 1.
        record: u64,
    },
    /// A line or element of an HTTP body.
    Request {
        /// The number of the request since the start.
        request: u64,
        /// From 1.
        line: u64,
    },
}

#[derive(Serialize)]
struct Letter<'a> {
    at: String,
    reason: &'static str,
    #[serde(flatten)]
    place: RecordPlace<'a>,
}

/// Writes a rejected record as JSON.
pub fn letter(place: RecordPlace<'_>, refusal: Refusal, at: EventTime) -> String {
    let letter = Letter { at: at.to_string(), reason: refusal.as_str(), place };
    serde_json::to_string(&letter).unwrap_or_default()
}

/// How many files there are: the one that is written, and the one before.
const FILES: u64 = 2;

/// How many letters are written on average, and how many at once. Unit: letters a second, and letters.
/// Chosen: what a person can read is far less, and a disk takes 100 KB a second for weeks.
const PER_S_MAX: i64 = 1_000;
const AT_ONCE_MAX: i64 = 10_000;

/// For how long rejected records are kept, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// How long one is kept; twice that long at most. Unit: milliseconds. Default: 30 days.
    pub keep_ms: i64,
    /// How large both files may get together. Unit: bytes. Default: 1 GiB.
    pub bytes_max: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { keep_ms: 30 * 86_400_000, bytes_max: 1 << 30 }
    }
}

/// The outcome of writing a rejected record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectResult {
    /// It is written.
    Yes,
    /// It is left out, as too many come.
    LeftOut,
    /// It can't be written.
    Failed,
}

/// The file of rejected records. At half of the size that is allowed, or as it gets old, it becomes the
/// file before, in the place of the one that was: the newest letters are kept.
#[derive(Debug)]
pub struct RejectLog {
    path: PathBuf,
    open: Mutex<Open>,
    allowance: Mutex<Allowance>,
    params: Params,
}

#[derive(Debug)]
struct Open {
    file: BufWriter<File>,
    length: u64,
    /// When it began, as far as it is known.
    since: EventTime,
}

/// How many letters may be written now: a token bucket, in letters times milliseconds.
#[derive(Debug)]
struct Allowance {
    left: i64,
    at: EventTime,
}

impl Allowance {
    fn take(&mut self, now: EventTime) -> bool {
        // A clock that stepped back gives nothing, and takes nothing.
        let since_ms = now.ms_since(self.at).max(0);
        self.at = now;
        let refilled = self.left.saturating_add(since_ms.saturating_mul(PER_S_MAX));
        self.left = refilled.min(AT_ONCE_MAX * 1_000);
        let has_one = self.left >= 1_000;
        if has_one {
            self.left -= 1_000;
        }
        has_one
    }
}

impl RejectLog {
    /// Opens or creates the file; `now` is when.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn open(path: &Path, params: Params, now: EventTime) -> io::Result<Self> {
        adopt_older(path)?;
        let open = Mutex::new(open(path, now)?);
        let allowance = Mutex::new(Allowance { left: AT_ONCE_MAX * 1_000, at: now });
        Ok(Self { path: path.to_owned(), open, allowance, params })
    }

    /// Writes a letter, unless too many come.
    pub fn write(&self, letter: &str, now: EventTime) -> RejectResult {
        if !self.allowance.lock().take(now) {
            return RejectResult::LeftOut;
        }
        if self.append(letter, now) { RejectResult::Yes } else { RejectResult::Failed }
    }

    fn append(&self, letter: &str, now: EventTime) -> bool {
        let mut open = self.open.lock();
        let bytes = letter.len() as u64 + 1;
        let is_full = open.length > 0 && open.length + bytes > self.params.bytes_max / FILES;
        if is_full && self.begin_anew(&mut open, now).is_err() {
            return false;
        }
        open.length += bytes;
        let file = &mut open.file;
        file.write_all(letter.as_bytes()).and_then(|()| file.write_all(b"\n")).is_ok()
    }

    /// Hands what is buffered to the operating system, and begins again where the file is old; false
    /// if it can't.
    pub fn flush(&self, now: EventTime) -> bool {
        let mut open = self.open.lock();
        if now.ms_since(open.since) >= self.params.keep_ms {
            return self.begin_anew(&mut open, now).is_ok();
        }
        open.file.flush().is_ok()
    }

    fn begin_anew(&self, held: &mut Open, now: EventTime) -> io::Result<()> {
        held.file.flush()?;
        match std::fs::rename(&self.path, before(&self.path)) {
            // Someone took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        *held = open(&self.path, now)?;
        Ok(())
    }
}

/// `rejects.1.ndjson` of `rejects.ndjson`.
fn before(path: &Path) -> PathBuf {
    path.with_extension("1.ndjson")
}

fn open(path: &Path, now: EventTime) -> io::Result<Open> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    // Where no file system says when it was made, it counts as made now.
    let made = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let since = made.and_then(|at| i64::try_from(at.as_millis()).ok()).map(EventTime::from_ms);
    let length = metadata.len();
    let since = since.filter(|_| length > 0).unwrap_or(now);
    Ok(Open { file: BufWriter::new(file), length, since })
}

/// Renames the files of versions that called them dead letters.
fn adopt_older(path: &Path) -> io::Result<()> {
    let names = [("dead-letters.ndjson", path.to_owned()), ("dead-letters.1.ndjson", before(path))];
    for (older, name) in names {
        let older = path.with_file_name(older);
        if !name.exists() && older.exists() {
            std::fs::rename(older, name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE_MAX, PER_S_MAX, Params, Path, RejectLog, RejectResult, before};
    use crate::model::time::EventTime;

    #[test]
    fn the_newest_are_kept_within_the_size_and_nothing_for_longer_than_twice_the_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rejects.ndjson");
        let params = Params { keep_ms: 1000, bytes_max: 200 };
        let at = EventTime::from_ms;
        let letters = RejectLog::open(&path, params, at(0)).expect("opens");
        for number in 0..30 {
            assert_eq!(letters.write(&format!("letter {number:02}"), at(0)), RejectResult::Yes);
        }
        assert!(letters.flush(at(1)));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let kept = format!("{}{}", read(&before(&path)), read(&path));
        assert!(kept.len() <= 200 && kept.ends_with("letter 29\n"), "{kept}");
        assert!(kept.contains("letter 20"), "{kept}");
        assert!(letters.flush(at(1000)));
        assert_eq!((read(&path).as_str(), read(&before(&path)).contains("letter 29")), ("", true));
        assert!(letters.flush(at(2001)));
        assert_eq!(read(&before(&path)), "", "what was there has gone");
        std::fs::remove_file(&path).expect("removes");
        for number in 0..30 {
            let written = letters.write(&format!("again {number:02}"), at(2002));
            assert_eq!(written, RejectResult::Yes, "it goes on");
        }
    }

    #[test]
    fn a_flood_is_left_out_and_a_second_later_some_are_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rejects.ndjson");
        let at = EventTime::from_ms;
        let letters = RejectLog::open(&path, Params::default(), at(0)).expect("opens");
        let written = |ms, count: i64| {
            (0..count).filter(|_| letters.write("{}", at(ms)) == RejectResult::Yes).count()
        };
        assert_eq!(written(0, 2 * AT_ONCE_MAX), 10_000);
        assert_eq!(written(1_000, 2 * PER_S_MAX), 1_000);
        assert_eq!(written(0, 10), 0, "a clock that steps back gives nothing");
        assert_eq!(letters.write("{}", at(2_000)), RejectResult::Yes);
    }

    #[test]
    fn files_of_versions_with_another_name_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let older = |name: &str| folder.path().join(name);
        std::fs::write(older("dead-letters.ndjson"), "newer\n").expect("written");
        std::fs::write(older("dead-letters.1.ndjson"), "older\n").expect("written");
        let path = folder.path().join("rejects.ndjson");
        let log = RejectLog::open(&path, Params::default(), EventTime::from_s(0)).expect("opens");
        let read = |path: &Path| std::fs::read_to_string(path).expect("reads");
        assert_eq!((read(&path), read(&before(&path))), ("newer\n".into(), "older\n".into()));
        assert!(!older("dead-letters.ndjson").exists() && log.flush(EventTime::from_s(1)));
    }
}
