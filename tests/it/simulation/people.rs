//! The same world with people who order, actions that end by themselves, and events that come late. What
//! it comes to depends on who was quicker, so no other run is its measure: the journal and the store are
//! held against what is promised.

use super::{World, disturbed, for_all_seeds};
use std::collections::{BTreeMap, BTreeSet};
use tripline::control_plane::params::PersonOrder;
use tripline::model::credential::Credential;
use tripline::model::decision::{Decision, Order, Status};
use tripline::model::finding::Action;

const PERSON: &str = "ada";

impl World {
    /// A person orders something about one of the keys.
    pub(super) fn order(&mut self) {
        let key = self.random.below(12);
        let (order, lasts_ms) = match self.random.below(4) {
            0 => (Order::Act(Action::Revoke), None),
            1 => (Order::Act(Action::Suspend), Some(4_000)),
            _ => (Order::Restore, None),
        };
        let order = PersonOrder {
            credential: Credential::parse(&format!("key_{key}")).expect("valid"),
            order,
            by: PERSON.into(),
            account: PERSON.into(),
            reason: "asked by a test".to_owned(),
            lasts_ms,
            held: Status::Active,
        };
        let now = self.time();
        // A milder order on what is more severe is refused.
        let ordered = self.live.control.on_person(order, now).ok().flatten();
        self.live.made.extend(ordered);
    }

    /// Lets time pass until nothing ends by itself any more.
    fn rest(&mut self) {
        for _ in 0..100 {
            // What is forgotten after a month is no end.
            let soon = self.time().plus_ms(3_600_000);
            if self.live.control.next_deadline().is_none_or(|at| at > soon) {
                return self.finish();
            }
            self.tick(5_000);
            self.finish();
        }
        panic!("something never ends: {:?}", self.live.control.next_deadline());
    }

    /// What was carried out about each credential, in the order of the journal.
    fn orders(&self) -> BTreeMap<String, Vec<&Decision>> {
        let mut orders = BTreeMap::<String, Vec<&Decision>>::new();
        for decision in self.journal.iter().filter(|one| one.carried_out) {
            orders.entry(decision.credential.to_string()).or_default().push(decision);
        }
        orders
    }

    /// One order after another: what is promised of the two.
    fn follows(&self, before: &Decision, after: &Decision) {
        let (by_person, restores) = (after.by == PERSON, after.order == Order::Restore);
        let pair = || format!("{before:#?}\nand then\n{after:#?}");
        assert!(before.generation < after.generation, "S-3: {}", pair());
        if before.order == Order::Act(Action::Revoke) {
            assert!(by_person, "a revocation ends by a person alone: {}", pair());
        } else if restores && !by_person {
            let until = before.until.unwrap_or_else(|| panic!("it has no end: {}", pair()));
            assert!(until <= after.at, "it ended too early: {}", pair());
        }
        // Who restored has the last word on what had opened by then.
        let opened = after.finding.and_then(|finding| self.opened.get(&finding));
        if before.by == PERSON
            && before.order == Order::Restore
            && !by_person
            && opened.is_some_and(|opened| *opened <= before.at)
        {
            let later_ms = after.at.ms_since(before.at);
            assert!(later_ms >= self.control.restored_ms, "{later_ms} ms: {}", pair());
        }
    }
}

fn run(seed: u64) -> usize {
    let mut world = disturbed(seed, true);
    world.rest();
    let orders = world.orders();
    for orders in orders.values() {
        for pair in orders.windows(2) {
            world.follows(pair[0], pair[1]);
        }
    }
    let durable: BTreeSet<_> = world.journal.iter().map(|decision| decision.id).collect();
    let mut effects = world.store.effects.clone();
    assert!(effects.iter().all(|effect| durable.contains(effect)), "S-2");
    effects.sort();
    effects.dedup();
    assert_eq!(effects.len(), world.store.effects.len(), "no effect was doubled");
    for (credential, orders) in &orders {
        let newest = orders.last().expect("one at least");
        let status = newest.order.status().expect("an action");
        assert!(
            matches!(status, Status::Active | Status::Revoked),
            "{credential} is {status:?} for ever"
        );
        let held = world.store.held.get(&newest.credential).expect("the store was told");
        assert_eq!((held.0, held.1, held.2), (newest.generation, newest.id, Some(status)));
        let in_force = world.live.control.enforcement_state(&newest.credential).expect("it stands");
        assert_eq!((in_force.generation, in_force.status), (newest.generation, status));
    }
    assert!(world.live.control.violations().iter().all(|count| *count == 0), "no invariant broke");
    orders.values().map(Vec::len).sum()
}

#[test]
fn people_have_the_last_word_and_what_ends_by_itself_ends_whatever_happens_in_between() {
    for_all_seeds(500, run);
}
