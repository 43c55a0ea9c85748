//! One credential's memory, and the detectors that look at it, a file each.
//!
//! **Does not** know that there are other credentials, what a posture is, or what time it is.

pub mod baseline;
pub mod burst;
pub mod ceiling;
pub mod claim;
pub mod episode;
pub mod profile;
pub mod window;
