//! A profile after an hour of silence: its learned part, without its rings.

use super::cadence::Cadence;
use super::cardinality::Cardinality;
use super::cost::Cost;
use super::dormant::Sleep;
use super::failures::Failures;
use super::familiarity::Graduates;
use super::identity::Identity;
use super::limit::Limit;
use super::params::Params;
use super::profile::Profile;
use super::ramp::{self, Ramp};
use super::timestamp_resolution::TimestampResolution;
use super::{baseline, cost, familiarity};
use crate::stats::compact::Compact;
use crate::stats::rate::Prior;

/// After how long a silence a profile may fall cold. Unit: seconds. Chosen: long after its
/// windows are empty and its probation is over.
pub const SILENCE_S: u32 = 3600;

/// A profile cold. Shape: 108 bytes.
#[derive(Clone, Copy, Debug)]
pub struct ColdProfile {
    baseline: baseline::Learned,
    known: familiarity::Learned,
    identity: Identity,
    last_seen: u32,
    climbs: [Compact; ramp::FACTORS.len()],
    cost: Compact,
    cost_known: cost::Known,
    cadence: u16,
    failures: u16,
    sleep: Sleep,
    networks: u8,
    endpoints: u8,
    resolution: TimestampResolution,
}

impl ColdProfile {
    /// The rest of `profile` after a silence that lasts until `second`, and the values that have to
    /// prove themselves.
    pub fn of(mut profile: Profile, second: u32, params: &Params) -> (Self, Graduates) {
        // How long it sleeps is known when it wakes.
        let (last_seen, sleep) = (profile.windows.newest(), profile.sleep);
        let (_, graduates) = profile.minute_ends(second, false, params);
        let cold = Self {
            baseline: profile.baseline.learned(),
            known: profile.known.learned(),
            identity: profile.identity,
            last_seen,
            climbs: profile.ramp.learned(),
            cost: profile.cost.learned(),
            cost_known: profile.cost_known,
            cadence: profile.cadence.learned(),
            failures: profile.failures.learned(),
            sleep,
            networks: profile.networks.learned(),
            endpoints: profile.endpoints.learned(),
            resolution: profile.resolution,
        };
        (cold, graduates)
    }

    /// The profile again, as time left it.
    pub fn wake(&self, params: &Params) -> Profile {
        // The prior is nowhere used: all that it would set is set again.
        let nothing = Prior { events: 1.0, mean_per_s: 1.0 };
        let identity = Identity { first_seen: self.last_seen, ..self.identity };
        let mut profile = Profile::new(identity, nothing, params);
        profile.identity = self.identity;
        profile.baseline = baseline::Baseline::of(self.baseline);
        profile.known = familiarity::Familiar::of(self.known);
        profile.ramp = Ramp::of(self.climbs);
        profile.cost = Cost::of(self.cost);
        profile.cost_known = self.cost_known;
        profile.cadence = Cadence::of(self.cadence);
        profile.failures = Failures::of(self.failures);
        profile.sleep = self.sleep;
        profile.networks = Cardinality::of(self.networks);
        profile.endpoints = Cardinality::of(self.endpoints);
        profile.resolution = self.resolution;
        profile
    }

    /// The identity.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Changes its absolute limit.
    pub const fn set_limit(&mut self, limit: Limit) {
        self.identity.limit = limit;
    }

    /// The second (since 1970) in which it was last used.
    pub const fn last_seen(&self) -> u32 {
        self.last_seen
    }
}

crate::codec!(ColdProfile {
    baseline,
    known,
    identity,
    last_seen,
    climbs,
    cost,
    cadence,
    failures,
    sleep,
    networks,
    endpoints,
    resolution,
    cost_known
});

#[cfg(test)]
mod tests {
    use super::{Cadence, ColdProfile, SILENCE_S};
    use crate::detect::identity::Identity;
    use crate::detect::limit::Limit;
    use crate::detect::params::Params;
    use crate::detect::profile::Profile;
    use crate::detect::window::Window;
    use crate::model::credential::Kind;
    use crate::model::features::{Aspect, CostUnit, Facts, RequestCost};
    use crate::model::time::EventTime;
    use crate::stats::rate::Prior;

    const START_MS: i64 = 1_700_000_040_000;

    #[test]
    fn a_sleeping_profile_is_small() {
        assert!(size_of::<ColdProfile>() <= 112, "{}", size_of::<ColdProfile>());
        assert_eq!(Cadence::default().learned(), 0);
    }

    #[test]
    fn who_slept_wakes_as_if_warm_all_the_time() {
        let params = Params::default();
        let time = EventTime::from_ms(START_MS);
        let identity = Identity::new(Kind::ApiKey, 0, Limit::written(10_000), time.second());
        let prior = Prior { events: 0.5, mean_per_s: 1.0 };
        let mut warm = Profile::new(identity, prior, &params);
        let facts = Facts {
            values: [5, 6, 7, 8],
            prefix: 9,
            cost: RequestCost::new(100, CostUnit::Tokens),
        };
        let mut last = time;
        for n in 0..36_000 {
            last = time.plus_ms(n * 331);
            warm.record(last, &facts, (false, || None), &params);
        }
        let (cold, _) = ColdProfile::of(warm.clone(), last.second() + SILENCE_S, &params);
        let mut woken = cold.wake(&params);
        let later = last.plus_ms(5 * 3_600_000);
        for profile in [&mut warm, &mut woken] {
            profile.record(later, &facts, (false, || None), &params);
        }
        let rates = [&warm, &woken].map(|profile| profile.baseline().rate(&params.baseline));
        assert!((rates[0].per_s / rates[1].per_s - 1.0).abs() < 1e-3, "{rates:?}");
        for window in Window::ALL {
            assert_eq!(warm.windows().count(window), woken.windows().count(window));
            let peaks = [&warm, &woken].map(|profile| profile.baseline().peak(window));
            assert!((peaks[0] / peaks[1] - 1.0).abs() < 0.02, "{peaks:?}");
        }
        let new = Facts { values: [50, 6, 7, 8], ..facts };
        for profile in [&warm, &woken] {
            assert!(profile.known().novel(&facts).is_empty());
            assert!(profile.known().novel(&new).has(Aspect::Network));
        }
        let nats = [&warm, &woken].map(|profile| profile.known().surprise_nats(Aspect::Network));
        assert!((nats[0] - nats[1]).abs() < 0.1, "{nats:?}");
    }
}
