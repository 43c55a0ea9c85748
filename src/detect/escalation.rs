//! Weighs what the detectors say together: a count alone slows down, the context may take away.
//!
//! | action | needs |
//! |---|---|
//! | throttle | `burst` at 12 times its peak, fully trusted, or 16 times its settled peak, and 600 requests a minute |
//! | suspend | the rate gate: `burst` at 4 times its peak, as far as that is trusted, or 16 times its settled peak, and 600 requests a minute; the context gate: a surprise of 14 nats, and 0.8 of the excess from sources that are new or unproven; a mature credential: 7 days old, used in 24 hours |
//! | revoke | that for 60 s more, and one corroborator (new user agent, new endpoint, slept 30 days) |
//!
//! Failures are no corroborator: who holds no credential could make them up (invariant S-10).
//! Source: DETECTION, "Actions".

use super::context::{Context, Params};
use super::detection::Detection;
use crate::model::finding::{Action, Gate, Gates};
use crate::model::time::EventTime;

/// Raises the detection of a burst as far as the context does, and notes the gates that it passes.
/// `suspended`: when this finding first justified a suspension.
pub fn weigh(
    detection: Detection,
    context: Context,
    now: EventTime,
    suspended: Option<EventTime>,
    params: &Params,
) -> Detection {
    let gates = Gates::NONE
        .with(Gate::Rate, context.rate)
        .with(Gate::Context, context.passes(params))
        .with(Gate::Corroborated, context.is_corroborated(params))
        .with(Gate::Mature, context.is_mature(params));
    let takes = [Gate::Rate, Gate::Context, Gate::Mature].into_iter().all(|gate| gates.has(gate));
    let goes_on = suspended.is_some_and(|at| now.ms_since(at) >= params.revoke_after_ms);
    let action = match takes {
        true if goes_on && gates.has(Gate::Corroborated) => Action::Revoke,
        true => Action::Suspend,
        false => detection.action,
    };
    Detection { action, gates, context: Some(context), ..detection }
}
