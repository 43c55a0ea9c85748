//! A detection: what a detector says at one event, as numbers; the words come when people are notified.

use super::burst::Burst;
use super::cadence::NewRhythm;
use super::context::Context;
use super::cost::Spending;
use super::dormant::Woken;
use super::endpoints::Sweep;
use super::evidence::Evidence;
use super::failures::Failing;
use super::fan_out::FanOut;
use super::limit::Passed;
use super::origin::{NewSource, new_things};
use super::ramp::Climb;
use super::reuse::Reuse;
use super::session::Odd;
use super::tenant_flood::Flood;
use super::validity::InvalidUse;
use super::witness::{Leaked, Presented};
use crate::model::finding::{Action, Detector, Gates, Measure};

/// The observation, by detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observation {
    /// An absolute limit was passed.
    Limit(Passed),
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
    /// Its secret leaked.
    Leak(Leaked),
    /// Used where or when it isn't valid.
    Validity(InvalidUse),
    /// Its grant was stolen.
    Reuse(Reuse),
    /// A session that isn't used as one.
    Session(Odd),
    /// A canary was presented.
    Canary(Presented),
}

impl Observation {
    /// The detector.
    pub const fn detector(&self) -> Detector {
        match self {
            Self::Limit(_) => Detector::Limit,
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
            Self::Leak(_) => Detector::Leak,
            Self::Validity(_) => Detector::Validity,
            Self::Reuse(_) => Detector::Reuse,
            Self::Session(_) => Detector::Session,
            Self::Canary(_) => Detector::Canary,
        }
    }

    fn seen(&self) -> &dyn Evidence {
        match self {
            Self::Limit(seen) => seen,
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
            Self::Leak(seen) => seen,
            Self::Validity(seen) => seen,
            Self::Reuse(seen) => seen,
            Self::Session(seen) => seen,
            Self::Canary(seen) => seen,
        }
    }
}

/// A detector's result at one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The most severe action that it justifies.
    pub action: Action,
    /// The observation.
    pub observation: Observation,
    /// Its context, where that was weighed.
    pub context: Option<Context>,
    /// The gates that it passes.
    pub gates: Gates,
}

impl Detection {
    /// A detection for itself.
    pub const fn new((action, observation): (Action, Observation)) -> Self {
        Self { action, observation, context: None, gates: Gates::NONE }
    }

    /// The detector.
    pub const fn detector(&self) -> Detector {
        self.observation.detector()
    }

    /// Whether the credential must learn nothing while it lasts: there is more use than ever, or
    /// people are notified. A detection that strangers can cause, by failing, by a made-up report or by the
    /// share that others take, is no suspicion (invariant S-10); nor is one about a gateway.
    pub fn is_suspicion(&self) -> bool {
        match self.observation {
            Observation::Limit(_) | Observation::Burst(_) | Observation::Reuse(_) => true,
            Observation::Leak(leaked) => leaked.is_proof,
            Observation::Ramp(_)
            | Observation::Cost(_)
            | Observation::Origin(_)
            | Observation::FanOut(_)
            | Observation::Endpoints(_)
            | Observation::Cadence(_)
            | Observation::Dormant(_)
            | Observation::Session(_) => self.action >= Action::Alert,
            Observation::Failures(_)
            | Observation::TenantFlood(_)
            | Observation::Validity(_)
            | Observation::Canary(_) => false,
        }
    }

    /// How strong it is in the detector's own score: how many times too much.
    pub fn strength(&self) -> f64 {
        self.observation.seen().strength()
    }

    /// How unlikely it is by chance. Unit: nats.
    pub fn evidence_nats(&self) -> f64 {
        self.observation.seen().evidence_nats()
    }

    /// A sentence that a person on call understands; its subject is the credential.
    pub fn summary(&self) -> String {
        let mut summary = self.observation.seen().summary();
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
        let mut measures = self.observation.seen().measures();
        measures.extend(self.context.iter().flat_map(Context::measures));
        measures
    }
}

crate::codec!(Detection { action, observation, context, gates });

#[cfg(test)]
mod tests {
    use super::{Burst, Detection, Observation, Passed};
    use crate::detect::window::Window;
    use crate::model::finding::Action;

    #[test]
    fn a_limit_explains_itself() {
        let passed = Passed { limit_per_min: 10_000, count: 1702, seconds: 10, is_written: true };
        let detection = Detection::new((Action::Revoke, Observation::Limit(passed)));
        assert_eq!(
            detection.summary(),
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
            settled_ratio: 0.0,
        };
        let detection = Detection::new((Action::Throttle, Observation::Burst(burst)));
        assert_eq!(
            detection.summary(),
            "made 167 requests in 1 s where about 0.5 are usual and 6 were the most so far; \
             that is 27.8 times its peak"
        );
    }
}
