//! The watchlist: what is known of credentials besides their events, kept on disk and sent to every
//! shard.
//!
//! ```text
//!  a leak report, a canary ──▶ disk ──▶ markers of all shards ──▶ a finding now, or at its first use
//!  a decision that was made ──────────▶ markers of all shards ──▶ a use that a gateway let pass
//! ```

use super::channels::{DataPlane, ThreadStalled};
use super::clock;
use super::storage::watch_store::{CANARIES_MAX, CanaryEntry, LeakEntry, WatchStore};
use crate::control_plane::params::SELF;
use crate::data_plane::batch::HashSeed;
use crate::data_plane::markers::MarkerTable;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, EnforcementState, Status};
use crate::model::leak::{LeakOutcome, LeakedSecret, PLACE_BYTES_MAX};
use crate::model::proof::{Leak, Mark};
use crate::model::time::EventTime;
use compact_str::{CompactString, format_compact};
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The reporter of a secret who holds it, whom anyone can be.
pub const HOLDER: &str = "self";

/// The markers as of now, for shards that are taken over later.
pub type SharedMarkers = Arc<RwLock<MarkerTable>>;

/// The watchlist could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum WatchlistError {
    /// The disk.
    #[error("can't write the watchlist: look at the disk of data_dir, and report it again")]
    Disk(#[from] rusqlite::Error),
    /// There are too many canaries.
    #[error("there are {CANARIES_MAX} canaries already: remove some")]
    Full,
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

/// The markers at the start: those on disk, and of credentials out of service. Leaks that a person took back
/// before the last end, in `states`, are withdrawn.
///
/// # Errors
/// When the disk can't be read or written.
pub fn markers_at_start(
    store: &WatchStore,
    states: &[EnforcementState],
    (seed, now): (HashSeed, EventTime),
) -> rusqlite::Result<MarkerTable> {
    let mut markers = MarkerTable::default();
    let hash = |credential: &Credential| seed.hash(credential.kind(), credential.id());
    let restored: HashMap<&Credential, EventTime> = states
        .iter()
        .filter(|state| is_restored(state))
        .map(|state| (&state.credential, state.at))
        .collect();
    for canary in store.canaries()? {
        markers.set(hash(&canary.credential), Mark::Canary, canary.since);
    }
    for (name, _, since) in store.leaks()? {
        if restored.get(&name).is_some_and(|at| since <= *at) {
            store.withdraw_leak(&name)?;
        }
    }
    for (name, leak, since) in store.leaks()? {
        markers.set(hash(&name), Mark::Leaked(leak), since);
    }
    for state in states {
        if is_out_of_service(state.in_force(now)) {
            markers.set(hash(&state.credential), Mark::OutOfService(state.at), state.at);
        }
    }
    Ok(markers)
}

/// Whether a person put a credential back into service, and nothing was decided since.
pub fn is_restored(state: &EnforcementState) -> bool {
    state.status == Status::Active && state.by_person
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
        let (mut outcomes, mut entries, now) = (Vec::new(), Vec::new(), clock::now());
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
            entries.push(LeakEntry { names, leak, by_holder: reporter == HOLDER, since: now });
        }
        let (store, kept) = (self.store.clone(), entries.clone());
        let dropped = blocking(move || store.add_leaks(&kept)).await?;
        if !dropped.is_empty() {
            tracing::warn!(
                names = dropped.len(),
                "the watchlist is full: the oldest leaks whose secrets were never used are forgotten"
            );
        }
        for LeakEntry { names, leak, .. } in entries {
            for name in names {
                self.mark(name, Mark::Leaked(leak.clone())).await?;
            }
        }
        for name in dropped {
            self.mark(name, Mark::NoLeak).await?;
        }
        Ok(outcomes)
    }

    /// Withdraws the report of a leak that named a credential, and all other names of that secret. Whether
    /// there was one.
    ///
    /// # Errors
    /// When it is watched for on.
    pub async fn withdraw_leak(&self, credential: Credential) -> Result<bool, WatchlistError> {
        let store = self.store.clone();
        let names = blocking(move || store.withdraw_leak(&credential)).await?;
        let was_there = !names.is_empty();
        for name in names {
            self.mark(name, Mark::NoLeak).await?;
        }
        Ok(was_there)
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
        let canary = CanaryEntry { credential: credential.clone(), note, since };
        let store = self.store.clone();
        if !blocking(move || store.add_canary(&canary)).await? {
            return Err(WatchlistError::Full);
        }
        self.mark(credential, Mark::Canary).await?;
        Ok(since)
    }

    /// Watches for a canary no more. Whether it was one.
    ///
    /// # Errors
    /// When it is watched for on.
    pub async fn remove_canary(&self, credential: Credential) -> Result<bool, WatchlistError> {
        let (store, removed) = (self.store.clone(), credential.clone());
        let was_there = blocking(move || store.remove_canary(&removed)).await?;
        self.mark(credential, Mark::NoCanary).await?;
        Ok(was_there)
    }

    /// The canaries, oldest first.
    ///
    /// # Errors
    /// When the disk can't be read.
    pub async fn canaries(&self) -> Result<Vec<CanaryEntry>, WatchlistError> {
        let store = self.store.clone();
        Ok(blocking(move || store.canaries()).await?)
    }

    /// Marks a credential at all shards, those of later too.
    async fn mark(&self, credential: Credential, mark: Mark) -> Result<(), ThreadStalled> {
        let hash = self.seed.hash(credential.kind(), credential.id());
        let now = clock::now();
        self.markers.write().set(hash, mark.clone(), now);
        self.data.mark(credential, mark, now).await
    }

    /// Says again what persons put back into service, as after a restart: shards may have read their events from
    /// before that again.
    pub async fn restore_again(&self, restored: Vec<Credential>) {
        for credential in restored {
            if let Err(error) = self.mark(credential, Mark::InService { by_person: true }).await {
                tracing::error!(%error, "facts that a person took back may be found again");
            }
        }
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
            if mark == (Mark::InService { by_person: true })
                && let Err(error) = self.withdraw_leak(credential.clone()).await
            {
                tracing::error!(
                    %credential, %error,
                    "a restored credential stays on the watchlist: it counts as leaked again after a restart"
                );
            }
            if let Err(error) = self.mark(credential, mark).await {
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
