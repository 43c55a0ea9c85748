//! State that the manager and the workers share: the channels between them, and the context that gets
//! rebalances.

use super::consumer::{BROKER_WAIT, Shared, TopicPartition};
use super::handover::{Committed, HandedOver, ResumePoint, goes_on};
use super::losses::{self, Gaps};
use super::ownership::{self, Claim, Metadata, committed_of, list};
use super::redaction::{Redacted, note_error, note_line};
use crate::adapters::channels::{ControlMessage, InUse};
use crate::adapters::checkpoint::store::KeptOffset;
use crate::adapters::clock;
use crate::adapters::sources::start::Start;
use crate::data_plane::partition::Params;
use crate::data_plane::shard_driver::{Backlog, ShardUsage};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak, mpsc};
use std::time::{Duration, Instant};

/// How long workers may take to hand partitions back, all of them together.
const GIVE_WAIT: Duration = Duration::from_secs(5);
/// A pseudo thread, under which credentials that are read back are counted.
const READ_BACK: usize = usize::MAX;
/// How long partitions wait for their checkpoints when they are assigned, all of them together.
/// Chosen: well below the longest time between two polls.
const RESTORE_WAIT: Duration = Duration::from_secs(30);

/// How far a partition has come.
#[derive(Debug)]
pub(super) struct Progress {
    /// The offset after the last record applied.
    pub(super) applied: AtomicI64,
    /// The offset up to which the client has read and handed out everything. Beyond `applied` where
    /// what lies between are no records, as the ends of transactions.
    passed: AtomicI64,
    /// How many records wait with the client for the worker.
    waiting: AtomicI64,
    /// Up to where it is committed; below 0: nothing was yet.
    committed: AtomicI64,
    /// The offset after the last record that the broker had when it was last asked; below 0: it did not
    /// answer.
    pub(super) end: AtomicI64,
    /// Its checkpoints.
    kept: Arc<KeptOffset>,
    /// The epoch in which this instance owns it.
    epoch: u64,
    /// Whether more may be known of it than this instance has.
    pub(super) provisional: bool,
    /// From where it is read, if it was new to the group and nothing before that is to be read.
    pub(super) began_at: Option<i64>,
    /// Offsets without a record.
    pub(super) gaps: Gaps,
}

impl Progress {
    /// That of a partition that is taken over.
    pub(super) fn of(held: &HandedOver) -> Arc<Self> {
        Arc::new(Self {
            applied: AtomicI64::new(held.next_offset()),
            passed: AtomicI64::new(0),
            waiting: AtomicI64::new(0),
            committed: AtomicI64::new(-1),
            end: AtomicI64::new(-1),
            kept: Arc::clone(&held.kept),
            epoch: held.epoch,
            provisional: held.provisional,
            began_at: held.began_at,
            gaps: Gaps::default(),
        })
    }

    /// Forgets what the client had read: the topic begins again.
    pub(super) fn begin_anew(&self) {
        self.end.store(-1, Ordering::Relaxed);
        self.passed.store(0, Ordering::Relaxed);
    }

    /// Up to where it may be committed, if that is news: as far as a checkpoint holds it, before the first one
    /// from where it is read. Nothing of a partition that another instance may own by now.
    fn to_commit(&self) -> Option<i64> {
        if self.provisional || self.kept.is_fenced(self.epoch) {
            return None;
        }
        let newest = match self.kept.newest() {
            0 => self.began_at,
            newest => Some(newest),
        };
        newest.filter(|newest| *newest != self.committed.load(Ordering::Relaxed))
    }

    /// Whether records wait that were not applied yet, as far as is known.
    pub(super) fn backlog(&self) -> Backlog {
        match self.end.load(Ordering::Relaxed) {
            end if end >= 0 && self.reached() >= end => Backlog::Empty,
            _ => Backlog::Unknown,
        }
    }

    /// Whether the client has records that the worker does not take. A new client would not help.
    pub(super) fn waits_for_worker(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Up to where the client has nothing left to hand out.
    pub(super) fn reached(&self) -> i64 {
        self.applied.load(Ordering::Relaxed).max(self.passed.load(Ordering::Relaxed))
    }
}

/// The partitions of this instance, and how far each has come.
pub(super) type RecentEvents = Mutex<BTreeMap<TopicPartition, Arc<Progress>>>;

/// A message from the manager to a worker.
pub(super) enum Message {
    /// This partition is yours from now on.
    Take(TopicPartition, PartitionQueue<Context>, HandedOver, Arc<Progress>),
    /// This partition is no longer yours; hand back its state.
    Give(TopicPartition, mpsc::SyncSender<Option<HandedOver>>),
    /// Hand back everything and end.
    Stop,
}

/// Hears of rebalances, within the consumer's poll.
pub(super) struct Context {
    pub(super) topics: Vec<String>,
    pub(super) start: Start,
    /// The client's own words for the error that its next poll returns.
    pub(super) reason: Mutex<Option<Redacted>>,
    pub(super) shared: Shared,
    /// How many partitions each topic has.
    pub(super) partitions: Mutex<BTreeMap<String, usize>>,
    /// The consumer that calls this context, set once it is made. Weak, as the consumer owns the
    /// context; to split a queue off takes an `Arc` of it.
    pub(super) consumer: OnceLock<Weak<BaseConsumer<Self>>>,
    /// Partitions between two owners, and those that went away, in case they come again.
    pub(super) held: Arc<Mutex<BTreeMap<TopicPartition, HandedOver>>>,
    pub(super) workers: Vec<mpsc::Sender<Message>>,
    pub(super) board: RecentEvents,
    /// The cluster, once it said who it is.
    pub(super) cluster: Mutex<Option<String>>,
    pub(super) group: String,
    /// Credentials of partitions that were read back, and that no worker reports yet.
    pub(super) read_back: AtomicU64,
    /// Whether the consumer was given up. Its partitions are another's by then, so what it learns of
    /// them as it leaves the group changes nothing.
    pub(super) is_retired: AtomicBool,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context(..)")
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&error, reason);
        *self.reason.lock() = Some(Redacted::of(reason));
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        note_line(level, facility, text);
    }

    fn stats(&self, statistics: Statistics) {
        // While records wait in its queue, `next_offset` is ahead of what was handed out. A worker may
        // still hold one batch.
        for ((topic, partition), progress) in self.board.lock().iter() {
            let topic = statistics.topics.get(topic);
            let Some(read) = topic.and_then(|topic| topic.partitions.get(partition)) else {
                continue;
            };
            progress.waiting.store(read.fetchq_cnt, Ordering::Relaxed);
            if read.fetchq_cnt == 0 {
                progress.passed.store(read.next_offset, Ordering::Relaxed);
            }
        }
    }
}

impl Context {
    /// The way to the worker of a partition.
    pub(super) fn worker(&self, place: &TopicPartition) -> Option<&mpsc::Sender<Message>> {
        let number = usize::try_from(place.1).unwrap_or(0) % self.workers.len().max(1);
        self.workers.get(number)
    }

    /// Gives a partition to its worker. Its queue is split off before the client reads any of it, so
    /// that no record goes the common way; it need not be paused for that. To pause and to resume it
    /// while the client begins to read loses that beginning at times (librdkafka 2.12.1: what it
    /// orders itself comes too late by its version then), and the partition stalls.
    pub(super) fn entrust(&self, place: &TopicPartition, held: HandedOver) {
        let consumer = self.consumer.get().and_then(Weak::upgrade);
        let queue = consumer.and_then(|one| one.split_partition_queue(&place.0, place.1));
        let (Some(queue), Some(worker)) = (queue, self.worker(place)) else {
            tracing::error!(
                topic = place.0,
                partition = place.1,
                "an assigned partition has no worker here; restart this instance"
            );
            return;
        };
        let progress = Progress::of(&held);
        let counts = self.partitions.lock().clone();
        let owned = {
            let mut board = self.board.lock();
            board.insert(place.clone(), Arc::clone(&progress));
            self.advertise(&board, &counts);
            board.len()
        };
        self.shared.owned.store(owned, Ordering::Relaxed);
        // A worker ends only after the manager.
        let _ended = worker.send(Message::Take(place.clone(), queue, held, progress));
    }

    /// Takes partitions back from their owners, once these have finished the batch at hand.
    pub(super) fn take_back(&self, places: &[TopicPartition]) {
        let asked: Vec<_> = places.iter().map(|place| (place, self.ask_back(place))).collect();
        let until = Instant::now() + GIVE_WAIT;
        for (place, answer) in asked {
            let wait = until.saturating_duration_since(Instant::now());
            match answer.map(|answer| answer.recv_timeout(wait)) {
                Some(Ok(Some(mut held))) => {
                    held.since = clock::now();
                    self.held.lock().insert(place.clone(), held);
                }
                // No one has it.
                Some(Ok(None)) => {}
                Some(Err(_)) | None => tracing::warn!(
                    topic = place.0,
                    partition = place.1,
                    "the worker did not release the partition in time; its records will be read \
                     again"
                ),
            }
        }
    }

    fn ask_back(&self, place: &TopicPartition) -> Option<mpsc::Receiver<Option<HandedOver>>> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.worker(place)?.send(Message::Give(place.clone(), reply)).ok()?;
        Some(answer)
    }

    /// Takes partitions back, writes them down, and commits how far they have come.
    pub(super) fn hand_over(&self, consumer: &BaseConsumer<Self>, places: &[TopicPartition]) {
        self.take_back(places);
        // A partition that another instance may own by now is not this one's to write down.
        if !consumer.assignment_lost() {
            let of =
                |place: &TopicPartition| Some((place.clone(), self.held.lock().remove(place)?));
            let (places, mut held): (Vec<TopicPartition>, Vec<HandedOver>) =
                places.iter().filter_map(of).unzip();
            // A partition with a checkpoint can be had again.
            let written = self.shared.write_down(&mut held);
            let left = places.into_iter().zip(held).zip(written);
            let left = left.filter(|((_, held), written)| !written && !held.provisional);
            self.held.lock().extend(left.map(|(one, _)| one));
            if let Err(error) = commit(consumer, CommitMode::Sync) {
                let error = Redacted::of(error);
                tracing::warn!(%error, "offsets were not committed; records will be redelivered");
            }
        }
        for place in places {
            let progress = self.board.lock().get(place).cloned();
            let Some(progress) = progress.filter(|progress| !progress.gaps.is_empty()) else {
                continue;
            };
            // A broker that is away must not keep the group waiting once for each partition.
            let Ok((low, _)) = consumer.fetch_watermarks(&place.0, place.1, BROKER_WAIT) else {
                break;
            };
            self.report_lost(place, &progress, low);
        }
        let counts = self.partitions.lock().clone();
        let mut board = self.board.lock();
        board.retain(|place, _| !places.contains(place));
        self.advertise(&board, &counts);
        self.shared.owned.store(board.len(), Ordering::Relaxed);
    }

    /// Lets other instances know what is owned. Of a topic that was subscribed to by a pattern and of which nothing is
    /// owned any more, this instance can't say whether it is still there.
    fn advertise(
        &self,
        board: &BTreeMap<TopicPartition, Arc<Progress>>,
        counts: &BTreeMap<String, usize>,
    ) {
        let is_told = |name: &str| {
            self.topics.iter().any(|topic| topic == name)
                || board.keys().any(|(topic, _)| topic == name)
        };
        let counts = counts.iter().map(|(name, count)| (name.as_str(), *count));
        self.shared.advertised.set(board.keys(), counts.filter(|(name, _)| is_told(name)));
    }

    /// Counts and logs what was removed from a partition unread, of which the first record left is `low`.
    pub(super) fn report_lost(&self, place: &TopicPartition, progress: &Progress, low: i64) {
        losses::report(&self.shared.metrics, place, progress.gaps.take_lost(low), low);
    }

    /// Parameters of a partition that is taken over: its part of the memory, as far as the rest is known to be
    /// owned. Its worker divides it again once all have come.
    pub(super) fn partition_params(
        &self,
        consumer: &BaseConsumer<Self>,
        topic: &str,
        prepared: usize,
    ) -> Arc<Params> {
        let mut partitions = self.partitions.lock();
        let configured = self.topics.iter().map(String::as_str);
        for name in configured.filter(|name| !name.starts_with('^')).chain([topic]) {
            if !partitions.contains_key(name)
                && let Ok(metadata) = consumer.fetch_metadata(Some(name), BROKER_WAIT)
            {
                let count = metadata.topics().iter().map(|topic| topic.partitions().len()).sum();
                partitions.insert(name.to_owned(), count);
            }
        }
        // Of a topic that was not asked for, those that are assigned are known.
        let all = self.board.lock().len() + prepared + 1;
        let params = Arc::clone(&self.shared.partition.read());
        Arc::new((*params).clone().with_memory(params.all_bytes() / all))
    }

    /// The name of a partition among checkpoints. Those of another group, or of a topic of the same
    /// name in another cluster, have nothing to do with it.
    /// None while the cluster does not say who it is.
    pub(super) fn name(
        &self,
        consumer: &BaseConsumer<Self>,
        (topic, partition): &TopicPartition,
    ) -> Option<String> {
        let mut cluster = self.cluster.lock();
        if cluster.is_none() {
            *cluster = consumer.client().fetch_cluster_id(BROKER_WAIT);
        }
        if cluster.is_none() {
            tracing::warn!(
                topic,
                partition,
                "the cluster reports no id, so checkpoints can't be looked up; retrying"
            );
        }
        let cluster = cluster.as_deref()?;
        Some(format!("kafka/{cluster}/{}/{topic}/{partition:05}", self.group))
    }

    /// Reports what is open in a partition that was read back.
    pub(super) fn recall(&self, held: &mut HandedOver) {
        let now = clock::now();
        let signals = held.driver.recall(now).signals;
        // How many credentials there are says how many at once are a common cause.
        let more = held.driver.usage().credentials;
        let credentials = self.read_back.fetch_add(more, Ordering::Relaxed) + more;
        let usage = ShardUsage { credentials, ..ShardUsage::default() };
        let in_use = InUse { thread: READ_BACK, usage };
        let control = &self.shared.control;
        // The control plane ends after this thread.
        let _ended = control.send_blocking(ControlMessage::InUse(in_use))
            && control.send_blocking(ControlMessage::Signals(signals, now, None));
        tracing::info!(
            place = held.name,
            credentials = more,
            offset = held.next_offset(),
            "profiles restored from the checkpoint"
        );
    }

    /// The workers tell by now what they have.
    pub(super) fn forget_read_back(&self) {
        if self.read_back.swap(0, Ordering::Relaxed) > 0 {
            let none = InUse { thread: READ_BACK, ..InUse::default() };
            // The control plane ends after this thread.
            let _ended = self.shared.control.send_blocking(ControlMessage::InUse(none));
        }
    }

    /// Finds out from where a partition goes on that is assigned, by `deadline`, after others that are
    /// prepared. Blocks.
    fn prepare(
        &self,
        consumer: &BaseConsumer<Self>,
        place: &TopicPartition,
        (committed, deadline): (Committed, Instant),
        prepared: usize,
    ) -> (Claim, ResumePoint) {
        let held = self.held.lock().remove(place);
        let params = self.partition_params(consumer, &place.0, prepared);
        self.note_partition(place);
        let name = self.name(consumer, place);
        let (mut held, is_read) = self.shared.known(name, held, &params, deadline);
        if is_read {
            self.recall(&mut held);
        }
        let next = held.next_offset();
        let mut low = None;
        let from = match consumer.fetch_watermarks(&place.0, place.1, BROKER_WAIT) {
            Ok(log) => {
                low = Some(log.0);
                let start = match (committed, self.start) {
                    (Committed::Never, Start::Latest) if was_added(consumer, place) => {
                        Start::Earliest
                    }
                    (_, start) => start,
                };
                let (from, lost) = goes_on(place, &mut held, log, (committed, start));
                losses::report(&self.shared.metrics, place, lost, log.0);
                from
            }
            // Where it is not there, the broker says so as it is read.
            Err(_) if next > 0 => ResumePoint::Offset(next),
            Err(_) => ResumePoint::Group,
        };
        (Claim::new(place.clone(), held, committed, low), from)
    }

    /// Takes over partitions that are assigned, and sets from where the client reads them. Blocks.
    fn take_over(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) {
        let places = places(assigned);
        let deadline = Instant::now() + RESTORE_WAIT;
        let committed = consumer.committed_offsets(list(places.iter().cloned()), BROKER_WAIT).ok();
        let mut claims = Vec::new();
        for place in places {
            let group = committed_of(committed.as_ref(), &place);
            let (claim, from) = self.prepare(consumer, &place, (group, deadline), claims.len());
            claims.push(claim);
            if let ResumePoint::Offset(offset) = from
                && let Some(mut one) = assigned.find_partition(&place.0, place.1)
                && let Err(error) = one.set_offset(Offset::Offset(offset))
            {
                let error = Redacted::of(error);
                tracing::error!(%error, offset, "cannot resume from this offset");
            }
        }
        let counts = self.partitions.lock().clone();
        ownership::claim(consumer, &counts, committed.as_ref(), &mut claims);
        for claim in claims {
            self.entrust(&claim.place, claim.held);
        }
    }
}

impl Context {
    /// How many partitions a topic has at least.
    fn note_partition(&self, (topic, partition): &TopicPartition) {
        let count = usize::try_from(*partition).unwrap_or(0) + 1;
        let mut partitions = self.partitions.lock();
        let known = partitions.entry(topic.clone()).or_default();
        *known = count.max(*known);
    }
}

/// Whether a partition was added to its topic since the group has read that: then all of it came while
/// the group was reading. Offsets of the partitions before it say how many there were.
fn was_added(consumer: &BaseConsumer<Context>, (topic, partition): &TopicPartition) -> bool {
    let before = list((0..*partition).map(|number| (topic.clone(), number)));
    let Ok(committed) = consumer.committed_offsets(before, BROKER_WAIT) else { return false };
    committed.elements().iter().any(|one| {
        let partitions = Metadata::parse(one.metadata()).partitions;
        partitions.is_some_and(|count| usize::try_from(*partition).is_ok_and(|new| new >= count))
    })
}

pub(super) fn places(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect()
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if self.is_retired.load(Ordering::Relaxed) {
            return;
        }
        match rebalance {
            Rebalance::Revoke(revoked) => {
                self.hand_over(consumer, &places(revoked));
            }
            Rebalance::Assign(assigned) => {
                self.take_over(consumer, assigned);
            }
            Rebalance::Error(_) => {}
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if self.is_retired.load(Ordering::Relaxed) {
            return;
        }
        let owned = consumer.assignment().map_or(0, |owned| owned.count());
        self.shared.metrics.assigned.set(i64::try_from(owned).unwrap_or(0));
        if let Rebalance::Assign(_) = rebalance {
            tracing::info!(partitions = owned, "assigned");
        }
    }
}

/// Commits up to where checkpoints hold the partitions of this instance.
pub(super) fn commit(consumer: &BaseConsumer<Context>, mode: CommitMode) -> KafkaResult<()> {
    let context = consumer.context();
    let mut offsets = TopicPartitionList::new();
    let mut newer = Vec::new();
    for (place, progress) in context.board.lock().iter() {
        let Some(newest) = progress.to_commit() else { continue };
        offsets.add_partition_offset(&place.0, place.1, Offset::Offset(newest))?;
        let count = context.partitions.lock().get(&place.0).copied().unwrap_or_default();
        ownership::annotate(&offsets, place, (count, progress.epoch));
        newer.push((Arc::clone(progress), newest));
    }
    if newer.is_empty() {
        return Ok(());
    }
    consumer.commit(&offsets, mode)?;
    for (progress, newest) in newer {
        progress.committed.store(newest, Ordering::Relaxed);
    }
    Ok(())
}
