//! Auth events: a decoder per source format, and the rules for fields that they share.

pub mod access_log;
pub mod address;
pub mod body;
pub mod cloudtrail;
pub mod context;
pub mod decoder;
pub mod details;
pub mod log_format;
pub mod mapping;
pub mod native;
pub mod place;
pub mod pointer;
pub mod prices;
pub mod refusal;
pub mod repair;
pub mod scalar;
pub mod split;
pub mod time_format;
pub mod verified;
