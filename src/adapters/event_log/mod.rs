//! The event log: HTTP events that are durable before they are acknowledged.

pub mod appender;
pub mod log;
pub mod metrics;
