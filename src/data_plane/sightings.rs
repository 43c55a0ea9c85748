//! From which network credentials were used lately: who else was seen where a canary was presented.
//!
//! A ring of the newest sightings, one by credential and network in about ten minutes; bounded by the
//! memory of the profile table.

/// There is room for one in so many bytes of the profile table; that is 1.6 % more memory at most, which does
/// not count among those bytes.
const BYTES_EACH: usize = 1024;
/// So many always fit.
const LEAST: usize = 64;

/// A credential that was seen from a network. Shape: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The hash of the credential.
    pub hash: u64,
    /// The hash of the /24 or /48.
    pub network: u32,
    /// The second (since 1970).
    pub second: u32,
}

/// The newest sightings.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    ring: Vec<Sighting>,
    next: usize,
    most: usize,
}

impl Sightings {
    /// For a profile table of that size.
    pub fn sized_for(bytes: usize) -> Self {
        Self { most: (bytes / BYTES_EACH).max(LEAST), ..Self::default() }
    }

    /// The same, where a profile table of that size is now: the newest stay.
    #[must_use]
    pub fn within(mut self, bytes: usize) -> Self {
        self.most = Self::sized_for(bytes).most;
        if self.ring.len() > self.next {
            // From the oldest on.
            self.ring.rotate_left(self.next);
        }
        self.ring.drain(..self.ring.len().saturating_sub(self.most));
        self.next = if self.ring.len() < self.most { self.ring.len() } else { 0 };
        self
    }

    /// Takes a sighting; none without a network, and none like the one before.
    pub fn record(&mut self, sighting: Sighting) {
        let last = self.next.checked_sub(1).and_then(|last| self.ring.get(last));
        let is_same =
            last.is_some_and(|it| (it.hash, it.network) == (sighting.hash, sighting.network));
        if sighting.network == 0 || is_same {
            return;
        }
        match self.ring.get_mut(self.next) {
            Some(place) => *place = sighting,
            None => self.ring.push(sighting),
        }
        self.next = if self.next + 1 < self.most { self.next + 1 } else { 0 };
    }

    /// The sightings from a network, in no order.
    pub fn from(&self, network: u32) -> impl Iterator<Item = &Sighting> {
        self.ring.iter().filter(move |sighting| sighting.network == network)
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAST, Sighting, Sightings};

    #[test]
    fn in_less_memory_the_newest_stay_and_in_more_none_is_lost() {
        let mut sightings = Sightings::sized_for(1024 * 3 * LEAST);
        let see = |sightings: &mut Sightings, n: u32| {
            sightings.record(Sighting { hash: u64::from(n), network: 1, second: n });
        };
        let known = |sightings: &Sightings| {
            let mut all: Vec<u64> = sightings.from(1).map(|it| it.hash).collect();
            all.sort_unstable();
            all
        };
        let least = u32::try_from(LEAST).expect("few");
        for n in 0..4 * least {
            see(&mut sightings, n);
        }
        let mut sightings = sightings.within(0);
        let newest = |from: u32, to: u32| -> Vec<u64> { (from..to).map(u64::from).collect() };
        assert_eq!(known(&sightings), newest(3 * least, 4 * least));
        see(&mut sightings, 4 * least);
        assert_eq!(known(&sightings), newest(3 * least + 1, 4 * least + 1));
        let mut sightings = sightings.within(1024 * 2 * LEAST);
        see(&mut sightings, 4 * least + 1);
        assert_eq!(known(&sightings), newest(3 * least + 1, 4 * least + 2));
    }

    #[test]
    fn the_newest_sightings_are_known_by_network() {
        let mut sightings = Sightings::sized_for(0);
        for n in 0..10 * LEAST as u64 {
            let second = u32::try_from(n).expect("few");
            sightings.record(Sighting { hash: n, network: second % 2 + 1, second });
        }
        assert_eq!(sightings.ring.len(), LEAST);
        let seen: Vec<u64> = sightings.from(1).map(|it| it.hash).collect();
        assert_eq!(seen.len(), LEAST / 2);
        assert!(seen.iter().all(|hash| *hash >= 9 * LEAST as u64 && hash % 2 == 0));
        sightings.record(Sighting { hash: 1, network: 0, second: 1 });
        assert_eq!(sightings.from(0).count(), 0);
    }
}
