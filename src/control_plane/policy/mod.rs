//! Policy: from a finding to a verdict, through the safeguards that lower an action.
//!
//! **Does not** know how a finding was made.

pub mod allow_list;
pub mod budget;
pub mod common_cause;
pub mod false_alarms;
pub mod ledger;
pub mod mode;
pub mod revocation_limit;
pub mod verdict;
