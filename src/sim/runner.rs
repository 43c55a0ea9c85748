//! Trials that are made as they are judged: each client's honest requests go through a partition
//! of its own; at seeded moments partition and client are copied, and each attack of the library
//! is tried on a copy.

use super::activity::Activity;
use super::client_model::ClientModel;
use super::fixture::{AttackPlan, Fixture};
use super::random::{Random, ms};
use super::rules::rises::{HonestScores, RuleAlarms};
use super::rules::rule_set::RuleSet;
use super::rules::rule_trial::{RuleTrial, is_rate_alone};
use super::scenario::{self, Scenario};
use super::score::{ACTIONS, Alarm, Trial, Watched};
use super::stratum::Stratum;
use super::stream::{Party, RequestStream, TwoParties, minutes};
use super::trace::Trace;
use crate::adapters::storage::key_material::REPLAY_SEED;
use crate::data_plane::batch::Batch;
use crate::data_plane::partition::{self, Clock};
use crate::data_plane::shard_driver::ShardDriver;
use crate::detect::limit::Limit;
use crate::model::credential::Kind;
use crate::model::event::AuthEvent;
use crate::model::finding::{Action, Finding, FindingId};
use crate::model::signal::Change;
use crate::model::time::EventTime;
use indicatif::ProgressBar;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// When traces begin: a Monday, 2025-01-06T00:00:00Z.
pub const BEGIN: EventTime = EventTime::from_s(1_736_121_600);
/// Events applied at once.
const BATCH: usize = 256;
/// Events applied at once while an attack runs, so that a trial ends soon after it is decided.
const TRIAL_BATCH: usize = 64;
/// Events after which the progress is reported.
const TOLD_EVERY: u64 = 65_536;
/// How long a trial goes on after a suspension, which revocation follows within a minute if at
/// all. Unit: milliseconds.
const AFTER_SUSPENSION_MS: i64 = 300_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Attacks that take days begin on the second day at the earliest, and as many days before the
/// end.
const LONG_DAYS: Range<i64> = 2..9;
/// How much later a trial begins when a finding is open. Unit: milliseconds.
const WAIT_MS: i64 = 600_000;

/// Parameters of a run.
#[derive(Clone, Debug)]
pub struct Job {
    /// Parameters of partitions; absolute limits are off in it.
    pub params: Arc<partition::Params>,
    /// The seed of all draws.
    pub seed: u64,
    /// How long a client is watched before it is attacked. Unit: milliseconds.
    pub warm_up_ms: i64,
    /// How long a client is new. Unit: milliseconds.
    pub new_ms: i64,
    /// How often each client is attacked with the whole library.
    pub forks: u32,
    /// How many clients are attacked.
    pub attacked: usize,
    /// Whether simple rules are tried on the same requests.
    pub compares_rules: bool,
}

/// The outcome of one client, or of all.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Honest requests.
    pub honest_events: u64,
    /// Requests of trials.
    pub trial_events: u64,
    /// False alarms.
    pub watched: Watched,
    /// Attacks and look-alikes.
    pub trials: Vec<Trial>,
    /// False alarms of simple rules.
    pub rule_alarms: RuleAlarms,
}

/// A partition and what it has said.
#[derive(Clone, Debug)]
pub(super) struct TrialRun {
    driver: ShardDriver,
    batch: Batch,
    offset: i64,
    events: u64,
}

impl TrialRun {
    pub(super) fn new(params: &Arc<partition::Params>) -> Self {
        let driver = ShardDriver::empty(Arc::clone(params), REPLAY_SEED);
        Self { driver, batch: Batch::default(), offset: 0, events: 0 }
    }

    pub(super) fn push(&mut self, event: &AuthEvent<'_>) {
        self.batch.push(event, self.offset, REPLAY_SEED);
        self.offset += 1;
        self.events += 1;
    }

    /// How many events wait to be applied.
    pub(super) fn pending(&self) -> usize {
        self.batch.len()
    }

    pub(super) fn flush(&mut self, mut each: impl FnMut(Finding, Change)) {
        let output = self.driver.step(&self.batch, Clock::Events);
        self.batch.clear();
        for signal in output.signals {
            each(signal.finding, signal.change);
        }
    }
}

/// The honest requests of one client.
pub fn honest(trace: &Arc<Trace>, seed: u64) -> RequestStream {
    let mut random = Random::of(seed, &[u64::from(trace.number), 1]);
    let days = trace.length_ms() as f64 / 86_400_000.0;
    let guise = ClientModel::honest(days, BEGIN.ms(), &mut random);
    RequestStream::new(Arc::clone(trace), guise, BEGIN, random)
}

/// An event of that client, to be dressed by flows.
pub fn blank(number: u32) -> AuthEvent<'static> {
    let mut event = AuthEvent::new(BEGIN, Cow::Owned(format!("client_{number}")));
    event.kind = Kind::ApiKey;
    event.tenant = Some(Cow::Owned(format!("tenant_{number}")));
    event
}

/// When a client is attacked: `forks` times within a stretch of the trace (milliseconds), in
/// windows in which it is active if there are any.
pub fn draw_moments(
    trace: &Trace,
    within: Range<i64>,
    forks: u32,
    random: &mut Random,
) -> Vec<EventTime> {
    let all: Vec<usize> = (trace.windows_in(within.start)..trace.windows_in(within.end)).collect();
    let is_active = |at: &&usize| trace.windows.get(**at).is_some_and(|w| w.count > 0.0);
    let active: Vec<usize> = all.iter().filter(is_active).copied().collect();
    let from = if active.is_empty() { &all } else { &active };
    let window_ms = f64::from(trace.window_ms);
    let moment = |_| {
        let window = random.one(from).copied()?;
        Some(BEGIN.plus_ms(ms((window as f64 + random.unit()) * window_ms)))
    };
    (0..forks).filter_map(moment).collect()
}

/// Runs one client.
pub fn client(job: &Job, trace: &Arc<Trace>, is_attacked: bool, bar: &ProgressBar) -> Results {
    let mut results = Results { watched: Watched::new(job.new_ms), ..Results::default() };
    let mut flow = honest(trace, job.seed);
    let mut event = blank(trace.number);
    let mut watch = TrialRun::new(&job.params);
    let mut rules = job.compares_rules.then(|| (RuleSet::new(), HonestScores::new(job.new_ms)));
    let mut alarms: BTreeMap<FindingId, Alarm> = BTreeMap::new();
    let mut random = Random::of(job.seed, &[u64::from(trace.number), 2]);
    let forks = if is_attacked { job.forks } else { 0 };
    let mut moments: Vec<(EventTime, bool)> = Vec::new();
    let days = trace.length_ms() / DAY_MS;
    if days > LONG_DAYS.end {
        let early = LONG_DAYS.start * DAY_MS..(days - LONG_DAYS.end) * DAY_MS;
        let early = draw_moments(trace, early, forks.min(1), &mut random);
        moments.extend(early.into_iter().map(|moment| (moment, true)));
    }
    // Those that are new are attacked from their second hour on, and not for days.
    let new = draw_moments(trace, HOUR_MS..job.new_ms, forks, &mut random);
    moments.extend(new.into_iter().map(|moment| (moment, false)));
    let late = job.warm_up_ms..trace.length_ms() - HOUR_MS;
    let late = draw_moments(trace, late, forks, &mut random);
    moments.extend(late.into_iter().map(|moment| (moment, false)));
    // The last one comes first.
    moments.sort_unstable_by(|a, b| b.cmp(a));
    let mut activity: Option<Activity> = None;
    let is_sparse = trace.is_sparse();
    while let Some(time) = flow.next_time() {
        let is_due = |(moment, _): &(EventTime, bool)| *moment <= time;
        if watch.pending() == BATCH || moments.last().is_some_and(is_due) {
            watch.flush(|finding, _| {
                alarms.insert(finding.id, Alarm::of(&finding));
            });
        }
        // All that begin before the next request, which the copies must not have seen.
        while let Some((moment, long)) = moments.pop_if(|moment| is_due(moment)) {
            if watch.driver.partition().open_incidents() == 0 {
                let begun = activity.map_or(time, |activity| activity.first);
                let stratum = Stratum::of(moment < begun.plus_ms(job.new_ms), is_sparse);
                let before = results.trials.len();
                let rules = rules.as_ref().map(|(rules, _)| rules);
                attack(job, (&watch, rules, &flow), (moment, long), &mut results);
                let trials = results.trials.iter_mut().skip(before);
                trials.for_each(|trial| trial.stratum = stratum);
            } else {
                let later = (time.plus_ms(WAIT_MS), long);
                let at = moments.partition_point(|moment| *moment > later);
                moments.insert(at, later);
            }
        }
        flow.take(&mut event);
        activity.get_or_insert(Activity::begin(event.time)).note(event.time);
        watch.push(&event);
        if let Some((rules, honest)) = &mut rules
            && let Some(judged) = rules.observe(event.time)
        {
            honest.record(&judged);
        }
        if watch.events.is_multiple_of(TOLD_EVERY) {
            bar.inc(TOLD_EVERY);
        }
    }
    bar.inc(watch.events % TOLD_EVERY);
    watch.flush(|finding, _| {
        alarms.insert(finding.id, Alarm::of(&finding));
    });
    results.honest_events = watch.events;
    let alarms: Vec<Alarm> = alarms.into_values().collect();
    let activity = activity.unwrap_or(Activity::begin(BEGIN));
    results.watched.add(&activity, &alarms);
    if let Some((_, honest)) = rules {
        results.rule_alarms.add(honest, activity.is_sparse());
    }
    results
}

/// Tries the library on copies: either all that takes days, or all else.
fn attack(
    job: &Job,
    (watch, rules, flow): (&TrialRun, Option<&RuleSet>, &RequestStream),
    (start, long): (EventTime, bool),
    results: &mut Results,
) {
    let event = blank(flow.trace().number);
    let takes_days = |scenario: &Scenario| minutes(scenario.minutes) > DAY_MS;
    for (number, scenario) in scenario::all().filter(|(_, one)| takes_days(one) == long) {
        let random = flow.fork(number as u64);
        let level_per_min = flow.level_per_min();
        let mut scene = Fixture { owner: flow, start, random, level_per_min };
        let Some(plan) = (scenario.plan)(&mut scene) else { continue };
        let start = scene.start;
        let mut watch = if plan.fresh { TrialRun::new(&job.params) } else { watch.clone() };
        watch.events = 0;
        if plan.limit_per_min > 0 {
            let mut params = (*job.params).clone();
            params.profile.limits.by_kind.fill(Limit::written(plan.limit_per_min));
            watch.driver.partition_mut().set_params(Arc::new(params));
        }
        let redelivers = plan.redelivers;
        let rules = rules.filter(|_| is_rate_alone(scenario.name)).cloned().map(RuleTrial::new);
        let trial =
            Attempted { watch, rules, event: event.clone(), begun: None, times: Vec::new() };
        let end = start.plus_ms(minutes(scenario.minutes));
        let (trial, events) = trial.run(&scenario, plan, end, redelivers);
        results.trial_events += events;
        results.trials.extend(trial);
    }
}

/// A trial while it runs.
struct Attempted {
    watch: TrialRun,
    rules: Option<RuleTrial>,
    event: AuthEvent<'static>,
    begun: Option<EventTime>,
    times: Vec<EventTime>,
}

impl Attempted {
    /// Runs it to its end; none where nothing came to pass.
    fn run(
        mut self,
        scenario: &Scenario,
        plan: AttackPlan,
        end: EventTime,
        redelivers: bool,
    ) -> (Option<Trial>, u64) {
        let mut trial = Trial { scenario: scenario.name.to_owned(), ..Trial::default() };
        let AttackPlan { mut duo, whose, .. } = plan;
        while let Some(time) = duo.next_time().filter(|time| *time < end) {
            self.next(&mut duo, whose);
            if self.watch.pending() >= TRIAL_BATCH {
                self.on_output(&mut trial, redelivers);
                let rules_are_over = self.rules.as_ref().is_none_or(RuleTrial::is_over);
                if rules_are_over && is_over(&trial, self.begun, time) {
                    break;
                }
            }
        }
        self.on_output(&mut trial, redelivers);
        if let Some(begun) = self.begun {
            trial.count_through(begun, &self.times);
        }
        trial.rules = self.rules.take().map(RuleTrial::finish);
        (self.begun.map(|_| trial), self.watch.events)
    }

    fn next(&mut self, duo: &mut TwoParties, whose: Party) {
        let is_attack = duo.take(&mut self.event) == Some(whose);
        if let Some(rules) = &mut self.rules {
            rules.observe(self.event.time, is_attack);
        }
        if is_attack {
            self.begun.get_or_insert(self.event.time);
            self.times.push(self.event.time);
        }
        self.watch.push(&self.event);
    }

    fn on_output(&mut self, trial: &mut Trial, redelivers: bool) {
        let again = redelivers.then(|| self.watch.batch.clone());
        let begun = self.begun;
        let mut note = |finding: Finding, _: Change| {
            if let Some(begun) = begun {
                trial.on_finding(&finding, begun);
            }
        };
        self.watch.flush(&mut note);
        if let Some(again) = again {
            self.watch.batch = again;
            self.watch.flush(note);
        }
    }
}

/// Whether nothing more is to be learned from a trial.
fn is_over(trial: &Trial, begun: Option<EventTime>, now: EventTime) -> bool {
    let all = trial.delay_ms.iter().filter(|delay| delay.is_some()).count() == ACTIONS;
    let suspended = begun.zip(trial.delay(Action::Suspend));
    let long_ago = suspended.is_some_and(|(begun, delay)| {
        now.ms_since(begun) > delay.saturating_add(AFTER_SUSPENSION_MS)
    });
    all || long_ago
}

/// Runs all clients over that many threads, the largest first. The order of the results does not
/// depend on the threads.
pub fn all(job: &Job, traces: &[Arc<Trace>], threads: usize, bar: &ProgressBar) -> Results {
    let mut order: Vec<usize> = (0..traces.len()).collect();
    let size = |at: &usize| traces.get(*at).map_or(0.0, |trace| trace.requests());
    order.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let mut luck = Random::of(job.seed, &[3]);
    let mut drawn: Vec<(u64, usize)> = (0..traces.len()).map(|at| (luck.bits(), at)).collect();
    drawn.sort_unstable();
    let mut attacked = vec![false; traces.len()];
    for (_, at) in drawn.into_iter().take(job.attacked) {
        if let Some(attacked) = attacked.get_mut(at) {
            *attacked = true;
        }
    }
    let next = AtomicUsize::new(0);
    let done = parking_lot::Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(trace) = traces.get(*at) else { continue };
                    let is_attacked = attacked.get(*at).copied().unwrap_or(false);
                    let results = client(job, trace, is_attacked, bar);
                    done.lock().insert(*at, results);
                }
            });
        }
    });
    let mut sum = Results { watched: Watched::new(job.new_ms), ..Results::default() };
    for results in done.into_inner().into_values() {
        sum.honest_events += results.honest_events;
        sum.trial_events += results.trial_events;
        sum.watched.merge(results.watched);
        sum.trials.extend(results.trials);
        sum.rule_alarms.merge(results.rule_alarms);
    }
    sum
}
