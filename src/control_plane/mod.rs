//! The control plane: one per instance, cold; turns signals, operators' commands and the passing of
//! time into decisions.
//!
//! ```text
//!  signal -> safeguards, policy -> verdict -> decision -> journal -> outbox -> receipt
//! ```
//! **Does not** know the data plane (the contract is [`crate::model::signal`]), I/O, a clock or
//! threads. Where it needs the world, it returns a request, and the answer is a later input.

pub mod approvals;
pub mod control;
pub mod dedup;
pub mod enforcement_state;
pub mod instance_summary;
pub mod merge;
pub mod notifications;
pub mod operator;
pub mod outbox;
pub mod params;
pub mod policy;
pub mod reconcile;
pub mod roster;
pub mod safeguards;
pub mod shared_tokens;
pub mod stores;
pub mod tenant_ranking;
