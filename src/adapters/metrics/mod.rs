//! The primitives of metrics: registration, the oldest of several threads, exposition.
//!
//! Each subsystem has a `metrics` module next to its owner, with the handles that it uses; the daemon
//! assembles them. No label holds a credential, tenant, address or route.
//!
//! **Does not** know any metric.

pub mod exposition;
pub mod oldest;
pub mod registrar;
