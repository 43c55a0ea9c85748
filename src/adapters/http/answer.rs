//! The answer to events: counts, and each refused line.

use crate::formats::events::refusal::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

/// The outcome of the events.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Answer {
    /// Events taken.
    pub(super) accepted: usize,
    /// Whether they outlive a crash; they are watched in any case.
    pub(super) durable: bool,
    /// Lines refused.
    pub(super) refused: u64,
    /// The first hundred of them.
    #[schema(max_items = 100)]
    pub(super) lines: Vec<RefusedLine>,
    /// How many records were at fault, and the fault of the first of them; for protocols that ask for it.
    #[serde(skip)]
    pub(super) fault: Option<(u64, String)>,
}

/// A refused line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusedLine {
    /// Its number, from 1.
    #[schema(minimum = 1)]
    pub(super) line: u64,
    /// The reason.
    #[schema(value_type = Refusal)]
    pub(super) reason: &'static str,
    /// The remedy.
    pub(super) remedy: &'static str,
}
