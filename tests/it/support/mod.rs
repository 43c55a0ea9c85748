//! Real servers and processes for the tests.

pub mod apache_kafka;
#[cfg(feature = "cloud")]
pub mod aws;
pub mod broker;
pub mod child;
pub mod daemon;
pub mod random;
pub mod receiver;
pub mod redis_server;
pub mod terminal;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where ports of tests begin and end: below those that the kernel gives to egress connections.
const PORTS: std::ops::Range<u32> = 10_000..32_000;

/// A port that is free now, and that no other test of this process is given.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Several runs at once begin at different ports.
    let first = std::process::id().wrapping_mul(97);
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + number % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A client of HTTP, to be set up further. It wants a provider of cryptography even where all is plain.
pub fn http_builder() -> reqwest::blocking::ClientBuilder {
    // The first provider that is installed stays.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::blocking::Client::builder()
}

/// A client of HTTP.
pub fn http() -> reqwest::blocking::Client {
    http_builder().build().expect("a client")
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

/// What a part of the tests needs; fails without it, unless `TRIPLINE_TEST_SKIP` names the part.
pub fn needed<T>(part: &str, what: &str, found: Option<T>) -> Option<T> {
    let without = found.is_none() && !skipped(part);
    assert!(!without, "{what}; TRIPLINE_TEST_SKIP={part} goes on without it");
    found
}

/// Mounts a disk of that size (`1m`) at `folder`, which root alone may.
pub fn mount(folder: &std::path::Path, size: &str) -> Option<()> {
    let mut mount = std::process::Command::new("mount");
    let options = format!("size={size},mode=700");
    let mounted = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).status();
    let mounted = mounted.is_ok_and(|status| status.success());
    needed("root", "only root may mount a disk for it", mounted.then_some(()))
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

/// Every file below a data folder and what it holds; checkpoints unpacked.
pub fn kept(data: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(kept(&path));
            continue;
        }
        let bytes = std::fs::read(&path).expect("reads");
        let mut unpacked = Vec::new();
        let read = tripline::formats::storage::checkpoint::read(&bytes, |_, frame| {
            unpacked.extend(frame);
            Ok(())
        });
        found.push((path, if read.is_ok() { unpacked } else { bytes }));
    }
    found
}
