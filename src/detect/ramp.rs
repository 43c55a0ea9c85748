//! `ramp`: a rate that climbs slowly enough never to be a burst, or stays high.
//!
//! Each minute a CUSUM adds up how much better twice, four and ten times the long-term rate
//! explain the count. Bursts of honest use are autocorrelated, so thresholds from theory are off
//! by orders; the score is the sum over `max(its own peak, 20)`. Cost: six logarithms a minute of
//! use, none by event.
//! Source: DETECTION, "What the data say" 7 and "Formulas"; [`crate::stats::cusum`].

use super::evidence::Evidence;
use crate::model::finding::{Action, Measure};
use crate::stats::compact::{Compact, faded};
use crate::stats::cusum::Usual;
use crate::stats::rate::narrow;

/// The raised rates that are looked for, as factors of the usual one.
pub const FACTORS: [u8; 3] = [2, 4, 10];

/// Parameters of a ramp.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least peak that is compared with. Unit: nats. Default: 20.
    pub peak_min: f64,
    /// The ratio to observe. Default: 4.
    pub observe_ratio: f64,
    /// The ratio to alert. Default: infinite, so never. Measured: clients grow in steps that last,
    /// of which each beats all before, and 20 alerts half as often again as all else together;
    /// see docs/detection.md.
    pub alert_ratio: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self { peak_min: 20.0, observe_ratio: 4.0, alert_ratio: f64::INFINITY }
    }
}

impl Params {
    /// The greatest sum kept, in times the peak compared with: twice what it takes to speak, so
    /// that a climb which ended is forgotten within about the time it took.
    const fn sum_ratio_max(&self) -> f64 {
        2.0 * if self.alert_ratio.is_finite() { self.alert_ratio } else { self.observe_ratio }
    }
}

/// The sums and their peaks, by factor. Shape: 12 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ramp {
    sums: [Compact; FACTORS.len()],
    peaks: [Compact; FACTORS.len()],
}

/// A rate that rose and stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Climb {
    /// The raised rate that explains it best, as a factor of the usual one.
    pub factor: u8,
    /// The sum. Unit: nats.
    pub sum_nats: f64,
    /// The greatest sum of honest use so far. Unit: nats.
    pub peak_nats: f64,
    /// `sum / max(peak, least)`.
    pub ratio: f64,
    /// The count of the minute.
    pub count: u32,
    /// The usual count of a minute.
    pub usual: f64,
}

impl Ramp {
    /// Adds a minute of `count` requests after `silent` minutes of none.
    pub fn minute_ends(&mut self, usual: Usual, count: u32, silent: u32, params: &Params) {
        // No raised rate explains at most the usual count better.
        let is_calm = self.sums.into_iter().all(|sum| sum == Compact::ZERO);
        if is_calm && f64::from(count) <= usual.mean {
            return;
        }
        for ((factor, sum), peak) in FACTORS.into_iter().zip(&mut self.sums).zip(self.peaks) {
            let factor = f64::from(factor);
            let sum_max = params.sum_ratio_max() * f64::from(peak.value()).max(params.peak_min);
            let mut total = f64::from(sum.value());
            if silent > 0 && total > 0.0 {
                total += f64::from(silent) * usual.ln_likelihood_ratio(0.0, factor);
            }
            total = total.max(0.0) + usual.ln_likelihood_ratio(f64::from(count), factor);
            *sum = Compact::nearest(narrow(total.clamp(0.0, sum_max)));
        }
    }

    /// The learned part: the peaks.
    pub const fn learned(self) -> [Compact; FACTORS.len()] {
        self.peaks
    }

    /// Knows the peaks, as after a long silence.
    pub const fn of(learned: [Compact; FACTORS.len()]) -> Self {
        Self { sums: [Compact::ZERO; FACTORS.len()], peaks: learned }
    }

    /// The sums.
    pub const fn sums(self) -> [Compact; FACTORS.len()] {
        self.sums
    }

    /// Whether it is worth asking.
    pub fn may_speak(self, params: &Params) -> bool {
        self.sums.into_iter().zip(self.peaks).any(|(sum, peak)| {
            f64::from(sum.value())
                >= params.observe_ratio * params.peak_min.max(peak.value().into())
        })
    }

    /// Takes the greatest sums of a stretch that turned out harmless.
    pub fn absorb(&mut self, sums: &[Compact; FACTORS.len()]) {
        for (peak, sum) in self.peaks.iter_mut().zip(sums) {
            *peak = (*peak).max(*sum);
        }
    }

    /// Begins again after a stretch that was judged.
    pub fn restart(&mut self) {
        self.sums = [Compact::default(); FACTORS.len()];
    }

    /// Lets the peaks fade over `days`.
    pub fn days_pass(&mut self, days: u32) {
        for peak in &mut self.peaks {
            *peak = faded(*peak, days);
        }
    }
}

/// Evaluates `ramp` after a minute of `count` requests where `usual` are.
pub fn evaluate(ramp: Ramp, usual: f64, count: u32, params: &Params) -> Option<(Action, Climb)> {
    let climbs = FACTORS.into_iter().zip(ramp.sums.into_iter().zip(ramp.peaks));
    let climbs = climbs.map(|(factor, (sum, peak))| {
        let (sum_nats, peak_nats) = (f64::from(sum.value()), f64::from(peak.value()));
        let ratio = sum_nats / peak_nats.max(params.peak_min);
        Climb { factor, sum_nats, peak_nats, ratio, count, usual }
    });
    let highest = climbs.reduce(|a, b| if b.ratio > a.ratio { b } else { a })?;
    if highest.ratio < params.observe_ratio {
        return None;
    }
    let alerts = highest.ratio >= params.alert_ratio;
    Some((if alerts { Action::Alert } else { Action::Observe }, highest))
}

impl Evidence for Climb {
    fn strength(&self) -> f64 {
        self.ratio
    }

    fn evidence_nats(&self) -> f64 {
        self.sum_nats
    }

    fn summary(&self) -> String {
        format!(
            "has been climbing: {} requests in the last minute where about {:.1} are usual, and \
             {} times the usual rate explains the last minutes {:.1} times better than ever",
            super::evidence::grouped(f64::from(self.count)),
            self.usual,
            self.factor,
            self.ratio,
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("factor", f64::from(self.factor)),
            Measure::new("sum_nats", self.sum_nats),
            Measure::new("peak_nats", self.peak_nats),
            Measure::new("sum_ratio", self.ratio),
            Measure::new("count", f64::from(self.count)),
            Measure::new("expected", self.usual),
        ]
    }
}

crate::codec!(Ramp { sums, peaks });
crate::codec!(Climb { factor, sum_nats, peak_nats, ratio, count, usual });

#[cfg(test)]
mod tests {
    use super::{Params, Ramp, Usual, evaluate};
    use crate::model::finding::Action;

    fn alerting() -> Params {
        Params { observe_ratio: 1.0, alert_ratio: 2.0, ..Params::default() }
    }

    #[test]
    fn a_rate_that_doubles_and_stays_is_noticed_and_a_steady_one_is_not() {
        let (usual, params) = (Usual::new(60.0, 5.0, 1e4), alerting());
        let mut ramp = Ramp::default();
        let look = |ramp, count| evaluate(ramp, 60.0, count, &alerting());
        for _ in 0..600 {
            ramp.minute_ends(usual, 60, 0, &params);
            assert_eq!(look(ramp, 60), None);
        }
        let noticed = (1..=60).find(|_| {
            ramp.minute_ends(usual, 130, 0, &params);
            look(ramp, 130).is_some_and(|(action, _)| action == Action::Alert)
        });
        assert!(noticed.is_some_and(|minutes| minutes < 20), "{noticed:?}");
    }

    #[test]
    fn silence_brings_the_sums_down() {
        let (usual, params) = (Usual::new(60.0, 5.0, 1e4), alerting());
        let mut ramp = Ramp::default();
        ramp.minute_ends(usual, 500, 0, &params);
        assert!(evaluate(ramp, 60.0, 500, &params).is_some());
        ramp.minute_ends(usual, 60, 120, &params);
        assert_eq!(evaluate(ramp, 60.0, 60, &params), None);
    }

    #[test]
    fn what_was_honest_once_is_no_news_twice() {
        let (usual, params) = (Usual::new(60.0, 5.0, 1e4), alerting());
        let mut ramp = Ramp::default();
        (0..5).for_each(|_| ramp.minute_ends(usual, 200, 0, &params));
        ramp.absorb(&ramp.sums());
        ramp.restart();
        (0..4).for_each(|_| ramp.minute_ends(usual, 200, 0, &params));
        assert_eq!(evaluate(ramp, 60.0, 200, &params), None);
    }
}
