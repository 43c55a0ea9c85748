//! State that passes from one owner of a partition to the next, and from where it goes on.
//!
//! ```text
//!  assigned: the newer of what this instance still has and what a checkpoint has -> read on from there
//!  revoked:  a checkpoint -> the offset is committed -> the next owner
//! ```
//! The state follows from the records before its offset and from when they arrived, so whichever is
//! newer is right, no matter which instance wrote it. Which of two instances owned a partition later is
//! known by their epochs: see [`super::ownership`].

use super::consumer::{Shared, TopicPartition};
use super::losses;
use crate::adapters::channels::Ticket;
use crate::adapters::checkpoint::scheduler::{Saved, whole};
use crate::adapters::checkpoint::store::{KeptOffset, Restored};
use crate::adapters::clock;
use crate::adapters::sources::start::Start;
use crate::data_plane::partition::Params;
use crate::data_plane::partition::Partition;
use crate::data_plane::shard_driver::ShardDriver;
use crate::model::time::EventTime;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long writing down what is handed over may take, of all partitions together. Chosen: the group
/// waits for it.
const HANDOVER_WAIT: Duration = Duration::from_secs(20);

/// A partition between two owners.
#[derive(Debug)]
pub(super) struct HandedOver {
    /// Its name among checkpoints.
    pub(super) name: String,
    /// Its state.
    pub(super) driver: Box<ShardDriver>,
    /// Its checkpoints.
    pub(super) kept: Arc<KeptOffset>,
    /// Its last message.
    pub(super) told: Ticket,
    /// Records before this offset may have been reported before.
    pub(super) again_until: i64,
    /// Whether the store of checkpoints did not answer, so that more may be known, or the group did not
    /// confirm that this instance owns it: nothing is written down or committed, lest it hide that.
    pub(super) provisional: bool,
    /// Since when no one owns it.
    pub(super) since: EventTime,
    /// From where it is read, if it was new to the group and nothing before that is to be read.
    pub(super) began_at: Option<i64>,
    /// The epoch in which this instance owns it; before that is claimed, the highest that is known.
    pub(super) epoch: u64,
}

impl Saved for HandedOver {
    fn place(&self) -> &str {
        &self.name
    }

    fn partition(&mut self) -> &mut Partition {
        self.driver.partition_mut()
    }

    fn kept(&self) -> &Arc<KeptOffset> {
        &self.kept
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_ready(&self) -> bool {
        !self.provisional && !self.kept.is_fenced(self.epoch)
    }
}

/// From where a partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResumePoint {
    /// From where the group has come.
    Group,
    /// From where the state has come.
    Offset(i64),
}

impl HandedOver {
    /// The offset after the last one applied.
    pub(super) fn next_offset(&self) -> i64 {
        self.driver.partition().next_offset()
    }

    /// A partition that no one owns yet.
    pub(super) fn of(name: String, partition: Partition, kept: Arc<KeptOffset>) -> Self {
        Self {
            name,
            driver: Box::new(ShardDriver::new(partition, clock::now())),
            epoch: kept.newest_epoch(),
            kept,
            told: Ticket::default(),
            again_until: 0,
            provisional: false,
            since: clock::now(),
            began_at: None,
        }
    }
}

/// How far the group has committed a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// The coordinator did not say.
    Unknown,
    /// It never was.
    Never,
    /// Up to this offset.
    Until(i64),
}

impl Shared {
    /// The state of a partition: the newer of `held` and its newest checkpoint, or nothing; and
    /// whether it was read from the checkpoint. Without a name, as long as the cluster has not said who
    /// it is, it is not known which checkpoint is its own. Blocks until `deadline` at most.
    pub(super) fn known(
        &self,
        name: Option<String>,
        held: Option<HandedOver>,
        params: &Arc<Params>,
        deadline: Instant,
    ) -> (HandedOver, bool) {
        let restored = name.as_ref().and_then(|name| self.restore(name, params, deadline));
        let provisional = restored.is_none();
        let Restored { partition, kept } =
            restored.unwrap_or_else(|| Restored::nothing(clock::now()));
        let offset = partition.as_ref().map(Partition::next_offset);
        if let Some(held) = held
            && offset.is_none_or(|offset| offset <= held.next_offset())
        {
            let epoch = held.epoch.max(kept.newest_epoch());
            return (HandedOver { epoch, ..held }, false);
        }
        let is_read = partition.is_some();
        let partition = partition.unwrap_or_else(|| Partition::new(Arc::clone(params), self.seed));
        let held = HandedOver::of(name.unwrap_or_default(), partition, kept);
        (HandedOver { provisional, ..held }, is_read)
    }

    /// The newest checkpoint; none if the store does not answer by `deadline`.
    fn restore(&self, name: &str, params: &Arc<Params>, deadline: Instant) -> Option<Restored> {
        let restoring = self.snapshots.restore(name, params, self.seed);
        let restored = self
            .runtime
            .block_on(async { tokio::time::timeout_at(deadline.into(), restoring).await });
        let why = match restored {
            Ok(Ok(restored)) => return Some(restored),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the store of checkpoints did not answer in time".to_owned(),
        };
        self.snapshots.metrics().errors.inc();
        tracing::error!(
            place = name,
            why,
            "the checkpoint can't be read yet: events are processed without it, nothing is \
             checkpointed or committed, and the partition resumes from it once it is readable"
        );
        None
    }

    /// Writes down what is handed over; says of each whether it is written. Blocks.
    pub(super) fn write_down(&self, held: &mut [HandedOver]) -> Vec<bool> {
        let mut written = vec![false; held.len()];
        let writing = async {
            for (one, written) in held.iter_mut().zip(&mut written) {
                let told = one.told.clone();
                *written = one.is_ready() && self.snapshots.write(whole(one, &told)).await;
            }
        };
        let in_time =
            self.runtime.block_on(async { tokio::time::timeout(HANDOVER_WAIT, writing).await });
        if in_time.is_err() {
            tracing::warn!(
                "checkpoints were not written in time; the next owner reads some records again"
            );
        }
        written
    }
}

/// From where a partition goes on whose records lie from `low` up to `high`. That the state has come
/// further than `high` proves nothing, as brokers may say it late: where the topic was recreated, the
/// client begins again, and the worker sees that. Also gives how many records were removed unread.
pub(super) fn goes_on(
    place: &TopicPartition,
    held: &mut HandedOver,
    (low, high): (i64, i64),
    (committed, start): (Committed, Start),
) -> (ResumePoint, u64) {
    let next = held.next_offset();
    if next == 0 {
        return begins(place, held, (low, high), (committed, start));
    }
    if next < low {
        held.driver.partition_mut().skip_to(low);
        return (ResumePoint::Offset(low), losses::lost(next, low));
    }
    held.again_until = high;
    (ResumePoint::Offset(next), 0)
}

/// The same, where there is no state.
fn begins(
    place: &TopicPartition,
    held: &mut HandedOver,
    (low, high): (i64, i64),
    from: (Committed, Start),
) -> (ResumePoint, u64) {
    match from {
        (Committed::Until(offset), _) => {
            // Where the checkpoint can't be had that was said, and why.
            if offset > low && !held.provisional {
                tracing::warn!(
                    topic = place.0,
                    partition = place.1,
                    offset,
                    "the group has committed this offset, but there is no checkpoint here: baselines \
                     of its credentials start from zero; let all instances keep checkpoints in one \
                     place (checkpoints.url)"
                );
            }
            if offset < low {
                return (ResumePoint::Offset(low), losses::lost(offset, low));
            }
            (ResumePoint::Group, 0)
        }
        (Committed::Never, Start::Latest) => {
            held.driver.partition_mut().skip_to(high);
            held.began_at = Some(high);
            (ResumePoint::Offset(high), 0)
        }
        (Committed::Never, Start::Earliest) | (Committed::Unknown, _) => (ResumePoint::Group, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Committed, HandedOver, ResumePoint, TopicPartition, goes_on};
    use crate::adapters::channels::Ticket;
    use crate::adapters::checkpoint::store::KeptOffset;
    use crate::adapters::sources::start::Start;
    use crate::data_plane::batch::HashSeed;
    use crate::data_plane::partition::Params;
    use crate::data_plane::shard_driver::ShardDriver;
    use crate::model::time::EventTime;
    use std::sync::Arc;

    fn held(next: i64) -> HandedOver {
        let params = Arc::new(Params::default());
        let mut driver = Box::new(ShardDriver::empty(params, HashSeed(1, 2)));
        driver.partition_mut().skip_to(next);
        HandedOver {
            name: "kafka/auth/00000".to_owned(),
            driver,
            kept: Arc::new(KeptOffset::since(EventTime::MIN)),
            told: Ticket::default(),
            again_until: 0,
            provisional: false,
            since: EventTime::MIN,
            began_at: None,
            epoch: 1,
        }
    }

    #[test]
    fn reading_goes_on_from_where_the_state_has_come_if_that_is_there() {
        let place: TopicPartition = ("auth".to_owned(), 0);
        for (next, from, then, lost) in [
            (0, ResumePoint::Group, 0, 0),
            (50, ResumePoint::Offset(50), 50, 0),
            (90, ResumePoint::Offset(90), 90, 0),
            // A broker that says late how far its log goes.
            (100, ResumePoint::Offset(100), 100, 0),
            // Removed by retention.
            (5, ResumePoint::Offset(10), 10, 5),
        ] {
            let mut held = held(next);
            let origin = (Committed::Until(70), Start::Latest);
            assert_eq!(goes_on(&place, &mut held, (10, 90), origin), (from, lost), "{next}");
            assert_eq!(held.next_offset(), then, "{next}");
        }
    }

    #[test]
    fn without_a_state_reading_begins_where_the_group_was_or_as_the_settings_say() {
        let place: TopicPartition = ("auth".to_owned(), 0);
        for (committed, start, from, lost) in [
            (Committed::Until(70), Start::Earliest, ResumePoint::Group, 0),
            (Committed::Until(70), Start::Latest, ResumePoint::Group, 0),
            (Committed::Until(4), Start::Latest, ResumePoint::Offset(10), 6),
            (Committed::Never, Start::Earliest, ResumePoint::Group, 0),
            (Committed::Never, Start::Latest, ResumePoint::Offset(90), 0),
            (Committed::Unknown, Start::Latest, ResumePoint::Group, 0),
        ] {
            let mut held = held(0);
            let goes_on = goes_on(&place, &mut held, (10, 90), (committed, start));
            assert_eq!(goes_on, (from, lost), "{committed:?} {start:?}");
            let begins = (from == ResumePoint::Offset(90)).then_some(90);
            assert_eq!((held.began_at, held.next_offset()), (begins, begins.unwrap_or(0)));
        }
    }
}
