//! When a client was used.

use crate::model::time::EventTime;

/// The windows in which a client is active or not. Unit: milliseconds; 10 min.
pub const WINDOW_MS: i64 = 600_000;
/// Active in a smaller part of the windows of its life than this, a client is sparse.
const SPARSE_RATIO: f64 = 0.3;

/// How a client was active: its first and last use, and in how many windows of ten minutes it was used.
#[derive(Clone, Copy, Debug)]
pub struct Activity {
    /// The first use.
    pub first: EventTime,
    /// The last use.
    pub last: EventTime,
    windows: i64,
    window: i64,
}

impl Activity {
    /// Begins at `time`.
    pub const fn begin(time: EventTime) -> Self {
        Self { first: time, last: time, windows: 1, window: time.ms() / WINDOW_MS }
    }

    /// Takes a use; one that is late belongs to no other window.
    pub fn note(&mut self, time: EventTime) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        let window = time.ms() / WINDOW_MS;
        if window > self.window {
            self.windows += 1;
            self.window = window;
        }
    }

    /// Whether it was used in few of the windows of its life.
    pub fn is_sparse(&self) -> bool {
        let all = self.last.ms() / WINDOW_MS - self.first.ms() / WINDOW_MS + 1;
        (self.windows as f64) < SPARSE_RATIO * all as f64
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::Activity;
    use crate::model::time::EventTime;

    /// A client that was used in these windows of ten minutes.
    pub(in crate::sim) fn used(windows: impl IntoIterator<Item = i64>) -> Activity {
        let mut times = windows.into_iter().map(|window| EventTime::from_s(window * 600));
        let mut activity = Activity::begin(times.next().expect("one"));
        times.for_each(|time| activity.note(time));
        activity
    }

    #[test]
    fn a_client_is_sparse_that_is_active_in_less_than_three_of_ten_windows() {
        assert!(!used([0, 3, 6, 9]).is_sparse());
        assert!(used([0, 3, 10]).is_sparse() && used([0, 0, 3, 10]).is_sparse());
        assert!(!used([5]).is_sparse());
    }
}
