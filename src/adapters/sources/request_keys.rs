//! The idempotency keys of the newest requests: one that is sent again is taken once.

use crate::adapters::event_log::log::KEYS_MAX;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// The keys of the newest requests, and whether these are durable by now.
#[derive(Debug, Default)]
pub(super) struct RequestKeys {
    durable: HashMap<u64, Option<bool>>,
    oldest_first: VecDeque<u64>,
}

impl RequestKeys {
    /// Remembers a key; whether its request is durable may not be known yet.
    pub(super) fn add(&mut self, key: u64, durable: Option<bool>) {
        if self.durable.insert(key, durable).is_none() {
            self.oldest_first.push_back(key);
        }
        if self.oldest_first.len() > KEYS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.durable.remove(&oldest);
        }
    }

    /// Whether a request of that key was taken.
    pub(super) fn has(&self, key: u64) -> bool {
        self.durable.contains_key(&key)
    }

    /// It is known by now whether the request of that key is durable.
    pub(super) fn record(&mut self, key: u64, durable: bool) {
        if let Some(known) = self.durable.get_mut(&key) {
            *known = Some(durable);
        }
    }

    /// Forgets a key, so that its request may be sent again.
    pub(super) fn forget(&mut self, key: u64) {
        if self.durable.remove(&key).is_some() {
            self.oldest_first.retain(|known| *known != key);
        }
    }

    /// Whether the request of that key is durable, once it is known. One that was forgotten is as
    /// good as not.
    pub(super) fn get(&self, key: u64) -> Option<bool> {
        self.durable.get(&key).map_or(Some(false), |durable| *durable)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEYS_MAX, RequestKeys};

    #[test]
    fn the_newest_keys_are_known_and_a_forgotten_one_may_come_again() {
        let mut keys = RequestKeys::default();
        (0..=KEYS_MAX as u64).for_each(|key| keys.add(key, None));
        assert!(!keys.has(0) && keys.has(1), "the oldest leaves");
        assert_eq!((keys.get(0), keys.get(1)), (Some(false), None));
        keys.record(1, true);
        assert_eq!(keys.get(1), Some(true));
        keys.forget(1);
        assert!(!keys.has(1));
        keys.add(1, None);
        keys.add(KEYS_MAX as u64 + 1, None);
        assert!(!keys.has(2) && keys.has(1), "its place is the newest now");
    }
}
