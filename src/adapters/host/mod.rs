//! The process and its machine: logs, memory, file limits, threads.

pub mod error_chain;
pub mod logging;
pub mod memory;
pub mod open_files;
pub mod private_files;
pub mod threads;
