//! A clock that a step of the system's clock does not carry away.
//!
//! ```text
//!  system's clock - time since boot = offset      small changes: followed at once (it is slewed)
//!                                                 a step: doubted, and believed once it has lasted
//! ```
//! A machine that is set an hour ahead and back would end every suspension an hour early, and take
//! an hour of events as late. **Invariant**: between two readings no more time passes than by the
//! time since boot, give or take [`SLEW_MS`], unless a step has lasted [`DOUBT_MS`].

use super::time::EventTime;

/// The largest change between two readings that is no step. Unit: milliseconds. Chosen: NTP steps
/// from 128 ms on and slews below; readings are less than a second apart.
pub const SLEW_MS: i64 = 1_000;
/// How long a step is doubted. Unit: milliseconds. Chosen: NTP puts a bad step right within one
/// polling interval, 64 s.
pub const DOUBT_MS: i64 = 60_000;

/// A step that is doubted.
#[derive(Clone, Copy, Debug)]
struct ClockJump {
    offset: i64,
    /// When it was first seen, by the time since boot.
    since: i64,
}

/// The clock.
#[derive(Clone, Debug)]
pub struct SteadyClock {
    /// The offset to the time since boot. Unit: milliseconds.
    offset: i64,
    doubted: Option<ClockJump>,
}

/// The clock as it was some time before a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its value.
    pub time: EventTime,
    /// The time since boot at that moment. Unit: milliseconds.
    pub since_boot: i64,
    /// Which boot that was.
    pub boot: String,
}

/// How a clock goes on after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// The machine ran on: as if there had been no restart.
    SameBoot,
    /// The machine was started in between, and by the system's clock so much time has passed. Whether
    /// it stepped meanwhile can't be known. Unit: milliseconds.
    OtherBoot(i64),
    /// The machine was started in between, and the system's clock is behind what was reached before by so
    /// much: time goes on from there. Unit: milliseconds.
    Behind(i64),
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The system's clock went by so many milliseconds too far; that is not followed yet.
    Doubted(i64),
    /// It came back by itself.
    Undone,
    /// It lasted, and is followed now.
    Believed(i64),
}

impl SteadyClock {
    /// Starts with what the system says. Unit of both: milliseconds.
    pub const fn new(system: EventTime, since_boot: i64) -> Self {
        Self { offset: system.ms().saturating_sub(since_boot), doubted: None }
    }

    /// Goes on over a restart from what was kept. While the machine runs, the time since boot says how
    /// long the restart took, whatever the system's clock says.
    pub fn resume(
        anchor: &Anchor,
        boot: &str,
        (system, since_boot): (EventTime, i64),
    ) -> (Self, Resumed) {
        if anchor.boot == boot && anchor.since_boot <= since_boot {
            return (Self::new(anchor.time, anchor.since_boot), Resumed::SameBoot);
        }
        let passed = system.ms_since(anchor.time);
        if passed < 0 {
            return (Self::new(anchor.time, since_boot), Resumed::Behind(passed.saturating_neg()));
        }
        (Self::new(system, since_boot), Resumed::OtherBoot(passed))
    }

    /// The time, and what is new about the system's clock.
    pub fn read(&mut self, system: EventTime, since_boot: i64) -> (EventTime, Option<Step>) {
        let offset = system.ms().saturating_sub(since_boot);
        let step = offset.saturating_sub(self.offset);
        let near = |other: i64| offset.saturating_sub(other).saturating_abs() <= SLEW_MS;
        let news = if near(self.offset) {
            self.offset = offset;
            self.doubted.take().map(|_| Step::Undone)
        } else {
            match self.doubted {
                Some(doubted) if near(doubted.offset) => {
                    let lasted = since_boot.saturating_sub(doubted.since) >= DOUBT_MS;
                    lasted.then(|| {
                        self.doubted = None;
                        self.offset = offset;
                        Step::Believed(step)
                    })
                }
                _ => {
                    self.doubted = Some(ClockJump { offset, since: since_boot });
                    Some(Step::Doubted(step))
                }
            }
        };
        (EventTime::from_ms(since_boot.saturating_add(self.offset)), news)
    }

    /// How far the system's clock is ahead of this one. Unit: milliseconds.
    pub fn deviation_ms(&self) -> i64 {
        self.doubted.map_or(0, |doubted| doubted.offset.saturating_sub(self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::{Anchor, DOUBT_MS, Resumed, SLEW_MS, SteadyClock, Step};
    use crate::model::time::EventTime;
    use proptest::prelude::*;

    const HOUR_MS: i64 = 3_600_000;

    fn at(ms: i64) -> EventTime {
        EventTime::from_ms(1_790_000_000_000 + ms)
    }

    fn clock() -> SteadyClock {
        SteadyClock::new(at(0), 0)
    }

    #[test]
    fn a_slewed_clock_is_followed_at_once() {
        let mut clock = clock();
        assert_eq!(clock.read(at(5_300), 5_000), (at(5_300), None));
        assert_eq!(clock.read(at(5_900), 6_000), (at(5_900), None));
        assert_eq!(clock.deviation_ms(), 0);
    }

    #[test]
    fn a_step_of_an_hour_and_back_is_not_seen() {
        for step in [HOUR_MS, -HOUR_MS] {
            let mut clock = clock();
            assert_eq!(clock.read(at(1_000 + step), 1_000), (at(1_000), Some(Step::Doubted(step))));
            assert_eq!(clock.deviation_ms(), step);
            assert_eq!(clock.read(at(2_000 + step), 2_000), (at(2_000), None), "said once");
            assert_eq!(clock.read(at(9_000), 9_000), (at(9_000), Some(Step::Undone)));
            assert_eq!(clock.deviation_ms(), 0);
        }
    }

    #[test]
    fn a_step_that_lasts_is_followed() {
        for step in [HOUR_MS, -HOUR_MS] {
            let mut clock = clock();
            clock.read(at(1_000 + step), 1_000);
            let later = 1_000 + DOUBT_MS;
            assert_eq!(clock.read(at(later - 1 + step), later - 1), (at(later - 1), None));
            let believed = Some(Step::Believed(step));
            assert_eq!(clock.read(at(later + step), later), (at(later + step), believed));
            assert_eq!(clock.read(at(later + step), later), (at(later + step), None));
        }
    }

    #[test]
    fn a_restart_hides_no_step_while_the_machine_runs() {
        let anchor = Anchor { time: at(5_000), since_boot: 5_000, boot: "b1".to_owned() };
        for step in [HOUR_MS, -HOUR_MS] {
            let readings = (at(9_000 + step), 9_000);
            let (mut clock, resumed) = SteadyClock::resume(&anchor, "b1", readings);
            assert_eq!(resumed, Resumed::SameBoot);
            assert_eq!(clock.read(readings.0, 9_000), (at(9_000), Some(Step::Doubted(step))));
        }
    }

    #[test]
    fn after_another_boot_time_goes_on_and_never_back() {
        let anchor = Anchor { time: at(5_000), since_boot: 900_000, boot: "b1".to_owned() };
        let ahead = SteadyClock::resume(&anchor, "b2", (at(5_000 + HOUR_MS), 40_000));
        assert_eq!(ahead.1, Resumed::OtherBoot(HOUR_MS));
        let (mut clock, resumed) =
            SteadyClock::resume(&anchor, "b2", (EventTime::from_ms(0), 40_000));
        assert_eq!(resumed, Resumed::Behind(at(5_000).ms()));
        assert_eq!(clock.read(EventTime::from_ms(1_000), 41_000).0, at(6_000));
        // The time service sets it right: followed once that has lasted.
        let right = at(HOUR_MS);
        clock.read(right, 50_000);
        let (now, _) = clock.read(right.plus_ms(DOUBT_MS), 50_000 + DOUBT_MS);
        assert_eq!(now, right.plus_ms(DOUBT_MS));
    }

    #[test]
    fn the_widest_step_of_all_is_far() {
        let mut clock = SteadyClock::new(at(0), 0);
        clock.read(EventTime::from_ms(i64::MAX), 0);
        let (_, news) = clock.read(EventTime::from_ms(i64::MIN), 171);
        assert!(matches!(news, Some(Step::Doubted(_))), "{news:?}");
    }

    #[test]
    fn one_that_jumps_to_and_fro_is_never_believed() {
        let mut clock = clock();
        for second in 1..200 {
            let step = if second % 2 == 0 { HOUR_MS } else { -HOUR_MS };
            let now = second * 1_000;
            assert_eq!(clock.read(at(now + step), now).0, at(now));
        }
    }

    proptest! {
        /// Whatever the system's clock says.
        #[test]
        fn time_passes_as_it_does_since_boot(
            readings in prop::collection::vec((0..DOUBT_MS / 100, any::<i64>()), 1..100)
        ) {
            let (mut clock, mut since_boot, mut before) = (clock(), 0, at(0));
            for (passed, system) in readings {
                since_boot += passed;
                let (now, news) = clock.read(EventTime::from_ms(system), since_boot);
                if !matches!(news, Some(Step::Believed(_))) {
                    prop_assert!((now.ms_since(before) - passed).abs() <= SLEW_MS);
                }
                before = now;
            }
        }
    }
}
