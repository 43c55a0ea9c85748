//! A claim: what a detector says at one event, as numbers; the words come when people are told.

use super::burst::Burst;
use super::cadence::NewRhythm;
use super::context::Context;
use super::cost::Spending;
use super::dormant::Woken;
use super::endpoints::Sweep;
use super::evidence::Seen;
use super::failures::Failing;
use super::fan_out::FanOut;
use super::limit::Passed;
use super::origin::{NewSource, new_things};
use super::ramp::Climb;
use super::tenant_flood::Flood;
use crate::model::finding::{Action, Detector, Gates, Measure};

/// What was seen, by detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sight {
    /// An absolute limit was passed.
    Ceiling(Passed),
    /// Far more than ever.
    Burst(Burst),
    /// A rate that rose and stays.
    Ramp(Climb),
    /// A source that it was never used from.
    Origin(NewSource),
    /// Far more networks at a time than usual.
    FanOut(FanOut),
    /// Far more endpoints than usual.
    Endpoints(Sweep),
    /// Far more failures than usual.
    Failures(Failing),
    /// Far more units than ever.
    Cost(Spending),
    /// The rhythm changed.
    Cadence(NewRhythm),
    /// Woken from a long sleep.
    Dormant(Woken),
    /// Its tenant takes far more of the fleet than usual.
    TenantFlood(Flood),
}

impl Sight {
    /// Who saw it.
    pub const fn detector(&self) -> Detector {
        match self {
            Self::Ceiling(_) => Detector::Ceiling,
            Self::Burst(_) => Detector::Burst,
            Self::Ramp(_) => Detector::Ramp,
            Self::Origin(_) => Detector::Origin,
            Self::FanOut(_) => Detector::FanOut,
            Self::Endpoints(_) => Detector::Endpoints,
            Self::Failures(_) => Detector::Failures,
            Self::Cost(_) => Detector::Cost,
            Self::Cadence(_) => Detector::Cadence,
            Self::Dormant(_) => Detector::Dormant,
            Self::TenantFlood(_) => Detector::TenantFlood,
        }
    }

    fn seen(&self) -> &dyn Seen {
        match self {
            Self::Ceiling(seen) => seen,
            Self::Burst(seen) => seen,
            Self::Ramp(seen) => seen,
            Self::Origin(seen) => seen,
            Self::FanOut(seen) => seen,
            Self::Endpoints(seen) => seen,
            Self::Failures(seen) => seen,
            Self::Cost(seen) => seen,
            Self::Cadence(seen) => seen,
            Self::Dormant(seen) => seen,
            Self::TenantFlood(seen) => seen,
        }
    }
}

/// What a detector says at one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// The most severe action that it justifies.
    pub action: Action,
    /// What was seen.
    pub sight: Sight,
    /// What was known besides it, where it was weighed.
    pub context: Option<Context>,
    /// The gates that it passes.
    pub gates: Gates,
}

impl Claim {
    /// A claim for itself.
    pub const fn new((action, sight): (Action, Sight)) -> Self {
        Self { action, sight, context: None, gates: Gates::NONE }
    }

    /// Who makes it.
    pub const fn detector(&self) -> Detector {
        self.sight.detector()
    }

    /// Whether the credential must learn nothing while it lasts: there is more use than ever, or
    /// people are told. What strangers can bring about, by failing or by the share that others
    /// take, is no suspicion (invariant S-10).
    pub fn is_suspicion(&self) -> bool {
        match self.sight {
            Sight::Ceiling(_) | Sight::Burst(_) => true,
            Sight::Ramp(_)
            | Sight::Cost(_)
            | Sight::Origin(_)
            | Sight::FanOut(_)
            | Sight::Endpoints(_)
            | Sight::Cadence(_)
            | Sight::Dormant(_) => self.action >= Action::Alert,
            Sight::Failures(_) | Sight::TenantFlood(_) => false,
        }
    }

    /// How strong it is in the detector's own score: how many times too much.
    pub fn strength(&self) -> f64 {
        self.sight.seen().strength()
    }

    /// How unlikely it is by chance. Unit: nats.
    pub fn evidence_nats(&self) -> f64 {
        self.sight.seen().evidence_nats()
    }

    /// A sentence that a person on call understands; its subject is the credential.
    pub fn summary(&self) -> String {
        let mut summary = self.sight.seen().summary();
        if let Some(context) = self.context.filter(|_| self.action >= Action::Suspend) {
            summary.push_str(&format!(
                "; {:.0} % of the excess came from {}",
                context.recent.new_source_ratio() * 100.0,
                new_things(context.novel),
            ));
            if context.slept_days > 0 {
                summary.push_str(&format!(", after {} days of sleep", context.slept_days));
            }
        }
        summary
    }

    /// The numbers from which it can be recomputed: the detector's own, then the context's.
    pub fn measures(&self) -> Vec<Measure> {
        let mut measures = self.sight.seen().measures();
        measures.extend(self.context.iter().flat_map(Context::measures));
        measures
    }
}

crate::codec!(Claim { action, sight, context, gates });

#[cfg(test)]
mod tests {
    use super::{Burst, Claim, Passed, Sight};
    use crate::detect::window::Window;
    use crate::model::finding::Action;

    #[test]
    fn a_ceiling_explains_itself() {
        let passed = Passed { limit_per_min: 10_000, count: 1702, seconds: 10 };
        let claim = Claim::new((Action::Revoke, Sight::Ceiling(passed)));
        assert_eq!(
            claim.summary(),
            "made 1,702 requests in 10 s, a rate of 10,212 a minute; its limit is 10,000 a minute"
        );
    }

    #[test]
    fn a_burst_explains_itself() {
        let burst = Burst {
            window: Window::S1,
            count: 167,
            expected: 0.52,
            peak: 6.0,
            ratio: 27.8,
            evidence_nats: 41.0,
        };
        let claim = Claim::new((Action::Throttle, Sight::Burst(burst)));
        assert_eq!(
            claim.summary(),
            "made 167 requests in 1 s where about 0.5 are usual and 6 were the most so far; \
             that is 27.8 times its own record"
        );
    }
}
