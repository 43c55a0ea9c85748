//! moto, which answers as AWS does.

use super::child::Process;
use super::{free_port, until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

/// A moto of this test alone, with buckets and a queue.
#[derive(Debug)]
pub struct Aws {
    /// Where it answers.
    pub endpoint: String,
    /// The URL of its queue.
    pub queue: String,
    _server: Process,
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/moto/bin/python")
}

impl Aws {
    /// Starts it, and waits until it answers.
    pub fn start() -> Self {
        let port = free_port();
        let mut command = Command::new(python());
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = Process::start(&mut command);
        let endpoint = format!("http://127.0.0.1:{port}");
        until("moto answers", PATIENCE, || {
            super::http().get(format!("{endpoint}/moto-api/")).send().ok().map(|_| ())
        });
        let mut aws = Self { endpoint, queue: String::new(), _server: server };
        aws.queue = aws.ask(&["setup"]);
        aws
    }

    /// A command of `moto/aws.py`.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/moto/aws.py");
        let ran = Command::new(python()).arg(script).arg(&self.endpoint).args(arguments).output();
        let ran = ran.expect("runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    /// Stores an object.
    pub fn put(&self, bucket: &str, key: &str, folder: &Path, bytes: &[u8]) {
        let path = folder.join("object");
        std::fs::write(&path, bytes).expect("writes");
        self.ask(&["put", bucket, key, &path.display().to_string()]);
    }
}
