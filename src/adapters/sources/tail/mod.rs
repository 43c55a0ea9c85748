//! The file source: follows log files as they grow and are rotated.
//!
//! ```text
//!  thread `tail`: names -> files by number and beginning -> chunks of whole lines -> events
//!                 position, with the chunk's end --> event log and data plane --> position
//! ```
//! **Invariant.** Each line counts once, also over rotations and kills: a chunk that may not have been durable is
//! handed over again whole, under the same idempotency key.
//!
//! **Does not** tell apart packed files of which the first kilobyte is the same, nor know rotation that empties a file within a tenth of a second after its last line, unless the copy
//! is a file of the source, too.

pub mod follower;
pub mod identity;
pub mod lines;
pub mod params;
pub mod pattern;
pub mod positions;
pub mod runner;
pub mod source;
