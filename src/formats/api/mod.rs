//! JSON of the HTTP API.

pub mod budget;
pub mod decision;
pub mod expiry;
pub mod finding;
pub mod fleet;
pub mod profile;
pub mod schema;
pub mod status;
pub mod tenants;
