//! A thief's use of a credential. All numbers are chosen; see the table of scenarios.
#![expect(clippy::unnecessary_wraps, reason = "the table of scenarios wants one shape")]

use super::client_model::ClientModel;
use super::fixture::{AttackPlan, Fixture};
use super::stream::{RequestStream, minutes};
use super::trace::{Gaps, Trace};
use std::sync::Arc;

/// Below this rate a flood of 10,000 a minute is tried. Unit: requests per minute.
const FLOODED_BELOW_PER_MIN: f64 = 1000.0;
/// The rates that are multiplied. Unit: requests per minute.
const MULTIPLIED_PER_MIN: std::ops::Range<f64> = 10.0..1000.0;
/// The most requests of an attack that teaches the baseline for days.
const TRAINING_REQUESTS_MAX: f64 = 3e6;
/// The least rest of a trace for such an attack. Unit: milliseconds; 9 days.
const TRAINING_MS_MIN: i64 = 9 * 86_400_000;

/// Requests at rates that change every `window_ms`.
pub(crate) fn at_rates(
    scene: &mut Fixture<'_>,
    guise: ClientModel,
    window_ms: u32,
    per_min: impl IntoIterator<Item = f64>,
) -> RequestStream {
    let rates = per_min.into_iter().map(|rate| rate / 60.0);
    let trace = Trace::of_rates(window_ms, Gaps::Exponential, rates);
    let random = super::random::Random::of(scene.random.bits(), &[]);
    RequestStream::new(Arc::new(trace), guise, scene.start, random)
}

/// Requests at one rate for that many minutes.
pub(crate) fn steady(
    scene: &mut Fixture<'_>,
    guise: ClientModel,
    per_min: f64,
    for_min: usize,
) -> RequestStream {
    at_rates(scene, guise, 60_000, vec![per_min; for_min])
}

fn thief(scene: &mut Fixture<'_>) -> ClientModel {
    scene.owner.guise.thief(&mut scene.random)
}

/// The owner's looks, which no longer change.
pub(crate) fn own(scene: &Fixture<'_>) -> ClientModel {
    scene.owner.guise.settled()
}

pub(crate) fn flood(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = thief(scene);
    (scene.level_per_min < FLOODED_BELOW_PER_MIN).then(|| {
        let flow = steady(scene, guise, 10_000.0, 60);
        AttackPlan::beside(scene, flow)
    })
}

pub(crate) fn flood_contract(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    flood(scene).map(|plan| AttackPlan { limit_per_min: 1000, ..plan })
}

pub(crate) fn flood_inside(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    (scene.level_per_min < FLOODED_BELOW_PER_MIN).then(|| {
        let guise = own(scene);
        let flow = steady(scene, guise, 10_000.0, 60);
        AttackPlan::beside(scene, flow)
    })
}

fn is_multiplied(scene: &Fixture<'_>) -> bool {
    MULTIPLIED_PER_MIN.contains(&scene.level_per_min)
}

pub(crate) fn step(scene: &mut Fixture<'_>, times: f64) -> Option<AttackPlan> {
    let guise = thief(scene);
    is_multiplied(scene).then(|| multiply(scene, guise, times))
}

pub(crate) fn inside(scene: &mut Fixture<'_>, times: f64) -> Option<AttackPlan> {
    let guise = own(scene);
    is_multiplied(scene).then(|| multiply(scene, guise, times))
}

fn multiply(scene: &mut Fixture<'_>, guise: ClientModel, times: f64) -> AttackPlan {
    let more = scene.level_per_min * (times - 1.0);
    let flow = steady(scene, guise, more, 60);
    AttackPlan::beside(scene, flow)
}

pub(crate) fn ramp(scene: &mut Fixture<'_>, over_min: f64) -> Option<AttackPlan> {
    let most = scene.level_per_min * 9.0;
    let guise = own(scene);
    is_multiplied(scene).then(|| {
        // Windows of 5 s, for twice the ramp and an hour at least.
        let windows = 12 * 120;
        let share = |window: u32| (f64::from(window) / 12.0 / over_min).min(1.0);
        let flow = at_rates(scene, guise, 5_000, (1..=windows).map(|n| most * share(n)));
        AttackPlan::beside(scene, flow)
    })
}

pub(crate) fn low_and_slow(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = thief(scene);
    let flow = steady(scene, guise, 0.2, 360);
    Some(AttackPlan::beside(scene, flow))
}

pub(crate) fn few_calls(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = thief(scene);
    let flow = steady(scene, guise, 5.0, 1);
    Some(AttackPlan::beside(scene, flow))
}

pub(crate) fn few_calls_elsewhere(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = thief(scene).sweeping();
    let flow = steady(scene, guise, 5.0, 1);
    Some(AttackPlan::beside(scene, flow))
}

pub(crate) fn replaces(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let mut flow = scene.owner.clone();
    flow.guise = thief(scene);
    (scene.level_per_min >= 1.0).then(|| AttackPlan::instead(flow))
}

pub(crate) fn new_network(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = own(scene).abroad(&mut scene.random);
    is_multiplied(scene).then(|| multiply(scene, guise, 3.0))
}

pub(crate) fn dormant(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = thief(scene);
    scene.start = scene.start.plus_ms(minutes(31.0 * 1440.0));
    let flow = steady(scene, guise, 60.0, 60);
    Some(AttackPlan::instead(flow))
}

pub(crate) fn addresses(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = own(scene).spread_out(1000, &mut scene.random);
    let flow = steady(scene, guise, 120.0, 60);
    Some(AttackPlan::beside(scene, flow))
}

pub(crate) fn sweep(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let guise = own(scene).sweeping();
    let flow = steady(scene, guise, 60.0, 60);
    Some(AttackPlan::beside(scene, flow))
}

pub(crate) fn probing(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let mut guise = thief(scene);
    guise.failure_ratio = 1.0;
    let flow = steady(scene, guise, 120.0, 60);
    Some(AttackPlan::beside(scene, flow))
}

pub(crate) fn pulses(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let within = scene.level_per_min * 4.0 * 65.0 / 4.0;
    let guise = own(scene);
    is_multiplied(scene).then(|| {
        let rate = |second: u32| if second % 65 < 4 { within } else { 0.0 };
        let flow = at_rates(scene, guise, 1_000, (0..3600).map(rate));
        AttackPlan::beside(scene, flow)
    })
}

pub(crate) fn training(scene: &mut Fixture<'_>) -> Option<AttackPlan> {
    let more = |ms: i64| 1.2_f64.powf(ms as f64 / 86_400_000.0) - 1.0;
    let trace = scene.owner.rest_of_trace(more);
    if trace.length_ms() < TRAINING_MS_MIN || trace.requests() > TRAINING_REQUESTS_MAX {
        return None;
    }
    let guise = own(scene);
    let random = super::random::Random::of(scene.random.bits(), &[]);
    let flow = RequestStream::new(Arc::new(trace), guise, scene.owner.next_window(), random);
    is_multiplied(scene).then(|| AttackPlan::beside(scene, flow))
}
