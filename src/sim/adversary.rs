//! An attacker who holds the key and knows how detection works: how long it takes to reach 10,000 requests a
//! minute without being throttled, and how long the attacker's own network must have been seen before it passes for
//! the owner's.
//!
//! The owner makes 60 requests a minute, day and night, from two networks, and has a history of ten days. The
//! attacker's campaigns differ in how far each step goes and how long it waits between two; one that comes too early
//! is throttled, which people see. The quickest that is not shows the patience that is needed.

use super::client_model::ClientModel;
use super::random::Random;
use super::runner::{BEGIN, TrialRun, blank};
use super::stream::{Party, RequestStream, TwoParties, minutes};
use super::trace::{Gaps, Trace};
use crate::data_plane::partition;
use crate::model::event::AuthEvent;
use crate::model::finding::{Action, FindingId};
use crate::model::time::EventTime;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The owner's rate. Unit: requests per minute.
const OWNER_PER_MIN: f64 = 60.0;
/// How long the owner is known when it begins. Unit: days.
const HISTORY_DAYS: u32 = 10;
/// How long the owner goes on. Unit: days.
const LENGTH_DAYS: u32 = 60;
/// The rate that the attacker wants, and how long it is kept up. Unit: requests per minute; minutes.
const GOAL_PER_MIN: f64 = 10_000.0;
const GOAL_MIN: usize = 10;
const DAY_MIN: usize = 1440;
/// Events applied at once.
const BATCH: usize = 64;
/// How late an attacker's requests are where they are held back. Unit: milliseconds. Within the windows.
const LATE_MS: i64 = 50_000;

/// One way to get there.
#[derive(Clone, Copy, Debug)]
struct Campaign {
    name: &'static str,
    /// How many times the rate before each step makes.
    factor: f64,
    /// The time from one step to the next. Unit: minutes.
    every_min: usize,
    /// How long the rate of a step is kept up. Unit: minutes, at most `every_min`.
    for_min: usize,
    /// How late its requests arrive. Unit: milliseconds.
    late_ms: i64,
}

const fn steps(name: &'static str, factor: f64, every_min: usize, for_min: usize) -> Campaign {
    Campaign { name, factor, every_min, for_min, late_ms: 0 }
}

const CAMPAIGNS: [Campaign; 15] = [
    steps("at once", 1000.0, 1, 1),
    steps("x3.5 for a minute, every 20 min", 3.5, 20, 1),
    Campaign { late_ms: LATE_MS, ..steps("the same, 50 s late", 3.5, 20, 1) },
    steps("x1.9 for a minute, every 20 min", 1.9, 20, 1),
    steps("x1.9 for 20 min, then 20 silent", 1.9, 40, 20),
    steps("x1.15 every 3 min, without a pause", 1.15, 3, 3),
    steps("x11, kept up for 30 h", 11.0, 30 * 60, 30 * 60),
    steps("x3.5 for a minute, every 6 h", 3.5, 360, 1),
    steps("x11 for a minute, every day", 11.0, DAY_MIN, 1),
    steps("x3.5 for a minute, every day", 3.5, DAY_MIN, 1),
    steps("x2 for a minute, every day", 2.0, DAY_MIN, 1),
    steps("x1.5 for a minute, every day", 1.5, DAY_MIN, 1),
    steps("x1.4 for a minute, every day", 1.4, DAY_MIN, 1),
    steps("x1.3 for a minute, every day", 1.3, DAY_MIN, 1),
    steps("x1.2 for a minute, every day", 1.2, DAY_MIN, 1),
];

impl Campaign {
    /// The attacker's rate in each minute, up to the end of the goal. Unit: requests per minute.
    fn rates(&self) -> Vec<f64> {
        let mut rates = Vec::new();
        let mut all = OWNER_PER_MIN * self.factor;
        while all < GOAL_PER_MIN {
            let step = rates.len();
            rates.resize(step + self.for_min, all - OWNER_PER_MIN);
            rates.resize(step + self.every_min, 0.0);
            all *= self.factor;
        }
        rates.resize(rates.len() + GOAL_MIN, GOAL_PER_MIN - OWNER_PER_MIN);
        rates
    }
}

/// How a campaign went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// The campaign.
    pub campaign: &'static str,
    /// How long it took to the goal, or until it was throttled. Unit: days.
    pub days: f64,
    /// The rate at which it was throttled, the owner's included; none: it was not.
    /// Unit: requests per minute.
    pub throttled_per_min: Option<f64>,
    /// Findings on the way that alert.
    pub alerts: usize,
}

/// How a theft went from a network that had been seen before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceAhead {
    /// Whether its user agent is another one than the owner's, too.
    pub other_agent: bool,
    /// On how many days before it was seen, with one request each.
    pub days_seen: u32,
    /// The most severe action that ten minutes at the goal justified.
    pub justified: &'static str,
    /// Findings that alert, those on the requests ahead included.
    pub alerts: usize,
}

/// The outcome of all campaigns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdversaryReport {
    /// The campaigns that raise the rate, by the owner's networks and agent.
    pub rates: Vec<Course>,
    /// Thefts from elsewhere whose source was shown ahead.
    pub sources: Vec<SourceAhead>,
}

impl AdversaryReport {
    /// The quickest campaign that was not throttled.
    pub fn quickest(&self) -> Option<&Course> {
        let through = self.rates.iter().filter(|course| course.throttled_per_min.is_none());
        through.min_by(|a, b| a.days.total_cmp(&b.days))
    }

    /// As a table.
    pub fn table(&self) -> String {
        let mut out = format!(
            "An attacker who holds the key of an owner with {OWNER_PER_MIN} requests a minute and {HISTORY_DAYS} \
             days of history\n\n  from the owner's networks           to 10,000 a minute                 alerts\n"
        );
        for course in &self.rates {
            let went = match course.throttled_per_min {
                Some(rate) => format!("throttled at {rate:.0} after {}", time(course.days)),
                None => format!("reached, not throttled, in {}", time(course.days)),
            };
            out.push_str(&format!("  {:<36}{went:<35}{:>6}\n", course.campaign, course.alerts));
        }
        let quickest = self.quickest().map_or_else(
            || "Every campaign was throttled.".to_owned(),
            |course| format!("The quickest took {} ({}).", time(course.days), course.campaign),
        );
        out.push_str(&format!("  {quickest}\n\n"));
        out.push_str(
            "  from a far network, at once         ten minutes at 10,000 justify      alerts\n",
        );
        for one in &self.sources {
            let agent = if one.other_agent { "another agent" } else { "owner's agent" };
            let seen = match one.days_seen {
                0 => "never seen before".to_owned(),
                1 => "seen the day before".to_owned(),
                days => format!("seen on {days} days"),
            };
            let how = format!("{agent}, {seen}");
            out.push_str(&format!("  {how:<36}{:<35}{:>6}\n", one.justified, one.alerts));
        }
        out
    }
}

fn time(days: f64) -> String {
    let minutes = days * 1440.0;
    if minutes < 2.0 {
        format!("{:.0} s", minutes * 60.0)
    } else if minutes < 120.0 {
        format!("{minutes:.0} min")
    } else if days < 2.0 {
        format!("{:.0} h", days * 24.0)
    } else {
        format!("{days:.1} days")
    }
}

/// The owner and the partition that knows it.
#[derive(Clone)]
struct Scene {
    watch: TrialRun,
    owner: RequestStream,
    event: AuthEvent<'static>,
    seed: u64,
}

/// The findings of a stretch of a scene.
#[derive(Default)]
struct Stretch {
    alerts: BTreeSet<FindingId>,
    throttled: Option<EventTime>,
    most_severe: Option<Action>,
}

impl Scene {
    fn new(params: &Arc<partition::Params>, seed: u64) -> Self {
        let mut random = Random::of(seed, &[4]);
        let guise = ClientModel::honest(0.0, BEGIN.ms(), &mut random).settled();
        let length = (HISTORY_DAYS + LENGTH_DAYS) as usize * DAY_MIN;
        let rates = vec![OWNER_PER_MIN / 60.0; length];
        let trace = Arc::new(Trace::of_rates(60_000, Gaps::Exponential, rates));
        let owner = RequestStream::new(trace, guise, BEGIN, random);
        let mut scene = Self { watch: TrialRun::new(params), owner, event: blank(1), seed };
        scene.run(None, day(HISTORY_DAYS), (0, false));
        scene
    }

    fn stream(&self, guise: ClientModel, start: EventTime, per_min: &[f64]) -> RequestStream {
        let rates = per_min.iter().map(|rate| rate / 60.0);
        let trace = Trace::of_rates(60_000, Gaps::Exponential, rates);
        RequestStream::new(Arc::new(trace), guise, start, Random::of(self.seed, &[5]))
    }

    /// Goes on until `end`, the attacker's requests `late_ms` late; `stops` where it is throttled.
    fn run(
        &mut self,
        other: Option<RequestStream>,
        end: EventTime,
        (late_ms, stops): (i64, bool),
    ) -> Stretch {
        let mut stretch = Stretch::default();
        let mut parties = TwoParties { owner: Some(self.owner.clone()), other };
        while parties.next_time().is_some_and(|time| time < end) {
            if parties.take(&mut self.event) == Some(Party::Other) {
                self.event.time = self.event.time.plus_ms(-late_ms);
            }
            self.watch.push(&self.event);
            if self.watch.pending() >= BATCH {
                self.flush(&mut stretch);
                if stops && stretch.throttled.is_some() {
                    break;
                }
            }
        }
        self.flush(&mut stretch);
        if let Some(owner) = parties.owner {
            self.owner = owner;
        }
        stretch
    }

    fn flush(&mut self, stretch: &mut Stretch) {
        self.watch.flush(|finding, _| {
            if finding.action >= Action::Alert {
                stretch.alerts.insert(finding.id);
            }
            if let Some(at) = finding.reached.at(Action::Throttle) {
                stretch.throttled = Some(stretch.throttled.map_or(at, |before| before.min(at)));
            }
            stretch.most_severe = stretch.most_severe.max(Some(finding.action));
        });
    }
}

fn day(number: u32) -> EventTime {
    after(BEGIN, number as usize * DAY_MIN)
}

fn after(start: EventTime, count: usize) -> EventTime {
    start.plus_ms(minutes(count as f64))
}

fn raise(scene: &Scene, campaign: Campaign) -> Course {
    let mut scene = scene.clone();
    let (start, rates) = (day(HISTORY_DAYS), campaign.rates());
    let end = after(start, rates.len());
    let other = scene.stream(scene.owner.guise.clone(), start, &rates);
    let stretch = scene.run(Some(other), end, (campaign.late_ms, true));
    let reached = after(start, rates.len() - GOAL_MIN);
    let stopped = stretch.throttled.unwrap_or(reached);
    let rate_at = |time: EventTime| {
        let minute = usize::try_from(time.ms_since(start) / minutes(1.0)).unwrap_or(0);
        rates.get(minute).copied().unwrap_or(0.0) + OWNER_PER_MIN
    };
    Course {
        campaign: campaign.name,
        days: stopped.ms_since(start).max(0) as f64 / minutes(DAY_MIN as f64) as f64,
        throttled_per_min: stretch.throttled.map(rate_at),
        alerts: stretch.alerts.len(),
    }
}

/// One request a day from elsewhere, then the flood from there.
fn source_ahead(scene: &Scene, (other_agent, days_seen): (bool, u32)) -> SourceAhead {
    let mut scene = scene.clone();
    let mut random = Random::of(scene.seed, &[6]);
    let owner = &scene.owner.guise;
    let thief = if other_agent { owner.thief(&mut random) } else { owner.abroad(&mut random) };
    let mut alerts = 0;
    for seen in 0..days_seen {
        let start = day(HISTORY_DAYS + seen);
        let one = scene.stream(thief.clone(), start, &[1.0]);
        alerts += scene.run(Some(one), day(HISTORY_DAYS + seen + 1), (0, false)).alerts.len();
    }
    let start = day(HISTORY_DAYS + days_seen);
    let flood = scene.stream(thief, start, &[GOAL_PER_MIN; GOAL_MIN]);
    let stretch = scene.run(Some(flood), after(start, GOAL_MIN), (0, false));
    let justified = stretch.most_severe.unwrap_or(Action::Observe).as_str();
    SourceAhead { other_agent, days_seen, justified, alerts: alerts + stretch.alerts.len() }
}

/// Runs all campaigns under these parameters; `seed` is of all draws.
pub fn run(params: &Arc<partition::Params>, seed: u64) -> AdversaryReport {
    let scene = Scene::new(params, seed);
    AdversaryReport {
        rates: CAMPAIGNS.iter().map(|campaign| raise(&scene, *campaign)).collect(),
        sources: [true, false]
            .into_iter()
            .flat_map(|agent| [0, 1, 6, 7].map(|days| source_ahead(&scene, (agent, days))))
            .collect(),
    }
}
