//! `burst`: far more than this credential ever did in a window of that length.
//!
//! Score: `R = count / max(peak, 5)`, the greatest over the windows that pass the gate and alert, else over
//! all that pass it.
//! Gate: the count is at least 20 nats (10 of a sparse credential from R 4 on) unlikely under a negative
//! binomial with the credential's own rate and dispersion. R counts as far as the peak is trusted; that of a
//! young credential is trusted little, and a count above the peaks of most mature credentials of its kind as
//! well needs no trust to alert. A peak that was raised in steps is worth nothing against the settled peak of a minute
//! (see [`super::settled_peak`]): 16 times that throttles as 12 times the peak does, and passes the rate gate.
//! Cost: six comparisons where nothing is wrong; the tail is computed only where R is high enough to matter.
//! Source: DETECTION, "What the data say" 4 and "Formulas".

use super::baseline::{self, Baseline, Expected};
use super::evidence::{Evidence, grouped};
use super::timestamp_resolution::TimestampResolution;
use super::window::{Window, Windows};
use crate::model::finding::{Action, Measure};
use crate::stats::codec::{Codec, Input};
use crate::stats::tail::NegativeBinomial;

/// The part of the evidence that suffices where the ratio is clear.
const CLEAR_GATE: f64 = 0.5;
/// A credential known for so many hours is sparse if it was used in less than one of so many of them. Chosen.
const SPARSE_LIFE_HOURS: u32 = 48;
const SPARSE_PART: u32 = 2;

/// Parameters of a burst, and the action that it justifies.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The least evidence to speak. Unit: nats. Default: 20.
    pub gate_nats: f64,
    /// The least peak: below it a ratio means nothing. Unit: requests. Default: 5.
    pub peak_min: f32,
    /// The ratio that opens a finding. Default: 1.2.
    pub observe_ratio: f32,
    /// The ratio that justifies an alert. Default: 2. Measured: 3 alerts hardly less often, and
    /// finds half as many attacks by the rate alone within a second; see docs/detection.md.
    pub alert_ratio: f64,
    /// The ratio that justifies throttling by itself, of a peak that is fully trusted.
    /// Default: 12. Measured: 4 throttles 3 times in 525 days of honest use, 12 never; see
    /// docs/detection.md.
    pub throttle_ratio: f64,
    /// The ratio from which on half of the evidence suffices for a sparse credential whose peak is trusted by
    /// half: its bursts are so uneven that hardly any is unlikely. Default: 4.
    pub clear_ratio: f64,
    /// The ratio to the settled peak that justifies throttling, and passes the rate gate. Default: 16.
    /// Measured: 12 throttles one honest client that grows in 525 days, 16 none.
    pub settled_ratio: f64,
    /// The ratio that, with the context gate, justifies a suspension. Default: 4.
    pub suspend_ratio: f64,
    /// The least rate that justifies throttling or more. Unit: requests per minute. Default: 600.
    pub throttle_rate_per_min: f64,
    /// Used in fewer hours of the clock than this, a peak is not trusted at all. Default: 3.
    pub quarter_trust_hours: u8,
    /// In fewer than this, it is trusted by a quarter; from here on by half, and more with each hour up
    /// to the hours that make it mature. Default: 6.
    pub half_trust_hours: u8,
}

/// How far a credential's peak is trusted, and the peaks of its kind.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// Trust in its own peak, in 0..1.
    pub own: f64,
    /// Whether it is used in few of the hours of its life.
    pub is_sparse: bool,
    /// The 90th percentile of the peaks of mature credentials of its kind, by window. Unit: requests.
    pub kind_peaks: [f32; Window::COUNT],
}

impl Trust {
    /// In the peak of a credential known for `age_s` and used in that many hours, where `mature_hours` make
    /// one mature.
    pub fn in_peaks_of(
        (hours, age_s): (u8, u32),
        mature_hours: u8,
        kind_peaks: [f32; Window::COUNT],
        params: &Params,
    ) -> Self {
        let life_hours = age_s / 3600;
        let is_sparse = hours < u8::MAX
            && life_hours >= SPARSE_LIFE_HOURS
            && u32::from(hours) * SPARSE_PART < life_hours;
        let [hours, mature, half, quarter] =
            [hours, mature_hours, params.half_trust_hours, params.quarter_trust_hours]
                .map(f64::from);
        let own = if hours >= mature {
            1.0
        } else if hours >= half {
            0.5 + 0.5 * (hours - half) / (mature - half)
        } else if hours >= quarter {
            0.25
        } else {
            0.0
        };
        Self { own, is_sparse, kind_peaks }
    }

    fn kind_peak(&self, window: Window) -> f32 {
        self.kind_peaks.get(window as usize).copied().unwrap_or(f32::INFINITY)
    }
}

impl Default for Params {
    fn default() -> Self {
        Self {
            gate_nats: 20.0,
            peak_min: 5.0,
            observe_ratio: 1.2,
            alert_ratio: 2.0,
            throttle_ratio: 12.0,
            clear_ratio: 4.0,
            settled_ratio: 16.0,
            suspend_ratio: 4.0,
            throttle_rate_per_min: 600.0,
            quarter_trust_hours: 3,
            half_trust_hours: 6,
        }
    }
}

/// A burst in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// The window.
    pub window: Window,
    /// The count in it.
    pub count: u32,
    /// The expected count.
    pub expected: f64,
    /// The most it ever did in it.
    pub peak: f32,
    /// `count / max(peak, least peak)`.
    pub ratio: f64,
    /// How unlikely the count is. Unit: nats.
    pub evidence_nats: f64,
    /// The count of 60 s over the settled peak; 0 where it is too slow to throttle.
    pub settled_ratio: f64,
}

impl Burst {
    /// The rate in the window. Unit: requests per minute.
    pub fn rate_per_min(&self) -> f64 {
        f64::from(self.count) * 60.0 / f64::from(self.window.seconds())
    }

    /// The most severe action it justifies: the ratio counts as far as the peak is trusted, only a
    /// fully trusted one throttles, and another alerts if the peaks of the kind are exceeded, too.
    pub fn action(&self, trust: &Trust, params: &Params) -> Action {
        let is_fast = self.rate_per_min() >= params.throttle_rate_per_min;
        let beats_kind = trust.own < 1.0 && self.count as f32 > trust.kind_peak(self.window);
        let trusted_ratio = if beats_kind { self.ratio } else { self.ratio * trust.own };
        let is_far = is_fast && self.ratio >= params.throttle_ratio;
        if trust.own >= 1.0 && (is_far || self.settled_ratio >= params.settled_ratio) {
            Action::Throttle
        } else if trusted_ratio >= params.alert_ratio {
            Action::Alert
        } else {
            Action::Observe
        }
    }

    /// Whether it passes the rate gate: with the context gate it justifies a suspension.
    pub fn passes_rate(&self, trust: &Trust, params: &Params) -> bool {
        let is_fast = self.rate_per_min() >= params.throttle_rate_per_min;
        trust.own >= 1.0
            && ((is_fast && self.ratio >= params.suspend_ratio)
                || self.settled_ratio >= params.settled_ratio)
    }
}

/// Whether a ratio is high enough to observe in any window, gate or no gate: the one question
/// that every event is asked.
pub fn may_speak(windows: &Windows, baseline: &Baseline, params: &Params) -> bool {
    Window::ALL.into_iter().any(|window| {
        let usual = baseline.peak(window).max(params.peak_min);
        windows.count(window) as f32 >= params.observe_ratio * usual
    }) || settled_ratio(windows, baseline, params) >= params.settled_ratio
}

/// The count of 60 s over the settled peak; 0 where it is too slow to throttle.
fn settled_ratio(windows: &Windows, baseline: &Baseline, params: &Params) -> f64 {
    let count = f64::from(windows.count(Window::S60));
    if count < params.throttle_rate_per_min {
        return 0.0;
    }
    count / f64::from(baseline.settled_peak().max(params.peak_min))
}

fn ratio(windows: &Windows, baseline: &Baseline, window: Window, params: &Params) -> f64 {
    f64::from(windows.count(window) as f32 / baseline.peak(window).max(params.peak_min))
}

/// The burst with the greatest ratio among the windows that pass the gate, those that alert before all
/// others, if it is enough to observe.
pub fn evaluate(
    windows: &Windows,
    baseline: &Baseline,
    trust: &Trust,
    (params, usual): (&Params, &baseline::Params),
    resolution: TimestampResolution,
) -> Option<(Action, Burst)> {
    let mut strongest: Option<(Action, Burst)> = None;
    let rate = baseline.rate(usual);
    let settled_ratio = settled_ratio(windows, baseline, params);
    for window in Window::ALL {
        let ratio = ratio(windows, baseline, window, params);
        // A count far above the settled peak needs no gate: it is no matter of chance.
        let is_far =
            window == Window::S60 && trust.own >= 1.0 && settled_ratio >= params.settled_ratio;
        if (ratio < f64::from(params.observe_ratio) && !is_far) || !resolution.judges(window) {
            continue;
        }
        let is_clear = trust.is_sparse && trust.own >= 0.5 && ratio >= params.clear_ratio;
        let gate_part = match (is_far, is_clear) {
            (true, _) => 0.0,
            (false, true) => CLEAR_GATE,
            (false, false) => 1.0,
        };
        let gate_nats = params.gate_nats * gate_part;
        let count = windows.count(window);
        let Expected { count: expected, dispersion, weight } = baseline.expected(window, rate);
        let counted = f64::from(count);
        if NegativeBinomial::evidence_at_most(expected, dispersion, weight, counted) < gate_nats {
            continue;
        }
        let peak = baseline.peak(window);
        let evidence_nats = 0.0;
        let mut burst =
            Burst { window, count, expected, peak, ratio, evidence_nats, settled_ratio };
        let action = burst.action(trust, params);
        // Among those that alert the greatest ratio speaks, fast or not.
        let alerts = action >= Action::Alert;
        let is_weaker = |(other, seen): (Action, Burst)| {
            (other >= Action::Alert, seen.ratio) >= (alerts, ratio)
        };
        if strongest.is_some_and(is_weaker) {
            continue;
        }
        burst.evidence_nats = -NegativeBinomial::new(expected, dispersion, weight).ln_tail(counted);
        if burst.evidence_nats >= gate_nats {
            strongest = Some((action, burst));
        }
    }
    strongest
}

impl Evidence for Burst {
    fn strength(&self) -> f64 {
        self.ratio
    }

    fn evidence_nats(&self) -> f64 {
        self.evidence_nats
    }

    fn summary(&self) -> String {
        let settled = if self.settled_ratio > 1.5 * self.ratio {
            format!(
                ", and {:.1} times its settled peak, which grows by a seventh a day",
                self.settled_ratio
            )
        } else {
            String::new()
        };
        format!(
            "made {} requests in {} s where about {} are usual{}; that is {:.1} times {}{settled}",
            grouped(f64::from(self.count)),
            self.window.seconds(),
            if self.expected < 9.95 {
                format!("{:.1}", self.expected)
            } else {
                grouped(self.expected)
            },
            if self.peak >= 1.0 {
                format!(" and {} were the most so far", grouped(f64::from(self.peak)))
            } else {
                String::new()
            },
            self.ratio,
            if self.peak >= 5.0 { "its peak" } else { "the minimum baseline" },
        )
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("window_s", f64::from(self.window.seconds())),
            Measure::new("count", f64::from(self.count)),
            Measure::new("expected", self.expected),
            Measure::new("peak", f64::from(self.peak)),
            Measure::new("peak_ratio", self.ratio),
            Measure::new("rate_per_min", self.rate_per_min()),
            Measure::new("tail_nats", self.evidence_nats),
            Measure::new("settled_ratio", self.settled_ratio),
        ]
    }
}

impl Codec for Burst {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.window, self.count).encode(out);
        (self.expected, self.peak).encode(out);
        (self.ratio, self.evidence_nats).encode(out);
        self.settled_ratio.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (window, count) = Codec::decode(input)?;
        let (expected, peak) = Codec::decode(input)?;
        let (ratio, evidence_nats) = Codec::decode(input)?;
        let settled_ratio = if input.version() < 5 { 0.0 } else { Codec::decode(input)? };
        Some(Self { window, count, expected, peak, ratio, evidence_nats, settled_ratio })
    }
}
