//! The whole of partition, control plane, journal and outbox under a seeded scheduler and a virtual
//! clock: redeliveries, crashes at any step, answers that are lost or never come, checkpoints that are
//! damaged, handovers, memory that is too small. In the end it has found and done what a run did that
//! was never disturbed.
//!
//! `TRIPLINE_TEST_SEEDS` sets the number of seeds (10,000), `TRIPLINE_TEST_SEED` runs one alone.
#![expect(clippy::indexing_slicing, reason = "there are as many of each as there are partitions")]

mod people;

use crate::support::random::{Random, number};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tripline::control_plane;
use tripline::control_plane::control::Control;
use tripline::control_plane::outbox::{Due, Outbox};
use tripline::data_plane::batch::{Batch, HashSeed};
use tripline::data_plane::eviction_policy::bytes_for;
use tripline::data_plane::partition::Params;
use tripline::data_plane::partition::{Clock, Partition};
use tripline::data_plane::partition_checkpoint::{Restoring, VERSION};
use tripline::data_plane::shard_driver::{Backlog, ShardDriver};
use tripline::detect::limit::Limit;
use tripline::model::credential::Credential;
use tripline::model::decision::{
    Decision, DecisionId, Delivery, Generation, Holding, Mode, Receipt, Status,
};
use tripline::model::event::AuthEvent;
use tripline::model::finding::{Action, FindingId};
use tripline::model::signal::Signal;
use tripline::model::time::EventTime;

const SEED: HashSeed = HashSeed(1, 2);
const START_MS: i64 = 1_700_000_000_000;
const PARTITIONS: usize = 2;
/// Room for four of the six keys of a partition.
const MEMORY_BYTES: usize = bytes_for(4);
/// What its tenants may take beyond that: a handful. Unit: bytes.
const TENANTS_BYTES: usize = 4096;

/// What the broker holds of a partition: batches in order, and when each arrived.
type Log = Vec<(Batch, i64)>;
/// A checkpoint: its head, its parts, and which batch comes next.
type Checkpoint = (Vec<u8>, Vec<Vec<u8>>, usize);

/// A fleet of a dozen keys, some of which pass their limit for a while.
fn logs(random: &mut Random, has_late: bool) -> [Log; PARTITIONS] {
    let mut logs = [Log::new(), Log::new()];
    let mut offsets = [0, 0];
    let mut ms = START_MS;
    for _ in 0..100 {
        ms += 50 + i64::try_from(random.below(700)).expect("small");
        let key = random.index(12);
        let partition = key % PARTITIONS;
        let times = if random.below(5) == 0 { 30 + random.below(60) } else { 1 + random.below(4) };
        let late = if has_late && random.below(6) == 0 { random.below(20_000) } else { 0 };
        let used = ms - i64::try_from(late).expect("small");
        let (log, offset) = (&mut logs[partition], &mut offsets[partition]);
        let mut batch = Batch::default();
        let name = format!("key_{key}");
        for _ in 0..times {
            let mut event = AuthEvent::new(EventTime::from_ms(used), Cow::Borrowed(&name));
            event.tenant = Some(Cow::Owned(format!("tenant_{}", key % 3)));
            event.ip = Some([203, 0, 113, 7].into());
            batch.push(&event, *offset, SEED);
            *offset += 1;
        }
        log.push((batch, ms));
    }
    logs
}

fn params() -> Arc<Params> {
    let mut params =
        Params { memory_bytes: MEMORY_BYTES, tenants_bytes: TENANTS_BYTES, ..Params::default() };
    params.profile.limits.by_kind = [Limit::written(600); 5];
    Arc::new(params)
}

/// The parameters of the control plane: nothing ends within the run, unless it is `short`.
fn control_params(short: bool) -> Arc<control_plane::params::Params> {
    let mut params = control_plane::params::Params::default();
    if short {
        (params.throttle_ms, params.suspend_ms, params.restored_ms) = (3_000, 5_000, 10_000);
    }
    params.modes.default = Mode::Revoke;
    params.revocation_limit.per_hour = 1000;
    params.revocation_limit.per_tenant_hour = 1000;
    params.common_cause.min_credentials = 1000;
    Arc::new(params)
}

/// What a store holds, and what it did, in order.
#[derive(Default)]
struct Store {
    held: BTreeMap<Credential, (Generation, DecisionId, Option<Status>)>,
    effects: Vec<DecisionId>,
}

impl Store {
    fn apply(&mut self, decision: &Decision) -> Delivery {
        let held = self.held.get(&decision.credential);
        if let Some((generation, id, status)) = held {
            if *id == decision.id {
                return Receipt::Already.into();
            }
            if *generation >= decision.generation {
                let held = Holding {
                    generation: *generation,
                    decision: Some(*id),
                    status: *status,
                    finding: None,
                    until: None,
                    provenance: None,
                };
                return Delivery { held: Some(held), ..Receipt::Stale.into() };
            }
        }
        let holds = (decision.generation, decision.id, decision.order.status());
        self.held.insert(decision.credential.clone(), holds);
        self.effects.push(decision.id);
        Receipt::Applied.into()
    }
}

/// What a crash takes away.
struct Live {
    shards: [ShardDriver; PARTITIONS],
    /// Which batch comes next, by partition.
    next: [usize; PARTITIONS],
    control: Control,
    outbox: Outbox,
    /// Signals on their way to the control plane, and their tickets.
    told: VecDeque<(Vec<Signal>, u64)>,
    ticket: u64,
    heard: u64,
    settled: u64,
    /// Findings that the control plane heard of, and that are not durable.
    found: Vec<(FindingId, Action)>,
    /// Decisions that are made but not durable.
    made: Vec<Decision>,
    /// Decisions that are durable, and that the outbox does not have yet.
    durable: Vec<Decision>,
    under_way: VecDeque<Due>,
    /// A checkpoint that is being written: of which partition, and what was told before it.
    saving: Option<(usize, Checkpoint, u64)>,
}

impl Live {
    /// What goes on from these partitions, each with the batch that comes next.
    fn of(read: [(ShardDriver, usize); PARTITIONS], control: Control, outbox: Outbox) -> Self {
        let next = read.each_ref().map(|(_, next)| *next);
        Self {
            shards: read.map(|(shard, _)| shard),
            next,
            control,
            outbox,
            told: VecDeque::new(),
            ticket: 0,
            heard: 0,
            settled: 0,
            found: Vec::new(),
            made: Vec::new(),
            durable: Vec::new(),
            under_way: VecDeque::new(),
            saving: None,
        }
    }
}

struct World {
    random: Random,
    control: Arc<control_plane::params::Params>,
    /// Whether people order something, and events come late.
    has_people: bool,
    now: i64,
    logs: [Log; PARTITIONS],
    /// How far each partition ever came: what is before may have been told.
    reached: [usize; PARTITIONS],
    checkpoints: [Vec<Checkpoint>; PARTITIONS],
    journal: Vec<Decision>,
    settled: Vec<DecisionId>,
    store: Store,
    live: Live,
    /// The most severe action of each finding.
    found: BTreeMap<FindingId, Action>,
    /// When each finding opened.
    opened: BTreeMap<FindingId, EventTime>,
}

fn restored(checkpoint: &Checkpoint) -> Partition {
    let head = (checkpoint.0.as_slice(), VERSION);
    let mut restoring = Restoring::begin(head, params(), SEED).expect("a head");
    for part in &checkpoint.1 {
        restoring.part(part).expect("a part");
    }
    restoring.finish().expect("whole")
}

impl World {
    fn new(seed: u64, has_people: bool) -> Self {
        let mut random = Random::new(seed);
        let logs = logs(&mut random, has_people);
        let params_of_control = control_params(has_people);
        let shards = [(); PARTITIONS].map(|()| (ShardDriver::empty(params(), SEED), 0));
        let control = Control::new(Arc::clone(&params_of_control));
        let live = Live::of(shards, control, Outbox::default());
        Self {
            random,
            control: params_of_control,
            has_people,
            now: START_MS,
            logs,
            reached: [0; PARTITIONS],
            checkpoints: [Vec::new(), Vec::new()],
            journal: Vec::new(),
            settled: Vec::new(),
            store: Store::default(),
            live,
            found: BTreeMap::new(),
            opened: BTreeMap::new(),
        }
    }

    fn time(&self) -> EventTime {
        EventTime::from_ms(self.now)
    }

    fn tell(&mut self, signals: Vec<Signal>) {
        if !signals.is_empty() {
            self.live.ticket += 1;
            self.live.told.push_back((signals, self.live.ticket));
        }
    }

    /// Applies the next batch of a partition, if one has arrived.
    fn apply(&mut self, which: usize) {
        let next = self.live.next[which];
        let Some((batch, arrived)) = self.logs[which].get(next) else { return };
        self.now = self.now.max(*arrived);
        let (arrived, now) = (EventTime::from_ms(*arrived), EventTime::from_ms(self.now));
        let again = next < self.reached[which];
        let clock = if again { Clock::Again { arrived, now } } else { Clock::Source(arrived) };
        let output = self.live.shards[which].step(batch, clock);
        self.live.next[which] += 1;
        self.reached[which] = self.reached[which].max(next + 1);
        assert!(
            self.live.shards[which].partition().memory_bytes() <= MEMORY_BYTES + TENANTS_BYTES,
            "M-1"
        );
        self.tell(output.signals);
    }

    /// Lets the control plane hear of what was told next.
    fn hear(&mut self) {
        let Some((signals, ticket)) = self.live.told.pop_front() else { return };
        let now = self.time();
        for signal in &signals {
            self.live.found.push((signal.finding.id, signal.finding.action));
            self.opened.insert(signal.finding.id, signal.finding.opened);
            self.live.made.extend(self.live.control.on_signal(signal, now));
        }
        self.live.heard = ticket;
    }

    /// Gives the outbox what is durable. A crash may come before.
    fn hand_out(&mut self) {
        let now_ms = u64::try_from(self.now).expect("after 1970");
        for decision in self.live.durable.drain(..).filter(|one| one.carried_out) {
            let due = Due { decision: Arc::new(decision), arrived: None, again: false };
            self.live.outbox.push(due, now_ms);
        }
    }

    /// Makes durable what was decided.
    fn sync(&mut self) {
        for decision in self.live.made.drain(..) {
            self.journal.push(decision.clone());
            self.live.durable.push(decision);
        }
        for (finding, action) in self.live.found.drain(..) {
            let most_severe = self.found.entry(finding).or_insert(action);
            *most_severe = action.max(*most_severe);
        }
        self.live.settled = self.live.heard;
    }

    /// Begins a delivery, or ends one: well, with a lost answer, or not at all.
    fn deliver(&mut self, surely: bool) {
        let now_ms = u64::try_from(self.now).expect("after 1970");
        if let Some(due) = self.live.outbox.next(now_ms) {
            self.live.under_way.push_back(due);
        }
        let Some(due) = self.live.under_way.pop_front() else { return };
        let decision = Arc::clone(&due.decision);
        assert!(self.journal.contains(&decision), "S-2: {} is not durable", decision.id);
        let chance = if surely { 0 } else { self.random.below(4) };
        let delivery = match chance {
            0 | 1 => self.store.apply(&decision),
            2 => {
                self.store.apply(&decision);
                Receipt::Unreachable.into()
            }
            _ => Receipt::Unreachable.into(),
        };
        if let (Receipt::Stale, Some(held)) = (delivery.receipt, delivery.held.clone()) {
            let now = self.time();
            self.live.made.extend(self.live.control.on_stale(&decision, &held, now));
        }
        if delivery.receipt.is_settled() {
            self.settled.push(decision.id);
        }
        self.live.outbox.done(&due, &delivery, now_ms);
    }

    /// Lets time pass: event time goes on by the clock where all that arrived is applied.
    fn tick(&mut self, ms: i64) {
        let all = |(log, next): (&Log, &usize)| log.get(*next).map(|(_, arrived)| *arrived);
        let soonest = self.logs.iter().zip(&self.live.next).filter_map(all).min();
        self.now = (self.now + ms).min(soonest.unwrap_or(i64::MAX)).max(self.now);
        let now = self.time();
        for which in 0..PARTITIONS {
            let is_behind = self.live.next[which] < self.reached[which];
            let backlog = if is_behind { Backlog::Waiting } else { Backlog::Empty };
            let output = self.live.shards[which].tick(now, backlog);
            self.tell(output.signals);
        }
        self.live.made.extend(self.live.control.tick(now));
    }

    /// Goes on with a checkpoint: begins one, writes a part, or makes it durable.
    fn save(&mut self) {
        let Some((which, mut checkpoint, ticket)) = self.live.saving.take() else {
            let which = self.random.index(PARTITIONS);
            let head = self.live.shards[which].partition_mut().begin_checkpoint();
            let checkpoint = (head, Vec::new(), self.live.next[which]);
            self.live.saving = Some((which, checkpoint, self.live.ticket));
            return;
        };
        let (part, is_last) = self.live.shards[which].partition_mut().checkpoint_part(3);
        checkpoint.1.push(part);
        if !is_last {
            self.live.saving = Some((which, checkpoint, ticket));
        } else if self.live.settled >= ticket {
            self.checkpoints[which].push(checkpoint);
        }
    }

    /// The partition as a checkpoint has it: the newest, or the one before if that is damaged.
    fn read_back(&mut self, which: usize) -> (ShardDriver, usize, Vec<Signal>) {
        if self.random.below(8) == 0 {
            self.checkpoints[which].pop();
        }
        let newest = self.checkpoints[which].last();
        let new = || (Partition::new(params(), SEED), 0);
        let (partition, next) = newest.map_or_else(new, |one| (restored(one), one.2));
        let mut shard = ShardDriver::new(partition, self.time());
        let open = shard.recall(self.time()).signals;
        (shard, next, open)
    }

    fn crash(&mut self) {
        let now = self.time();
        let mut control = Control::new(Arc::clone(&self.control));
        for decision in &self.journal {
            control.recover(decision, now);
        }
        let mut outbox = Outbox::default();
        let now_ms = u64::try_from(self.now).expect("after 1970");
        for decision in self.journal.iter().filter(|one| one.carried_out) {
            // A receipt may be lost with the crash: then it is delivered again.
            if !self.settled.contains(&decision.id) || self.random.below(4) == 0 {
                let decision = Arc::new(decision.clone());
                outbox.push(Due { decision, arrived: None, again: false }, now_ms);
            }
        }
        let read = [0, 1].map(|which| self.read_back(which));
        let open = read.each_ref().map(|(_, _, open)| open.clone());
        self.live = Live::of(read.map(|(shard, next, _)| (shard, next)), control, outbox);
        for signals in open {
            self.tell(signals);
        }
    }

    /// A partition goes away and comes back from its checkpoint, while all else goes on.
    fn hand_over(&mut self) {
        let which = self.random.index(PARTITIONS);
        self.live.saving = None;
        let (shard, next, open) = self.read_back(which);
        (self.live.shards[which], self.live.next[which]) = (shard, next);
        self.tell(open);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0 => self.crash(),
            1 => self.hand_over(),
            2..=4 => {
                // Redelivered by the broker.
                let which = self.random.index(PARTITIONS);
                self.live.next[which] = self.live.next[which].saturating_sub(2);
            }
            5..=14 => self.save(),
            15..=34 => self.hear(),
            35..=44 => self.sync(),
            45..=49 => self.hand_out(),
            50..=64 => self.deliver(false),
            65..=69 => {
                let ms = i64::try_from(self.random.below(300)).expect("small");
                self.tick(ms);
            }
            70..=74 if self.has_people => self.order(),
            _ => {
                let which = self.random.index(PARTITIONS);
                self.apply(which);
            }
        }
    }

    fn is_read(&self) -> bool {
        self.logs.iter().zip(&self.live.next).all(|(log, next)| *next == log.len())
    }

    /// Once faults stop, all is read, decided and carried out within a bounded time (L-1).
    fn finish(&mut self) {
        for _ in 0..2000 {
            for which in 0..PARTITIONS {
                self.apply(which);
            }
            self.hear();
            self.sync();
            self.hand_out();
            self.deliver(true);
            if self.is_read() {
                // Pauses of the outbox pass.
                self.now += 50;
                let done = self.live.told.is_empty() && self.live.outbox.is_empty();
                if done && self.live.made.is_empty() {
                    return;
                }
            }
        }
        panic!("L-1: {} decisions are still due", self.live.outbox.len());
    }

    /// What it came to: the findings, what was decided on each, and what the store says.
    fn result(&self) -> (BTreeMap<FindingId, Action>, Decided, BTreeMap<String, Option<Status>>) {
        let mut decided = Decided::new();
        for decision in &self.journal {
            if let Some(finding) = decision.finding {
                *decided.entry((finding, decision.order.as_str())).or_default() += 1;
            }
        }
        let held = self.store.held.iter();
        let held = held.map(|(credential, (_, _, status))| (credential.to_string(), *status));
        (self.found.clone(), decided, held.collect())
    }
}

/// How often each order was decided on each finding.
type Decided = BTreeMap<(FindingId, &'static str), u32>;

fn undisturbed(seed: u64) -> World {
    let mut world = World::new(seed, false);
    while !world.is_read() {
        for which in 0..PARTITIONS {
            let next = world.live.next;
            let soonest = (0..PARTITIONS)
                .filter_map(|one| Some((world.logs[one].get(next[one])?.1, one)))
                .min();
            if soonest.is_some_and(|(_, one)| one == which) {
                world.apply(which);
                world.hear();
                world.sync();
                world.hand_out();
                world.deliver(true);
            }
        }
    }
    world.finish();
    world
}

/// A run with all that can go wrong, up to where all is carried out.
fn disturbed(seed: u64, has_people: bool) -> World {
    let mut world = World::new(seed, has_people);
    let mut steps = 0;
    while !world.is_read() || steps < 400 {
        world.step();
        steps += 1;
        if steps > 3000 {
            break;
        }
    }
    world.finish();
    world
}

fn run(seed: u64) -> usize {
    let world = disturbed(seed, false);
    let mut effects = world.store.effects.clone();
    effects.sort();
    effects.dedup();
    assert_eq!(effects.len(), world.store.effects.len(), "no effect was doubled");
    assert!(world.live.control.violations().iter().all(|count| *count == 0), "no invariant broke");
    let (got, wanted) = (world.result(), undisturbed(seed).result());
    assert_eq!(got.0, wanted.0, "the same findings");
    assert_eq!(got.1, wanted.1, "each decided on as often");
    assert_eq!(got.2, wanted.2, "and the store says the same");
    wanted.0.len()
}

#[test]
fn whatever_happens_in_between_it_comes_to_the_same() {
    for_all_seeds(10_000, run);
}

/// Runs all seeds, or the one that is named.
fn for_all_seeds(by_default: u64, run: impl Fn(u64) -> usize + std::panic::RefUnwindSafe) {
    if std::env::var_os("TRIPLINE_TEST_SEED").is_some() {
        run(number("TRIPLINE_TEST_SEED", 0));
        return;
    }
    let seeds = number("TRIPLINE_TEST_SEEDS", by_default);
    let mut findings = 0;
    for seed in 0..seeds {
        let came = std::panic::catch_unwind(|| run(seed));
        findings += came.unwrap_or_else(|_| {
            panic!("failed: TRIPLINE_TEST_SEED={seed} cargo test --release --test it simulation")
        });
    }
    eprintln!("{seeds} seeds, {findings} findings");
    assert!(findings as u64 > seeds, "there were some");
}
