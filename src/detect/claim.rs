//! A claim: what a detector says at one event, as numbers; the words come when people are told.

use super::burst::Burst;
use super::ceiling::Passed;
use crate::model::finding::{Action, Detector, Measure};

/// The evidence of a contract that was passed: it is certain. Unit: nats. Chosen: `exp(-700)` is
/// about the least probability that a double can hold.
pub const CERTAIN_NATS: f64 = 700.0;

/// What was seen, by detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sight {
    /// An absolute limit was passed.
    Ceiling(Passed),
    /// Far more than ever.
    Burst(Burst),
}

/// What a detector says at one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// The gravest action that it justifies.
    pub action: Action,
    /// What was seen.
    pub sight: Sight,
}

impl Claim {
    /// Who makes it.
    pub const fn detector(&self) -> Detector {
        match self.sight {
            Sight::Ceiling(_) => Detector::Ceiling,
            Sight::Burst(_) => Detector::Burst,
        }
    }

    /// How strong it is in the detector's own score: how many times too much.
    pub fn strength(&self) -> f64 {
        match self.sight {
            Sight::Ceiling(passed) => passed.ratio(),
            Sight::Burst(burst) => burst.ratio,
        }
    }

    /// How unlikely it is by chance. Unit: nats.
    pub const fn evidence_nats(&self) -> f64 {
        match self.sight {
            Sight::Ceiling(_) => CERTAIN_NATS,
            Sight::Burst(burst) => burst.evidence_nats,
        }
    }

    /// A sentence that a person on call understands; its subject is the credential.
    pub fn summary(&self) -> String {
        match self.sight {
            Sight::Ceiling(passed) => format!(
                "made {} requests in {} s, a rate of {} a minute; its limit is {} a minute",
                grouped(f64::from(passed.count)),
                passed.seconds,
                grouped(passed.rate_per_min()),
                grouped(f64::from(passed.limit_per_min)),
            ),
            Sight::Burst(burst) => format!(
                "made {} requests in {} s where about {} are usual{}; that is {:.1} times {}",
                grouped(f64::from(burst.count)),
                burst.window.seconds(),
                usual(burst.expected),
                if burst.peak >= 1.0 {
                    format!(" and {} were the most so far", grouped(f64::from(burst.peak)))
                } else {
                    String::new()
                },
                burst.ratio,
                if burst.peak >= 5.0 {
                    "its own record"
                } else {
                    "the least that is compared with"
                },
            ),
        }
    }

    /// The numbers from which it can be recomputed.
    pub fn measures(&self) -> Vec<Measure> {
        match self.sight {
            Sight::Ceiling(passed) => vec![
                Measure::new("limit_per_min", f64::from(passed.limit_per_min)),
                Measure::new("count", f64::from(passed.count)),
                Measure::new("window_s", f64::from(passed.seconds)),
                Measure::new("rate_per_min", passed.rate_per_min()),
                Measure::new("limit_ratio", passed.ratio()),
            ],
            Sight::Burst(burst) => vec![
                Measure::new("window_s", f64::from(burst.window.seconds())),
                Measure::new("count", f64::from(burst.count)),
                Measure::new("expected", burst.expected),
                Measure::new("peak", f64::from(burst.peak)),
                Measure::new("peak_ratio", burst.ratio),
                Measure::new("rate_per_min", burst.rate_per_min()),
                Measure::new("tail_nats", burst.evidence_nats),
            ],
        }
    }
}

/// A usual count in words: small ones keep a digit.
fn usual(count: f64) -> String {
    if count < 9.95 { format!("{count:.1}") } else { grouped(count) }
}

/// A whole number with a comma every three digits.
fn grouped(number: f64) -> String {
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
        let claim = Claim { action: Action::Revoke, sight: Sight::Ceiling(passed) };
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
        let claim = Claim { action: Action::Throttle, sight: Sight::Burst(burst) };
        assert_eq!(
            claim.summary(),
            "made 167 requests in 1 s where about 0.5 are usual and 6 were the most so far; \
             that is 27.8 times its own record"
        );
    }
}
