//! A decision: the complete, immutable order about one credential, and what became of it.

use super::credential::Credential;
use super::finding::{Action, FindingId, Measure};
use super::time::EventTime;
use compact_str::CompactString;
use siphasher::sip::SipHasher13;
use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

/// The most severe action that is now carried out. Default: shadow, nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Everything is written down, no one is notified, nothing is carried out.
    #[default]
    Shadow,
    /// People are notified.
    Alert,
    /// Throttling is carried out.
    Throttle,
    /// Suspension is carried out.
    Suspend,
    /// Revocation is carried out.
    Revoke,
}

impl Mode {
    /// Every mode, mildest first.
    pub const ALL: [Self; 5] =
        [Self::Shadow, Self::Alert, Self::Throttle, Self::Suspend, Self::Revoke];

    /// The name in configuration and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Alert => "alert",
            Self::Throttle => "throttle",
            Self::Suspend => "suspend",
            Self::Revoke => "revoke",
        }
    }

    /// The mode of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// The most severe action it lets through.
    pub const fn cap(self) -> Action {
        match self {
            Self::Shadow => Action::Observe,
            Self::Alert => Action::Alert,
            Self::Throttle => Action::Throttle,
            Self::Suspend => Action::Suspend,
            Self::Revoke => Action::Revoke,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Rises by one with each decision on a credential; stores refuse a stale one. 0: none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A credential's status at an auth store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// In service.
    #[default]
    Active,
    /// In service, slowed down.
    Throttled,
    /// Refused for a while.
    Suspended,
    /// Refused for good.
    Revoked,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Active, Self::Throttled, Self::Suspended, Self::Revoked];

    /// The name in stores and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Throttled => "throttled",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// The status of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// The order of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// An action of the ladder.
    Act(Action),
    /// Back into service, by a person or because an action expired.
    Restore,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 6] = [
        Self::Act(Action::Observe),
        Self::Act(Action::Alert),
        Self::Act(Action::Throttle),
        Self::Act(Action::Suspend),
        Self::Act(Action::Revoke),
        Self::Restore,
    ];

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Act(action) => action.as_str(),
            Self::Restore => "restore",
        }
    }

    /// The order of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "restore" => Some(Self::Restore),
            _ => Action::parse(name).map(Self::Act),
        }
    }

    /// The status that it leads to at a store once it is carried out; `None`: nothing changes.
    pub const fn status(self) -> Option<Status> {
        match self {
            Self::Act(Action::Observe | Action::Alert) => None,
            Self::Act(Action::Throttle) => Some(Status::Throttled),
            Self::Act(Action::Suspend) => Some(Status::Suspended),
            Self::Act(Action::Revoke) => Some(Status::Revoked),
            Self::Restore => Some(Status::Active),
        }
    }
}

/// A safeguard that lowered an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Safeguard {
    /// The mode allows less.
    Mode,
    /// The credential is on the allow list: never more than alert.
    AllowList,
    /// The revocation limit has no token left for a revocation.
    RevocationLimit,
    /// The past is being read: never more than alert.
    CatchUp,
    /// It is not yet proven that the action keeps to its budget of false ones.
    Budget,
    /// Many credentials burst at once, a common cause: never more than throttle.
    CommonCause,
    /// Too little is known of the credential to revoke it for its rate: suspended at most.
    Maturity,
    /// tripline started a moment ago and knows little of anyone: never more than throttle.
    WarmUp,
    /// People have to agree first: suspended meanwhile.
    Approval,
    /// An invariant would have been broken: never more than alert.
    Invariant,
}

impl Safeguard {
    /// Every safeguard.
    pub const ALL: [Self; 10] = [
        Self::Mode,
        Self::AllowList,
        Self::RevocationLimit,
        Self::CatchUp,
        Self::Budget,
        Self::CommonCause,
        Self::Maturity,
        Self::WarmUp,
        Self::Approval,
        Self::Invariant,
    ];

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::AllowList => "allow_list",
            Self::RevocationLimit => "revocation_limit",
            Self::CatchUp => "catch_up",
            Self::Budget => "budget",
            Self::CommonCause => "common_cause",
            Self::Maturity => "maturity",
            Self::WarmUp => "warm_up",
            Self::Approval => "approval",
            Self::Invariant => "invariant",
        }
    }

    /// The safeguard of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|safeguard| safeguard.as_str() == name)
    }
}

/// A decision's name, `d_` and 16 hexadecimal digits: a function of credential, generation, time,
/// finding and order. It is the operation id by which stores know a repeated delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    /// Names the decision of that generation on that credential, made at `at` for that finding.
    pub fn of(
        credential: &Credential,
        generation: Generation,
        at: EventTime,
        (finding, order): (Option<FindingId>, Order),
    ) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x7472_6970_6c69_6e65, 0x6465_6369_7369_6f6e);
        hasher.write_u8(credential.kind() as u8);
        hasher.write_u64(generation.0);
        hasher.write_i64(at.ms());
        hasher.write_u64(finding.map_or(0, FindingId::bits));
        hasher.write(order.as_str().as_bytes());
        hasher.write(credential.id().as_bytes());
        Self(hasher.finish())
    }

    /// Its digits as a number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("d_").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d_{:016x}", self.0)
    }
}

/// The complete order about one credential. Immutable once made.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Its name, and the operation id in stores.
    pub id: DecisionId,
    /// The finding that justified it; none where a person or an expiry ordered it.
    pub finding: Option<FindingId>,
    /// Whom it is about.
    pub credential: Credential,
    /// The credential's tenant, where known.
    pub tenant: Option<CompactString>,
    /// Its rank among the decisions on this credential; 0 where it is not carried out.
    pub generation: Generation,
    /// The rank of the newest decision of another instance that was known when it was made; 0: none was. A
    /// store that all instances write refuses it where it holds a newer one of another instance.
    pub base: Generation,
    /// The instance that made it, where this one follows it; none: this one did.
    pub origin: Option<InstanceId>,
    /// The most severe action that the evidence justified.
    pub wanted: Action,
    /// The order after the safeguards; where it is not carried out, the one that would be.
    pub order: Order,
    /// The mode in force.
    pub mode: Mode,
    /// Whether stores are notified.
    pub carried_out: bool,
    /// The safeguards that lowered it, in the order in which they spoke.
    pub held_by: Vec<Safeguard>,
    /// When it ends by itself; none for good.
    pub until: Option<EventTime>,
    /// When it was made, by the clock of the host; a replay follows event time.
    pub at: EventTime,
    /// When the credential ends by itself, where known: stores need not remember it for longer.
    pub expires: Option<EventTime>,
    /// The author: `tripline`, or the person's name.
    pub by: CompactString,
    /// Why, in words: the finding's summary or the person's reason.
    pub reason: String,
    /// The numbers from which it can be recomputed (invariant S-8).
    pub evidence: Vec<Measure>,
}

/// A store's answer to a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Receipt {
    /// It is in force now.
    Applied,
    /// The same decision was in force before.
    Already,
    /// The store took it, and can't show that anything changed: an authorization server says yes to a
    /// token that it doesn't know.
    Unverified,
    /// A newer decision is in force.
    Stale,
    /// The store will not do it, however often it is asked: wrong rights, wrong type of key.
    Refused,
    /// The store could not be asked, or its answer was lost: it is due again.
    Unreachable,
    /// The store has no way to do it: nothing changes there. A pure receiver of revocations can't
    /// slow down or restore.
    Unsupported,
}

impl Receipt {
    /// Every receipt.
    pub const ALL: [Self; 7] = [
        Self::Applied,
        Self::Already,
        Self::Unverified,
        Self::Stale,
        Self::Refused,
        Self::Unreachable,
        Self::Unsupported,
    ];

    /// The name in the journal and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Already => "already",
            Self::Unverified => "unverified",
            Self::Stale => "stale",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
        }
    }

    /// The receipt of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|receipt| receipt.as_str() == name)
    }

    /// Whether the decision needs no further delivery.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Applied | Self::Already | Self::Unverified | Self::Stale | Self::Unsupported => {
                true
            }
            Self::Refused | Self::Unreachable => false,
        }
    }
}

/// An instance of a fleet: a random number that lasts as long as its `data_dir`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

impl InstanceId {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16).map(Self)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which instance made a decision that a store holds, for whom and in knowledge of what: what another
/// instance needs to adopt it, or to compare it with a decision of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The instance.
    pub instance: InstanceId,
    /// See [`Decision::base`].
    pub base: Generation,
    /// The author: `tripline`, or the person's name.
    pub by: CompactString,
    /// Why, in words; empty where the store does not keep it.
    pub reason: String,
    /// When it was made.
    pub at: EventTime,
    /// When it ends by itself.
    pub until: Option<EventTime>,
    /// When the credential ends by itself, where known.
    pub expires: Option<EventTime>,
    /// The credential's tenant, where known.
    pub tenant: Option<CompactString>,
    /// Whether a revocation waits for people to agree, of which it is the suspension meanwhile.
    pub waits: bool,
}

/// A store's entry about a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// The rank of the decision that it holds.
    pub generation: Generation,
    /// That decision, where the store says it.
    pub decision: Option<DecisionId>,
    /// The status that gateways get, where the store has it.
    pub status: Option<Status>,
    /// The finding behind it, where the store says it.
    pub finding: Option<FindingId>,
    /// When it ends by itself, where the store says it.
    pub until: Option<EventTime>,
    /// Where it comes from, where the store says it.
    pub provenance: Option<Arc<Provenance>>,
}

impl From<Generation> for Holding {
    /// A store that says no more than the generation.
    fn from(generation: Generation) -> Self {
        Self { generation, ..Self::default() }
    }
}

/// How a delivery to a store went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The store's answer.
    pub receipt: Receipt,
    /// The store's entry, where it refused an older decision.
    pub held: Option<Holding>,
    /// For how long the store asks to be left alone. Unit: milliseconds.
    pub wait_ms: u64,
}

impl From<Receipt> for Delivery {
    fn from(receipt: Receipt) -> Self {
        Self { receipt, held: None, wait_ms: 0 }
    }
}

/// A credential's enforcement state: the sum of its decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforcementState {
    /// The credential.
    pub credential: Credential,
    /// The decision that made it so.
    pub decision: DecisionId,
    /// The status for stores.
    pub status: Status,
    /// The rank of that decision.
    pub generation: Generation,
    /// See [`Decision::base`].
    pub base: Generation,
    /// Whether another instance made it, and this one follows it.
    pub is_followed: bool,
    /// When it ends by itself.
    pub until: Option<EventTime>,
    /// When the credential itself ends, where known: stores may forget it then.
    pub expires: Option<EventTime>,
    /// The finding behind it.
    pub finding: Option<FindingId>,
    /// When it was ordered.
    pub at: EventTime,
    /// Whether a person ordered it.
    pub by_person: bool,
}

impl EnforcementState {
    /// The rank of the newest decision of another instance that is known: the base of the next decision.
    pub const fn known(&self) -> Generation {
        if self.is_followed { self.generation } else { self.base }
    }

    /// The status in force at `now`.
    pub fn in_force(&self, now: EventTime) -> Status {
        if self.until.is_none_or(|until| now < until) { self.status } else { Status::Active }
    }
}

/// Under which settings a decision waits for people: those of the moment at which it began to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalTerms {
    /// The decision that waits.
    pub decision: DecisionId,
    /// How many people have to agree.
    pub people: u8,
    /// Until when they may.
    pub until: EventTime,
}

/// The answer of the store that counts for all instances to a revocation that asks for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenGrant {
    /// There was one.
    Granted,
    /// There is none left in this hour.
    Refused,
    /// The store gave no answer in time.
    Unanswered,
}

impl TokenGrant {
    /// Its name, as in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Granted, Self::Refused, Self::Unanswered]
            .into_iter()
            .find(|one| one.as_str() == name)
    }
}

/// An answer to a revocation that asks for a token of the revocation limit which all instances share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenAnswer {
    /// The finding for which it was asked.
    pub finding: FindingId,
    /// The store's answer.
    pub grant: TokenGrant,
    /// When the answer came.
    pub at: EventTime,
}

/// A person's vote on a decision that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The decision that waits.
    pub decision: DecisionId,
    /// Whether they agree.
    pub agrees: bool,
    /// Who, as the API knows them: one person has one voice.
    pub account: CompactString,
    /// Who, as people read it.
    pub by: CompactString,
    /// Why.
    pub reason: String,
    /// When.
    pub at: EventTime,
}
