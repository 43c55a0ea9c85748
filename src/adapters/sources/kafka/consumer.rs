//! The Kafka source: a consumer group whose partition queues are polled by the threads that own the
//! state.
//!
//! ```text
//!  manager thread                       worker threads
//!  polls the consumer: rebalances,  --> own partitions and their queues: poll, decode,
//!  errors; commits; watches             apply, hand signals over, write checkpoints
//!  for stalls                       <-- how far each has come, and its checkpoints
//! ```
//! **Invariant** S-2: an offset is committed only behind a checkpoint, and a checkpoint is written
//! only when what was reported before it is durable. Reading goes on from the checkpoint, whatever the
//! group has committed. Where a partition that is new to the group is read from is committed, too, at once:
//! nothing before it is to be read, and a restart must not begin at a later end.
//! The queue of a partition is split off before it is assigned, so that no record of it ever goes
//! the common way.

use super::advertised::Advertised;
use super::metrics::ConsumerMetrics;
use crate::adapters::channels::{ControlPlane, DataMessage};
use crate::adapters::checkpoint::store::{Snapshots, Writer};
use crate::adapters::clock;
use crate::adapters::data_plane::metrics::ThreadMetrics;
use crate::adapters::sources::metrics::SourceMetrics;
use crate::adapters::sources::rejects::RejectLog;
use crate::adapters::sources::start::Start;
use crate::adapters::watchlist::SharedMarkers;
use crate::data_plane::batch::HashSeed;
use crate::data_plane::partition;
use crate::formats::events::decoder::Decoder;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::time::EventTime;
use parking_lot::RwLock;
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;
use tokio::sync::mpsc;

/// Where Kafka is and how it is read.
#[derive(Clone, Debug)]
pub struct Params {
    /// The name of the source.
    pub source: String,
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// The topics.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// How records are read.
    pub decoder: Decoder,
    /// The topic of rejected records; a file without one.
    pub rejects_topic: Option<String>,
    /// Where reading begins in a partition of which nothing is known, or not what is there.
    pub start: Start,
    /// The name of this instance, for static membership.
    pub instance: Option<String>,
    /// How long the consumer may stall before it is recreated. Unit: milliseconds.
    pub stall_ms: i64,
    /// Raw settings of librdkafka.
    pub librdkafka: BTreeMap<String, String>,
}

impl Params {
    pub(super) fn client(&self) -> ClientConfig {
        super::redaction::hide(&self.librdkafka);
        let mut config = ClientConfig::new();
        for (name, value) in &self.librdkafka {
            config.set(name, value);
        }
        super::capabilities::trust(&mut config);
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("group.id", &self.group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        // They say how far the client has read; see `stall_detector`.
        config.set("statistics.interval.ms", "5000");
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        // The coordinator alone sets these in the newer protocol.
        let by_coordinator =
            self.librdkafka.get("group.protocol").is_some_and(|protocol| protocol == "consumer");
        let of_classic = [
            ("session.timeout.ms", "10000"),
            // Partitions that stay with an instance go on while others move.
            ("partition.assignment.strategy", "cooperative-sticky"),
        ];
        let of_classic = of_classic.into_iter().filter(|_| !by_coordinator);
        // `start` is gone by where a partition is assigned that is new to the group. The client itself begins
        // again only where its offset is no longer there, and must not leave out what is.
        config.set("auto.offset.reset", "earliest");
        let of_all = [
            // Partitions that are added are read that much later; the client's default is five minutes.
            ("topic.metadata.refresh.interval.ms", "30000"),
            // A broker that is back is found that soon; the client's default is ten seconds.
            ("reconnect.backoff.max.ms", "2000"),
            ("fetch.wait.max.ms", "10"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        for (name, value) in of_classic.chain(of_all) {
            if !self.librdkafka.contains_key(name) {
                config.set(name, value);
            }
        }
        config
    }
}

/// State that the source shares with the daemon.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Parameters of partitions that are taken over from now on.
    pub partition: Arc<RwLock<Arc<partition::Params>>>,
    /// How many partitions this instance owns: they share its memory.
    pub owned: Arc<AtomicUsize>,
    /// Which they are, as other instances learn of it.
    pub advertised: Arc<Advertised>,
    /// Markers of credentials, known besides their events.
    pub markers: SharedMarkers,
    /// The hash seed.
    pub seed: HashSeed,
    /// The substitute for secrets.
    pub fingerprints: Arc<Fingerprinter>,
    /// Where signals go.
    pub control: ControlPlane,
    /// Where checkpoints are kept.
    pub snapshots: Snapshots,
    /// The way to those that are written while reading goes on.
    pub writer: Writer,
    /// How often they are. Unit: milliseconds.
    pub checkpoint_interval_ms: i64,
    /// Where asynchronous work is done.
    pub runtime: tokio::runtime::Handle,
    /// Counters of the consumer.
    pub metrics: ConsumerMetrics,
    /// Counters of all sources.
    pub records: SourceMetrics,
    /// Counters of each thread that owns partitions.
    pub threads: ThreadMetrics,
    /// Where the places of refused records go.
    pub rejects: Arc<RejectLog>,
    /// Set to stop.
    pub stopping: Arc<AtomicBool>,
}

/// The door's ends: one a worker thread.
pub type Ends = Vec<mpsc::Receiver<DataMessage>>;

/// A partition of a topic.
pub(super) type TopicPartition = (String, i32);

/// How long the broker may take to answer.
pub(super) const BROKER_WAIT: Duration = Duration::from_secs(5);

/// How often errors of the client are said. Unit: milliseconds. The counter has them all.
const COMPLAIN_EVERY_MS: i64 = 60_000;

/// Whether an error is to be said that was last said then: at once, then once a minute while there are
/// any.
pub(super) fn complain_again(last: &mut Option<EventTime>) -> bool {
    let now = clock::now();
    let again = last.is_none_or(|at| now.ms_since(at) >= COMPLAIN_EVERY_MS);
    if again {
        *last = Some(now);
    }
    again
}
