//! An auth event: one request's authentication outcome, at its event time.

use super::credential::Kind;
use super::money::Money;
use super::time::EventTime;
use std::borrow::Cow;
use std::net::IpAddr;

/// The gateway's outcome of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Let through.
    #[default]
    Accepted,
    /// Refused. The sender need not hold the credential, unless the event says `verified`.
    Rejected,
    /// Refused for its rate.
    Throttled,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Rejected, Self::Throttled];

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Throttled => "throttled",
        }
    }

    /// The outcome of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// The outcome that a status code means where none is given: 401 and 403 rejected, 429 throttled.
    pub const fn of_status(status: Option<u16>) -> Self {
        match status {
            Some(401 | 403) => Self::Rejected,
            Some(429) => Self::Throttled,
            _ => Self::Accepted,
        }
    }

    /// Whether an outcome that the source states implies that the caller was verified.
    pub const fn implies_verified(self) -> bool {
        !matches!(self, Self::Rejected)
    }
}

/// Whether a status code alone shows that the caller was verified: only success (2xx) does. A
/// gateway answers everything else to strangers, too: a redirect, a limit, an error.
pub const fn is_success(status: Option<u16>) -> bool {
    matches!(status, Some(200..=299))
}

/// The reason of an answer about a credential that is genuine. Other reasons are text alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credential's end has passed.
    Expired,
    /// The credential's life has not begun.
    NotYetValid,
    /// The credential was taken out of service.
    Revoked,
    /// A refresh token that was used up before.
    Reused,
    /// The credential isn't allowed from that address.
    DeniedAddress,
    /// The credential doesn't have the right to do that.
    Scope,
    /// The credential's quota is used up.
    OverQuota,
    /// The credential was handed out: a refresh token's first sight, and no use of it.
    Issued,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::Reused,
        Self::DeniedAddress,
        Self::Scope,
        Self::OverQuota,
        Self::Issued,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::Reused => "reused",
            Self::DeniedAddress => "denied_address",
            Self::Scope => "scope",
            Self::OverQuota => "over_quota",
            Self::Issued => "issued",
        }
    }

    /// The reason of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// A field of an event that decides nothing, and so is repaired or left out where it can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "named after the fields of the contract")]
pub enum Field {
    /// The record's text: invalid UTF-8, a lone surrogate, a raw control character, `NaN`.
    Text,
    Id,
    Tenant,
    Subject,
    Reason,
    Ip,
    Asn,
    Country,
    UserAgent,
    Method,
    Endpoint,
    Model,
    Tokens,
    Spend,
    Issued,
    Expires,
    Family,
    Issuer,
    Gateway,
}

impl Field {
    /// Every field that may be repaired, in the order of their numbers.
    pub const ALL: [Self; 19] = [
        Self::Text,
        Self::Id,
        Self::Tenant,
        Self::Subject,
        Self::Reason,
        Self::Ip,
        Self::Asn,
        Self::Country,
        Self::UserAgent,
        Self::Method,
        Self::Endpoint,
        Self::Model,
        Self::Tokens,
        Self::Spend,
        Self::Issued,
        Self::Expires,
        Self::Family,
        Self::Issuer,
        Self::Gateway,
    ];

    /// Its name in the contract and in metrics; `text` for the record as a whole.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Id => "id",
            Self::Tenant => "tenant",
            Self::Subject => "subject",
            Self::Reason => "reason",
            Self::Ip => "ip",
            Self::Asn => "asn",
            Self::Country => "country",
            Self::UserAgent => "user_agent",
            Self::Method => "method",
            Self::Endpoint => "endpoint",
            Self::Model => "model",
            Self::Tokens => "tokens",
            Self::Spend => "spend",
            Self::Issued => "issued",
            Self::Expires => "expires",
            Self::Family => "family",
            Self::Issuer => "issuer",
            Self::Gateway => "gateway",
        }
    }
}

/// The fields of one event that were repaired or left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs(u32);

impl Repairs {
    /// Adds a field.
    pub const fn add(&mut self, field: Field) {
        self.0 |= 1 << field as u16;
    }

    /// Whether no field was repaired.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether that field was repaired.
    pub const fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u16) != 0
    }

    /// The repaired fields.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |field| self.has(*field))
    }
}

/// One request's authentication outcome, decoded; texts are borrowed from the record where it
/// holds them as they are. `credential` satisfies [`super::credential::check_id`] and is never a
/// secret; `time` lies within [`EventTime::MIN`] and [`EventTime::MAX`].
#[derive(Clone, Debug, PartialEq)]
pub struct AuthEvent<'a> {
    /// When the request was made.
    pub time: EventTime,
    /// The sender's id of this event.
    pub id: Option<Cow<'a, str>>,
    /// The credential's id.
    pub credential: Cow<'a, str>,
    /// The credential's kind.
    pub kind: Kind,
    /// The tenant.
    pub tenant: Option<Cow<'a, str>>,
    /// The actor.
    pub subject: Option<Cow<'a, str>>,
    /// The gateway's outcome.
    pub outcome: Outcome,
    /// Whether the caller proved that it holds the credential (invariant S-10: only such uses
    /// teach, and only such uses justify more than an alert).
    pub verified: bool,
    /// The gateway's reason for the outcome.
    pub reason: Option<Cow<'a, str>>,
    /// Where the request came from.
    pub ip: Option<IpAddr>,
    /// The autonomous system of that address.
    pub asn: Option<u32>,
    /// The ISO 3166 country of that address, two ASCII capitals.
    pub country: Option<[u8; 2]>,
    /// The user agent as sent.
    pub user_agent: Option<Cow<'a, str>>,
    /// The method of the request.
    pub method: Option<Cow<'a, str>>,
    /// The path of the request.
    pub endpoint: Option<Cow<'a, str>>,
    /// The status code of the answer.
    pub status: Option<u16>,
    /// The model that answered, as an AI gateway names it.
    pub model: Option<Cow<'a, str>>,
    /// The cost in the operator's units, LLM tokens say.
    pub tokens: Option<u64>,
    /// The cost in money.
    pub spend: Option<Money>,
    /// When the credential was issued.
    pub issued: Option<EventTime>,
    /// When the credential ends by itself.
    pub expires: Option<EventTime>,
    /// The id that ties the tokens of one grant.
    pub family: Option<Cow<'a, str>>,
    /// The authority that issued the credential.
    pub issuer: Option<Cow<'a, str>>,
    /// The gateway that answered.
    pub gateway: Option<Cow<'a, str>>,
    /// Whether the record held a raw secret, which was replaced by its fingerprint or its `jti`.
    pub held_secret: bool,
    /// The fields that could not be read as they were.
    pub repairs: Repairs,
}

impl<'a> AuthEvent<'a> {
    /// An accepted, verified use of an API key, all else unknown.
    pub fn new(time: EventTime, credential: Cow<'a, str>) -> Self {
        Self {
            time,
            id: None,
            credential,
            kind: Kind::default(),
            tenant: None,
            subject: None,
            outcome: Outcome::default(),
            verified: true,
            reason: None,
            ip: None,
            asn: None,
            country: None,
            user_agent: None,
            method: None,
            endpoint: None,
            status: None,
            model: None,
            tokens: None,
            spend: None,
            issued: None,
            expires: None,
            family: None,
            issuer: None,
            gateway: None,
            held_secret: false,
            repairs: Repairs::default(),
        }
    }

    /// The reason, where it is one of the vocabulary.
    pub fn known_reason(&self) -> Option<Reason> {
        Reason::parse(self.reason.as_deref()?)
    }

    /// Sets what the gateway said, which implies whether the caller was verified.
    pub const fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.verified = outcome.implies_verified();
    }

    /// The same, with texts of its own.
    pub fn into_owned(self) -> AuthEvent<'static> {
        let own = |text: Option<Cow<'a, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        AuthEvent {
            time: self.time,
            id: own(self.id),
            credential: Cow::Owned(self.credential.into_owned()),
            kind: self.kind,
            tenant: own(self.tenant),
            subject: own(self.subject),
            outcome: self.outcome,
            verified: self.verified,
            reason: own(self.reason),
            ip: self.ip,
            asn: self.asn,
            country: self.country,
            user_agent: own(self.user_agent),
            method: own(self.method),
            endpoint: own(self.endpoint),
            status: self.status,
            model: own(self.model),
            tokens: self.tokens,
            spend: self.spend,
            issued: self.issued,
            expires: self.expires,
            family: own(self.family),
            issuer: own(self.issuer),
            gateway: own(self.gateway),
            held_secret: self.held_secret,
            repairs: self.repairs,
        }
    }
}
