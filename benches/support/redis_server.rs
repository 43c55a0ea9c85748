//! A Redis that ends with the benchmark.

use super::support::{Killed, free_port, start, until};
use std::process::Command;

/// Starts Debian's Redis, without persistence; gives its URL.
pub(crate) fn start_redis() -> (Killed, String) {
    let port = free_port();
    let text = port.to_string();
    let arguments = ["--port", &text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    let redis = start(Command::new("redis-server").args(arguments));
    let url = format!("redis://127.0.0.1:{port}/");
    let client = redis::Client::open(url.clone()).expect("a URL");
    until("Redis answers", || client.get_connection().is_ok());
    (redis, url)
}
