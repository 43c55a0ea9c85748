//! The task of one receiver of notifications. The control plane never waits for it: what finds its
//! queue full is dropped and counted.

use crate::adapters::clock;
use crate::adapters::notify::metrics::{NotifyMetrics, ReceiverMetrics};
use crate::adapters::notify::receiver::Receiver;
use crate::control_plane::notifications::notice::News;
use crate::control_plane::notifications::queue::{NotificationQueue, Outcome};
use prometheus::IntCounter;
use std::time::Duration;
use tokio::sync::mpsc;

/// News that may wait for a receiver. Chosen: a minute of a bad hour.
const QUEUE_MAX: usize = 4096;
/// How often time passes for a queue.
const TICK: Duration = Duration::from_millis(200);

/// The ways to the receivers.
#[derive(Clone, Debug, Default)]
pub(super) struct Notifiers(Vec<(mpsc::Sender<News>, IntCounter)>);

impl Notifiers {
    /// Starts a task for each receiver. They end when these ways are gone.
    pub(super) fn start(
        receivers: Vec<Receiver>,
        metrics: &NotifyMetrics,
    ) -> (Self, Vec<tokio::task::JoinHandle<()>>) {
        let started = receivers.into_iter().map(|receiver| {
            let metrics = metrics.receiver(receiver.name());
            let dropped = metrics.dropped.clone();
            let (news, heard) = mpsc::channel(QUEUE_MAX);
            ((news, dropped), tokio::spawn(run(receiver, heard, metrics)))
        });
        let (ways, tasks) = started.unzip();
        (Self(ways), tasks)
    }

    /// Whether anyone is notified.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reports all of them, without waiting.
    pub(super) fn notify(&self, news: &News) {
        for (receiver, dropped) in &self.0 {
            if receiver.try_send(news.clone()).is_err() {
                dropped.inc();
            }
        }
    }
}

async fn run(receiver: Receiver, mut news: mpsc::Receiver<News>, metrics: ReceiverMetrics) {
    let mut queue = NotificationQueue::new(receiver.wants(), receiver.style());
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            heard = news.recv() => match heard {
                Some(news) => queue.on_event(news, clock::now()),
                // Queued messages are lost at the end: findings go on, and are reported again.
                None => return,
            },
            _ = tick.tick() => queue.tick(clock::now()),
        }
        let mut lasts = true;
        while let Some(message) = queue.next(clock::now()) {
            lasts = false;
            let outcome = receiver.deliver(&message).await;
            match outcome {
                Outcome::Delivered => metrics.delivered.inc(),
                Outcome::Refused => metrics.refused.inc(),
                Outcome::Later(_) => metrics.again.inc(),
            }
            queue.done(&message.id, outcome, clock::now());
            while let Ok(news) = news.try_recv() {
                queue.on_event(news, clock::now());
            }
        }
        if lasts {
            let lasting = queue.again(clock::now());
            if !lasting.is_empty() {
                // It is said again in a minute, however this goes.
                let _outcome = receiver.say_again(&lasting).await;
            }
        }
        let counters = queue.take_counters();
        metrics.limited.inc_by(counters.limited);
        metrics.dropped.inc_by(counters.dropped);
        metrics.expired.inc_by(counters.expired);
    }
}
