//! The pulse of this process: it must not act right after it stalled, as another instance of the
//! group may have taken over meanwhile.

use crate::adapters::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// How often it is noted that the process runs.
const PULSE: Duration = Duration::from_millis(100);
/// How long this process may have stalled before it has to hear from the group whether it still
/// belongs to it. Unit: milliseconds. Chosen: below the shortest session that brokers allow.
const SILENT_MS_MAX: i64 = 5_000;
/// How long it then listens. Unit: milliseconds. Chosen: many round trips.
const LISTEN_MS: i64 = 1_000;

/// When this process last ran, by the time since the machine was started.
#[derive(Debug)]
pub(super) struct PauseGuard {
    /// When it ran last. Unit: milliseconds.
    ran_ms: AtomicI64,
    /// Until when it only listens. Unit: milliseconds.
    listens_ms: AtomicI64,
}

impl Default for PauseGuard {
    fn default() -> Self {
        Self { ran_ms: AtomicI64::new(clock::since_boot_ms()), listens_ms: AtomicI64::new(0) }
    }
}

impl PauseGuard {
    /// Notes that the process runs, until it stops. Blocks.
    pub(super) fn watch(&self, stopping: &AtomicBool) {
        while !stopping.load(Ordering::Relaxed) {
            let now = clock::since_boot_ms();
            let silent_ms = now - self.ran_ms.load(Ordering::Acquire);
            // The workers must not see the pulse before that.
            if silent_ms > SILENT_MS_MAX {
                self.listens_ms.store(now + LISTEN_MS, Ordering::Release);
            }
            self.ran_ms.store(now, Ordering::Release);
            if silent_ms > SILENT_MS_MAX {
                tracing::warn!(
                    silent_ms,
                    "this process was paused; waiting to learn whether it is still in the group"
                );
            }
            std::thread::sleep(PULSE);
        }
    }

    /// Whether the group still counts on this process.
    pub(super) fn may_act(&self) -> bool {
        let now = clock::since_boot_ms();
        now - self.ran_ms.load(Ordering::Acquire) <= SILENT_MS_MAX
            && now >= self.listens_ms.load(Ordering::Acquire)
    }
}

/// Starts the thread that notes that the process runs.
pub(super) fn start(stopping: Arc<AtomicBool>) -> std::io::Result<Arc<PauseGuard>> {
    let pulse = Arc::new(PauseGuard::default());
    let watched = Arc::clone(&pulse);
    let run = move || watched.watch(&stopping);
    std::thread::Builder::new().name("kafka-pulse".to_owned()).spawn(run)?;
    Ok(pulse)
}
