//! Where checkpoints are kept: written by a task apart from the threads that own the state, and read
//! at the start.
//!
//! A checkpoint becomes readable whole or not at all, and only once everything that was reported before
//! it is in the journal. The two newest of a place are kept: where the newest is damaged, the one
//! before is used. A checkpoint of a former owner of its place is refused: see [`super::fence`].

use super::fence::{EPOCH_MAX, Fenced, epoch_of, next_number};
use super::metrics::CheckpointMetrics;
use crate::adapters::channels::Ticket;
use crate::adapters::clock;
use crate::adapters::storage::disk_reserve::Reserve;
use crate::data_plane::batch::HashSeed;
use crate::data_plane::partition::Params;
use crate::data_plane::partition::Partition;
use crate::data_plane::partition_checkpoint::Useless;
use crate::formats::storage::checkpoint;
use crate::model::time::EventTime;
use futures_util::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use url::Url;

/// How many of a place are kept.
const KEPT: usize = 2;
/// How many are made or wait to be written at once; the next one begins when there is room. Chosen: a
/// quarter of the slots, as they take as much memory as the state itself.
const QUEUE_MAX: usize = crate::adapters::channels::SLOTS / 4;
/// How the name of a checkpoint ends that is of no use.
const USELESS: &str = "useless";
/// After how long a checkpoint that was not finished is taken for torn.
const TORN_AFTER: Duration = Duration::from_mins(10);
/// How often it is looked whether what was reported is in the journal.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long that may take before the checkpoint is given up.
const JOURNAL_WAIT: Duration = Duration::from_secs(30);

/// A checkpoint that is to be written.
#[derive(Debug)]
pub struct Finished {
    /// Of which partition: `http/slot-07` say.
    pub place: String,
    /// From which offset it restarts.
    pub offset: i64,
    /// Its head and its parts.
    pub frames: Vec<Vec<u8>>,
    /// The ticket of the messages before it.
    pub told: Ticket,
    /// Hears of it once it is written.
    pub kept: Arc<KeptOffset>,
    /// The epoch of the owner that made it.
    pub epoch: u64,
}

/// From which offsets a partition can restart: by the newest of its checkpoints, and by the oldest
/// that is kept for the case that the newer ones are damaged. 0: from the begin.
#[derive(Debug)]
pub struct KeptOffset {
    newest: AtomicI64,
    oldest: AtomicI64,
    /// Unit: milliseconds since 1970.
    written: AtomicI64,
    /// The epoch of the newest.
    epoch: AtomicU64,
    /// Below this epoch, owners were refused as stale.
    fenced_below: AtomicU64,
}

impl KeptOffset {
    /// Of a partition that this process owns since then, before any checkpoint is noted.
    pub const fn since(owned: EventTime) -> Self {
        Self {
            newest: AtomicI64::new(0),
            oldest: AtomicI64::new(0),
            written: AtomicI64::new(owned.ms()),
            epoch: AtomicU64::new(0),
            fenced_below: AtomicU64::new(0),
        }
    }

    /// The epoch in which the newest checkpoint was written.
    pub fn newest_epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether the owner of that epoch was refused, as a later one has written.
    pub fn is_fenced(&self, epoch: u64) -> bool {
        epoch < self.fenced_below.load(Ordering::Acquire)
    }

    /// Notes that the owner of that epoch is refused; says whether that is news.
    fn fence(&self, epoch: u64) -> bool {
        self.fenced_below.fetch_max(epoch + 1, Ordering::AcqRel) <= epoch
    }

    /// The offset of the newest checkpoint.
    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::Acquire)
    }

    /// The offset of the oldest checkpoint that may be gone back to.
    pub fn oldest(&self) -> i64 {
        self.oldest.load(Ordering::Acquire)
    }

    /// When this process wrote the newest checkpoint; before its first one, since when it owns the
    /// partition: what another wrote before may be as old as a stop was long, and is no fault.
    pub fn written(&self) -> EventTime {
        EventTime::from_ms(self.written.load(Ordering::Acquire))
    }

    fn record(&self, names: &[Name]) {
        let offset = |name: Option<&Name>| number_and_offset(name?).map(|(_, offset)| offset);
        let epoch = names.first().and_then(number_and_offset).map_or(0, |one| epoch_of(one.0));
        self.epoch.store(epoch, Ordering::Release);
        self.newest.store(offset(names.first()).unwrap_or(0), Ordering::Release);
        self.oldest.store(offset(names.get(KEPT - 1)).unwrap_or(0), Ordering::Release);
    }

    /// The offsets begin again: nothing that was written holds from `now` on.
    pub fn reset(&self, now: EventTime) {
        self.written.store(now.ms(), Ordering::Release);
        self.newest.store(0, Ordering::Release);
        self.oldest.store(0, Ordering::Release);
    }
}

/// The number of a checkpoint and its offset.
fn number_and_offset(name: &Name) -> Option<(u64, i64)> {
    let (number, offset) = name.filename()?.split_once('-')?;
    let number = number.parse().ok().filter(|number| epoch_of(*number) < EPOCH_MAX)?;
    Some((number, offset.parse().ok()?))
}

/// Removes what a crash left of checkpoints that were being written, `NAME#1` say, if it is older than
/// any that is written now: other instances may write to the same folder.
fn remove_torn(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(found) = entry.metadata() else { continue };
        let age = found.modified().ok().and_then(|at| at.elapsed().ok());
        let is_torn = entry.file_name().to_string_lossy().contains('#');
        if found.is_dir() {
            remove_torn(&path);
        } else if is_torn && age.is_some_and(|age| age > TORN_AFTER) {
            // Another instance may be quicker.
            let _gone = std::fs::remove_file(&path);
        }
    }
}

/// A partition that was read back, and from where it can restart again.
#[derive(Debug)]
pub struct Restored {
    /// The partition; none if no checkpoint is of use.
    pub partition: Option<Partition>,
    /// Its checkpoints.
    pub kept: Arc<KeptOffset>,
}

impl Restored {
    /// Of a partition that is owned since then, of which nothing can be read back.
    pub fn nothing(owned: EventTime) -> Self {
        Self { partition: None, kept: Arc::new(KeptOffset::since(owned)) }
    }
}

/// Where checkpoints are kept.
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// How people name it.
    shown: String,
    store: Arc<dyn ObjectStore>,
    /// A file that can't be read there is damaged; elsewhere it may be the way to it.
    is_folder: bool,
    /// Whether what was reported did not get into the journal in time.
    journal_fails: Arc<AtomicBool>,
    /// The reserve on the same disk.
    reserve: Arc<OnceLock<Reserve>>,
    metrics: CheckpointMetrics,
}

/// Files that are listed to see whether they can be.
const LISTED_MAX: usize = 1000;
/// The beginnings of URLs at which checkpoints can be kept.
pub const SCHEMES: [&str; 4] = ["file", "s3", "gs", "az"];
/// The variables of the environment by which stores of objects are set up begin with one of these.
const VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// The store of checkpoints can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't keep checkpoints at {at}: {why}")]
pub struct NoSnapshots {
    at: String,
    why: String,
}

/// Why a checkpoint that may be there can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Withheld {
    /// The store does not answer.
    #[error("the store of checkpoints does not answer: {0}")]
    Unreachable(String),
    /// It is of use to others alone.
    #[error("the checkpoint {0} is of no use here: {1}")]
    OfOthers(String, Useless),
}

/// Why a checkpoint was not written.
enum NotWritten {
    /// A later owner of its place has written.
    Fenced(Fenced),
    /// The journal, the disk or the store failed.
    Failed(String),
}

impl From<String> for NotWritten {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// The way to the task that writes. Without one there is nowhere to write to.
pub type Writer = mpsc::Sender<Finished>;

impl Snapshots {
    /// Keeps checkpoints in `folder`, which is made.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(folder: &Path, metrics: &CheckpointMetrics) -> std::io::Result<Self> {
        crate::adapters::host::private_files::create_private_folder(folder)?;
        remove_torn(folder);
        Self::within(folder, metrics)
    }

    fn within(folder: &Path, metrics: &CheckpointMetrics) -> std::io::Result<Self> {
        let store = LocalFileSystem::new_with_prefix(folder).map_err(std::io::Error::other)?;
        let store = Arc::new(store.with_fsync(true).with_automatic_cleanup(false));
        let shown = folder.display().to_string();
        let (journal_fails, reserve, metrics) = (Arc::default(), Arc::default(), metrics.clone());
        Ok(Self { shown, store, is_folder: true, journal_fails, reserve, metrics })
    }

    /// The same as [`Self::open_at`] for who only looks: a folder is neither made nor tidied up.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn open_to_check(url: &Url, metrics: &CheckpointMetrics) -> Result<Self, NoSnapshots> {
        match (url.scheme(), url.to_file_path()) {
            ("file", Ok(folder)) => Self::within(&folder, metrics)
                .map_err(|error| NoSnapshots { at: url.to_string(), why: error.to_string() }),
            _ => Self::open_at(url, metrics),
        }
    }

    /// Keeps checkpoints at a URL of one of [`SCHEMES`]; who may do that is in the environment, as
    /// is usual for each.
    ///
    /// # Errors
    /// When it can't be used. Whether it answers is not asked.
    pub fn open_at(url: &Url, metrics: &CheckpointMetrics) -> Result<Self, NoSnapshots> {
        let refused = |why: String| NoSnapshots { at: url.to_string(), why };
        if let ("file", Ok(folder)) = (url.scheme(), url.to_file_path()) {
            return Self::open(&folder, metrics).map_err(|error| refused(error.to_string()));
        }
        let of_stores = |name: &str| VARIABLES.iter().any(|begin| name.starts_with(begin));
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            // One that is no UTF-8 is none of these.
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            of_stores(&name).then_some((name, value))
        });
        let (store, prefix) = object_store::parse_url_opts(url, variables)
            .map_err(|error| refused(format!("{error}; s3, gs and az need --features cloud")))?;
        let store = Arc::new(PrefixStore::new(store, prefix));
        let (shown, metrics) = (url.to_string(), metrics.clone());
        let (journal_fails, reserve) = (Arc::default(), Arc::default());
        Ok(Self { shown, store, is_folder: false, journal_fails, reserve, metrics })
    }

    /// Its metrics.
    pub const fn metrics(&self) -> &CheckpointMetrics {
        &self.metrics
    }

    /// Writes nothing into a folder on the disk of `reserve` while that is given up: what room there is
    /// is for decisions.
    pub fn set_reserve(&self, reserve: Reserve) {
        // The first one stays.
        let _set = self.reserve.set(reserve);
    }

    /// Whether checkpoints can be listed and written: writes something small next to them, and removes
    /// it again. Gives how many files are there, of the first thousand.
    ///
    /// # Errors
    /// An operation that can't be done.
    pub async fn probe(&self) -> Result<usize, String> {
        let failed = |what: &str, error: object_store::Error| format!("can't {what}: {error}");
        let listed = self.store.list(None).map_ok(|_| 1_usize).take(LISTED_MAX);
        let found = listed.try_fold(0, |sum, one| async move { Ok(sum + one) }).await;
        let found = found.map_err(|error| failed("list", error))?;
        let chance = getrandom::u64().unwrap_or(u64::from(std::process::id()));
        let name = Name::from(format!("tripline-doctor-{chance:016x}"));
        let put = self.store.put(&name, PutPayload::from_static(b"tripline doctor")).await;
        put.map_err(|error| failed("write", error))?;
        let read = self.store.get(&name).await.map(|_| ());
        let removed = self.store.delete(&name).await;
        read.map_err(|error| failed("read", error))?;
        removed.map_err(|error| failed("remove", error))?;
        Ok(found)
    }

    /// Starts the task that writes what it is sent, until no one can send any more.
    pub fn start(&self) -> (Writer, tokio::task::JoinHandle<()>) {
        let (sender, mut finished) = mpsc::channel(QUEUE_MAX);
        let snapshots = self.clone();
        let task = tokio::spawn(async move {
            while let Some(one) = finished.recv().await {
                snapshots.write(one).await;
            }
        });
        (sender, task)
    }

    /// Writes a checkpoint; says whether it is written.
    pub async fn write(&self, finished: Finished) -> bool {
        let (place, offset, epoch) = (finished.place.clone(), finished.offset, finished.epoch);
        let kept = Arc::clone(&finished.kept);
        match self.store(finished).await {
            Ok(bytes) => {
                self.metrics.bytes.inc_by(bytes as u64);
                kept.written.store(clock::now().ms(), Ordering::Release);
                true
            }
            Err(NotWritten::Fenced(Fenced { by })) => {
                self.metrics.fenced.inc();
                if kept.fence(epoch) {
                    tracing::warn!(
                        place,
                        offset,
                        epoch,
                        by,
                        "another instance has taken this partition over and written a newer \
                         checkpoint: this instance writes no more checkpoints and commits no more \
                         offsets of it until it is assigned the partition again. That is right after \
                         a pause; if it keeps happening, see whether two clusters or groups share \
                         one place (checkpoints.url)"
                    );
                }
                false
            }
            Err(NotWritten::Failed(error)) => {
                self.metrics.errors.inc();
                tracing::error!(place, offset, error, "a checkpoint was not written");
                false
            }
        }
    }

    async fn store(&self, finished: Finished) -> Result<usize, NotWritten> {
        let Finished { place, offset, frames, told, kept, epoch } = finished;
        let durable = async {
            while !told.is_settled() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // Where the journal fails, one has waited for all.
        let fails = self.journal_fails.load(Ordering::Relaxed);
        let wait = if fails { LOOK_EVERY } else { JOURNAL_WAIT };
        let durable = tokio::time::timeout(wait, durable).await;
        self.journal_fails.store(durable.is_err(), Ordering::Relaxed);
        durable.map_err(|_| "what was told before it is not in the journal".to_owned())?;
        let packed = move || checkpoint::write(frames.iter().map(Vec::as_slice));
        let packed = tokio::task::spawn_blocking(packed).await;
        let packed =
            packed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let length = packed.len();
        if self.is_folder && self.reserve.get().is_some_and(Reserve::is_released) {
            let why = "the disk is full, and the room that is left is for decisions".to_owned();
            return Err(why.into());
        }
        // By number, as offsets begin again with a topic, and clocks are set back.
        let before = self.names(&place).await?;
        let newest = before.first().and_then(number_and_offset).map(|(number, _)| number);
        let number = next_number(newest, epoch).map_err(NotWritten::Fenced)?;
        let name = Name::from(format!("{place}/{number:010}-{offset:020}"));
        let put = self.store.put(&name, PutPayload::from(packed)).await;
        put.map_err(|error| error.to_string())?;
        // It is written: what fails from here on is tidying up.
        let mut names = before;
        names.insert(0, name);
        kept.record(&names);
        for old in names.iter().skip(KEPT) {
            match self.store.delete(old).await {
                // Another instance may have been quicker.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(place, error = %error, "an old checkpoint can't be removed");
                }
            }
        }
        Ok(length)
    }

    /// The checkpoints of a place, newest first.
    async fn names(&self, place: &str) -> Result<Vec<Name>, String> {
        let listed = self.store.list(Some(&Name::from(place)));
        let found: Vec<Name> = listed
            .map_ok(|one| one.location)
            .try_collect()
            .await
            .map_err(|error| error.to_string())?;
        let is_one = |name: &Name| number_and_offset(name).is_some();
        let mut found: Vec<Name> = found.into_iter().filter(is_one).collect();
        found.sort_unstable_by_key(|name| std::cmp::Reverse(number_and_offset(name)));
        Ok(found)
    }

    /// The partition of a place by its newest checkpoint that is of use.
    ///
    /// # Errors
    /// When there may be one, but it can't be had.
    pub async fn restore(
        &self,
        place: &str,
        params: &Arc<Params>,
        seed: HashSeed,
    ) -> Result<Restored, Withheld> {
        let now = clock::now();
        let partition = self.read(place, params, seed).await?;
        if partition.is_none() {
            return Ok(Restored::nothing(now));
        }
        let names = self.names(place).await.map_err(Withheld::Unreachable)?;
        let kept = Arc::new(KeptOffset::since(now));
        kept.record(&names);
        Ok(Restored { partition, kept })
    }

    async fn read(
        &self,
        place: &str,
        params: &Arc<Params>,
        seed: HashSeed,
    ) -> Result<Option<Partition>, Withheld> {
        let names = self.names(place).await.map_err(Withheld::Unreachable)?;
        let there_were_some = !names.is_empty();
        for name in names {
            let params = Arc::clone(params);
            let bytes = match self.store.get(&name).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            if let Err(error) = &bytes
                && !self.is_folder
            {
                return Err(Withheld::Unreachable(error.to_string()));
            }
            let read = match bytes {
                Ok(bytes) => {
                    let read = move || checkpoint::partition(&bytes, &params, seed);
                    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            let why = match read {
                Ok(Ok(partition)) => return Ok(Some(partition)),
                // It is of use: to a tripline with that key, or of that version.
                Ok(Err(useless @ (Useless::OtherKey | Useless::Newer(_)))) => {
                    return Err(Withheld::OfOthers(format!("{}/{name}", self.shown), useless));
                }
                Ok(Err(useless)) => useless.to_string(),
                Err(error) => error,
            };
            self.set_aside(&name, &why).await;
        }
        if there_were_some {
            tracing::error!(
                place,
                "no usable checkpoint: the profiles of its credentials are lost, and their \
                 baselines start from zero"
            );
        }
        Ok(None)
    }

    /// Keeps a checkpoint that is of no use under another name: it must not pass for a newer one
    /// than those that are written from now on.
    async fn set_aside(&self, name: &Name, why: &str) {
        self.metrics.errors.inc();
        let aside = Name::from(format!("{name}.{USELESS}"));
        let kept = self.store.rename(name, &aside).await.is_ok();
        tracing::error!(
            file = format!("{}/{name}", self.shown),
            kept_as = kept.then(|| format!("{}/{aside}", self.shown)),
            why,
            "a checkpoint is unusable; trying the previous one"
        );
    }
}
