//! `endpoints`: walks over far more endpoints than usual, as who explores what a stolen key opens.
//!
//! Score: distinct classes of endpoint in ten minutes over `max(usual, 4)`; gate as of `fan_out`.
//! A single new endpoint makes no detection of its own: it is a corroborator, see [`super::escalation`].
//! Cost: one bit by event; the rest where a bit was clear.

use super::cardinality::{Cardinality, STRETCH_MIN};
use super::evidence::{Evidence, grouped};
use super::fan_out;
use crate::model::finding::{Action, Measure};

/// Parameters of a sweep; units and defaults as of [`fan_out::Params`], of endpoint classes.
pub type Params = fan_out::Params;

/// Far more endpoints than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sweep {
    /// How many classes in the running ten minutes; estimated, at most 140.
    pub endpoints: u32,
    /// The most that is usual.
    pub usual: u32,
    /// `endpoints / max(usual, least)`.
    pub ratio: f64,
    /// How unlikely so many are. Unit: nats.
    pub evidence_nats: f64,
}

/// Evaluates `endpoints` for the running ten minutes, and the action that it justifies.
pub fn evaluate(endpoints: Cardinality, params: &Params) -> Option<(Action, Sweep)> {
    let (action, seen) = fan_out::evaluate(endpoints, params)?;
    let fan_out::FanOut { networks: endpoints, usual, ratio, evidence_nats } = seen;
    Some((action, Sweep { endpoints, usual, ratio, evidence_nats }))
}

impl Evidence for Sweep {
    fn strength(&self) -> f64 {
        self.ratio
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        format!(
            "called about {} different endpoints within {STRETCH_MIN} minutes; at most {} are usual",
            grouped(f64::from(self.endpoints)),
            self.usual.max(1),
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("endpoints", f64::from(self.endpoints)),
            Measure::new("endpoints_usual", f64::from(self.usual)),
            Measure::new("endpoints_ratio", self.ratio),
            Measure::new("tail_nats", self.evidence_nats),
        ]
    }
}

crate::codec!(Sweep { endpoints, usual, ratio, evidence_nats });
