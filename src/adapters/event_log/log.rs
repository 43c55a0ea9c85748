//! The event log: what came by HTTP, kept until checkpoints hold it, so that nothing that was
//! acknowledged is lost.
//!
//! ```text
//!  source --> data plane: watched at once
//!         \-> appender: one write, one fsync for all that wait --> the answer to the sender
//!  start:  checkpoints, then the segments of the log, as they arrived --> data plane
//! ```
//! A slot is a partition as those of Kafka are: its events have offsets, and a checkpoint says from
//! which one on they are read again. **Invariant**: what `Appended::is_durable` said true of is
//! read again after a crash. **Does not** hold detection up: where the disk is slow or full, events
//! are watched all the same, and the sender learns that they are not kept.

use super::metrics::EventLogMetrics;
use crate::adapters::channels::SLOTS;
use crate::data_plane::batch::{Batch, HashSeed};
use crate::formats::storage::event_log::{self, HEAD_BYTES, LogItem, LogScan, Useless};
use crate::model::time::EventTime;
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How many idempotency keys are remembered. Chosen: a minute of a thousand requests a second.
pub const KEYS_MAX: usize = 65_536;
/// How the names of segments end.
pub(super) const SEGMENT: &str = "events";
/// How the names of segments end that are of no use.
const USELESS: &str = "useless";

/// When what was appended is forced to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before the sender is answered: it outlives a crash of the machine.
    #[default]
    BeforeAnswer,
    /// Once a second: a crash of the machine loses up to that, one of tripline nothing.
    EverySecond,
    /// When the operating system sees fit: a crash of tripline loses nothing.
    Never,
}

impl Sync {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BeforeAnswer, Self::EverySecond, Self::Never];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeAnswer => "before_answer",
            Self::EverySecond => "every_second",
            Self::Never => "never",
        }
    }
}

/// Parameters of the event log.
#[derive(Clone, Debug)]
pub struct Params {
    /// When what was appended is forced to disk.
    pub sync: Sync,
    /// The most it holds; beyond that the oldest is given up. Unit: bytes.
    pub bytes_max: u64,
    /// The free space that it keeps on its disk, for the journal above all. Unit: bytes.
    pub reserve_bytes: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { sync: Sync::default(), bytes_max: 8 << 30, reserve_bytes: 256 << 20 }
    }
}

impl Params {
    /// How large a segment gets. Unit: bytes. Chosen: a sixteenth, so that little is given up at
    /// once, and no more than is read into memory with ease.
    pub(super) fn segment_bytes(&self) -> u64 {
        (self.bytes_max / 16).clamp(64 << 10, 64 << 20)
    }
}

/// The offset after the last event, by slot.
pub type Ends = [i64; SLOTS];

/// A segment: its file, and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) ends: Ends,
    /// When the newest of it arrived.
    pub(super) newest: EventTime,
}

/// The content of the log at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The next offset of each slot.
    pub next: Ends,
    /// Hashes of the idempotency keys of its newest requests, newest first.
    pub keys: VecDeque<u64>,
    /// Events that no checkpoint holds.
    pub events: u64,
}

/// The event log before it is read.
#[derive(Debug)]
pub struct EventLog {
    pub(super) folder: PathBuf,
    pub(super) params: Params,
    pub(super) seed: HashSeed,
    pub(super) metrics: EventLogMetrics,
    paths: Vec<PathBuf>,
    /// The number of the next segment.
    pub(super) next: u64,
}

/// The event log once it is read: only then it is known what may be removed.
#[derive(Debug)]
pub struct ReadLog {
    pub(super) log: EventLog,
    pub(super) segments: Vec<Segment>,
}

impl EventLog {
    /// Opens the log in `folder`, which is made.
    ///
    /// # Errors
    /// When it can't be made or read.
    pub fn open(
        folder: &Path,
        params: Params,
        seed: HashSeed,
        metrics: &EventLogMetrics,
    ) -> std::io::Result<Self> {
        crate::adapters::host::private_files::create_private_folder(folder)?;
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            // Those that were set aside count, so that their names are not used again.
            let number = stem.and_then(|stem| stem.split('.').next()?.parse::<u64>().ok());
            numbers.extend(number.map(|number| (number, path)));
        }
        numbers.sort();
        let next = numbers.last().map_or(0, |(number, _)| number + 1);
        let is_one =
            |path: &PathBuf| path.extension().is_some_and(|extension| extension == SEGMENT);
        let paths = numbers.into_iter().map(|(_, path)| path).filter(is_one).collect();
        let log =
            Self { folder: folder.to_owned(), params, seed, metrics: metrics.clone(), paths, next };
        log.check()?;
        Ok(log)
    }

    /// Whether its segments are of this fingerprint key and version: they are of use to someone.
    fn check(&self) -> std::io::Result<()> {
        for path in &self.paths {
            let mut begin = Vec::new();
            std::fs::File::open(path)?.take(HEAD_BYTES as u64).read_to_end(&mut begin)?;
            if let Err(useless @ (Useless::OtherKey | Useless::Newer(_))) =
                event_log::check(&begin, self.seed)
            {
                return Err(std::io::Error::other(format!("{}: {useless}", path.display())));
            }
        }
        Ok(())
    }

    /// Reads the log: what arrived when in which slot, of all that lies at or after `from`. Blocks.
    pub fn replay(
        mut self,
        from: Ends,
        mut each: impl FnMut(usize, Batch, EventTime),
    ) -> (ReadLog, Replayed) {
        let mut replayed = Replayed { next: from, keys: VecDeque::new(), events: 0 };
        let seed = self.seed;
        let mut segments = Vec::new();
        for path in std::mem::take(&mut self.paths) {
            let read = self.read(&path, &mut |told| match told {
                LogItem::Key(key) => {
                    replayed.keys.truncate(KEYS_MAX - 1);
                    replayed.keys.push_front(key);
                    true
                }
                LogItem::Part(arrived, part) => {
                    let next = replayed.next.get_mut(part.slot);
                    let Some(next) = next.filter(|next| part.end > **next) else { return true };
                    let Some(batch) = part.batch(seed) else { return false };
                    replayed.events += u64::try_from(part.end - part.first.max(*next)).unwrap_or(0);
                    *next = part.end;
                    each(part.slot, batch, arrived);
                    true
                }
            });
            segments.extend(read);
        }
        (ReadLog { log: self, segments }, replayed)
    }

    /// Reads a segment; none if it is of no use. `each` says whether it could read the item.
    fn read(&self, path: &Path, each: &mut dyn FnMut(LogItem<'_>) -> bool) -> Option<Segment> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.set_aside(path, &error.to_string());
                return None;
            }
        };
        if bytes.len() <= HEAD_BYTES || bytes.iter().take(HEAD_BYTES).all(|byte| *byte == 0) {
            // It was just begun when tripline or the machine ended.
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(file = %path.display(), error = %error, "can't remove an empty \
                    file");
            }
            return None;
        }
        let (bytes_all, ends, newest) = (bytes.len() as u64, [0; SLOTS], EventTime::MIN);
        let mut segment = Segment { path: path.to_owned(), bytes: bytes_all, ends, newest };
        let mut unreadable = 0;
        let read = event_log::read(&bytes, self.seed, |told| {
            if let LogItem::Part(arrived, part) = told
                && let Some(end) = segment.ends.get_mut(part.slot)
            {
                *end = part.end.max(*end);
                segment.newest = arrived.max(segment.newest);
            }
            unreadable += u64::from(!each(told));
        });
        let damaged = match read {
            Ok(LogScan { damaged, torn_bytes }) => {
                if torn_bytes > 0 {
                    tracing::warn!(
                        file = %path.display(), bytes = torn_bytes,
                        "a segment of the event log ends in a partial record: tripline or the \
                         machine stopped while writing it, or it was damaged since"
                    );
                }
                damaged + unreadable
            }
            Err(useless) => {
                self.set_aside(path, &useless.to_string());
                return None;
            }
        };
        if damaged > 0 {
            self.metrics.errors.inc();
            tracing::error!(
                file = %path.display(), records = damaged,
                "records of the event log are damaged, from outside or by a failing disk: these \
                 records are lost, later ones are read"
            );
        }
        Some(segment)
    }

    fn set_aside(&self, path: &Path, why: &str) {
        self.metrics.errors.inc();
        let aside = path.with_extension(format!("{SEGMENT}.{USELESS}"));
        let kept = std::fs::rename(path, &aside).is_ok();
        tracing::error!(
            file = %path.display(),
            kept_as = kept.then(|| aside.display().to_string()),
            why,
            "a segment of the event log is unusable; its events are not replayed"
        );
    }
}
