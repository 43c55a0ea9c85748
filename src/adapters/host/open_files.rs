//! How many files, connections included, the process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Assumed where the operating system sets no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit of open files to the hard one; gives the limit that holds then.
///
/// The soft limit is 1,024 on most systems, for programs that use `select`; tripline does not.
pub fn raise_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => tracing::warn!(%error, "can't raise the limit of open files"),
        }
    }
    limit.current.unwrap_or(UNLIMITED)
}
