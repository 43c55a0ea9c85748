//! The way of HTTP sources into a topic: each event of a request as a record keyed by credential, so that one
//! instance counts all uses of a credential, whichever of them took the request.
//!
//! ```text
//! room for the request -> its key is new -> records to the client -> each is stored -> answer
//! ```
//! **Invariants**: a request is answered with success only once the brokers have all of its records, on all
//! replicas in sync (`acks=all`); the client repeats none by itself (`enable.idempotence`). What waits for
//! the brokers is bounded in memory (`ROOM_BYTES`) and in time (`STORED_MS`).
//!
//! **Does not** undo: of a request that failed some records may be in the topic. One that is sent again
//! writes all of them again. Its idempotency key is known by this instance alone, and once all is stored.

use super::consumer::{Params, complain_again};
use super::keyed_record::{self, KeyedRecord};
use super::metrics::TopicMetrics;
use super::redaction::{Redacted, note_error, note_line};
use crate::adapters::sources::ingest::Taken;
use crate::adapters::sources::request_keys::RequestKeys;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// Records that wait for the brokers, of all requests together; one larger request has it alone.
/// Unit: bytes. Chosen: some bodies of the default size.
const ROOM_BYTES: usize = 64 << 20;
/// The cost of a record in the client besides its text. Unit: bytes. Chosen: about what librdkafka takes.
const RECORD_BYTES: usize = 256;
/// The unit in which room is given. Unit: bytes.
const ROOM_UNIT: usize = 1 << 10;
/// How long a request waits for room. Chosen: with the other times less than a request may take.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// How long a record may take to be stored. Unit: milliseconds. Chosen: brokers elect a new leader within.
const STORED_MS: u64 = 10_000;
/// How long the outcome is waited for: the client looks once a second for records that took too long.
const OUTCOME_WAIT: Duration = Duration::from_millis(STORED_MS + 5_000);
/// How often it is looked whether a request that was sent before is stored by now.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a client that gave up is left alone before it is recreated.
const RECREATE_AFTER: Duration = Duration::from_secs(1);

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// Too much waits for the brokers: nothing of it was written.
    Full,
    /// The brokers don't have all of it: some of it may be in the topic.
    NotStored,
}

/// A client can't be made of the settings.
#[derive(Debug, thiserror::Error)]
#[error("no producer can be made for the topic {topic}: check [sources.{kafka}.librdkafka]")]
pub struct NoWriter {
    topic: String,
    kafka: String,
    #[source]
    source: Redacted,
}

type Client = Arc<ThreadedProducer<Deliveries>>;

/// Writes into the topic of a Kafka source.
#[derive(Clone)]
pub struct TopicWriter {
    params: Arc<Params>,
    /// The client, and when it was made.
    client: Arc<Mutex<(Client, Instant)>>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl fmt::Debug for TopicWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicWriter({} at {})", self.shared.topic, self.shared.brokers)
    }
}

/// State that requests share until their last record is stored.
struct Shared {
    topic: String,
    brokers: String,
    keys: Mutex<RequestKeys>,
    metrics: TopicMetrics,
    complained_at: Mutex<Option<EventTime>>,
}

impl TopicWriter {
    /// Writes into the first topic of that source; the client connects by itself.
    ///
    /// # Errors
    /// When the settings of librdkafka contradict what the writer needs.
    pub fn new(params: &Params, metrics: TopicMetrics) -> Result<Self, NoWriter> {
        let topic = params.topics.first().cloned().unwrap_or_default();
        let client = client(params).map_err(|error| NoWriter {
            topic: topic.clone(),
            kafka: params.source.clone(),
            source: Redacted::of(error),
        })?;
        let shared = Shared {
            topic,
            brokers: params.brokers.clone(),
            keys: Mutex::default(),
            metrics,
            complained_at: Mutex::default(),
        };
        Ok(Self {
            params: Arc::new(params.clone()),
            client: Arc::new(Mutex::new((client, Instant::now()))),
            room: Arc::new(Semaphore::new(ROOM_BYTES / ROOM_UNIT)),
            shared: Arc::new(shared),
        })
    }

    /// Writes the events of a request, unless one of the same key is stored, and waits until they are.
    ///
    /// # Errors
    /// When there is no room, or the brokers don't have all of them in time.
    pub async fn write(
        &self,
        records: Vec<KeyedRecord>,
        key: Option<u64>,
    ) -> Result<Taken, NotWritten> {
        if records.is_empty() {
            return Ok(Taken { durable: true, before: false });
        }
        let room = Arc::clone(&self.room).acquire_many_owned(units(&records));
        let Ok(Ok(room)) = timeout(ROOM_WAIT, room).await else {
            self.failed(Some(Redacted::of("too much waits for the brokers")));
            return Err(NotWritten::Full);
        };
        if let Some(key) = key
            && !self.shared.is_new(key)
        {
            drop(room);
            return self.stored_before(key).await;
        }
        let (done, outcome) = oneshot::channel();
        let request = Arc::new(PendingRequest {
            shared: Arc::clone(&self.shared),
            key,
            records: records.len() as u64,
            unstored: records.len().into(),
            fault: Mutex::default(),
            began: Instant::now(),
            done: Some(done),
            _room: room,
        });
        let writer = self.clone();
        // Its outcome is that of the request.
        drop(tokio::task::spawn_blocking(move || writer.send(&records, &request)));
        let writer = self.clone();
        // Also for a sender who goes away meanwhile.
        let told = tokio::spawn(async move {
            match outcome.await {
                Ok(Ok(())) => true,
                Ok(Err(fault)) => {
                    writer.failed(fault);
                    false
                }
                Err(_) => false,
            }
        });
        match timeout(OUTCOME_WAIT, told).await {
            Ok(Ok(true)) => Ok(Taken { durable: true, before: false }),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(NotWritten::NotStored),
        }
    }

    /// Waits for the outcome of the request of that key.
    async fn stored_before(&self, key: u64) -> Result<Taken, NotWritten> {
        let known = async {
            loop {
                let known = self.shared.keys.lock().get(key);
                if let Some(stored) = known {
                    return stored;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match timeout(OUTCOME_WAIT, known).await {
            Ok(true) => Ok(Taken { durable: true, before: true }),
            Ok(false) | Err(_) => Err(NotWritten::NotStored),
        }
    }

    /// Hands the records of a request to the client. Blocks while that is recreated.
    fn send(&self, records: &[KeyedRecord], request: &Arc<PendingRequest>) {
        let sent = self.client().and_then(|client| {
            records.iter().try_for_each(|record| {
                let record = record.to(&self.shared.topic, Arc::clone(request));
                client.send(record).map_err(|(error, _)| error)
            })
        });
        if let Err(error) = sent {
            request.fail(&error);
        }
    }

    /// Counts a request that is not stored, and says why: the records of a client that gave up don't know.
    fn failed(&self, fault: Option<Redacted>) {
        self.shared.metrics.failures.inc();
        if complain_again(&mut self.shared.complained_at.lock()) {
            let fatal = self.client.lock().0.client().fatal_error();
            let why = fatal.map(|(_, reason)| Redacted::of(reason)).or(fault);
            tracing::error!(
                why = why.map(tracing::field::display),
                topic = self.shared.topic,
                brokers = self.shared.brokers,
                "events of HTTP are not stored in their topic, and their senders answered 503: check the \
                 brokers, that the topic exists, and that tripline may write to it"
            );
        }
    }

    /// The client: another one where it gave up.
    fn client(&self) -> KafkaResult<Client> {
        let mut current = self.client.lock();
        let (held, made) = &*current;
        if let Some((code, reason)) = held.client().fatal_error()
            && made.elapsed() >= RECREATE_AFTER
        {
            tracing::error!(
                error = %Redacted::of(code),
                reason = %Redacted::of(reason),
                topic = self.shared.topic,
                "the Kafka producer gave up; it is recreated"
            );
            *current = (client(&self.params)?, Instant::now());
        }
        Ok(Arc::clone(&current.0))
    }
}

fn client(params: &Params) -> KafkaResult<Client> {
    let mut config = params.client();
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    config.set("message.timeout.ms", STORED_MS.to_string());
    // They are bounded here, by requests: one is taken whole or not at all.
    config.set("queue.buffering.max.messages", "0");
    keyed_record::configure(&mut config, &params.librdkafka);
    // A broker that is back is found that soon; the client's default is ten seconds.
    let backoff = "reconnect.backoff.max.ms";
    if !params.librdkafka.contains_key(backoff) {
        config.set(backoff, "2000");
    }
    config.create_with_context(Deliveries).map(Arc::new)
}

/// The room that records take.
fn units(records: &[KeyedRecord]) -> u32 {
    let bytes: usize = records.iter().map(|record| record.bytes() + RECORD_BYTES).sum();
    u32::try_from(bytes.min(ROOM_BYTES).div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX)
}

impl Shared {
    /// Remembers the key of a request, if none of it is stored or on its way.
    fn is_new(&self, key: u64) -> bool {
        let mut keys = self.keys.lock();
        let is_new = !keys.has(key);
        if is_new {
            keys.add(key, None);
        }
        is_new
    }
}

/// All is stored, or why not, as far as that is known.
type Outcome = Result<(), Option<Redacted>>;

/// A request whose records are on their way. Dropped with the last of them, it has its outcome.
struct PendingRequest {
    shared: Arc<Shared>,
    key: Option<u64>,
    records: u64,
    unstored: AtomicUsize,
    fault: Mutex<Option<Redacted>>,
    began: Instant,
    done: Option<oneshot::Sender<Outcome>>,
    _room: OwnedSemaphorePermit,
}

impl PendingRequest {
    /// Notes why a record is not stored; the first reason is the cause of the others.
    fn fail(&self, error: &KafkaError) {
        self.fault.lock().get_or_insert_with(|| Redacted::of(error));
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        let is_stored = self.unstored.load(Ordering::Acquire) == 0;
        if let Some(key) = self.key {
            let mut keys = self.shared.keys.lock();
            if is_stored {
                keys.record(key, true);
            } else {
                keys.forget(key);
            }
        }
        let outcome = if is_stored {
            self.shared.metrics.events.inc_by(self.records);
            self.shared.metrics.seconds.observe(self.began.elapsed().as_secs_f64());
            Ok(())
        } else {
            Err(self.fault.lock().take())
        };
        if let Some(done) = self.done.take() {
            // tripline may be stopping.
            let _gone = done.send(outcome);
        }
    }
}

/// Tells requests of their records.
struct Deliveries;

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        note_line(level, facility, text);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<PendingRequest>;

    fn delivery(&self, result: &DeliveryResult<'_>, request: Self::DeliveryOpaque) {
        match result {
            Ok(_) => {
                request.unstored.fetch_sub(1, Ordering::AcqRel);
            }
            Err((error, _)) => request.fail(error),
        }
    }
}
