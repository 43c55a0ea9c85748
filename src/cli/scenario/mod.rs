//! `tripline test`: an operator's own scenarios, run against their configuration.

pub mod expectation;
pub mod format;
pub mod runner;
pub mod story;
pub mod timeline;
