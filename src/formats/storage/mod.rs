//! Files and shared entries: checkpoint, event log, journal, budget, instance summaries.

pub mod budget;
pub mod checkpoint;
pub mod event_log;
pub mod instance_summary;
pub mod journal;
pub mod provenance;
pub mod registration;
