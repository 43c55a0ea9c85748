//! `tripline support dump`: a redacted support bundle.

pub mod dump;
pub mod redact;
pub mod system;
