//! The breaker that all members share, counted in a store that all of them ask.

use crate::edge::auth_store::AuthStore;
use crate::edge::auth_store::redis::{Granted, RedisStore};
use crate::engine::control::TokenWanted;
use crate::judge::breaker;
use compact_str::CompactString;
use std::cell::Cell;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long an answer is waited for; decisions wait meanwhile.
const WITHIN: Duration = Duration::from_millis(300);

/// How long a store that did not answer is not asked: decisions and people's orders would wait.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks the store that all members share for a token, where there is one.
#[derive(Debug)]
pub(super) enum SharedBreaker {
    /// There is none: what is allowed is divided among the members.
    Divided,
    /// Redis counts for all.
    Redis(RedisStore, Handle, Cell<Option<Instant>>),
}

impl SharedBreaker {
    /// Lets the first store that can count for all members, where there are several; then nothing
    /// needs to be divided. Must be called within a tokio runtime.
    pub(super) fn among(stores: &[AuthStore], params: &mut breaker::Params) -> Self {
        let shared = stores.iter().find_map(AuthStore::shared_tokens);
        match shared.filter(|_| params.members > 1) {
            Some(store) => {
                params.members = 1;
                Self::Redis(store, Handle::current(), Cell::new(None))
            }
            None => Self::Divided,
        }
    }

    /// Whether a store counts for all members.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self, Self::Redis(..))
    }

    /// The store that counts for all members.
    pub(super) fn store(&self) -> Option<RedisStore> {
        match self {
            Self::Redis(store, ..) => Some(store.clone()),
            Self::Divided => None,
        }
    }

    /// Whether all members together have a token left for a revocation. Blocks for as long as a
    /// store may take to answer; no answer is a no: tripline fails towards not revoking.
    pub(super) fn take(&self, wanted: TokenWanted<'_>) -> bool {
        let Self::Redis(store, runtime, silent) = self else { return true };
        if silent.get().is_some_and(|since| since.elapsed() < PAUSE) {
            return false;
        }
        let tenant = wanted.tenant.map(CompactString::as_str);
        let asked = store.take_token(tenant, wanted.allowed, wanted.finding);
        let answer = runtime.block_on(async { tokio::time::timeout(WITHIN, asked).await });
        silent.set(match answer {
            Ok(Granted::Yes | Granted::No) => None,
            Ok(Granted::Unreachable) | Err(_) => Some(Instant::now()),
        });
        answer == Ok(Granted::Yes)
    }
}
