//! Objects of S3, as notifications in a queue of SQS name them.

pub mod params;
#[cfg(feature = "cloud")]
pub mod reader;
