//! The decisions on each finding, so that an update of it decides nothing again.

use crate::model::credential::Credential;
use crate::model::decision::{Decision, Safeguard};
use crate::model::finding::{Action, Finding, FindingId};
use crate::model::time::EventTime;
use hashbrown::HashMap;

/// How long it is remembered, should the end of the finding never be reported. Unit: milliseconds.
/// Chosen: findings freeze learning for a day at most.
pub const DECIDED_MS: i64 = 2 * 86_400_000;
/// How often the memory is swept. Unit: milliseconds. Chosen.
const SWEEP_MS: i64 = 3_600_000;

/// The decision on a finding.
#[derive(Clone, Copy, Debug)]
struct Decided {
    finding: FindingId,
    action: Action,
    /// Whether it was held because the past was being read.
    catch_up: bool,
    /// Whether it was held because of a common cause.
    fleet: bool,
    /// Whether it was held because tripline had just started.
    warm_up: bool,
    at: EventTime,
}

/// The reasons that still hold for which decisions were held back.
#[derive(Clone, Copy, Debug)]
pub struct SafeguardState {
    /// The past is still being read.
    pub catch_up: bool,
    /// There is still a common cause.
    pub fleet: bool,
    /// tripline is still warming up.
    pub warm_up: bool,
}

/// The decisions, by credential.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    by_credential: HashMap<Credential, Vec<Decided>>,
    sweeps_at: Option<EventTime>,
}

impl Memory {
    /// Notes what was decided on a finding of which `wanted` was justified.
    pub fn record(&mut self, finding: FindingId, decision: &Decision) {
        let held = |safeguard| decision.held_by.contains(&safeguard);
        let decided = Decided {
            finding,
            action: decision.wanted,
            catch_up: held(Safeguard::CatchUp),
            fleet: held(Safeguard::CommonCause),
            warm_up: held(Safeguard::WarmUp),
            at: decision.at,
        };
        self.forget_finding(&decision.credential, finding);
        self.by_credential.entry(decision.credential.clone()).or_default().push(decided);
    }

    /// Whether as much was decided on `finding` before, and nothing that held it back has passed.
    /// Where it is reported `again` after a restart nothing has: of what all credentials do together
    /// only a part is known by then.
    pub fn covers(&self, finding: &Finding, still: SafeguardState, again: bool) -> bool {
        let decided = self.by_credential.get(&finding.credential);
        let decided = decided.and_then(|all| all.iter().find(|one| one.finding == finding.id));
        decided.is_some_and(|decided| {
            let holds = (!decided.catch_up || still.catch_up)
                && (!decided.fleet || still.fleet)
                && (!decided.warm_up || still.warm_up);
            decided.action >= finding.action && (holds || again)
        })
    }

    /// Forgets a finding.
    pub fn forget_finding(&mut self, credential: &Credential, finding: FindingId) {
        if let Some(decided) = self.by_credential.get_mut(credential) {
            decided.retain(|one| one.finding != finding);
            if decided.is_empty() {
                self.by_credential.remove(credential);
            }
        }
    }

    /// Forgets all of a credential: its findings are judged again.
    pub fn forget_credential(&mut self, credential: &Credential) {
        self.by_credential.remove(credential);
    }

    /// Forgets what is old, once in a while.
    pub fn sweep(&mut self, now: EventTime) {
        if self.sweeps_at.is_some_and(|at| now < at) {
            return;
        }
        self.sweeps_at = Some(now.plus_ms(SWEEP_MS));
        self.by_credential.retain(|_, decided| {
            decided.retain(|decided| now.ms_since(decided.at) < DECIDED_MS);
            !decided.is_empty()
        });
        self.by_credential.shrink_to(self.by_credential.len() * 2);
    }
}
