//! `limit`: the operator's absolute limit was passed. No model, no learning; it acts from the
//! first second.
//!
//! A limit of L a minute is broken when more than L came within any 60 s. More than L/6 within 10 s is
//! an early warning: at that rate it will be broken, but it is not yet, and a client that pauses keeps
//! its contract. So that justifies throttling at most, as does a limit that no operator wrote down: it was
//! agreed on with no one. Cost: two comparisons where nothing is wrong.

use super::evidence::{CERTAIN_NATS, Evidence, grouped};
use super::timestamp_resolution::TimestampResolution;
use super::window::{Window, Windows};
use crate::model::credential::Kind;
use crate::model::finding::{Action, Finding, Measure};
use crate::stats::codec::{Codec, Input};
use hashbrown::HashMap;

/// A limit, and whether an operator wrote it down. Shape: 4 bytes, the highest bit set where none did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    const UNWRITTEN: u32 = 0x8000_0000;
    /// No limit.
    pub const NONE: Self = Self(0);
    /// The limit where no operator wrote one. Measured: one honest client of 109 exceeds it, again and
    /// again; so it is no reason to revoke.
    pub const BUILT_IN: Self = Self(Self::UNWRITTEN + 10_000);

    /// One that an operator wrote down. Unit: requests per minute; 0 is no limit.
    pub const fn written(per_min: u32) -> Self {
        Self(if per_min < Self::UNWRITTEN { per_min } else { Self::UNWRITTEN - 1 })
    }

    /// Unit: requests per minute; 0 is no limit.
    pub const fn per_min(self) -> u32 {
        self.0 & !Self::UNWRITTEN
    }

    /// Whether an operator wrote it down.
    pub const fn is_written(self) -> bool {
        self.0 & Self::UNWRITTEN == 0
    }
}

impl Codec for Limit {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        u32::decode(input).map(Self)
    }
}

/// The limits; the most particular one holds: credential, tenant, kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// By kind, in the order of [`Kind::ALL`].
    pub by_kind: [Limit; Kind::ALL.len()],
    /// By tenant. Unit: requests per minute; 0 is no limit.
    pub by_tenant: HashMap<String, u32>,
    /// By credential, `kind:id`. Unit: requests per minute; 0 is no limit.
    pub by_credential: HashMap<String, u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            by_kind: [Limit::BUILT_IN; Kind::ALL.len()],
            by_tenant: HashMap::new(),
            by_credential: HashMap::new(),
        }
    }
}

impl Limits {
    /// The limit of one credential. Cost: allocates where limits by credential are set; it is
    /// asked when a credential is admitted, not by event.
    pub fn of(&self, kind: Kind, id: &str, tenant: Option<&str>) -> Limit {
        if !self.by_credential.is_empty()
            && let Some(limit) = self.by_credential.get(&format!("{kind}:{id}"))
        {
            return Limit::written(*limit);
        }
        let by_tenant = tenant.and_then(|tenant| self.by_tenant.get(tenant));
        let by_kind = || self.by_kind.get(kind as usize).copied().unwrap_or(Limit::BUILT_IN);
        by_tenant.map_or_else(by_kind, |limit| Limit::written(*limit))
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
    /// Whether an operator wrote the limit down.
    pub is_written: bool,
}

impl Passed {
    /// The justified action, where a broken limit justifies `action`.
    pub fn justifies(&self, action: Action) -> Action {
        let is_broken = self.is_written && self.count > self.limit_per_min;
        if is_broken { action } else { action.min(Action::Throttle) }
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
            "made {} requests in {} s, a rate of {} a minute; {} is {} a minute",
            grouped(f64::from(self.count)),
            self.seconds,
            grouped(self.rate_per_min()),
            if self.is_written {
                "its limit"
            } else {
                "the built-in limit, which throttles at most,"
            },
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
            Measure::new(Finding::LIMIT_WRITTEN, f64::from(u8::from(self.is_written))),
        ]
    }
}

const SHORT_S: u32 = 10;

/// Looks whether `windows` passed `limit`. Where `resolution` is too coarse for 10 s, only the minute
/// counts.
pub fn evaluate(
    windows: &Windows,
    limit: Limit,
    resolution: TimestampResolution,
) -> Option<Passed> {
    let (limit_per_min, is_written) = (limit.per_min(), limit.is_written());
    if limit_per_min == 0 {
        return None;
    }
    let minute = windows.count(Window::S60);
    if minute > limit_per_min {
        return Some(Passed { limit_per_min, count: minute, seconds: 60, is_written });
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
        is_written,
    })
}

impl Codec for Passed {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.limit_per_min, self.count).encode(out);
        (self.seconds, self.is_written).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (limit_per_min, count) = Codec::decode(input)?;
        let seconds = Codec::decode(input)?;
        // Before version 4 every limit could revoke.
        let is_written = if input.version() >= 4 { Codec::decode(input)? } else { true };
        Some(Self { limit_per_min, count, seconds, is_written })
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, Limits, Passed};
    use crate::detect::timestamp_resolution::TimestampResolution;
    use crate::detect::window::Windows;
    use crate::model::credential::Kind;
    use crate::model::finding::Action;

    const START: u32 = 1_700_000_000;

    fn evaluate(windows: &Windows, limit_per_min: u32) -> Option<Passed> {
        let limit = Limit::written(limit_per_min);
        super::evaluate(windows, limit, TimestampResolution::default())
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
        let warned = Passed { limit_per_min: 10_000, count: 1_700, seconds: 10, is_written: true };
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
        limits.by_kind[Kind::Session as usize] = Limit::written(60);
        limits.by_tenant.insert("acme".to_owned(), 500);
        limits.by_credential.insert("session:s1".to_owned(), 7);
        assert_eq!(limits.of(Kind::ApiKey, "k", None), Limit::BUILT_IN);
        assert_eq!(limits.of(Kind::Session, "s2", None), Limit::written(60));
        assert_eq!(limits.of(Kind::Session, "s2", Some("acme")), Limit::written(500));
        assert_eq!(limits.of(Kind::Session, "s1", Some("acme")), Limit::written(7));
        assert_eq!(limits.of(Kind::ApiKey, "k", Some("acme")), Limit::written(500));
    }

    #[test]
    fn a_limit_that_no_operator_wrote_down_throttles_at_most() {
        let mut windows = Windows::new(START);
        for _ in 0..20_000 {
            windows.add(START);
        }
        let justified = |limit| {
            let passed = super::evaluate(&windows, limit, TimestampResolution::default());
            passed.map(|passed| passed.justifies(Action::Revoke))
        };
        assert_eq!(justified(Limit::BUILT_IN), Some(Action::Throttle));
        assert_eq!(justified(Limit::written(10_000)), Some(Action::Revoke));
        assert_eq!((Limit::BUILT_IN.per_min(), Limit::BUILT_IN.is_written()), (10_000, false));
    }

    #[test]
    fn no_limit_is_never_passed() {
        assert_eq!(seconds_until_passed(100_000, 0), None);
    }
}
