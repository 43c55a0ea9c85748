//! Debian's Redis on a free port.

use super::child::Process;
use super::{free_port, until};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A Redis of this test alone, without persistence.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    port: u16,
    config: Option<String>,
    /// Where it writes what a replica is sent; another server would read it at its start.
    folder: tempfile::TempDir,
    further: Vec<String>,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further arguments.
    pub fn start_with(further: &[&str]) -> Self {
        Self::with(None, further)
    }

    /// Starts one with a file of its own, which it may write to.
    pub fn start_configured(path: &str, further: &[&str]) -> Self {
        Self::with(Some(path.to_owned()), further)
    }

    fn with(config: Option<String>, further: &[&str]) -> Self {
        let further = further.iter().map(|&word| word.to_owned()).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { process: None, port: free_port(), config, folder, further };
        server.restart();
        server
    }

    /// The port it listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Kills one that runs, and starts it again on the same port, empty.
    pub fn restart(&mut self) {
        // Before the next one binds: else that ends, and nothing answers.
        self.kill();
        // There is none unless a replica was fed.
        let _none = std::fs::remove_file(self.folder.path().join("dump.rdb"));
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        command.args(&self.config);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--dir"]).arg(self.folder.path());
        if self.config.is_none() {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command.args(&self.further);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process::start(&mut command));
        let url = self.url();
        until("Redis answers", Duration::from_secs(10), || {
            let client = redis::Client::open(url.as_str()).ok()?;
            let mut connection = client.get_connection().ok()?;
            redis::cmd("PING").query::<String>(&mut connection).ok()
        });
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Makes it stand still.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// Lets its snapshots fail, so that it refuses writes with `MISCONF`.
    pub fn fail_snapshots(&self) {
        // A directory in the file's place: root, too, can't rename a file over it.
        std::fs::create_dir(self.folder.path().join("dump.rdb")).expect("a directory");
        self.ask::<()>(&["CONFIG", "SET", "save", "86400 1000000"]);
        self.ask::<String>(&["BGSAVE"]);
        until("the snapshot has failed", Duration::from_secs(10), || {
            let info: String = self.ask(&["INFO", "persistence"]);
            info.contains("rdb_last_bgsave_status:err").then_some(())
        });
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Asks it one command.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url()).expect("a good URL");
        let mut connection = client.get_connection().expect("connects");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut connection).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}
