//! The way in for all sources but Kafka: to the data plane at once, and to the event log.
//!
//! A request that names itself by an idempotency key is taken once, however often it is sent: also
//! when tripline was killed before it could answer. The newest keys are remembered, and those of
//! the event log.

use super::request_keys::RequestKeys;
use crate::adapters::channels::{DataPlane, NotTaken};
use crate::adapters::event_log::appender::{ANSWER_WAIT, Appended, Appender};
use crate::adapters::event_log::log::{Ends, Replayed};
use crate::data_plane::batch::Batch;
use crate::formats::storage::event_log::Draft;
use crate::model::time::EventTime;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

pub use crate::formats::api::status::DEFAULT_SOURCE;

/// How often it is looked whether a request that was sent before is durable by now.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A request with events, by slot, and its record for the event log.
#[derive(Debug)]
pub struct Request {
    arrived: EventTime,
    key: Option<u64>,
    batches: Vec<(usize, Batch)>,
    draft: Draft,
}

impl Request {
    /// A request's events with their arrival; `key` is the hash of its idempotency key.
    /// Cost: writes all of it for the event log, so not for a thread that answers.
    pub fn new(arrived: EventTime, key: Option<u64>, batches: Vec<(usize, Batch)>) -> Self {
        let draft = Draft::new((arrived, key), &batches);
        Self { arrived, key, batches, draft }
    }
}

/// The way in.
#[derive(Debug)]
pub struct Source {
    data: DataPlane,
    log: Appender,
    /// Held while a request's events are handed over, so that they reach the thread of a slot in the
    /// order of their offsets.
    order: Arc<Mutex<Order>>,
}

#[derive(Debug)]
struct Order {
    next: Ends,
    keys: RequestKeys,
}

/// A request was taken, now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it is durable, as the configuration wants it; it is watched in any case.
    pub durable: bool,
    /// Whether one of the same key was taken before, and nothing of this one.
    pub before: bool,
}

/// The outcome of a request.
#[derive(Debug)]
enum Handover {
    /// It is on its way to the log.
    Over(Appended),
    /// One of that key was taken before.
    Before(u64),
}

impl Source {
    /// A way in that goes on after what was read from the event log.
    pub fn new(data: DataPlane, log: Appender, replayed: Replayed) -> Self {
        let mut keys = RequestKeys::default();
        replayed.keys.into_iter().rev().for_each(|key| keys.add(key, Some(true)));
        Self { data, log, order: Arc::new(Mutex::new(Order { next: replayed.next, keys })) }
    }

    /// Takes a request: all of it or nothing, and nothing where one of the same key was taken.
    ///
    /// # Errors
    /// When a queue is full or tripline is stopping.
    pub async fn take(&self, request: Request) -> Result<Taken, NotTaken> {
        let Request { arrived, key, batches, draft } = request;
        if batches.is_empty() {
            return Ok(Taken { durable: true, before: false });
        }
        let durable = match (self.hand_over(batches, draft, (arrived, key))?, key) {
            (Handover::Over(appended), None) => appended.is_durable().await,
            (Handover::Over(appended), Some(key)) => {
                // Also for a sender who has gone away, and will ask again.
                let order = Arc::clone(&self.order);
                let noted = tokio::spawn(async move {
                    let durable = appended.is_durable().await;
                    order.lock().keys.record(key, durable);
                    durable
                });
                noted.await.unwrap_or(false)
            }
            (Handover::Before(key), _) => {
                return Ok(Taken { durable: self.was_durable(key).await, before: true });
            }
        };
        Ok(Taken { durable, before: false })
    }

    /// Waits until it is known whether the request of that key is durable.
    async fn was_durable(&self, key: u64) -> bool {
        let known = async {
            loop {
                if let Some(durable) = self.order.lock().keys.get(key) {
                    return durable;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(ANSWER_WAIT, known).await.unwrap_or(false)
    }

    /// Hands a request over, unless one of its key was.
    fn hand_over(
        &self,
        mut batches: Vec<(usize, Batch)>,
        draft: Draft,
        (arrived, key): (EventTime, Option<u64>),
    ) -> Result<Handover, NotTaken> {
        let mut order = self.order.lock();
        let Order { next, keys } = &mut *order;
        if let Some(key) = key.filter(|key| keys.has(*key)) {
            return Ok(Handover::Before(key));
        }
        let (mut firsts, mut ends) = (Vec::new(), Vec::new());
        for (slot, batch) in &mut batches {
            let first = next.get(*slot).copied().unwrap_or(0);
            let end = batch.number_from(first);
            firsts.push(first);
            ends.push((*slot, end));
        }
        self.data.send(batches, arrived)?;
        for (slot, end) in &ends {
            if let Some(next) = next.get_mut(*slot) {
                *next = *end;
            }
        }
        if let Some(key) = key {
            keys.add(key, None);
        }
        Ok(Handover::Over(self.log.append(draft.at(firsts), ends)))
    }
}
