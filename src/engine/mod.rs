//! Deterministic machines: the data plane that counts and detects, and the control plane that
//! decides. The same events, settings and seed give the same findings and decisions.
//!
//! ```text
//!  auth events -> batch -> partition -> signals -> control -> decisions
//!                          (many)                  (one)
//! ```
//! **Does not** know I/O, a clock, threads, or how anything looks on the wire: time is an
//! argument, and answers are values.

pub mod approvals;
pub mod batch;
pub mod control;
pub mod decided;
pub mod directory;
pub mod episodes;
mod facts;
pub mod fleet;
pub mod keyring;
pub mod machine;
pub mod member;
pub mod notices;
pub mod outbox;
pub mod partition;
pub mod reconcile;
pub mod register;
pub mod restraint;
pub mod shard_driver;
pub mod slab;
pub mod steady_clock;
pub mod tally;
pub mod tenant_minutes;
pub mod tenants;
