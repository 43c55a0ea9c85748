//! Metrics and their exposition. No label holds a credential, tenant, address or route.

pub mod counts;
pub mod exposition;
pub mod fast_clocks;
pub mod http;
pub mod oldest;
pub mod reference;
pub mod registry;
pub mod table;
