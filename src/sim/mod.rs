//! Simulated traffic: labelled streams from rate traces, and how well the engine does on them.
#![expect(clippy::disallowed_methods, reason = "traces and labels are read from files")]

pub mod activity;
pub mod adversary;
pub mod attack;
pub mod benign;
pub mod client_model;
pub mod event_files;
pub mod fixture;
pub mod fleet_events;
pub mod interval;
pub mod labelled_files;
pub mod labels;
pub mod plot;
pub mod random;
pub mod report;
pub mod rules;
pub mod runner;
pub mod scenario;
pub mod score;
pub mod stratum;
pub mod stratum_report;
pub mod stream;
pub mod trace;
pub mod vocabulary;
