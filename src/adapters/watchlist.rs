//! The watchlist: credentials that are known to have leaked. This one is in memory.

use crate::model::credential::Credential;
use crate::model::leak::{Leak, LeakOutcome};
use parking_lot::Mutex;

/// Why leaks could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leaks can't be written down")]
pub struct WatchlistError;

/// Takes leaks.
#[derive(Debug, Default)]
pub struct Watchlist {
    held: Mutex<Vec<Leak>>,
    known: Mutex<Vec<Credential>>,
}

impl Watchlist {
    /// Takes leaks; one outcome for each, in their order.
    ///
    /// # Errors
    /// When they can't be written down; the caller reports them again.
    #[expect(clippy::unused_async, reason = "a durable one waits for its disk")]
    pub async fn report_leaks(&self, leaks: Vec<Leak>) -> Result<Vec<LeakOutcome>, WatchlistError> {
        let known = self.known.lock().clone();
        let outcome = |leak: &Leak| {
            let is_known = leak.candidates.iter().any(|one| known.contains(one));
            if is_known { LeakOutcome::Known } else { LeakOutcome::Unknown }
        };
        let outcomes = leaks.iter().map(outcome).collect();
        self.held.lock().extend(leaks);
        Ok(outcomes)
    }

    /// Makes a credential known.
    pub fn know(&self, credential: Credential) {
        self.known.lock().push(credential);
    }

    /// All leaks that were taken.
    pub fn held(&self) -> Vec<Leak> {
        self.held.lock().clone()
    }
}
