//! Threads of the data plane: their reports to the control plane, and their metrics.

pub mod metrics;
pub mod reporter;
