//! Receivers of notifications.

pub mod attempt;
pub mod metrics;
pub mod receiver;
pub mod topic;
