//! How the daemon itself does: what a person should look at, judged once for all who show it.

pub mod fleet;
pub mod issues;
pub mod recent;
pub mod sources;
