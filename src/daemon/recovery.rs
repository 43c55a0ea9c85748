//! State recovered from the journal: enforcement states, due deliveries, recent decisions.

use super::delivery::{Backlog, DueDeliveries};
use super::outboxes::Feed;
use super::start_error::StartError;
use crate::adapters::clock;
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::journal::audit_log::Journal;
use crate::adapters::journal::history::History;
use crate::adapters::recent_events::RecentEvents;
use crate::config::settings::Settings;
use crate::control_plane::control::Control;
use crate::formats::storage::journal::{Entry, StoreReceipt};
use crate::model::credential::Credential;
use crate::model::decision::{Decision, DecisionId, InstanceId};
use hashbrown::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The journal's content.
pub(super) struct Recovered {
    /// The enforcement states, with their decisions.
    pub(super) control: Control,
    /// The newest decisions.
    pub(super) board: RecentEvents,
    /// The journal, open to be written.
    pub(super) journal: Journal,
    /// The journal, open to be read.
    pub(super) history: History,
    /// Which decisions each store gets, in their order.
    pub(super) feeds: Vec<Feed>,
    /// The due deliveries of each store, in their order.
    pub(super) due: Vec<Backlog>,
}

/// Finds the newest decision of each credential that some store has not settled.
struct Unsettled<'a> {
    stores: &'a [AuthStore],
    due: Vec<Backlog>,
    /// Of those that are due somewhere.
    credentials: HashMap<DecisionId, Credential>,
}

impl<'a> Unsettled<'a> {
    fn new(stores: &'a [AuthStore]) -> Self {
        let due = stores.iter().map(|_| Backlog::default()).collect();
        Self { stores, due, credentials: HashMap::new() }
    }

    /// Notes a decision; one that was followed is due at this instance's own store alone.
    fn decided(&mut self, decision: &Decision) {
        if !decision.carried_out {
            return;
        }
        let credential = &decision.credential;
        let owed = DueDeliveries { decision: decision.id, again: false };
        for (store, due) in self.stores.iter().zip(&mut self.due) {
            if let Some(before) = due.remove(credential) {
                self.credentials.remove(&before.decision);
            }
            if store.takes(credential) && (store.is_local() || decision.origin.is_none()) {
                due.insert(credential.clone(), owed);
                self.credentials.insert(decision.id, credential.clone());
            }
        }
    }

    /// Leaves to the store that all instances write what it has not taken yet: the stores behind it get that
    /// from there.
    fn wait_for_shared(&mut self, feeds: &[Feed]) {
        let Some(shared) = self.stores.iter().position(|store| store.shared().is_some()) else {
            return;
        };
        let Some(first) = self.due.get(shared).cloned() else { return };
        let behind = self.due.iter_mut().zip(feeds).filter(|(_, feed)| **feed == Feed::Taken);
        behind.for_each(|(due, _)| due.retain(|credential, _| !first.contains_key(credential)));
    }

    fn settled(&mut self, answer: &StoreReceipt) {
        let Some(credential) = self.credentials.get(&answer.decision) else { return };
        let store = self.stores.iter().position(|store| store.name() == answer.store);
        if let Some(due) = store.and_then(|store| self.due.get_mut(store))
            && due.get(credential).is_some_and(|owed| owed.decision == answer.decision)
        {
            due.remove(credential);
        }
        if !self.due.iter().any(|due| due.contains_key(credential)) {
            self.credentials.remove(&answer.decision);
        }
    }
}

impl Recovered {
    /// Reads the journal at `path` whole. `is_fleet`: several instances write one of the stores.
    pub(super) fn read(
        settings: &Settings,
        path: &Path,
        stores: &[AuthStore],
        (instance, is_fleet): (InstanceId, bool),
    ) -> Result<Self, StartError> {
        let now = clock::now();
        let mut control = Control::new(Arc::new(settings.control.clone()));
        control.set_instance(instance);
        let board = RecentEvents::default();
        let mut unsettled = Unsettled::new(stores);
        let (journal, found) =
            Journal::open(path, settings.journal_rotate_bytes, |entry| match entry {
                Entry::Decision(decision) => {
                    control.recover(&decision, now);
                    unsettled.decided(&decision);
                    board.keep_decision(*decision);
                }
                Entry::Receipt(answer) => {
                    board.post_receipt(&answer);
                    if answer.receipt.is_settled() {
                        unsettled.settled(&answer);
                    }
                }
                Entry::Vote(vote) => control.recover_vote(&vote),
                Entry::Terms(terms) => control.recover_terms(&terms),
                // The decision that it led to follows it.
                Entry::Token(_) => {}
            })?;
        control.set_started(now);
        if found.torn_bytes > 0 {
            tracing::warn!(
                bytes = found.torn_bytes,
                "the journal's last line was torn by a crash; it was cut off, nothing had acted on it"
            );
        }
        tracing::info!(
            lines = found.lines,
            files = found.files,
            head = found.head,
            "the journal is intact"
        );
        let feeds = Feed::of(stores, is_fleet);
        unsettled.wait_for_shared(&feeds);
        for (store, due) in stores.iter().zip(&unsettled.due) {
            if !due.is_empty() {
                let (store, decisions) = (store.name(), due.len());
                tracing::info!(store, decisions, "decisions are pending from before the restart");
            }
        }
        for due in &mut unsettled.due {
            // Most were settled by later lines.
            due.shrink_to_fit();
        }
        let history = History::open(path.to_owned())?;
        Ok(Self { control, board, journal, history, feeds, due: unsettled.due })
    }
}
