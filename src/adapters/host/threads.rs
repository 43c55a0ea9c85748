//! Threads without which tripline isn't whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

/// How the process ends when one of them does so by a panic: `EX_SOFTWARE` of sysexits.h.
const EXIT_CODE: i32 = 70;

/// Starts a thread; a panic in it ends the process. Without the thread tripline would answer, and not
/// watch or decide; started again it goes on from journal, event log and checkpoints.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let thread = name.to_owned();
    Builder::new().name(name.to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            tracing::error!(thread, "a thread panicked, which is a bug in tripline: exiting now");
            std::process::exit(EXIT_CODE);
        }
    })
}
