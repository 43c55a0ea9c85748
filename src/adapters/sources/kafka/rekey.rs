//! Writing a topic again, keyed by credential: one keyed by anything becomes one whose partitions
//! hold each credential whole.
//!
//! ```text
//! poll a batch -> decode -> begin -> produce, keyed by credential -> send offsets -> commit
//!      ^                                                                               |
//!      '--------- what goes wrong aborts; then both clients are recreated --------------'
//! ```
//! **Invariant.** What is written and how far was read become visible in one transaction, so each
//! event is in the new topic once for who reads what is committed, as tripline does. The instance's
//! generation goes with the offsets: one that lost its partitions commits nothing (KIP-447).

use super::consumer::Params;
use super::keyed_record::{self, KeyedRecord};
use super::redaction::{Quiet, Redacted, note_error, note_line};
use crate::adapters::clock;
use crate::adapters::sources::rejects::{RecordPlace, letter};
use crate::formats::events::refusal::{Limits, Refusal};
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Records of one transaction at most. Chosen: a commit costs some milliseconds.
const TOGETHER_MAX: u64 = 10_000;
/// How long a transaction is open at most, while records come. Chosen: what they are late by.
const OPEN_MAX: Duration = Duration::from_millis(200);
/// How long the broker may take to answer. Chosen: below a transaction's end.
const BROKER_WAIT: Duration = Duration::from_secs(20);
/// After how long the broker ends the transaction of an instance that died: until then no one reads on
/// beyond it. Unit: milliseconds.
const TRANSACTION_MS: &str = "30000";
/// How long it waits before it begins again.
const ANEW_AFTER: Duration = Duration::from_secs(1);
/// How often progress is reported.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The topics to read and to write.
#[derive(Debug)]
pub struct Rekey {
    /// Where Kafka is, and how records are read; its topics and group stand aside.
    pub kafka: Params,
    /// The topic that is read.
    pub from: String,
    /// The topic that is written.
    pub to: String,
    /// The consumer group that reads.
    pub group: String,
    /// Whether to end where the topic ends.
    pub until_end: bool,
    /// The substitute for secrets.
    pub fingerprints: Fingerprinter,
}

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records read, of which the new topic shows what came.
    pub read: u64,
    /// Events written.
    pub written: u64,
    /// Records refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Partitions that this instance reads.
    pub partitions: usize,
    /// Records not yet read, over them.
    pub lag: u64,
    /// Times that it had to begin again.
    pub begun_anew: u64,
}

/// Why it can't go on.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// There is no such topic.
    #[error(
        "there is no topic `{0}`: make it first; the one that is written needs as many partitions as \
         tripline may have instances"
    )]
    NoTopic(String),
    /// The broker can't be used.
    #[error("Kafka at {brokers} can't be used")]
    Kafka {
        /// Which.
        brokers: String,
        /// Why.
        #[source]
        source: Redacted,
    },
    /// Someone else follows the same name.
    #[error("another rekey of the instance `{0}` has begun: give each its own name, or none")]
    Fenced(String),
}

/// Writes a topic again until `stop` is set, or to its end; `tell` hears each second how far it has
/// come. Blocks.
///
/// # Errors
/// When a topic is not there, the broker can't be used at the start, or another one with the same
/// instance name begins. Later errors are retried.
pub fn run(
    rekey: &Rekey,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(&Totals),
) -> Result<Totals, RekeyError> {
    let mut totals = Totals::default();
    rekey.find_topics()?;
    while !stop.load(Ordering::Relaxed) {
        match CopyRound::begin(rekey).and_then(|round| round.run(stop, &mut totals, tell)) {
            Ok(()) => break,
            // Without a name no one else can have it: the broker ended a transaction that took too long.
            Err(error) if is_fenced(&error) && !rekey.instance().is_empty() => {
                return Err(RekeyError::Fenced(rekey.instance().to_owned()));
            }
            Err(error) => {
                totals.begun_anew += 1;
                let error = Redacted::of(error);
                tracing::warn!(%error, "the open transaction is aborted and retried");
                std::thread::sleep(ANEW_AFTER);
            }
        }
    }
    Ok(totals)
}

fn is_fenced(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch))
}

fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

impl Rekey {
    fn instance(&self) -> &str {
        self.kafka.instance.as_deref().unwrap_or("")
    }

    fn find_topics(&self) -> Result<(), RekeyError> {
        let failed = |error| {
            let brokers = self.kafka.brokers.clone();
            RekeyError::Kafka { brokers, source: Redacted::of(error) }
        };
        let client: BaseConsumer<Quiet> =
            self.kafka.client().create_with_context(Quiet).map_err(failed)?;
        for topic in [&self.from, &self.to].into_iter().chain(&self.kafka.rejects_topic) {
            let found = client.fetch_metadata(Some(topic), BROKER_WAIT).map_err(failed)?;
            let is_there = |one: &rdkafka::metadata::MetadataTopic| !one.partitions().is_empty();
            if !found.topics().iter().any(is_there) {
                return Err(RekeyError::NoTopic(topic.clone()));
            }
        }
        Ok(())
    }

    fn producer(&self) -> KafkaResult<Arc<ThreadedProducer<Quiet>>> {
        let mut config = self.kafka.client();
        // One without a name is distinguished by chance; the broker ends what it left open.
        let name = match self.instance() {
            "" => format!("{:016x}", getrandom::u64().unwrap_or(u64::from(std::process::id()))),
            name => name.to_owned(),
        };
        config.set("transactional.id", format!("tripline-rekey-{}-{name}", self.to));
        config.set("transaction.timeout.ms", TRANSACTION_MS);
        keyed_record::configure(&mut config, &self.kafka.librdkafka);
        let producer: ThreadedProducer<Quiet> = config.create_with_context(Quiet)?;
        producer.init_transactions(BROKER_WAIT)?;
        Ok(Arc::new(producer))
    }

    fn consumer(&self, open: Context) -> KafkaResult<BaseConsumer<Context>> {
        let kafka = Params { group: self.group.clone(), ..self.kafka.clone() };
        let mut config = kafka.consumer();
        // All partitions are given back at once, which ends the transaction; and so it is by the
        // classic protocol alone.
        config.remove("group.protocol");
        config.set("partition.assignment.strategy", "range");
        config.set("auto.offset.reset", self.kafka.start.as_str());
        config.set("enable.partition.eof", "true");
        let consumer: BaseConsumer<Context> = config.create_with_context(open)?;
        consumer.subscribe(&[&self.from])?;
        Ok(consumer)
    }
}

/// The records in the open transaction.
#[derive(Debug, Default)]
struct Open {
    began: Option<Instant>,
    /// The offset after the last record of each partition.
    next: BTreeMap<i32, i64>,
    read: u64,
    written: u64,
    refused: BTreeMap<&'static str, u64>,
}

/// Ends the transaction before partitions go to another instance.
struct Context {
    producer: Arc<ThreadedProducer<Quiet>>,
    open: Mutex<Open>,
    /// Partitions at whose end it stands.
    ended: Mutex<BTreeSet<i32>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context(..)")
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        note_line(level, facility, text);
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Revoke(_)) {
            self.abort();
            self.ended.lock().clear();
        }
    }
}

impl Context {
    /// Gives up what is in the open transaction: its records are read again from what is committed.
    fn abort(&self) {
        let open = std::mem::take(&mut *self.open.lock());
        if open.began.is_some()
            && let Err(error) = self.producer.abort_transaction(BROKER_WAIT)
        {
            // The next transaction can't begin, and both clients are recreated.
            tracing::debug!(error = %Redacted::of(error), "can't abort a transaction");
        }
    }
}

/// One consumer and one producer, as long as nothing goes wrong.
struct CopyRound<'a> {
    rekey: &'a Rekey,
    consumer: BaseConsumer<Context>,
    told: Instant,
}

impl<'a> CopyRound<'a> {
    fn begin(rekey: &'a Rekey) -> KafkaResult<Self> {
        let (open, ended) = (Mutex::default(), Mutex::default());
        let consumer = rekey.consumer(Context { producer: rekey.producer()?, open, ended })?;
        Ok(Self { rekey, consumer, told: Instant::now() })
    }

    /// Reads and writes until the stop message, or to the end where that is wanted.
    fn run(
        mut self,
        stop: &AtomicBool,
        totals: &mut Totals,
        tell: &mut dyn FnMut(&Totals),
    ) -> KafkaResult<()> {
        while !stop.load(Ordering::Relaxed) {
            let polled = self.consumer.poll(OPEN_MAX / 4);
            let waits = !matches!(polled, Some(Ok(_)));
            let ended = &self.consumer.context().ended;
            match polled {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.lock().insert(partition);
                }
                Some(Err(error)) => tracing::warn!(error = %Redacted::of(error), "Kafka reports"),
                Some(Ok(record)) => {
                    ended.lock().remove(&record.partition());
                    self.write(&record)?;
                }
            }
            let is_due = {
                let open = self.consumer.context().open.lock();
                let is_old = open.began.is_some_and(|began| began.elapsed() >= OPEN_MAX);
                is_old || open.read >= TOGETHER_MAX
            };
            if is_due {
                self.commit(totals)?;
            }
            if self.told.elapsed() >= TELL_EVERY {
                // The broker is asked for a while: nothing is to stay open meanwhile.
                self.commit(totals)?;
                self.told = Instant::now();
                self.measure(totals);
                tell(totals);
            }
            if waits && self.rekey.until_end && self.is_at_end()? {
                break;
            }
        }
        self.commit(totals)?;
        self.measure(totals);
        tell(totals);
        Ok(())
    }

    fn is_at_end(&self) -> KafkaResult<bool> {
        let assigned = self.consumer.assignment()?;
        let ended = self.consumer.context().ended.lock();
        let is_ended = |place: &TopicPartitionListElem<'_>| ended.contains(&place.partition());
        Ok(assigned.count() > 0 && assigned.elements().iter().all(is_ended))
    }

    /// Writes the events of a record within the open transaction, or one that it opens.
    fn write(&self, record: &BorrowedMessage<'_>) -> KafkaResult<()> {
        let context = self.consumer.context();
        let mut open = context.open.lock();
        if open.began.is_none() {
            context.producer.begin_transaction()?;
            open.began = Some(Instant::now());
        }
        let now = clock::now();
        let limits = Limits::at(now);
        let kafka = &self.rekey.kafka;
        open.read += 1;
        open.next.insert(record.partition(), record.offset() + 1);
        // Without a body it says that its key is deleted, in a topic that is compacted.
        let Some(bytes) = record.payload() else { return Ok(()) };
        let mut sent = Ok(());
        let written_at = record.timestamp().to_millis();
        kafka.decoder.decode(
            bytes,
            &limits,
            &self.rekey.fingerprints,
            &mut |answer| match answer {
                Ok(event) => {
                    let keyed = KeyedRecord::new(&event);
                    let mut anew = keyed.to(&self.rekey.to, ());
                    anew.timestamp = written_at;
                    if sent.is_err() {
                        return;
                    }
                    match send(&context.producer, anew) {
                        Ok(()) => open.written += 1,
                        // The broker would never take it.
                        Err(error) if is_too_large(&error) => {
                            let refusal = Refusal::TooLarge;
                            *open.refused.entry(refusal.as_str()).or_default() += 1;
                            sent = self.refuse(record, refusal, now);
                        }
                        Err(error) => sent = Err(error),
                    }
                }
                Err(refusal) => {
                    *open.refused.entry(refusal.as_str()).or_default() += 1;
                    if sent.is_ok() {
                        sent = self.refuse(record, refusal, now);
                    }
                }
            },
        );
        sent
    }

    fn refuse(
        &self,
        record: &BorrowedMessage<'_>,
        refusal: Refusal,
        at: EventTime,
    ) -> KafkaResult<()> {
        let (partition, offset) = (record.partition(), record.offset());
        let Some(topic) = &self.rekey.kafka.rejects_topic else {
            tracing::warn!(
                topic = self.rekey.from,
                partition,
                offset,
                reason = refusal.as_str(),
                "a record is rejected and left out"
            );
            return Ok(());
        };
        let text =
            letter(RecordPlace::Record { topic: &self.rekey.from, partition, offset }, refusal, at);
        send(&self.consumer.context().producer, BaseRecord::<str, str>::to(topic).payload(&text))
    }

    /// Makes what is in the open transaction count.
    fn commit(&self, totals: &mut Totals) -> KafkaResult<()> {
        let context = self.consumer.context();
        let open = std::mem::take(&mut *context.open.lock());
        if open.began.is_none() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in &open.next {
            offsets.add_partition_offset(&self.rekey.from, *partition, Offset::Offset(*next))?;
        }
        let instance = self.consumer.group_metadata();
        let committed = match instance {
            Some(instance) => context
                .producer
                .send_offsets_to_transaction(&offsets, &instance, BROKER_WAIT)
                .and_then(|()| context.producer.commit_transaction(BROKER_WAIT)),
            None => Err(KafkaError::ClientCreation("the group has no instance".to_owned())),
        };
        if let Err(error) = committed {
            // Whether it can be or not: both clients are recreated.
            let _aborted = context.producer.abort_transaction(BROKER_WAIT);
            return Err(error);
        }
        totals.read += open.read;
        totals.written += open.written;
        for (reason, count) in open.refused {
            *totals.refused.entry(reason).or_default() += count;
        }
        Ok(())
    }

    fn measure(&self, totals: &mut Totals) {
        let Ok(position) = self.consumer.position() else { return };
        let ended = self.consumer.context().ended.lock().clone();
        let places = position.elements_for_topic(&self.rekey.from);
        totals.partitions = places.len();
        totals.lag = 0;
        for place in places {
            if ended.contains(&place.partition()) {
                continue;
            }
            let ends = self.consumer.fetch_watermarks(
                &self.rekey.from,
                place.partition(),
                Duration::from_secs(1),
            );
            let Ok((low, high)) = ends else { continue };
            let next = if let Offset::Offset(next) = place.offset() { next.max(low) } else { low };
            totals.lag += (high - next).max(0).unsigned_abs();
        }
    }
}

/// Hands a record to the producer; waits while its queue is full.
fn send(
    producer: &ThreadedProducer<Quiet>,
    mut record: BaseRecord<'_, str, str>,
) -> KafkaResult<()> {
    let began = Instant::now();
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, back)) => {
                let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !is_full || began.elapsed() >= BROKER_WAIT {
                    return Err(error);
                }
                record = back;
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}
