//! The nouns: what every other floor speaks of.
//!
//! **Does not** know serde, I/O, a clock, or any other floor.

pub mod credential;
pub mod decision;
pub mod event;
pub mod facts;
pub mod finding;
pub mod invariant;
pub mod signal;
pub mod time;
