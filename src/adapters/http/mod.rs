//! The HTTP API: a handler file per resource.

pub mod auth;
pub mod authorization;
pub mod body;
pub mod budget;
pub mod changes;
pub mod check;
pub mod connections;
pub mod credentials;
pub mod decisions;
pub mod decoding;
pub mod events;
pub mod extract;
pub mod findings;
pub mod health;
pub mod jwks;
pub mod listeners;
pub mod metrics;
pub mod openapi;
pub mod orders;
pub mod problem;
pub mod reload;
pub mod router;
pub mod status;
pub mod stream;
pub mod tenants;
pub mod unix_socket;
