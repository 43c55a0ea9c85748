//! The journal: the append-only, hash-chained, fsynced audit log of decisions, receipts and votes.

pub mod audit_log;
pub mod error;
pub mod files;
pub mod history;
pub mod index;
pub mod metrics;
