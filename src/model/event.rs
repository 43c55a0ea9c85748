//! An auth event: one request's authentication outcome, at its event time.

use super::credential::Kind;
use super::time::EventTime;
use std::borrow::Cow;
use std::net::IpAddr;

/// What the gateway said to the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Authenticated and let through.
    #[default]
    Accepted,
    /// Not authenticated: whoever sent it need not hold the credential.
    Rejected,
    /// Authenticated, then refused for its rate.
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

    /// What a status code says where no outcome is given: 401 and 403 rejected, 429 throttled.
    pub const fn of_status(status: Option<u16>) -> Self {
        match status {
            Some(401 | 403) => Self::Rejected,
            Some(429) => Self::Throttled,
            _ => Self::Accepted,
        }
    }

    /// Whether the sender proved to hold the credential (invariant S-10: only these count).
    pub const fn is_authenticated(self) -> bool {
        !matches!(self, Self::Rejected)
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
    /// Who pays.
    pub tenant: Option<Cow<'a, str>>,
    /// Who acts.
    pub subject: Option<Cow<'a, str>>,
    /// What the gateway said.
    pub outcome: Outcome,
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
    /// The cost in the operator's units, LLM tokens say.
    pub tokens: Option<u64>,
    /// When the credential was issued.
    pub issued: Option<EventTime>,
    /// When the credential ends by itself.
    pub expires: Option<EventTime>,
    /// What ties the refresh tokens of one grant.
    pub family: Option<Cow<'a, str>>,
    /// Whether the record held a raw secret, which was replaced by its fingerprint or its `jti`.
    pub held_secret: bool,
}

impl<'a> AuthEvent<'a> {
    /// An accepted use of an API key, all else unknown.
    pub fn new(time: EventTime, credential: Cow<'a, str>) -> Self {
        Self {
            time,
            id: None,
            credential,
            kind: Kind::default(),
            tenant: None,
            subject: None,
            outcome: Outcome::default(),
            reason: None,
            ip: None,
            asn: None,
            country: None,
            user_agent: None,
            method: None,
            endpoint: None,
            status: None,
            tokens: None,
            issued: None,
            expires: None,
            family: None,
            held_secret: false,
        }
    }
}
