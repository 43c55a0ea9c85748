//! Doors to the world: intakes, auth stores, the journal, HTTP, metrics, the clock.
//!
//! **Does not** know what anything means: it carries values between the world and the machines.
#![expect(clippy::disallowed_methods, reason = "this floor is where I/O and the clock are")]

pub mod api;
pub mod auth_store;
pub mod board;
pub mod clock;
pub mod connections;
pub mod console;
pub mod database;
pub mod dead_letter;
pub mod event_log;
pub mod fast_clocks;
pub mod files;
pub mod finding_archive;
pub mod intake;
pub mod journal;
pub mod kafka;
pub mod keys;
pub mod ledger_file;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod notify;
pub mod open_files;
pub mod outgoing;
pub mod planes;
pub mod reporter;
pub mod reserve;
pub mod saving;
pub mod snapshots;
pub mod threads;
pub mod vitals;
