//! The Kafka door: a consumer group whose partition queues are polled by the threads that own the
//! state.
//!
//! ```text
//!  manager thread                       worker threads
//!  polls the consumer: rebalances,  --> own partitions and their queues:
//!  errors; commits; watches             poll, decode, apply, hand signals over
//!  for stalls                       <-- how far each may be committed
//! ```
//! **Invariant** S-2: an offset is committed only when what it caused is durable.
//! On assignment a partition is paused before its queue is split off, so that no record of it ever
//! goes the common way.

mod group;
mod manager;
mod worker;

pub use manager::run;

use crate::edge::dead_letter::DeadLetters;
use crate::edge::metrics::Metrics;
use crate::edge::planes::{ControlPlane, DataMessage};
use crate::engine::batch::HashSeed;
use crate::engine::partition;
use crate::wire::decoder::Decoder;
use crate::wire::secret::Fingerprinter;
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::mpsc;

/// Where Kafka is and how it is read.
#[derive(Clone, Debug)]
pub struct Params {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// The topics.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// How records are read.
    pub decoder: Decoder,
    /// The topic of dead letters; a file without one.
    pub dead_letter_topic: Option<String>,
    /// How long the consumer may stand still before it is made anew. Unit: milliseconds.
    pub stall_ms: i64,
    /// Raw settings of librdkafka.
    pub librdkafka: BTreeMap<String, String>,
}

impl Params {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.librdkafka {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("group.id", &self.group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        for (name, value) in [
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "10000"),
            ("fetch.wait.max.ms", "10"),
            ("queued.max.messages.kbytes", "16384"),
        ] {
            if !self.librdkafka.contains_key(name) {
                config.set(name, value);
            }
        }
        config
    }
}

/// What the door shares with the rest.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What partitions go by.
    pub partition: Arc<partition::Params>,
    /// The hash seed.
    pub seed: HashSeed,
    /// What stands for secrets.
    pub fingerprints: Arc<Fingerprinter>,
    /// Where signals go.
    pub control: ControlPlane,
    /// Counters.
    pub metrics: Metrics,
    /// Where the places of refused records go.
    pub dead_letters: Arc<DeadLetters>,
    /// Set to stop.
    pub stopping: Arc<AtomicBool>,
}

/// The door's ends: one a worker thread.
pub type Ends = Vec<mpsc::Receiver<DataMessage>>;

/// A partition of a topic.
type Place = (String, i32);
