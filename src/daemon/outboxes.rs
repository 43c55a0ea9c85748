//! The ways to the outboxes of the stores, and which decisions each store gets.

use crate::adapters::enforce::auth_store::AuthStore;
use crate::control_plane::outbox::Due;
use crate::model::credential::Kinds;
use tokio::sync::mpsc;

/// Which decisions a store gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// All that are in force here: it is this instance's own.
    All,
    /// Those made here.
    MadeHere,
    /// Those made here, once the store that all instances write has taken them: this one can't tell by itself that
    /// another instance decided otherwise.
    Taken,
}

impl Feed {
    /// That of each store. `is_fleet`: several instances write one store.
    pub(super) fn of(stores: &[AuthStore], is_fleet: bool) -> Vec<Self> {
        let feed = |store: &AuthStore| {
            if store.is_local() {
                Self::All
            } else if is_fleet && store.shared().is_none() {
                Self::Taken
            } else {
                Self::MadeHere
            }
        };
        stores.iter().map(feed).collect()
    }
}

/// The way to the outbox of one store.
#[derive(Clone, Debug)]
pub(super) struct StoreOutbox {
    /// Which decisions it gets.
    pub(super) feed: Feed,
    /// The store's kinds.
    kinds: Kinds,
    /// Its outbox.
    outbox: mpsc::UnboundedSender<Due>,
}

impl StoreOutbox {
    /// A way, and its end.
    pub(super) fn new(feed: Feed, store: &AuthStore) -> (Self, mpsc::UnboundedReceiver<Due>) {
        let (outbox, news) = mpsc::unbounded_channel();
        (Self { feed, kinds: store.kinds(), outbox }, news)
    }

    /// Hands over a decision, if the store receives its kind.
    pub(super) fn send(&self, due: Due) {
        if self.kinds.has(due.decision.credential.kind()) {
            // An outbox ends only after all who send to it.
            let _ended = self.outbox.send(due);
        }
    }
}
