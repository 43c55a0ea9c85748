//! The ratio to the key's own maximum so far, in windows of 1, 10 and 60 s.

use super::counts::WINDOWS_S;

/// The least maximum that is compared with. Unit: requests. Chosen: as in tripline's own `burst`.
const PEAK_MIN: u32 = 5;

/// The most in each window up to the end of the last minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeakRatio {
    peaks: Option<[u32; WINDOWS_S.len()]>,
}

impl PeakRatio {
    /// Takes the most of each window in a minute that ended.
    pub fn learn(&mut self, most: [u32; WINDOWS_S.len()]) {
        let mut peaks = self.peaks.unwrap_or_default();
        for (peak, most) in peaks.iter_mut().zip(most) {
            *peak = (*peak).max(most);
        }
        self.peaks = Some(peaks);
    }

    /// The score of each window; 0 before the first minute ended.
    pub fn scores(&self, counts: [u32; WINDOWS_S.len()]) -> [f64; WINDOWS_S.len()] {
        let mut scores = [0.0; WINDOWS_S.len()];
        for ((score, count), peak) in
            scores.iter_mut().zip(counts).zip(self.peaks.into_iter().flatten())
        {
            *score = f64::from(count) / f64::from(peak.max(PEAK_MIN));
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::PeakRatio;
    use crate::sim::random::whole;

    #[test]
    fn each_window_is_compared_with_its_own_maximum_and_five_requests_at_least() {
        let mut rule = PeakRatio::default();
        let halves = |rule: &PeakRatio, counts| rule.scores(counts).map(|score| whole(2.0 * score));
        assert_eq!(halves(&rule, [9, 9, 9]), [0; 3]);
        rule.learn([1, 10, 40]);
        rule.learn([2, 8, 20]);
        assert_eq!(halves(&rule, [10, 20, 60]), [4, 4, 3]);
    }
}
