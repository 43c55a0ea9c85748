//! Real servers and processes for the tests.

pub mod broker;
pub mod child;
pub mod daemon;
pub mod redis_server;

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Whether the tests of a part are left out; its absence otherwise fails the test.
pub fn skipped(part: &str) -> bool {
    let named = std::env::var("TRIPLINE_TEST_SKIP").unwrap_or_default();
    let skipped = named.split(',').any(|one| one.trim() == part);
    if skipped {
        eprintln!("NOT RUN: TRIPLINE_TEST_SKIP names {part}");
    }
    skipped
}

/// Waits until something is so; says what was waited for if it never is.
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < patience, "waited {patience:?} in vain until {what}");
        pause(Duration::from_millis(5));
    }
}

/// Lets another process go on for a moment.
pub fn pause(length: Duration) {
    std::thread::park_timeout(length);
}
