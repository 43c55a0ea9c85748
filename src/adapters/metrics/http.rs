//! Metrics of the HTTP API: what it turns away to stay open, and records refused or repaired.

use super::table::MetricsError;
use super::table::Table;

use prometheus::{IntCounter, IntCounterVec};

/// The metrics of the HTTP API.
#[derive(Clone, Debug)]
pub struct DoorMetrics {
    /// Connections that tripline closed, by reason.
    pub connections_closed: IntCounterVec,
    /// Refused records beyond the bound of rejected records.
    pub rejects_dropped: IntCounter,
    /// Requests of senders that sent too much that had to be refused.
    pub over_budget: IntCounter,
}

impl DoorMetrics {
    pub(super) fn new(t: &Table) -> Result<Self, MetricsError> {
        Ok(Self {
            connections_closed: t.counters(
                "connections_closed_total",
                "Connections that tripline closed: idle, displaced (an idle one, for a new one), no_room.",
                "reason",
                Closed::ALL.map(Closed::as_str),
            )?,
            rejects_dropped: t.counter(
                "rejects_dropped_total",
                "Refused records beyond the bound of rejected records for a request or a second: counted, \
                 not written.",
            )?,
            over_budget: t.counter(
                "refusal_budget_exceeded_total",
                "Requests answered 429: their sender sent too much that had to be refused.",
            )?,
        })
    }
}

/// Why a connection was closed before its peer closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was silent for too long, or sent no request.
    Idle,
    /// It made room for another one.
    Displaced,
    /// There was no room for it.
    NoRoom,
}

impl Closed {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Displaced, Self::NoRoom];

    /// Its name as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Displaced => "displaced",
            Self::NoRoom => "no_room",
        }
    }
}

/// The outcome of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectResult {
    /// It is written.
    Yes,
    /// It is left out, as too many come.
    LeftOut,
    /// It can't be written.
    Failed,
}
