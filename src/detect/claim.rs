//! A claim: what a detector says at one event, as numbers; the words come when people are told.

use super::burst::Burst;
use super::cadence::NewRhythm;
use super::ceiling::Passed;
use super::cost::Spending;
use super::dormant::Woken;
use super::endpoints::Sweep;
use super::failures::Failing;
use super::fan_out::FanOut;
use super::origin::{NewSource, new_things};
use super::ramp::Climb;
use super::tenant_flood::Flood;
use super::weigh::Context;
use crate::model::finding::{Action, Detector, Gates, Measure};

/// The evidence of a contract that was passed: it is certain. Unit: nats. Chosen: `exp(-700)` is
/// about the least probability that a double can hold.
pub const CERTAIN_NATS: f64 = 700.0;

/// What a detector saw, ready to be told.
pub(super) trait Seen {
    /// How strong it is in the detector's own score: how many times too much.
    fn strength(&self) -> f64;
    /// How unlikely it is by chance. Unit: nats.
    fn evidence_nats(&self) -> f64;
    /// A sentence that a person on call understands; its subject is the credential.
    fn summary(&self) -> String;
    /// The numbers from which it can be recomputed.
    fn measures(&self) -> Vec<Measure>;
}

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
    /// The gravest action that it justifies.
    pub action: Action,
    /// What was seen.
    pub sight: Sight,
    /// What was known beside it, where it was weighed.
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
        match self.sight {
            Sight::Ceiling(_) => Detector::Ceiling,
            Sight::Burst(_) => Detector::Burst,
            Sight::Ramp(_) => Detector::Ramp,
            Sight::Origin(_) => Detector::Origin,
            Sight::FanOut(_) => Detector::FanOut,
            Sight::Endpoints(_) => Detector::Endpoints,
            Sight::Failures(_) => Detector::Failures,
            Sight::Cost(_) => Detector::Cost,
            Sight::Cadence(_) => Detector::Cadence,
            Sight::Dormant(_) => Detector::Dormant,
            Sight::TenantFlood(_) => Detector::TenantFlood,
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

/// A whole number with a comma every three digits.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Burst, Claim, Passed, Sight, grouped};
    use crate::detect::window::Window;
    use crate::model::finding::Action;

    #[test]
    fn numbers_are_grouped_for_people() {
        let written: Vec<_> = [0.0, 12.4, 999.0, 1000.0, 1_234_567.0].map(grouped).into();
        assert_eq!(written, ["0", "12", "999", "1,000", "1,234,567"]);
    }

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
