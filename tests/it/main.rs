//! Tests of tripline as a whole, each through a public interface.
#![expect(clippy::expect_used, reason = "a test may end where it expects")]
#![expect(clippy::disallowed_methods, reason = "tests use files, processes and the clock")]

mod door_http;
mod door_journal;
mod door_kafka;
mod door_prometheus;
mod door_redis;
mod end_to_end;
mod engine_control;
mod engine_partition;
mod house;
mod support;
mod tidy;
mod wire_json;
mod wire_refusals;
