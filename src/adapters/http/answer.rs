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
}

impl Answer {
    /// How many records were at fault, and the fault of the first of them. A request without a credential is
    /// none: there is nothing to mend.
    pub(super) fn fault(&self) -> Option<(u64, String)> {
        let is_fault = |line: &&RefusedLine| line.reason != Refusal::NoCredential.as_str();
        let first = self.lines.iter().find(is_fault)?;
        let harmless = self.lines.len() - self.lines.iter().filter(is_fault).count();
        let message = format!("record {}: {}; {}", first.line, first.reason, first.remedy);
        Some((self.refused.saturating_sub(harmless as u64), message))
    }
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
