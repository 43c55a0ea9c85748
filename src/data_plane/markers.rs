//! Markers of credentials, known besides their events: canaries, leaks, and those out of service.
//!
//! Bounded: of those out of service, and of leaks, the oldest make room for newer ones; canaries are as many as
//! people add.
//!
//! **Does not** outlast a restart: the host says it again.

use crate::model::proof::{Leak, Mark};
use crate::model::time::EventTime;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// So many credentials out of service are known by one partition. Chosen: about a megabyte.
const OUT_OF_SERVICE_MAX: usize = 16_384;
/// So many leaked credentials are known. Chosen: as many as the watchlist holds.
const LEAKS_MAX: usize = 50_000;

/// The marker of one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// Whether no one has a reason to use it.
    pub is_canary: bool,
    /// The leak of its secret.
    pub leak: Option<Box<Leak>>,
    /// When it was taken out of service.
    pub ended: Option<EventTime>,
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
    /// Those out of service, in the order in which they came.
    out_of_service: VecDeque<u64>,
    /// Those that leaked, in the order in which they came.
    leaked: VecDeque<u64>,
}

impl MarkerTable {
    /// The marker of a credential. Cost: one comparison where there is none at all.
    pub fn get(&self, hash: u64) -> Option<&Marker> {
        if self.markers.is_empty() { None } else { self.markers.get(&hash) }
    }

    /// Takes a mark.
    pub fn set(&mut self, hash: u64, mark: Mark) {
        let marker = self.markers.entry(hash).or_default();
        match mark {
            Mark::Canary => marker.is_canary = true,
            Mark::NoCanary => marker.is_canary = false,
            Mark::Leaked(leak) => {
                // A proof isn't weakened by a later report.
                let is_proof = leak.is_proof || marker.leak.as_ref().is_some_and(|it| it.is_proof);
                if marker.leak.replace(Box::new(Leak { is_proof, ..leak })).is_none() {
                    self.leaked.push_back(hash);
                }
            }
            Mark::OutOfService(at) => {
                if marker.ended.replace(at).is_none() {
                    self.out_of_service.push_back(hash);
                }
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
            && let Some(first) = self.out_of_service.pop_front()
        {
            self.forget(first, |marker| marker.ended = None);
        }
        while self.leaked.len() > LEAKS_MAX
            && let Some(first) = self.leaked.pop_front()
        {
            self.forget(first, |marker| marker.leak = None);
        }
    }

    fn forget(&mut self, hash: u64, part: impl FnOnce(&mut Marker)) {
        if let Some(marker) = self.markers.get_mut(&hash) {
            part(marker);
            if marker.is_empty() {
                self.markers.remove(&hash);
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
        markers.set(7, leak(true));
        markers.set(7, Mark::OutOfService(EventTime::from_s(9)));
        markers.set(7, Mark::InService { by_person: false });
        assert!(markers.get(7).is_some_and(|it| it.leak.is_some() && it.ended.is_none()));
        markers.set(7, Mark::InService { by_person: true });
        assert_eq!(markers.get(7), None);
    }

    #[test]
    fn a_report_that_proves_nothing_weakens_none_that_does() {
        let mut markers = MarkerTable::default();
        markers.set(7, leak(true));
        markers.set(7, leak(false));
        assert!(markers.get(7).and_then(|it| it.leak.as_ref()).is_some_and(|it| it.is_proof));
    }

    #[test]
    fn those_out_of_service_are_bounded_and_canaries_stay() {
        let mut markers = MarkerTable::default();
        markers.set(0, Mark::Canary);
        for hash in 0..=OUT_OF_SERVICE_MAX as u64 {
            markers.set(hash, Mark::OutOfService(EventTime::from_s(9)));
        }
        assert!(markers.get(0).is_some_and(|it| it.is_canary && it.ended.is_none()));
        assert_eq!(markers.markers.len(), OUT_OF_SERVICE_MAX + 1);
        for _ in 0..3 * OUT_OF_SERVICE_MAX {
            markers.set(1, Mark::OutOfService(EventTime::from_s(9)));
            markers.set(1, Mark::InService { by_person: true });
        }
        assert!(markers.out_of_service.len() <= OUT_OF_SERVICE_MAX);
    }
}
