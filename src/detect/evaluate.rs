//! Asks the detectors, and how far what they compare with is trusted.

use super::context::Context;
use super::detection::{Detection, Observation};
use super::escalation::weigh;
use super::familiarity::{Novel, Recent};
use super::params::Params;
use super::profile::Profile;
use super::window::Window;
use super::{baseline, burst, cadence, cost, dormant, endpoints, failures, fan_out};
use super::{origin, ramp};
use crate::model::finding::{Action, Detector};
use crate::model::time::EventTime;
use crate::stats::tail::NegativeBinomial;

impl Profile {
    /// Evaluates `failures`, where the fleet fails at `fleet_ratio`.
    pub fn failing(&self, second: u32, fleet_ratio: f64, params: &Params) -> Option<Detection> {
        let (failures, windows) = (self.failures, &self.windows);
        let (action, failing) =
            failures::evaluate(failures, windows, second, fleet_ratio, &params.failures)?;
        Some(Detection::new((action, Observation::Failures(failing))))
    }

    /// Evaluates the event at `time` just recorded by a detector that is worth asking.
    /// `suspended`: when the open finding of `burst` first justified a suspension.
    pub fn detection(
        &self,
        detector: Detector,
        novel: Novel,
        (time, suspended): (EventTime, Option<EventTime>),
        params: &Params,
    ) -> Option<Detection> {
        let detection = Detection::new(self.ask(detector, novel, params)?);
        if detector != Detector::Burst {
            return Some(detection);
        }
        let context = self.context(&detection, novel, params);
        Some(weigh(detection, context, time, suspended, &params.weigh))
    }

    fn ask(
        &self,
        detector: Detector,
        novel: Novel,
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
                let usual = &params.baseline;
                let burst =
                    burst::evaluate(windows, baseline, &params.burst, usual, self.resolution)?;
                let trust = self.trust(params);
                Some((burst.action(trust, &params.burst), Observation::Burst(burst)))
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
            Detector::Cost => cost::evaluate(self.cost, self.age_s() / 60, &params.cost)
                .map(|(action, seen)| (action, Observation::Cost(seen))),
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
            // These are not about an authenticated request of one credential.
            Detector::Failures | Detector::TenantFlood => None,
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

    fn context(&self, detection: &Detection, novel: Novel, params: &Params) -> Context {
        let trust = self.trust(params);
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

    /// How far its record is trusted, in 0..1. A credential that is used in nearly every hour is
    /// trusted in part from its sixth hour on; one that is used now and then may do anything once.
    fn trust(&self, params: &Params) -> f64 {
        let hours = f64::from(self.identity.hours);
        let age_hours = f64::from(self.age_s()) / 3600.0 + 1.0;
        let is_steady = hours >= params.steady_hours && hours >= params.steady_ratio * age_hours;
        match self.knows_rate(params) {
            true => 1.0,
            false if is_steady => hours / f64::from(params.rate_hours),
            false => 0.0,
        }
    }
}
