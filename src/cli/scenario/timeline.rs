//! The happenings of a scenario that are no events: reports, canaries, ends and restores.

use super::format::Scenario;
use crate::engine::{Engine, Output};
use crate::model::credential::Credential;
use crate::model::proof::{Leak, Mark};
use crate::model::time::EventTime;

/// What happens to a credential.
#[derive(Debug)]
enum Happening {
    /// It is marked.
    Marked(Mark),
    /// A person puts it back into service.
    Restored,
}

/// A happening of a scenario.
#[derive(Debug)]
pub(super) struct Step {
    /// When.
    pub(super) at: EventTime,
    credential: Credential,
    happening: Happening,
}

/// The happenings of a scenario that begins at `start`, oldest first; those of one time as they are
/// listed in [`Scenario`].
pub(super) fn steps_of(scenario: &Scenario, start: EventTime) -> Vec<Step> {
    let step = |ms: i64, credential: &Credential, happening| Step {
        at: start.plus_ms(ms),
        credential: credential.clone(),
        happening,
    };
    let mut steps = Vec::new();
    steps.extend(scenario.leaks.iter().map(|report| {
        let leak = Leak { place: report.place.as_str().into(), is_proof: report.proof };
        step(report.at, &report.credential, Happening::Marked(Mark::Leaked(leak)))
    }));
    steps.extend(
        scenario
            .canaries
            .iter()
            .map(|canary| step(canary.from, &canary.credential, Happening::Marked(Mark::Canary))),
    );
    steps.extend(scenario.out_of_service.iter().map(|moment| {
        let mark = Mark::OutOfService(start.plus_ms(moment.at));
        step(moment.at, &moment.credential, Happening::Marked(mark))
    }));
    steps.extend(
        scenario
            .restores
            .iter()
            .map(|moment| step(moment.at, &moment.credential, Happening::Restored)),
    );
    steps.sort_by_key(|step| step.at);
    steps
}

/// When happenings are, from the start, and to whom. Unit: milliseconds.
pub(super) fn moments_of(scenario: &Scenario) -> impl Iterator<Item = (i64, &Credential)> {
    let leaks = scenario.leaks.iter().map(|report| (report.at, &report.credential));
    let canaries = scenario.canaries.iter().map(|canary| (canary.from, &canary.credential));
    let moments = scenario.out_of_service.iter().chain(&scenario.restores);
    leaks.chain(canaries).chain(moments.map(|moment| (moment.at, &moment.credential)))
}

impl Step {
    /// Lets it happen; `each` gets what follows.
    pub(super) fn apply(self, engine: &mut Engine, each: impl FnMut(Output)) {
        match self.happening {
            Happening::Marked(mark) => engine.mark(&self.credential, mark, self.at, each),
            Happening::Restored => engine.restore(&self.credential, self.at, each),
        }
    }
}
