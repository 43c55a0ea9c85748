//! The reasoning from what the evidence justifies to what is ordered.
//!
//! ```text
//!  wanted --> catch-up --> allow list --> common cause -> maturity --> warm-up --> budget ----->
//!             (alert)      (alert)        (throttle)    (suspend)    (throttle)  (what is
//!                                                                                 proven)
//!         --> approval --> revocation limit ---> mode -->
//!             (suspend)    (suspend)    (its cap)
//! ```
//! Each safeguard that lowers the action is named, in that order.

use super::budget::Open;
use crate::model::decision::{Mode, Safeguard};
use crate::model::finding::Action;

/// The circumstances of a finding as it is judged.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a circumstance of its own")]
pub struct Circumstances {
    /// The mode in force for the credential.
    pub mode: Mode,
    /// Whether the past is being read.
    pub catch_up: bool,
    /// Whether the credential is on the allow list.
    pub allow_listed: bool,
    /// Whether so many credentials burst recently that the cause is a common one.
    pub fleet_suppressed: bool,
    /// Whether enough is known of the credential to revoke it; a contract needs no knowledge.
    pub mature: bool,
    /// Whether tripline knows little of anyone yet; a contract needs no knowledge.
    pub warming_up: bool,
    /// The actions that are proven to keep to their budget; all, where the claim is a contract's.
    pub open: Open,
    /// Whether people have to agree to a revocation.
    pub needs_approval: bool,
}

/// The verdict, and why it is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The order; where it is not carried out, the one that a higher mode would have given.
    pub action: Action,
    /// Whether stores are notified.
    pub carried_out: bool,
    /// The safeguards that lowered the action.
    pub held_by: Vec<Safeguard>,
}

/// A verdict that may still need a token of the revocation limit.
#[derive(Clone, Debug)]
pub struct Draft {
    action: Action,
    held_by: Vec<Safeguard>,
    given: Circumstances,
}

/// Judges what is `wanted`, up to the revocation limit.
pub fn draft(wanted: Action, given: Circumstances) -> Draft {
    let mut draft = Draft { action: wanted, held_by: Vec::new(), given };
    if given.catch_up {
        draft.lower(Action::Alert, Safeguard::CatchUp);
    }
    if given.allow_listed {
        draft.lower(Action::Alert, Safeguard::AllowList);
    }
    if given.fleet_suppressed {
        draft.lower(Action::Throttle, Safeguard::CommonCause);
    }
    if !given.mature {
        draft.lower(Action::Suspend, Safeguard::Maturity);
    }
    if given.warming_up {
        draft.lower(Action::Throttle, Safeguard::WarmUp);
    }
    draft.lower(given.open.most_severe(draft.action), Safeguard::Budget);
    if draft.needs_token() && given.needs_approval {
        draft.lower(Action::Suspend, Safeguard::Approval);
    }
    draft
}

impl Draft {
    /// The circumstances as the finding is judged.
    pub const fn circumstances(&self) -> &Circumstances {
        &self.given
    }

    /// Whether it would revoke, and so needs a token of the revocation limit; shadow and lower modes
    /// need none.
    pub fn needs_token(&self) -> bool {
        self.action == Action::Revoke && self.given.mode == Mode::Revoke
    }

    /// Returns the verdict; `has_token` says whether the revocation limit granted the token that it needs.
    pub fn conclude(mut self, has_token: bool) -> Verdict {
        if self.needs_token() && !has_token {
            self.lower(Action::Suspend, Safeguard::RevocationLimit);
        }
        let cap = self.given.mode.cap();
        if cap.is_enforced() {
            self.lower(cap, Safeguard::Mode);
        }
        let Self { action, mut held_by, .. } = self;
        let carried_out = action.is_enforced() && action <= cap;
        if action > cap {
            held_by.push(Safeguard::Mode);
        }
        Verdict { action, carried_out, held_by }
    }

    fn lower(&mut self, to: Action, safeguard: Safeguard) {
        if self.action > to {
            self.action = to;
            self.held_by.push(safeguard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, Open, Verdict, draft};
    use crate::control_plane::policy::budget::Budgets;
    use crate::control_plane::policy::ledger::Ledger;
    use crate::model::credential::Kind;
    use crate::model::decision::{Mode, Safeguard};
    use crate::model::finding::Action;
    use crate::model::signal::HoursOfUse;

    fn verdict(wanted: Action, mode: Mode, holds: (bool, bool, bool)) -> Verdict {
        let (catch_up, allow_listed, revocation_limit) = holds;
        draft(wanted, Circumstances { catch_up, allow_listed, ..free(mode) })
            .conclude(revocation_limit)
    }

    /// The verdict on what needs no token.
    fn without_token(wanted: Action, given: Circumstances) -> Verdict {
        let draft = draft(wanted, given);
        assert!(!draft.needs_token(), "{draft:?}");
        draft.conclude(false)
    }

    fn free(mode: Mode) -> Circumstances {
        Circumstances {
            mode,
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
        let verdict = verdict(Action::Revoke, Mode::Shadow, FREE);
        assert_eq!(verdict.action, Action::Revoke);
        assert!(!verdict.carried_out);
        assert_eq!(verdict.held_by, [Safeguard::Mode]);
    }

    #[test]
    fn a_mode_carries_out_what_it_allows_of_a_graver_action() {
        let verdict = verdict(Action::Revoke, Mode::Suspend, FREE);
        assert_eq!(verdict.action, Action::Suspend);
        assert!(verdict.carried_out);
        assert_eq!(verdict.held_by, [Safeguard::Mode]);
    }

    #[test]
    fn an_empty_revocation_limit_suspends_instead_of_revoking() {
        let verdict = verdict(Action::Revoke, Mode::Revoke, (false, false, false));
        assert_eq!(verdict.action, Action::Suspend);
        assert!(verdict.carried_out);
        assert_eq!(verdict.held_by, [Safeguard::RevocationLimit]);
    }

    #[test]
    fn catch_up_and_the_allow_list_hold_everything_at_alert() {
        for holds in [(true, false, true), (false, true, true), (true, true, true)] {
            for wanted in Action::ALL {
                for mode in Mode::ALL {
                    let verdict = verdict(wanted, mode, holds);
                    assert!(verdict.action <= Action::Alert && !verdict.carried_out);
                    assert_eq!(
                        wanted > Action::Alert,
                        verdict.held_by.iter().any(|held| *held != Safeguard::Mode)
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_not_proven_is_lowered_to_what_is_and_takes_no_token() {
        let mut ledger = Ledger::default();
        ledger.add_hours(&HoursOfUse::from([((Kind::ApiKey, None), 3000 * 24)]));
        let throttles = ledger.proof(Kind::ApiKey, None).open(&Budgets::default());
        for (open, wanted, action) in [
            (Open::NONE, Action::Revoke, Action::Alert),
            (Open::NONE, Action::Throttle, Action::Alert),
            (throttles, Action::Revoke, Action::Throttle),
            (throttles, Action::Suspend, Action::Throttle),
        ] {
            let given = Circumstances { open, ..free(Mode::Revoke) };
            let verdict = without_token(wanted, given);
            assert_eq!((verdict.action, verdict.held_by), (action, vec![Safeguard::Budget]));
        }
    }

    #[test]
    fn a_common_cause_holds_everything_at_throttle_and_the_budget_may_hold_it_lower() {
        let given = Circumstances { fleet_suppressed: true, ..free(Mode::Revoke) };
        for (open, action, held_by) in [
            (Open::ALL, Action::Throttle, &[Safeguard::CommonCause] as &[_]),
            (Open::NONE, Action::Alert, &[Safeguard::CommonCause, Safeguard::Budget]),
        ] {
            let verdict = without_token(Action::Revoke, Circumstances { open, ..given });
            assert_eq!((verdict.action, &*verdict.held_by), (action, held_by));
        }
        let mild = without_token(Action::Throttle, given);
        assert_eq!((mild.action, mild.held_by), (Action::Throttle, Vec::new()));
    }

    #[test]
    fn an_immature_credential_is_suspended_at_most_and_in_the_warm_up_throttled() {
        let young = Circumstances { mature: false, ..free(Mode::Revoke) };
        let verdict = without_token(Action::Revoke, young);
        assert_eq!((verdict.action, verdict.held_by), (Action::Suspend, vec![Safeguard::Maturity]));
        let early = Circumstances { warming_up: true, ..free(Mode::Revoke) };
        let verdict = without_token(Action::Suspend, early);
        assert_eq!((verdict.action, verdict.held_by), (Action::Throttle, vec![Safeguard::WarmUp]));
    }

    #[test]
    fn where_people_must_agree_it_is_suspended_meanwhile_and_takes_no_token() {
        let given = Circumstances { needs_approval: true, ..free(Mode::Revoke) };
        let verdict = without_token(Action::Revoke, given);
        assert_eq!((verdict.action, verdict.held_by), (Action::Suspend, vec![Safeguard::Approval]));
        // A lower mode would not revoke anyway: no one is asked in vain.
        let lower = Circumstances { needs_approval: true, ..free(Mode::Suspend) };
        let verdict = without_token(Action::Revoke, lower);
        assert_eq!((verdict.action, verdict.held_by), (Action::Suspend, vec![Safeguard::Mode]));
    }

    #[test]
    fn nothing_above_the_mode_is_ever_carried_out() {
        for wanted in Action::ALL {
            for mode in Mode::ALL {
                let verdict = verdict(wanted, mode, FREE);
                assert!(!verdict.carried_out || verdict.action <= mode.cap());
                assert_eq!(
                    verdict.action < wanted || !verdict.carried_out,
                    wanted > mode.cap() || !wanted.is_enforced()
                );
            }
        }
    }

    #[test]
    fn shadow_spends_no_token_of_the_revocation_limit() {
        let given = free(Mode::Shadow);
        let verdict = without_token(Action::Revoke, given);
        assert_eq!(verdict.action, Action::Revoke);
    }
}
