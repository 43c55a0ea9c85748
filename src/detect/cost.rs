//! `cost`: far more units, LLM tokens say, than this credential ever used in a minute, whatever
//! the number of requests.
//!
//! Score: the units of the running minute over `max(peak, 20,000)`. Evidence: that the greatest of
//! `m` minutes is passed by that ratio, under a Pareto tail of index 2 (chosen: costs have heavy
//! tails): `ln m + 2 ln ratio`. It alerts at most. Cost: an addition and a comparison by event.

use super::evidence::{Evidence, grouped};
use crate::model::finding::{Action, Measure};
use crate::stats::compact::{Compact, faded};

/// Parameters of a remarkable cost.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least peak that is compared with. Unit: units a minute. Default: 20,000.
    pub peak_min: f32,
    /// The ratio to observe. Default: 3.
    pub observe_ratio: f32,
    /// The ratio to alert. Default: 6.
    pub alert_ratio: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self { peak_min: 20_000.0, observe_ratio: 3.0, alert_ratio: 6.0 }
    }
}

/// The units used. Shape: 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// In the running minute.
    now: f32,
    peak: Compact,
    /// Of the minute before: it is too young to teach.
    held: Compact,
}

/// Far more units than ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spending {
    /// In the running minute.
    pub units: f64,
    /// The most in a minute so far.
    pub peak: f64,
    /// `units / max(peak, least)`.
    pub ratio: f64,
    /// How unlikely so many are. Unit: nats.
    pub evidence_nats: f64,
}

impl Cost {
    /// Counts what a request cost.
    pub fn add(&mut self, units: u32) {
        self.now += units as f32;
    }

    /// Whether it is worth asking.
    pub fn may_speak(self, params: &Params) -> bool {
        self.now >= params.observe_ratio * self.peak.value().max(params.peak_min)
    }

    /// Learns the minute before the ending one, unless `frozen`.
    pub fn minute_ends(&mut self, frozen: bool) {
        let now = Compact::at_least(std::mem::take(&mut self.now));
        let held = std::mem::replace(&mut self.held, now);
        if frozen {
            self.held = Compact::default();
        } else {
            self.peak = self.peak.max(held);
        }
    }

    /// Lets the peak fade over `days`.
    pub fn days_pass(&mut self, days: u32) {
        self.peak = faded(self.peak, days);
    }

    /// A use that was held back teaches nothing: it may be the beginning of abuse.
    pub fn forget_held(&mut self) {
        self.held = Compact::default();
    }

    /// Takes the greatest cost of a stretch that turned out harmless.
    pub fn absorb(&mut self, units: f32) {
        self.peak = self.peak.max(Compact::at_least(units));
    }

    /// The learned part: the most in a minute.
    pub const fn learned(self) -> Compact {
        self.peak
    }

    /// Knows the most in a minute, as after a long silence.
    pub const fn of(learned: Compact) -> Self {
        Self { now: 0.0, peak: learned, held: Compact::ZERO }
    }

    /// The units of the running minute.
    pub const fn now(self) -> f32 {
        self.now
    }
}

/// Evaluates `cost` for the running minute of a credential that was watched for `minutes`.
pub fn evaluate(cost: Cost, minutes: u32, params: &Params) -> Option<(Action, Spending)> {
    if !cost.may_speak(params) {
        return None;
    }
    let (units, peak) = (f64::from(cost.now), f64::from(cost.peak.value()));
    let ratio = units / peak.max(f64::from(params.peak_min));
    let evidence_nats = f64::from(minutes.max(1)).ln() + 2.0 * ratio.ln();
    let action = if ratio >= params.alert_ratio { Action::Alert } else { Action::Observe };
    Some((action, Spending { units, peak, ratio, evidence_nats }))
}

impl Evidence for Spending {
    fn strength(&self) -> f64 {
        self.ratio
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        format!(
            "cost {} units within a minute, where {} were the most so far; that is {:.1} times {}",
            grouped(self.units),
            grouped(self.peak),
            self.ratio,
            if self.peak * self.ratio >= self.units * 0.999 {
                "its peak"
            } else {
                "the minimum baseline"
            },
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("units", self.units),
            Measure::new("units_peak", self.peak),
            Measure::new("units_ratio", self.ratio),
            Measure::new("tail_nats", self.evidence_nats),
        ]
    }
}

crate::codec!(Cost { now, peak, held });
crate::codec!(Spending { units, peak, ratio, evidence_nats });
