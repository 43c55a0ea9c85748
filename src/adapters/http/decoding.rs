//! Where bodies with events are unpacked and decoded: on threads of their own, a few at a time, and at
//! most half of them for one sender.
//!
//! **Invariants**: no thread that answers unpacks or decodes; a sender of costly bodies delays only
//! itself; a sender of mostly refused records is asked to wait, before anything is unpacked.
//! Accepted records cost nothing of that budget.

use super::problem::Problem;
use crate::model::time::EventTime;
use axum::http::StatusCode;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one sender whose bodies are held in memory at once; others wait. Chosen: with the default
/// of 8 MiB for a body half a GiB.
const BODIES_MAX: usize = 64;
/// The cost of a refused record besides its bytes. Unit: bytes. Chosen: about the cost of decoding it.
pub(super) const RECORD_COST: u64 = 100;
/// The burst of the refusal budget. Unit: bytes. Chosen: some bodies of the largest size.
const WASTE_MAX: u64 = 128 << 20;
/// The rate of the refusal budget. Unit: bytes a millisecond. Chosen: 16 MB a second, tens of
/// thousands of refused records.
const WASTE_PER_MS: u64 = 16_000;
/// Senders that are remembered. Chosen: more than there are tokens.
const SENDERS_MAX: usize = 4_096;

/// Where bodies are decoded.
#[derive(Debug)]
pub struct Decoding {
    threads: Arc<Semaphore>,
    /// Threads that one sender may keep busy.
    of_sender: usize,
    senders: Mutex<BTreeMap<String, Arc<Sender>>>,
}

impl Default for Decoding {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = cores.max(2);
        Self {
            threads: Arc::new(Semaphore::new(threads)),
            of_sender: threads / 2,
            senders: Mutex::default(),
        }
    }
}

impl Decoding {
    /// The sender of that name.
    pub(super) fn sender(&self, name: &str) -> Arc<Sender> {
        let mut senders = self.senders.lock();
        if senders.len() >= SENDERS_MAX {
            // Tokens came and went. Those with a request under way keep what they hold.
            senders.clear();
        }
        let new = || {
            Arc::new(Sender {
                bodies: Arc::new(Semaphore::new(BODIES_MAX)),
                threads: Arc::new(Semaphore::new(self.of_sender)),
                waste: Mutex::default(),
            })
        };
        Arc::clone(senders.entry(name.to_owned()).or_insert_with(new))
    }

    /// Runs work for a sender on a thread that may be busy for long, once one is free.
    ///
    /// # Errors
    /// When the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        sender: &Sender,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        // First the sender's own: others must not wait for the requests of one.
        let own = Arc::clone(&sender.threads).acquire_owned().await;
        let free = Arc::clone(&self.threads).acquire_owned().await;
        let ran = tokio::task::spawn_blocking(move || {
            // Held to the end, even where no one waits for the answer any more.
            let _held = (own, free);
            work()
        });
        ran.await.map_err(|_| {
            let detail = "nothing was taken; see the log";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a fault of tripline", detail)
        })
    }
}

/// A sender of events: the holder of a token, or this machine.
#[derive(Debug)]
pub(super) struct Sender {
    bodies: Arc<Semaphore>,
    threads: Arc<Semaphore>,
    waste: Mutex<RefusalBudget>,
}

impl Sender {
    /// Waits until one more body of this sender may be held in memory.
    pub(super) async fn body(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.bodies).acquire_owned().await.ok()
    }

    /// Whether this sender may send, after what it wasted.
    pub(super) fn may_send(&self, now: EventTime) -> bool {
        self.waste.lock().has_room(now)
    }

    /// Notes what had to be refused. Unit: bytes.
    pub(super) fn wasted(&self, bytes: u64, now: EventTime) {
        self.waste.lock().add(bytes, now);
    }
}

/// A sender's refused bytes: a leaky bucket.
#[derive(Debug, Default)]
struct RefusalBudget {
    bytes: u64,
    at: Option<EventTime>,
}

impl RefusalBudget {
    fn leak(&mut self, now: EventTime) {
        let since_ms = self.at.map_or(0, |at| now.ms_since(at).max(0));
        self.at = Some(now);
        let leaked = u64::try_from(since_ms).unwrap_or(0).saturating_mul(WASTE_PER_MS);
        self.bytes = self.bytes.saturating_sub(leaked);
    }

    fn has_room(&mut self, now: EventTime) -> bool {
        self.leak(now);
        self.bytes < WASTE_MAX
    }

    fn add(&mut self, bytes: u64, now: EventTime) {
        self.leak(now);
        // One request makes a sender wait for seconds, never for hours.
        self.bytes = self.bytes.saturating_add(bytes).min(4 * WASTE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::{RefusalBudget, WASTE_MAX, WASTE_PER_MS};
    use crate::model::time::EventTime;

    #[test]
    fn who_wastes_too_much_waits_and_may_send_again() {
        let at = EventTime::from_ms;
        let mut waste = RefusalBudget::default();
        assert!(waste.has_room(at(0)));
        waste.add(WASTE_MAX - 1, at(0));
        assert!(waste.has_room(at(0)), "some waste is no fault");
        waste.add(u64::MAX, at(0));
        assert!(!waste.has_room(at(1_000)));
        assert!(!waste.has_room(at(0)), "a clock that steps back changes nothing");
        let waits_ms = i64::try_from(4 * WASTE_MAX / WASTE_PER_MS).expect("seconds");
        assert!(waste.has_room(at(waits_ms)), "it waits for seconds, not for hours");
    }
}
