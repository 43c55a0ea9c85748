//! The watchlist: what is known of credentials besides their events, kept on disk and told to every
//! shard.
//!
//! ```text
//!  a leak report, a canary ──▶ disk ──▶ markers of all shards ──▶ a finding now, or at its first use
//!  a decision that was made ──────────▶ markers of all shards ──▶ a use that a gateway let pass
//! ```

use super::channels::{DataPlane, ThreadStalled};
use super::clock;
use super::storage::watch_store::{WatchStore, Watched};
use crate::control_plane::params::SELF;
use crate::data_plane::batch::HashSeed;
use crate::data_plane::markers::MarkerTable;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, EnforcementState, Status};
use crate::model::leak::{LeakOutcome, LeakedSecret, PLACE_BYTES_MAX};
use crate::model::proof::{Leak, Mark};
use crate::model::time::EventTime;
use compact_str::{CompactString, format_compact};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The markers as of now, for shards that are taken over later.
pub type SharedMarkers = Arc<RwLock<MarkerTable>>;

/// The watchlist could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum WatchlistError {
    /// The disk.
    #[error("can't write the watchlist: look at the disk of data_dir, and report it again")]
    Disk(#[from] rusqlite::Error),
    /// A thread.
    #[error(transparent)]
    Thread(#[from] ThreadStalled),
}

/// The watchlist. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Watchlist {
    store: WatchStore,
    markers: SharedMarkers,
    data: DataPlane,
    seed: HashSeed,
}

/// The markers at the start: what is on disk, and what is out of service.
///
/// # Errors
/// When the disk can't be read.
pub fn markers_at_start(
    store: &WatchStore,
    states: impl Iterator<Item = EnforcementState>,
    (seed, now): (HashSeed, EventTime),
) -> rusqlite::Result<MarkerTable> {
    let mut markers = MarkerTable::default();
    let hash = |credential: &Credential| seed.hash(credential.kind(), credential.id());
    for watched in store.all()? {
        markers.set(hash(&watched.credential), watched.mark());
    }
    for state in states {
        if is_out_of_service(state.in_force(now)) {
            markers.set(hash(&state.credential), Mark::OutOfService(state.at));
        }
    }
    Ok(markers)
}

const fn is_out_of_service(status: Status) -> bool {
    matches!(status, Status::Suspended | Status::Revoked)
}

impl Watchlist {
    /// The watchlist of that file, whose markers the shards of `data` were given.
    pub fn new(
        store: WatchStore,
        markers: SharedMarkers,
        (data, seed): (DataPlane, HashSeed),
    ) -> Self {
        Self { store, markers, data, seed }
    }

    /// Takes reports of leaks, one answer each: they are on disk by then. Where none of its names is remembered
    /// all of them are watched for.
    ///
    /// # Errors
    /// When nothing was taken, or it isn't known whether it is in use.
    pub async fn report_leaks(
        &self,
        leaks: Vec<LeakedSecret>,
    ) -> Result<Vec<LeakOutcome>, WatchlistError> {
        let now = clock::now();
        let (mut outcomes, mut watched) = (Vec::new(), Vec::new());
        for LeakedSecret { candidates, reporter, place, is_proof } in leaks {
            let mut known = Vec::new();
            for candidate in &candidates {
                if self.data.look_up(candidate).await?.is_some() {
                    known.push(candidate.clone());
                }
            }
            let is_known = !known.is_empty();
            outcomes.push(if is_known { LeakOutcome::Known } else { LeakOutcome::Unknown });
            let leak = Leak { place: place_of(&reporter, &place), is_proof };
            let names = if is_known { known } else { candidates };
            watched.extend(names.into_iter().map(|credential| Watched {
                credential,
                leak: Some(leak.clone()),
                note: String::new(),
                since: now,
            }));
        }
        self.add(watched).await?;
        Ok(outcomes)
    }

    /// Watches for a canary; `note` says where it was put. Gives since when.
    ///
    /// # Errors
    /// When it is not watched for.
    pub async fn add_canary(
        &self,
        credential: Credential,
        note: String,
    ) -> Result<EventTime, WatchlistError> {
        let since = clock::now();
        self.add(vec![Watched { credential, leak: None, note, since }]).await?;
        Ok(since)
    }

    /// Watches for a canary no more. Whether it was one.
    ///
    /// # Errors
    /// When it is watched for on.
    pub async fn remove_canary(&self, credential: Credential) -> Result<bool, WatchlistError> {
        let (store, removed) = (self.store.clone(), credential.clone());
        let was_there = blocking(move || store.remove(&removed, true)).await?;
        self.tell(credential, Mark::NoCanary).await?;
        Ok(was_there)
    }

    /// All that is watched for, oldest first.
    ///
    /// # Errors
    /// When the disk can't be read.
    pub async fn all(&self) -> Result<Vec<Watched>, WatchlistError> {
        let store = self.store.clone();
        Ok(blocking(move || store.all()).await?)
    }

    async fn add(&self, watched: Vec<Watched>) -> Result<(), WatchlistError> {
        let store = self.store.clone();
        let kept = watched.clone();
        blocking(move || store.add(&kept)).await?;
        for one in watched {
            let mark = one.mark();
            self.tell(one.credential, mark).await?;
        }
        Ok(())
    }

    /// Tells all shards, those of later too. Whether one of them remembers the credential.
    async fn tell(&self, credential: Credential, mark: Mark) -> Result<bool, ThreadStalled> {
        let hash = self.seed.hash(credential.kind(), credential.id());
        self.markers.write().set(hash, mark.clone());
        self.data.mark(credential, mark, clock::now()).await
    }

    /// Follows the decisions that are carried out, until the control plane ends.
    pub async fn follow(self, mut decisions: mpsc::UnboundedReceiver<Arc<Decision>>) {
        while let Some(decision) = decisions.recv().await {
            let mark = match decision.order.status() {
                Some(status) if is_out_of_service(status) => Mark::OutOfService(decision.at),
                Some(_) => Mark::InService { by_person: decision.by != SELF },
                None => continue,
            };
            let credential = decision.credential.clone();
            if mark == (Mark::InService { by_person: true }) {
                let (store, restored) = (self.store.clone(), credential.clone());
                if let Err(error) = blocking(move || store.remove(&restored, false)).await {
                    tracing::error!(
                        %credential, %error,
                        "a restored credential stays on the watchlist: it counts as leaked again after a \
                         restart"
                    );
                }
            }
            if let Err(error) = self.tell(credential, mark).await {
                tracing::error!(%error, "uses of what is out of service may go unnoticed");
            }
        }
    }
}

/// Runs what waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> rusqlite::Result<T> + Send + 'static,
) -> rusqlite::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Who reported a leak and where it was found, as a finding says it.
fn place_of(reporter: &str, place: &str) -> CompactString {
    let mut text = match place {
        "" => CompactString::from(reporter),
        place => format_compact!("{reporter}: {place}"),
    };
    let end = text.floor_char_boundary(PLACE_BYTES_MAX);
    text.truncate(end);
    text
}
