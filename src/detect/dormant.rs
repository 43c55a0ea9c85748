//! `dormant`: a credential that slept for long is used again, from where it was never used.
//!
//! Slept: at least 7 days, and at least twice as long as ever before. Within the first hour awake
//! a new source alerts at its first request; waking alone is observed after 30 days. Evidence: the
//! surprise of the source, and that in `d` days of use no such sleep ended, `ln(1 + d)` (rule of
//! succession). Cost: nothing by event while awake.

use super::evidence::Evidence;
use crate::model::finding::{Action, Measure};

/// Parameters of a remarkable sleep.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least sleep. Unit: days. Default: 7.
    pub days_min: u8,
    /// The least sleep after which waking alone is observed. Unit: days. Default: 30.
    pub days_long: u8,
    /// The least surprise of the source to alert. Unit: nats. Default: 3.
    pub alert_nats: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self { days_min: 7, days_long: 30, alert_nats: 3.0 }
    }
}

const HOUR_S: u32 = 3600;
const DAY_S: u32 = 86_400;

/// How a credential sleeps. Shape: 4 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sleep {
    /// The hour (since 1970, modulo 65,536) in which it woke.
    woke_hour: u16,
    /// Unit: days; 0: it has not just woken.
    slept_days: u8,
    longest_days: u8,
}

/// Woken from a long sleep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Woken {
    /// How long it slept. Unit: days; 255: that or more.
    pub slept_days: u8,
    /// The longest sleep before. Unit: days.
    pub longest_days: u8,
    /// How surprising the source is. Unit: nats; 0: known.
    pub source_nats: f64,
    /// See the head of this file. Unit: nats.
    pub evidence_nats: f64,
}

fn hour_of(second: u32) -> u16 {
    u16::try_from((second / HOUR_S) & 0xffff).unwrap_or(0)
}

impl Sleep {
    /// Time moves from `last` use to `next`; a sleep may just have ended.
    pub fn minute_ends(&mut self, last: u32, next: u32, frozen: bool, params: &Params) {
        let days = u8::try_from((next - last) / DAY_S).unwrap_or(u8::MAX);
        if days >= params.days_min {
            self.learn();
            self.slept_days = days;
            self.woke_hour = hour_of(next);
        } else if self.slept_days > 0 && !frozen && self.awake_hours(next) >= 24 {
            self.learn();
        }
    }

    fn learn(&mut self) {
        self.longest_days = self.longest_days.max(std::mem::take(&mut self.slept_days));
    }

    fn awake_hours(self, second: u32) -> u16 {
        hour_of(second).wrapping_sub(self.woke_hour)
    }

    /// How long it slept, if it woke in this hour of the clock or the one before, and never slept
    /// more than half as long before. Unit: days; 0: it did not.
    pub fn just_slept_days(self, second: u32) -> u8 {
        let unusual = self.slept_days >= self.longest_days.saturating_mul(2);
        if unusual && self.awake_hours(second) <= 1 { self.slept_days } else { 0 }
    }
}

/// Evaluates `dormant` for a request at `second` whose source surprises by `source_nats`, of a
/// credential first seen at `first_seen`.
pub fn evaluate(
    sleep: Sleep,
    second: u32,
    first_seen: u32,
    source_nats: f64,
    params: &Params,
) -> Option<(Action, Woken)> {
    let slept_days = sleep.just_slept_days(second);
    if slept_days < params.days_min {
        return None;
    }
    let alerts = source_nats >= params.alert_nats;
    if !alerts && slept_days < params.days_long {
        return None;
    }
    let days = f64::from(second.saturating_sub(first_seen)) / f64::from(DAY_S);
    let woken = Woken {
        slept_days,
        longest_days: sleep.longest_days,
        source_nats,
        evidence_nats: source_nats + days.ln_1p(),
    };
    Some((if alerts { Action::Alert } else { Action::Observe }, woken))
}

impl Evidence for Woken {
    fn strength(&self) -> f64 {
        self.evidence_nats
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        let source = if self.source_nats > 0.0 {
            "from a source that it never used before"
        } else {
            "from a known source"
        };
        format!("was used again after {} days of sleep, {source}", self.slept_days)
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("slept_days", f64::from(self.slept_days)),
            Measure::new("slept_longest_days", f64::from(self.longest_days)),
            Measure::new("source_nats", self.source_nats),
        ]
    }
}

crate::codec!(Sleep { woke_hour, slept_days, longest_days });
crate::codec!(Woken { slept_days, longest_days, source_nats, evidence_nats });

#[cfg(test)]
mod tests {
    use super::{DAY_S, Params, Sleep, evaluate};
    use crate::model::finding::Action;

    const START: u32 = 1_700_000_040;

    #[test]
    fn a_long_sleep_is_remarkable_for_an_hour_and_usual_the_second_time() {
        let params = Params::default();
        let mut sleep = Sleep::default();
        let mut now = START + 40 * DAY_S;
        sleep.minute_ends(START, now, false, &params);
        let action = |sleep, now, nats| evaluate(sleep, now, START, nats, &params).map(|(a, _)| a);
        assert_eq!(action(sleep, now, 9.0), Some(Action::Alert));
        assert_eq!(action(sleep, now, 0.0), Some(Action::Observe));
        assert_eq!(action(sleep, now + 3 * 3600, 9.0), None);
        sleep.minute_ends(now, now + 2 * DAY_S, false, &params);
        now += 2 * DAY_S;
        sleep.minute_ends(now, now + 40 * DAY_S, false, &params);
        assert_eq!(action(sleep, now + 40 * DAY_S, 9.0), None);
    }

    #[test]
    fn a_weekend_is_no_sleep() {
        let params = Params::default();
        let mut sleep = Sleep::default();
        sleep.minute_ends(START, START + 3 * DAY_S, false, &params);
        assert_eq!(evaluate(sleep, START + 3 * DAY_S, START, 20.0, &params), None);
    }
}
