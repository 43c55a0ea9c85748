//! The middlewares of `integrations/`: an application of each runs under them, and tripline reads their events by the
//! lines of their page.

use crate::support::child::Process;
use crate::support::daemon::{Daemon, now_ms};
use crate::support::{free_port, http, kept, pause, skipped, until};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
/// No form gives it away as a secret.
const KEY: &str = "good-key-0123";
const STRANGERS: &str = "strangers-guess-9";
/// Its `jti` is `victims-jti`.
const FORGED: &str = "Bearer eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ2aWN0aW1zLWp0aSJ9.ImZvcmdlZCI";

/// A runtime that a middleware is for, and an application under it: it answers 401 to every key but one, else 200,
/// always with the counters of the middleware.
struct Runtime {
    program: &'static str,
    middleware: &'static str,
    script: &'static str,
    text: &'static str,
}

const ASGI: Runtime = Runtime {
    program: "python3",
    middleware: "integrations/python",
    script: "server.py",
    text: ASGI_SERVER,
};
const NODE: Runtime = Runtime {
    program: "node",
    middleware: "integrations/node",
    script: "server.mjs",
    text: NODE_SERVER,
};

/// A server of ASGI as far as the test needs it: lifespan, and one request a connection.
const ASGI_SERVER: &str = r#"
import asyncio, json, os, signal, sys
sys.path.insert(0, os.environ["FOLDER"])
from tripline_asgi import Tripline

async def application(scope, receive, send):
    while scope["type"] == "lifespan":
        kind = (await receive())["type"]
        await send({"type": kind + ".complete"})
        if kind == "lifespan.shutdown":
            return
    headers = dict(scope["headers"])
    key = headers.get(b"x-api-key") or headers.get(b"authorization", b"")[7:]
    status = 200 if key in (b"", os.environ["KEY"].encode()) else 401
    counts = {name: getattr(wrapped, name) for name in ("sent", "refused", "dropped", "retries")}
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(counts).encode()})

wrapped = Tripline(application, os.environ["URL"], "app", queue_max=int(os.environ["QUEUE"]))

async def serve(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    method, target, _ = head[0].decode().split(" ")
    headers = [tuple(part.strip() for part in line.split(b":", 1)) for line in head[1:] if line]
    headers = [(name.lower(), value) for name, value in headers]
    path, _, query = target.partition("?")
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(),
             "headers": headers, "client": writer.get_extra_info("peername")[:2]}
    async def send(message):
        if message["type"] == "http.response.start":
            writer.write(b"HTTP/1.1 %d Status\r\nconnection: close\r\n\r\n" % message["status"])
        else:
            writer.write(message["body"])
    await wrapped(scope, None, send)
    writer.close()

async def main():
    stop, events = asyncio.Event(), asyncio.Queue()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async def send(_):
        pass
    lifespan = asyncio.create_task(wrapped({"type": "lifespan"}, events.get, send))
    await events.put({"type": "lifespan.startup"})
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    await stop.wait()
    server.close()
    await events.put({"type": "lifespan.shutdown"})
    await lifespan

asyncio.run(main())
"#;

const NODE_SERVER: &str = r"
import { createServer } from 'node:http';
const { tripline } = await import(`file://${process.env.FOLDER}/tripline.mjs`);
const watch = tripline({ url: process.env.URL, source: 'app', queueMax: Number(process.env.QUEUE) });
const server = createServer((req, res) => watch(req, res, () => {
  const key = req.headers['x-api-key'] ?? req.headers.authorization?.slice(7);
  res.statusCode = key === undefined || key === process.env.KEY ? 200 : 401;
  const { sent, refused, dropped, retries } = watch;
  res.end(JSON.stringify({ sent, refused, dropped, retries }));
}));
server.listen(Number(process.env.PORT), '127.0.0.1');
process.once('SIGTERM', async () => { server.close(); await watch.close(); process.exit(0); });
";

/// The application as a process.
struct Application {
    process: Process,
    base: String,
}

impl Application {
    fn start(runtime: &Runtime, folder: &TempDir, tripline: &str, queue: usize) -> Self {
        let script = folder.path().join(runtime.script);
        std::fs::write(&script, runtime.text).expect("writes");
        let port = free_port();
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join(runtime.middleware);
        let mut command = Command::new(runtime.program);
        command.arg(script).env("FOLDER", modules).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("URL", tripline).env("KEY", KEY).env("QUEUE", queue.to_string());
        let process = Process::start(command.env("PORT", port.to_string()));
        let application = Self { process, base: format!("http://127.0.0.1:{port}") };
        until("the application answers", PATIENCE, || application.try_ask(&[]));
        application
    }

    fn try_ask(&self, headers: &[(&str, &str)]) -> Option<(u16, Value)> {
        let request = http().get(format!("{}/v1/items?token=query", self.base));
        let add = |request: reqwest::blocking::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        let answer = headers.iter().fold(request, add).send().ok()?;
        let status = answer.status().as_u16();
        Some((status, serde_json::from_str(&answer.text().ok()?).ok()?))
    }

    fn ask(&self, name: &str, value: &str, times: usize) -> u16 {
        let ask = |_| self.try_ask(&[(name, value)]).expect("an answer").0;
        let all: Vec<u16> = (0..times).map(ask).collect();
        let first = all.first().copied().expect("a request");
        assert!(all.iter().all(|status| *status == first), "{all:?}");
        first
    }

    fn count(&self, name: &str) -> u64 {
        let (_, counters) = self.try_ask(&[]).expect("an answer");
        counters.get(name).and_then(Value::as_u64).expect("a counter")
    }

    /// Ends it as its operator does.
    fn end(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.wait(), Some(0));
    }
}

/// The lines of the page for tripline.
fn lines() -> &'static str {
    let page = include_str!("../../integrations/README.md");
    let (_, block) = page.split_once("```toml\n").expect("a block");
    block.split("```").next().expect("its end")
}

fn config() -> String {
    format!("{}[limits]\ndefault = \"60/min\"\n[mode]\ndefault = \"revoke\"\n", lines())
}

#[track_caller]
fn settles_at(daemon: &Daemon, metric: &str, count: u32) {
    until(&format!("{metric} reaches {count}"), PATIENCE, || {
        (daemon.metric(metric) >= f64::from(count)).then_some(())
    });
    pause(Duration::from_millis(500));
    let found = daemon.metric(metric);
    assert!((found - f64::from(count)).abs() < 0.5, "{metric}: {found} instead of {count}");
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn each_request_with_a_credential_counts_and_its_secret_is_not_stored(runtime: &Runtime) {
    if skipped(runtime.program) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, &config());
    let application = Application::start(runtime, &folder, daemon.base(), 10_000);
    assert_eq!(application.ask("x-api-key", KEY, 150), 200);
    assert_eq!(application.ask("authorization", &format!("Bearer {KEY}"), 50), 200);
    assert_eq!(application.ask("user-agent", "no credential", 20), 200);
    assert_eq!(application.ask("authorization", "Basic dXNlcjpwYXNz", 5), 401, "another scheme");
    assert_eq!(application.ask("x-api-key", STRANGERS, 30), 401);
    // A key of one's own must not give weight to a token of which only the `jti` is known.
    for _ in 0..100 {
        let both = [("authorization", FORGED), ("x-api-key", KEY)];
        assert_eq!(application.try_ask(&both).map(|(status, _)| status), Some(200));
    }
    // Its last events wait yet.
    application.end();
    settles_at(&daemon, "tripline_events_total", 430);
    settles_at(&daemon, "tripline_source_events_total{source=\"app\"}", 430);
    settles_at(&daemon, "tripline_events_unverified_total", 30);
    let check = |key: &str| daemon.send("GET", "/v1/check", &[("x-api-key", key)], "").0;
    until("the key is revoked", PATIENCE, || (check(KEY) == 403).then_some(()));
    assert_eq!(check(STRANGERS), 200, "a use that is not verified revokes nothing");
    assert_eq!(daemon.check("jwt:victims-jti"), 200, "nor does a forged token");
    let findings = daemon.get("/v1/findings");
    let name = findings.pointer("/0/credential").and_then(Value::as_str).expect("a name");
    let (data, log) = (daemon.data(), daemon.log());
    assert_eq!(daemon.terminate(), Some(0));
    let kept = kept(&data);
    assert!(name.starts_with("fp_") && kept.iter().any(|(_, bytes)| holds(bytes, name)), "{name}");
    for secret in [KEY, STRANGERS, "token=query"] {
        assert!(!log.contains(secret), "{log}");
        let holding: Vec<_> =
            kept.iter().filter(|(_, bytes)| holds(bytes, secret)).map(|(path, _)| path).collect();
        assert!(holding.is_empty(), "{secret} is in {holding:?}");
    }
}

#[test]
fn each_request_to_an_asgi_application_counts_and_its_secret_is_not_stored() {
    each_request_with_a_credential_counts_and_its_secret_is_not_stored(&ASGI);
}

#[test]
fn each_request_to_a_node_server_counts_and_its_secret_is_not_stored() {
    each_request_with_a_credential_counts_and_its_secret_is_not_stored(&NODE);
}

/// Reads a message of HTTP whose length is in its head.
fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        read.extend(byte);
    }
    let head = String::from_utf8_lossy(&read).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length?.trim().parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    read.extend(body);
    Some(read)
}

/// Takes requests at `port` for the daemon, whose first answers get lost.
fn forward(port: u16, daemon: &Daemon, mut lost: u32) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("binds");
    let address = daemon.base().trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            while let Some(request) = message(&mut client) {
                let mut server = TcpStream::connect(&address).expect("connects");
                server.write_all(&request).expect("writes");
                let answer = message(&mut server).expect("an answer");
                if lost > 0 {
                    lost -= 1;
                    break;
                }
                client.write_all(&answer).expect("writes");
            }
        }
    });
}

fn events_of_a_daemon_that_comes_later_count_once(runtime: &Runtime) {
    if skipped(runtime.program) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let application =
        Application::start(runtime, &folder, &format!("http://127.0.0.1:{port}"), 10_000);
    assert_eq!(application.ask("x-api-key", KEY, 25), 200);
    until("it was sent in vain", PATIENCE, || (application.count("retries") > 0).then_some(()));
    assert_eq!(application.ask("x-api-key", KEY, 15), 200);
    let daemon = Daemon::start(&folder, &config());
    forward(port, &daemon, 2);
    until("all is sent", PATIENCE, || (application.count("sent") >= 40).then_some(()));
    let counts = ["sent", "refused", "dropped"].map(|name| application.count(name));
    assert_eq!(counts, [40, 0, 0]);
    settles_at(&daemon, "tripline_events_total", 40);
    application.end();
}

#[test]
fn events_of_an_asgi_application_count_once_though_tripline_was_away_and_answers_got_lost() {
    events_of_a_daemon_that_comes_later_count_once(&ASGI);
}

#[test]
fn events_of_a_node_server_count_once_though_tripline_was_away_and_answers_got_lost() {
    events_of_a_daemon_that_comes_later_count_once(&NODE);
}

fn requests_are_answered_though_the_queue_is_full(runtime: &Runtime) {
    if skipped(runtime.program) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // One that takes connections and never answers is worse than one that is away.
    let silent = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = silent.local_addr().expect("an address");
    let application = Application::start(runtime, &folder, &format!("http://{address}"), 10);
    let begun = now_ms();
    assert_eq!(application.ask("x-api-key", KEY, 60), 200);
    assert!(now_ms() - begun < 5_000, "{} ms", now_ms() - begun);
    // Ten wait, and up to ten are on their way.
    let dropped = application.count("dropped");
    assert!((40..=50).contains(&dropped), "{dropped}");
    let begun = now_ms();
    application.end();
    assert!(now_ms() - begun < 10_000, "the flush has a limit");
}

#[test]
fn an_asgi_application_answers_though_its_queue_is_full() {
    requests_are_answered_though_the_queue_is_full(&ASGI);
}

#[test]
fn a_node_server_answers_though_its_queue_is_full() {
    requests_are_answered_though_the_queue_is_full(&NODE);
}

#[test]
fn a_source_without_the_lines_of_the_page_refuses_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let answer = daemon
        .post_events(&format!("{{\"time\":{},\"secret\":\"{KEY}\",\"status\":200}}\n", now_ms()));
    assert_eq!(answer.pointer("/lines/0/reason"), Some(&"no_credential".into()));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    assert!(kept(&data).iter().all(|(_, bytes)| !holds(bytes, KEY)));
}
