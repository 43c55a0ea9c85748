//! `tripline audit`: files of events against what gateways and issuers ought to do.

pub mod expiry;
pub mod expiry_table;
