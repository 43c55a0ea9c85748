//! The evidence of a detector: a strength, nats, a sentence and numbers.

use crate::model::finding::Measure;

/// The evidence of a contract that was passed: it is certain. Unit: nats. Chosen: `exp(-700)` is
/// about the least probability that a double can hold.
pub(super) const CERTAIN_NATS: f64 = 700.0;

/// An observation that can be reported.
pub(super) trait Evidence {
    /// How strong it is in the detector's own score: how many times too much.
    fn strength(&self) -> f64;
    /// How unlikely it is by chance. Unit: nats.
    fn evidence_nats(&self) -> f64;
    /// A sentence that a person on call understands; its subject is the credential.
    fn summary(&self) -> String;
    /// The numbers from which it can be recomputed.
    fn measures(&self) -> Vec<Measure>;
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
    use super::grouped;

    #[test]
    fn numbers_are_grouped_for_people() {
        let written: Vec<_> = [0.0, 12.4, 999.0, 1000.0, 1_234_567.0].map(grouped).into();
        assert_eq!(written, ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
