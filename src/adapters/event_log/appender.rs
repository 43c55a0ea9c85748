//! The thread that appends: all that waits with one write, and one fsync.

use super::log::{Ends, EventLog, Params, ReadLog, SEGMENT, Segment, Sync};
use super::metrics::EventLogMetrics;
use crate::adapters::channels::SLOTS;
use crate::adapters::checkpoint::store::KeptOffset;
use crate::adapters::clock;
use crate::data_plane::batch::HashSeed;
use crate::formats::storage::event_log::{frame, head};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Error, Write};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The most bytes that may wait to be appended. Unit: bytes. Chosen: a second of a busy source and more.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// The most bytes of one write. Unit: bytes. Chosen.
const TOGETHER_BYTES_MAX: usize = 8 << 20;
/// How often old segments are removed, and a disk that failed is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a segment is kept at least, for the idempotency keys in it. Unit: milliseconds.
const KEPT_FOR_MS: i64 = 60_000;
/// How long a sender waits at most until its events are durable.
pub const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// A record on its way to the log.
#[derive(Debug)]
struct Appending {
    body: Vec<u8>,
    ends: Vec<(usize, i64)>,
    answer: oneshot::Sender<bool>,
    _room: OwnedSemaphorePermit,
}

/// A message to the log.
#[derive(Debug)]
enum Message {
    Append(Appending),
    /// Append what waits, then end.
    Stop,
}

/// The way to the log.
#[derive(Clone, Debug)]
pub struct Appender {
    ways: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
}

/// The handle of a record that was handed to the log.
#[derive(Debug)]
pub struct Appended(Option<oneshot::Receiver<bool>>);

impl Appended {
    /// Waits until it is as durable as the configuration wants; false if the disk is full, failing,
    /// or too slow.
    pub async fn is_durable(self) -> bool {
        let Some(answer) = self.0 else { return false };
        tokio::time::timeout(ANSWER_WAIT, answer).await.is_ok_and(|answer| answer == Ok(true))
    }
}

impl Appender {
    /// Hands over a record, which holds events of these slots up to these offsets. Never waits.
    pub fn append(&self, body: Vec<u8>, ends: Vec<(usize, i64)>) -> Appended {
        let bytes = u32::try_from(body.len().min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            return Appended(None);
        };
        let (answer, durable) = oneshot::channel();
        let appending = Appending { body, ends, answer, _room: room };
        Appended(self.ways.send(Message::Append(appending)).is_ok().then_some(durable))
    }

    /// Lets the log end once it has what was handed over.
    pub fn stop(&self) {
        // It ends by itself only if it panicked.
        let _ended = self.ways.send(Message::Stop);
    }
}

pub(super) fn start(
    read: ReadLog,
    kept: Vec<Arc<KeptOffset>>,
) -> std::io::Result<(Appender, std::thread::JoinHandle<()>)> {
    let (ways, waiting) = mpsc::channel();
    let ReadLog { log: EventLog { folder, params, seed, metrics, next, .. }, segments } = read;
    let mut thread = Thread {
        folder,
        params,
        seed,
        metrics,
        kept,
        sealed: segments.into(),
        next,
        active: None,
        fails: None,
        unsynced: false,
        looked: Instant::now(),
    };
    thread.remove_held();
    thread.remove_beyond_limit();
    let run = move || thread.run(&waiting);
    let thread = std::thread::Builder::new().name("event-log".to_owned()).spawn(run)?;
    Ok((Appender { ways, room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)) }, thread))
}

/// The segment that is written now.
#[derive(Debug)]
struct Active {
    file: File,
    segment: Segment,
}

#[derive(Debug)]
struct Thread {
    folder: PathBuf,
    params: Params,
    seed: HashSeed,
    metrics: EventLogMetrics,
    kept: Vec<Arc<KeptOffset>>,
    sealed: VecDeque<Segment>,
    next: u64,
    active: Option<Active>,
    /// Since when the disk fails; it is tried again once in a while.
    fails: Option<Instant>,
    unsynced: bool,
    looked: Instant,
}

impl Thread {
    /// Runs until the stop message. Blocks.
    fn run(mut self, waiting: &mpsc::Receiver<Message>) {
        let mut goes_on = true;
        while goes_on {
            let wait = LOOK_EVERY.saturating_sub(self.looked.elapsed());
            match waiting.recv_timeout(wait) {
                Ok(Message::Append(first)) => goes_on = self.append(first, waiting),
                Ok(Message::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => goes_on = false,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if self.looked.elapsed() >= LOOK_EVERY {
                self.looked = Instant::now();
                self.sync_if_due();
                self.stop_if_disk_is_full();
                self.remove_held();
                self.remove_beyond_limit();
            }
        }
        self.sync_if_due();
    }

    /// Appends what waits, beginning with `first`; says whether it goes on then.
    fn append(&mut self, first: Appending, waiting: &mpsc::Receiver<Message>) -> bool {
        let mut bytes = Vec::new();
        frame(&first.body, &mut bytes);
        let mut together = vec![first];
        let mut goes_on = true;
        while bytes.len() < TOGETHER_BYTES_MAX && goes_on {
            match waiting.try_recv() {
                Ok(Message::Append(one)) => {
                    frame(&one.body, &mut bytes);
                    together.push(one);
                }
                Ok(Message::Stop) => goes_on = false,
                Err(_) => break,
            }
        }
        let ends = together.iter().flat_map(|one| one.ends.iter().copied());
        let durable = match self.write(&bytes, ends) {
            Ok(()) => {
                if self.fails.take().is_some() {
                    tracing::info!("the event log can be written again");
                }
                true
            }
            Err(Refusal::StillFails) => false,
            Err(Refusal::Now(error)) => {
                self.fail(&error);
                false
            }
        };
        for one in together {
            // The sender may have gone away.
            let _gone = one.answer.send(durable);
        }
        goes_on
    }

    fn write(
        &mut self,
        bytes: &[u8],
        ends: impl Iterator<Item = (usize, i64)>,
    ) -> Result<(), Refusal> {
        if self.fails.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Err(Refusal::StillFails);
        }
        let room = self.params.segment_bytes();
        if self.active.as_ref().is_some_and(|active| active.segment.bytes >= room) {
            self.seal();
        }
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.begin()?,
        };
        let timer = self.metrics.seconds.start_timer();
        let written = active.file.write_all(bytes).and_then(|()| match self.params.sync {
            Sync::BeforeAnswer => active.file.sync_data(),
            Sync::EverySecond | Sync::Never => Ok(()),
        });
        timer.observe_duration();
        let segment = &mut active.segment;
        segment.bytes += bytes.len() as u64;
        segment.newest = clock::now();
        for (slot, end) in ends {
            if let Some(known) = segment.ends.get_mut(slot) {
                *known = end.max(*known);
            }
        }
        self.active = Some(active);
        if let Err(error) = written {
            // The end of the last write is unknown: nothing is written after it.
            self.seal();
            return Err(error.into());
        }
        self.unsynced = self.params.sync == Sync::EverySecond;
        Ok(())
    }

    /// Begins the next segment.
    fn begin(&mut self) -> Result<Active, Refusal> {
        self.has_room()?;
        let path = self.folder.join(format!("{:020}.{SEGMENT}", self.next));
        self.next += 1;
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        let head = head(self.seed);
        let begun = file.write_all(&head).and_then(|()| File::open(&self.folder)?.sync_all());
        if let Err(error) = begun {
            // An empty segment is removed at the next start too.
            let _stays = std::fs::remove_file(&path);
            return Err(error.into());
        }
        let segment =
            Segment { path, bytes: head.len() as u64, ends: [0; SLOTS], newest: clock::now() };
        Ok(Active { file, segment })
    }

    /// Whether the disk has room beyond what it keeps for the journal.
    fn has_room(&self) -> Result<(), Error> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.params.reserve_bytes {
            let text = format!(
                "{free} bytes are free, and event_log.min_free_disk keeps {} for the journal",
                self.params.reserve_bytes
            );
            return Err(Error::other(text));
        }
        Ok(())
    }

    fn fail(&mut self, error: &Error) {
        self.metrics.errors.inc();
        if self.fails.is_none() {
            tracing::error!(
                folder = %self.folder.display(), error = %error,
                "events are processed but not durable, and senders get 202: a crash would lose \
                 them; free space on the disk of data_dir, or repair it"
            );
        }
        self.fails = Some(Instant::now());
    }

    fn seal(&mut self) {
        if let Some(active) = self.active.as_ref().filter(|_| self.unsynced) {
            // If that fails, the next write will, too.
            let _failed = active.file.sync_data();
            self.unsynced = false;
        }
        self.sealed.extend(self.active.take().map(|active| active.segment));
    }

    /// Forces to disk what was appended since the last second, where that is asked for.
    fn sync_if_due(&mut self) {
        if let Some(active) = self.active.as_ref().filter(|_| self.unsynced) {
            let synced = active.file.sync_data();
            self.unsynced = false;
            if let Err(error) = synced {
                self.seal();
                self.fail(&error);
            }
        }
    }

    /// Stops appending where others filled the disk.
    fn stop_if_disk_is_full(&mut self) {
        if self.active.is_some()
            && let Err(error) = self.has_room()
        {
            self.seal();
            self.fail(&error);
        }
    }

    /// The offsets from which checkpoints go on, by slot.
    fn held(&self) -> Ends {
        std::array::from_fn(|slot| self.kept.get(slot).map_or(0, |kept| kept.oldest()))
    }

    /// Removes segments of which checkpoints hold everything.
    fn remove_held(&mut self) {
        let held = self.held();
        // Idempotency keys are known from it, too.
        let before = clock::now().plus_ms(-KEPT_FOR_MS);
        let goes = |segment: &Segment| segment.newest < before && is_held(segment, &held);
        // One that is written on and on would hold everything for ever, where little comes in.
        if self.active.as_ref().is_some_and(|active| goes(&active.segment)) {
            self.seal();
        }
        self.sealed.retain(|segment| !(goes(segment) && is_removed(segment)));
    }

    /// Removes the oldest segments beyond the limit, whether or not checkpoints hold them.
    fn remove_beyond_limit(&mut self) {
        let held = self.held();
        let active = self.active.as_ref().map_or(0, |active| active.segment.bytes);
        let mut bytes = active + self.sealed.iter().map(|segment| segment.bytes).sum::<u64>();
        while bytes > self.params.bytes_max
            && let Some(oldest) = self.sealed.pop_front()
        {
            if !is_removed(&oldest) {
                self.sealed.push_front(oldest);
                break;
            }
            bytes = bytes.saturating_sub(oldest.bytes);
            if !is_held(&oldest, &held) {
                self.metrics.segments_dropped.inc();
                tracing::error!(
                    file = %oldest.path.display(),
                    "the event log reached event_log.max and drops its oldest events, which a \
                     crash would lose: if tripline_checkpoint_errors_total rises, repair checkpoints, else raise event_log.max"
                );
            }
        }
        self.metrics.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// Whether checkpoints that go on from these offsets hold all of a segment.
fn is_held(segment: &Segment, held: &Ends) -> bool {
    segment.ends.iter().zip(held).all(|(end, held)| end <= held)
}

/// Removes the file of a segment; says whether it is gone.
fn is_removed(segment: &Segment) -> bool {
    match std::fs::remove_file(&segment.path) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Why nothing was written.
enum Refusal {
    /// The disk failed a moment ago, and was not tried again.
    StillFails,
    /// It fails now.
    Now(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Now(error)
    }
}

impl ReadLog {
    /// Starts the thread that appends, and gives up what the checkpoints `kept` of the slots hold.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        self,
        kept: Vec<Arc<KeptOffset>>,
    ) -> std::io::Result<(Appender, std::thread::JoinHandle<()>)> {
        start(self, kept)
    }
}
