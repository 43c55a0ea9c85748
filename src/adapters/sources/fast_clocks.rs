//! The senders whose clocks are so far ahead that their events count for nothing, for people to find.

use crate::model::time::EventTime;
use parking_lot::Mutex;
use std::sync::Arc;

/// How many senders are named. Chosen: as many as a person mends at a time.
const SENDERS_MAX: usize = 16;
/// How long a sender is named after its last such event. Unit: milliseconds. Chosen.
const NAMED_MS: i64 = 60_000;

#[derive(Clone, Debug)]
struct Sender {
    name: String,
    ahead_ms: i64,
    at: EventTime,
}

/// Senders with fast clocks, as of the last minute.
#[derive(Clone, Debug, Default)]
pub struct FastClocks(Arc<Mutex<Vec<Sender>>>);

impl FastClocks {
    /// Records that events of a sender were up to `ahead_ms` ahead; true if it was not named yet.
    pub fn record(&self, name: &str, ahead_ms: i64, now: EventTime) -> bool {
        let mut senders = self.0.lock();
        senders.retain(|one| one.name != name || now.ms_since(one.at) < NAMED_MS);
        if let Some(known) = senders.iter_mut().find(|one| one.name == name) {
            known.ahead_ms = known.ahead_ms.max(ahead_ms);
            known.at = now;
            return false;
        }
        if senders.len() >= SENDERS_MAX {
            senders.remove(0);
        }
        senders.push(Sender { name: name.to_owned(), ahead_ms, at: now });
        true
    }

    /// The sender whose clock is furthest ahead, and by how much. Unit: milliseconds.
    pub fn furthest(&self, now: EventTime) -> Option<(String, i64)> {
        let senders = self.0.lock();
        let current = senders.iter().filter(|one| now.ms_since(one.at) < NAMED_MS);
        current.max_by_key(|one| one.ahead_ms).map(|one| (one.name.clone(), one.ahead_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::{FastClocks, NAMED_MS, SENDERS_MAX};
    use crate::model::time::EventTime;

    #[test]
    fn the_sender_that_is_furthest_ahead_is_named_for_a_minute() {
        let (clocks, at) = (FastClocks::default(), EventTime::from_ms);
        assert_eq!(clocks.furthest(at(0)), None);
        assert!(clocks.record("gateway-1", 90_000, at(0)));
        assert!(clocks.record("gateway-2", 70_000, at(10)));
        assert!(!clocks.record("gateway-2", 80_000, at(20)));
        assert_eq!(clocks.furthest(at(30)), Some(("gateway-1".to_owned(), 90_000)));
        let later = at(NAMED_MS + 5);
        assert_eq!(clocks.furthest(later), Some(("gateway-2".to_owned(), 80_000)));
        assert_eq!(clocks.furthest(at(2 * NAMED_MS)), None);
        for n in 0..100 {
            clocks.record(&format!("sender-{n}"), 61_000, at(n));
        }
        assert!(clocks.0.lock().len() <= SENDERS_MAX);
    }
}
