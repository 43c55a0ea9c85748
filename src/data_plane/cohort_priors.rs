//! Priors of all credentials together: the rate to expect of a new one, and how many requests
//! fail.

use crate::detect::baseline::Baseline;
use crate::detect::failures::FleetRatios;
use crate::detect::window::Window;
use crate::model::credential::Kind;
use crate::stats::codec::{Codec, Input};
use crate::stats::quantile::{RunningMedian, RunningQuantile};
use crate::stats::rate::{Prior, narrow};

/// The rate before anything was seen. Unit: events per second. Measured: 67 a minute is the median
/// of 421 LLM API clients.
const RATE_PER_S: f64 = 67.0 / 60.0;
/// How many events the belief in the rate of a new credential is worth. Source: DETECTION, "a0".
const PRIOR_EVENTS: f64 = 0.5;
/// The ratio of failures moves by this part with each minute. Chosen: a memory of half an hour.
const LEARNS: f64 = 1.0 / 30.0;
/// The least requests of a running minute that say anything of its ratio of failures. Chosen.
const ATTEMPTS_MIN: f64 = 100.0;
/// The rest of a minute's requests a minute later, as of one credential.
const KEEP_PER_MINUTE: f64 = 0.9;

/// The 90th percentile of peaks by window, before enough was seen. Unit: requests. Measured: that of the
/// even-numbered clients of ServeGen m-mid that are mature.
const PEAKS: [f32; Window::COUNT] = [350.0, 800.0, 2000.0, 7500.0, 35_000.0];
/// From how many mature credentials of a kind on what they did counts. Chosen: fewer say little of a 90th
/// percentile, and one of them can't set it for all. From there on the prior drifts to what they did: up
/// within days, down within weeks.
const MATURE_MIN: u32 = 30;

/// One cohort: the credentials of one kind.
#[derive(Clone, Debug)]
struct Cohort {
    rate: RunningMedian,
    /// Of mature credentials, by window.
    peaks: [RunningQuantile<90>; Window::COUNT],
    /// How many credentials became mature.
    mature: u32,
}

impl Default for Cohort {
    fn default() -> Self {
        Self {
            rate: RunningMedian::new(RATE_PER_S),
            peaks: PEAKS.map(|peak| RunningQuantile::new(f64::from(peak))),
            mature: 0,
        }
    }
}

/// The usual rate of each kind, and the greatest counts of its mature credentials.
#[derive(Clone, Debug, Default)]
pub struct Cohorts([Cohort; Kind::ALL.len()]);

impl Cohorts {
    /// Takes the rate of a credential that begins an hour of use. Unit: events per second.
    pub fn learn_rate(&mut self, kind: Kind, rate_per_s: f64) {
        if let Some(cohort) = self.0.get_mut(kind as usize) {
            cohort.rate.learn(rate_per_s);
        }
    }

    /// Counts a credential that `is_mature` now.
    pub fn note_mature(&mut self, kind: Kind, is_mature: bool) {
        if let Some(cohort) = self.0.get_mut(kind as usize) {
            cohort.mature = cohort.mature.saturating_add(u32::from(is_mature));
        }
    }

    /// Takes the peaks of a mature credential that begins a day of use: each counts once a day, however
    /// busy it is.
    pub fn learn_peaks(&mut self, kind: Kind, baseline: &Baseline) {
        let Some(cohort) = self.0.get_mut(kind as usize) else { return };
        for (window, peak) in Window::ALL.into_iter().zip(&mut cohort.peaks) {
            peak.learn(f64::from(baseline.peak(window).max(1.0)));
        }
    }

    /// The prior of a new credential.
    pub fn prior(&self, kind: Kind) -> Prior {
        let cohort = self.0.get(kind as usize);
        let mean_per_s = cohort.map_or(RATE_PER_S, |cohort| cohort.rate.estimate());
        Prior { events: PRIOR_EVENTS, mean_per_s }
    }

    /// The 90th percentile of the peaks of a kind's mature credentials, by window; a prior while
    /// there are too few. Unit: requests.
    pub fn peaks(&self, kind: Kind) -> [f32; Window::COUNT] {
        match self.0.get(kind as usize) {
            Some(cohort) if cohort.mature >= MATURE_MIN => {
                cohort.peaks.map(|peak| narrow(peak.estimate()))
            }
            _ => PEAKS,
        }
    }
}

/// Requests and failures of everybody, in the running minute and usually.
#[derive(Clone, Debug, Default)]
pub struct FleetFailures {
    rejected: u64,
    attempts: u64,
    usual_ratio: f64,
    /// Those of the minutes before, of about ten, and all requests of these minutes.
    before: (f64, f64),
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
        let (rejected, attempts) = self.before;
        self.before = (
            (rejected + self.rejected as f64) * KEEP_PER_MINUTE,
            (attempts + self.attempts as f64) * KEEP_PER_MINUTE,
        );
        (self.rejected, self.attempts) = (0, 0);
    }

    /// The greater of the usual ratio and that of the running minute, and of about ten, of everybody but
    /// the one that failed so often among so many requests of its own in these times. An outage fails
    /// everybody; one who fails alone is none.
    pub fn ratios_of_others(&self, [in_minute, in_ten]: [(u32, u32); 2]) -> FleetRatios {
        let now = (self.rejected as f64, self.attempts as f64);
        let all = (self.before.0 + now.0, self.before.1 + now.1);
        let minute = self.usual_ratio.max(ratio_without(now, in_minute));
        FleetRatios { minute, ten_minutes: minute.max(ratio_without(all, in_ten)) }
    }
}

/// The ratio of failures among all without one's own; 0 of too few.
fn ratio_without((rejected, attempts): (f64, f64), (own, own_attempts): (u32, u32)) -> f64 {
    let attempts = attempts - f64::from(own_attempts);
    if attempts < ATTEMPTS_MIN {
        return 0.0;
    }
    ((rejected - f64::from(own)).max(0.0) / attempts).min(1.0)
}

impl Codec for FleetFailures {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.rejected, self.attempts).encode(out);
        (self.usual_ratio, self.before).encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (rejected, attempts) = Codec::decode(input)?;
        let usual_ratio = Codec::decode(input)?;
        let before = if input.version() < 5 { (0.0, 0.0) } else { Codec::decode(input)? };
        Some(Self { rejected, attempts, usual_ratio, before })
    }
}

impl Codec for Cohorts {
    fn encode(&self, out: &mut Vec<u8>) {
        for cohort in &self.0 {
            (cohort.rate, cohort.mature).encode(out);
            for peak in &cohort.peaks {
                peak.encode(out);
            }
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let mut cohorts = Self::default();
        for cohort in &mut cohorts.0 {
            cohort.rate = Codec::decode(input)?;
            if input.version() >= 4 {
                cohort.mature = Codec::decode(input)?;
                for peak in &mut cohort.peaks {
                    *peak = Codec::decode(input)?;
                }
            }
        }
        Some(cohorts)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cohorts, FleetFailures, PEAKS};
    use crate::detect::baseline::Baseline;
    use crate::detect::params::Params;
    use crate::detect::window::Window;
    use crate::model::credential::Kind;
    use crate::stats::rate::Prior;

    #[test]
    fn a_new_credential_is_expected_to_do_as_its_like_do() {
        let mut cohorts = Cohorts::default();
        (0..500).for_each(|_| cohorts.learn_rate(Kind::Session, 0.05));
        assert!((cohorts.prior(Kind::Session).mean_per_s / 0.05 - 1.0).abs() < 0.1);
        assert!((cohorts.prior(Kind::ApiKey).mean_per_s - 67.0 / 60.0).abs() < 1e-9);
    }

    #[test]
    fn peaks_are_those_of_the_kind_once_thirty_credentials_are_mature() {
        let mut cohorts = Cohorts::default();
        let prior = Prior { events: 1.0, mean_per_s: 1.0 };
        let mut baseline = Baseline::new(0, prior, &Params::default().baseline);
        baseline.absorb(&[7.0; Window::COUNT]);
        let bits = |cohorts: &Cohorts, kind| cohorts.peaks(kind).map(f32::to_bits);
        let prior = PEAKS.map(f32::to_bits);
        for _ in 0..30_000 {
            cohorts.learn_peaks(Kind::Jwt, &baseline);
        }
        (0..29).for_each(|_| cohorts.note_mature(Kind::Jwt, true));
        assert_eq!(bits(&cohorts, Kind::Jwt), prior, "too few are mature");
        cohorts.note_mature(Kind::Jwt, true);
        let [.., last] = cohorts.peaks(Kind::Jwt);
        assert!((last - 7.0).abs() < 1.0, "{last}");
        assert_eq!(bits(&cohorts, Kind::ApiKey), prior);
    }

    #[test]
    fn an_outage_is_everybodys_and_a_probe_is_its_own() {
        let mut failing = FleetFailures::default();
        (0..1000).for_each(|n| failing.count(n % 2 == 0));
        assert!(failing.ratios_of_others([(5, 10); 2]).minute > 0.49);
        let mut probed = FleetFailures::default();
        (0..1000).for_each(|n| probed.count(n < 400));
        assert!(probed.ratios_of_others([(400, 400); 2]).ten_minutes < 0.01);
    }
}
