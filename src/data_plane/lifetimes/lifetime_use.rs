//! A use of a credential, as far as its lifetime is concerned.

use super::groups::GroupRef;
use crate::model::credential::Kind;
use crate::model::event::{AuthEvent, Outcome, Reason};
use crate::model::time::EventTime;

/// A use, borrowed from its event. Cost: made without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeUse<'a> {
    /// When the request was made.
    pub time: EventTime,
    /// The credential's kind.
    pub kind: Kind,
    /// The credential's hash, which differs by kind, too.
    pub credential: u64,
    /// The authority that issued the credential.
    pub issuer: Option<&'a str>,
    /// The gateway that answered.
    pub gateway: Option<&'a str>,
    /// When the credential was issued.
    pub issued: Option<EventTime>,
    /// When the credential ends by itself.
    pub expires: Option<EventTime>,
    /// The gateway's outcome.
    pub outcome: Outcome,
    /// Whether the caller proved that it holds the credential.
    pub verified: bool,
    /// The gateway's reason, where it is one of the vocabulary.
    pub reason: Option<Reason>,
}

impl<'a> LifetimeUse<'a> {
    /// The use that an event is, under the hash of its credential.
    pub fn of_event(event: &'a AuthEvent<'_>, credential: u64) -> Self {
        Self {
            time: event.time,
            kind: event.kind,
            credential,
            issuer: event.issuer.as_deref(),
            gateway: event.gateway.as_deref(),
            issued: event.issued,
            expires: event.expires,
            outcome: event.outcome,
            verified: event.verified,
            reason: event.known_reason(),
        }
    }

    /// The group that it counts in.
    pub const fn group(&self) -> GroupRef<'a> {
        GroupRef { kind: self.kind, issuer: self.issuer, gateway: self.gateway }
    }

    /// From issue to expiry, where both are known and in that order. Unit: milliseconds.
    pub fn lifetime_ms(&self) -> Option<i64> {
        let lifetime = self.expires?.ms_since(self.issued?);
        (lifetime >= 0).then_some(lifetime)
    }

    /// Whether the gateway let it through.
    pub fn is_accepted(&self) -> bool {
        self.outcome == Outcome::Accepted
    }

    /// Whether it proves that the credential is out of service: its holder was rejected for that.
    pub fn is_revoked(&self) -> bool {
        self.outcome == Outcome::Rejected && self.reason == Some(Reason::Revoked)
    }
}
