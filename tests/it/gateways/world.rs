//! A daemon, a service, and a gateway between them and a client.

use crate::support::child::Process;
use crate::support::daemon::Daemon;
use crate::support::receiver::{Receiver, Request};
use crate::support::{free_port, skipped, until};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// {"alg":"ES256"} . {"jti":"j1","exp":4000000000}
pub const TOKEN: &str =
    "Bearer eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJqMSIsImV4cCI6NDAwMDAwMDAwMH0.c2lnbmF0dXJl";
/// The same, for the attacks: it is out of service in them.
pub const STOLEN: &str = "sk-STOLEN-0123456789abcdef";
pub const GOOD: (&str, &str) = ("x-api-key", "sk-another-0123456789abcd");
pub const JUNK: (&str, &str) = ("x-api-key", "sk-junk-0123456789abcdef");
/// What every POST holds.
pub const BODY: &str = "a body of the client";
pub const HELLO: &str = "hello from the service";

/// How the gateway behaves while tripline can't be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Away {
    /// As the file is shipped.
    #[default]
    Shipped,
    /// With the other choice, as the file says how to make it.
    Switched,
}

/// What a gateway needs to know.
#[derive(Debug)]
pub struct Addresses {
    /// Its own port.
    pub port: u16,
    /// `host:port` of tripline.
    pub tripline: String,
    /// `host:port` of the service.
    pub service: String,
    /// A folder of its own.
    pub folder: PathBuf,
    /// What it does while tripline can't be asked.
    pub away: Away,
    /// Its own token, where tripline wants one; put in as the file or the guide says.
    pub token: Option<&'static str>,
}

/// What a test wants otherwise than the others.
#[derive(Debug, Default)]
pub struct Further {
    /// Shipped or switched.
    pub away: Away,
    /// A token of the gateway's own.
    pub token: Option<&'static str>,
    /// Another service, at `host:port`.
    pub service: Option<String>,
}

/// A shipped file.
pub fn configuration(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gateways").join(name);
    std::fs::read_to_string(path).expect("a configuration")
}

/// The same with these parts replaced, each of which is there.
pub fn with(name: &str, replaced: &[(&str, &str)]) -> String {
    replaced.iter().fold(configuration(name), |text, (part, by)| {
        assert!(text.contains(part), "{name} has no {part}");
        text.replace(part, by)
    })
}

/// A program that `./test` installs.
pub fn tool(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(name))
}

/// One gateway: its name in `TRIPLINE_TEST_SKIP`, and how it is started with its shipped configuration.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub command: fn(&Addresses) -> Command,
}

/// What a client got.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: String,
    pub tripline_status: String,
    pub body: String,
}

/// All of them.
pub struct World {
    pub daemon: Daemon,
    pub service: Receiver,
    port: u16,
    process: Process,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    /// Starts all three; none where the gateway's tests are left out.
    pub fn start(kind: Kind, config: &str, away: Away) -> Option<Self> {
        Self::start_with(kind, config, Further { away, ..Further::default() })
    }

    /// Starts all three with what a test wants otherwise.
    pub fn start_with(kind: Kind, config: &str, further: Further) -> Option<Self> {
        if skipped(kind.name) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let daemon = Daemon::start(&folder, config);
        let service = Receiver::start();
        service.say(HELLO);
        let host = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let addresses = Addresses {
            port: free_port(),
            tripline: host(daemon.base()),
            service: further.service.unwrap_or_else(|| host(&service.url(""))),
            folder: folder.path().join("gateway"),
            away: further.away,
            token: further.token,
        };
        std::fs::create_dir(&addresses.folder).expect("a folder");
        let log = addresses.folder.join("output.log");
        let file = std::fs::File::create(&log).expect("a log");
        let mut command = (kind.command)(&addresses);
        command.stdout(Stdio::null()).stderr(file);
        let process = Process::start(&mut command);
        let port = addresses.port;
        let mut world = Self { daemon, service, port, process, log, _folder: folder };
        until(&format!("{} answers", kind.name), Duration::from_secs(30), || {
            assert!(world.process.runs(), "{} ended: {}", kind.name, world.log());
            // Traefik listens before it has read its routes.
            world.try_send("GET", &[]).filter(|answer| answer.status != 404)
        });
        Some(world)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn try_send(&self, method: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let client = crate::support::http();
        let url = format!("http://127.0.0.1:{}/some/path?q=1", self.port);
        let mut request = client.request(method.parse().expect("a method"), url);
        for (name, value) in headers {
            // A byte for each letter, as old clients send them: `\u{a0}` is 0xA0.
            let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(c).expect("a byte")).collect();
            request = request.header(*name, bytes);
        }
        if method == "POST" {
            request = request.body(BODY);
        }
        let answer = request.send().ok()?;
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or("").to_owned()
        };
        let (retry_after, tripline_status) = (header("retry-after"), header("x-tripline-status"));
        let status = answer.status().as_u16();
        Some(Answer { status, retry_after, tripline_status, body: answer.text().ok()? })
    }

    /// Sends a request through the gateway.
    pub fn send(&self, method: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_send(method, headers).expect("the gateway answers")
    }

    /// What a client with these headers gets.
    pub fn get(&self, headers: &[(&str, &str)]) -> u16 {
        self.send("GET", headers).status
    }

    /// The newest request that the service got.
    pub fn newest(&self) -> Request {
        self.service.received().pop().expect("a request reached the service")
    }

    /// Takes a credential out of service, and waits until it is.
    pub fn revoke(&self, credential: &str) {
        self.daemon.order("revoke", credential);
        until("it is refused", Duration::from_secs(5), || {
            (self.daemon.check(credential) == 403).then_some(())
        });
    }
}
