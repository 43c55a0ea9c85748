//! The settled peak: the peak of a minute that can't be raised within a day.
//!
//! Peaks follow a harmless rise at once, so that an honest burst alerts once. A thief who goes up in small
//! steps could raise them without end. The settled peak follows the peak of a minute by a seventh a day at
//! most, whatever happens within the day.

use crate::stats::codec::{Codec, Input};
use crate::stats::compact::Compact;
use crate::stats::rate::narrow;

/// The most by which it grows in a day. Chosen: a key with a peak of 90 a minute, that stays within 16
/// times of what has settled, takes 14 days to 10,000.
const GROWS_PER_DAY: f64 = 8.0 / 7.0;

/// The rest of it after a day: a half-life of 90 days, longer than the peak's, so that a job of each quarter
/// is not a rise from nothing. Chosen.
const KEEPS_PER_DAY: f64 = 0.992_328;

/// A settled peak. Shape: 2 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledPeak(Compact);

impl SettledPeak {
    /// The peak as it is, as of a young credential.
    pub const fn at(peak: Compact) -> Self {
        Self(peak)
    }

    /// Follows the peak of a minute, as it is after those days.
    pub fn days_pass(&mut self, days: u32, peak: Compact) {
        let before = f64::from(self.0.value());
        if before.is_infinite() {
            self.0 = peak;
            return;
        }
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let grown = (before * GROWS_PER_DAY.powi(days)).min(f64::from(peak.value()));
        self.0 = Compact::nearest(narrow(grown.max(before * KEEPS_PER_DAY.powi(days))));
    }

    /// Its value, where the peak of a minute is `peak`. Unit: requests.
    pub fn under(self, peak: Compact) -> f32 {
        if self.0.value().is_infinite() { peak.value() } else { self.0.value() }
    }
}

impl Codec for SettledPeak {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        // Before layout 5 every peak was settled.
        let settled = Self(Compact::at_least(f32::INFINITY));
        if input.version() < 5 { Some(settled) } else { Codec::decode(input).map(Self) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Codec, Compact, Input, SettledPeak};

    #[test]
    fn it_follows_a_rise_by_a_seventh_a_day_and_fades_by_half_in_90_days() {
        let (before, peak) = (Compact::at_least(100.0), Compact::at_least(5000.0));
        let mut settled = SettledPeak::at(before);
        assert!((settled.under(peak) - 100.0).abs() < 1.0, "nothing within the day");
        for expected in [114.3, 130.6, 149.3] {
            settled.days_pass(1, peak);
            assert!((settled.under(peak) / expected - 1.0).abs() < 0.02, "{expected}");
        }
        settled.days_pass(365, peak);
        assert!((settled.under(peak) - 5000.0).abs() < 50.0);
        settled.days_pass(90, before);
        assert!((settled.under(before) - 2500.0).abs() < 50.0);
    }

    #[test]
    fn a_peak_from_before_layout_5_was_settled() {
        let peak = Compact::at_least(5000.0);
        let mut read = SettledPeak::decode(&mut Input::new(&[], 4)).expect("reads");
        assert!((read.under(peak) - peak.value()).abs() < f32::EPSILON);
        read.days_pass(1, peak);
        assert_eq!(read, SettledPeak::at(peak));
    }
}
