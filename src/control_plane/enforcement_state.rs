//! The states: the enforcement state about every credential that was ever decided on.
//!
//! It may hold a million revoked credentials for years, so an entry is small: what only people ask
//! for, the reason say, stays in the journal under the decision's id.

use crate::collections::credential_map::{Directory, Named};
use crate::model::credential::Credential;
use crate::model::decision::{Decision, DecisionId, EnforcementState, Generation, Status};
use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// How much longer than the credential lives its enforcement state is remembered, for late deliveries.
/// Unit: milliseconds. Chosen.
const AFTERLIFE_MS: i64 = 3_600_000;
/// How long it is remembered that a credential is active again; as long as stores remember its
/// generation. Unit: milliseconds.
const ACTIVE_MS: i64 = 30 * 86_400_000;
/// How much later than another instance, which began it, this one ends an action: that instance does, if it
/// lives. Unit: milliseconds. Chosen.
const FOLLOWED_END_MS: i64 = 2_000;
/// Stands for no time.
const NEVER: i64 = i64::MAX;

/// An entry, packed. Shape: 96 bytes, besides the id where it is longer than 24 bytes.
#[derive(Clone, Debug)]
struct Entry {
    credential: Credential,
    decision: DecisionId,
    finding: Option<FindingId>,
    generation: Generation,
    base: Generation,
    at_ms: i64,
    until_ms: i64,
    status: Status,
    by_person: bool,
    is_followed: bool,
}

impl Named for Entry {
    fn credential(&self) -> &Credential {
        &self.credential
    }
}

impl Entry {
    /// The enforcement state, of an entry that is forgotten at `forgets`.
    fn in_force(&self, forgets: Option<EventTime>) -> EnforcementState {
        let revoked = self.status == Status::Revoked;
        EnforcementState {
            expires: forgets.filter(|_| revoked).map(|at| at.plus_ms(-AFTERLIFE_MS)),
            credential: self.credential.clone(),
            decision: self.decision,
            status: self.status,
            generation: self.generation,
            base: self.base,
            is_followed: self.is_followed,
            until: (self.until_ms != NEVER).then(|| EventTime::from_ms(self.until_ms)),
            finding: self.finding,
            at: EventTime::from_ms(self.at_ms),
            by_person: self.by_person,
        }
    }

    /// When this instance ends it; none: never.
    fn ends(&self) -> Option<EventTime> {
        let later_ms = if self.is_followed { FOLLOWED_END_MS } else { 0 };
        (self.until_ms != NEVER).then(|| EventTime::from_ms(self.until_ms).plus_ms(later_ms))
    }
}

/// The enforcement state.
#[derive(Clone, Debug, Default)]
pub struct EnforcementTable {
    entries: Directory<Entry>,
    ends: BTreeSet<(EventTime, u32)>,
    forgets: BTreeSet<(EventTime, u32)>,
    forgets_of: HashMap<u32, EventTime>,
}

impl EnforcementTable {
    /// The enforcement state of a credential, expired or not.
    pub fn get(&self, credential: &Credential) -> Option<EnforcementState> {
        self.in_force(self.entries.place_of(credential)?)
    }

    /// The rank of the newest decision on a credential; 0 if there is none.
    pub fn generation(&self, credential: &Credential) -> Generation {
        let place = self.entries.place_of(credential);
        let entry = place.and_then(|place| self.entries.get(place));
        entry.map_or(Generation::default(), |entry| entry.generation)
    }

    /// The rank of the newest decision of another instance on a credential; 0 if there is none.
    pub fn base(&self, credential: &Credential) -> Generation {
        self.get(credential).map_or(Generation::default(), |in_force| in_force.known())
    }

    /// How many credentials it holds.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes the enforcement state once `decision` is carried out.
    pub fn record(&mut self, decision: &Decision, by_person: bool) {
        let Some(status) = decision.order.status().filter(|_| decision.carried_out) else {
            return;
        };
        let entry = Entry {
            credential: decision.credential.clone(),
            decision: decision.id,
            finding: decision.finding,
            generation: decision.generation,
            base: decision.base,
            is_followed: decision.origin.is_some(),
            at_ms: decision.at.ms(),
            until_ms: decision.until.map_or(NEVER, EventTime::ms),
            status,
            by_person,
        };
        if let Some(place) = self.entries.place_of(&decision.credential) {
            self.clear_times(place);
        }
        let ends = entry.ends();
        let place = self.entries.put(entry);
        if let Some(ends) = ends {
            self.ends.insert((ends, place));
        }
        let forgets = match status {
            Status::Active => Some(decision.at.plus_ms(ACTIVE_MS)),
            Status::Throttled | Status::Suspended => None,
            Status::Revoked => decision.expires.map(|expires| expires.plus_ms(AFTERLIFE_MS)),
        };
        if let Some(forgets) = forgets {
            self.forgets.insert((forgets, place));
            self.forgets_of.insert(place, forgets);
        }
    }

    /// Notes the rank of a decision of another instance that is like the one in force: the next decision knows it.
    pub fn know(&mut self, credential: &Credential, generation: Generation) {
        let place = self.entries.place_of(credential);
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            entry.base = entry.base.max(generation);
        }
    }

    fn in_force(&self, place: u32) -> Option<EnforcementState> {
        let entry = self.entries.get(place)?;
        Some(entry.in_force(self.forgets_of.get(&place).copied()))
    }

    fn clear_times(&mut self, place: u32) {
        if let Some(ends) = self.entries.get(place).and_then(Entry::ends) {
            self.ends.remove(&(ends, place));
        }
        if let Some(forgets) = self.forgets_of.remove(&place) {
            self.forgets.remove(&(forgets, place));
        }
    }

    /// The next credential whose action ends by itself by `now`. Each is given once.
    pub fn pop_ended(&mut self, now: EventTime) -> Option<EnforcementState> {
        let first = *self.ends.first()?;
        if first.0 > now {
            return None;
        }
        self.ends.remove(&first);
        self.in_force(first.1)
    }

    /// Forgets what no one needs any more at `now`.
    pub fn forget(&mut self, now: EventTime) {
        while let Some(first) = self.forgets.first().copied().filter(|first| first.0 <= now) {
            let place = first.1;
            self.clear_times(place);
            self.entries.remove(place);
        }
    }

    /// When [`EnforcementTable::pop_ended`] or [`EnforcementTable::forget`] next has something to do.
    pub fn next_deadline(&self) -> Option<EventTime> {
        let first = |set: &BTreeSet<(EventTime, u32)>| set.first().map(|(at, _)| *at);
        [first(&self.ends), first(&self.forgets)].into_iter().flatten().min()
    }

    /// The enforcement states in the `most` places from `from` on, and where the next page begins. A
    /// credential that is decided on meanwhile is in one page or is reported again.
    pub fn page(&self, from: u32, most: u32) -> (Vec<EnforcementState>, Option<u32>) {
        let (found, next) = self.entries.page(from, most);
        let in_force =
            |(place, entry): (u32, &Entry)| entry.in_force(self.forgets_of.get(&place).copied());
        (found.map(in_force).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use super::{EnforcementTable, Entry};
    use crate::model::credential::Credential;
    use crate::model::decision::{Decision, DecisionId, Generation, Mode, Order};
    use crate::model::finding::Action;
    use crate::model::time::EventTime;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn decision(id: u8, order: Order, generation: u64, at: i64, until: Option<i64>) -> Decision {
        let credential = Credential::parse(&format!("k{id}")).expect("valid");
        let at = EventTime::from_ms(at);
        Decision {
            id: DecisionId::of(&credential, Generation(generation), at, (None, order)),
            finding: None,
            credential,
            tenant: None,
            generation: Generation(generation),
            base: Generation(0),
            origin: None,
            wanted: Action::Observe,
            order,
            mode: Mode::Revoke,
            carried_out: true,
            held_by: Vec::new(),
            until: until.map(EventTime::from_ms),
            at,
            expires: None,
            by: "ada".into(),
            reason: String::new(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Option<Entry>>(), 96);
    }

    const SUSPEND: Order = Order::Act(Action::Suspend);

    proptest! {
        /// The oracle: a map, searched whole.
        #[test]
        fn it_holds_what_a_plain_map_would_hold(
            steps in prop::collection::vec((0_u8..6, 0_u8..4, 1_i64..50), 1..60),
        ) {
            let mut states = EnforcementTable::default();
            let mut oracle: BTreeMap<u8, (u64, Option<i64>)> = BTreeMap::new();
            let mut now = 0;
            for (number, (id, what, gap)) in steps.into_iter().enumerate() {
                now += gap;
                let generation = number as u64 + 1;
                let (order, until) = match what {
                    0 => (Order::Restore, None),
                    1 => (Order::Act(Action::Revoke), None),
                    _ => (SUSPEND, Some(now + 20)),
                };
                states.record(&decision(id, order, generation, now, until), false);
                oracle.insert(id, (generation, until));
                let mut ended = Vec::new();
                while let Some(in_force) = states.pop_ended(EventTime::from_ms(now)) {
                    ended.push(in_force.generation.0);
                }
                let mut due: Vec<_> = oracle
                    .values_mut()
                    .filter(|(_, until)| until.is_some_and(|until| until <= now))
                    .map(|one| (one.1.take(), one.0))
                    .collect();
                due.sort_unstable();
                ended.sort_unstable();
                let mut due: Vec<u64> = due.into_iter().map(|(_, generation)| generation).collect();
                due.sort_unstable();
                prop_assert_eq!(ended, due);
            }
            let mut paged = Vec::new();
            let mut from = Some(0);
            while let Some(start) = from {
                let (page, next) = states.page(start, 2);
                paged.extend(page.into_iter().map(|in_force| in_force.generation.0));
                from = next;
            }
            paged.sort_unstable();
            let mut all: Vec<u64> = oracle.values().map(|(generation, _)| *generation).collect();
            all.sort_unstable();
            prop_assert_eq!(paged, all);
        }
    }

    #[test]
    fn a_restored_credential_is_forgotten_after_thirty_days_and_its_place_is_taken_again() {
        let mut states = EnforcementTable::default();
        states.record(&decision(1, Order::Restore, 3, 0, None), true);
        let month = EventTime::from_ms(30 * 86_400_000);
        assert_eq!(states.next_deadline(), Some(month));
        states.forget(month);
        assert!(states.is_empty());
        states.record(&decision(2, SUSPEND, 1, 0, Some(5)), false);
        assert_eq!(states.page(0, 10).0.len(), 1);
    }
}
