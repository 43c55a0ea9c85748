//! Sources: where events come from, and what happens to records that are refused.

pub mod decoded;
pub mod event_sink;
pub mod fast_clocks;
pub mod file;
pub mod ingest;
pub mod kafka;
pub mod metrics;
pub mod rate_bound;
pub mod redis_stream;
pub mod rejects;
pub mod request_keys;
pub mod sqs;
pub mod start;
pub mod stdin;
pub mod syslog;
pub mod tail;
