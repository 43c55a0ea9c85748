//! What the manager and the workers share: the ways between them, and the ear that hears of
//! rebalances.

use super::Place;
use crate::engine::partition::Partition;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long a worker may take to hand a partition back.
const GIVE_WAIT: Duration = Duration::from_secs(5);

/// How far each partition was applied, and how far it may be committed: the next offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) applied: i64,
    pub(super) durable: i64,
}

/// The progress of all partitions, as the manager reads it.
pub(super) type Board = Arc<Mutex<BTreeMap<Place, Progress>>>;

/// What a worker is told by the manager.
pub(super) enum Message {
    /// This partition is yours; its state, if some was kept.
    Take(Place, PartitionQueue<Context>, Option<Box<Partition>>),
    /// This partition is no longer yours; hand back its state.
    Give(Place, mpsc::SyncSender<Option<Box<Partition>>>),
    /// Hand back everything and end.
    Stop,
}

/// What a rebalance did.
pub(super) enum Change {
    /// These are this member's from now on.
    Assigned(Vec<Place>),
    /// Given back to the group; their state is kept in case they come again.
    Revoked(Vec<(Place, Box<Partition>)>),
}

/// Hears of rebalances, within the consumer's poll.
pub(super) struct Context {
    pub(super) changes: Mutex<VecDeque<Change>>,
    pub(super) workers: Vec<mpsc::Sender<Message>>,
    pub(super) board: Board,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context(..)")
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(error = %error, reason, "Kafka");
    }
}

impl Context {
    /// The way to the worker of a partition.
    pub(super) fn worker(&self, place: &Place) -> Option<&mpsc::Sender<Message>> {
        let number = usize::try_from(place.1).unwrap_or(0) % self.workers.len().max(1);
        self.workers.get(number)
    }

    /// Takes partitions back from their owners, once these have finished the batch at hand.
    pub(super) fn take_back(&self, places: Vec<Place>) -> Vec<(Place, Box<Partition>)> {
        let mut kept = Vec::new();
        for place in places {
            let (reply, answer) = mpsc::sync_channel(1);
            let told = self.worker(&place).map(|w| w.send(Message::Give(place.clone(), reply)));
            if matches!(told, Some(Ok(())))
                && let Ok(Some(partition)) = answer.recv_timeout(GIVE_WAIT)
            {
                kept.push((place, partition));
            }
        }
        kept
    }
}

fn places(list: &TopicPartitionList) -> Vec<Place> {
    list.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect()
}

pub(super) fn list(places: impl IntoIterator<Item = Place>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in places {
        list.add_partition(&topic, partition);
    }
    list
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance {
            let revoked = places(revoked);
            let kept = self.take_back(revoked.clone());
            let only = |place: &Place| revoked.contains(place);
            if let Err(error) = commit(consumer, &self.board, CommitMode::Sync, only) {
                tracing::warn!(error = %error, "offsets were not committed; records come again");
            }
            self.board.lock().retain(|place, _| !revoked.contains(place));
            self.changes.lock().push_back(Change::Revoked(kept));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(assigned) = rebalance {
            if let Err(error) = consumer.pause(assigned) {
                tracing::warn!(error = %error, "an assignment can't be paused");
            }
            self.changes.lock().push_back(Change::Assigned(places(assigned)));
        }
    }
}

/// Commits how far partitions are durable, of those that `wanted` picks.
pub(super) fn commit(
    consumer: &BaseConsumer<Context>,
    board: &Board,
    mode: CommitMode,
    wanted: impl Fn(&Place) -> bool,
) -> KafkaResult<()> {
    let mut offsets = TopicPartitionList::new();
    for (place, progress) in board.lock().iter() {
        if progress.durable > 0 && wanted(place) {
            offsets.add_partition_offset(&place.0, place.1, Offset::Offset(progress.durable))?;
        }
    }
    if offsets.count() == 0 { Ok(()) } else { consumer.commit(&offsets, mode) }
}
