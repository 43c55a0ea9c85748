//! Assembly: settings, the daemon, and one file a command.
//!
//! **Does not** decide or detect anything itself.
#![expect(clippy::disallowed_methods, reason = "commands read files and the environment")]

pub mod settings;
