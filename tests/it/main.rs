//! Tests of tripline as a whole, each through a public interface.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may end where it expects")]
#![expect(clippy::string_slice, reason = "a test that cuts within a character fails, as it should")]
#![expect(unreachable_pub, reason = "the support of the tests is used within this binary alone")]
#![expect(clippy::print_stderr, reason = "what does not run is said loudly")]
#![expect(clippy::disallowed_methods, reason = "tests use files, processes and the clock")]

mod bad_cases;
mod crashes;
mod dashboards;
mod detectors;
mod door_approval;
mod door_auth_stores;
mod door_budget;
mod door_check;
mod door_checkpoints;
mod door_console;
mod door_doctor;
mod door_event_log;
mod door_front;
mod door_gateways;
mod door_http;
mod door_journal;
mod door_kafka;
mod door_kafka_state;
mod door_notify;
mod door_oauth;
mod door_people;
mod door_prometheus;
mod door_redis;
mod door_redis_servers;
mod door_rekey;
mod door_reload;
mod door_schema;
mod door_top;
mod durability;
mod end_to_end;
mod engine_budget;
mod engine_checkpoint;
mod engine_control;
mod engine_partition;
mod generate;
mod house;
mod house_guests;
mod kills;
mod nginx_logs;
mod outgoing;
mod planted;
mod policy_limits;
mod readme;
mod roles;
mod scenarios;
mod secrets;
mod simulation;
mod stores_heal;
#[cfg(feature = "failpoints")]
mod stuck;
mod support;
mod tidy;
mod trial;
mod wire_borders;
mod wire_json;
mod wire_refusals;
