//! The breaker that all members share, counted in a store that all of them ask.

use crate::engine::control::TokenWanted;

/// Asks the store that all members share for a token, where there is one.
#[derive(Debug)]
pub(super) enum SharedBreaker {
    /// There is none: what is allowed is divided among the members.
    Divided,
}

impl SharedBreaker {
    /// Whether all members together have a token left for a revocation. Blocks for as long as a
    /// store may take to answer; no answer is a no: tripline fails towards not revoking.
    pub(super) fn take(&self, _wanted: TokenWanted<'_>) -> bool {
        match self {
            Self::Divided => true,
        }
    }
}
