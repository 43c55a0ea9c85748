//! The proven bound on false actions, as JSON.

use crate::control_plane::policy::budget::{BUDGETED, Budgets, Cohort, Cohorts};
use crate::model::credential::Kind;
use serde::{Deserialize, Serialize};

/// The proof for one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofJson {
    /// The action.
    pub action: String,
    /// Findings that would have justified it, had the credential been mature.
    pub open_findings: u64,
    /// The bound on false ones that holds at 95 %; none while nothing was used.
    /// Unit: per credential-day of use.
    pub certified: Option<f64>,
    /// The budget; none: the action is not held back. Unit: per credential-day of use.
    pub budget: Option<f64>,
    /// Whether the action is open.
    pub open: bool,
    /// How much longer credentials must be used without a false alarm until it is.
    /// Unit: credential-days of use.
    pub credential_days_missing: f64,
}

/// The proofs of one cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortJson {
    /// The kind of its credentials.
    pub cohort: String,
    /// How long they were used. Unit: credential-days, each 24 hours of use.
    pub credential_days: f64,
    /// Bursts that ended and that no one confirmed.
    pub open_findings: u64,
    /// Of those: with the context gate.
    pub context: u64,
    /// Of those: with the context gate and a corroborator.
    pub corroborated: u64,
    /// The proofs, mildest action first.
    pub actions: Vec<ProofJson>,
}

/// The proofs of every cohort.
pub fn budget_json(cohorts: &Cohorts, budgets: &Budgets) -> Vec<CohortJson> {
    Kind::ALL.into_iter().zip(cohorts).map(|(kind, one)| cohort_json(kind, one, budgets)).collect()
}

fn cohort_json(kind: Kind, cohort: &Cohort, budgets: &Budgets) -> CohortJson {
    let proof = |action| {
        let certified = cohort.certified(action);
        ProofJson {
            action: action.as_str().to_owned(),
            open_findings: cohort.justified(action),
            certified: certified.is_finite().then_some(certified),
            budget: budgets.of(action),
            open: cohort.opens(action, budgets),
            credential_days_missing: cohort.days_missing(action, budgets),
        }
    };
    CohortJson {
        cohort: kind.as_str().to_owned(),
        credential_days: cohort.days(),
        open_findings: cohort.open_findings,
        context: cohort.context,
        corroborated: cohort.corroborated,
        actions: BUDGETED.map(proof).into(),
    }
}
