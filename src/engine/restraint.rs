//! Restraint: what all credentials together say against acting on one of them. The ledger, for what
//! it proves; the fleet, for a common cause.

use super::partition::Signal;
use crate::detect::episode::Change;
use crate::judge::budget::{Budgets, Ledger, Open};
use crate::judge::fleet::{self, Fleet};
use crate::model::finding::{Detector, Finding};
use crate::model::time::EventTime;

/// The ledger and the fleet.
#[derive(Clone, Debug, Default)]
pub struct Restraint {
    /// What was counted to prove that actions keep to their budgets.
    pub ledger: Ledger,
    fleet: Fleet,
}

impl Restraint {
    /// Counts what bursts in a fleet of `active` credentials, whatever is done about it.
    pub fn hear(&mut self, signal: &Signal, active: u64, params: &fleet::Params) {
        let finding = &signal.finding;
        if finding.detector != Detector::Burst {
            return;
        }
        self.ledger.hear(finding, signal.change == Change::Closed);
        if signal.change == Change::Opened {
            self.fleet.note(finding.opened, active, params);
        }
    }

    /// The actions that are open for a finding; a ceiling is a contract and needs no proof.
    pub fn open(&self, finding: &Finding, budgets: &Budgets) -> Open {
        if finding.detector == Detector::Ceiling {
            return Open::ALL;
        }
        self.ledger.open(finding.credential.kind(), budgets)
    }

    /// Whether what is found at `at` may have a common cause.
    pub fn suppresses(&self, at: EventTime) -> bool {
        self.fleet.suppresses(at)
    }
}
