//! Checkpoints: when a shard's state is written, and where it is stored.

pub mod fence;
pub mod metrics;
pub mod scheduler;
pub mod store;
