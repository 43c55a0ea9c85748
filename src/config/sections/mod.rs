//! One file per group of sections of the configuration.

pub mod all;
pub mod detection;
pub mod notify;
pub mod receivers;
pub mod response;
pub mod sources;
pub mod state;
pub mod stores;
pub mod values;
