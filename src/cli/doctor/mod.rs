//! `tripline doctor`: checks configuration, daemon and dependencies.

pub mod canary;
pub mod checks;
pub mod config;
pub mod daemon;
pub mod endpoints;
pub mod files;
pub mod kafka;
pub mod redis;
pub mod report;
pub mod sources;
