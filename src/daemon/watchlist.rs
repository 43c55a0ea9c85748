//! The watchlist of a running daemon: opened with the rest, started once shards take messages.

use super::start_error::StartError;
use crate::adapters::channels::DataPlane;
use crate::adapters::clock;
use crate::adapters::storage::watch_store::WatchStore;
use crate::adapters::watchlist::{SharedMarkers, Watchlist, is_restored, markers_at_start};
use crate::control_plane::control::Control;
use crate::data_plane::batch::HashSeed;
use crate::model::credential::Credential;
use crate::model::decision::Decision;
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The watchlist before anything runs.
pub(super) struct OpenedWatchlist {
    store: WatchStore,
    /// The markers that shards begin with.
    pub(super) markers: SharedMarkers,
    /// Credentials that persons put back into service.
    restored: Vec<Credential>,
    seed: HashSeed,
}

impl OpenedWatchlist {
    /// Reads the file, and what `control` has out of service.
    ///
    /// # Errors
    /// When the file can't be used.
    pub(super) fn open(
        folder: &Path,
        control: &Control,
        seed: HashSeed,
    ) -> Result<Self, StartError> {
        let path = folder.join("watchlist.db");
        let opened = WatchStore::open(&path).and_then(|store| {
            let (states, _) = control.states().page(0, u32::MAX);
            let markers = markers_at_start(&store, &states, (seed, clock::now()))?;
            let markers = Arc::new(RwLock::new(markers));
            let restored = states.into_iter().filter(is_restored);
            let restored = restored.map(|state| state.credential).collect();
            Ok(Self { store, markers, restored, seed })
        });
        opened.map_err(|source| StartError::Watchlist { path, source })
    }

    /// Starts the task that follows what is carried out, until the control plane ends.
    pub(super) fn start(
        &self,
        data: &DataPlane,
        carried_out: mpsc::UnboundedReceiver<Arc<Decision>>,
    ) -> (Watchlist, tokio::task::JoinHandle<()>) {
        let (store, markers) = (self.store.clone(), Arc::clone(&self.markers));
        let watchlist = Watchlist::new(store, markers, (data.clone(), self.seed));
        let (follower, restored) = (watchlist.clone(), self.restored.clone());
        let following = tokio::spawn(async move {
            follower.restore_again(restored).await;
            follower.follow(carried_out).await;
        });
        (watchlist, following)
    }
}
