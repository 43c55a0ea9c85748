//! The daemon: threads, tasks and channels around the two planes.
#![expect(clippy::disallowed_methods, reason = "the daemon does I/O and reads the clock")]

pub mod api;
pub mod controller;
pub mod delivery;
pub mod follower;
pub mod heal;
pub mod http_shards;
pub mod instances;
pub mod leaks;
pub mod memory;
pub mod metrics;
pub mod metrics_reference;
pub mod notifier;
pub mod outboxes;
pub mod recovery;
pub mod reload;
pub mod servers;
pub mod shard;
pub mod shared_tokens;
pub mod source_threads;
pub mod start_error;
pub mod startup;
pub mod ticker;
pub mod watchlist;
