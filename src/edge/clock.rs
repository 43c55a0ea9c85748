//! The clock: the one place where the time is read.

use crate::model::time::EventTime;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time now, by the system's clock.
pub fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
