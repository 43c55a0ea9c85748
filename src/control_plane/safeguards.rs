//! Safeguards: what all credentials together say against acting on one of them. The ledger, for what
//! it proves; the fleet, for a common cause.

use super::policy::budget::{Budgets, Open};
use super::policy::common_cause::{self, BurstOnsets, Fleet};
use super::policy::ledger::Ledger;
use crate::detect::open_finding::LIMIT_UPDATE_MS;
use crate::model::credential::Kind;
use crate::model::finding::{Detector, Finding};
use crate::model::signal::{Change, Signal};

/// For how long a common cause excuses a broken limit, which is reported again as often. Unit: milliseconds.
/// Chosen: what a launch or a replay does within seconds is over by then.
const CONTRACT_EXCUSED_MS: i64 = LIMIT_UPDATE_MS;

/// The ledger and the fleet.
#[derive(Clone, Debug, Default)]
pub struct Safeguards {
    /// The counts that prove that actions keep to their budgets.
    pub ledger: Ledger,
    /// By kind of credential, so that made-up sessions hold back nothing of keys.
    fleets: [Fleet; Kind::ALL.len()],
}

impl Safeguards {
    /// Counts what bursts in a fleet of `active` credentials, whatever is done about it.
    pub fn on_signal(&mut self, signal: &Signal, active: u64, params: &common_cause::Params) {
        let finding = &signal.finding;
        let is_burst = finding.detector == Detector::Burst;
        let is_built_in_limit = finding.detector == Detector::Limit && !finding.needs_no_proof();
        if is_burst || is_built_in_limit {
            self.ledger.on_finding(finding, signal.change == Change::Closed);
        }
        if is_burst && matches!(signal.change, Change::Opened | Change::Recalled) {
            let fleet = self.fleets.get_mut(finding.credential.kind() as usize);
            if let Some(fleet) = fleet {
                fleet.record(finding.id, finding.opened, active, params);
            }
        }
    }

    /// The bursts recently, in the order of [`Kind::ALL`].
    pub fn bursts(&self) -> [BurstOnsets; Kind::ALL.len()] {
        self.fleets.each_ref().map(Fleet::openings)
    }

    /// Takes the bursts of other instances, of a fleet of `active` credentials together.
    pub fn on_other_instances(
        &mut self,
        bursts: [BurstOnsets; Kind::ALL.len()],
        active: u64,
        params: &common_cause::Params,
    ) {
        for (fleet, openings) in self.fleets.iter_mut().zip(bursts) {
            fleet.on_other_instances(openings, active, params);
        }
    }

    /// The actions that are open for a finding; a contract and a fact need no proof.
    pub fn open(&self, finding: &Finding, budgets: &Budgets) -> Open {
        if finding.needs_no_proof() {
            return Open::ALL;
        }
        let proof = self.ledger.proof(finding.credential.kind(), finding.tenant.as_deref());
        if finding.detector == Detector::Limit {
            proof.open_for_built_in_limit(budgets)
        } else {
            proof.open(budgets)
        }
    }

    /// Whether what is found may have a cause in common with much that its like do. A broken limit is a
    /// contract: others that burst, which a thief could arrange, excuse it for seconds alone. A fact is
    /// no burst.
    pub fn suppresses(&self, finding: &Finding) -> bool {
        if finding.detector.is_proof() {
            return false;
        }
        let lasted_ms = finding.updated.ms_since(finding.opened);
        if finding.needs_no_proof() && lasted_ms >= CONTRACT_EXCUSED_MS {
            return false;
        }
        let fleet = self.fleets.get(finding.credential.kind() as usize);
        fleet.is_some_and(|fleet| fleet.suppresses(finding.updated))
    }
}
