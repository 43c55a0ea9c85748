//! Priors of all credentials together: the rate to expect of a new one, and how many requests
//! fail.

use crate::model::credential::Kind;
use crate::stats::codec::{Codec, Input};
use crate::stats::median::RunningMedian;
use crate::stats::rate::Prior;

/// The rate before anything was seen. Unit: events per second. Measured: 67 a minute is the median
/// of 421 LLM API clients.
const RATE_PER_S: f64 = 67.0 / 60.0;
/// How many events the belief in the rate of a new credential is worth. Source: DETECTION, "a0".
const PRIOR_EVENTS: f64 = 0.5;
/// The ratio of failures moves by this part with each minute. Chosen: a memory of half an hour.
const LEARNS: f64 = 1.0 / 30.0;
/// The least requests of a running minute that say anything of its ratio of failures. Chosen.
const ATTEMPTS_MIN: u64 = 100;

/// The median rate of each cohort. A cohort is the credentials of one kind.
#[derive(Clone, Debug)]
pub struct Cohorts([RunningMedian; Kind::ALL.len()]);

impl Default for Cohorts {
    fn default() -> Self {
        Self([RunningMedian::new(RATE_PER_S); Kind::ALL.len()])
    }
}

impl Cohorts {
    /// Takes the rate of a credential that begins an hour of use. Unit: events per second.
    pub fn learn(&mut self, kind: Kind, rate_per_s: f64) {
        if let Some(median) = self.0.get_mut(kind as usize) {
            median.learn(rate_per_s);
        }
    }

    /// The prior of a new credential.
    pub fn prior(&self, kind: Kind) -> Prior {
        let median = self.0.get(kind as usize);
        let mean_per_s = median.map_or(RATE_PER_S, |median| median.estimate());
        Prior { events: PRIOR_EVENTS, mean_per_s }
    }
}

/// Requests and failures of everybody, in the running minute and usually.
#[derive(Clone, Debug, Default)]
pub struct FleetFailures {
    rejected: u64,
    attempts: u64,
    usual_ratio: f64,
}

impl FleetFailures {
    /// Counts a request.
    pub const fn count(&mut self, rejected: bool) {
        self.attempts += 1;
        self.rejected += rejected as u64;
    }

    /// Learns the minute that ended.
    pub fn minute_ends(&mut self) {
        if self.attempts > 0 {
            let ratio = self.rejected as f64 / self.attempts as f64;
            self.usual_ratio += LEARNS * (ratio - self.usual_ratio);
        }
        (self.rejected, self.attempts) = (0, 0);
    }

    /// The greater of the usual ratio and that of the running minute, of everybody but the one
    /// that was `rejected` so often among so many `attempts` of its own, in 0..1. An outage fails
    /// everybody; one who fails alone is none.
    pub fn ratio_of_others(&self, rejected: u32, attempts: u32) -> f64 {
        let attempts = self.attempts.saturating_sub(u64::from(attempts));
        let rejected = self.rejected.saturating_sub(u64::from(rejected)).min(attempts);
        if attempts < ATTEMPTS_MIN {
            return self.usual_ratio;
        }
        (rejected as f64 / attempts as f64).max(self.usual_ratio)
    }
}

crate::codec!(FleetFailures { rejected, attempts, usual_ratio });

impl Codec for Cohorts {
    fn encode(&self, out: &mut Vec<u8>) {
        for median in &self.0 {
            median.encode(out);
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let mut cohorts = Self::default();
        for median in &mut cohorts.0 {
            *median = Codec::decode(input)?;
        }
        Some(cohorts)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cohorts, FleetFailures};
    use crate::model::credential::Kind;

    #[test]
    fn a_new_credential_is_expected_to_do_as_its_like_do() {
        let mut cohorts = Cohorts::default();
        (0..500).for_each(|_| cohorts.learn(Kind::Session, 0.05));
        assert!((cohorts.prior(Kind::Session).mean_per_s / 0.05 - 1.0).abs() < 0.1);
        assert!((cohorts.prior(Kind::ApiKey).mean_per_s - 67.0 / 60.0).abs() < 1e-9);
    }

    #[test]
    fn an_outage_is_everybodys_and_a_probe_is_its_own() {
        let mut failing = FleetFailures::default();
        (0..1000).for_each(|n| failing.count(n % 2 == 0));
        assert!(failing.ratio_of_others(5, 10) > 0.49);
        let mut probed = FleetFailures::default();
        (0..1000).for_each(|n| probed.count(n < 400));
        assert!(probed.ratio_of_others(400, 400) < 0.01);
    }
}
