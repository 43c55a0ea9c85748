//! Configuration: raw text -> checked settings, all mistakes at once.
#![expect(clippy::disallowed_methods, reason = "settings are read from files")]

pub mod loader;
pub mod mask;
pub mod reader;
pub mod sections;
pub mod settings;
pub mod table;
pub mod units;
pub mod value;
