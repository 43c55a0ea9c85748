//! Markers of credentials, known besides their events: canaries, leaks, and those out of service.
//!
//! Bounded: of those out of service the oldest make room for newer ones; canaries and leaks are as many as the
//! watchlist holds, which has its own bounds.
//!
//! **Does not** outlast a restart: the host says it again.

use crate::model::proof::{Leak, Mark};
use crate::model::time::EventTime;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// So many credentials out of service are known by one partition. Chosen: about a megabyte.
const OUT_OF_SERVICE_MAX: usize = 16_384;

/// The marker of one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// Whether no one has a reason to use it.
    pub is_canary: bool,
    /// The leak of its secret.
    pub leak: Option<Arc<Leak>>,
    /// When it was taken out of service.
    pub ended: Option<EventTime>,
    /// The time from which its canary or leak is known.
    pub since: EventTime,
}

impl Marker {
    fn is_empty(&self) -> bool {
        !self.is_canary && self.leak.is_none() && self.ended.is_none()
    }
}

/// The markers by the hash of the credential.
#[derive(Clone, Debug, Default)]
pub struct MarkerTable {
    markers: HashMap<u64, Marker>,
    /// Those out of service since when, in the order in which they came.
    out_of_service: VecDeque<(u64, EventTime)>,
}

impl MarkerTable {
    /// The marker of a credential. Cost: one comparison where there is none at all.
    pub fn get(&self, hash: u64) -> Option<&Marker> {
        if self.markers.is_empty() { None } else { self.markers.get(&hash) }
    }

    /// Takes a mark that is known since then.
    pub fn set(&mut self, hash: u64, mark: Mark, since: EventTime) {
        let marker = self.markers.entry(hash).or_default();
        match mark {
            Mark::Canary => (marker.is_canary, marker.since) = (true, since),
            Mark::NoCanary => marker.is_canary = false,
            Mark::Leaked(leak) => {
                // A report that proves nothing takes the place of none that does.
                let is_proven = marker.leak.as_ref().is_some_and(|it| it.is_proof);
                if leak.is_proof || !is_proven {
                    (marker.leak, marker.since) = (Some(Arc::new(leak)), since);
                }
            }
            Mark::NoLeak => marker.leak = None,
            Mark::OutOfService(at) => {
                marker.ended = Some(at);
                self.out_of_service.push_back((hash, at));
            }
            Mark::InService { by_person } => {
                marker.ended = None;
                if by_person {
                    marker.leak = None;
                }
            }
        }
        if marker.is_empty() {
            self.markers.remove(&hash);
        }
        self.bound();
    }

    fn bound(&mut self) {
        while self.out_of_service.len() > OUT_OF_SERVICE_MAX
            && let Some((hash, at)) = self.out_of_service.pop_front()
        {
            // One that was restored meanwhile, and taken out again, is further back as well.
            let marker = self.markers.get_mut(&hash).filter(|marker| marker.ended == Some(at));
            if let Some(marker) = marker {
                marker.ended = None;
                if marker.is_empty() {
                    self.markers.remove(&hash);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EventTime, Leak, Mark, MarkerTable, OUT_OF_SERVICE_MAX};

    fn leak(is_proof: bool) -> Mark {
        Mark::Leaked(Leak { place: "https://example.com".into(), is_proof })
    }

    #[test]
    fn a_restore_by_a_person_takes_back_a_leak_and_an_end_that_runs_out_does_not() {
        let mut markers = MarkerTable::default();
        markers.set(7, leak(true), EventTime::from_s(1));
        markers.set(7, Mark::OutOfService(EventTime::from_s(9)), EventTime::from_s(1));
        markers.set(7, Mark::InService { by_person: false }, EventTime::from_s(1));
        assert!(markers.get(7).is_some_and(|it| it.leak.is_some() && it.ended.is_none()));
        markers.set(7, Mark::InService { by_person: true }, EventTime::from_s(1));
        assert_eq!(markers.get(7), None);
    }

    #[test]
    fn a_report_that_proves_nothing_weakens_none_that_does() {
        let mut markers = MarkerTable::default();
        markers.set(7, leak(true), EventTime::from_s(1));
        markers.set(7, leak(false), EventTime::from_s(1));
        assert!(markers.get(7).and_then(|it| it.leak.as_ref()).is_some_and(|it| it.is_proof));
    }

    #[test]
    fn those_out_of_service_are_bounded_and_canaries_stay() {
        let mut markers = MarkerTable::default();
        markers.set(0, Mark::Canary, EventTime::from_s(1));
        for hash in 0..=OUT_OF_SERVICE_MAX as u64 {
            markers.set(hash, Mark::OutOfService(EventTime::from_s(9)), EventTime::from_s(1));
        }
        assert!(markers.get(0).is_some_and(|it| it.is_canary && it.ended.is_none()));
        assert_eq!(markers.markers.len(), OUT_OF_SERVICE_MAX + 1);
        for second in 0..10 {
            markers.set(1, Mark::InService { by_person: true }, EventTime::from_s(1));
            markers.set(
                1,
                Mark::OutOfService(EventTime::from_s(20 + second)),
                EventTime::from_s(1),
            );
        }
        for hash in 0..OUT_OF_SERVICE_MAX as u64 - 20 {
            markers.set(
                1 << 40 | hash,
                Mark::OutOfService(EventTime::from_s(40)),
                EventTime::from_s(1),
            );
        }
        let newest = markers.get(1).and_then(|it| it.ended);
        assert_eq!(newest, Some(EventTime::from_s(29)), "stale places of the queue end nothing");
        assert!(markers.out_of_service.len() <= OUT_OF_SERVICE_MAX);
    }
}
