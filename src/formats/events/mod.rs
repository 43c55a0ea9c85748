//! Auth events: a decoder per source format, and the rules for fields that they share.

pub mod access_log;
pub mod address;
pub mod body;
pub mod cloudtrail;
pub mod context;
pub mod decoder;
pub mod details;
pub mod envelope;
pub mod log_format;
pub mod mapping;
pub mod native;
pub mod notification;
pub mod otlp;
pub mod otlp_message;
pub mod place;
pub mod pointer;
pub mod prices;
pub mod query;
pub mod refusal;
pub mod repair;
pub mod scalar;
pub mod schema;
pub mod split;
pub mod syslog;
pub mod time_format;
pub mod verified;
