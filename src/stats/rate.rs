//! A rate learned with forgetting: the Gamma posterior of a Poisson rate whose past fades.

use super::decay::Fading;

/// The prior of a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Weight of the belief. Unit: events. Default: 0.5 (DETECTION, "a0").
    pub events: f64,
    /// Its mean. Unit: events per second. Range: above 0.
    pub mean_per_s: f64,
}

/// The least events that a belief rests on, however long ago they came.
const EVENTS_MIN: f32 = 0.5;

/// A Gamma(a, b) belief about a rate; the prior fades with the past. Shape: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GammaRate {
    events: f32,
    seconds: f32,
}

impl GammaRate {
    /// The prior.
    pub fn of(prior: Prior) -> Self {
        Self { events: narrow(prior.events), seconds: narrow(prior.events / prior.mean_per_s) }
    }

    /// Lets the past fade over `minutes` (at least one) and adds `events` seen in them.
    ///
    /// Source: conjugate update of a Poisson rate with exponential forgetting of the sufficient
    /// statistics (West and Harrison, "Bayesian Forecasting and Dynamic Models", ch. 10). Within
    /// the step the exposure fades too, so `seconds` tends to `half_life / ln 2`.
    pub fn learn(&mut self, events: f64, minutes: u32, fading: Fading) {
        let keep = fading.remaining(minutes);
        let exposure = fading.exposure_s(keep);
        let weight = exposure / (f64::from(minutes) * 60.0);
        self.events = narrow(f64::from(self.events) * keep + events * weight);
        self.seconds = narrow(f64::from(self.seconds) * keep + exposure);
    }

    /// The expected rate. Unit: events per second.
    pub fn mean_per_s(self) -> f64 {
        f64::from(self.events) / f64::from(self.seconds)
    }

    /// How many events the belief rests on; the Gamma shape `a`.
    pub fn weight(self) -> f64 {
        f64::from(self.events.max(EVENTS_MIN))
    }
}

/// The same number with the 24 bits that suffice for a memory.
#[expect(clippy::cast_possible_truncation, reason = "24 bits of mantissa suffice for a memory")]
pub const fn narrow(value: f64) -> f32 {
    value as f32
}

crate::codec!(GammaRate { events, seconds });

#[cfg(test)]
mod tests {
    use super::{Fading, GammaRate, Prior};

    const PRIOR: Prior = Prior { events: 0.5, mean_per_s: 1.0 };

    #[test]
    fn nothing_seen_is_the_prior() {
        assert!((GammaRate::of(PRIOR).mean_per_s() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_steady_rate_is_learned_whatever_the_step() {
        for minutes in [1_u32, 3, 10] {
            let mut rate = GammaRate::of(PRIOR);
            for _ in 0..2000 {
                rate.learn(300.0 * f64::from(minutes), minutes, Fading::of_half_life(900.0));
            }
            assert!((rate.mean_per_s() - 5.0).abs() < 0.01, "step {minutes}");
        }
    }

    #[test]
    fn half_of_the_past_is_gone_after_a_half_life() {
        let mut rate = GammaRate::of(PRIOR);
        for _ in 0..1000 {
            rate.learn(600.0, 1, Fading::of_half_life(900.0));
        }
        rate.learn(0.0, 15, Fading::of_half_life(900.0));
        assert!((rate.mean_per_s() - 5.0).abs() < 0.02);
    }
}
