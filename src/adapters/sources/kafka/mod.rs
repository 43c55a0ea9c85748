//! Kafka: a consumer group whose partition queues are polled by the threads that own the state.

pub mod advertised;
pub mod capabilities;
pub mod consumer;
pub mod group;
pub mod handover;
pub mod keyed_record;
pub mod losses;
pub mod manager;
pub mod metrics;
pub mod ownership;
pub mod pause_guard;
pub mod probe;
pub mod redaction;
pub mod rejects_topic;
pub mod rekey;
pub mod stall_detector;
pub mod topic_writer;
pub mod worker;
