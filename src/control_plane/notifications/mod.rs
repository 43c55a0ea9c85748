//! Notifications: which receiver gets which message, and when.
//!
//! ```text
//!  notice -> queue of a receiver: severe enough? new? within the rate limit? -> message
//!            (findings' changes, decisions)           beyond it: counted, "N more"
//! ```
//! **Does not** know what a message looks like or where it goes.

pub mod notice;
pub mod queue;
pub mod rate_limit;
