//! The manager: rebalances, commits, and the watch for stalls.

use super::group::{Board, Change, Context, Message, commit, list};
use super::worker::{Worker, dead_letter_producer};
use super::{Ends, Params, Place, Shared};
use crate::edge::clock;
use crate::edge::planes::{Hours, Ticket};
use crate::engine::partition::Partition;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long the manager waits for news.
const WAIT: Duration = Duration::from_millis(50);
/// How often offsets are committed. Unit: milliseconds.
const COMMIT_EVERY_MS: i64 = 1_000;
/// How often lag is measured. Unit: milliseconds.
const LAG_EVERY_MS: i64 = 5_000;
/// How long the broker may take to answer the manager.
const BROKER_WAIT: Duration = Duration::from_secs(5);

/// Runs the door until it is told to stop; then everything applied is durable and committed.
/// Blocks.
pub fn run(params: &Params, shared: &Shared, ends: Ends) {
    let board = Board::default();
    let mut orders = Vec::new();
    let mut threads = Vec::new();
    let producer = dead_letter_producer(params);
    for (number, mut questions) in ends.into_iter().enumerate() {
        let (sender, receiver) = mpsc::channel();
        let worker = Worker {
            number,
            params: params.clone(),
            shared: shared.clone(),
            board: Arc::clone(&board),
            dead_letter_producer: producer.clone(),
            ticket: Ticket::default(),
            hours: Hours::default(),
        };
        let name = format!("kafka-{number}");
        let thread = std::thread::Builder::new().name(name);
        match thread.spawn(move || worker.run(&receiver, &mut questions)) {
            Ok(thread) => threads.push(thread),
            Err(error) => return tracing::error!(error = %error, "no thread for Kafka"),
        }
        orders.push(sender);
    }
    let mut kept = BTreeMap::new();
    while !shared.stopping.load(Ordering::Relaxed) {
        let mut consumption = match Consumption::begin(params, shared, &orders, &board) {
            Ok(consumption) => consumption,
            Err(error) => {
                shared.metrics.consumer_errors.inc();
                tracing::error!(error = %error, "no Kafka consumer; it is tried again");
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
        };
        consumption.kept = std::mem::take(&mut kept);
        consumption.watch();
        if shared.stopping.load(Ordering::Relaxed) {
            consumption.end(&orders, threads);
            return;
        }
        shared.metrics.consumer_stalls.inc();
        tracing::error!("the Kafka consumer stands still; it is made anew");
        kept = consumption.abandon();
    }
}

/// One consumer's life.
struct Consumption<'a> {
    params: &'a Params,
    shared: &'a Shared,
    board: Board,
    consumer: Arc<BaseConsumer<Context>>,
    /// State of partitions that went away, in case they come again.
    kept: BTreeMap<Place, Box<Partition>>,
    committed_at: EventTime,
    measured_at: EventTime,
    moved_at: EventTime,
    applied: i64,
    behind: i64,
}

impl<'a> Consumption<'a> {
    fn begin(
        params: &'a Params,
        shared: &'a Shared,
        workers: &[mpsc::Sender<Message>],
        board: &Board,
    ) -> KafkaResult<Self> {
        board.lock().clear();
        let context = Context {
            changes: Mutex::default(),
            workers: workers.to_vec(),
            board: Arc::clone(board),
        };
        let consumer: BaseConsumer<Context> = params.consumer().create_with_context(context)?;
        let topics: Vec<&str> = params.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let now = clock::now();
        Ok(Self {
            params,
            shared,
            board: Arc::clone(board),
            consumer: Arc::new(consumer),
            kept: BTreeMap::new(),
            committed_at: now,
            measured_at: now,
            moved_at: now,
            applied: 0,
            behind: 0,
        })
    }

    /// Watches over the consumer until tripline stops, or it stands still.
    fn watch(&mut self) {
        while !self.shared.stopping.load(Ordering::Relaxed) {
            if let Some(Err(error)) = self.consumer.poll(WAIT) {
                self.shared.metrics.consumer_errors.inc();
                tracing::warn!(error = %error, "Kafka");
            }
            loop {
                let change = self.consumer.context().changes.lock().pop_front();
                match change {
                    Some(Change::Assigned(places)) => self.assign(places),
                    Some(Change::Revoked(kept)) => self.kept.extend(kept),
                    None => break,
                }
            }
            let now = clock::now();
            if now.ms_since(self.committed_at) >= COMMIT_EVERY_MS {
                self.committed_at = now;
                if let Err(error) = commit(&self.consumer, &self.board, CommitMode::Async, |_| true)
                {
                    tracing::warn!(error = %error, "offsets were not committed; it is tried again");
                }
            }
            if now.ms_since(self.measured_at) >= LAG_EVERY_MS {
                self.measured_at = now;
                self.measure(now);
            }
            if self.behind > 0 && now.ms_since(self.moved_at) >= self.params.stall_ms {
                return;
            }
        }
    }

    /// Splits off the queues of new partitions, hands them to their owners, and lets them flow.
    fn assign(&mut self, places: Vec<Place>) {
        let all = list(places.iter().cloned());
        let committed = self.consumer.committed_offsets(all.clone(), BROKER_WAIT);
        for place in places {
            let resumes = committed.as_ref().ok().and_then(|committed| {
                let found = committed.find_partition(&place.0, place.1)?;
                if let Offset::Offset(offset) = found.offset() { Some(offset) } else { None }
            });
            // Kept state is of use unless another member has committed beyond it. Where a commit was
            // lost in the rebalance, records come again, and the state knows them by position.
            let kept = self
                .kept
                .remove(&place)
                .filter(|partition| resumes.is_none_or(|offset| offset <= partition.next_offset()));
            let queue = self.consumer.split_partition_queue(&place.0, place.1);
            let worker = self.consumer.context().worker(&place);
            if let (Some(queue), Some(worker)) = (queue, worker) {
                // A worker ends only after the manager.
                let _ended = worker.send(Message::Take(place, queue, kept));
            }
        }
        if let Err(error) = self.consumer.resume(&all) {
            tracing::warn!(error = %error, "an assignment can't be resumed");
        }
        let owned = self.consumer.assignment().map_or(0, |owned| owned.count());
        self.shared.metrics.consumer_assigned.set(i64::try_from(owned).unwrap_or(0));
        tracing::info!(partitions = owned, "assigned");
        self.moved_at = clock::now();
    }

    /// Measures how far behind the partitions are, and whether they move.
    fn measure(&mut self, now: EventTime) {
        let progress = self.board.lock().clone();
        let (mut behind, mut applied) = (0, 0);
        for (place, progress) in progress {
            applied += progress.applied;
            let Ok((low, high)) = self.consumer.fetch_watermarks(&place.0, place.1, BROKER_WAIT)
            else {
                // An unreachable broker is no stall of the consumer.
                self.behind = 0;
                self.moved_at = now;
                return;
            };
            // A partition of which nothing was read yet begins at its low watermark.
            behind += (high - progress.applied.max(low)).max(0);
        }
        if applied != self.applied || behind == 0 {
            self.moved_at = now;
        }
        self.applied = applied;
        self.behind = behind;
        self.shared.metrics.consumer_lag.set(behind);
    }

    /// Takes the partitions back without a word to the group, which will miss this consumer soon.
    fn abandon(mut self) -> BTreeMap<Place, Box<Partition>> {
        let owned = self.board.lock().keys().cloned().collect();
        self.kept.extend(self.consumer.context().take_back(owned));
        self.kept
    }

    /// Lets the workers finish, commits all that is durable, and leaves the group.
    fn end(self, workers: &[mpsc::Sender<Message>], threads: Vec<std::thread::JoinHandle<()>>) {
        for worker in workers {
            // One that ended before needs no telling.
            let _ended = worker.send(Message::Stop);
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a Kafka thread ended by a panic");
            }
        }
        if let Err(error) = commit(&self.consumer, &self.board, CommitMode::Sync, |_| true) {
            tracing::warn!(error = %error, "offsets were not committed; records come again");
        }
        self.consumer.unsubscribe();
    }
}
