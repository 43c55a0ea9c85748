//! Time passes: ticks for the threads, and for the files that need them.

use crate::adapters::channels::{ControlMessage, ControlPlane, DataPlane};
use crate::adapters::clock::{self, ClockFile};
use crate::adapters::sources::rejects::RejectLog;
use crate::adapters::storage::disk_reserve::Reserve;
use crate::model::time::EventTime;
use std::sync::Arc;
use std::time::Duration;

/// How often time passes for the engines.
const TICK: Duration = Duration::from_millis(200);

/// Files that are looked after at every tick.
pub(super) struct MaintainedFiles {
    /// Where refused records are noted.
    pub(super) rejects: Arc<RejectLog>,
    /// The room that is kept on the disk.
    pub(super) reserve: Reserve,
    /// Where the clock goes on after a restart.
    pub(super) clock: ClockFile,
}

impl MaintainedFiles {
    /// Blocks.
    fn look_after(&self, now: EventTime) -> bool {
        self.clock.keep();
        self.reserve.restore();
        self.rejects.flush(now)
    }
}

/// Lets time pass until it is aborted.
pub(super) async fn run((data, control): (DataPlane, ControlPlane), kept_up: MaintainedFiles) {
    let mut interval = tokio::time::interval(TICK);
    let kept_up = Arc::new(kept_up);
    let mut flushing = tokio::task::spawn_blocking(|| true);
    loop {
        interval.tick().await;
        let now = clock::now();
        // First who decides: a thread of the data plane that stalls must not hide that it lives.
        control.send(ControlMessage::Tick).await;
        data.tick(now).await;
        // A disk may hang; it is looked at again once it answers.
        if flushing.is_finished() {
            let kept_up = Arc::clone(&kept_up);
            flushing = tokio::task::spawn_blocking(move || kept_up.look_after(now));
        }
    }
}
