//! The z-score: by how many standard deviations a minute exceeds the mean of the key's minutes so far.

/// The least standard deviation. Unit: requests per minute. Chosen: below it one request more would be
/// many deviations.
pub const DEVIATION_MIN: f64 = 1.0;

/// Mean and deviation of all minutes so far, by Welford's recurrence.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZScore {
    /// Whether minutes without use are left out.
    pub skips_silent: bool,
    minutes: f64,
    mean: f64,
    squares: f64,
}

impl ZScore {
    /// Nothing learned yet.
    pub fn new(skips_silent: bool) -> Self {
        Self { skips_silent, ..Self::default() }
    }

    /// Takes a minute that ended.
    pub fn learn(&mut self, count: u32) {
        if count > 0 || !self.skips_silent {
            self.minutes += 1.0;
            let off = f64::from(count) - self.mean;
            self.mean += off / self.minutes;
            self.squares += off * (f64::from(count) - self.mean);
        }
    }

    /// The score of a minute. Unit: standard deviations; 0 before a first minute.
    pub fn score(&self, count: u32) -> f64 {
        if self.minutes < 1.0 {
            return 0.0;
        }
        let deviation = (self.squares / self.minutes).sqrt().max(DEVIATION_MIN);
        (f64::from(count) - self.mean) / deviation
    }
}

#[cfg(test)]
mod tests {
    use super::ZScore;

    fn learned(skips_silent: bool, counts: &[u32]) -> ZScore {
        let mut rule = ZScore::new(skips_silent);
        for count in counts {
            rule.learn(*count);
        }
        rule
    }

    #[test]
    fn a_minute_is_compared_with_mean_and_deviation_of_those_before() {
        // Mean 5, variance 4: the textbook's example.
        let rule = learned(false, &[2, 4, 4, 4, 5, 5, 7, 9]);
        assert!((rule.score(11) - 3.0).abs() < 1e-12);
        assert!((learned(true, &[4, 0, 0, 4]).score(7) - 3.0).abs() < 1e-12);
        assert!(learned(false, &[]).score(1_000).abs() < 1e-12);
    }
}
