//! Look-alikes of many credentials at once: a launch that reaches the whole fleet, and a customer
//! who moves all keys to another network.

use super::attack;
use super::client_model::ClientModel;
use super::fixture::Fixture;
use super::random::Random;
use super::runner::{BEGIN, blank, honest};
use super::score::ACTIONS;
use super::stream::{TwoParties, minutes};
use super::trace::Clients;
use super::trace::Trace;
use crate::adapters::storage::key_material::REPLAY_SEED;
use crate::control_plane;
use crate::data_plane::batch::Batch;
use crate::data_plane::partition;
use crate::engine::{Engine, Output};
use crate::model::credential::Credential;
use crate::model::decision::{Mode, Order};
use crate::model::event::AuthEvent;
use crate::model::finding::Action;
use crate::model::time::EventTime;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

/// Credentials of a fleet at most.
const FLEET_MAX: usize = 40;
/// Only clients below this rate join, so that a fleet stays small. Unit: requests per minute.
const LEVEL_PER_MIN_MAX: f64 = 200.0;
/// How long the trial is watched. Unit: minutes.
const WATCHED_MIN: f64 = 60.0;
/// How long a fleet is watched before it turns, at most. Unit: milliseconds; 3 days.
const WARM_UP_MS_MAX: i64 = 3 * 86_400_000;
/// The offset between the numbers of twins.
const TWIN: u32 = 1_000_000;
const BATCH: usize = 256;

/// The outcome of a fleet.
#[derive(Clone, Debug, Serialize)]
pub struct FleetTrial {
    /// Its name.
    pub name: &'static str,
    /// The course.
    pub about: &'static str,
    /// How many credentials.
    pub credentials: u64,
    /// How many came to justify each action.
    pub justified: [u64; ACTIONS],
    /// How many were suspended, with the mode at revoke.
    pub suspended: u64,
    /// How many were revoked, likewise.
    pub revoked: u64,
}

/// Both fleets of these traces; none where too few are active enough.
pub fn both(clients: &Clients, params: &Arc<partition::Params>, seed: u64) -> Vec<FleetTrial> {
    let warm_up_ms = clients.warm_up_ms.min(WARM_UP_MS_MAX);
    let moment = BEGIN.plus_ms(warm_up_ms);
    let fits = |trace: &&Arc<Trace>| {
        let now = trace.windows_in(warm_up_ms);
        let rate = trace.rate_per_min(now.saturating_sub(trace.windows_in(3_600_000)), now);
        let mean = trace.rate_per_min(0, trace.windows.len());
        rate > 0.1 && rate.max(mean) < LEVEL_PER_MIN_MAX
    };
    let some: Vec<&Arc<Trace>> = clients.traces.iter().filter(fits).collect();
    if some.len() < 2 {
        return Vec::new();
    }
    // Where they are few, each is several credentials that differ in their draws.
    let twin = |(trace, twin): (&&Arc<Trace>, usize)| {
        let round = u32::try_from(twin / some.len()).unwrap_or(0);
        Arc::new(Trace { number: trace.number + TWIN * round, ..(***trace).clone() })
    };
    let instances = some.iter().cycle().zip(0..FLEET_MAX).map(twin).collect();
    let fleet = Fleet { instances, params, seed, moment };
    vec![
        fleet.run("fleet_launch", "the whole fleet x8 for 30 min", None, launch),
        fleet.run(
            "customer_migration",
            "all keys of a customer elsewhere, x1.5",
            Some("acme"),
            migrate,
        ),
    ]
}

struct Fleet<'a> {
    instances: Vec<Arc<Trace>>,
    params: &'a Arc<partition::Params>,
    seed: u64,
    moment: EventTime,
}

fn launch(scene: &mut Fixture<'_>, _: &ClientModel) -> TwoParties {
    let guise = attack::own(scene);
    let more = 7.0 * scene.level_per_min;
    let other = attack::steady(scene, guise, more, 30);
    TwoParties { owner: Some(scene.owner.clone()), other: Some(other) }
}

fn migrate(scene: &mut Fixture<'_>, target: &ClientModel) -> TwoParties {
    let mut owner = scene.owner.clone();
    owner.guise = attack::own(scene).at_home_of(target);
    let more = 0.5 * scene.level_per_min;
    let other = attack::steady(scene, owner.guise.clone(), more, 60);
    TwoParties { owner: Some(owner), other: Some(other) }
}

impl Fleet<'_> {
    fn run(
        &self,
        name: &'static str,
        about: &'static str,
        tenant: Option<&'static str>,
        turn: fn(&mut Fixture<'_>, &ClientModel) -> TwoParties,
    ) -> FleetTrial {
        let mut modes = control_plane::params::Params::default();
        modes.modes.default = Mode::Revoke;
        let mut engine = Engine::new(Arc::clone(self.params), Arc::new(modes), REPLAY_SEED);
        let mut clients: Vec<(TwoParties, AuthEvent<'static>)> = Vec::new();
        for trace in &self.instances {
            let mut event = blank(trace.number);
            if let Some(tenant) = tenant {
                event.tenant = Some(tenant.into());
            }
            clients
                .push((TwoParties { owner: Some(honest(trace, self.seed)), other: None }, event));
        }
        let mut seen = FleetOutcome::default();
        feed(&mut engine, &mut clients, self.moment, &mut |_| {});
        let mut random = Random::of(self.seed, &[8]);
        let target = ClientModel::honest(1.0, self.moment.ms(), &mut random).moved(&mut random);
        for (duo, _) in &mut clients {
            let Some(owner) = duo.owner.take() else { continue };
            let mut scene = Fixture {
                owner: &owner,
                start: self.moment,
                random: Random::of(random.bits(), &[]),
                level_per_min: owner.level_per_min(),
            };
            *duo = turn(&mut scene, &target);
        }
        let end = self.moment.plus_ms(minutes(WATCHED_MIN));
        let begun = self.moment;
        feed(&mut engine, &mut clients, end, &mut |output| seen.record(&output, begun));
        FleetTrial {
            name,
            about,
            credentials: clients.len() as u64,
            justified: Action::ALL
                .map(|action| seen.justified.get(&action).map_or(0, |who| who.len() as u64)),
            suspended: seen.suspended,
            revoked: seen.revoked,
        }
    }
}

/// Feeds all requests before `end`, in order of time.
fn feed(
    engine: &mut Engine,
    clients: &mut [(TwoParties, AuthEvent<'static>)],
    end: EventTime,
    each: &mut impl FnMut(Output),
) {
    let mut queue = BinaryHeap::new();
    for (index, (duo, _)) in clients.iter_mut().enumerate() {
        queue.extend(duo.next_time().map(|time| Reverse((time, index))));
    }
    let mut batch = Batch::default();
    let mut offset = engine.partition().next_offset();
    while let Some(Reverse((time, index))) = queue.pop() {
        let Some((duo, event)) = clients.get_mut(index).filter(|_| time < end) else { break };
        duo.take(event);
        batch.push(event, offset, REPLAY_SEED);
        offset += 1;
        queue.extend(duo.next_time().map(|time| Reverse((time, index))));
        if batch.len() == BATCH {
            engine.apply(&batch, &mut *each);
            batch.clear();
        }
    }
    engine.apply(&batch, each);
}

#[derive(Default)]
struct FleetOutcome {
    justified: BTreeMap<Action, BTreeSet<Credential>>,
    suspended: u64,
    revoked: u64,
}

impl FleetOutcome {
    fn record(&mut self, output: &Output, begun: EventTime) {
        match output {
            Output::Signal(signal) => {
                let finding = &signal.finding;
                for action in Action::ALL {
                    if finding.reached.at(action).is_some_and(|at| at >= begun) {
                        let who = self.justified.entry(action).or_default();
                        who.insert(finding.credential.clone());
                    }
                }
            }
            Output::Decision(decision) if decision.carried_out => {
                self.suspended += u64::from(decision.order == Order::Act(Action::Suspend));
                self.revoked += u64::from(decision.order == Order::Act(Action::Revoke));
            }
            Output::Decision(_) => {}
        }
    }
}
