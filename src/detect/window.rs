//! Sliding windows over event time: exact counts of the last 1, 5, 15 and 60 seconds and of the
//! last five minutes.
//!
//! ```text
//! seconds  |..|..|..|..|..|##|##|  64 slots of a second; the newest is `newest`
//!                      <-- 5 -->   running sums of the last 5, 15 and 60 are kept
//! minutes  |....|....|....|####|   6 slots of a minute; five make the 300 s window
//! ```
//!
//! A slot of a second takes a byte. The few credentials that pass 255 requests in a second get
//! slots of four bytes on the side until their last such second has left the ring.
//!
//! **Invariants.** Each sum equals the sum of its slots. Time never goes back: an event older than
//! the newest second is put into its own slot while that slot exists.

/// A window's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Window {
    /// The newest second.
    S1,
    /// The newest 5 seconds.
    S5,
    /// The newest 15 seconds.
    S15,
    /// The newest 60 seconds.
    S60,
    /// The newest minute of the clock and the four before it: 240 to 300 seconds.
    S300,
}

impl Window {
    /// Every window, shortest first.
    pub const ALL: [Self; 5] = [Self::S1, Self::S5, Self::S15, Self::S60, Self::S300];
    /// How many windows there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its length. Unit: seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::S1 => 1,
            Self::S5 => 5,
            Self::S15 => 15,
            Self::S60 => 60,
            Self::S300 => 300,
        }
    }
}

const SECONDS: u32 = 64;
const MINUTES: u32 = 6;
const SUMMED: [u32; 3] = [5, 15, 60];
const MINUTES_OF_S300: u32 = 5;

/// Where an event went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Into every window.
    Now,
    /// Into the windows that still reach back to it.
    Late,
    /// Nowhere: it is older than all slots.
    TooLate,
}

/// The counts of one credential. Shape: 112 bytes, and 256 on the side while it is very busy.
#[derive(Clone, Debug)]
pub struct Windows {
    newest: u32,
    sums: [u32; SUMMED.len()],
    /// The slots of a second while each count fits; all else follows `wide` once there is one.
    narrow: [u8; SECONDS as usize],
    wide: Option<Box<[u32; SECONDS as usize]>>,
    minutes: [u32; MINUTES as usize],
}

impl Windows {
    /// Empty windows that begin at `second` (since 1970).
    pub fn new(second: u32) -> Self {
        Self {
            newest: second,
            sums: [0; SUMMED.len()],
            narrow: [0; SECONDS as usize],
            wide: None,
            minutes: [0; MINUTES as usize],
        }
    }

    /// The newest second (since 1970).
    pub const fn newest(&self) -> u32 {
        self.newest
    }

    fn slot(&self, second: u32) -> u32 {
        let index = (second % SECONDS) as usize;
        match &self.wide {
            None => u32::from(self.narrow.get(index).copied().unwrap_or(0)),
            Some(wide) => wide.get(index).copied().unwrap_or(0),
        }
    }

    fn empty_slot(&mut self, second: u32) {
        let index = (second % SECONDS) as usize;
        if let Some(slot) = self.wide.as_mut().and_then(|wide| wide.get_mut(index)) {
            *slot = 0;
        }
        if let Some(slot) = self.narrow.get_mut(index) {
            *slot = 0;
        }
    }

    fn count_up(&mut self, second: u32) {
        let index = (second % SECONDS) as usize;
        if self.wide.is_none()
            && let Some(slot) = self.narrow.get_mut(index)
        {
            if let Some(counted) = slot.checked_add(1) {
                *slot = counted;
                return;
            }
            self.wide = Some(Box::new(self.narrow.map(u32::from)));
        }
        if let Some(slot) = self.wide.as_mut().and_then(|wide| wide.get_mut(index)) {
            *slot += 1;
        }
    }

    /// Goes back to slots of a byte, if every count fits again.
    #[cold]
    fn narrow_down(&mut self) {
        let Some(wide) = &self.wide else { return };
        if wide.iter().all(|count| u8::try_from(*count).is_ok()) {
            for (slot, count) in self.narrow.iter_mut().zip(wide.iter()) {
                *slot = u8::try_from(*count).unwrap_or(u8::MAX);
            }
            self.wide = None;
        }
    }

    fn minute_slot(&self, minute: u32) -> u32 {
        self.minutes.get((minute % MINUTES) as usize).copied().unwrap_or(0)
    }

    /// Moves time forward to `second`; does nothing if it isn't later.
    /// Cost: proportional to the seconds passed, at most 64 steps.
    pub fn advance(&mut self, second: u32) {
        if second <= self.newest {
            return;
        }
        let gap = second - self.newest;
        if gap >= SECONDS {
            self.narrow = [0; SECONDS as usize];
            self.wide = None;
            self.sums = [0; SUMMED.len()];
        } else {
            for now in self.newest + 1..=second {
                for (index, span) in SUMMED.iter().enumerate() {
                    let leaving = self.slot(now.wrapping_sub(*span));
                    if let Some(sum) = self.sums.get_mut(index) {
                        *sum -= leaving;
                    }
                }
                self.empty_slot(now);
            }
        }
        let (from, to) = (self.newest / 60, second / 60);
        for minute in from + 1..=to.min(from + MINUTES) {
            if let Some(slot) = self.minutes.get_mut((minute % MINUTES) as usize) {
                *slot = 0;
            }
        }
        self.newest = second;
        if from != to && self.wide.is_some() {
            self.narrow_down();
        }
    }

    /// Counts one event at `second`, moving time forward if it is the newest.
    pub fn add(&mut self, second: u32) -> Placed {
        self.advance(second);
        let age = self.newest - second;
        let minute_age = self.newest / 60 - second / 60;
        if minute_age >= MINUTES {
            return Placed::TooLate;
        }
        if let Some(slot) = self.minutes.get_mut((second / 60 % MINUTES) as usize) {
            *slot = slot.saturating_add(1);
        }
        if age < SECONDS {
            self.count_up(second);
            for (sum, span) in self.sums.iter_mut().zip(SUMMED) {
                *sum += u32::from(age < span);
            }
        }
        if age == 0 { Placed::Now } else { Placed::Late }
    }

    /// The count in `window`, which ends with the newest second.
    pub fn count(&self, window: Window) -> u32 {
        let [five, fifteen, sixty] = self.sums;
        match window {
            Window::S1 => self.slot(self.newest),
            Window::S5 => five,
            Window::S15 => fifteen,
            Window::S60 => sixty,
            Window::S300 => self.minutes_until(self.newest / 60, MINUTES_OF_S300),
        }
    }

    /// The count of the last `span` seconds, by adding slots. Range of `span`: at most 64.
    pub fn count_of_seconds(&self, span: u32) -> u32 {
        self.seconds_until(self.newest, span.min(SECONDS))
    }

    /// The count of the `span` seconds that end with `last`, which must still be in the ring.
    pub fn seconds_until(&self, last: u32, span: u32) -> u32 {
        (0..span).map(|back| self.slot(last.wrapping_sub(back))).sum()
    }

    /// The counts of the last 60 seconds, oldest first; the last is of the newest second.
    pub fn by_second(&self) -> [u32; 60] {
        let mut counts = [0; 60];
        for (count, back) in counts.iter_mut().rev().zip(0..) {
            *count = self.slot(self.newest.wrapping_sub(back));
        }
        counts
    }

    /// The count of that minute (since 1970); 0 where it lies ahead or is forgotten.
    pub fn minute(&self, minute: u32) -> u32 {
        let newest = self.newest / 60;
        let is_held = minute <= newest && newest - minute < MINUTES;
        if is_held { self.minute_slot(minute) } else { 0 }
    }

    /// Whether the slot of that second counted anything; it must still be in the ring.
    pub fn is_occupied(&self, second: u32) -> bool {
        self.slot(second) > 0
    }

    /// The count of the `span` minutes that end with `last`, which must still be in the ring.
    pub fn minutes_until(&self, last: u32, span: u32) -> u32 {
        (0..span)
            .fold(0, |sum: u32, back| sum.saturating_add(self.minute_slot(last.wrapping_sub(back))))
    }
}

crate::codec!(each Window);
crate::codec!(Windows { newest, sums, narrow, wide, minutes });

#[cfg(test)]
mod tests {
    use super::{MINUTES, Placed, SECONDS, Window, Windows};
    use proptest::prelude::*;

    const START: u32 = 1_700_000_000;

    /// All events ever, counted again for each question.
    #[derive(Default)]
    struct Naive(Vec<u32>);

    impl Naive {
        fn count(&self, newest: u32, window: Window) -> u32 {
            let inside = |second: u32| match window {
                Window::S300 => newest / 60 - second / 60 < 5,
                Window::S1 | Window::S5 | Window::S15 | Window::S60 => {
                    newest - second < window.seconds()
                }
            };
            u32::try_from(self.0.iter().filter(|second| inside(**second)).count()).expect("few")
        }
    }

    proptest! {
        #[test]
        fn every_window_agrees_with_counting_all_events_anew(
            steps in prop::collection::vec((-70_i64..90, prop_oneof![8 => 1_usize..4, 1 => 200_usize..600]), 1..100)
        ) {
            let mut windows = Windows::new(START);
            let mut naive = Naive::default();
            for (step, times) in steps {
                let second = u32::try_from(i64::from(windows.newest()) + step).expect("positive");
                for _ in 0..times {
                    let newest = windows.newest().max(second);
                    let placed = windows.add(second);
                    prop_assert_eq!(placed == Placed::Now, second == newest);
                    let in_ring = newest - second < SECONDS && newest / 60 - second / 60 < MINUTES;
                    if in_ring || newest / 60 - second / 60 < MINUTES {
                        naive.0.push(second);
                    }
                }
                for window in Window::ALL {
                    let expected = naive.count(windows.newest(), window);
                    prop_assert_eq!(windows.count(window), expected, "{:?}", window);
                }
                prop_assert_eq!(windows.count_of_seconds(60), windows.count(Window::S60));
            }
        }
    }

    #[test]
    fn a_long_silence_empties_every_window() {
        let mut windows = Windows::new(START);
        windows.add(START);
        windows.advance(START + 1_000_000);
        assert!(Window::ALL.iter().all(|window| windows.count(*window) == 0));
        assert_eq!(windows.add(START), Placed::TooLate);
    }

    #[test]
    fn very_busy_seconds_are_counted_exactly_and_their_memory_is_given_back() {
        let mut windows = Windows::new(START);
        for second in 0..5 {
            for _ in 0..70_000 {
                windows.add(START + second);
            }
        }
        assert_eq!(windows.count(Window::S60), 350_000);
        assert_eq!(windows.count(Window::S1), 70_000);
        windows.advance(START + 59);
        assert_eq!(windows.count(Window::S60), 350_000);
        windows.advance(START + 62);
        assert_eq!(windows.count(Window::S60), 140_000);
        windows.advance(START + 130);
        assert_eq!(windows.count(Window::S60), 0);
        assert!(windows.wide.is_none());
    }
}
