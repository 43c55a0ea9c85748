//! The numbered promises about decisions, a predicate each.
//!
//! The control plane asks [`broken_by`] before a decision leaves it, tests and the simulation ask
//! it of everything that left. A decision that would break one is lowered to alert and counted:
//! tripline fails towards not revoking.

use super::decision::{Decision, Generation, Order};
use super::finding::Action;
use std::fmt;

/// A promise about decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// S-1: revocations within any hour stay within the revocation limit.
    RevocationsWithinRevocationLimit,
    /// S-3: a credential's generation strictly rises.
    GenerationRises,
    /// S-5: in catch-up nothing above alert is carried out.
    CatchUpHolds,
    /// S-6: an allow-listed credential never gets more than alert.
    AllowListHolds,
    /// S-7: above the mode nothing is carried out.
    ModeHolds,
    /// S-9: an immature credential is never revoked for its rate.
    ImmatureNotRevoked,
    /// S-8: a decision on a finding carries the numbers from which it can be recomputed.
    CarriesEvidence,
}

impl Invariant {
    /// Every invariant of decisions.
    pub const ALL: [Self; 7] = [
        Self::RevocationsWithinRevocationLimit,
        Self::GenerationRises,
        Self::CatchUpHolds,
        Self::AllowListHolds,
        Self::ModeHolds,
        Self::ImmatureNotRevoked,
        Self::CarriesEvidence,
    ];

    /// Its number in the design.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RevocationsWithinRevocationLimit => "S-1",
            Self::GenerationRises => "S-3",
            Self::CatchUpHolds => "S-5",
            Self::AllowListHolds => "S-6",
            Self::ModeHolds => "S-7",
            Self::ImmatureNotRevoked => "S-9",
            Self::CarriesEvidence => "S-8",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The circumstances of a decision.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a circumstance of its own")]
pub struct Circumstances {
    /// The generation that stood before it.
    pub generation_before: Generation,
    /// Whether the past was being read.
    pub catch_up: bool,
    /// Whether the credential is on the allow list.
    pub allow_listed: bool,
    /// Whether the revocation limit gave a token for it.
    pub revocation_limit_granted: bool,
    /// Whether enough is known of the credential, or a contract was broken.
    pub mature: bool,
}

/// The first invariant that `decision` would break, if any. A person's order answers to S-3 only:
/// people may do at once what tripline may not.
pub fn broken_by(decision: &Decision, given: &Circumstances) -> Option<Invariant> {
    if !decision.carried_out {
        return None;
    }
    if decision.generation != given.generation_before.next() {
        return Some(Invariant::GenerationRises);
    }
    decision.finding?;
    let Order::Act(action) = decision.order else {
        return None;
    };
    if given.catch_up && action > Action::Alert {
        return Some(Invariant::CatchUpHolds);
    }
    if given.allow_listed && action > Action::Alert {
        return Some(Invariant::AllowListHolds);
    }
    if action > decision.mode.cap() {
        return Some(Invariant::ModeHolds);
    }
    if action == Action::Revoke && !given.revocation_limit_granted {
        return Some(Invariant::RevocationsWithinRevocationLimit);
    }
    if action == Action::Revoke && !given.mature {
        return Some(Invariant::ImmatureNotRevoked);
    }
    if decision.evidence.is_empty() {
        return Some(Invariant::CarriesEvidence);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, Invariant, broken_by};
    use crate::model::credential::Credential;
    use crate::model::decision::{Decision, DecisionId, Generation, Mode, Order};
    use crate::model::finding::{Action, Detector, FindingId, Measure};
    use crate::model::time::EventTime;

    /// A revocation that keeps to all of them.
    fn good() -> (Decision, Circumstances) {
        let credential = Credential::parse("k").expect("valid");
        let at = EventTime::from_ms(0);
        let order = Order::Act(Action::Revoke);
        let decision = Decision {
            id: DecisionId::of(&credential, Generation(1), at, (None, order)),
            finding: Some(FindingId::of(&credential, Detector::Limit, at)),
            credential,
            tenant: None,
            generation: Generation(1),
            base: Generation(0),
            origin: None,
            wanted: Action::Revoke,
            order,
            mode: Mode::Revoke,
            carried_out: true,
            held_by: Vec::new(),
            until: None,
            at,
            expires: None,
            by: "tripline".into(),
            reason: String::new(),
            evidence: vec![Measure::new("count", 1.0)],
        };
        let given = Circumstances {
            generation_before: Generation(0),
            catch_up: false,
            allow_listed: false,
            revocation_limit_granted: true,
            mature: true,
        };
        (decision, given)
    }

    #[test]
    fn each_invariant_is_known_when_it_would_be_broken() {
        let broken = |change: fn(&mut Decision, &mut Circumstances)| {
            let (mut decision, mut given) = good();
            change(&mut decision, &mut given);
            broken_by(&decision, &given)
        };
        assert_eq!(broken(|_, _| {}), None);
        assert_eq!(broken(|one, _| one.generation.0 = 2), Some(Invariant::GenerationRises));
        assert_eq!(broken(|_, given| given.catch_up = true), Some(Invariant::CatchUpHolds));
        assert_eq!(broken(|_, given| given.allow_listed = true), Some(Invariant::AllowListHolds));
        let mode = broken(|one, _| one.mode = Mode::Suspend);
        assert_eq!(mode, Some(Invariant::ModeHolds));
        let revocation_limit = broken(|_, given| given.revocation_limit_granted = false);
        assert_eq!(revocation_limit, Some(Invariant::RevocationsWithinRevocationLimit));
        assert_eq!(broken(|_, given| given.mature = false), Some(Invariant::ImmatureNotRevoked));
        assert_eq!(broken(|one, _| one.evidence.clear()), Some(Invariant::CarriesEvidence));
        let kept = broken(|one, given| (one.carried_out, given.catch_up) = (false, true));
        assert_eq!(kept, None, "what is not carried out breaks nothing");
        let person = broken(|one, given| (one.finding, given.allow_listed) = (None, true));
        assert_eq!(person, None, "people may do at once what tripline may not");
    }
}
