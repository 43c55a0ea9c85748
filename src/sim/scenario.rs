//! The library of trials: what a thief does with a credential, and what an honest owner does that
//! looks alike. Each entry says what it is, whom it fits, and how long it is watched.

use super::attack;
use super::benign;
use super::fixture::{AttackPlan, Class, Fixture};
use std::fmt;

/// One entry of the library.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name, in labels and reports.
    pub name: &'static str,
    /// Whether it ought to be found.
    pub class: Class,
    /// The course, in a sentence.
    pub about: &'static str,
    /// How long it is watched. Unit: minutes.
    pub minutes: f64,
    /// Makes it for one owner; `None` where it does not fit.
    pub plan: fn(&mut Fixture<'_>) -> Option<AttackPlan>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn attack(
    name: &'static str,
    minutes: f64,
    plan: fn(&mut Fixture<'_>) -> Option<AttackPlan>,
    about: &'static str,
) -> Scenario {
    Scenario { name, class: Class::Attack, about, minutes, plan }
}

const fn control(
    name: &'static str,
    minutes: f64,
    plan: fn(&mut Fixture<'_>) -> Option<AttackPlan>,
    about: &'static str,
) -> Scenario {
    Scenario { name, class: Class::Control, about, minutes, plan }
}

/// All trials of one credential.
pub const ALL: [Scenario; 32] = [
    attack("flood_10k", 60.0, attack::flood, "a thief adds 10,000 a minute to less than 1,000"),
    attack("flood_10k_contract", 60.0, attack::flood_contract, "the same under a limit of 1,000"),
    attack("flood_10k_inside", 60.0, attack::flood_inside, "the same by the owner's own clients"),
    attack("step_x2", 60.0, |scene| attack::step(scene, 2.0), "a thief makes the rate x2"),
    attack("step_x3", 60.0, |scene| attack::step(scene, 3.0), "a thief makes the rate x3"),
    attack("step_x10", 60.0, |scene| attack::step(scene, 10.0), "a thief makes the rate x10"),
    attack("step_x30", 60.0, |scene| attack::step(scene, 30.0), "a thief makes the rate x30"),
    attack("step_x2_inside", 60.0, |scene| attack::inside(scene, 2.0), "x2 by rate alone"),
    attack("step_x3_inside", 60.0, |scene| attack::inside(scene, 3.0), "x3 by rate alone"),
    attack("step_x10_inside", 60.0, |scene| attack::inside(scene, 10.0), "x10 by rate alone"),
    attack("step_x30_inside", 60.0, |scene| attack::inside(scene, 30.0), "x30 by rate alone"),
    attack("ramp_1_min", 60.0, |scene| attack::ramp(scene, 1.0), "to x10 by rate alone in 1 min"),
    attack("ramp_10_min", 60.0, |scene| attack::ramp(scene, 10.0), "to x10 in 10 min"),
    attack("ramp_60_min", 120.0, |scene| attack::ramp(scene, 60.0), "to x10 in 60 min"),
    attack("low_and_slow", 360.0, attack::low_and_slow, "a thief makes a request every 5 min"),
    attack("replaces_owner", 60.0, attack::replaces, "a thief goes on at the owner's pace"),
    attack("new_network_x3", 60.0, attack::new_network, "x3 from a far network, same agent"),
    attack("dormant_wakes", 60.0, attack::dormant, "60 a minute from afar after 31 silent days"),
    attack("addresses_1000", 60.0, attack::addresses, "120 a minute more from 1,000 networks"),
    attack("endpoint_sweep", 60.0, attack::sweep, "60 a minute to 200 endpoints, usual source"),
    attack("probing_failures", 60.0, attack::probing, "120 rejected requests a minute from afar"),
    attack("pulses", 60.0, attack::pulses, "x5 by rate alone, in pulses of 4 s every 65 s"),
    attack("training", 12.0 * 1440.0, attack::training, "20 % more every day, by rate alone"),
    control("cron_x50", 180.0, benign::cron, "a minute of x50 every hour, usual source"),
    control("retry_storm", 60.0, benign::retry_storm, "x20 for 10 min, refused with 429"),
    control("deploy", 60.0, benign::deploy, "a new agent family, x3 for a minute"),
    control("egress_change", 60.0, benign::egress, "all requests from another network"),
    control("mobile", 60.0, benign::mobile, "a mobile client's x3 for 30 min"),
    control("daylight_saving", 180.0, benign::daylight_saving, "the daily rhythm an hour early"),
    control("first_day", 1440.0, benign::first_day, "a key's first day"),
    attack("few_calls", 10.0, attack::few_calls, "a thief makes 5 calls, to the usual endpoints"),
    attack("few_calls_elsewhere", 10.0, attack::few_calls_elsewhere, "and to endpoints never used"),
];

/// Redelivery, which needs no other requests.
pub const REPLAYED: Scenario =
    control("replayed_topic", 30.0, benign::replayed, "all requests read again, same offsets");

/// All trials of one credential, with their numbers.
pub fn all() -> impl Iterator<Item = (usize, Scenario)> {
    ALL.into_iter().chain([REPLAYED]).enumerate()
}
