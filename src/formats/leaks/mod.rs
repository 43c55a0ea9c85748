//! Reports of leaked secrets, as scanners and forges send them.
//!
//! **Invariant** P-1: a reported secret leaves this layer as a name or a hash, never as text. **Does not**
//! know where a report comes from, or what becomes of it.

pub mod github;
pub mod gitlab;
pub mod hash;
pub mod names;
pub mod report;
pub mod scanners;
