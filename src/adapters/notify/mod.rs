//! Receivers of notifications.

pub mod attempt;
pub mod receiver;
pub mod topic;
