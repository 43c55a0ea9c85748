//! Two instances and a store that both write, in all interleavings of orders, findings, time, deliveries, news,
//! cuts, restarts and losses of the store: they agree in the end, and no person's word is lost.
#![expect(clippy::indexing_slicing, reason = "instances are named by small numbers")]

use crate::control_plane::signal;
use proptest::prelude::*;
use std::sync::Arc;
use tripline::control_plane::control::Control;
use tripline::control_plane::params::{Params, PersonOrder};
use tripline::control_plane::policy::mode::Modes;
use tripline::control_plane::reconcile::{Comparison, compare};
use tripline::model::credential::Credential;
use tripline::model::decision::{
    Decision, Generation, Holding, InstanceId, Mode, Order, Provenance, Status,
};
use tripline::model::finding::Action;
use tripline::model::signal::{Change, Signal};
use tripline::model::time::EventTime;

const ACTIONS: [Action; 3] = [Action::Throttle, Action::Suspend, Action::Revoke];

fn key() -> Credential {
    Credential::parse("k").expect("valid")
}

/// A step of the world; `0` and `1` name the instance.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A person orders something, which lasts so long if it ends by itself.
    Person(usize, Option<Action>, i64),
    /// A finding opens there, and justifies that.
    Finding(usize, Action),
    /// An instance delivers its newest decision, if it reaches the store.
    Deliver(usize),
    /// An instance reads what changed at the store, if it reaches it.
    Follow(usize),
    /// Time passes for an instance.
    Tick(usize),
    /// An instance reaches the store no more, or again.
    Cut(usize),
    /// An instance is killed, and starts from its journal.
    Restart(usize),
    /// An instance compares the store with what is in force at it.
    Compare(usize),
    /// The store loses all that it has.
    Lose,
}

/// The store: as `transition.lua` takes decisions.
#[derive(Default)]
struct Store {
    /// All that it took since it last lost everything, in order.
    taken: Vec<Holding>,
    /// How often it lost everything.
    lost: usize,
}

impl Store {
    fn held(&self) -> Option<&Holding> {
        self.taken.last()
    }

    fn take(&mut self, decision: &Decision, instance: InstanceId) -> Result<(), Holding> {
        let by = decision.origin.unwrap_or(instance);
        if let Some(held) = self.held() {
            if held.decision == Some(decision.id) {
                return Ok(());
            }
            let from = held.provenance.as_ref().expect("every one has");
            let is_unknown = from.instance != by && held.generation > decision.base;
            if held.generation >= decision.generation || is_unknown {
                return Err(held.clone());
            }
        }
        let provenance = Provenance {
            instance: by,
            base: decision.base,
            by: decision.by.clone(),
            reason: decision.reason.clone(),
            at: decision.at,
            until: decision.until,
            expires: decision.expires,
            tenant: decision.tenant.clone(),
            waits: false,
        };
        self.taken.push(Holding {
            generation: decision.generation,
            decision: Some(decision.id),
            status: decision.order.status(),
            finding: decision.finding,
            until: decision.until,
            provenance: Some(Arc::new(provenance)),
        });
        Ok(())
    }
}

struct Instance {
    id: InstanceId,
    control: Control,
    journal: Vec<Decision>,
    /// The newest decision that the store has not settled.
    due: Option<Decision>,
    /// How many changes it has read, since the store lost all how often.
    read: (usize, usize),
    is_cut: bool,
}

fn fresh(id: InstanceId) -> Control {
    let modes = Modes { default: Mode::Revoke, ..Modes::default() };
    let mut params = Params { modes, throttle_ms: 40, suspend_ms: 60, ..Params::default() };
    params.revocation_limit.per_hour = 1_000;
    params.revocation_limit.per_tenant_hour = 1_000;
    let mut control = Control::new(Arc::new(params));
    control.set_instance(id);
    control
}

impl Instance {
    fn new(number: u64) -> Self {
        let id = InstanceId(number);
        let (journal, due) = (Vec::new(), None);
        Self { id, control: fresh(id), journal, due, read: (0, 0), is_cut: false }
    }

    fn record(&mut self, decision: Decision) {
        if decision.origin.is_none() && decision.carried_out {
            self.due = Some(decision.clone());
        }
        self.journal.push(decision);
    }

    fn deliver(&mut self, store: &mut Store, now: EventTime) {
        let Some(decision) = self.due.clone().filter(|_| !self.is_cut) else { return };
        self.due = None;
        if let Err(held) = store.take(&decision, self.id)
            && let Some(decision) = self.control.on_stale(&decision, &held, now)
        {
            self.record(decision);
        }
    }

    /// As the daemon does each minute, and once a store has lost what it had.
    fn compare(&mut self, store: &mut Store, now: EventTime) {
        let Some(mine) = self.control.enforcement_state(&key()).filter(|_| !self.is_cut) else {
            return;
        };
        match (compare(&mine, store.held(), (self.id, now)), store.held().cloned()) {
            (Comparison::Lacks, _) => {
                let of_mine = |decision: &&Decision| decision.id == mine.decision;
                let again = self.journal.iter().rfind(of_mine).cloned().expect("in the journal");
                self.due.get_or_insert(again);
                self.deliver(store, now);
            }
            (Comparison::Newer, Some(held)) => {
                let followed = self.control.on_held(&key(), &held, now);
                self.journal.extend(followed);
            }
            (Comparison::Newer | Comparison::Agrees, _) => {}
        }
    }

    fn follow(&mut self, store: &Store, now: EventTime) {
        if self.read.1 != store.lost {
            // What it read last is gone: it begins with what is in force.
            self.read = (store.taken.len().saturating_sub(1), store.lost);
        }
        while !self.is_cut
            && let Some(held) = store.taken.get(self.read.0)
        {
            self.read.0 += 1;
            if let Some(decision) = self.control.on_held(&key(), held, now) {
                self.record(decision);
            }
        }
    }

    fn tick(&mut self, now: EventTime) {
        for decision in self.control.tick(now) {
            self.record(decision);
        }
    }

    fn restart(&mut self, store: &Store, now: EventTime) {
        self.control = fresh(self.id);
        for decision in &self.journal {
            self.control.recover(decision, now);
        }
        // It begins with what is in force, and follows from there.
        self.read = (store.taken.len().saturating_sub(1), store.lost);
    }

    fn in_force(&self, now: EventTime) -> Option<(Generation, Status)> {
        let state = self.control.enforcement_state(&key())?;
        Some((state.generation, state.in_force(now)))
    }
}

struct World {
    now: i64,
    store: Store,
    instances: [Instance; 2],
    /// Orders of people that changed something: when, and what; none: back into service.
    words: Vec<(i64, Option<Action>)>,
    findings: i64,
    last_finding: Option<i64>,
}

impl World {
    fn new() -> Self {
        let instances = [Instance::new(1), Instance::new(2)];
        let (words, store) = (Vec::new(), Store::default());
        Self { now: 1_000, store, instances, words, findings: 0, last_finding: None }
    }

    fn time(&self) -> EventTime {
        EventTime::from_ms(self.now)
    }

    fn step(&mut self, step: Step) {
        let now = self.time();
        match step {
            Step::Person(at, action, lasts_ms) => self.order(at, action, lasts_ms),
            Step::Finding(at, action) => {
                self.findings += 1;
                self.last_finding = Some(self.now);
                let signal = finding(action, now);
                if let Some(decision) = self.instances[at].control.on_signal(&signal, now) {
                    self.instances[at].record(decision);
                }
            }
            Step::Deliver(at) => self.instances[at].deliver(&mut self.store, now),
            Step::Follow(at) => self.instances[at].follow(&self.store, now),
            Step::Tick(at) => self.instances[at].tick(now),
            Step::Cut(at) => self.instances[at].is_cut ^= true,
            Step::Compare(at) => self.instances[at].compare(&mut self.store, now),
            Step::Lose => {
                self.store.taken.clear();
                self.store.lost += 1;
            }
            Step::Restart(at) => self.instances[at].restart(&self.store, now),
        }
    }

    fn order(&mut self, at: usize, action: Option<Action>, lasts_ms: i64) {
        let order = PersonOrder {
            credential: key(),
            order: action.map_or(Order::Restore, Order::Act),
            by: format!("person {at}").into(),
            account: "account".into(),
            reason: "asked".to_owned(),
            lasts_ms: Some(lasts_ms),
            held: Status::Active,
        };
        let now = self.time();
        // One that changes nothing at its instance is no order to others.
        if let Ok(Some(decision)) = self.instances[at].control.on_person(order, now) {
            self.words.push((self.now, action));
            self.instances[at].record(decision);
        }
    }

    /// Lets all reach the store until nothing changes any more, at one moment.
    fn settle(&mut self) {
        for instance in &mut self.instances {
            instance.is_cut = false;
        }
        for _ in 0..20 {
            for at in [0, 1] {
                self.step(Step::Tick(at));
                self.step(Step::Follow(at));
                self.step(Step::Deliver(at));
                self.step(Step::Compare(at));
            }
        }
        assert!(self.instances.iter().all(|one| one.due.is_none()), "all is delivered");
    }

    fn check(&self) {
        let generations: Vec<u64> = self.store.taken.iter().map(|one| one.generation.0).collect();
        assert!(generations.is_sorted_by(|one, next| one < next), "S-3: {generations:?}");
        let [one, other] = self.instances.each_ref().map(|instance| instance.in_force(self.time()));
        let active = |state: Option<(Generation, Status)>| {
            state.filter(|(_, status)| *status != Status::Active)
        };
        assert_eq!(active(one), active(other), "both agree");
        let held = self.store.held().map(|held| {
            let is_over = held.until.is_some_and(|until| until <= self.time());
            let status = if is_over { Some(Status::Active) } else { held.status };
            (held.generation, status.expect("it has"))
        });
        assert_eq!(active(one), active(held), "and the store agrees");
        let status = held.map_or(Status::Active, |(_, status)| status);
        let last_restore = self.words.iter().rfind(|(_, action)| action.is_none());
        let restored = last_restore.map_or(i64::MIN, |(at, _)| *at);
        let revokes = |(at, action): &(i64, Option<Action>)| {
            *action == Some(Action::Revoke) && *at > restored
        };
        if self.words.iter().any(revokes) {
            assert_eq!(
                status,
                Status::Revoked,
                "a person's revocation holds until a person restores"
            );
        }
        let is_last = self.words.last().is_some_and(|(_, action)| action.is_none());
        if is_last && self.last_finding.is_none_or(|at| at < restored) {
            assert_eq!(status, Status::Active, "a person's restore holds against what was before");
        }
    }
}

fn finding(action: Action, now: EventTime) -> Signal {
    signal(key().id(), action, now, Change::Opened)
}

fn step() -> impl Strategy<Value = Step> {
    let action = prop::sample::select(ACTIONS.to_vec());
    let ordered = prop::option::of(action.clone());
    prop_oneof![
        3 => (0_usize..2, ordered, 10_i64..100).prop_map(|(at, action, ms)| Step::Person(at, action, ms)),
        2 => (0_usize..2, action).prop_map(|(at, action)| Step::Finding(at, action)),
        4 => (0_usize..2).prop_map(Step::Deliver),
        4 => (0_usize..2).prop_map(Step::Follow),
        3 => (0_usize..2).prop_map(Step::Tick),
        2 => (0_usize..2).prop_map(Step::Cut),
        1 => (0_usize..2).prop_map(Step::Restart),
        1 => (0_usize..2).prop_map(Step::Compare),
        1 => Just(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn two_instances_agree_in_the_end_and_no_persons_word_is_lost(
        steps in prop::collection::vec((step(), 1_i64..40), 1..40),
    ) {
        let mut world = World::new();
        for (step, gap) in steps {
            world.now += gap;
            world.step(step);
        }
        world.settle();
        world.check();
        // All that ends by itself has ended, and still they agree.
        world.now += 10_000;
        for at in [0, 1] {
            world.step(Step::Tick(at));
        }
        world.settle();
        world.check();
    }
}

/// The store was away for a minute; meanwhile a throttling ended by itself at one instance, and a person
/// revoked at the other.
#[test]
fn a_revocation_by_a_person_outlives_the_end_of_a_throttling_that_another_instance_began() {
    for first in [0, 1] {
        let mut world = World::new();
        world.step(Step::Finding(0, Action::Throttle));
        for step in [Step::Cut(0), Step::Cut(1)] {
            world.step(step);
        }
        world.now += 60;
        world.step(Step::Tick(0));
        world.step(Step::Person(1, Some(Action::Revoke), 0));
        world.step(Step::Cut(first));
        world.step(Step::Deliver(first));
        world.settle();
        world.check();
        assert_eq!(world.store.held().and_then(|held| held.status), Some(Status::Revoked));
    }
}

#[test]
fn a_suspension_ordered_where_a_revocation_is_not_known_yet_does_not_soften_it() {
    let mut world = World::new();
    world.step(Step::Person(0, Some(Action::Revoke), 0));
    world.step(Step::Deliver(0));
    world.now += 5;
    world.step(Step::Person(1, Some(Action::Suspend), 6));
    world.settle();
    world.now += 5_000;
    world.step(Step::Tick(1));
    world.settle();
    world.check();
    assert_eq!(
        world.instances[1].in_force(world.time()).map(|(_, status)| status),
        Some(Status::Revoked)
    );
}

/// An instance takes over a partition, and sees a finding that went on when a person restored elsewhere.
#[test]
fn what_a_person_restored_elsewhere_is_not_revoked_again_on_the_same_finding() {
    let mut world = World::new();
    let opened = world.time();
    world.step(Step::Finding(0, Action::Revoke));
    world.step(Step::Deliver(0));
    world.step(Step::Follow(1));
    world.now += 10;
    world.step(Step::Person(0, None, 0));
    world.step(Step::Deliver(0));
    world.step(Step::Follow(1));
    world.now += 10;
    let goes_on = Signal { change: Change::Updated, ..finding(Action::Revoke, opened) };
    assert_eq!(world.instances[1].control.on_signal(&goes_on, world.time()), None);
}
