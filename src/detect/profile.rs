//! Everything remembered of one credential.

use super::baseline::{self, Baseline};
use super::burst;
use super::ceiling;
use super::claim::{Claim, Sight};
use super::window::{Placed, Window, Windows};
use crate::model::credential::Kind;
use crate::model::finding::Action;

/// What the detectors go by.
#[derive(Clone, Debug)]
pub struct Params {
    /// How the baseline learns.
    pub baseline: baseline::Params,
    /// What makes a burst.
    pub burst: burst::Params,
    /// The operator's absolute limits.
    pub limits: ceiling::Limits,
    /// The action that a passed limit justifies. Default: revoke, as it is a contract.
    pub ceiling_action: Action,
    /// How old a profile must be before a burst may throttle. Unit: seconds. Default: 1 h.
    pub mature_s: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            baseline: baseline::Params::default(),
            burst: burst::Params::default(),
            limits: ceiling::Limits::default(),
            ceiling_action: Action::Revoke,
            mature_s: 3600,
        }
    }
}

/// No episode.
const CALM: u32 = u32::MAX;

/// Everything remembered of one credential but its id. Shape: 232 bytes.
#[derive(Clone, Debug)]
pub struct Profile {
    windows: Windows,
    baseline: Baseline,
    first_seen: u32,
    limit_per_min: u32,
    episode: u32,
    tenant: u16,
    kind: Kind,
    hot: bool,
}

impl Profile {
    /// A credential first seen at `second` (since 1970).
    pub fn new(kind: Kind, tenant: u16, limit_per_min: u32, second: u32, params: &Params) -> Self {
        Self {
            windows: Windows::new(second),
            baseline: Baseline::new(second, &params.baseline),
            first_seen: second,
            limit_per_min,
            episode: CALM,
            tenant,
            kind,
            hot: false,
        }
    }

    /// Counts an event at `second`; minutes that lie behind the guard gap by then are learned,
    /// unless `frozen`.
    pub fn record(&mut self, second: u32, frozen: bool, params: &Params) -> Placed {
        if second > self.windows.newest() {
            self.baseline.second_ends(&self.windows, second);
            self.baseline.minute_ends(&self.windows, second, frozen, &params.baseline);
        }
        self.windows.add(second)
    }

    /// What `ceiling` says now.
    pub fn ceiling(&self, params: &Params) -> Option<Claim> {
        let passed = ceiling::look(&self.windows, self.limit_per_min)?;
        Some(Claim::new((params.ceiling_action, Sight::Ceiling(passed))))
    }

    /// Whether it is worth asking `burst`.
    pub fn may_burst(&self, params: &Params) -> bool {
        burst::may_speak(&self.windows, &self.baseline, &params.burst)
    }

    /// What `burst` says now.
    pub fn burst(&self, params: &Params) -> Option<Claim> {
        let burst = burst::look(&self.windows, &self.baseline, &params.burst, &params.baseline)?;
        let immature = self.windows.newest().saturating_sub(self.first_seen) < params.mature_s;
        let action = burst.action(immature, &params.burst);
        Some(Claim::new((action, Sight::Burst(burst))))
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of its tenant in the partition's list.
    pub const fn tenant(&self) -> u16 {
        self.tenant
    }

    /// The second (since 1970) in which it was first seen.
    pub const fn first_seen(&self) -> u32 {
        self.first_seen
    }

    /// Its absolute limit. Unit: requests per minute; 0: none.
    pub const fn limit_per_min(&self) -> u32 {
        self.limit_per_min
    }

    /// Changes its absolute limit.
    pub const fn set_limit(&mut self, per_min: u32) {
        self.limit_per_min = per_min;
    }

    /// The number of its open episodes in the partition's list.
    pub const fn episode(&self) -> Option<u32> {
        if self.episode == CALM { None } else { Some(self.episode) }
    }

    /// Notes its open episodes, or that it is calm. What was held back is forgotten as an episode
    /// opens: it may be the beginning of abuse.
    pub fn set_episode(&mut self, episode: Option<u32>) {
        if episode.is_some() && self.episode == CALM {
            self.baseline.forget_held();
        }
        self.episode = episode.unwrap_or(CALM);
    }

    /// Whether it is on the partition's list of the busiest.
    pub const fn is_hot(&self) -> bool {
        self.hot
    }

    /// Notes whether it is on the partition's list of the busiest.
    pub const fn set_hot(&mut self, hot: bool) {
        self.hot = hot;
    }

    /// Its counts.
    pub const fn windows(&self) -> &Windows {
        &self.windows
    }

    /// What is usual for it.
    pub const fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// Takes the maxima of an episode that turned out harmless.
    pub fn absorb(&mut self, maxima: &[f32; Window::COUNT]) {
        self.baseline.absorb(maxima);
    }

    /// The counts as they will be at `second`, if nothing more comes until then.
    #[must_use]
    pub fn windows_at(&self, second: u32) -> Windows {
        let mut windows = self.windows.clone();
        windows.advance(second);
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::{Params, Profile};
    use crate::model::credential::Kind;
    use crate::model::finding::Action;

    const START: u32 = 1_700_000_040;

    /// A credential with `per_min` requests a minute, evenly, for `minutes`.
    fn usual(per_min: u32, minutes: u32, params: &Params) -> Profile {
        let mut profile = Profile::new(Kind::ApiKey, 0, 10_000, START, params);
        for n in 0..per_min * minutes {
            profile.record(START + n * 60 / per_min, false, params);
        }
        profile
    }

    #[test]
    fn a_profile_is_small() {
        assert_eq!(size_of::<Profile>(), 232);
    }

    #[test]
    fn ten_thousand_a_minute_on_a_quiet_key_is_known_within_a_second() {
        let params = Params::default();
        let mut profile = usual(30, 180, &params);
        let attack = profile.windows().newest() + 1;
        let known = (1..=167).find(|_| {
            profile.record(attack, false, &params);
            profile.burst(&params).is_some_and(|claim| claim.action >= Action::Alert)
        });
        assert!(known.is_some_and(|events| events < 100), "{known:?}");
    }

    #[test]
    fn a_young_key_is_never_throttled_for_a_burst() {
        let params = Params::default();
        let mut profile = usual(30, 10, &params);
        let attack = profile.windows().newest() + 1;
        for _ in 0..5000 {
            profile.record(attack, false, &params);
        }
        assert_eq!(profile.burst(&params).map(|claim| claim.action), Some(Action::Alert));
    }

    #[test]
    fn usual_traffic_says_nothing() {
        let params = Params::default();
        let mut profile = usual(600, 60, &params);
        let next = profile.windows().newest() + 1;
        for _ in 0..15 {
            profile.record(next, false, &params);
        }
        assert_eq!(profile.burst(&params), None);
        assert_eq!(profile.ceiling(&params), None);
    }
}
