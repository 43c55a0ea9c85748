//! The ways to the outboxes of the stores, and which decisions each store gets.

use super::delivery::{Backlog, DeliveryTask};
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
    /// Those made here, once the store that all instances write has taken them: it can't tell by itself that
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
    pub(super) kinds: Kinds,
    /// Its outbox.
    outbox: mpsc::UnboundedSender<Due>,
}

impl StoreOutbox {
    /// Hands over a decision, if the store receives its kind.
    pub(super) fn send(&self, due: Due) {
        if self.kinds.has(due.decision.credential.kind()) {
            // An outbox ends only after all who send to it.
            let _ended = self.outbox.send(due);
        }
    }
}

type Outboxes = (Vec<StoreOutbox>, Vec<tokio::task::JoinHandle<()>>);

/// Starts an outbox for each store, with what is due there from before.
pub(super) fn start(
    tasks: impl Iterator<Item = DeliveryTask>,
    feeds: Vec<Feed>,
    due: Vec<Backlog>,
) -> Outboxes {
    let (mut outboxes, mut waiting) = (Vec::new(), Vec::new());
    for ((task, feed), backlog) in tasks.zip(feeds).zip(due) {
        let (outbox, news) = mpsc::unbounded_channel();
        outboxes.push(StoreOutbox { feed, kinds: task.store.kinds(), outbox });
        waiting.push((task, news, backlog));
    }
    let behind = outboxes.iter().filter(|one| one.feed == Feed::Taken);
    let behind: Vec<StoreOutbox> = behind.cloned().collect();
    let started = waiting.into_iter().map(|(task, news, backlog)| {
        let is_first = task.store.shared().is_some();
        let behind = if is_first { behind.clone() } else { Vec::new() };
        tokio::spawn(task.run(news, backlog, behind))
    });
    let started = started.collect();
    outboxes.retain(|one| one.feed != Feed::Taken);
    (outboxes, started)
}
