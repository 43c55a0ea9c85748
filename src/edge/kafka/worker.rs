//! A worker: owns partitions and their queues, and nothing else does.

use super::group::{Board, Context, Message, Progress};
use super::{Params, Place, Shared};
use crate::edge::clock;
use crate::edge::dead_letter::{self, letter};
use crate::edge::planes::{ControlMessage, DataMessage, Hours, InUse, SLOTS, Ticket};
use crate::engine::batch::Batch;
use crate::engine::partition::{Clock, Partition, Signal, View};
use crate::model::time::EventTime;
use crate::wire::refusal::{Limits, Refusal};
use rdkafka::Message as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// Records taken from a queue at once.
const TOGETHER_MAX: usize = 512;
/// How long an idle worker waits at one of its queues.
const WAIT: Duration = Duration::from_millis(2);
/// How far in the future an event may be. Unit: milliseconds.
const FUTURE_MS_MAX: i64 = 3_600_000;

struct Owned {
    place: Place,
    queue: PartitionQueue<Context>,
    partition: Box<Partition>,
    /// Signals on their way to the journal, and the offset before the record that caused them.
    under_way: VecDeque<(Ticket, i64)>,
}

pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) params: Params,
    pub(super) shared: Shared,
    pub(super) board: Board,
    pub(super) dead_letter_producer: Option<Arc<ThreadedProducer<DefaultProducerContext>>>,
    pub(super) ticket: Ticket,
    pub(super) hours: Hours,
}

impl Worker {
    /// Runs until it is told to stop. Blocks.
    pub(super) fn run(
        mut self,
        orders: &mpsc::Receiver<Message>,
        questions: &mut tokio::sync::mpsc::Receiver<DataMessage>,
    ) {
        let mut owned: Vec<Owned> = Vec::new();
        let mut batch = Batch::default();
        let mut turn = 0_usize;
        loop {
            while let Ok(question) = questions.try_recv() {
                self.answer(&mut owned, question);
            }
            match orders.try_recv() {
                Ok(Message::Take(place, queue, kept)) => {
                    let new = || {
                        let params = Arc::clone(&self.shared.partition);
                        Box::new(Partition::new(params, self.shared.seed))
                    };
                    let partition = kept.unwrap_or_else(new);
                    owned.push(Owned { place, queue, partition, under_way: VecDeque::new() });
                }
                Ok(Message::Give(place, reply)) => {
                    let at = owned.iter().position(|one| one.place == place);
                    let given = at.map(|at| owned.swap_remove(at).partition);
                    // The manager waits for at most a few seconds.
                    let _gone = reply.send(given);
                }
                Ok(Message::Stop) | Err(mpsc::TryRecvError::Disconnected) => break,
                Err(mpsc::TryRecvError::Empty) => {}
            }
            let mut idle = true;
            for one in &mut owned {
                if self.poll(one, Duration::ZERO, &mut batch) > 0 {
                    idle = false;
                }
                self.publish(one);
            }
            if idle {
                turn = turn.wrapping_add(1);
                let count = owned.len().max(1);
                match owned.get_mut(turn % count) {
                    Some(one) => {
                        self.poll(one, WAIT, &mut batch);
                        self.publish(one);
                    }
                    None => std::thread::sleep(WAIT),
                }
            }
        }
        self.drain(&mut owned);
        self.tell_hours();
    }

    fn tell_hours(&mut self) {
        if let Some(told) = self.hours.take() {
            // The control plane ends after this thread.
            let _ended = self.shared.control.tell_blocking(told);
        }
    }

    /// Waits until what was handed over is durable, so that all of it may be committed.
    fn drain(&self, owned: &mut [Owned]) {
        for _ in 0..1000 {
            for one in &mut *owned {
                self.publish(one);
            }
            if owned.iter().all(|one| one.under_way.is_empty()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        tracing::warn!("some signals did not become durable; their records will be read again");
    }

    /// Takes what waits in the queue, at most a batch; gives how many records.
    fn poll(&mut self, one: &mut Owned, wait: Duration, batch: &mut Batch) -> usize {
        batch.clear();
        let arrived = clock::now();
        let limits = Limits { time_max: arrived.plus_ms(FUTURE_MS_MAX), ..Limits::default() };
        let (mut records, mut first, mut last) = (0, None, -1);
        let mut secrets = 0;
        let mut wait = wait;
        while records < TOGETHER_MAX {
            let message = match one.queue.poll(wait) {
                None => break,
                Some(Err(error)) => {
                    self.shared.metrics.consumer_errors.inc();
                    tracing::debug!(error = %error, "the Kafka client reports");
                    break;
                }
                Some(Ok(message)) => message,
            };
            wait = Duration::ZERO;
            records += 1;
            let offset = message.offset();
            first.get_or_insert(offset);
            last = offset;
            let record = message.payload().unwrap_or_default();
            let decoder = &self.params.decoder;
            let mut refusals = Vec::new();
            decoder.decode(
                record,
                &limits,
                &self.shared.fingerprints,
                &mut |answer| match answer {
                    Ok(event) => {
                        secrets += u64::from(event.held_secret);
                        batch.push(&event, offset, self.shared.seed);
                    }
                    Err(refusal) => refusals.push(refusal),
                },
            );
            for refusal in refusals {
                self.refuse(&one.place, offset, refusal, arrived);
            }
        }
        if records > 0 {
            self.shared.metrics.secrets_replaced.inc_by(secrets);
            self.apply(one, batch, (first.unwrap_or(last), last), arrived);
        }
        records
    }

    fn apply(&mut self, one: &mut Owned, batch: &Batch, (first, last): (i64, i64), at: EventTime) {
        one.partition.apply(batch, Clock::Intake(clock::now()));
        one.partition.skip_to(last + 1);
        if let Some(newest) = batch.newest() {
            let lag_s = clock::now().ms_since(newest).max(0) as f64 / 1000.0;
            self.shared.metrics.event_lag.observe(lag_s);
        }
        let tally = one.partition.take_tally();
        self.shared.metrics.add("kafka", &tally);
        self.hours.add(&tally.active_hours);
        let signals: Vec<Signal> = one.partition.drain_signals().collect();
        self.send(one, signals, first, at);
    }

    fn send(&mut self, one: &mut Owned, signals: Vec<Signal>, before: i64, arrived: EventTime) {
        if signals.is_empty() {
            return;
        }
        self.ticket = self.ticket.next();
        one.under_way.push_back((self.ticket.clone(), before));
        let message = ControlMessage::Signals(signals, arrived, Some(self.ticket.clone()));
        // The control plane ends after this thread.
        let _ended = self.shared.control.tell_blocking(message);
    }

    /// Tells the manager how far the partition has come.
    fn publish(&self, one: &mut Owned) {
        while one.under_way.front().is_some_and(|(ticket, _)| ticket.is_settled()) {
            one.under_way.pop_front();
        }
        let applied = one.partition.next_offset();
        let durable = one.under_way.front().map_or(applied, |(_, before)| *before);
        self.board.lock().insert(one.place.clone(), Progress { applied, durable });
    }

    fn refuse(&self, place: &Place, offset: i64, refusal: Refusal, at: EventTime) {
        let metrics = &self.shared.metrics;
        metrics.refused.with_label_values(&[refusal.as_str()]).inc();
        let place = dead_letter::Place::Record { topic: &place.0, partition: place.1, offset };
        let text = letter(place, refusal, at);
        let written = match (&self.dead_letter_producer, &self.params.dead_letter_topic) {
            (Some(producer), Some(topic)) => {
                producer.send(BaseRecord::<(), str>::to(topic).payload(&text)).is_ok()
            }
            _ => self.shared.dead_letters.write(&text),
        };
        if !written {
            metrics.dead_letter_errors.inc();
        }
    }

    fn answer(&mut self, owned: &mut [Owned], question: DataMessage) {
        match question {
            DataMessage::LookUp(credential, reply) => {
                let (kind, id) = (credential.kind(), credential.id());
                let found = owned.iter().filter_map(|one| one.partition.look_up(kind, id));
                // Whoever asked may have gone away.
                let _gone = reply.send(found.max_by_key(|view| view.last_seen));
            }
            DataMessage::Busiest(most, reply) => {
                let of = |one: &mut Owned| one.partition.busiest(most);
                let views: Vec<View> = owned.iter_mut().flat_map(of).collect();
                let _gone = reply.send(views);
            }
            DataMessage::Params(params) => {
                for one in owned {
                    one.partition.set_params(Arc::clone(&params));
                }
                self.shared.partition = params;
            }
            DataMessage::Tick(now) => self.tick(owned, now),
            DataMessage::Batch(..) | DataMessage::Again(..) | DataMessage::Stop => {}
        }
    }

    /// Event time goes on by the clock only where all that was produced has been applied: a
    /// partition that is behind must not see its own records as late.
    fn tick(&mut self, owned: &mut [Owned], now: EventTime) {
        let (mut credentials, mut open) = (0, 0);
        for one in owned {
            if one.queue_is_idle(now) {
                one.partition.tick(now);
            }
            credentials += one.partition.credentials() as u64;
            open += one.partition.open_episodes() as u64;
            let signals: Vec<Signal> = one.partition.drain_signals().collect();
            let before = one.partition.next_offset();
            self.send(one, signals, before, now);
        }
        self.tell_hours();
        self.shared.metrics.beat("kafka", now.ms() as f64 / 1000.0);
        let thread = SLOTS + self.number;
        let told = ControlMessage::InUse(InUse { thread, credentials, open });
        let _ended = self.shared.control.tell_blocking(told);
    }
}

impl Owned {
    /// Whether its newest event is of the present, give or take a minute.
    fn queue_is_idle(&self, now: EventTime) -> bool {
        now.ms_since(self.partition.watermark()) < 120_000
    }
}

/// A producer of dead letters.
pub(super) fn dead_letter_producer(
    params: &Params,
) -> Option<Arc<ThreadedProducer<DefaultProducerContext>>> {
    params.dead_letter_topic.as_ref()?;
    match params.client().create() {
        Ok(producer) => Some(Arc::new(producer)),
        Err(error) => {
            tracing::error!(error = %error, "dead letters go to the file: no producer");
            None
        }
    }
}
