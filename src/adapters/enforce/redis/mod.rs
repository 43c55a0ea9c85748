//! Redis as an auth store, and as the place of what instances share.

pub mod changes;
pub mod entry;
pub mod faults;
pub mod holdings;
pub mod instances;
pub mod probe;
pub mod store;
pub mod token;
