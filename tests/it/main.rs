//! Tests of tripline as a whole, each through a public interface.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may end where it expects")]
#![expect(clippy::string_slice, reason = "a test that cuts within a character fails, as it should")]
#![expect(unreachable_pub, reason = "the support of the tests is used within this binary alone")]
#![expect(clippy::print_stderr, reason = "what does not run is said loudly")]
#![expect(clippy::disallowed_methods, reason = "tests use files, processes and the clock")]

mod apache_kafka;
mod approvals;
mod audit_expiry;
mod auth_stores;
mod budget_api;
mod checkpoints;
mod console;
mod control_plane;
mod control_plane_budget;
mod crash_points;
mod crashes;
mod dashboards;
mod data_plane;
mod data_plane_checkpoint;
mod detectors;
mod doctor;
mod durability;
mod egress;
mod end_to_end;
mod event_log;
mod facts;
mod faults;
mod fleet;
mod fleet_merge;
mod fleet_view;
mod format_borders;
mod format_catalog;
mod format_json;
mod format_refusals;
mod gateways;
mod generate;
mod hostile_tenant;
mod http_check;
mod http_events;
mod http_front;
mod http_operators;
mod http_schema;
mod integrations;
mod journal;
mod kafka;
mod kafka_rekey;
mod kafka_state;
mod leaks;
mod limits_suggest;
mod nginx_logs;
mod notifications;
mod oauth;
mod planted;
mod policy_limits;
mod process;
mod process_limits;
mod prometheus;
mod proof;
mod readme;
mod redis;
mod redis_servers;
mod refresh_rotation;
mod reload;
mod roles;
mod sample;
mod scenarios;
mod secrets;
mod simulation;
mod source_recipes;
mod source_types;
#[cfg(feature = "cloud")]
mod sqs;
#[cfg(feature = "failpoints")]
mod stalled_shard;
mod stores_heal;
mod support;
mod tail;
mod tidy;
mod top;
mod trial;
