//! The embedded auth store: one `SQLite` table behind `/v1/check`.

pub mod store;
pub mod table;
pub mod throttle;
