//! The control plane as others see it: its metrics.

pub mod metrics;
