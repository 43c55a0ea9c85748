//! A daemon, a service and a gateway between them and a client; what every gateway has to do.

use crate::support::child::Process;
use crate::support::daemon::{Daemon, now_ms};
use crate::support::receiver::{Receiver, Request};
use crate::support::{free_port, skipped, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// {"alg":"ES256"} . {"jti":"j1","exp":4000000000}
pub const TOKEN: &str =
    "Bearer eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJqMSIsImV4cCI6NDAwMDAwMDAwMH0.c2lnbmF0dXJl";
/// The same, for the attacks: it is out of service in them.
const STOLEN: &str = "sk-STOLEN-0123456789abcdef";
const GOOD: (&str, &str) = ("x-api-key", "sk-another-0123456789abcd");
const JUNK: (&str, &str) = ("x-api-key", "sk-junk-0123456789abcdef");
const HELLO: &str = "hello from the service";

/// How the gateway behaves while tripline can't be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// As the file is shipped.
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
        Self::start_with(kind, config, away, None)
    }

    /// The same with a token of the gateway's own.
    fn start_with(
        kind: Kind,
        config: &str,
        away: Away,
        token: Option<&'static str>,
    ) -> Option<Self> {
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
            service: host(&service.url("")),
            folder: folder.path().join("gateway"),
            away,
            token,
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
        let client = reqwest::blocking::Client::new();
        let url = format!("http://127.0.0.1:{}/some/path?q=1", self.port);
        let mut request = client.request(method.parse().expect("a method"), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
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
    fn newest(&self) -> Request {
        self.service.received().pop().expect("a request reached the service")
    }

    fn revoke(&self, credential: &str) {
        self.daemon.order("revoke", credential);
        until("it is refused", Duration::from_secs(5), || {
            (self.daemon.check(credential) == 403).then_some(())
        });
    }
}

/// Accepted with the service's own answer; refused within a second of a revocation, and the service not
/// asked; accepted after it was restored.
pub fn puts_out_of_service_and_back(kind: Kind) {
    let Some(world) = World::start(kind, "", Away::Shipped) else { return };
    let token = [("authorization", TOKEN)];
    for method in ["GET", "POST", "DELETE"] {
        let answer = world.send(method, &token);
        assert_eq!((answer.status, answer.body.as_str()), (200, HELLO), "{method}");
        assert_eq!(answer.tripline_status, "", "what the service says of itself is left out");
        let got = world.newest();
        assert_eq!((got.method.as_str(), got.path.as_str()), (method, "/some/path"));
        assert_eq!(got.header("authorization"), TOKEN);
    }
    let before = world.service.received().len();
    assert_eq!(world.get(&[]), 401, "no credential");

    let ordered = Instant::now();
    world.daemon.order("revoke", "jwt:j1");
    let refused = until("it is refused", Duration::from_secs(1), || {
        let answer = world.send("GET", &token);
        (answer.status == 403).then_some(answer)
    });
    assert!(ordered.elapsed() < Duration::from_secs(1), "{:?}", ordered.elapsed());
    assert_eq!(refused.tripline_status, "revoked");
    assert!(!refused.body.contains(HELLO));
    let passed = world.service.received().len() - before;
    assert_eq!(world.get(&token), 403);
    assert_eq!(world.service.received().len() - before, passed, "the service isn't asked");
    assert_eq!(world.get(&[GOOD]), 200, "another key is none of its business");

    world.daemon.order("restore", "jwt:j1");
    until("it is accepted again", Duration::from_secs(1), || {
        let answer = world.send("GET", &token);
        (answer.status == 200 && answer.body == HELLO).then_some(())
    });
}

/// A throttled credential gets 429, and is told when to come back.
pub fn passes_on_429_with_retry_after(kind: Kind) {
    let config = "posture.default = \"throttle\"\nceiling.action = \"throttle\"\n\
                  ceiling.default = \"600/min\"\n";
    let Some(world) = World::start(kind, config, Away::Shipped) else { return };
    let event = format!("{{\"time\":{},\"credential\":\"j1\",\"kind\":\"jwt\"}}\n", now_ms());
    world.daemon.post_events(&event.repeat(2000));
    let token = [("authorization", TOKEN)];
    let slowed = until("it is slowed down", Duration::from_secs(20), || {
        (0..30).map(|_| world.send("GET", &token)).find(|answer| answer.status == 429)
    });
    let retry = slowed.retry_after;
    assert!(retry.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "Retry-After: {retry}");
    assert_eq!(world.get(&[GOOD]), 200, "another is not slowed down");
}

/// What a client tries that holds a revoked key: each is refused, and nothing that reaches the service
/// holds the key.
pub fn withstands_clients_that_hide_a_revoked_key(kind: Kind) {
    let Some(world) = World::start(kind, "", Away::Shipped) else { return };
    world.revoke(&format!("api_key:{STOLEN}"));
    world.revoke("jwt:j1");
    let stolen = ("x-api-key", STOLEN);
    let bearer = format!("Bearer {STOLEN}");
    let (bearer, junk) = (("authorization", bearer.as_str()), ("authorization", "Bearer sk-junk"));
    let hidden = format!("Basic {}", STANDARD.encode(format!("{STOLEN}:")));
    let basic = ("authorization", hidden.as_str());
    let name = |value| ("x-tripline-credential", value);
    let attacks: &[&[(&str, &str)]] = &[
        &[stolen],
        &[bearer],
        &[name("api_key:other"), stolen],
        &[name("api_key:other"), bearer],
        &[name("api_key:other"), ("authorization", TOKEN)],
        &[name("apikey:other"), stolen],
        &[name("API_KEY:other"), stolen],
        &[name(""), stolen],
        &[("x_tripline_credential", "api_key:other"), stolen],
        &[("x-tripline-token", "anything"), stolen],
        &[JUNK, stolen],
        &[stolen, JUNK],
        &[GOOD, stolen],
        &[stolen, GOOD],
        &[junk, bearer],
        &[bearer, junk],
        &[basic, bearer],
        &[GOOD, bearer],
        &[junk, stolen],
        &[basic, GOOD],
        &[("authorization", STOLEN), GOOD],
    ];
    for attack in attacks {
        let answer = world.send("GET", attack);
        assert!((400..500).contains(&answer.status), "{attack:?}: {answer:?}");
    }
    // An OPTIONS that is no preflight is a request as any other.
    let origin = ("origin", "https://app.example");
    for attack in [&[origin, stolen][..], &[("access-control-request-method", "GET"), stolen]] {
        assert_eq!(world.send("OPTIONS", attack).status, 403, "{attack:?}");
    }
    assert!(world.service.received().is_empty(), "{:?}", world.service.received());
    // These may pass as something else, but without the key.
    world.send("GET", &[GOOD, ("x_api_key", STOLEN)]);
    world.send("GET", &[junk, stolen, ("connection", "x-api-key")]);
    world.send("GET", &[GOOD, bearer, ("connection", "authorization")]);
    let key = |one: &Request| format!("{:?}", one.headers).contains("STOLEN");
    assert!(!world.service.received().iter().any(key), "{:?}", world.service.received());
}

/// What is none of tripline's business passes.
pub fn lets_preflights_and_other_schemes_by(kind: Kind) {
    let Some(world) = World::start(kind, "", Away::Shipped) else { return };
    world.revoke(&format!("api_key:{STOLEN}"));
    let asks = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let answer = world.send("OPTIONS", &asks);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, HELLO),
        "a preflight has no credential"
    );
    let got = world.newest();
    assert_eq!((got.method.as_str(), got.header("origin")), ("OPTIONS", asks[0].1.to_owned()));
    // Nobody uses a credential by calling the request a preflight.
    let bearer = format!("Bearer {STOLEN}");
    let carried = [
        ("authorization", bearer.as_str()),
        ("x-api-key", STOLEN),
        ("x_api_key", STOLEN),
        ("cookie", STOLEN),
        ("x-tripline-credential", STOLEN),
        ("x-tripline-token", STOLEN),
    ];
    for header in carried {
        world.send("OPTIONS", &[&asks[..], &[header]].concat());
        let got = format!("{:?}", world.newest().headers);
        assert!(!got.contains("STOLEN"), "{header:?}: {got}");
    }
    // Basic is no credential that tripline knows, nor does it keep a good key out.
    let basic = format!("Basic {}", STANDARD.encode("ada:opensesame"));
    let basic = ("authorization", basic.as_str());
    assert_eq!(world.get(&[basic, GOOD]), 200);
    assert_eq!(world.newest().header("authorization"), basic.1, "the service gets it");
    assert_eq!(world.get(&[basic]), 401);
    // What only gateways say never reaches the service.
    world.send("GET", &[GOOD, ("x-tripline-credential", "x"), ("x-tripline-token", "y")]);
    let got = world.newest();
    assert_eq!(
        (got.header("x-tripline-credential"), got.header("x-tripline-token")),
        Default::default()
    );
}

/// What clients get once tripline is away, and while it hangs: lets pass, or refuses by 5xx.
pub fn is_open_or_closed_without_tripline(kind: Kind, away: Away, is_open: bool) {
    let Some(world) = World::start(kind, "", away) else { return };
    let good = |what: &str| {
        let answer = world.send("GET", &[GOOD]);
        if is_open {
            assert_eq!((answer.status, answer.body.as_str()), (200, HELLO), "{what}");
        } else {
            assert!((500..600).contains(&answer.status), "{what}: {answer:?}");
            assert!(!answer.body.contains(HELLO), "{what}");
        }
    };
    let asks = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let before = world.service.received().len();
    assert_eq!(world.get(&[GOOD]), 200);
    world.daemon.pause();
    // Traefik waits for 30 seconds: its file says so.
    if kind.name != "traefik" {
        good("it hangs");
    }
    world.daemon.kill_now();
    good("it is away");
    assert_eq!(world.send("OPTIONS", &asks).status, 200, "preflights need no tripline");
    let posted = world.send("POST", &[GOOD]);
    assert_eq!(posted.status == 200, is_open);
    let posts = world.service.received().split_off(before);
    let posts = posts.iter().filter(|one| one.method == "POST").count();
    assert_eq!(posts, usize::from(is_open), "the service gets a request once");
}

/// A tripline that wants tokens lets the gateway ask, whatever token the client sends, and nobody else;
/// the service sees none.
pub fn shows_a_token_of_its_own(kind: Kind) {
    const OWN: &str = "token-of-the-gateway-0123456789";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, OWN).expect("writes");
    let config = format!(
        "[http.tokens.gateway]\nroles = [\"check\"]\ntoken_file = \"{}\"\n",
        file.display()
    );
    let start = |token| World::start_with(kind, &config, Away::Shipped, token);
    let Some(world) = start(Some(OWN)) else { return };
    for client in [&[GOOD][..], &[GOOD, ("x-tripline-token", "the client's own")]] {
        let answer = world.send("GET", client);
        assert_eq!((answer.status, answer.body.as_str()), (200, HELLO), "{client:?}");
        assert_eq!(world.newest().header("x-tripline-token"), "");
    }
    let world = start(None).expect("it runs");
    for client in [&[GOOD][..], &[GOOD, ("x-tripline-token", OWN)]] {
        assert_eq!(world.get(client), 401, "a gateway without a token: {client:?}");
    }
}
