//! The data plane: counts and detects, many shards side by side.
//!
//! ```text
//!  auth events -> batch -> partition { profile table, tenant usage, cohort priors } -> signals
//!                 a shard driver steps it: HTTP threads, Kafka workers, replay, simulation
//! ```
//! **Does not** know the control plane (the contract is [`crate::model::signal`]), I/O, a clock or
//! threads: time is an argument, and answers are values.

pub mod batch;
pub mod cohort_priors;
pub mod counters;
pub mod evaluation;
pub mod eviction;
pub mod eviction_policy;
pub mod facts;
pub mod feature_extraction;
pub mod grants;
pub mod lifetimes;
pub mod markers;
pub mod open_findings;
pub mod partition;
pub mod partition_checkpoint;
pub mod partition_view;
pub mod profile_entry;
pub mod profile_snapshot;
pub mod profile_table;
pub mod shard_driver;
pub mod sightings;
pub mod snapshot_progress;
pub mod tenant_assignment;
pub mod tenant_usage;
pub mod unproven_table;
