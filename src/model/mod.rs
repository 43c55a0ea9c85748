//! The nouns: what every other floor speaks of.
//!
//! **Does not** know serde, I/O, a clock, or any other floor.

pub mod credential;
pub mod decision;
pub mod event;
pub mod features;
pub mod finding;
pub mod invariant;
pub mod leak;
pub mod money;
pub mod proof;
pub mod registration;
pub mod signal;
pub mod steady_clock;
pub mod time;
