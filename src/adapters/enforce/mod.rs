//! Auth stores: where decisions are carried out.

pub mod answer;
pub mod auth_store;
pub mod embedded;
pub mod metrics;
pub mod oauth;
pub mod redis;
pub mod shared_signals;
pub mod template;
pub mod webhook;
