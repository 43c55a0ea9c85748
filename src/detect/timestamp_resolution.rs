//! The step of a credential's timestamps: some sources say the time only every few seconds.
//!
//! Within a coarse step all requests fall on one second, so short windows see bursts that never
//! were. The step is the greatest common divisor of the distances between the seconds that counted
//! anything; a window of fewer than four steps is not judged. One time with a fraction of a second
//! shows that there is no coarse step.
//! Source: DETECTION, "Event time".

use super::window::{Window, Windows};

/// How many steps a window must span to be judged. Chosen.
const STEPS_MIN: u32 = 4;
/// How many seconds of a minute must have counted something before they say anything of the step.
/// Chosen.
const OCCUPIED_MIN: u32 = 4;

/// The step of the timestamps. Shape: 1 byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimestampResolution(u8);

impl TimestampResolution {
    /// Notes a request at millisecond `ms` of `second`, where `newest` was the newest second: one
    /// between the steps says at once that there are none.
    pub const fn record(&mut self, newest: u32, second: u32, ms: u16) {
        let step = self.0 as u32;
        if ms != 0 || (step > 1 && !second.abs_diff(newest).is_multiple_of(step)) {
            self.0 = 1;
        }
    }

    /// Looks at the seconds of `minute`, of which all must still be in the ring of `windows`.
    /// Cost: 60 reads a minute, until a step of one second was seen; nothing from then on.
    pub fn minute_ends(&mut self, windows: &Windows, minute: u32) {
        if self.0 == 1 {
            return;
        }
        let (mut occupied, mut last, mut step) = (0, None, u32::from(self.0));
        let newest = windows.newest();
        for second in (minute * 60..minute * 60 + 60).take_while(|second| *second <= newest) {
            if windows.is_occupied(second) {
                step = last.map_or(step, |last| divisor(step, second - last));
                last = Some(second);
                occupied += 1;
            }
        }
        if occupied >= OCCUPIED_MIN {
            self.0 = u8::try_from(step).unwrap_or(u8::MAX);
        }
    }

    /// Whether a window of so many seconds spans enough steps to be judged.
    pub const fn judges_seconds(self, seconds: u32) -> bool {
        self.0 <= 1 || seconds >= STEPS_MIN * self.0 as u32
    }

    /// Whether `window` spans enough steps to be judged.
    pub const fn judges(self, window: Window) -> bool {
        self.judges_seconds(window.seconds())
    }

    /// Whether the timestamps are known to come in steps of more than a second.
    pub const fn is_coarse(self) -> bool {
        self.0 > 1
    }
}

/// The greatest common divisor; of 0 and a number, that number. Source: Euclid.
const fn divisor(a: u32, b: u32) -> u32 {
    if a == 0 { b } else { divisor(b % a, a) }
}

crate::codec!(TimestampResolution);

#[cfg(test)]
mod tests {
    use super::{TimestampResolution, Window, Windows};

    /// Minute-aligned.
    const START: u32 = 1_700_000_040;

    fn of_steps(seconds: impl Iterator<Item = u32>) -> TimestampResolution {
        let mut windows = Windows::new(START);
        for second in seconds {
            windows.add(START + second);
        }
        let mut resolution = TimestampResolution::default();
        resolution.minute_ends(&windows, START / 60);
        resolution
    }

    #[test]
    fn steps_of_three_seconds_leave_windows_from_15_seconds_on() {
        let resolution = of_steps((0..60).step_by(3));
        let judged: Vec<_> = Window::ALL.into_iter().filter(|w| resolution.judges(*w)).collect();
        assert_eq!(judged, [Window::S15, Window::S60, Window::S300]);
    }

    #[test]
    fn a_request_between_the_steps_ends_the_matter() {
        for (second, ms) in [(START + 61, 0), (START + 60, 1)] {
            let mut resolution = of_steps((0..60).step_by(3));
            resolution.record(START + 57, second, ms);
            assert!(!resolution.is_coarse());
        }
    }

    #[test]
    fn chance_has_steps_of_a_second_and_few_requests_say_nothing() {
        assert!(!of_steps([1, 7, 12, 23, 40].into_iter()).is_coarse());
        assert!(!of_steps([0, 30].into_iter()).is_coarse());
        assert!(of_steps([0, 30].into_iter()).judges(Window::S1));
    }
}
