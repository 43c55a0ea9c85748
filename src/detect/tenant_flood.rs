//! `tenant_flood`: a tenant takes far more of the fleet's requests than at this hour of the week.
//!
//! Score: the tenant's share of a minute over `max(usual, 0.05)`, where usual is the greatest of
//! this hour of the week, the hour before, and its long average. Gate: its count is at least 20
//! nats unlikely under a negative binomial about the usual share of the fleet's count. Seasons are
//! kept for tenants, not for keys, whose last minutes say more. It alerts at most, and names the
//! tenant's busiest credential. Cost: one counter by event, a pass over the tenants a minute.
//! Source: DETECTION, "What the data say" 6.

use super::evidence::{Evidence, grouped};
use crate::model::finding::{Action, Measure};
use crate::stats::compact::Compact;
use crate::stats::tail::NegativeBinomial;

/// Parameters of a flood.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least usual share that is compared with, in 0..1. Default: 0.05.
    pub share_min: f64,
    /// The least requests of a tenant in a minute. Default: 600.
    pub requests_min: u32,
    /// The ratio to observe. Default: 2.
    pub observe_ratio: f64,
    /// The ratio to alert. Default: 4.
    pub alert_ratio: f64,
    /// The least evidence to speak. Unit: nats. Default: 20.
    pub gate_nats: f64,
    /// How many minutes a tenant must have been watched. Default: 1,440.
    pub minutes_min: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            share_min: 0.05,
            requests_min: 600,
            observe_ratio: 2.0,
            alert_ratio: 4.0,
            gate_nats: 20.0,
            minutes_min: DAY_MINUTES,
        }
    }
}

/// A day: what was watched for less does not know what is usual. Unit: minutes.
pub const DAY_MINUTES: u32 = 1440;
const HOURS_OF_WEEK: usize = 168;
/// An hour's share moves by one part of so many with each of its minutes. Chosen: an hour teaches
/// most of what it says.
const HOUR_LEARNS: f32 = 1.0 / 30.0;
/// The long average moves by one part of so many with each minute. Chosen: about a day.
const LONG_LEARNS: f32 = 1.0 / DAY_MINUTES as f32;
/// The dispersion of a minute's count. Source: DETECTION, "What the data say" 8.
const DISPERSION: f64 = 120.0;

/// A tenant's usual share of the fleet. Shape: 344 bytes.
#[derive(Clone, Debug)]
pub struct Season {
    by_hour: [Compact; HOURS_OF_WEEK],
    long: f32,
    minutes: u32,
}

impl Default for Season {
    fn default() -> Self {
        Self { by_hour: [Compact::default(); HOURS_OF_WEEK], long: 0.0, minutes: 0 }
    }
}

/// The hour of the week of a minute (since 1970).
const fn hour_of_week(minute: u32) -> usize {
    (minute / 60) as usize % HOURS_OF_WEEK
}

/// A tenant's share of a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its requests.
    pub requests: u64,
    /// Everybody's requests.
    pub fleet: u64,
}

impl Taken {
    /// Its part of everybody's, in 0..1.
    pub fn share(self) -> f64 {
        self.requests as f64 / self.fleet.max(1) as f64
    }
}

/// A tenant's usual share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Its part of everybody's requests at this hour of the week, in 0..1.
    pub share: f64,
    /// How many minutes that was learned from.
    pub minutes: u32,
}

impl Season {
    /// The usual share in `minute` (since 1970).
    pub fn usual(&self, minute: u32) -> Usual {
        let hour = hour_of_week(minute);
        let at = |hour: usize| self.by_hour.get(hour).map_or(0.0, |share| share.value());
        let share = at(hour).max(at((hour + HOURS_OF_WEEK - 1) % HOURS_OF_WEEK)).max(self.long);
        Usual { share: share.into(), minutes: self.minutes }
    }

    /// Learns a minute (since 1970).
    pub fn learn(&mut self, minute: u32, taken: Taken) {
        let share = crate::stats::rate::narrow(taken.share());
        if let Some(hour) = self.by_hour.get_mut(hour_of_week(minute)) {
            let usual = hour.value();
            *hour = Compact::nearest(usual + HOUR_LEARNS * (share - usual));
        }
        if self.minutes == 0 {
            self.long = share;
        }
        self.long += LONG_LEARNS * (share - self.long);
        self.minutes = self.minutes.saturating_add(1);
    }
}

/// A tenant takes far more of the fleet than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flood {
    /// The tenant's requests of the minute.
    pub requests: u32,
    /// Its share of the fleet's, in 0..1.
    pub share: f64,
    /// The share that is usual at this hour of the week, in 0..1.
    pub usual_share: f64,
    /// `share / max(usual, least)`.
    pub ratio: f64,
    /// How unlikely so many are. Unit: nats.
    pub evidence_nats: f64,
}

/// Evaluates `tenant_flood` for a minute.
pub fn evaluate(taken: Taken, usual: Usual, params: &Params) -> Option<(Action, Flood)> {
    if taken.requests < params.requests_min.into() || usual.minutes < params.minutes_min {
        return None;
    }
    let (share, compared) = (taken.share(), usual.share.max(params.share_min));
    let ratio = share / compared;
    if ratio < params.observe_ratio {
        return None;
    }
    let mean = compared * taken.fleet as f64;
    let model = NegativeBinomial::new(mean, DISPERSION, f64::from(usual.minutes));
    let evidence_nats = -model.ln_tail(taken.requests as f64);
    if evidence_nats < params.gate_nats {
        return None;
    }
    let action = if ratio >= params.alert_ratio { Action::Alert } else { Action::Observe };
    let requests = u32::try_from(taken.requests).unwrap_or(u32::MAX);
    Some((action, Flood { requests, share, usual_share: usual.share, ratio, evidence_nats }))
}

impl Evidence for Flood {
    fn strength(&self) -> f64 {
        self.ratio
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        format!(
            "is the busiest of a tenant that made {} requests in a minute, {:.0} % of all, where \
             {:.1} % are usual at this hour of the week",
            grouped(f64::from(self.requests)),
            self.share * 100.0,
            self.usual_share * 100.0,
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("tenant_requests", f64::from(self.requests)),
            Measure::new("share_ratio", self.share),
            Measure::new("share_usual_ratio", self.usual_share),
            Measure::new("share_over_usual", self.ratio),
            Measure::new("tail_nats", self.evidence_nats),
        ]
    }
}

crate::codec!(Season { by_hour, long, minutes });
crate::codec!(Flood { requests, share, usual_share, ratio, evidence_nats });

#[cfg(test)]
mod tests {
    use super::{Params, Season, Taken, evaluate};
    use crate::model::finding::Action;

    /// A Monday, 00:00 UTC.
    const MONDAY: u32 = 28_404_000 / 10_080 * 10_080 + 5760;

    fn taken(requests: u64) -> Taken {
        Taken { requests, fleet: 10_000 }
    }

    #[test]
    fn what_is_usual_at_this_hour_of_the_week_is_no_flood_and_at_another_it_is() {
        let mut season = Season::default();
        for n in 0..3 * 7 * 1440 {
            let at = MONDAY + n;
            let busy = at / 60 % 168 == MONDAY / 60 % 168;
            season.learn(at, taken(if busy { 8000 } else { 300 }));
        }
        let week = 7 * 1440;
        let action = |at, requests| {
            evaluate(taken(requests), season.usual(at), &Params::default())
                .map(|(action, _)| action)
        };
        assert_eq!(action(MONDAY + 3 * week + 10, 8000), None);
        assert_eq!(action(MONDAY + 3 * week + 700, 8000), Some(Action::Alert));
        assert_eq!(action(MONDAY + 3 * week + 700, 320), None);
    }
}
