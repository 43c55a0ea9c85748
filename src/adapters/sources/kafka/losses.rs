//! Records that were removed before they were read: which of the offsets without a record had one.
//!
//! Offsets lack a record for three reasons: a transaction ended there, compaction removed it, or retention
//! did. Only what lies before the first offset that the broker still has was removed by retention, and the
//! broker says where that is.
//!
//! **Does not** know of what compaction removed: the newest value of its key is read.

use super::consumer::TopicPartition;
use super::metrics::ConsumerMetrics;
use parking_lot::Mutex;

/// Gaps of a partition that are remembered until the broker is asked. Chosen: transactions end some hundred
/// times a second at most, and it is asked every five seconds; what is beyond counts as none.
const GAPS_MAX: usize = 4_096;

/// Offsets without a record that were passed since the broker was last asked.
#[derive(Debug, Default)]
pub(super) struct Gaps(Mutex<Vec<(i64, i64)>>);

impl Gaps {
    /// From the first offset without a record to the one that has one again.
    pub(super) fn record(&self, from: i64, to: i64) {
        let mut gaps = self.0.lock();
        if gaps.len() < GAPS_MAX {
            gaps.push((from, to));
        }
    }

    /// Whether there are none to ask for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// How many of them lie before `low`, the first offset that the broker still has. Forgets them all.
    pub(super) fn take_lost(&self, low: i64) -> u64 {
        let gaps = std::mem::take(&mut *self.0.lock());
        gaps.into_iter().map(|(from, to)| lost(from, to.min(low))).sum()
    }
}

/// How many records a partition had from one offset to the next, at most.
pub(super) fn lost(from: i64, to: i64) -> u64 {
    (to - from).max(0).unsigned_abs()
}

/// Counts and logs that so many records of a partition were lost, of which the first left is `low`.
pub(super) fn report(metrics: &ConsumerMetrics, place: &TopicPartition, records: u64, low: i64) {
    if records > 0 {
        metrics.lost.inc_by(records);
        tracing::error!(
            topic = place.0,
            partition = place.1,
            records,
            offset = low,
            "records were deleted before they were read: raise their retention, or find out why \
             tripline lags so far behind"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::Gaps;

    #[test]
    fn what_lies_before_the_first_offset_is_lost_and_the_rest_is_not() {
        let gaps = Gaps::default();
        for (from, to) in [(10, 50), (60, 61), (90, 95)] {
            gaps.record(from, to);
        }
        assert_eq!(gaps.take_lost(92), 40 + 1 + 2);
        assert!(gaps.is_empty());
        // The end of a transaction, and what an aborted one wrote.
        gaps.record(100, 101);
        gaps.record(120, 150);
        assert_eq!(gaps.take_lost(50), 0);
    }
}
