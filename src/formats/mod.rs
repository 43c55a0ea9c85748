//! Bytes to values and back; the home of serde.
//!
//! **Invariant** P-1: a secret never leaves this layer. **Does not** know where bytes come from.

pub mod api;
pub mod events;
pub mod leaks;
pub mod outbound;
pub mod printable;
pub mod secrets;
pub mod storage;
pub mod time;
