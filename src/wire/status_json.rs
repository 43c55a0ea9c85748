//! How the daemon is, as JSON: what the console and `tripline top` show.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the daemon is. Counts are totals since its start unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusJson {
    /// The version that runs.
    pub version: String,
    /// The time of the answer.
    pub now: String,
    /// When the daemon started.
    pub started: String,
    /// The default posture.
    pub posture: String,
    /// Who asks.
    pub account: String,
    /// What they may do.
    pub roles: Vec<String>,
    /// Events applied.
    pub events: u64,
    /// Records refused.
    pub events_refused: u64,
    /// Requests answered 429 as a queue was full.
    pub queue_full: u64,
    /// Credentials remembered now.
    pub credentials: u64,
    /// What they take in memory. Unit: bytes.
    pub memory_bytes: u64,
    /// What they may take. Unit: bytes.
    pub memory_bytes_max: u64,
    /// Credentials with an open episode now.
    pub open_episodes: u64,
    /// Decisions that were carried out, by order; of alerts those that were made.
    pub decisions: BTreeMap<String, u64>,
    /// Decisions that a guardrail lowered.
    pub held: u64,
    /// Revocations that wait for people now.
    pub approvals: u64,
    /// Credentials out of service now.
    #[serde(default)]
    pub out_of_service: u64,
    /// Credentials on which a decision is remembered.
    pub standing: u64,
    /// Revocations that the breaker has left.
    pub breaker_tokens: i64,
    /// All members together.
    #[serde(default)]
    pub fleet: FleetJson,
    /// The Kafka intake.
    pub kafka: KafkaJson,
    /// The journal.
    pub journal: JournalJson,
    /// The auth stores.
    pub stores: Vec<StoreJson>,
    /// What the event log takes on disk. Unit: bytes.
    pub event_log_bytes: u64,
    /// When the partition that waits longest for a checkpoint got its last one; before its first one,
    /// since when it is owned.
    pub checkpoint: Option<String>,
}

/// All members together, as far as this one hears of them through Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetJson {
    /// How many there are.
    pub members: u64,
    /// Credentials that they remember.
    pub credentials: u64,
}

/// The Kafka intake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaJson {
    /// Partitions that this member owns.
    pub partitions: u64,
    /// Records not yet applied, over them.
    pub lag: u64,
}

/// The journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalJson {
    /// Whether it can be written; while not, nothing is carried out.
    pub writable: bool,
    /// Its lines.
    pub lines: u64,
}

/// An auth store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreJson {
    /// Its name.
    pub name: String,
    /// Decisions that are due there.
    pub waiting: u64,
}
