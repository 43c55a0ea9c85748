//! A worker: owns partitions and their queues, and nothing else does.

use super::advertised::Collected;
use super::consumer::complain_again;
use super::consumer::{Params, Shared, TopicPartition};
use super::group::{Context, Message, Progress};
use super::handover::HandedOver;
use super::pause_guard::PauseGuard;
use super::redaction::Redacted;
use super::rejects_topic::RejectsTopic;
use crate::adapters::channels::DataMessage;
use crate::adapters::checkpoint::scheduler::{Saved, Saving, oldest_checkpoint};
use crate::adapters::checkpoint::store::KeptOffset;
use crate::adapters::clock;
use crate::adapters::data_plane::reporter::Reporter;
use crate::adapters::sources::rejects;
use crate::adapters::sources::rejects::{RejectResult, letter};
use crate::data_plane::batch::Batch;
use crate::data_plane::lifetimes::audit::LifetimeAudit;
use crate::data_plane::partition::{self, Clock, Partition};
use crate::data_plane::partition_view::View;
use crate::data_plane::shard_driver::{Backlog, ShardUsage};
use crate::formats::events::decoder::DecodeCounters;
use crate::formats::events::refusal::{Limits, Refusal};
use crate::model::signal::ShardId;
use crate::model::time::EventTime;
use rdkafka::Message as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

/// Records taken from a queue at once.
const TOGETHER_MAX: usize = 512;
/// How long an idle worker waits at one of its queues.
const WAIT: Duration = Duration::from_millis(2);

struct OwnedPartition {
    place: TopicPartition,
    queue: PartitionQueue<Context>,
    held: HandedOver,
    progress: Arc<Progress>,
    /// The credentials that were seen in it lately.
    seen: Collected,
    /// Whether more waited than was taken last.
    is_behind: bool,
    /// When an error of it was last said.
    complained_at: Option<EventTime>,
}

impl Saved for OwnedPartition {
    fn place(&self) -> &str {
        self.held.place()
    }

    fn partition(&mut self) -> &mut Partition {
        self.held.partition()
    }

    fn kept(&self) -> &Arc<KeptOffset> {
        self.held.kept()
    }

    fn epoch(&self) -> u64 {
        self.held.epoch()
    }

    fn is_ready(&self) -> bool {
        self.held.is_ready()
    }
}

pub(super) struct Worker {
    pub(super) params: Params,
    pub(super) shared: Shared,
    pub(super) pulse: Arc<PauseGuard>,
    pub(super) saving: Saving,
    pub(super) rejects: Option<RejectsTopic>,
    pub(super) reporter: Reporter,
    /// Parameters of partitions, if that was reported since the start.
    pub(super) told_params: Option<Arc<partition::Params>>,
    /// Among how many partitions the memory was last divided; 0: that is due.
    pub(super) sized_for: usize,
}

impl Worker {
    /// Runs until the stop message. Blocks.
    pub(super) fn run(
        mut self,
        orders: &mpsc::Receiver<Message>,
        questions: &mut tokio::sync::mpsc::Receiver<DataMessage>,
    ) {
        let mut owned: Vec<OwnedPartition> = Vec::new();
        let mut batch = Batch::default();
        let mut turn = 0_usize;
        loop {
            while let Ok(question) = questions.try_recv() {
                self.answer(&mut owned, question);
            }
            match orders.try_recv() {
                Ok(Message::Take(place, queue, mut held, progress)) => {
                    if let Some(params) = &self.told_params {
                        // It may have been between two owners as these were reported.
                        held.driver.partition_mut().set_params(Arc::clone(params));
                    }
                    let markers = self.shared.markers.read().clone();
                    held.driver.partition_mut().set_markers(markers);
                    self.sized_for = 0;
                    owned.push(OwnedPartition {
                        place,
                        queue,
                        held,
                        progress,
                        seen: Collected::default(),
                        is_behind: false,
                        complained_at: None,
                    });
                }
                Ok(Message::Give(place, reply)) => {
                    let at = owned.iter().position(|one| one.place == place);
                    let told = self.reporter.ticket().clone();
                    let given = at.map(|at| HandedOver { told, ..owned.swap_remove(at).held });
                    self.reporter.flush_hours();
                    // The manager waits for at most a few seconds.
                    let _gone = reply.send(given);
                }
                Ok(Message::Stop) | Err(mpsc::TryRecvError::Disconnected) => break,
                Err(mpsc::TryRecvError::Empty) => {}
            }
            if !self.pulse.may_act() {
                std::thread::sleep(WAIT);
                continue;
            }
            self.saving.go_on(&mut owned, self.reporter.ticket());
            let mut idle = true;
            for one in &mut owned {
                if self.poll(one, Duration::ZERO, &mut batch) > 0 {
                    idle = false;
                }
            }
            if idle {
                turn = turn.wrapping_add(1);
                let count = owned.len().max(1);
                match owned.get_mut(turn % count) {
                    Some(one) => {
                        self.poll(one, WAIT, &mut batch);
                    }
                    None => std::thread::sleep(WAIT),
                }
            }
        }
        self.reporter.flush_hours();
    }

    /// Takes what waits in the queue, at most a batch; gives how many records.
    fn poll(&mut self, one: &mut OwnedPartition, wait: Duration, batch: &mut Batch) -> usize {
        batch.clear();
        let arrived = clock::now();
        let limits = Limits::at(arrived);
        let (mut records, mut last, mut produced) = (0, -1, None);
        let mut decoded = DecodeCounters::default();
        let mut wait = wait;
        let OwnedPartition { place, queue, held, progress, complained_at, .. } = &mut *one;
        while records < TOGETHER_MAX {
            let message = match queue.poll(wait) {
                None => break,
                Some(Err(error)) => {
                    self.shared.metrics.errors.inc();
                    if complain_again(complained_at) {
                        tracing::warn!(
                            error = %Redacted::of(error),
                            topic = place.0,
                            partition = place.1,
                            "can't read a partition; while this lasts, its events are not processed"
                        );
                    }
                    break;
                }
                Some(Ok(message)) => message,
            };
            wait = Duration::ZERO;
            records += 1;
            let offset = message.offset();
            if last < 0 {
                self.follow((place, progress), held, offset);
            } else if offset > last + 1 {
                self.skip(progress, last + 1, offset);
            }
            last = offset;
            produced = produced.max(message.timestamp().to_millis());
            // Without a body it says that its key is deleted, in a topic that is compacted.
            let Some(record) = message.payload() else { continue };
            let decoder = &self.params.decoder;
            let mut refusals = Vec::new();
            decoder.decode(
                record,
                &limits,
                &self.shared.fingerprints,
                &mut |answer| match answer {
                    Ok(event) => {
                        decoded.add(&event);
                        batch.push(&event, offset, self.shared.seed);
                    }
                    Err(refusal) => refusals.push(refusal),
                },
            );
            for refusal in refusals {
                self.refuse(place, offset, refusal, arrived);
            }
        }
        one.is_behind = records == TOGETHER_MAX;
        if records > 0 {
            self.shared.records.add_decoded(&decoded);
            self.shared.records.count_taken(&self.params.source, batch.len() as u64, arrived);
            // Where the broker says it: the same whenever it is read.
            let produced = produced.map_or(arrived, |ms| EventTime::from_ms(ms).min(arrived));
            self.apply(one, batch, last, (produced, arrived));
        }
        records
    }

    /// Looks whether the records go on where the partition has come to. The client begins again by
    /// itself where a topic was recreated, or cut off, while it is read.
    fn follow(
        &self,
        (place, progress): (&TopicPartition, &Progress),
        held: &mut HandedOver,
        offset: i64,
    ) {
        let (topic, partition) = place;
        let next = held.next_offset();
        if offset < next {
            self.shared.metrics.resets.inc();
            tracing::error!(
                topic,
                partition,
                known = next,
                offset,
                "the topic was recreated or truncated: its offsets are behind those already read; \
                 profiles are kept, and its records count as new"
            );
            held.driver.partition_mut().rewind_to(offset);
            progress.begin_anew();
            held.kept.reset(clock::now());
        } else if next > 0 && offset > next {
            self.skip(progress, next, offset);
        }
    }

    /// Notes offsets without a record.
    fn skip(&self, progress: &Progress, from: i64, to: i64) {
        self.shared.metrics.skipped.inc_by((to - from).unsigned_abs());
        progress.gaps.record(from, to);
    }

    fn apply(
        &mut self,
        one: &mut OwnedPartition,
        batch: &Batch,
        last: i64,
        (arrived, at): (EventTime, EventTime),
    ) {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("kafka.batch");
        let now = clock::now();
        // One whose end alone is new proves no hours either: its begin may have proven them.
        let again = one.held.next_offset() < one.held.again_until;
        let clock = if again { Clock::Again { arrived, now } } else { Clock::Source(now) };
        let hashes = batch.hashes();
        one.seen.add(hashes, (&one.place, at), &self.shared.advertised);
        let driver = &mut one.held.driver;
        let output = driver.step(batch, clock);
        driver.partition_mut().skip_to(last + 1);
        one.progress.applied.store(last + 1, Ordering::Relaxed);
        if let Some(newest) = batch.newest() {
            let lag_s = clock::now().ms_since(newest).max(0) as f64 / 1000.0;
            self.shared.records.lag.observe(lag_s);
            let ahead_ms = newest.ms_since(at);
            if ahead_ms > driver.partition().skew_ms_max() {
                let name = format!("the writer of {} partition {}", one.place.0, one.place.1);
                self.shared.records.fast_clocks.record(&name, ahead_ms, at);
            }
        }
        self.reporter.report(one.shard(), output, at);
    }

    fn refuse(&self, place: &TopicPartition, offset: i64, refusal: Refusal, at: EventTime) {
        let records = &self.shared.records;
        records.refused.with_label_values(&[&self.params.source, refusal.as_str()]).inc();
        let place = rejects::RecordPlace::Record { topic: &place.0, partition: place.1, offset };
        let text = letter(place, refusal, at);
        // Rejects that find no room in the topic's queue go to the file, too.
        let sent = self.rejects.as_ref().is_some_and(|rejects| rejects.send(&text));
        let written = if sent { RejectResult::Yes } else { self.shared.rejects.write(&text, at) };
        records.count_reject(written);
    }

    fn answer(&mut self, owned: &mut [OwnedPartition], question: DataMessage) {
        match question {
            DataMessage::LookUp(credential, reply) => {
                let (kind, id) = (credential.kind(), credential.id());
                let found =
                    owned.iter().filter_map(|one| one.held.driver.partition().look_up(kind, id));
                // The caller may have gone away.
                let _gone = reply.send(found.max_by_key(|view| view.last_seen));
            }
            DataMessage::Busiest(most, reply) => {
                let of = |one: &mut OwnedPartition| one.held.driver.partition_mut().busiest(most);
                let views: Vec<View> = owned.iter_mut().flat_map(of).collect();
                let _gone = reply.send(views);
            }
            DataMessage::OpenFindings(reply) => {
                let of = |one: &OwnedPartition| {
                    one.held.driver.partition().open_finding_ids().collect::<Vec<_>>()
                };
                let _gone = reply.send(owned.iter().flat_map(of).collect());
            }
            DataMessage::Mark(credential, mark, now, reply) => {
                for one in &mut *owned {
                    let output = one.held.driver.mark(&credential, mark.clone(), now);
                    self.reporter.report(one.shard(), output, now);
                }
                let _gone = reply.send(());
            }
            DataMessage::Lifetimes(reply) => {
                let parts = owned.iter().map(|one| one.held.driver.partition().lifetimes());
                let _gone = reply.send(LifetimeAudit::merged(parts));
            }
            DataMessage::SeenFrom(address, reply) => {
                let of = |one: &OwnedPartition| one.held.driver.partition().seen_from(address);
                let _gone = reply.send(owned.iter().flat_map(of).collect());
            }
            DataMessage::Params(params) => {
                for one in &mut *owned {
                    one.held.driver.partition_mut().set_params(Arc::clone(&params));
                }
                self.told_params = Some(params);
            }
            DataMessage::Tick(now) => self.tick(owned, now),
            DataMessage::Batch(..) | DataMessage::Again(..) | DataMessage::Stop => {}
        }
    }

    /// Divides the memory among the partitions that this instance owns, once their number has changed.
    fn resize(&mut self, owned: &mut [OwnedPartition]) {
        let all = self.shared.owned.load(Ordering::Relaxed).max(owned.len());
        if all == self.sized_for || all == 0 {
            return;
        }
        let bytes = self.shared.partition.read().all_bytes() / all;
        let mut is_done = true;
        for one in owned {
            // One that is being written down has its turn at a later tick.
            is_done &= one.held.driver.partition_mut().resize(bytes);
        }
        self.sized_for = if is_done { all } else { 0 };
    }

    fn tick(&mut self, owned: &mut [OwnedPartition], now: EventTime) {
        self.resize(owned);
        let mut usage = ShardUsage::default();
        for one in &mut *owned {
            let output = one.held.driver.tick(now, one.backlog());
            usage += one.held.driver.usage();
            self.reporter.report(one.shard(), output, now);
        }
        self.saving.tick(now, owned, self.reporter.ticket());
        self.reporter.beat(usage, oldest_checkpoint(owned));
    }
}

impl OwnedPartition {
    fn shard(&self) -> ShardId {
        let (topic, partition) = self.place.clone();
        ShardId::Kafka(topic, partition)
    }

    /// A partition that is behind must not see its own records as late.
    fn backlog(&self) -> Backlog {
        if self.is_behind || self.held.next_offset() < self.held.again_until {
            Backlog::Waiting
        } else {
            self.progress.backlog()
        }
    }
}
