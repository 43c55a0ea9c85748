//! `cadence`: the rhythm of use changes: a person becomes a machine, or a schedule a swarm.
//!
//! Regularity is measured by the local variation of the gaps between requests: 0 for a clock, 1
//! for requests that know nothing of each other, above for bursts. It is free of the rate. Score:
//! how many times the variation recently is above or below the usual one. It is observed only:
//! honest credentials change their rhythm with their rate. Cost: one division by event.
//! Source: Shinomoto et al. (2003), "Differences in spiking patterns among cortical neurons",
//! eq. 2.2: `Lv = 3 / (n - 1) * sum ((I1 - I2) / (I1 + I2))^2`.

use super::evidence::Evidence;
use crate::model::finding::{Action, Measure};
use crate::stats::compact::{Compact, moved};

/// Parameters of a change of rhythm.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// How many times the usual variation, or its inverse, to observe. Default: 6.
    pub observe_ratio: f64,
    /// The least variation that is reported from 0. Default: 0.05.
    pub variation_min: f64,
    /// The least requests in a minute to speak. Default: 60.
    pub requests_min: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { observe_ratio: 6.0, variation_min: 0.05, requests_min: 60 }
    }
}

/// A local variation of 1 in the 16 bits of a memory.
const ONE: i32 = 16_384;
/// The variation recently is an average over so many gaps. Chosen.
const RECENT_GAPS: i32 = 32;
/// The usual variation moves by one part of so many with each minute of use. Chosen.
const USUAL_MINUTES: i32 = 256;

/// The rhythm of use. Shape: 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cadence {
    /// Unit: milliseconds within the newest second.
    last_ms: u16,
    /// Unit: milliseconds.
    gap: Compact,
    recent: u16,
    /// 0: nothing learned.
    usual: u16,
}

/// The rhythm changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewRhythm {
    /// The local variation recently; 0 is a clock, 1 is chance.
    pub variation: f64,
    /// The usual one.
    pub usual: f64,
    /// How many times above or below.
    pub ratio: f64,
}

impl Cadence {
    /// Notes a request at millisecond `ms` of `second`, where `newest` was the newest second.
    pub fn record(&mut self, newest: u32, second: u32, ms: u16) {
        if second < newest || (second == newest && ms < self.last_ms) {
            return;
        }
        let seconds = (second - newest).min(3600);
        let gap = (seconds * 1000 + u32::from(ms)).saturating_sub(u32::from(self.last_ms)) as f32;
        let before = self.gap.value();
        self.last_ms = ms;
        self.gap = Compact::nearest(gap);
        let sum = gap + before;
        if sum > 0.0 {
            let contrast = (gap - before) / sum;
            self.recent = moved(self.recent, scaled(3.0 * contrast * contrast), RECENT_GAPS);
        }
    }

    /// The learned part: the usual rhythm.
    pub const fn learned(self) -> u16 {
        self.usual
    }

    /// Knows the usual rhythm, as after a long silence.
    pub const fn of(learned: u16) -> Self {
        Self { last_ms: 0, gap: Compact::ZERO, recent: learned, usual: learned }
    }

    /// Whether it is worth asking after a minute of `requests`.
    pub fn may_speak(self, requests: u32, params: &Params) -> bool {
        evaluate(self, requests, params).is_some()
    }

    /// Learns the rhythm of a minute of use.
    pub fn minute_ends(&mut self, frozen: bool) {
        if frozen {
            return;
        }
        if self.usual == 0 {
            self.usual = self.recent.max(1);
        }
        self.usual = moved(self.usual, i32::from(self.recent), USUAL_MINUTES).max(1);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 3 * ONE")]
fn scaled(variation: f32) -> i32 {
    (variation * ONE as f32) as i32
}

fn unscaled(code: u16) -> f64 {
    f64::from(code) / f64::from(ONE)
}

/// Evaluates `cadence` after a minute of `requests`.
pub fn evaluate(cadence: Cadence, requests: u32, params: &Params) -> Option<(Action, NewRhythm)> {
    if cadence.usual == 0 || requests < params.requests_min {
        return None;
    }
    let (variation, usual) = (unscaled(cadence.recent), unscaled(cadence.usual));
    let ratio = (variation + params.variation_min) / (usual + params.variation_min);
    let ratio = ratio.max(1.0 / ratio);
    (ratio >= params.observe_ratio)
        .then_some((Action::Observe, NewRhythm { variation, usual, ratio }))
}

impl Evidence for NewRhythm {
    fn strength(&self) -> f64 {
        self.ratio
    }

    fn evidence_nats(&self) -> f64 {
        self.ratio.ln()
    }

    fn summary(&self) -> String {
        let now = if self.variation < self.usual {
            "became far more regular, like a machine's"
        } else {
            "became far more irregular"
        };
        format!(
            "the rhythm of its requests {now}: a local variation of {:.2} where {:.2} is usual",
            self.variation, self.usual,
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("variation", self.variation),
            Measure::new("variation_usual", self.usual),
            Measure::new("variation_ratio", self.ratio),
        ]
    }
}

crate::codec!(Cadence { last_ms, gap, recent, usual });
crate::codec!(NewRhythm { variation, usual, ratio });

#[cfg(test)]
mod tests {
    use super::{Cadence, Params, evaluate};

    const START: u32 = 1_700_000_040;

    /// Feeds requests with these gaps, a minute's end after each 60.
    fn feed(cadence: &mut Cadence, gaps_ms: impl Iterator<Item = u32>) {
        let mut at_ms: u64 = u64::from(START) * 1000;
        let mut newest = START;
        for (n, gap) in gaps_ms.enumerate() {
            at_ms += u64::from(gap);
            let second = u32::try_from(at_ms / 1000).expect("fits");
            cadence.record(newest, second, u16::try_from(at_ms % 1000).expect("fits"));
            newest = second;
            if n % 60 == 59 {
                cadence.minute_ends(false);
            }
        }
    }

    /// Gaps of a Poisson stream, from a fixed linear congruential generator.
    fn chance(count: usize) -> impl Iterator<Item = u32> {
        let mut state: u64 = 7;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let uniform = ((state >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
            #[expect(clippy::cast_possible_truncation, reason = "at most 40 means")]
            #[expect(clippy::cast_sign_loss, reason = "positive")]
            let gap = (-uniform.ln() * 700.0) as u32;
            gap
        })
        .take(count)
    }

    #[test]
    fn chance_has_a_variation_of_1_and_a_clock_of_0() {
        let mut cadence = Cadence::default();
        feed(&mut cadence, chance(60_000));
        assert!((super::unscaled(cadence.usual) - 1.0).abs() < 0.15);
        let mut clock = Cadence::default();
        feed(&mut clock, std::iter::repeat_n(500, 20_000));
        assert!(super::unscaled(clock.usual) < 0.05);
    }

    #[test]
    fn a_machine_in_place_of_people_is_noticed_and_people_alone_are_not() {
        let params = Params::default();
        let mut cadence = Cadence::default();
        feed(&mut cadence, chance(60_000));
        assert_eq!(evaluate(cadence, 60, &params), None);
        feed(&mut cadence, std::iter::repeat_n(250, 400));
        let (_, rhythm) = evaluate(cadence, 240, &params).expect("a detection");
        assert!(rhythm.variation < rhythm.usual);
    }
}
