//! The credentials of a partition that have unproven values ([`crate::detect::unproven`]): few among many.
//!
//! Bounded by the memory of the profile table: where more have some, the values of the credential that
//! came first are forgotten, and count as new again.

use crate::detect::familiarity::Graduates;
use crate::detect::novel::Novel;
use crate::detect::unproven::UnprovenValues;
use crate::model::features::Facts;
use crate::stats::codec::{Codec, Input};
use hashbrown::HashMap;
use std::collections::VecDeque;

/// One credential in so many bytes of the profile table can have some; that is 4 % more memory at most,
/// which does not count among those bytes.
const BYTES_EACH: usize = 4096;
/// So many always can.
const LEAST: usize = 16;

/// The unproven values by credential, whose hash is the key.
#[derive(Clone, Debug, Default)]
pub struct UnprovenTable {
    values: HashMap<u64, UnprovenValues>,
    /// The same credentials in the order in which they came.
    order: VecDeque<u64>,
    most: usize,
}

impl UnprovenTable {
    /// For a profile table of that size.
    pub fn sized_for(bytes: usize) -> Self {
        Self { most: (bytes / BYTES_EACH).max(LEAST), ..Self::default() }
    }

    /// Those of one credential.
    pub fn get(&self, hash: u64) -> Option<&UnprovenValues> {
        self.values.get(&hash)
    }

    /// Takes values that are no longer new on that day.
    pub fn add(&mut self, hash: u64, graduates: Graduates, day: u16) {
        if graduates.is_empty() {
            return;
        }
        if !self.values.contains_key(&hash) {
            self.keep(self.most.saturating_sub(1));
            self.order.push_back(hash);
        }
        let values = self.values.entry(hash).or_default();
        graduates.iter().for_each(|graduate| values.add(graduate, day));
    }

    /// Forgets those that came first until that many are left.
    fn keep(&mut self, most: usize) {
        while self.values.len() > most
            && let Some(first) = self.order.pop_front()
        {
            self.values.remove(&first);
        }
    }

    /// Counts a use of these unproven values; gives those that have proven themselves.
    pub fn record(&mut self, hash: u64, used: Novel, facts: &Facts, day: u16) -> Novel {
        let values = self.values.get_mut(&hash);
        values.map_or(Novel::default(), |values| values.record(used, facts, day))
    }

    /// Something is suspicious about the credential on that day.
    pub fn suspect(&mut self, hash: u64, day: u16) {
        if let Some(values) = self.values.get_mut(&hash) {
            values.suspect(day);
        }
    }

    /// The same, where a profile table of that size is now.
    #[must_use]
    pub fn within(mut self, bytes: usize) -> Self {
        self.most = Self::sized_for(bytes).most;
        self.keep(self.most);
        self
    }
}

impl Codec for UnprovenTable {
    fn encode(&self, out: &mut Vec<u8>) {
        let all = self.order.iter().filter_map(|hash| Some((*hash, *self.get(*hash)?)));
        all.collect::<Vec<_>>().encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let all: Vec<(u64, UnprovenValues)> = Codec::decode(input)?;
        let order = all.iter().map(|(hash, _)| *hash).collect();
        Some(Self { values: all.into_iter().collect(), order, most: usize::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Graduates, LEAST, Novel, UnprovenTable};
    use crate::detect::familiarity::Familiar;
    use crate::detect::window::Windows;
    use crate::model::features::{Aspect, RequestCost};
    use crate::stats::codec::{Codec, Input};

    const START: u32 = 1_700_000_040;
    const ELSEWHERE: Facts =
        Facts { values: [9, 0, 0, 0], prefix: 0, cost: RequestCost::from_bits(0) };

    /// The network of [`ELSEWHERE`], whose probation is over at a key that it surprises.
    fn graduate() -> Graduates {
        let (mut known, mut windows) = (Familiar::default(), Windows::new(START));
        for network in [7, 9] {
            let facts = Facts { values: [network, 0, 0, 0], ..Facts::default() };
            known.record(known.novel(&facts), &facts, windows.newest() / 60);
            (0..50_000).for_each(|_| {
                windows.add(windows.newest());
            });
            let graduates = known.minute_ends(&windows, 0, windows.newest() + 3600, false);
            windows.advance(windows.newest() + 3600);
            if !graduates.is_empty() {
                return graduates;
            }
        }
        Graduates::default()
    }

    fn network() -> Novel {
        Novel::default().and(Aspect::Network)
    }

    #[test]
    fn a_network_that_surprises_is_unproven_for_seven_days_of_use() {
        let mut table = UnprovenTable::sized_for(0);
        table.add(1, graduate(), 10);
        assert_eq!(table.get(1).map(|it| it.among(network(), &ELSEWHERE)), Some(network()));
        assert!((11..17).all(|day| table.record(1, network(), &ELSEWHERE, day).is_empty()));
        assert_eq!(table.record(1, network(), &ELSEWHERE, 17), network());
    }

    #[test]
    fn the_oldest_credential_makes_room_and_what_is_read_back_is_the_same() {
        let mut table = UnprovenTable::sized_for(0);
        let (more, graduate) = (LEAST as u64 + 3, graduate());
        (0..more).for_each(|hash| table.add(hash, graduate, 10));
        assert!((0..3).all(|hash| table.get(hash).is_none()));
        assert!((3..more).all(|hash| table.get(hash).is_some()));
        let mut bytes = Vec::new();
        table.encode(&mut bytes);
        let read = UnprovenTable::decode(&mut Input::new(&bytes, 5)).expect("reads").within(0);
        assert!((0..more).all(|hash| read.get(hash) == table.get(hash)));
    }
}
