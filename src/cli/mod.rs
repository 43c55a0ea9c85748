//! The commands, a file each.
#![expect(clippy::disallowed_methods, reason = "commands do I/O and read the clock")]

pub mod args;
pub mod audit;
pub mod backtest;
pub mod budget;
pub mod canary;
pub mod client;
pub mod credentials;
pub mod decisions;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod findings;
pub mod generate;
pub mod health;
pub mod journal;
pub mod limits;
pub mod notify;
pub mod output;
pub mod record_format;
pub mod rekey;
pub mod reload;
pub mod render;
pub mod replay;
pub mod run;
pub mod sample;
pub mod scenario;
pub mod simulate;
pub mod support;
pub mod tenants;
pub mod top;
