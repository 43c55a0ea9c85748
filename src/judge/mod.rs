//! From a finding to a verdict: what may be done, and which guardrails say no.
//!
//! **Does not** know how a finding was made, what a store is, or what time it is.

pub mod allow_list;
pub mod breaker;
pub mod budget;
pub mod fleet;
pub mod posture;
pub mod verdict;
