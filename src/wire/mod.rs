//! Bytes to values and back; the home of serde.
//!
//! **Invariant** P-1: a secret never leaves this floor. **Does not** know where bytes come from.

pub mod access_log;
pub mod address;
pub mod body;
pub mod budget_json;
pub mod checkpoint_bytes;
pub mod cloud_event;
pub mod cloudtrail;
mod context;
pub mod decision_json;
pub mod decoder;
mod details;
pub mod event_log_bytes;
pub mod finding_json;
pub mod fleet_json;
pub mod form;
pub mod journal_json;
mod jwt;
pub mod ledger_json;
pub mod mapping;
pub mod native;
pub mod notify;
pub mod ocsf_finding;
pub mod plain;
pub mod pointer;
pub mod refusal;
mod repair;
mod scalar;
pub mod secret;
mod secret_forms;
mod secret_random;
mod secret_scan;
mod secret_spelling;
pub mod security_event;
mod split;
pub mod standard_webhook;
pub mod status_json;
pub mod tenants_json;
pub mod time;
pub mod verified;
pub mod view_json;
