//! Ownership of a partition: an epoch that each new owner raises, with the group as the judge.
//!
//! ```text
//!  assigned: epoch = 1 + the highest that the group or a checkpoint has
//!            commit (offset as it is, "epoch=7") -- accepted --> checkpoints are written in epoch 7
//!                                                -- refused  --> none are, and it is tried again
//! ```
//! The epoch is the metadata of the committed offset. The coordinator refuses a commit of an instance
//! that is no longer in the group, or of an older generation, so an instance that was paused can't raise
//! it over that of its successor: epochs rise in the order in which the group has assigned the partition.
//! The generation itself would do, but `rdkafka` does not show it. [`fence`] says what an epoch is for.
//!
//! **Does not** move an offset: it is committed again as it is, or where reading begins.
//!
//! [`fence`]: crate::adapters::checkpoint::fence

use super::consumer::{BROKER_WAIT, TopicPartition};
use super::handover::{Committed, HandedOver};
use super::redaction::Redacted;
use crate::adapters::checkpoint::fence::EPOCH_MAX;
use crate::adapters::checkpoint::store::KeptOffset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;

/// How many partitions a topic had.
const PARTITIONS: &str = "partitions=";
/// The epoch of the owner.
const EPOCH: &str = "epoch=";

/// Metadata that are committed with each offset: `partitions=12,epoch=7`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) partitions: Option<usize>,
    pub(super) epoch: Option<u64>,
}

impl Metadata {
    /// Reads what is known of it: others may commit for the group, too, as tools that reset offsets.
    pub(super) fn parse(text: &str) -> Self {
        let of = |name: &str| text.split(',').find_map(|part| part.strip_prefix(name));
        Self {
            partitions: of(PARTITIONS).and_then(|count| count.parse().ok()),
            epoch: of(EPOCH)
                .and_then(|epoch| epoch.parse().ok())
                .filter(|epoch| *epoch < EPOCH_MAX),
        }
    }

    fn text(partitions: usize, epoch: u64) -> String {
        format!("{PARTITIONS}{partitions},{EPOCH}{epoch}")
    }
}

/// A partition that is assigned, before the group has confirmed it.
pub(super) struct Claim {
    pub(super) place: TopicPartition,
    pub(super) held: HandedOver,
    /// The offset that is committed with the epoch; none if it isn't known.
    offset: Option<i64>,
}

impl Claim {
    /// Of a partition whose first record is at `low`, where the broker says that.
    pub(super) fn new(
        place: TopicPartition,
        held: HandedOver,
        committed: Committed,
        low: Option<i64>,
    ) -> Self {
        let newest = held.began_at.unwrap_or_else(|| held.kept.newest());
        let offset = offset(committed, newest, low);
        Self { place, held, offset }
    }
}

/// The offset that changes nothing: that of the group, otherwise where reading begins.
fn offset(committed: Committed, newest: i64, low: Option<i64>) -> Option<i64> {
    match committed {
        Committed::Until(offset) => Some(offset),
        Committed::Never => Some(newest).filter(|newest| *newest > 0).or(low),
        Committed::Unknown => None,
    }
}

/// How far the group has committed a partition.
pub(super) fn committed_of(list: Option<&TopicPartitionList>, place: &TopicPartition) -> Committed {
    let found = list.and_then(|list| list.find_partition(&place.0, place.1));
    match found.map(|found| (found.error(), found.offset())) {
        Some((Ok(()), Offset::Offset(offset))) => Committed::Until(offset),
        Some((Ok(()), Offset::Invalid)) => Committed::Never,
        _ => Committed::Unknown,
    }
}

pub(super) fn list(places: impl IntoIterator<Item = TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in places {
        list.add_partition(&topic, partition);
    }
    list
}

/// The epoch that the group has for a partition; 0: none.
fn epoch_of(committed: Option<&TopicPartitionList>, place: &TopicPartition) -> u64 {
    let found = committed.and_then(|list| list.find_partition(&place.0, place.1));
    found.and_then(|found| Metadata::parse(found.metadata()).epoch).unwrap_or(0)
}

/// Sets what is committed with the offset of a partition: how many its topic has, and the epoch.
pub(super) fn annotate(
    offsets: &TopicPartitionList,
    place: &TopicPartition,
    (partitions, epoch): (usize, u64),
) {
    if let Some(mut one) = offsets.find_partition(&place.0, place.1) {
        one.set_metadata(Metadata::text(partitions, epoch));
    }
}

/// How many partitions each topic has.
type Counts = BTreeMap<String, usize>;

/// Raises the epochs of partitions, all by one commit. One that the group does not confirm is
/// provisional. Blocks.
pub(super) fn claim<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    counts: &Counts,
    committed: Option<&TopicPartitionList>,
    claims: &mut [Claim],
) {
    let mut known = Vec::new();
    for claim in &mut *claims {
        claim.held.epoch = claim.held.epoch.max(epoch_of(committed, &claim.place)) + 1;
        match claim.offset {
            Some(offset) => known.push((&claim.place, offset, claim.held.epoch)),
            None => claim.held.provisional = true,
        }
    }
    if known.is_empty() {
        return;
    }
    if let Err(error) = commit(consumer, counts, &known) {
        tracing::warn!(
            error = %Redacted::of(error),
            partitions = known.len(),
            "the group does not confirm that this instance owns its new partitions: they are read, \
             but not checkpointed or committed until it does; retrying"
        );
        for claim in claims {
            claim.held.provisional = true;
        }
    }
}

fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    counts: &Counts,
    claims: &[(&TopicPartition, i64, u64)],
) -> KafkaResult<()> {
    let mut offsets = TopicPartitionList::new();
    for (place, offset, epoch) in claims {
        offsets.add_partition_offset(&place.0, place.1, Offset::Offset(*offset))?;
        let count = counts.get(&place.0).copied().unwrap_or_default();
        annotate(&offsets, place, (count, *epoch));
    }
    consumer.commit(&offsets, CommitMode::Sync)
}

/// Raises the epoch of a partition that is provisional, and has these checkpoints; gives it, if the
/// group confirms it. Blocks.
pub(super) fn claim_again<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    counts: &Counts,
    place: &TopicPartition,
    (kept, began_at): (&KeptOffset, Option<i64>),
) -> Option<u64> {
    let committed = consumer.committed_offsets(list([place.clone()]), BROKER_WAIT).ok();
    let low = consumer.fetch_watermarks(&place.0, place.1, BROKER_WAIT).ok().map(|log| log.0);
    let offset = offset(
        committed_of(committed.as_ref(), place),
        began_at.unwrap_or_else(|| kept.newest()),
        low,
    )?;
    let epoch = kept.newest_epoch().max(epoch_of(committed.as_ref(), place)) + 1;
    match commit(consumer, counts, &[(place, offset, epoch)]) {
        Ok(()) => Some(epoch),
        Err(error) => {
            let (topic, partition) = place;
            tracing::warn!(
                topic,
                partition,
                error = %Redacted::of(error),
                "the group does not confirm that this instance owns the partition yet; retrying"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Committed, Metadata, offset};

    #[test]
    fn metadata_is_read_as_it_is_written_and_of_others_as_far_as_it_is_known() {
        let of = |partitions, epoch| Metadata { partitions, epoch };
        for (text, metadata) in [
            (Metadata::text(12, 7).as_str(), of(Some(12), Some(7))),
            ("partitions=12", of(Some(12), None)),
            ("", of(None, None)),
            ("by hand", of(None, None)),
            ("epoch=-1,partitions=x", of(None, None)),
        ] {
            assert_eq!(Metadata::parse(text), metadata, "{text}");
        }
    }

    #[test]
    fn a_claim_moves_no_offset() {
        for (committed, newest, low, claimed) in [
            (Committed::Until(70), 50, Some(10), Some(70)),
            (Committed::Never, 50, Some(10), Some(50)),
            (Committed::Never, 0, Some(10), Some(10)),
            (Committed::Never, 0, None, None),
            // It may have come anywhere.
            (Committed::Unknown, 50, Some(10), None),
        ] {
            assert_eq!(offset(committed, newest, low), claimed, "{committed:?}");
        }
    }
}
