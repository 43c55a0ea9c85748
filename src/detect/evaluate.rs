//! Asks the detectors, and how far what they compare with is trusted.

use super::burst::Trust;
use super::context::Context;
use super::detection::{Detection, Observation};
use super::escalation::weigh;
use super::failures::FleetRatios;
use super::familiarity::Recent;
use super::novel::Novel;
use super::params::Params;
use super::profile::Profile;
use super::window::Window;
use super::{baseline, burst, cadence, cost, dormant, endpoints, failures, fan_out};
use super::{origin, ramp};
use crate::model::finding::{Action, Detector};
use crate::model::time::EventTime;
use crate::stats::tail::NegativeBinomial;

/// An event that was just recorded, and what is known besides the profile.
#[derive(Clone, Copy, Debug)]
pub struct EventContext {
    /// Its time.
    pub time: EventTime,
    /// Its values that were never seen before.
    pub novel: Novel,
    /// Its values that have not proven themselves.
    pub unproven: Novel,
    /// When the open finding of `burst` first justified a suspension.
    pub suspended: Option<EventTime>,
    /// The peaks of the credential's kind, by window. Unit: requests.
    pub kind_peaks: [f32; Window::COUNT],
}

impl Profile {
    /// Evaluates `failures`, where the others fail as `fleet` says.
    pub fn failing(&self, second: u32, fleet: FleetRatios, params: &Params) -> Option<Detection> {
        let (failures, windows) = (self.failures, &self.windows);
        let (action, failing) =
            failures::evaluate(failures, windows, second, fleet, &params.failures)?;
        Some(Detection::new((action, Observation::Failures(failing))))
    }

    /// Evaluates the event just recorded by a detector that is worth asking.
    pub fn detection(
        &self,
        detector: Detector,
        event: EventContext,
        params: &Params,
    ) -> Option<Detection> {
        let EventContext { time, novel, unproven, suspended, kind_peaks } = event;
        let known = (self.identity.hours, self.age_s());
        let trust = Trust::in_peaks_of(known, params.rate_hours, kind_peaks, &params.burst);
        let detection = Detection::new(self.ask(detector, novel, &trust, params)?);
        if detector != Detector::Burst {
            return Some(detection);
        }
        // Where an owner has moved, or uses it too seldom to tell, its own bursts come from there.
        let rate = self.baseline.rate(&params.baseline).per_s;
        let is_owners = trust.is_sparse || self.known.has_moved(rate);
        let novel = if is_owners { novel } else { novel.union(unproven) };
        let context = self.context(&detection, novel, &trust, params);
        Some(weigh(detection, context, time, suspended, &params.weigh))
    }

    fn ask(
        &self,
        detector: Detector,
        novel: Novel,
        trust: &Trust,
        params: &Params,
    ) -> Option<(Action, Observation)> {
        let second = self.windows.newest();
        match detector {
            Detector::Limit => {
                let passed = self.passed()?;
                Some((passed.justifies(params.limit_action), Observation::Limit(passed)))
            }
            Detector::Burst => {
                let (windows, baseline) = (&self.windows, &self.baseline);
                let both = (&params.burst, &params.baseline);
                let seen = burst::evaluate(windows, baseline, trust, both, self.resolution);
                seen.map(|(action, burst)| (action, Observation::Burst(burst)))
            }
            Detector::Ramp => {
                let count = self.windows.minute((second / 60).saturating_sub(1));
                let usual = self.usual_minute(params).mean;
                let seen = ramp::evaluate(self.ramp, usual, count, &params.ramp);
                seen.map(|(action, climb)| (action, Observation::Ramp(climb)))
            }
            Detector::Origin => {
                let recent = self.recent(params);
                let (action, source) = origin::evaluate(
                    &self.known,
                    novel,
                    recent,
                    || self.rise_nats(params),
                    &params.origin,
                )?;
                let young =
                    self.age_s() < params.origin_s || self.identity.hours < params.origin_hours;
                Some((if young { Action::Observe } else { action }, Observation::Origin(source)))
            }
            Detector::FanOut => fan_out::evaluate(self.networks, &params.fan_out)
                .map(|(action, seen)| (action, Observation::FanOut(seen))),
            Detector::Endpoints => endpoints::evaluate(self.endpoints, &params.endpoints)
                .map(|(action, seen)| (action, Observation::Endpoints(seen))),
            Detector::Cost => {
                let ages = (self.age_s() / 60, params.rate_hours);
                cost::evaluate((self.cost, self.cost_known), ages, &params.cost)
                    .map(|(action, seen)| (action, Observation::Cost(seen)))
            }
            Detector::Cadence => {
                let requests = self.windows.minute((second / 60).saturating_sub(1));
                let seen = cadence::evaluate(self.cadence, requests, &params.cadence);
                seen.map(|(action, seen)| (action, Observation::Cadence(seen)))
            }
            Detector::Dormant => {
                let nats = self.known.source_surprise_nats(novel);
                let (sleep, first) = (self.sleep, self.identity.first_seen);
                let seen = dormant::evaluate(sleep, second, first, nats, &params.dormant);
                seen.map(|(action, seen)| (action, Observation::Dormant(seen)))
            }
            // Facts are stated where they are learned; the others are about no verified request.
            Detector::Failures
            | Detector::TenantFlood
            | Detector::Leak
            | Detector::Validity
            | Detector::Reuse
            | Detector::Session
            | Detector::Canary => None,
        }
    }

    /// The evidence that the rate rose, in the window that shows it best. Unit: nats.
    fn rise_nats(&self, params: &Params) -> f64 {
        let rate = self.baseline.rate(&params.baseline);
        let evidence = Window::ALL.into_iter().map(|window| {
            let baseline::Expected { count, dispersion, weight } =
                self.baseline.expected(window, rate);
            let seen = f64::from(self.windows.count(window));
            if seen < params.origin.rise_ratio * count || !self.resolution.judges(window) {
                return 0.0;
            }
            -NegativeBinomial::new(count, dispersion, weight).ln_tail(seen)
        });
        evidence.fold(0.0, f64::max)
    }

    fn recent(&self, params: &Params) -> Recent {
        self.known.recent(&self.windows, self.baseline.rate(&params.baseline).per_s)
    }

    fn context(
        &self,
        detection: &Detection,
        novel: Novel,
        trust: &Trust,
        params: &Params,
    ) -> Context {
        let rate = matches!(detection.observation, Observation::Burst(burst) if burst.passes_rate(trust, &params.burst));
        Context {
            rate,
            novel,
            surprise_nats: self.known.source_surprise_nats(novel),
            recent: self.recent(params),
            slept_days: self.sleep.just_slept_days(self.windows.newest()),
            age_s: self.age_s(),
            hours: self.identity.hours,
        }
    }
}
