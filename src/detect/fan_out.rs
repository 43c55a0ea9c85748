//! `fan_out`: used from far more networks at a time than usual, as when a key was published.
//!
//! Score: distinct /24 and /48 prefixes in ten minutes over `max(usual, 4)`. Gate: that many are
//! at least 14 nats unlikely under a Poisson law about the usual number, with a dispersion of 2
//! (chosen). Cost: one bit by event; the rest where a bit was clear.

use super::cardinality::{Cardinality, STRETCH_MIN};
use super::evidence::{Evidence, grouped};
use crate::model::finding::{Action, Measure};
use crate::stats::tail::NegativeBinomial;

/// Parameters of a fan-out.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least usual number that is compared with. Unit: networks. Default: 4.
    pub usual_min: u32,
    /// The ratio to observe. Default: 2.
    pub observe_ratio: f64,
    /// The ratio to alert. Default: 4.
    pub alert_ratio: f64,
    /// The least evidence to speak. Unit: nats. Default: 14, once in about 8,000 days of use.
    pub gate_nats: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self { usual_min: 4, observe_ratio: 2.0, alert_ratio: 4.0, gate_nats: 14.0 }
    }
}

impl Params {
    /// Whether it is worth asking of so many distinct values.
    pub fn may_speak(&self, spread: Cardinality) -> bool {
        let compared = spread.usual().max(self.usual_min);
        f64::from(spread.distinct()) >= self.observe_ratio * f64::from(compared)
    }
}

/// Far more networks than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FanOut {
    /// How many in the running ten minutes; estimated, at most 140.
    pub networks: u32,
    /// The most that is usual.
    pub usual: u32,
    /// `networks / max(usual, least)`.
    pub ratio: f64,
    /// How unlikely so many are. Unit: nats.
    pub evidence_nats: f64,
}

/// How unlikely `distinct` values are where about `usual` are expected. Unit: nats.
pub(super) fn evidence_nats(distinct: u32, usual: u32) -> f64 {
    const DISPERSION: f64 = 2.0;
    const CERTAIN: f64 = 1e6;
    let model = NegativeBinomial::new(f64::from(usual), DISPERSION, CERTAIN);
    -model.ln_tail(f64::from(distinct))
}

/// Evaluates `fan_out` for the running ten minutes, and the action that it justifies.
pub fn evaluate(networks: Cardinality, params: &Params) -> Option<(Action, FanOut)> {
    let (distinct, usual) = (networks.distinct(), networks.usual());
    let compared = usual.max(params.usual_min);
    let ratio = f64::from(distinct) / f64::from(compared);
    if ratio < params.observe_ratio {
        return None;
    }
    let evidence_nats = evidence_nats(distinct, compared);
    if evidence_nats < params.gate_nats {
        return None;
    }
    let action = if ratio >= params.alert_ratio { Action::Alert } else { Action::Observe };
    Some((action, FanOut { networks: distinct, usual, ratio, evidence_nats }))
}

impl Evidence for FanOut {
    fn strength(&self) -> f64 {
        self.ratio
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        format!(
            "was used from about {} networks within {STRETCH_MIN} minutes; {}",
            grouped(f64::from(self.networks)),
            match self.usual {
                0 | 1 => "one is usual".to_owned(),
                usual => format!("at most {usual} are usual"),
            },
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("networks", f64::from(self.networks)),
            Measure::new("networks_usual", f64::from(self.usual)),
            Measure::new("networks_ratio", self.ratio),
            Measure::new("tail_nats", self.evidence_nats),
        ]
    }
}

crate::codec!(FanOut { networks, usual, ratio, evidence_nats });
