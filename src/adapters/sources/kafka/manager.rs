//! The manager: rebalances, commits, and the watch for stalls.

use super::consumer::{BROKER_WAIT, Ends, Params, Shared, TopicPartition, complain_again};
use super::group::{Context, Message, Progress, commit, places};
use super::handover::HandedOver;
use super::ownership;
use super::pause_guard;
use super::redaction::Redacted;
use super::rejects_topic::RejectsTopic;
use super::stall_detector::StallDetector;
use super::worker::Worker;
use crate::adapters::channels::SLOTS;
use crate::adapters::checkpoint::scheduler::Saving;
use crate::adapters::checkpoint::store::{Restored, Withheld};
use crate::adapters::clock;
use crate::adapters::data_plane::reporter::{Reporter, Stage};
use crate::adapters::host::threads;
use crate::data_plane::partition::Partition;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message as _, Offset};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// How long the manager waits for news.
const WAIT: Duration = Duration::from_millis(50);
/// How often it is looked whether checkpoints let offsets be committed. Unit: milliseconds.
const COMMIT_EVERY_MS: i64 = 1_000;
/// How long state that was not written down is kept in case its partition comes again.
/// Unit: milliseconds.
const HELD_MS: i64 = 600_000;
/// How often a checkpoint is looked for that could not be had. Unit: milliseconds.
const LOOK_EVERY_MS: i64 = 5_000;
/// How long a broker may take to say how far a partition goes, which is asked again and again.
const MEASURE_WAIT: Duration = Duration::from_secs(1);
/// How long measuring may take, of all partitions together: the consumer is to be polled.
const MEASURE_WAIT_ALL: Duration = Duration::from_secs(10);
/// How many partitions may be silent before the rest are asked the next time. Chosen.
const SILENT_MAX: u32 = 3;
/// How long a consumer that is given up may take to hand its partitions over.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
/// How long it is waited before a consumer that gave up is recreated. Chosen: two instances of one name, each
/// of which evicts the other, do so no more often.
const FATAL_WAIT: Duration = Duration::from_secs(10);
/// How often lag is measured. Unit: milliseconds.
const LAG_EVERY_MS: i64 = 5_000;

/// Runs the source until the stop message; then everything applied is written down and committed.
/// Blocks.
pub fn run(params: &Params, shared: &Shared, ends: Ends) {
    let pulse = match pause_guard::start(Arc::clone(&shared.stopping)) {
        Ok(pulse) => pulse,
        Err(error) => return tracing::error!(error = %error, "can't start the Kafka thread"),
    };
    let held = Arc::default();
    let mut stall_detector = StallDetector::default();
    let mut orders = Vec::new();
    let mut threads = Vec::new();
    let rejects = RejectsTopic::new(params, shared);
    for (number, mut questions) in ends.into_iter().enumerate() {
        let (sender, receiver) = mpsc::channel();
        let thread = SLOTS + number;
        let stage = Stage { name: "kafka", number, thread };
        let worker = Worker {
            params: params.clone(),
            shared: shared.clone(),
            pulse: Arc::clone(&pulse),
            saving: Saving::new(shared.writer.clone(), shared.checkpoint_interval_ms),
            rejects: rejects.clone(),
            reporter: Reporter::new(stage, shared.control.clone(), shared.threads.clone()),
            told_params: None,
            sized_for: 0,
        };
        // From here on it is missed if it never shows that it lives.
        shared.threads.heartbeat_at.set("kafka", number, Some(clock::now()));
        let name = format!("kafka-{number}");
        match threads::spawn(&name, move || worker.run(&receiver, &mut questions)) {
            Ok(thread) => threads.push(thread),
            Err(error) => return tracing::error!(error = %error, "can't start the Kafka thread"),
        }
        orders.push(sender);
    }
    // Until they were asked.
    shared.metrics.up.set(1);
    let mut complained_at = None;
    while !shared.stopping.load(Ordering::Relaxed) {
        let mut consumption = match Consumption::begin(params, shared, &orders, &held) {
            Ok(consumption) => consumption,
            Err(error) => {
                shared.metrics.errors.inc();
                shared.metrics.up.set(0);
                if complain_again(&mut complained_at) {
                    let error = Redacted::of(error);
                    tracing::error!(%error, "can't create the Kafka consumer; retrying each \
                        second");
                }
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
        };
        let fault = consumption.watch(&mut stall_detector);
        if shared.stopping.load(Ordering::Relaxed) {
            consumption.end();
            break;
        }
        consumption.abandon();
        match fault {
            Fault::Stalled => shared.metrics.stalls.inc(),
            Fault::Fatal => wait_after_fatal(shared),
        }
    }
    for worker in &orders {
        // One that ended before needs no telling.
        let _ended = worker.send(Message::Stop);
    }
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a Kafka thread panicked");
        }
    }
}

fn wait_after_fatal(shared: &Shared) {
    shared.metrics.up.set(0);
    let until = Instant::now() + FATAL_WAIT;
    while Instant::now() < until && !shared.stopping.load(Ordering::Relaxed) {
        std::thread::sleep(WAIT);
    }
}

/// A checkpoint that is being read.
type Reading = tokio::task::JoinHandle<Result<Restored, Withheld>>;

/// Why a consumer is recreated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Stalled,
    Fatal,
}

/// One consumer's life.
struct Consumption<'a> {
    params: &'a Params,
    shared: &'a Shared,
    consumer: Arc<BaseConsumer<Context>>,
    committed_at: EventTime,
    measured_at: EventTime,
    /// When each error was last logged.
    complained_at: BTreeMap<String, Option<EventTime>>,
    looked_at: EventTime,
    looked_for: Option<TopicPartition>,
    /// A checkpoint that is being read, of a partition that began without.
    reading: Option<(TopicPartition, Reading)>,
    /// Which partition was measured last.
    measured: Option<TopicPartition>,
}

impl<'a> Consumption<'a> {
    fn begin(
        params: &'a Params,
        shared: &'a Shared,
        workers: &[mpsc::Sender<Message>],
        held: &Arc<Mutex<BTreeMap<TopicPartition, HandedOver>>>,
    ) -> KafkaResult<Self> {
        let context = Context {
            topics: params.topics.clone(),
            start: params.start,
            reason: Mutex::default(),
            shared: shared.clone(),
            partitions: Mutex::default(),
            consumer: OnceLock::new(),
            held: Arc::clone(held),
            workers: workers.to_vec(),
            board: Mutex::default(),
            cluster: Mutex::default(),
            group: params.group.clone(),
            read_back: 0.into(),
            is_retired: false.into(),
        };
        let consumer: BaseConsumer<Context> = params.consumer().create_with_context(context)?;
        let consumer = Arc::new(consumer);
        // No one else sets it.
        let _set_before = consumer.context().consumer.set(Arc::downgrade(&consumer));
        let topics: Vec<&str> = params.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let now = clock::now();
        Ok(Self {
            params,
            shared,
            consumer,
            // From where a new partition is read is committed at once.
            committed_at: EventTime::MIN,
            measured_at: now,
            complained_at: BTreeMap::new(),
            looked_at: now,
            looked_for: None,
            reading: None,
            measured: None,
        })
    }

    /// Watches over the consumer until tripline stops, or it stalls or gives up.
    fn watch(&mut self, stall_detector: &mut StallDetector) -> Fault {
        stall_detector.begin_anew();
        while !self.shared.stopping.load(Ordering::Relaxed) {
            match self.consumer.poll(WAIT) {
                None => {}
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    self.note_fatal(code);
                    return Fault::Fatal;
                }
                Some(Err(error)) => self.complain(&Redacted::of(error).to_string()),
                Some(Ok(record)) => {
                    let (topic, partition, offset) =
                        (record.topic(), record.partition(), record.offset());
                    tracing::error!(
                        topic,
                        partition,
                        offset,
                        "a record arrived on a queue without a reader; the Kafka consumer is \
                         recreated"
                    );
                    return Fault::Stalled;
                }
            }
            let now = clock::now();
            if now.ms_since(self.committed_at) >= COMMIT_EVERY_MS {
                self.committed_at = now;
                if let Err(error) = commit(&self.consumer, CommitMode::Async) {
                    let error = Redacted::of(error);
                    tracing::warn!(%error, "offsets were not committed; retrying");
                }
            }
            if now.ms_since(self.measured_at) >= LAG_EVERY_MS {
                self.measure(stall_detector, now);
                self.measured_at = clock::now();
            }
            self.look_for_checkpoints(now);
            if let Some((topic, partition)) = stall_detector.stalled(now, self.params.stall_ms) {
                tracing::error!(
                    topic,
                    partition,
                    "the Kafka consumer stalled on a partition that has more records; it is \
                     recreated"
                );
                return Fault::Stalled;
            }
        }
        Fault::Stalled
    }

    /// Says that the client can't go on.
    fn note_fatal(&self, code: RDKafkaErrorCode) {
        self.shared.metrics.errors.inc();
        let reason = self.consumer.context().reason.lock().take();
        let remedy = if code == RDKafkaErrorCode::FencedInstanceId {
            "another instance has the same `instance` name: give each its own"
        } else {
            "see the reason"
        };
        tracing::error!(
            error = %Redacted::of(code),
            reason = reason.map(tracing::field::display),
            remedy,
            "the Kafka consumer gave up; it is recreated after 10 s"
        );
    }

    /// Says that the client reports an error: each at once, then once a minute while it lasts.
    fn complain(&mut self, error: &str) {
        self.shared.metrics.errors.inc();
        let reason = self.consumer.context().reason.lock().take();
        if complain_again(self.complained_at.entry(error.to_owned()).or_default()) {
            tracing::warn!(
                error,
                reason = reason.map(tracing::field::display),
                brokers = self.params.brokers,
                topics = ?self.params.topics,
                "Kafka reports an error; while it lasts, events wait there and are not processed"
            );
        }
    }

    /// Goes on from the checkpoint of a partition that began without, once it is read: in the
    /// background, one after the other.
    fn look_for_checkpoints(&mut self, now: EventTime) {
        if let Some((place, task)) = self.reading.take_if(|(_, task)| task.is_finished()) {
            self.looked_at = now;
            match self.shared.runtime.block_on(task) {
                Ok(Ok(restored)) => {
                    // The next one, at once.
                    self.looked_at = EventTime::MIN;
                    self.go_on_from(&place, restored);
                }
                Ok(Err(error)) => self.note_withheld(&place, &error.to_string()),
                Err(panicked) => self.note_withheld(&place, &panicked.to_string()),
            }
            self.looked_for = Some(place);
        }
        if self.reading.is_some() || now.ms_since(self.looked_at) < LOOK_EVERY_MS {
            return;
        }
        let context = self.consumer.context();
        let provisional = |(_, progress): &(&TopicPartition, &Arc<Progress>)| progress.provisional;
        let place = {
            let board = context.board.lock();
            // After the one that was looked for last, so that none keeps the others waiting.
            let is_later =
                |(place, _): &(&TopicPartition, _)| Some(*place) > self.looked_for.as_ref();
            let mut all = board.iter().filter(provisional);
            let first = all.clone().next();
            all.find(is_later).or(first).map(|(place, _)| place.clone())
        };
        self.reading = place.and_then(|place| {
            let name = context.name(&self.consumer, &place)?;
            let params = context.partition_params(&self.consumer, &place.0, 0);
            let (snapshots, seed) = (self.shared.snapshots.clone(), self.shared.seed);
            let reading = async move { snapshots.restore(&name, &params, seed).await };
            Some((place, self.shared.runtime.spawn(reading)))
        });
    }

    fn note_withheld(&self, (topic, partition): &TopicPartition, why: &str) {
        self.shared.snapshots.metrics().errors.inc();
        tracing::warn!(
            topic,
            partition,
            why,
            "the checkpoint can't be read yet: until then baselines start from zero"
        );
    }

    /// Takes a partition back, and reads on from where its checkpoint has come, if there is one.
    fn go_on_from(&mut self, place: &TopicPartition, restored: Restored) {
        let context = self.consumer.context();
        let progress = context.board.lock().get(place).cloned();
        let provisional = progress.as_ref().is_some_and(|progress| progress.provisional);
        let began_at = progress.and_then(|progress| progress.began_at);
        // It may have begun before the cluster said who it is, without a name.
        let Some(name) = context.name(&self.consumer, place).filter(|_| provisional) else {
            return;
        };
        let counts = context.partitions.lock().clone();
        let Some(epoch) =
            ownership::claim_again(&self.consumer, &counts, place, (&restored.kept, began_at))
        else {
            // Not confirmed: it is tried again, or the group takes the partition away.
            return;
        };
        context.take_back(std::slice::from_ref(place));
        let Some(held) = context.held.lock().remove(place) else {
            // Its worker is busy and has it still: it is tried again.
            return;
        };
        let known_until = held.next_offset();
        let next = restored.partition.as_ref().map_or(known_until, Partition::next_offset);
        // The seek drops what was fetched and not taken.
        let sought = if next == 0 {
            Ok(())
        } else {
            self.consumer.seek(&place.0, place.1, Offset::Offset(next), BROKER_WAIT)
        };
        let held = match (sought, restored.partition) {
            (Err(error), _) => {
                self.note_withheld(place, &format!("reading can't go on from {next}: {error}"));
                held
            }
            (Ok(()), None) => HandedOver { name, kept: restored.kept, provisional: false, ..held },
            (Ok(()), Some(partition)) => {
                let mut read = HandedOver::of(name, partition, restored.kept);
                read.again_until = known_until;
                context.recall(&mut read);
                read
            }
        };
        context.entrust(place, HandedOver { epoch, ..held });
    }

    /// Measures how far behind the partitions are, and whether they move.
    fn measure(&mut self, stall_detector: &mut StallDetector, now: EventTime) {
        let context = self.consumer.context();
        context.forget_read_back();
        context.held.lock().retain(|_, held| now.ms_since(held.since) < HELD_MS);
        let board = context.board.lock().clone();
        let assigned = places(&self.consumer.assignment().unwrap_or_default());
        stall_detector.retain(|place| assigned.contains(place));
        for place in assigned.into_iter().filter(|place| !board.contains_key(place)) {
            // No one reads it.
            stall_detector.record(place, 0, 1, now);
        }
        let is_idle = board.is_empty();
        // On from where the last round came to, if that was not the end.
        let (later, before): (Vec<_>, Vec<_>) =
            board.into_iter().partition(|(place, _)| Some(place) > self.measured.as_ref());
        let until = Instant::now() + MEASURE_WAIT_ALL;
        let (mut behind, mut silent, mut is_whole) = (0, 0, true);
        for (place, progress) in later.into_iter().chain(before) {
            if silent >= SILENT_MAX || Instant::now() >= until {
                is_whole = false;
                break;
            }
            let reached = progress.reached();
            let asked = self.consumer.fetch_watermarks(&place.0, place.1, MEASURE_WAIT);
            self.measured = Some(place.clone());
            let end = asked.as_ref().map_or(-1, |(_, high)| *high);
            progress.end.store(end, Ordering::Relaxed);
            let Ok((low, high)) = asked else {
                // A broker that can't be reached is no stall of the consumer.
                stall_detector.forget(&place);
                silent += 1;
                continue;
            };
            context.report_lost(&place, &progress, low);
            // A partition of which nothing was read yet begins at its low watermark.
            let left = (high - reached.max(low)).max(0);
            // A new client would not help a worker that is busy.
            let unread = if progress.waits_for_worker() { 0 } else { left };
            stall_detector.record(place, reached, unread, now);
            behind += left;
        }
        let is_up = silent == 0 && (!is_idle || self.brokers_answer());
        self.shared.metrics.up.set(i64::from(is_up));
        if silent == 0 && is_whole {
            self.shared.metrics.lag.set(behind);
        }
    }

    fn brokers_answer(&self) -> bool {
        let topic = self.params.topics.iter().find(|topic| !topic.starts_with('^'));
        self.consumer.fetch_metadata(topic.map(String::as_str), MEASURE_WAIT).is_ok()
    }

    /// Takes the partitions back, for the next consumer to go on with them, and leaves the group.
    fn abandon(self) {
        let context = self.consumer.context();
        context.is_retired.store(true, Ordering::Relaxed);
        let owned: Vec<TopicPartition> = context.board.lock().keys().cloned().collect();
        context.take_back(&owned);
        self.leave();
        // A worker that is busy may still have a queue, which keeps the consumer alive; and the one that
        // drops it last waits until it has left. That must not be the worker.
        let (consumer, stopping) = (self.consumer, Arc::clone(&self.shared.stopping));
        let last = move || {
            while Arc::strong_count(&consumer) > 1 && !stopping.load(Ordering::Relaxed) {
                std::thread::sleep(WAIT);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("kafka-leaves".to_owned()).spawn(last)
        {
            tracing::warn!(error = %error, "can't start a thread to close the Kafka consumer");
        }
    }

    /// Leaves the group.
    fn leave(&self) {
        self.consumer.unsubscribe();
        // Its callbacks run in its poll.
        let until = Instant::now() + LEAVE_WAIT;
        while Instant::now() < until && self.consumer.assignment().is_ok_and(|it| it.count() > 0) {
            let _last_words = self.consumer.poll(WAIT);
        }
    }

    /// Writes down what this instance has, commits it, and leaves the group.
    fn end(self) {
        let context = self.consumer.context();
        let owned: Vec<TopicPartition> = context.board.lock().keys().cloned().collect();
        context.hand_over(&self.consumer, &owned);
        // It is not to be written down once more as the consumer leaves.
        context.is_retired.store(true, Ordering::Relaxed);
        context.held.lock().clear();
        // A worker that is busy keeps no partition from the others. One with a name keeps its partitions
        // for when it is back: the client would tell the group that it leaves for good.
        if self.params.instance.is_none() {
            self.leave();
        }
    }
}
