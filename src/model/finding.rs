//! A finding: one detector's result about one stretch of abnormal use of one credential, with its numbers.

use super::credential::Credential;
use super::time::EventTime;
use compact_str::CompactString;
use siphasher::sip::SipHasher13;
use std::borrow::Cow;
use std::fmt;
use std::hash::Hasher;

/// The actions about a credential, from the mildest to the most severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Action {
    /// Written down.
    Observe,
    /// People are notified.
    Alert,
    /// Slowed down for a while.
    Throttle,
    /// Refused for a while.
    Suspend,
    /// Refused for good, until a person restores it.
    Revoke,
}

impl Action {
    /// Every action, mildest first.
    pub const ALL: [Self; 5] =
        [Self::Observe, Self::Alert, Self::Throttle, Self::Suspend, Self::Revoke];

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Alert => "alert",
            Self::Throttle => "throttle",
            Self::Suspend => "suspend",
            Self::Revoke => "revoke",
        }
    }

    /// The action of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// Whether it takes something away from the holder, and so needs an auth store.
    pub fn is_enforced(self) -> bool {
        self >= Self::Throttle
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which aspect of a credential's use made the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Detector {
    /// The operator's absolute limit was passed.
    Limit,
    /// The count in a window is far above the credential's own peak.
    Burst,
    /// The rate climbed and stays.
    Ramp,
    /// Used from a new network, country or user agent.
    Origin,
    /// Used from far more networks at a time than usual.
    FanOut,
    /// Calls far more endpoints than usual.
    Endpoints,
    /// Named by far more rejected requests than usual.
    Failures,
    /// Costs far more units than ever.
    Cost,
    /// The rhythm of its requests changed.
    Cadence,
    /// Used again after a long sleep.
    Dormant,
    /// Its tenant takes far more of the fleet than usual.
    TenantFlood,
    /// Its secret was found where others can read it.
    Leak,
    /// Used outside its life, after it was taken out of service, or from a denied address.
    Validity,
    /// A used-up refresh token came back, or its family was ended by that.
    Reuse,
    /// A session at two places at once, or longer than it may live.
    Session,
    /// A credential that no one has a reason to use was presented.
    Canary,
}

impl Detector {
    /// Every detector.
    pub const ALL: [Self; 16] = [
        Self::Limit,
        Self::Burst,
        Self::Ramp,
        Self::Origin,
        Self::FanOut,
        Self::Endpoints,
        Self::Failures,
        Self::Cost,
        Self::Cadence,
        Self::Dormant,
        Self::TenantFlood,
        Self::Leak,
        Self::Validity,
        Self::Reuse,
        Self::Session,
        Self::Canary,
    ];

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Burst => "burst",
            Self::Ramp => "ramp",
            Self::Origin => "origin",
            Self::FanOut => "fan_out",
            Self::Endpoints => "endpoints",
            Self::Failures => "failures",
            Self::Cost => "cost",
            Self::Cadence => "cadence",
            Self::Dormant => "dormant",
            Self::TenantFlood => "tenant_flood",
            Self::Leak => "leak",
            Self::Validity => "validity",
            Self::Reuse => "reuse",
            Self::Session => "session",
            Self::Canary => "canary",
        }
    }

    /// The detector of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|detector| detector.as_str() == name)
    }

    /// Whether it states a fact rather than how unusual a use is: such a finding waits for no baseline
    /// and needs no false-action budget.
    pub const fn is_proof(self) -> bool {
        matches!(self, Self::Leak | Self::Validity | Self::Reuse | Self::Session | Self::Canary)
    }
}

/// Some of the detectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detectors(u16);

impl Detectors {
    /// These and `detector`, if `asked`.
    #[must_use]
    pub const fn with(self, detector: Detector, asked: bool) -> Self {
        Self(self.0 | (asked as u16) << detector as u16)
    }

    /// These but the `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Those, in order.
    pub fn iter(self) -> impl Iterator<Item = Detector> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = Detector::ALL.get(left.trailing_zeros() as usize).copied();
            left &= left.wrapping_sub(1);
            next
        })
    }

    /// Whether `detector` is among them.
    pub const fn has(self, detector: Detector) -> bool {
        self.0 & (1 << detector as u16) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A finding's name, `f_` and 16 hexadecimal digits: a function of credential, detector and
/// finding start, so that a replay makes the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId(u64);

impl FindingId {
    /// The id of a finding.
    pub fn of(credential: &Credential, detector: Detector, opened: EventTime) -> Self {
        // Not a defence against forgery, so the key is fixed: the same on every instance.
        let mut hasher = SipHasher13::new_with_keys(0x7472_6970_6c69_6e65, 0x66_696e_6469_6e67);
        hasher.write_u8(credential.kind() as u8);
        hasher.write_u8(detector as u8);
        hasher.write_i64(opened.ms());
        hasher.write(credential.id().as_bytes());
        Self(hasher.finish())
    }

    /// Its digits as a number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("f_").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f_{:016x}", self.0)
    }
}

/// When each action was first justified, by event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached([Option<EventTime>; Action::ALL.len()]);

impl Reached {
    /// Notes that `action`, and all below it, was justified at `at`; the first time stays.
    pub fn record(&mut self, action: Action, at: EventTime) {
        for slot in self.0.iter_mut().take(action as usize + 1) {
            slot.get_or_insert(at);
        }
    }

    /// Notes that `action` alone was first justified at `at`, as when reading a finding back.
    pub fn record_exactly(&mut self, action: Action, at: EventTime) {
        if let Some(slot) = self.0.get_mut(action as usize) {
            *slot = Some(at);
        }
    }

    /// When `action` was first justified.
    pub fn at(&self, action: Action) -> Option<EventTime> {
        self.0.get(action as usize).copied().flatten()
    }
}

/// A condition on the way to a more severe action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Gate {
    /// The rate is high enough to suspend, should the context agree.
    Rate,
    /// Source and share of the excess speak of theft.
    Context,
    /// Something besides network and country is new, or the credential slept for long.
    Corroborated,
    /// Enough is known of the credential to take it out of service for its rate.
    Mature,
}

impl Gate {
    /// Every gate.
    pub const ALL: [Self; 4] = [Self::Rate, Self::Context, Self::Corroborated, Self::Mature];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Context => "context",
            Self::Corroborated => "corroborated",
            Self::Mature => "mature",
        }
    }

    /// The gate of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == name)
    }
}

/// The gates that a finding passed, each at any time so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates(u8);

impl Gates {
    /// None.
    pub const NONE: Self = Self(0);

    /// These and `gate`, if it was `passed`.
    #[must_use]
    pub const fn with(self, gate: Gate, passed: bool) -> Self {
        Self(self.0 | (passed as u8) << gate as u8)
    }

    /// These and the `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether `gate` was passed.
    pub const fn has(self, gate: Gate) -> bool {
        self.0 & (1 << gate as u8) != 0
    }

    /// Those passed.
    pub fn iter(self) -> impl Iterator<Item = Gate> {
        Gate::ALL.into_iter().filter(move |gate| self.has(*gate))
    }
}

/// One number of a finding, under the name it has on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name, with the unit last.
    pub name: Cow<'static, str>,
    /// Its value; always finite.
    pub value: f64,
}

impl Measure {
    /// A number under a name.
    pub const fn new(name: &'static str, value: f64) -> Self {
        Self { name: Cow::Borrowed(name), value }
    }
}

/// One detector's result about one stretch of abnormal use; updated while that lasts.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its name.
    pub id: FindingId,
    /// Whom it is about.
    pub credential: Credential,
    /// The credential's tenant, where known.
    pub tenant: Option<CompactString>,
    /// The detector.
    pub detector: Detector,
    /// The most severe action that was justified so far.
    pub action: Action,
    /// When the finding opened.
    pub opened: EventTime,
    /// When each action was first justified.
    pub reached: Reached,
    /// The gates that it passed so far.
    pub gates: Gates,
    /// When the finding last changed.
    pub updated: EventTime,
    /// When the finding closed.
    pub closed: Option<EventTime>,
    /// Strength of the claim. Unit: nats, the negative logarithm of a tail probability.
    pub evidence_nats: f64,
    /// A sentence that a person on call understands without a manual.
    pub summary: String,
    /// The numbers from which the claim can be recomputed.
    pub evidence: Vec<Measure>,
    /// Where a fact was seen: the place of a leak, or the gateway that let a use pass.
    pub place: Option<CompactString>,
    /// When the credential ends by itself, where known.
    pub expires: Option<EventTime>,
}

impl Finding {
    /// The number that says whether an operator wrote the limit down: 1, or 0 for the built-in one.
    pub const LIMIT_WRITTEN: &str = "limit_written";

    /// Whether it needs neither a baseline nor a false-action budget: a limit that an operator wrote
    /// down, or a fact. The built-in limit was agreed on with no one, and needs a proof as what is
    /// learned does.
    pub fn needs_no_proof(&self) -> bool {
        let is_built_in = |one: &Measure| one.name == Self::LIMIT_WRITTEN && one.value == 0.0;
        let is_limit = self.detector == Detector::Limit;
        self.detector.is_proof() || is_limit && !self.evidence.iter().any(is_built_in)
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Detector, FindingId, Reached};
    use crate::model::credential::{Credential, Kind};
    use crate::model::time::EventTime;

    #[test]
    fn the_id_of_a_finding_depends_on_all_that_names_the_open_finding_and_on_nothing_else() {
        let key = Credential::new(Kind::ApiKey, "k").expect("valid");
        let session = Credential::new(Kind::Session, "k").expect("valid");
        let (early, late) = (EventTime::from_ms(1), EventTime::from_ms(2));
        let id = FindingId::of(&key, Detector::Burst, early);
        assert_eq!(id, FindingId::of(&key, Detector::Burst, early));
        assert_ne!(id, FindingId::of(&session, Detector::Burst, early));
        assert_ne!(id, FindingId::of(&key, Detector::Limit, early));
        assert_ne!(id, FindingId::of(&key, Detector::Burst, late));
        assert_eq!(FindingId::parse(&id.to_string()), Some(id));
        assert_eq!(FindingId::parse("f_zz"), None);
    }

    #[test]
    fn a_graver_action_implies_the_milder_ones_and_the_first_time_stays() {
        let mut reached = Reached::default();
        reached.record(Action::Alert, EventTime::from_ms(1));
        reached.record(Action::Suspend, EventTime::from_ms(5));
        assert_eq!(reached.at(Action::Alert), Some(EventTime::from_ms(1)));
        assert_eq!(reached.at(Action::Throttle), Some(EventTime::from_ms(5)));
        assert_eq!(reached.at(Action::Revoke), None);
    }
}
