//! Logs: pretty on a terminal, JSON otherwise; what is logged by `TRIPLINE_LOG`.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The variable that says what is logged, `info` or `tripline=debug` say.
pub const VARIABLE: &str = "TRIPLINE_LOG";

/// Starts logging to standard error; does nothing if it has begun.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    // A second start in one process, as in tests, keeps the first.
    let _kept = if terminal {
        builder.with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
