//! `limit`: the operator's absolute limit was passed. No model, no learning; it acts from the
//! first second.
//!
//! A limit of L a minute is broken when more than L came within any 60 s. More than L/6 within 10 s is
//! an early warning: at that rate it will be broken, but it is not yet, and a client that pauses keeps
//! its contract. So that justifies throttling at most. Cost: two comparisons where nothing is wrong.

use super::evidence::{CERTAIN_NATS, Evidence, grouped};
use super::timestamp_resolution::TimestampResolution;
use super::window::{Window, Windows};
use crate::model::credential::Kind;
use crate::model::finding::{Action, Measure};
use hashbrown::HashMap;

/// The limit where the operator wrote none. Unit: requests per minute. Chosen.
pub const LIMIT_DEFAULT_PER_MIN: u32 = 10_000;

/// The operator's limits; the most particular one holds: credential, tenant, kind.
/// Unit: requests per minute; 0 is no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// By kind, in the order of [`Kind::ALL`].
    pub by_kind: [u32; Kind::ALL.len()],
    /// By tenant.
    pub by_tenant: HashMap<String, u32>,
    /// By credential, `kind:id`.
    pub by_credential: HashMap<String, u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            by_kind: [LIMIT_DEFAULT_PER_MIN; Kind::ALL.len()],
            by_tenant: HashMap::new(),
            by_credential: HashMap::new(),
        }
    }
}

impl Limits {
    /// The limit of one credential. Cost: allocates where limits by credential are set; it is
    /// asked when a credential is admitted, not by event.
    pub fn of(&self, kind: Kind, id: &str, tenant: Option<&str>) -> u32 {
        if !self.by_credential.is_empty()
            && let Some(limit) = self.by_credential.get(&format!("{kind}:{id}"))
        {
            return *limit;
        }
        let by_tenant = tenant.and_then(|tenant| self.by_tenant.get(tenant));
        let by_kind = self.by_kind.get(kind as usize);
        by_tenant.or(by_kind).copied().unwrap_or(LIMIT_DEFAULT_PER_MIN)
    }
}

/// How a limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The limit. Unit: requests per minute.
    pub limit_per_min: u32,
    /// The count in the stretch in which it was passed.
    pub count: u32,
    /// That stretch. Unit: seconds.
    pub seconds: u32,
}

impl Passed {
    /// The justified action, where a broken limit justifies `action`.
    pub fn justifies(&self, action: Action) -> Action {
        if self.count > self.limit_per_min { action } else { action.min(Action::Throttle) }
    }

    /// The rate in that stretch. Unit: requests per minute.
    pub fn rate_per_min(&self) -> f64 {
        f64::from(self.count) * 60.0 / f64::from(self.seconds)
    }

    /// How many times the limit that rate is.
    pub fn ratio(&self) -> f64 {
        self.rate_per_min() / f64::from(self.limit_per_min)
    }
}

impl Evidence for Passed {
    fn strength(&self) -> f64 {
        self.ratio()
    }

    fn evidence_nats(&self) -> f64 {
        CERTAIN_NATS
    }

    fn summary(&self) -> String {
        format!(
            "made {} requests in {} s, a rate of {} a minute; its limit is {} a minute",
            grouped(f64::from(self.count)),
            self.seconds,
            grouped(self.rate_per_min()),
            grouped(f64::from(self.limit_per_min)),
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("limit_per_min", f64::from(self.limit_per_min)),
            Measure::new("count", f64::from(self.count)),
            Measure::new("window_s", f64::from(self.seconds)),
            Measure::new("rate_per_min", self.rate_per_min()),
            Measure::new("limit_ratio", self.ratio()),
        ]
    }
}

const SHORT_S: u32 = 10;

/// Looks whether `windows` passed `limit_per_min`; 0 is no limit. Where `resolution` is too coarse for
/// 10 s, only the minute counts.
pub fn evaluate(
    windows: &Windows,
    limit_per_min: u32,
    resolution: TimestampResolution,
) -> Option<Passed> {
    if limit_per_min == 0 {
        return None;
    }
    let minute = windows.count(Window::S60);
    if minute > limit_per_min {
        return Some(Passed { limit_per_min, count: minute, seconds: 60 });
    }
    // The 15 s window holds the 10 s one, and its sum is at hand.
    if windows.count(Window::S15).saturating_mul(6) <= limit_per_min
        || !resolution.judges_seconds(SHORT_S)
    {
        return None;
    }
    let short = windows.count_of_seconds(SHORT_S);
    (short.saturating_mul(60 / SHORT_S) > limit_per_min).then_some(Passed {
        limit_per_min,
        count: short,
        seconds: SHORT_S,
    })
}

crate::codec!(Passed { limit_per_min, count, seconds });

#[cfg(test)]
mod tests {
    use super::{Limits, Passed};
    use crate::detect::timestamp_resolution::TimestampResolution;
    use crate::detect::window::Windows;
    use crate::model::credential::Kind;
    use crate::model::finding::Action;

    const START: u32 = 1_700_000_000;

    fn evaluate(windows: &Windows, limit_per_min: u32) -> Option<Passed> {
        super::evaluate(windows, limit_per_min, TimestampResolution::default())
    }

    fn seconds_until_passed(per_s: u32, limit_per_min: u32) -> Option<u32> {
        let mut windows = Windows::new(START);
        (0..120).find(|second| {
            (0..per_s).any(|_| {
                windows.add(START + second);
                evaluate(&windows, limit_per_min).is_some()
            })
        })
    }

    #[test]
    fn a_rate_above_the_limit_is_known_within_ten_seconds() {
        assert_eq!(seconds_until_passed(167, 10_000), Some(9));
        assert_eq!(seconds_until_passed(1667, 10_000), Some(0));
    }

    #[test]
    fn a_rate_that_would_break_the_limit_is_only_slowed_down() {
        let mut windows = Windows::new(START);
        let mut actions = Vec::new();
        for n in 0..10_001 {
            windows.add(START + n / 500);
            let action = evaluate(&windows, 10_000).map(|passed| passed.justifies(Action::Revoke));
            if actions.last() != Some(&action) {
                actions.push(action);
            }
        }
        assert_eq!(actions, [None, Some(Action::Throttle), Some(Action::Revoke)]);
        let warned = Passed { limit_per_min: 10_000, count: 1_700, seconds: 10 };
        assert_eq!(warned.justifies(Action::Observe), Action::Observe);
    }

    #[test]
    fn a_rate_at_the_limit_is_no_offence() {
        assert_eq!(seconds_until_passed(10, 600), None);
    }

    #[test]
    fn a_minutes_budget_in_a_shorter_time_is_known_at_once() {
        assert_eq!(seconds_until_passed(10_001, 10_000), Some(0));
    }

    #[test]
    fn the_most_particular_limit_holds() {
        let mut limits = Limits::default();
        limits.by_kind[Kind::Session as usize] = 60;
        limits.by_tenant.insert("acme".to_owned(), 500);
        limits.by_credential.insert("session:s1".to_owned(), 7);
        assert_eq!(limits.of(Kind::ApiKey, "k", None), 10_000);
        assert_eq!(limits.of(Kind::Session, "s2", None), 60);
        assert_eq!(limits.of(Kind::Session, "s2", Some("acme")), 500);
        assert_eq!(limits.of(Kind::Session, "s1", Some("acme")), 7);
    }

    #[test]
    fn no_limit_is_never_passed() {
        assert_eq!(seconds_until_passed(100_000, 0), None);
    }
}
