//! Where a record stands: partition and offset.

/// The unit of order and state: a Kafka partition, or a hash slot of the other intakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// A record's place in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition.
    pub partition: PartitionId,
    /// The offset in it; rises by one with each record.
    pub offset: i64,
}
