//! Local storage: `SQLite` files, keys, the disk reserve.

pub mod budget_store;
pub mod disk_reserve;
pub mod finding_archive;
pub mod key_material;
pub mod metrics;
pub mod sqlite;
pub mod watch_store;
