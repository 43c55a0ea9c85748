//! The outbox of one store: decisions that are durable but not settled.
//!
//! Delivery is repeated with growing pauses until the store has settled it, or a newer decision on
//! the same credential takes its place.
//!
//! **Invariants.** Deliveries on one credential never overlap, and never go back to an older
//! decision. Whatever was put in leaves only as settled or superseded (L-1).
//!
//! **Does not** know the store or the clock: time is an argument, in milliseconds of a clock that
//! never goes back.

use crate::model::credential::Credential;
use crate::model::decision::{Decision, Delivery, Receipt};
use crate::model::time::EventTime;
use hashbrown::HashMap;
use siphasher::sip::SipHasher13;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The first and the longest pause before a delivery is repeated. Unit: milliseconds. Chosen.
const PAUSE_MS_MIN: u64 = 50;
const PAUSE_MS_MAX: u64 = 5_000;
/// The pause after a refusal: only a person can mend it. Unit: milliseconds. Chosen.
const PAUSE_MS_REFUSED: u64 = 30_000;

/// The longest that a store is left alone because it asks for it. Unit: milliseconds. Chosen: a
/// credential must not stay in service for an hour because of a slip in a header.
const WAIT_MS_MAX: u64 = 300_000;

/// A decision that is due, and when the event behind it arrived.
#[derive(Clone, Debug)]
pub struct Due {
    /// The decision.
    pub decision: Arc<Decision>,
    /// When the event behind it arrived, where that is known.
    pub arrived: Option<EventTime>,
    /// Whether the store had settled it before, and is reported again.
    pub again: bool,
}

/// The outcome of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// It needs no further delivery.
    Settled,
    /// A newer decision has taken its place.
    Superseded,
    /// It is tried again.
    Again,
}

/// When it is due, and its turn among those due at once.
type DueOrder = (u64, u64);

#[derive(Debug)]
struct QueuedDelivery {
    due: Due,
    /// None while it is under way.
    turn: Option<DueOrder>,
    attempts: u32,
    /// Whether it ends with the delivery that is under way.
    is_over: bool,
}

/// The outbox.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: HashMap<Credential, QueuedDelivery>,
    turns: BTreeMap<DueOrder, Credential>,
    next_turn: u64,
    under_way: usize,
    /// Until when the store asked to be left alone.
    quiet_until_ms: u64,
}

impl Outbox {
    /// How many decisions wait or are under way.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many deliveries are under way.
    pub const fn under_way(&self) -> usize {
        self.under_way
    }

    /// Takes in a decision. One that waits is superseded, unless it is as new.
    pub fn push(&mut self, due: Due, now_ms: u64) {
        let credential = due.decision.credential.clone();
        match self.waiting.get_mut(&credential) {
            Some(one) if one.due.decision.generation >= due.decision.generation => {}
            Some(one) => {
                one.due = due;
                (one.attempts, one.is_over) = (0, false);
                if let Some(turn) = one.turn.take() {
                    self.turns.remove(&turn);
                    self.enqueue(credential, now_ms);
                }
            }
            None => {
                self.waiting.insert(
                    credential.clone(),
                    QueuedDelivery { due, turn: None, attempts: 0, is_over: false },
                );
                self.enqueue(credential, now_ms);
            }
        }
    }

    /// Forgets what is older than a decision of another instance, which delivers that.
    pub fn supersede(&mut self, decision: &Decision) {
        let credential = &decision.credential;
        let waiting = self.waiting.get_mut(credential);
        let older = waiting.filter(|one| one.due.decision.generation < decision.generation);
        let Some(older) = older else { return };
        match older.turn {
            None => older.is_over = true,
            Some(turn) => {
                self.turns.remove(&turn);
                self.waiting.remove(credential);
            }
        }
    }

    fn enqueue(&mut self, credential: Credential, at_ms: u64) {
        let turn = (at_ms, self.next_turn);
        self.next_turn += 1;
        if let Some(one) = self.waiting.get_mut(&credential) {
            one.turn = Some(turn);
            self.turns.insert(turn, credential);
        }
    }

    /// The next decision to deliver at `now_ms`, which is then under way.
    pub fn next(&mut self, now_ms: u64) -> Option<Due> {
        if now_ms < self.quiet_until_ms {
            return None;
        }
        let first = self.turns.first_entry().filter(|first| first.key().0 <= now_ms)?;
        let one = self.waiting.get_mut(&first.remove())?;
        one.turn = None;
        self.under_way += 1;
        Some(one.due.clone())
    }

    /// When [`Outbox::next`] next has something; none: nothing waits but what is under way.
    pub fn deadline(&self) -> Option<u64> {
        self.turns.first_key_value().map(|((at_ms, _), _)| (*at_ms).max(self.quiet_until_ms))
    }

    /// Takes the store's answer to a delivery.
    pub fn done(&mut self, delivered: &Due, delivery: &Delivery, now_ms: u64) -> DeliveryResult {
        let receipt = delivery.receipt;
        let quiet_until_ms = now_ms.saturating_add(delivery.wait_ms.min(WAIT_MS_MAX));
        self.quiet_until_ms = self.quiet_until_ms.max(quiet_until_ms);
        self.under_way = self.under_way.saturating_sub(1);
        let credential = &delivered.decision.credential;
        let Some(one) = self.waiting.get_mut(credential) else { return DeliveryResult::Settled };
        if one.due.decision.id != delivered.decision.id {
            self.enqueue(credential.clone(), now_ms);
            return DeliveryResult::Superseded;
        }
        if receipt.is_settled() || one.is_over {
            self.waiting.remove(credential);
            return DeliveryResult::Settled;
        }
        one.attempts = one.attempts.saturating_add(1);
        let longest = match receipt {
            Receipt::Refused => PAUSE_MS_REFUSED,
            Receipt::Unreachable
            | Receipt::Applied
            | Receipt::Already
            | Receipt::Unverified
            | Receipt::Stale
            | Receipt::Unsupported => {
                PAUSE_MS_MAX.min(PAUSE_MS_MIN.saturating_mul(1 << one.attempts.min(16)))
            }
        };
        let pause = longest / 2 + jitter(&one.due.decision, one.attempts, longest / 2);
        self.enqueue(credential.clone(), now_ms + pause);
        DeliveryResult::Again
    }

    /// Lets everything that waits be tried at once: the store is back. Where it asked to be left
    /// alone it still is.
    pub fn retry_now(&mut self, now_ms: u64) {
        let later: Vec<DueOrder> =
            self.turns.range((now_ms + 1, 0)..).map(|(turn, _)| *turn).collect();
        for turn in later {
            if let Some(credential) = self.turns.remove(&turn) {
                self.enqueue(credential, now_ms);
            }
        }
    }
}

/// Spreads repeats, so that many don't come at once. Range: 0..most.
fn jitter(decision: &Decision, attempts: u32, most: u64) -> u64 {
    let mut hasher = SipHasher13::new();
    (decision.id, attempts).hash(&mut hasher);
    hasher.finish() % most.max(1)
}

#[cfg(test)]
mod tests {
    use super::{DeliveryResult, Due, Outbox};
    use crate::model::credential::Credential;
    use crate::model::decision::{
        Decision, DecisionId, Delivery, Generation, Mode, Order, Receipt,
    };
    use crate::model::finding::Action;
    use crate::model::time::EventTime;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn due(id: u8, generation: u64) -> Due {
        let credential = Credential::parse(&format!("k{id}")).expect("valid");
        let at = EventTime::from_ms(0);
        let order = Order::Act(Action::Revoke);
        let decision = Decision {
            id: DecisionId::of(&credential, Generation(generation), at, (None, order)),
            finding: None,
            credential,
            tenant: None,
            generation: Generation(generation),
            base: Generation(0),
            origin: None,
            wanted: Action::Revoke,
            order,
            mode: Mode::Revoke,
            carried_out: true,
            held_by: Vec::new(),
            until: None,
            at,
            expires: None,
            by: "tripline".into(),
            reason: String::new(),
            evidence: Vec::new(),
        };
        Due { decision: Arc::new(decision), arrived: None, again: false }
    }

    #[test]
    fn what_another_instance_superseded_is_not_delivered_any_more() {
        let mut outbox = Outbox::default();
        outbox.push(due(1, 2), 0);
        outbox.push(due(2, 2), 0);
        outbox.supersede(&due(1, 2).decision);
        assert_eq!(outbox.len(), 2, "it is no older");
        outbox.supersede(&due(1, 3).decision);
        let left = outbox.next(0).expect("due");
        assert_eq!(left.decision.credential.id(), "k2");
        // One that is under way ends, and is not tried again.
        outbox.supersede(&due(2, 3).decision);
        assert_eq!(outbox.done(&left, &Receipt::Unreachable.into(), 0), DeliveryResult::Settled);
        assert!(outbox.is_empty() && outbox.under_way() == 0 && outbox.deadline().is_none());
        // A newer one waits for the end of that which is under way, and is delivered once.
        outbox.push(due(3, 1), 0);
        let under_way = outbox.next(0).expect("due");
        outbox.supersede(&due(3, 2).decision);
        outbox.push(due(3, 3), 0);
        assert!(outbox.next(0).is_none(), "deliveries on one credential never overlap");
        outbox.done(&under_way, &Receipt::Applied.into(), 0);
        let newer = outbox.next(0).expect("due");
        assert_eq!(newer.decision.generation, Generation(3));
        assert_eq!(outbox.done(&newer, &Receipt::Applied.into(), 0), DeliveryResult::Settled);
        assert!(outbox.next(0).is_none() && outbox.is_empty());
    }

    #[test]
    fn a_failing_delivery_is_repeated_with_growing_pauses_until_it_is_settled() {
        let mut outbox = Outbox::default();
        outbox.push(due(1, 1), 0);
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let one = outbox.next(now).expect("due");
            assert!(outbox.next(now).is_none());
            assert_eq!(outbox.done(&one, &Receipt::Unreachable.into(), now), DeliveryResult::Again);
            let at = outbox.deadline().expect("waits");
            pauses.push(at - now);
            assert!(outbox.next(at - 1).is_none());
            now = at;
        }
        assert!((50..=100).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[11] >= 2_500 && pauses[11] <= 5_000, "{pauses:?}");
        let one = outbox.next(now).expect("due");
        assert_eq!(outbox.done(&one, &Receipt::Applied.into(), now), DeliveryResult::Settled);
        assert!(outbox.is_empty() && outbox.deadline().is_none());
    }

    #[test]
    fn a_store_that_asks_to_be_left_alone_is_left_alone_but_not_for_good() {
        for (asked_ms, least) in [(30_000, 30_000), (u64::MAX, 300_000)] {
            let mut outbox = Outbox::default();
            outbox.push(due(1, 1), 0);
            let one = outbox.next(0).expect("due");
            outbox.done(&one, &Delivery { wait_ms: asked_ms, ..Receipt::Unreachable.into() }, 0);
            outbox.push(due(2, 1), 1);
            assert!(outbox.next(least - 1).is_none(), "nor asked about another credential");
            assert_eq!(outbox.deadline(), Some(least));
            assert!(outbox.next(least).is_some() && outbox.next(least).is_some());
        }
    }

    #[test]
    fn a_store_that_is_back_is_told_at_once() {
        let mut outbox = Outbox::default();
        outbox.push(due(1, 1), 0);
        let one = outbox.next(0).expect("due");
        outbox.done(&one, &Receipt::Refused.into(), 0);
        assert!(outbox.next(100).is_none());
        outbox.retry_now(100);
        assert!(outbox.next(100).is_some());
    }

    proptest! {
        /// The oracle: the newest generation of each credential, found by looking at all steps.
        #[test]
        fn each_credential_ends_at_its_newest_decision_and_deliveries_never_overlap(
            steps in prop::collection::vec((0_u8..4, 1_u64..20, any::<bool>(), 0_u64..200), 1..80),
        ) {
            let mut outbox = Outbox::default();
            let mut newest: BTreeMap<u8, u64> = BTreeMap::new();
            let mut in_force: BTreeMap<String, u64> = BTreeMap::new();
            let mut under_way: Vec<Due> = Vec::new();
            let mut now = 0;
            for (id, generation, fails, gap) in steps {
                now += gap;
                // A store that already has a newer one answers stale; the outbox learns of none.
                let known = newest.get(&id).copied().unwrap_or(0);
                if generation > known {
                    newest.insert(id, generation);
                    outbox.push(due(id, generation), now);
                }
                while let Some(one) = outbox.next(now) {
                    let same = |other: &Due| {
                        other.decision.credential == one.decision.credential
                    };
                    prop_assert!(!under_way.iter().any(same));
                    under_way.push(one);
                }
                if let Some(one) = under_way.pop() {
                    let receipt = if fails { Receipt::Unreachable } else { Receipt::Applied };
                    if !fails {
                        let id = one.decision.credential.id().to_owned();
                        let before = in_force.insert(id, one.decision.generation.0);
                        prop_assert!(before.is_none_or(|held| held <= one.decision.generation.0));
                    }
                    outbox.done(&one, &receipt.into(), now);
                }
            }
            for one in under_way.drain(..) {
                outbox.done(&one, &Receipt::Unreachable.into(), now);
            }
            while let Some(at) = outbox.deadline() {
                let one = outbox.next(at).expect("due at its deadline");
                in_force.insert(one.decision.credential.id().to_owned(), one.decision.generation.0);
                outbox.done(&one, &Receipt::Applied.into(), at);
            }
            prop_assert_eq!(outbox.under_way(), 0);
            for (id, generation) in newest {
                prop_assert_eq!(in_force.get(&format!("k{id}")), Some(&generation));
            }
        }
    }
}
