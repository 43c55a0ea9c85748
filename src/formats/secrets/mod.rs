//! Secrets: found by their form, replaced by claims or a fingerprint.

pub mod forms;
pub mod jwt;
pub mod nearby;
pub mod randomness;
pub mod scan;
pub mod secret;
pub mod spelling;
