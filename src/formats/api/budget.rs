//! The proven bound on false actions, as JSON.

use crate::control_plane::policy::budget::{BUDGETED, Budgets, Claim, Proof, Proofs};
use crate::model::credential::Kind;
use crate::model::finding::Action;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The proof for one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Proof)]
pub struct ProofJson {
    /// The action.
    #[schema(value_type = Action)]
    pub action: String,
    /// Findings that would have justified it, had the credential been mature; those of each other
    /// tenant count as one.
    pub open_findings: u64,
    /// The bound on false ones that holds at 95 %; null while too little was used.
    /// Unit: per credential-day of use.
    #[schema(required, minimum = 0)]
    pub certified: Option<f64>,
    /// The budget; null: the action is not held back. Unit: per credential-day of use.
    #[schema(required, minimum = 0)]
    pub budget: Option<f64>,
    /// Whether the action is open.
    pub open: bool,
    /// How much longer credentials must be used without a false alarm until it is.
    /// Unit: credential-days of use.
    #[schema(minimum = 0)]
    pub credential_days_missing: f64,
}

/// The proofs of one kind, for the credentials of one tenant or those without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Cohort)]
pub struct CohortJson {
    /// The kind of its credentials.
    #[schema(value_type = Kind)]
    pub cohort: String,
    /// How long all credentials of the kind were used. Unit: credential-days, each 24 hours of use.
    #[schema(minimum = 0)]
    pub credential_days: f64,
    /// Bursts that ended and that no one confirmed; those of each other tenant count as one.
    pub open_findings: u64,
    /// Of those: with the context gate.
    pub context: u64,
    /// Of those: with the context gate and a corroborator.
    pub corroborated: u64,
    /// How many other tenants had a false alarm.
    pub tenants_with_false_alarms: u64,
    /// The proofs for bursts, mildest action first.
    pub actions: Vec<ProofJson>,
    /// The proof for throttling by the limit that no operator wrote down: all throttles together.
    pub built_in_limit: ProofJson,
}

/// The proofs of every kind.
pub fn budget_json(proofs: &Proofs, budgets: &Budgets) -> Vec<CohortJson> {
    Kind::ALL.into_iter().zip(proofs).map(|(kind, one)| cohort_json(kind, one, budgets)).collect()
}

fn cohort_json(kind: Kind, proof: &Proof, budgets: &Budgets) -> CohortJson {
    let of = |claim: Claim| {
        let certified = proof.certified(claim);
        ProofJson {
            action: claim.action().as_str().to_owned(),
            open_findings: proof.false_alarms(claim),
            certified: certified.is_finite().then_some(certified),
            budget: budgets.of(claim.action()),
            open: proof.opens(claim, budgets),
            credential_days_missing: proof.days_missing(claim, budgets),
        }
    };
    let counts = proof.counts();
    CohortJson {
        cohort: kind.as_str().to_owned(),
        credential_days: proof.days(),
        open_findings: counts.open_findings,
        context: counts.context,
        corroborated: counts.corroborated,
        tenants_with_false_alarms: proof.tenants_with_false_alarms(),
        actions: BUDGETED.map(|action| of(Claim::Burst(action))).into(),
        built_in_limit: of(Claim::BuiltInLimit),
    }
}
