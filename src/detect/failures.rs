//! `failures`: far more failed requests than usual name this credential, as when someone guesses
//! or probes. A request fails that is rejected, or whose caller does not prove to hold the credential.
//!
//! Score: the beta-binomial tail of the failed among all requests of a minute, about the greater
//! of the credential's own ratio and the fleet's, so that an outage, which fails everybody, is
//! no one's attack. It alerts at most, and is no corroborator of anything more severe (invariant S-10):
//! no one gets a stranger's key revoked by failing to use it. Cost: only rejected requests are
//! asked about.

use super::evidence::{Evidence, grouped};
use super::window::Windows;
use crate::model::finding::{Action, Measure};
use crate::stats::beta_binomial::BetaBinomial;
use crate::stats::codec::{Codec, Input};
use crate::stats::compact::moved;

/// Parameters of remarkable failures.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least number of rejected requests in a minute. Default: 30.
    pub rejected_min: u32,
    /// The least ratio of failures that is expected of anyone. Default: 0.01.
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

/// The failed requests that name a credential: those that were rejected, and those whose caller did
/// not prove to hold it. Shape: 6 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    usual: u16,
    now: u16,
    /// How many of them no window holds, as their callers were not verified; 255 stands for all.
    unverified: u8,
    /// The minute in which they came, modulo 256.
    minute: u8,
}

/// Far more failures than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failing {
    /// Failed requests of the running minute.
    pub rejected: u32,
    /// All requests of the running minute.
    pub attempts: u32,
    /// The ratio of failures that is usual, for the credential or for the fleet, in 0..1.
    pub usual_ratio: f64,
    /// How unlikely so many are. Unit: nats.
    pub evidence_nats: f64,
}

impl Failures {
    /// Counts a failed request in the minute of `second`; `windows` hold all that were verified.
    pub fn record(&mut self, windows: &Windows, second: u32, frozen: bool, verified: bool) {
        let minute = low_byte(second / 60);
        if minute != self.minute {
            let before = (second / 60).wrapping_sub(u32::from(minute.wrapping_sub(self.minute)));
            let rejected = u32::from(self.now);
            let attempts = self.attempts(windows, before).max(rejected);
            if attempts > 0 && !frozen {
                let ratio = i32::try_from(rejected * ONE / attempts).unwrap_or(0);
                self.usual = moved(self.usual, ratio, LEARNS);
            }
            (self.now, self.unverified, self.minute) = (0, 0, minute);
        }
        self.now = self.now.saturating_add(1);
        self.unverified = self.unverified.saturating_add(u8::from(!verified));
    }

    /// All requests of that minute: the verified ones, and those that failed without proof.
    /// Error: where verified failures and 255 others meet in a minute, the verified ones count twice.
    pub fn attempts(self, windows: &Windows, minute: u32) -> u32 {
        let apart = if self.unverified == u8::MAX { self.now } else { self.unverified.into() };
        windows.minute(minute).saturating_add(u32::from(apart))
    }

    /// How many came in its newest minute.
    pub const fn now(self) -> u16 {
        self.now
    }

    /// The ratio of failures that is usual, in 0..1.
    pub fn usual_ratio(self) -> f64 {
        f64::from(self.usual) / f64::from(ONE)
    }

    /// The learned part: the usual ratio.
    pub const fn learned(self) -> u16 {
        self.usual
    }

    /// Knows the usual ratio, as after a long silence.
    pub const fn of(learned: u16) -> Self {
        Self { usual: learned, now: 0, unverified: 0, minute: 0 }
    }
}

const fn low_byte(minute: u32) -> u8 {
    (minute & 0xff) as u8
}

/// Evaluates `failures` for the running minute, where the fleet fails at `fleet_ratio`.
pub fn evaluate(
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
    let attempts = failures.attempts(windows, second / 60).max(rejected);
    let usual_ratio = failures.usual_ratio().max(fleet_ratio).clamp(params.ratio_min, 0.99);
    let evidence_nats = -BetaBinomial::new(attempts, usual_ratio, params.weight).ln_tail(rejected);
    if evidence_nats < params.observe_nats {
        return None;
    }
    let alerts = evidence_nats >= params.alert_nats;
    let action = if alerts { Action::Alert } else { Action::Observe };
    Some((action, Failing { rejected, attempts, usual_ratio, evidence_nats }))
}

impl Evidence for Failing {
    fn strength(&self) -> f64 {
        self.evidence_nats
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        format!(
            "was named by {} failed requests of {} within a minute (normally {:.1} %), rejected or \
             without proof of holding it; somebody may be guessing or probing",
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

impl Codec for Failures {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.usual, self.now).encode(out);
        (self.unverified, self.minute).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (usual, now) = Codec::decode(input)?;
        // Before layout 3 only requests without proof were counted here.
        let all = u8::try_from(now).unwrap_or(u8::MAX);
        let unverified = if input.version() < 3 { all } else { Codec::decode(input)? };
        Some(Self { usual, now, unverified, minute: Codec::decode(input)? })
    }
}

crate::codec!(Failing { rejected, attempts, usual_ratio, evidence_nats });

#[cfg(test)]
mod tests {
    use super::{Codec, Failures, Input, Windows};

    const START: u32 = 1_700_000_040;

    #[test]
    fn attempts_are_verified_uses_and_failures_without_proof() {
        for (verified, unverified, attempts) in
            [(0, 20, 20), (20, 0, 20), (20, 30, 50), (0, 1000, 1000)]
        {
            let (mut failures, mut windows) = (Failures::default(), Windows::new(START));
            for n in 0..verified + unverified {
                let is_verified = n < verified;
                if is_verified {
                    windows.add(START);
                }
                failures.record(&windows, START, false, is_verified);
            }
            assert_eq!(failures.attempts(&windows, START / 60), attempts);
        }
    }

    #[test]
    fn what_layout_2_counted_were_failures_without_proof() {
        let mut bytes = Vec::new();
        (7_u16, 300_u16).encode(&mut bytes);
        9_u8.encode(&mut bytes);
        let read = Failures::decode(&mut Input::new(&bytes, 2)).expect("reads");
        assert_eq!((read.usual, read.now, read.unverified, read.minute), (7, 300, 255, 9));
    }
}
