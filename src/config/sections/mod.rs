//! One file per group of sections of the configuration.

pub mod all;
pub mod catalog;
pub mod detection;
pub mod into_topic;
pub mod leaks;
pub mod librdkafka;
pub mod mapping;
pub mod notify;
pub mod proof;
pub mod receivers;
pub mod redis_stream;
pub mod response;
pub mod servers;
pub mod sources;
pub mod sqs;
pub mod state;
pub mod stores;
pub mod syslog;
pub mod values;
