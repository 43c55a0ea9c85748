//! The grants of a partition by family ([`crate::detect::reuse`]).
//!
//! Bounded by the memory of the profile table: where there are more, the one that was not used for longest,
//! about, is forgotten, and begins again.

use crate::detect::reuse::Grant;
use crate::model::proof::Family;
use crate::stats::codec::{Codec, Input};
use hashbrown::HashMap;
use std::collections::VecDeque;

/// There is room for one in so many bytes of the profile table; that is 3 % more memory at most, which
/// does not count among those bytes.
const BYTES_EACH: usize = 4096;
/// So many always fit.
const LEAST: usize = 16;

#[derive(Clone, Debug, Default)]
struct Kept {
    grant: Grant,
    /// Whether it was used since it was last passed over for room.
    used: bool,
}

/// The grants by family.
#[derive(Clone, Debug, Default)]
pub struct GrantTable {
    grants: HashMap<[u8; 6], Kept>,
    /// Their families, the next to make room first.
    order: VecDeque<[u8; 6]>,
    most: usize,
}

impl GrantTable {
    /// For a profile table of that size.
    pub fn sized_for(bytes: usize) -> Self {
        Self { most: (bytes / BYTES_EACH).max(LEAST), ..Self::default() }
    }

    /// The grant of a family, if it is known.
    pub fn get(&self, family: Family) -> Option<&Grant> {
        self.grants.get(&family.to_bytes()).map(|kept| &kept.grant)
    }

    /// Takes back the end of the grants that a token belongs to. Cost: looks at every grant.
    pub fn restore(&mut self, token: u64) {
        let grants = self.grants.values_mut().map(|kept| &mut kept.grant);
        let of_token = grants.filter(|grant| grant.tokens().any(|hash| hash == token));
        of_token.for_each(Grant::restore);
    }

    /// The grant of a family, which is known from now on.
    pub fn entry(&mut self, family: Family) -> &mut Grant {
        let family = family.to_bytes();
        let is_new = !self.grants.contains_key(&family);
        if is_new {
            self.keep(self.most.saturating_sub(1));
            self.order.push_back(family);
        }
        let kept = self.grants.entry(family).or_default();
        kept.used = !is_new;
        &mut kept.grant
    }

    /// Forgets those that were not used for longest until that many are left.
    fn keep(&mut self, most: usize) {
        while self.grants.len() > most
            && let Some(first) = self.order.pop_front()
        {
            match self.grants.get_mut(&first) {
                Some(kept) if kept.used => {
                    kept.used = false;
                    self.order.push_back(first);
                }
                Some(_) => drop(self.grants.remove(&first)),
                None => {}
            }
        }
    }

    /// The same for a profile table of another size.
    #[must_use]
    pub fn within(mut self, bytes: usize) -> Self {
        self.most = Self::sized_for(bytes).most;
        self.keep(self.most);
        self
    }
}

impl Codec for GrantTable {
    fn encode(&self, out: &mut Vec<u8>) {
        let kept = self.order.iter().filter_map(|family| {
            let kept = self.grants.get(family)?;
            Some((*family, (kept.grant, kept.used)))
        });
        kept.collect::<Vec<_>>().encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let mut table = Self { most: usize::MAX, ..Self::default() };
        for (family, (grant, used)) in Vec::<([u8; 6], (Grant, bool))>::decode(input)? {
            table.order.push_back(family);
            table.grants.insert(family, Kept { grant, used });
        }
        (table.order.len() == table.grants.len()).then_some(table)
    }
}

#[cfg(test)]
mod tests {
    use super::{Family, GrantTable, LEAST};
    use crate::model::time::EventTime;
    use crate::stats::codec::{Codec, Input};

    #[test]
    fn the_one_not_used_for_longest_makes_room() {
        let mut grants = GrantTable::sized_for(0);
        for n in 1..=LEAST as u64 {
            grants.entry(Family::new(n << 8)).end(EventTime::from_s(1));
        }
        for n in 0..100 {
            grants.entry(Family::new(1 << 8));
            grants.entry(Family::new((1000 + n) << 8));
        }
        assert_eq!(grants.grants.len(), LEAST);
        assert_eq!(grants.order.len(), LEAST);
        let first = grants.get(Family::new(1 << 8));
        assert!(first.is_some_and(|it| it.ended().is_some()), "it was used all the time");
        assert!(grants.get(Family::new(2 << 8)).is_none());
    }

    #[test]
    fn grants_are_read_back_in_their_order() {
        let mut grants = GrantTable::sized_for(1 << 20);
        for n in 1..50 {
            grants.entry(Family::new(n << 8)).end(EventTime::from_s(7));
        }
        let mut bytes = Vec::new();
        grants.encode(&mut bytes);
        let back = GrantTable::decode(&mut Input::new(&bytes, u16::MAX)).expect("its bytes");
        assert_eq!(back.order, grants.order);
        assert_eq!(back.get(Family::new(7 << 8)), grants.get(Family::new(7 << 8)));
        assert_eq!(back.within(0).order.len(), LEAST);
    }
}
