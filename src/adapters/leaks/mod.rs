//! Leaked credentials: who may report them, which credentials they are, and handing them over.
//!
//! ```text
//! report ──verified──▶ resolver: fingerprints, hash, Redis, HTTP ──▶ desk ──▶ watchlist
//! ```
//!
//! **Invariant** P-1: a reported secret goes to the operator's own resolver, and nowhere else. **Does not**
//! decide anything about a credential.

pub mod desk;
pub mod keys;
pub mod lookups;
pub mod metrics;
pub mod params;
pub mod rate_window;
pub mod replay_guard;
pub mod resolver;
