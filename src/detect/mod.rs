//! One credential's memory, and the detectors that look at it, a file each.
//!
//! **Does not** know that there are other credentials, what a mode is, or what time it is.

pub mod baseline;
pub mod burst;
pub mod cadence;
pub mod cardinality;
pub mod codec;
pub mod cold_profile;
pub mod context;
pub mod cost;
pub mod detection;
pub mod dormant;
pub mod endpoints;
pub mod escalation;
pub mod evaluate;
pub mod evidence;
pub mod failures;
pub mod familiarity;
pub mod fan_out;
pub mod identity;
pub mod limit;
pub mod novel;
pub mod open_finding;
pub mod origin;
pub mod params;
pub mod peaks;
pub mod profile;
pub mod ramp;
pub mod reuse;
pub mod session;
pub mod settled_peak;
pub mod tenant_flood;
pub mod timestamp_resolution;
pub mod unproven;
pub mod validity;
pub mod window;
pub mod witness;
