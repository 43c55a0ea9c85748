//! Honest use that looks like an attack. All numbers are chosen; see the table of
//! scenarios.
#![expect(clippy::unnecessary_wraps, reason = "the table of scenarios wants one shape")]

use super::attack::{at_rates, own, steady};
use super::client_model::ClientHabit;
use super::fixture::{AttackPlan, Fixture};

/// The least rate that is multiplied. Unit: requests per minute.
const LEVEL_MIN_PER_MIN: f64 = 1.0;
/// The most requests of a first day.
const FIRST_DAY_PER_MIN_MAX: f64 = 2000.0;

pub(crate) fn cron(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let within = 49.0 * scene.level_per_min.max(LEVEL_MIN_PER_MIN);
    let guise = own(scene);
    (scene.level_per_min < 1000.0).then(|| {
        let rate = |minute: u32| if minute.is_multiple_of(60) { within } else { 0.0 };
        let flow = at_rates(scene, guise, 60_000, (0..180).map(rate));
        AttackPlan::beside(scene, flow)
    })
}

pub(crate) fn retry_storm(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let mut guise = own(scene);
    guise.throttled_ratio = 1.0;
    let more = 19.0 * scene.level_per_min.max(LEVEL_MIN_PER_MIN);
    (scene.level_per_min < 2000.0).then(|| {
        let flow = steady(scene, guise, more, 10);
        AttackPlan::beside(scene, flow)
    })
}

pub(crate) fn deploy(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let mut owner = scene.owner.clone();
    owner.guise = own(scene).rebuilt(&mut scene.random);
    let more = 2.0 * scene.level_per_min;
    let flow = steady(scene, owner.guise.clone(), more, 1);
    let mut plan = AttackPlan::owner(owner);
    plan.duo.other = Some(flow);
    Some(plan)
}

pub(crate) fn egress(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let mut owner = scene.owner.clone();
    owner.guise = own(scene).moved(&mut scene.random);
    (owner.guise.habit == ClientHabit::Settled).then(|| AttackPlan::owner(owner))
}

pub(crate) fn mobile(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = own(scene);
    (guise.habit == ClientHabit::Mobile).then(|| {
        let flow = steady(scene, guise, 2.0 * scene.level_per_min, 30);
        AttackPlan::beside(scene, flow)
    })
}

pub(crate) fn daylight_saving(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let mut owner = scene.owner.clone();
    let hour = owner.trace().windows_in(3_600_000);
    owner.jump(isize::try_from(hour).unwrap_or(0));
    Some(AttackPlan::owner(owner))
}

pub(crate) fn first_day(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let plan = AttackPlan { fresh: true, ..AttackPlan::owner(scene.owner.clone()) };
    (scene.level_per_min < FIRST_DAY_PER_MIN_MAX).then_some(plan)
}

pub(crate) fn replayed(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    Some(AttackPlan { redelivers: true, ..AttackPlan::owner(scene.owner.clone()) })
}
