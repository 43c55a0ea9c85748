//! `failures`: far more rejected requests than usual name this credential, as when somebody
//! guesses or probes.
//!
//! Score: the beta-binomial tail of the rejected among all requests of a minute, about the greater
//! of the credential's own ratio and the fleet's, so that an outage, which fails everybody, is
//! nobody's attack. It alerts at most, and is no corroborator of anything graver (invariant S-10):
//! nobody gets a stranger's key revoked by failing to use it. Cost: only rejected requests are
//! asked about.

use super::seen::{Seen, grouped};
use super::window::Windows;
use crate::model::finding::{Action, Measure};
use crate::stats::beta_binomial::BetaBinomial;
use crate::stats::compact::moved;

/// What makes failures remarkable.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least number of rejected requests in a minute. Default: 30.
    pub rejected_min: u32,
    /// The least ratio of failures that is expected of anybody. Default: 0.01.
    pub ratio_min: f64,
    /// How many requests the belief in the usual ratio is worth. Default: 20.
    pub weight: f64,
    /// The least evidence to observe. Unit: nats. Default: 14.
    pub observe_nats: f64,
    /// The least evidence to alert. Unit: nats. Default: 20.7, a probability of 1e-9.
    pub alert_nats: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            rejected_min: 30,
            ratio_min: 0.01,
            weight: 20.0,
            observe_nats: 14.0,
            alert_nats: 20.7,
        }
    }
}

/// A minute moves the usual ratio by one part of so many. Chosen: a memory of about an hour of use.
const LEARNS: i32 = 64;
/// A ratio of 1 in the 16 bits of a memory.
const ONE: u32 = 65_535;

/// The rejected requests that name a credential. Shape: 6 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    usual: u16,
    now: u16,
    /// The minute in which they came, modulo 256.
    minute: u8,
}

/// Far more failures than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failing {
    /// Rejected requests of the running minute.
    pub rejected: u32,
    /// All requests of the running minute.
    pub attempts: u32,
    /// The ratio of failures that is usual, for the credential or for the fleet, in 0..1.
    pub usual_ratio: f64,
    /// How unlikely so many are. Unit: nats.
    pub evidence_nats: f64,
}

impl Failures {
    /// Counts a rejected request in the minute of `second`; `windows` hold the others.
    pub fn note(&mut self, windows: &Windows, second: u32, frozen: bool) {
        let minute = low_byte(second / 60);
        if minute != self.minute {
            let before = (second / 60).wrapping_sub(u32::from(minute.wrapping_sub(self.minute)));
            let rejected = u32::from(self.now);
            let attempts = windows.minute(before).saturating_add(rejected);
            if attempts > 0 && !frozen {
                let ratio = i32::try_from(rejected * ONE / attempts).unwrap_or(0);
                self.usual = moved(self.usual, ratio, LEARNS);
            }
            (self.now, self.minute) = (0, minute);
        }
        self.now = self.now.saturating_add(1);
    }

    /// How many came in its newest minute.
    pub const fn now(self) -> u16 {
        self.now
    }

    /// The ratio of failures that is usual, in 0..1.
    pub fn usual_ratio(self) -> f64 {
        f64::from(self.usual) / f64::from(ONE)
    }

    /// What it has learned: the usual ratio.
    pub const fn learned(self) -> u16 {
        self.usual
    }

    /// Knows the usual ratio, as after a long silence.
    pub const fn of(learned: u16) -> Self {
        Self { usual: learned, now: 0, minute: 0 }
    }
}

const fn low_byte(minute: u32) -> u8 {
    (minute & 0xff) as u8
}

/// What `failures` says of the running minute, where the fleet fails at `fleet_ratio`.
pub fn look(
    failures: Failures,
    windows: &Windows,
    second: u32,
    fleet_ratio: f64,
    params: &Params,
) -> Option<(Action, Failing)> {
    let rejected = u32::from(failures.now);
    if rejected < params.rejected_min {
        return None;
    }
    let attempts = rejected + windows.minute(second / 60);
    let usual_ratio = failures.usual_ratio().max(fleet_ratio).clamp(params.ratio_min, 0.99);
    let evidence_nats = -BetaBinomial::new(attempts, usual_ratio, params.weight).ln_tail(rejected);
    if evidence_nats < params.observe_nats {
        return None;
    }
    let alerts = evidence_nats >= params.alert_nats;
    let action = if alerts { Action::Alert } else { Action::Observe };
    Some((action, Failing { rejected, attempts, usual_ratio, evidence_nats }))
}

impl Seen for Failing {
    fn strength(&self) -> f64 {
        self.evidence_nats
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        format!(
            "was named by {} rejected requests of {} within a minute, where {:.1} % are usual; \
             somebody may be guessing or probing",
            grouped(f64::from(self.rejected)),
            grouped(f64::from(self.attempts)),
            self.usual_ratio * 100.0,
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("rejected", f64::from(self.rejected)),
            Measure::new("attempts", f64::from(self.attempts)),
            Measure::new("rejected_usual_ratio", self.usual_ratio),
            Measure::new("tail_nats", self.evidence_nats),
        ]
    }
}

crate::codec!(Failures { usual, now, minute });
crate::codec!(Failing { rejected, attempts, usual_ratio, evidence_nats });
