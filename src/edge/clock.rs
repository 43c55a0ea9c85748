//! The clock: the one place where the time is read.

use crate::engine::steady_clock::{SteadyClock, Step};
use crate::model::time::EventTime;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// All of this process go by one clock.
static CLOCK: Mutex<Option<SteadyClock>> = Mutex::new(None);

/// The time now, by the system's clock; a step of it is followed once it has lasted a minute.
pub fn now() -> EventTime {
    let (system, since_boot) = (system(), since_boot_ms());
    let (now, step) = {
        let mut held = CLOCK.lock();
        held.get_or_insert_with(|| SteadyClock::new(system, since_boot)).read(system, since_boot)
    };
    match step {
        Some(Step::Doubted(by_ms)) => tracing::warn!(
            by_ms,
            "the system's clock stepped; it is not followed unless that lasts a minute"
        ),
        Some(Step::Undone) => tracing::info!("the system's clock stepped back to where it was"),
        Some(Step::Believed(by_ms)) => tracing::warn!(
            by_ms,
            "the step of the system's clock has lasted a minute, it is followed"
        ),
        None => {}
    }
    now
}

/// How far the system's clock is ahead of the one that is gone by. Unit: milliseconds.
pub fn deviation_ms() -> i64 {
    CLOCK.lock().as_ref().map_or(0, SteadyClock::deviation_ms)
}

fn system() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The time since the machine was started, which goes on while it sleeps and never steps.
/// Unit: milliseconds.
pub fn since_boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}
