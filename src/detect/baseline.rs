//! The baseline of one credential: its rate, its dispersion, and its peaks.
//!
//! A minute becomes part of the baseline only when it ended at least a minute ago (the guard
//! gap): what is happening now must not teach what is usual. While a finding is open nothing is
//! learned at all.
//!
//! ```text
//!   learned        | held back: guard gap | now
//!   ...............|  minute m-1          | minute m
//!                  ^ `learned_until`
//! ```

use super::settled_peak::SettledPeak;
use super::window::{Window, Windows};
use crate::stats::compact::Compact;
use crate::stats::decay::Fading;
use crate::stats::dispersion;
use crate::stats::rate::{GammaRate, Prior, narrow};

/// How fast the past fades. Unit: seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalfLives {
    /// Of the short memory of the rate. Default: 15 min.
    pub short_s: f64,
    /// Of the long memory of the rate. Default: 1 day.
    pub long_s: f64,
    /// Of the dispersion. Default: 6 h.
    pub dispersion_s: f64,
    /// Of the peaks. Default: 14 days.
    pub peak_s: f64,
}

impl Default for HalfLives {
    fn default() -> Self {
        Self { short_s: 900.0, long_s: 86_400.0, dispersion_s: 21_600.0, peak_s: 1_209_600.0 }
    }
}

/// How a baseline learns and what it believes before anything was seen.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    short: Fading,
    long: Fading,
    dispersion_weight: f32,
    peak_keep_per_day: f64,
    /// The least rate believed. Unit: events per second. Default: one in ten minutes.
    pub rate_min_per_s: f64,
    /// Variance over mean before anything was seen, in 1, 15, 60 and 300 s.
    /// Default: 5, 30, 120, 300 (measured: DETECTION, "What the data say" 8).
    pub prior_dispersion: [f32; LEARNED],
}

impl Params {
    /// The defaults, with memories that fade that fast.
    pub fn new(half_lives: HalfLives) -> Self {
        let dispersion = Fading::of_half_life(half_lives.dispersion_s);
        Self {
            short: Fading::of_half_life(half_lives.short_s),
            long: Fading::of_half_life(half_lives.long_s),
            dispersion_weight: narrow(1.0 - dispersion.remaining(1)),
            peak_keep_per_day: Fading::of_half_life(half_lives.peak_s).remaining(1440),
            rate_min_per_s: 1.0 / 600.0,
            prior_dispersion: [5.0, 30.0, 120.0, 300.0],
        }
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::new(HalfLives::default())
    }
}

/// How many windows a dispersion is learned of: all but 5 s, which lies between its neighbours.
pub const LEARNED: usize = 4;
/// The windows whose counts are summed up by tiles of their own length within a minute.
const TILED: [Window; 2] = [Window::S1, Window::S15];
const SECONDS_OF_DAY: u32 = 86_400;

/// A rate as it is believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Unit: events per second.
    pub per_s: f64,
    /// How many events the belief rests on.
    pub weight: f64,
}

/// The expectation of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The expected count.
    pub count: f64,
    /// Variance over mean.
    pub dispersion: f64,
    /// How many events that belief rests on.
    pub weight: f64,
}

/// The rest of a baseline after a long silence. Shape: 40 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Learned {
    short: GammaRate,
    long: GammaRate,
    until: u32,
    dispersion: [Compact; LEARNED],
    peak: [Compact; Window::COUNT],
    settled_peak: SettledPeak,
}

/// The usual use of one credential. Shape: 80 bytes.
#[derive(Clone, Debug)]
pub struct Baseline {
    peak: [Compact; Window::COUNT],
    settled_peak: SettledPeak,
    dispersion: [f32; LEARNED],
    short: GammaRate,
    long: GammaRate,
    /// Sums of squared tile counts of the running minute.
    squares: [f32; TILED.len()],
    /// The first minute (since 1970) that is not yet learned.
    learned_until: u32,
    max_now: [Compact; Window::COUNT],
    max_held: [Compact; Window::COUNT],
    squares_held: [Compact; TILED.len()],
}

impl Baseline {
    /// Knows nothing but the prior; learns from the minute of `second` on.
    pub fn new(second: u32, prior: Prior, params: &Params) -> Self {
        Self {
            peak: [Compact::default(); Window::COUNT],
            settled_peak: SettledPeak::default(),
            dispersion: params.prior_dispersion,
            short: GammaRate::of(prior),
            long: GammaRate::of(prior),
            squares: [0.0; TILED.len()],
            learned_until: second / 60,
            max_now: [Compact::default(); Window::COUNT],
            max_held: [Compact::default(); Window::COUNT],
            squares_held: [Compact::default(); TILED.len()],
        }
    }

    /// Its learned part.
    pub fn learned(&self) -> Learned {
        Learned {
            short: self.short,
            long: self.long,
            until: self.learned_until,
            dispersion: self.dispersion.map(Compact::nearest),
            peak: self.peak,
            settled_peak: self.settled_peak,
        }
    }

    /// Knows what was learned, as after a long silence.
    pub fn of(learned: Learned) -> Self {
        Self {
            peak: learned.peak,
            settled_peak: learned.settled_peak,
            dispersion: learned.dispersion.map(Compact::value),
            short: learned.short,
            long: learned.long,
            squares: [0.0; TILED.len()],
            learned_until: learned.until,
            max_now: [Compact::ZERO; Window::COUNT],
            max_held: [Compact::ZERO; Window::COUNT],
            squares_held: [Compact::ZERO; TILED.len()],
        }
    }

    /// Takes note of the newest second of `windows`, which is about to end as time moves to
    /// `next`: its counts may be the greatest of the minute. Call before `Windows::advance`.
    pub fn second_ends(&mut self, windows: &Windows, next: u32) {
        let last = windows.newest();
        for (window, max) in Window::ALL.into_iter().zip(&mut self.max_now) {
            *max = (*max).max(Compact::at_least(windows.count(window) as f32));
        }
        for (window, squares) in TILED.into_iter().zip(&mut self.squares) {
            let length = window.seconds();
            if last / length != next / length {
                let count = windows.seconds_until(last, last % length + 1) as f32;
                *squares += count * count;
            }
        }
    }

    /// Learns the minutes that are now behind the guard gap, as time moves from the minute of
    /// `windows` to the minute of `next`. Call before `Windows::advance`, after `second_ends`.
    pub fn minute_ends(&mut self, windows: &Windows, next: u32, frozen: bool, params: &Params) {
        let (ending, next_minute) = (windows.newest() / 60, next / 60);
        if next_minute == ending {
            return;
        }
        let days = self.days_until(windows, next);
        self.learn_minutes(windows, next, frozen, params);
        self.days_pass(days, params);
    }

    fn learn_minutes(&mut self, windows: &Windows, next: u32, frozen: bool, params: &Params) {
        let (ending, next_minute) = (windows.newest() / 60, next / 60);
        if frozen {
            self.forget_held();
            self.learned_until = next_minute;
            return;
        }
        // `max_held` is of the minute before the ending one, unless that was silent.
        self.learn_minute(windows, ending.saturating_sub(1), params);
        self.max_held = std::mem::take(&mut self.max_now);
        for (held, squares) in self.squares_held.iter_mut().zip(&mut self.squares) {
            *held = Compact::at_least(std::mem::take(squares));
        }
        if next_minute > ending + 1 {
            self.learn_minute(windows, ending, params);
            self.max_held = [Compact::default(); Window::COUNT];
            self.squares_held = [Compact::default(); TILED.len()];
            // Minutes up to `next_minute - 2` were silent and are behind the gap.
            self.learn_silence(next_minute - 1, params);
        }
    }

    /// The first minute (since 1970) that it has not learned.
    pub const fn learned_until(&self) -> u32 {
        self.learned_until
    }

    /// How many days begin from what is already learned up to `next`.
    pub fn days_until(&self, windows: &Windows, next: u32) -> u32 {
        let from = windows.newest().max(self.learned_until.saturating_mul(60));
        (next / SECONDS_OF_DAY).saturating_sub(from / SECONDS_OF_DAY)
    }

    fn days_pass(&mut self, days: u32, params: &Params) {
        if days == 0 {
            return;
        }
        let keep = params.peak_keep_per_day.powi(i32::try_from(days).unwrap_or(i32::MAX));
        for peak in &mut self.peak {
            *peak = Compact::nearest(peak.value() * narrow(keep));
        }
        self.settled_peak.days_pass(days, self.peak_of(Window::S60));
    }

    /// Settles the peak as it is, as while it is young.
    pub fn settle(&mut self) {
        self.settled_peak = SettledPeak::at(self.peak_of(Window::S60));
    }

    /// The settled peak of a minute. Unit: requests.
    pub fn settled_peak(&self) -> f32 {
        self.settled_peak.under(self.peak_of(Window::S60))
    }

    fn peak_of(&self, window: Window) -> Compact {
        self.peak.get(window as usize).copied().unwrap_or_default()
    }

    /// A use that was held back teaches nothing: it may be the beginning of abuse.
    pub fn forget_held(&mut self) {
        self.max_now = [Compact::default(); Window::COUNT];
        self.max_held = [Compact::default(); Window::COUNT];
        self.squares = [0.0; TILED.len()];
        self.squares_held = [Compact::default(); TILED.len()];
    }

    /// Takes the peaks of a stretch that turned out harmless.
    pub fn absorb(&mut self, peaks: &[f32; Window::COUNT]) {
        for (peak, max) in self.peak.iter_mut().zip(peaks) {
            *peak = (*peak).max(Compact::at_least(*max));
        }
    }

    fn learn_minute(&mut self, windows: &Windows, minute: u32, params: &Params) {
        if minute < self.learned_until {
            return;
        }
        self.learn_silence(minute, params);
        let count = f64::from(windows.minutes_until(minute, 1));
        if count > 0.0 {
            self.learn_dispersion(windows, minute, count, params);
        }
        self.learn_rate(count, 1, params);
        for (peak, max) in self.peak.iter_mut().zip(self.max_held) {
            *peak = (*peak).max(max);
        }
        self.learned_until = minute + 1;
    }

    /// Lets time pass without events from `learned_until` up to, not including, `minute`.
    fn learn_silence(&mut self, minute: u32, params: &Params) {
        let silent = minute.saturating_sub(self.learned_until);
        if silent > 0 {
            self.learn_rate(0.0, silent, params);
            self.learned_until = minute;
        }
    }

    fn learn_rate(&mut self, events: f64, minutes: u32, params: &Params) {
        self.short.learn(events, minutes, params.short);
        self.long.learn(events, minutes, params.long);
    }

    fn learn_dispersion(&mut self, windows: &Windows, minute: u32, count: f64, params: &Params) {
        let weight = params.dispersion_weight;
        let mean_60 = self.rate(params).per_s * 60.0;
        let samples = |window: Window, squares: Compact| {
            let tiles = f64::from(60 / window.seconds());
            dispersion::sample(tiles, count, f64::from(squares.value()), mean_60 / tiles)
        };
        let [one, fifteen] = self.squares_held;
        let mean_300 = mean_60 * 5.0;
        let count_300 = f64::from(windows.minutes_until(minute, 5));
        let by_window = [
            samples(Window::S1, one),
            samples(Window::S15, fifteen),
            (count - mean_60).powi(2) / mean_60,
            (count_300 - mean_300).powi(2) / mean_300,
        ];
        for (dispersion, sample) in self.dispersion.iter_mut().zip(by_window) {
            dispersion::learn(dispersion, narrow(sample), weight);
        }
    }

    /// The rate believed, `max(short, long / 2, the least rate)`, and how many events that rests on.
    pub fn rate(&self, params: &Params) -> Rate {
        let short = self.short.mean_per_s();
        let long = self.long.mean_per_s() / 2.0;
        let weight = if short >= long { self.short } else { self.long }.weight();
        Rate { per_s: short.max(long).max(params.rate_min_per_s), weight }
    }

    /// The expected count of `window` at that rate.
    pub fn expected(&self, window: Window, rate: Rate) -> Expected {
        Expected {
            count: f64::from(window.seconds()) * rate.per_s,
            dispersion: self.dispersion(window),
            weight: rate.weight,
        }
    }

    /// Variance over mean in `window`.
    pub fn dispersion(&self, window: Window) -> f64 {
        let [one, fifteen, sixty, five_minutes] = self.dispersion.map(f64::from);
        match window {
            Window::S1 => one,
            Window::S5 => (one * fifteen).sqrt(),
            Window::S15 => fifteen,
            Window::S60 => sixty,
            Window::S300 => five_minutes,
        }
    }

    /// The rate of the long memory, on which a climb is measured.
    pub fn long_rate(&self, params: &Params) -> Rate {
        let per_s = self.long.mean_per_s().max(params.rate_min_per_s);
        Rate { per_s, weight: self.long.weight() }
    }

    /// Reads its first and its last word, so that the processor fetches them ahead of their use.
    pub fn touch(&self) -> u32 {
        self.peak(Window::S1).to_bits() ^ self.learned_until
    }

    /// The most it ever did in `window`, slowly forgotten; 0 while nothing is learned.
    pub fn peak(&self, window: Window) -> f32 {
        self.peak_of(window).value()
    }
}

crate::codec!(Learned { short, long, until, dispersion, peak, settled_peak });
crate::codec!(Baseline {
    peak,
    settled_peak,
    dispersion,
    short,
    long,
    squares,
    learned_until,
    max_now,
    max_held,
    squares_held
});

#[cfg(test)]
mod tests {
    use super::{Baseline, Params, Prior};
    use crate::detect::window::{Window, Windows};
    use proptest::prelude::*;

    /// Minute-aligned, and so early in its day that no peak fades within a test.
    const START: u32 = 1_700_006_400;

    struct Key {
        windows: Windows,
        baseline: Baseline,
        params: Params,
    }

    impl Key {
        fn new() -> Self {
            let params = Params::default();
            let prior = Prior { events: 0.5, mean_per_s: 1.0 };
            let baseline = Baseline::new(START, prior, &params);
            Self { windows: Windows::new(START), baseline, params }
        }

        fn at(&mut self, second: u32, times: u32, frozen: bool) {
            if second > self.windows.newest() {
                self.baseline.second_ends(&self.windows, second);
                self.baseline.minute_ends(&self.windows, second, frozen, &self.params);
            }
            for _ in 0..times {
                self.windows.add(second);
            }
        }
    }

    #[test]
    fn a_steady_rate_becomes_usual() {
        let mut key = Key::new();
        for second in 0..7200 {
            key.at(START + second, 2, false);
        }
        let expected = key.baseline.rate(&key.params);
        assert!((expected.per_s - 2.0).abs() < 0.02, "{expected:?}");
        assert!((key.baseline.peak(Window::S60) - 120.0).abs() < 2.0);
        assert!((key.baseline.peak(Window::S1) - 2.0).abs() < 0.1);
    }

    /// The greatest count of `window` over all seconds of minutes that ended a minute ago.
    fn peak_of_all(events: &[u32], window: Window, newest: u32) -> u32 {
        let learned = events.iter().filter(|last| **last / 60 + 2 <= newest / 60);
        let count = |last: u32| {
            let inside = events.iter().filter(|second| match window {
                Window::S300 => **second <= last && last / 60 - **second / 60 < 5,
                Window::S1 | Window::S5 | Window::S15 | Window::S60 => {
                    **second <= last && last - **second < window.seconds()
                }
            });
            u32::try_from(inside.count()).expect("few")
        };
        learned.map(|last| count(*last)).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn a_peak_is_the_greatest_count_that_was_ever_learned(
            steps in prop::collection::vec((0_u32..100, 1_u32..9), 1..120)
        ) {
            let mut key = Key::new();
            let (mut now, mut events) = (START, Vec::new());
            for (passes, times) in steps {
                now += passes;
                key.at(now, times, false);
                events.extend(std::iter::repeat_n(now, times as usize));
            }
            for window in Window::ALL {
                let (peak, most) = (key.baseline.peak(window), peak_of_all(&events, window, now) as f32);
                prop_assert!(peak >= most && peak <= most * (1.0 + 1.0 / 127.0), "{window:?} {peak} {most}");
            }
        }
    }

    #[test]
    fn the_newest_minute_teaches_nothing() {
        let mut key = Key::new();
        for second in 0..600 {
            key.at(START + second, 1, false);
        }
        for second in 600..700 {
            key.at(START + second, 100, false);
        }
        assert!(key.baseline.peak(Window::S1) < 2.0);
        for second in 700..900 {
            key.at(START + second, 1, false);
        }
        assert!(key.baseline.peak(Window::S1) >= 99.0);
    }

    #[test]
    fn a_burst_before_a_long_silence_is_learned_once_it_is_old() {
        let mut key = Key::new();
        key.at(START, 50, false);
        key.at(START + 3600, 1, false);
        assert!((key.baseline.peak(Window::S1) - 50.0).abs() < 1.0);
    }

    #[test]
    fn nothing_is_learned_while_frozen() {
        let mut key = Key::new();
        for second in 0..600 {
            key.at(START + second, 1, false);
        }
        let before = key.baseline.rate(&key.params);
        for second in 600..3600 {
            key.at(START + second, 100, true);
        }
        assert_eq!(key.baseline.rate(&key.params), before);
        assert!(key.baseline.peak(Window::S60) < 70.0);
    }

    #[test]
    fn peaks_fade_by_half_in_their_half_life() {
        let mut key = Key::new();
        key.at(START, 100, false);
        key.at(START + 14 * 86_400, 1, false);
        assert!((key.baseline.peak(Window::S1) - 50.0).abs() < 1.0);
    }
}
