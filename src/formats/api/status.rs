//! How the daemon is, as JSON: what the console, `tripline top` and `tripline doctor` show.

use crate::control_plane::roster::KnownInstance;
use crate::model::decision::{Mode, Order};
use crate::model::registration::Registration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The name of the source that takes `POST /v1/events`; it is there in any case.
pub const DEFAULT_SOURCE: &str = "default";

/// How the daemon is. Counts are totals since its start unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DaemonStatus)]
pub struct StatusJson {
    /// The version that runs.
    pub version: String,
    /// The time of the answer.
    #[schema(format = DateTime)]
    pub now: String,
    /// When the daemon started; of several instances the newest.
    #[schema(format = DateTime)]
    pub started: String,
    /// Since when the configuration holds as a whole: the start, or a reload that needs no restart.
    #[serde(default)]
    #[schema(required, format = DateTime)]
    pub configured: Option<String>,
    /// The default mode.
    #[schema(value_type = Mode)]
    pub mode: String,
    /// The issues, the most severe first. Empty: the daemon is healthy.
    pub issues: Vec<IssueJson>,
    /// The name of the caller.
    pub account: String,
    /// The roles of the caller.
    pub roles: Vec<String>,
    /// Events applied.
    pub events: u64,
    /// Records refused.
    pub events_refused: u64,
    /// Requests answered 429 as a queue was full.
    pub queue_full: u64,
    /// Credentials remembered now.
    pub credentials: u64,
    /// The memory that they take. Unit: bytes.
    pub memory_bytes: u64,
    /// The memory that they may take. Unit: bytes.
    pub memory_bytes_max: u64,
    /// Credentials with an open finding now.
    pub open_incidents: u64,
    /// Decisions that were carried out, by order; of alerts those that were made.
    #[schema(value_type = BTreeMap<Order, u64>)]
    pub decisions: BTreeMap<String, u64>,
    /// Decisions that a safeguard lowered.
    pub held: u64,
    /// Revocations that wait for people now.
    pub approvals: u64,
    /// Credentials out of service now.
    #[serde(default)]
    #[schema(required)]
    pub out_of_service: u64,
    /// Credentials with an enforcement state, those restored recently included.
    pub enforced_credentials: u64,
    /// Revocations that the revocation limit has left.
    pub revocation_tokens: i64,
    /// All instances together.
    #[serde(default)]
    #[schema(required)]
    pub fleet: FleetJson,
    /// The sources.
    #[serde(default)]
    #[schema(required)]
    pub sources: Vec<SourceJson>,
    /// The Kafka source; null: there is none.
    #[schema(required)]
    pub kafka: Option<KafkaJson>,
    /// The journal.
    pub journal: JournalJson,
    /// The auth stores.
    pub stores: Vec<StoreJson>,
    /// The size of the event log on disk. Unit: bytes.
    pub event_log_bytes: u64,
    /// When the partition that waits longest for a checkpoint got its last one by this process; before
    /// that one, since when it is owned.
    #[schema(required, format = DateTime)]
    pub checkpoint: Option<String>,
}

/// A part of the daemon that may not be well, in the order in which they are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Invariants.
    Invariants,
    /// The trail of decisions.
    Journal,
    /// The threads that watch and decide.
    Threads,
    /// An auth store.
    Store,
    /// The other instances.
    Fleet,
    /// The events that came by HTTP, on disk.
    EventLog,
    /// The queues of the sources.
    Queue,
    /// A source of events.
    Source,
    /// The Kafka source.
    Kafka,
    /// State on disk.
    Checkpoints,
    /// State in memory.
    Memory,
    /// Records that come in.
    Records,
    /// The bound on revocations.
    RevocationLimit,
}

impl Part {
    /// As people read it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Invariants => "invariants",
            Self::Journal => "journal",
            Self::Threads => "threads",
            Self::Store => "store",
            Self::Fleet => "fleet",
            Self::EventLog => "event log",
            Self::Queue => "queue",
            Self::Source => "source",
            Self::Kafka => "kafka",
            Self::Checkpoints => "checkpoints",
            Self::Memory => "memory",
            Self::Records => "records",
            Self::RevocationLimit => "revocation_limit",
        }
    }
}

/// An issue for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Issue)]
pub struct IssueJson {
    /// The part that has it.
    pub part: Part,
    /// The name of the store; absent: it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub store: Option<String>,
    /// The name of the source; absent: it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<String>,
    /// Whether detection or response stalls, or what was learned is at risk.
    pub critical: bool,
    /// The observation.
    pub found: String,
    /// The remedy: the name of a page of `docs/runbooks`.
    pub runbook: String,
    /// The names of the instances that have it; absent: it is of the one that was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable = false)]
    pub instances: Vec<String>,
}

impl IssueJson {
    /// The observation, and at which instances, where there are several.
    pub fn found_at(&self) -> String {
        match self.instances.as_slice() {
            [] => self.found.clone(),
            names => format!("{} (at {})", self.found, names.join(", ")),
        }
    }
}

impl StatusJson {
    /// Whose counts these are, since when: two answers differ in them by what happened only if this is alike.
    pub fn counted(&self) -> (&str, Vec<&str>) {
        let instances = self.fleet.roster.iter().filter(|known| known.missing.is_none());
        (&self.started, instances.map(|known| known.instance.as_str()).collect())
    }

    /// An issue of a part.
    pub fn issue(&self, part: Part) -> Option<&IssueJson> {
        self.issues.iter().find(|one| one.part == part)
    }
}

/// All instances together, as far as this one learns of them through Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Fleet)]
pub struct FleetJson {
    /// How many there are.
    pub instances: u64,
    /// Credentials that they remember.
    pub credentials: u64,
    /// Each of them that has registered; one that has left is not among them.
    #[serde(default)]
    #[schema(required)]
    pub roster: Vec<InstanceJson>,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Instance)]
pub struct InstanceJson {
    /// Its id.
    pub instance: String,
    /// Its name: that of the Kafka source, or where it is reached.
    pub name: String,
    /// Where it is reached; null: `[fleet] url` is not set there.
    #[schema(required)]
    pub url: Option<String>,
    /// The version that it runs.
    pub version: String,
    /// Its default mode.
    pub mode: String,
    /// Partitions of Kafka that it owns.
    pub partitions: u64,
    /// Records that wait in them.
    pub lag: u64,
    /// For how long it has been silent; null: it has not. Unit: seconds.
    #[schema(required)]
    pub silent_s: Option<u64>,
    /// Why this answer lacks what it knows; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub missing: Option<String>,
}

impl From<&KnownInstance> for InstanceJson {
    fn from(known: &KnownInstance) -> Self {
        let Registration { instance, name, url, version, mode, topics, lag, .. } =
            &known.registration;
        Self {
            instance: instance.to_string(),
            name: name.clone(),
            url: url.clone(),
            version: version.clone(),
            mode: mode.clone(),
            partitions: topics.values().map(|share| share.owned.len() as u64).sum(),
            lag: *lag,
            silent_s: known.is_silent().then_some(known.age_ms / 1000),
            missing: None,
        }
    }
}

/// A source of events. Counts are totals since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Source)]
pub struct SourceJson {
    /// Its name.
    pub name: String,
    /// Events taken.
    pub events: u64,
    /// Records refused.
    pub refused: u64,
    /// Those of them that name no credential, as requests without one do.
    #[serde(default)]
    #[schema(required)]
    pub without_credential: u64,
    /// When it last took an event; null: not since the start.
    #[schema(required, format = DateTime)]
    pub last_event: Option<String>,
    /// Attempts to read a file, or its folder, that failed; of a source of files.
    #[serde(default)]
    #[schema(required)]
    pub read_errors: u64,
}

/// The Kafka source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Kafka)]
pub struct KafkaJson {
    /// Partitions that this instance owns.
    pub partitions: u64,
    /// Records not yet applied, over them.
    pub lag: u64,
    /// Whether the brokers answer.
    pub up: bool,
}

/// The journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Journal)]
pub struct JournalJson {
    /// Whether it can be written; while not, nothing is carried out.
    pub writable: bool,
    /// Its lines.
    pub lines: u64,
}

/// An auth store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Store)]
pub struct StoreJson {
    /// Its name.
    pub name: String,
    /// Decisions that are due there.
    pub waiting: u64,
    /// Whether it answers.
    pub up: bool,
    /// The fault that keeps decisions from it, in its own words; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fault: Option<String>,
}
