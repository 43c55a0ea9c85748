//! Answers of auth stores.

use crate::adapters::egress::Answer;
use crate::adapters::egress::EgressError;
use crate::model::decision::Delivery;
use crate::model::decision::Holding;
use crate::model::decision::Receipt;

/// A store's answer about its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Its entry about each credential, in their order.
    Held(Vec<Option<Holding>>),
    /// It could not be asked.
    Unreachable,
}

/// Whether a store has what was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It has.
    Kept,
    /// It was emptied, or replaced by a copy that lagged behind.
    Lost,
    /// Someone else wrote into it.
    Touched,
    /// It could not be asked.
    Unreachable,
}

/// The delivery result of a server that can't take a decision now.
pub(super) fn later(answer: &Answer) -> Delivery {
    let wait = answer.retry_after.map_or(0, |wait| wait.as_millis());
    let wait_ms = u64::try_from(wait).unwrap_or(u64::MAX);
    Delivery { wait_ms, ..Receipt::Unreachable.into() }
}

/// Whether asking again can help where there was no answer.
pub(super) fn unanswered(error: &EgressError) -> Delivery {
    let receipt = match error {
        EgressError::NotAllowed(_) => {
            tracing::error!(%error, "the address of a store is blocked");
            Receipt::Refused
        }
        EgressError::Unreachable(_) | EgressError::TimedOut(_) => {
            tracing::debug!(%error, "a request to a store failed");
            Receipt::Unreachable
        }
    };
    receipt.into()
}
