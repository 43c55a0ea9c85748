//! One credential's memory, and the detectors that look at it, a file each.
//!
//! **Does not** know that there are other credentials, what a posture is, or what time it is.

pub mod asleep;
pub mod baseline;
pub mod burst;
pub mod cadence;
pub mod ceiling;
pub mod claim;
mod codec;
pub mod context;
pub mod cost;
pub mod dormant;
pub mod endpoints;
pub mod episode;
pub mod failures;
pub mod fan_out;
pub mod known;
pub mod maxima;
pub mod origin;
pub mod profile;
pub mod quantum;
pub mod ramp;
mod seen;
pub mod spread;
pub mod tenant_flood;
pub mod weigh;
pub mod window;
