//! Adapters: sources, auth stores, journal, HTTP API, metrics, clock.
//!
//! **Does not** decide anything: it carries values between the world and the planes.
#![expect(clippy::disallowed_methods, reason = "adapters are where I/O and the clock are")]

pub mod channels;
pub mod checkpoint;
pub mod clock;
pub mod console;
pub mod control_plane;
pub mod data_plane;
pub mod egress;
pub mod enforce;
pub mod event_log;
pub mod fleet;
pub mod health;
pub mod host;
pub mod http;
pub mod journal;
pub mod leaks;
pub mod metrics;
pub mod notify;
pub mod recent_events;
pub mod redis_connection;
pub mod sources;
pub mod storage;
pub mod target;
pub mod watchlist;
