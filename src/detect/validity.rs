//! `validity`: a credential used outside its life, after it was taken out of service, or from an
//! address that it isn't allowed from.
//!
//! A gateway that lets one pass doesn't check it: each of these is a fact, and says more about the gateway
//! than about the caller. So it alerts and does no more, unless the operator wants more. A gateway that
//! refuses an expired or revoked credential does its work: that is no finding.

use super::evidence::{CERTAIN_NATS, Evidence, grouped};
use crate::model::event::{Outcome, Reason};
use crate::model::finding::{Action, Measure};
use crate::model::proof::Claims;
use crate::model::time::EventTime;

/// Parameters of a use that isn't valid.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// How far clocks of issuers and gateways may be apart. Unit: milliseconds. Default: 60,000, as most
    /// readers of JWTs allow.
    pub skew_ms: i64,
    /// How long a gateway may take to obey a revocation. Unit: milliseconds. Default: 5,000.
    pub enforcement_ms: i64,
    /// The action that an accepted use outside its life justifies. Default: alert.
    pub action: Action,
}

impl Default for Params {
    fn default() -> Self {
        Self { skew_ms: 60_000, enforcement_ms: 5_000, action: Action::Alert }
    }
}

/// Why a use isn't valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Accepted after its end.
    Expired,
    /// Accepted before it was issued.
    NotYetIssued,
    /// Accepted after it was taken out of service.
    OutOfService,
    /// Refused, as it isn't allowed from that address.
    DeniedAddress,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 4] =
        [Self::Expired, Self::NotYetIssued, Self::OutOfService, Self::DeniedAddress];
}

/// A use that isn't valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvalidUse {
    /// Why.
    pub fault: Fault,
    /// How far outside its life, or after it was taken out of service. Unit: seconds.
    pub by_s: f64,
}

/// Evaluates `validity` for a verified use; `ended`: when the credential was taken out of service, if it is.
pub fn evaluate(
    (time, outcome): (EventTime, Outcome),
    claims: &Claims,
    ended: Option<EventTime>,
    params: &Params,
) -> Option<(Action, InvalidUse)> {
    let found = |fault, by_ms: i64| InvalidUse { fault, by_s: by_ms as f64 / 1000.0 };
    if outcome != Outcome::Accepted {
        let is_denied =
            outcome == Outcome::Rejected && claims.reason == Some(Reason::DeniedAddress);
        return is_denied.then(|| (Action::Alert, found(Fault::DeniedAddress, 0)));
    }
    let after_end =
        ended.map(|ended| time.ms_since(ended)).filter(|ms| *ms > params.enforcement_ms);
    if let Some(ms) = after_end {
        // It is out of service: what more could be done must be done at the gateway.
        return Some((Action::Alert, found(Fault::OutOfService, ms)));
    }
    let expired = claims.expires.map(|end| time.ms_since(end)).filter(|ms| *ms > params.skew_ms);
    if let Some(ms) = expired {
        return Some((params.action, found(Fault::Expired, ms)));
    }
    let early = claims.issued.map(|issued| issued.ms_since(time)).filter(|ms| *ms > params.skew_ms);
    early.map(|ms| (params.action, found(Fault::NotYetIssued, ms)))
}

impl Evidence for InvalidUse {
    fn strength(&self) -> f64 {
        self.by_s
    }

    fn evidence_nats(&self) -> f64 {
        CERTAIN_NATS
    }

    fn summary(&self) -> String {
        let by = grouped(self.by_s);
        match self.fault {
            Fault::Expired => format!("was accepted {by} s after its end"),
            Fault::NotYetIssued => format!("was accepted {by} s before it was issued"),
            Fault::OutOfService => format!("was accepted {by} s after it was taken out of service"),
            Fault::DeniedAddress => {
                "was presented from an address that it isn't allowed from; the gateway refused it"
                    .to_owned()
            }
        }
    }

    fn measures(&self) -> Vec<Measure> {
        let name = match self.fault {
            Fault::Expired => "after_expiry_s",
            Fault::NotYetIssued => "before_issue_s",
            Fault::OutOfService => "after_end_of_service_s",
            Fault::DeniedAddress => return vec![Measure::new("denied_address", 1.0)],
        };
        vec![Measure::new(name, self.by_s)]
    }
}

crate::codec!(each Fault);
crate::codec!(InvalidUse { fault, by_s });

#[cfg(test)]
mod tests {
    use super::{Action, Claims, EventTime, Fault, Outcome, Params, Reason, evaluate};

    const NOW: EventTime = EventTime::from_ms(1_700_000_000_000);

    fn found(outcome: Outcome, claims: Claims, ended: Option<i64>) -> Option<(Action, Fault)> {
        let ended = ended.map(|ms| NOW.plus_ms(ms));
        let seen = evaluate((NOW, outcome), &claims, ended, &Params::default());
        seen.map(|(action, seen)| (action, seen.fault))
    }

    fn expires(ms: i64) -> Claims {
        Claims { expires: Some(NOW.plus_ms(ms)), ..Claims::default() }
    }

    #[test]
    fn accepted_after_its_end_is_a_finding_beyond_the_skew_of_clocks() {
        assert_eq!(found(Outcome::Accepted, expires(-60_000), None), None);
        let late = found(Outcome::Accepted, expires(-60_001), None);
        assert_eq!(late, Some((Action::Alert, Fault::Expired)));
        assert_eq!(found(Outcome::Rejected, expires(-99_000), None), None, "it was refused");
    }

    #[test]
    fn accepted_before_its_issue_is_a_finding() {
        let issued = |ms| Claims { issued: Some(NOW.plus_ms(ms)), ..Claims::default() };
        assert_eq!(found(Outcome::Accepted, issued(60_000), None), None);
        let early = found(Outcome::Accepted, issued(61_000), None);
        assert_eq!(early, Some((Action::Alert, Fault::NotYetIssued)));
    }

    #[test]
    fn accepted_out_of_service_is_a_finding_once_gateways_had_time_to_obey() {
        assert_eq!(found(Outcome::Accepted, Claims::default(), Some(-5_000)), None);
        let late = found(Outcome::Accepted, Claims::default(), Some(-5_001));
        assert_eq!(late, Some((Action::Alert, Fault::OutOfService)));
        assert_eq!(found(Outcome::Rejected, Claims::default(), Some(-50_000)), None);
    }

    #[test]
    fn a_key_from_a_denied_address_is_a_finding_although_it_was_refused() {
        let denied = |reason| Claims { reason: Some(reason), ..Claims::default() };
        let seen = found(Outcome::Rejected, denied(Reason::DeniedAddress), None);
        assert_eq!(seen, Some((Action::Alert, Fault::DeniedAddress)));
        assert_eq!(found(Outcome::Rejected, denied(Reason::Scope), None), None);
        assert_eq!(found(Outcome::Accepted, denied(Reason::DeniedAddress), None), None);
    }
}
