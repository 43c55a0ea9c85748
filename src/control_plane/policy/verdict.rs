//! The reasoning from what the evidence justifies to what is ordered.
//!
//! ```text
//!  wanted --> catch-up --> allow list --> fleet ------> maturity --> warm-up --> budget ----->
//!             (alert)      (alert)        (throttle)    (suspend)    (throttle)  (what is
//!                                                                                 proven)
//!         --> approval --> breaker ---> posture -->
//!             (suspend)    (suspend)    (its cap)
//! ```
//! Each guardrail that lowers the action is named, in that order.

use super::budget::Open;
use crate::model::decision::{Guardrail, Posture};
use crate::model::finding::Action;

/// What is true as a finding is judged.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a circumstance of its own")]
pub struct Circumstances {
    /// The posture in force for the credential.
    pub posture: Posture,
    /// Whether the past is being read.
    pub catch_up: bool,
    /// Whether the credential is on the allow list.
    pub allow_listed: bool,
    /// Whether so many credentials burst recently that the cause is a common one.
    pub fleet_suppressed: bool,
    /// Whether enough is known of the credential to revoke it; a contract needs no knowledge.
    pub mature: bool,
    /// Whether tripline knows little of anybody yet; a contract needs no knowledge.
    pub warming_up: bool,
    /// The actions that are proven to keep to their budget; all, where the claim is a contract's.
    pub open: Open,
    /// Whether people have to agree to a revocation.
    pub needs_approval: bool,
}

/// What is to be done, and why not more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is ordered; where it is not carried out, what a higher posture would have ordered.
    pub action: Action,
    /// Whether stores are told.
    pub carried_out: bool,
    /// The guardrails that lowered the action.
    pub held_by: Vec<Guardrail>,
}

/// A verdict that may still need a token of the breaker.
#[derive(Clone, Debug)]
pub struct Draft {
    action: Action,
    held_by: Vec<Guardrail>,
    given: Circumstances,
}

/// Judges what is `wanted`, up to the breaker.
pub fn draft(wanted: Action, given: Circumstances) -> Draft {
    let mut draft = Draft { action: wanted, held_by: Vec::new(), given };
    if given.catch_up {
        draft.lower(Action::Alert, Guardrail::CatchUp);
    }
    if given.allow_listed {
        draft.lower(Action::Alert, Guardrail::AllowList);
    }
    if given.fleet_suppressed {
        draft.lower(Action::Throttle, Guardrail::FleetSuppression);
    }
    if !given.mature {
        draft.lower(Action::Suspend, Guardrail::Maturity);
    }
    if given.warming_up {
        draft.lower(Action::Throttle, Guardrail::WarmUp);
    }
    draft.lower(given.open.gravest(draft.action), Guardrail::Budget);
    if draft.needs_token() && given.needs_approval {
        draft.lower(Action::Suspend, Guardrail::Approval);
    }
    draft
}

impl Draft {
    /// What is true as the finding is judged.
    pub const fn circumstances(&self) -> &Circumstances {
        &self.given
    }

    /// Whether it would revoke, and so needs a token of the breaker; shadow and lower postures
    /// need none.
    pub fn needs_token(&self) -> bool {
        self.action == Action::Revoke && self.given.posture == Posture::Revoke
    }

    /// Returns the verdict; `has_token` says whether the breaker granted the token that it needs.
    pub fn conclude(mut self, has_token: bool) -> Verdict {
        if self.needs_token() && !has_token {
            self.lower(Action::Suspend, Guardrail::Breaker);
        }
        let cap = self.given.posture.cap();
        if cap.is_enforced() {
            self.lower(cap, Guardrail::Posture);
        }
        let Self { action, mut held_by, .. } = self;
        let carried_out = action.is_enforced() && action <= cap;
        if action > cap {
            held_by.push(Guardrail::Posture);
        }
        Verdict { action, carried_out, held_by }
    }

    fn lower(&mut self, to: Action, guardrail: Guardrail) {
        if self.action > to {
            self.action = to;
            self.held_by.push(guardrail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, Open, Verdict, draft};
    use crate::control_plane::policy::budget::{Budgets, Ledger};
    use crate::model::credential::Kind;
    use crate::model::decision::{Guardrail, Posture};
    use crate::model::finding::Action;

    fn verdict(wanted: Action, posture: Posture, holds: (bool, bool, bool)) -> Verdict {
        let (catch_up, allow_listed, breaker) = holds;
        draft(wanted, Circumstances { catch_up, allow_listed, ..free(posture) }).conclude(breaker)
    }

    /// The verdict on what needs no token.
    fn without_token(wanted: Action, given: Circumstances) -> Verdict {
        let draft = draft(wanted, given);
        assert!(!draft.needs_token(), "{draft:?}");
        draft.conclude(false)
    }

    fn free(posture: Posture) -> Circumstances {
        Circumstances {
            posture,
            catch_up: false,
            allow_listed: false,
            fleet_suppressed: false,
            mature: true,
            warming_up: false,
            open: Open::ALL,
            needs_approval: false,
        }
    }

    const FREE: (bool, bool, bool) = (false, false, true);

    #[test]
    fn shadow_writes_down_what_it_would_have_done() {
        let verdict = verdict(Action::Revoke, Posture::Shadow, FREE);
        assert_eq!(verdict.action, Action::Revoke);
        assert!(!verdict.carried_out);
        assert_eq!(verdict.held_by, [Guardrail::Posture]);
    }

    #[test]
    fn a_posture_carries_out_what_it_allows_of_a_graver_action() {
        let verdict = verdict(Action::Revoke, Posture::Suspend, FREE);
        assert_eq!(verdict.action, Action::Suspend);
        assert!(verdict.carried_out);
        assert_eq!(verdict.held_by, [Guardrail::Posture]);
    }

    #[test]
    fn an_empty_breaker_suspends_instead_of_revoking() {
        let verdict = verdict(Action::Revoke, Posture::Revoke, (false, false, false));
        assert_eq!(verdict.action, Action::Suspend);
        assert!(verdict.carried_out);
        assert_eq!(verdict.held_by, [Guardrail::Breaker]);
    }

    #[test]
    fn catch_up_and_the_allow_list_hold_everything_at_alert() {
        for holds in [(true, false, true), (false, true, true), (true, true, true)] {
            for wanted in Action::ALL {
                for posture in Posture::ALL {
                    let verdict = verdict(wanted, posture, holds);
                    assert!(verdict.action <= Action::Alert && !verdict.carried_out);
                    assert_eq!(
                        wanted > Action::Alert,
                        verdict.held_by.iter().any(|held| *held != Guardrail::Posture)
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_not_proven_is_lowered_to_what_is_and_takes_no_token() {
        let mut ledger = Ledger::default();
        ledger.add_hours(&[3000 * 24; Kind::ALL.len()]);
        let throttles = ledger.open(Kind::ApiKey, &Budgets::default());
        for (open, wanted, action) in [
            (Open::NONE, Action::Revoke, Action::Alert),
            (Open::NONE, Action::Throttle, Action::Alert),
            (throttles, Action::Revoke, Action::Throttle),
            (throttles, Action::Suspend, Action::Throttle),
        ] {
            let given = Circumstances { open, ..free(Posture::Revoke) };
            let verdict = without_token(wanted, given);
            assert_eq!((verdict.action, verdict.held_by), (action, vec![Guardrail::Budget]));
        }
    }

    #[test]
    fn a_common_cause_holds_everything_at_throttle_and_the_budget_may_hold_it_lower() {
        let given = Circumstances { fleet_suppressed: true, ..free(Posture::Revoke) };
        for (open, action, held_by) in [
            (Open::ALL, Action::Throttle, &[Guardrail::FleetSuppression] as &[_]),
            (Open::NONE, Action::Alert, &[Guardrail::FleetSuppression, Guardrail::Budget]),
        ] {
            let verdict = without_token(Action::Revoke, Circumstances { open, ..given });
            assert_eq!((verdict.action, &*verdict.held_by), (action, held_by));
        }
        let mild = without_token(Action::Throttle, given);
        assert_eq!((mild.action, mild.held_by), (Action::Throttle, Vec::new()));
    }

    #[test]
    fn an_immature_credential_is_suspended_at_most_and_in_the_warm_up_throttled() {
        let young = Circumstances { mature: false, ..free(Posture::Revoke) };
        let verdict = without_token(Action::Revoke, young);
        assert_eq!((verdict.action, verdict.held_by), (Action::Suspend, vec![Guardrail::Maturity]));
        let early = Circumstances { warming_up: true, ..free(Posture::Revoke) };
        let verdict = without_token(Action::Suspend, early);
        assert_eq!((verdict.action, verdict.held_by), (Action::Throttle, vec![Guardrail::WarmUp]));
    }

    #[test]
    fn where_people_must_agree_it_is_suspended_meanwhile_and_takes_no_token() {
        let given = Circumstances { needs_approval: true, ..free(Posture::Revoke) };
        let verdict = without_token(Action::Revoke, given);
        assert_eq!((verdict.action, verdict.held_by), (Action::Suspend, vec![Guardrail::Approval]));
        // A lower posture would not revoke anyway: nobody is asked in vain.
        let lower = Circumstances { needs_approval: true, ..free(Posture::Suspend) };
        let verdict = without_token(Action::Revoke, lower);
        assert_eq!((verdict.action, verdict.held_by), (Action::Suspend, vec![Guardrail::Posture]));
    }

    #[test]
    fn nothing_above_the_posture_is_ever_carried_out() {
        for wanted in Action::ALL {
            for posture in Posture::ALL {
                let verdict = verdict(wanted, posture, FREE);
                assert!(!verdict.carried_out || verdict.action <= posture.cap());
                assert_eq!(
                    verdict.action < wanted || !verdict.carried_out,
                    wanted > posture.cap() || !wanted.is_enforced()
                );
            }
        }
    }

    #[test]
    fn shadow_spends_no_token_of_the_breaker() {
        let given = free(Posture::Shadow);
        let verdict = without_token(Action::Revoke, given);
        assert_eq!(verdict.action, Action::Revoke);
    }
}
