//! `tripline demo`: the main job, live, on this machine alone.
//!
//! A fleet of forty keys with 26 hours behind it; one key leaks and is used at 10,000 requests a
//! minute. The demo is an ordinary client of an ordinary daemon: events go in over HTTP, a gateway
//! asks `/v1/check`, a person restores. It ends with exit code 0 only if all of it came true; asked
//! to stay, the fleet lives on, and now and then another key leaks, until a signal ends it.

use super::exit::Exit;
use super::output::{print_error, print_out, print_problem};
use crate::adapters::clock;
use crate::adapters::http::auth::Role;
use crate::adapters::storage::key_material;
use crate::config::loader;
use crate::config::settings::{Settings, Token};
use crate::daemon::startup::Daemon;
use crate::data_plane::batch::HashSeed;
use crate::formats::events::native;
use crate::model::event::{AuthEvent, Outcome};
use crate::model::time::EventTime;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Keys in the fleet. Chosen.
const FLEET: u32 = 40;
/// The key that leaks.
const LEAKED: &str = "key_07";
/// How much of the past the fleet has. Unit: minutes. Chosen: more than the day after which a peak is
/// trusted.
const HISTORY_MIN: i64 = 26 * 60;
/// How much of live time is sent at once. Unit: milliseconds.
const STEP_MS: u64 = 100;
/// The thief's rate. Unit: requests per minute.
const THEFT_PER_MIN: f64 = 10_000.0;
/// The limit of every key. Unit: requests per minute.
const CONTRACT: &str = "1000/min";
/// How long anything may take to come true.
const PATIENCE: Duration = Duration::from_secs(15);

/// The tenants of the keys: more than one, as the revocation limit lets through one revocation an hour for each.
const TENANTS: [&str; 4] = ["acme", "bloom", "cargo", "delta"];

/// The tenant of a key, by its last digit.
fn tenant_of(key: &str) -> &'static str {
    let last = key.bytes().last().map_or(0, usize::from);
    TENANTS.get(last % TENANTS.len()).copied().unwrap_or("acme")
}

/// How long the fleet is quiet before the first leak; longer where people want to look on.
const QUIET: Duration = Duration::from_secs(3);
const QUIET_TO_LOOK: Duration = Duration::from_secs(15);
/// How long a thief goes on after a refusal, as the demo stays, and how long it is quiet then.
const REFUSED: Duration = Duration::from_secs(5);
const BETWEEN_LEAKS: Duration = Duration::from_secs(40);

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the daemon did not start")]
    Start(#[from] crate::daemon::start_error::StartError),
    #[error("a request failed")]
    Http(#[from] reqwest::Error),
    #[error("can't read the system's randomness")]
    Random(#[source] std::io::Error),
    #[error("can't use {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the demo failed: {0}")]
    Untrue(&'static str),
}

/// A small generator of pseudo-random numbers. Source: Vigna, "An experimental exploration of
/// Marsaglia's xorshift generators, scrambled" (xorshift64*).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How many events a Poisson stream has where `mean` are expected. Source: Knuth, TAOCP
    /// vol. 2, 3.4.1.
    fn poisson(&mut self, mean: f64) -> u32 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

/// The fleet and its thief, and the client that sends their events.
struct Stage {
    http: reqwest::Client,
    /// Orders over the Unix socket, as a person does.
    operator: reqwest::Client,
    base: String,
    /// The token of the demo, for its client and the console.
    token: SecretString,
    random: Random,
    sent: u64,
}

/// Runs the demo; `stay`: it goes on after the story, until a signal.
pub fn demo(port: u16, stay: bool) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    let (folder, token) = match own_folder().and_then(|folder| Ok((folder, own_token()?))) {
        Ok(made) => made,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    let Some(settings) = demo_settings(port, &folder, token.clone()) else {
        print_problem("the demo's own settings are invalid");
        return Exit::Configuration;
    };
    let played = runtime.block_on(play(settings, token, stay));
    let cleared = std::fs::remove_dir_all(&folder);
    if let Err(source) = cleared {
        print_error(&DemoError::Folder { path: folder, source });
    }
    match played {
        Ok(()) => Exit::Good,
        Err(error) => {
            print_error(&error);
            Exit::Findings
        }
    }
}

/// A folder that was not there before, for this user alone: what someone else laid out is not used.
fn own_folder() -> Result<PathBuf, DemoError> {
    let HashSeed(number, _) = key_material::random_seed().map_err(DemoError::Random)?;
    let path = std::env::temp_dir().join(format!("tripline-demo-{number:016x}"));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
    made.map(|()| path.clone()).map_err(|source| DemoError::Folder { path, source })
}

/// A token that no one can guess.
fn own_token() -> Result<SecretString, DemoError> {
    let HashSeed(one, two) = key_material::random_seed().map_err(DemoError::Random)?;
    Ok(SecretString::from(format!("{one:016x}{two:016x}")))
}

fn demo_settings(port: u16, folder: &std::path::Path, secret: SecretString) -> Option<Settings> {
    let text = format!("mode.default = \"revoke\"\nlimits.default = \"{CONTRACT}\"\n");
    let mut settings = loader::check("demo", &text, BTreeMap::new()).ok()?;
    folder.clone_into(&mut settings.data_dir);
    settings.admin.path = Some(folder.join("tripline.sock"));
    settings.http.listen = SocketAddr::from(([127, 0, 0, 1], port));
    // The console may operate there: with a token that only this demo knows.
    let roles = Role::ALL.to_vec();
    settings.http.tokens = vec![Token { name: "demo".to_owned(), secret, roles, sources: None }];
    Some(settings)
}

async fn play(settings: Settings, token: SecretString, stay: bool) -> Result<(), DemoError> {
    let socket = settings.admin.path.clone();
    let mut operator = reqwest::Client::builder();
    if let Some(socket) = settings.admin.path.clone() {
        operator = operator.unix_socket(socket);
    }
    let operator = operator.build()?;
    let daemon = Box::pin(Daemon::start(settings)).await?;
    let base = format!("http://{}", daemon.address());
    let stage = Stage {
        http: reqwest::Client::new(),
        operator,
        base,
        token,
        random: Random(0x7269_706c_696e_6521),
        sent: 0,
    };
    stage.introduce(socket.as_deref());
    let told = stage.tell(stay).await;
    daemon.stop().await;
    told
}

/// Waits for SIGINT or SIGTERM; for ever where they can't be heard.
async fn ended() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut int), Ok(mut term)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}

fn line(at: Option<Duration>, text: &str) {
    match at {
        Some(at) => print_out(&format!("  {:>7.2} s  {text}", at.as_secs_f64())),
        None => print_out(text),
    }
}

impl Stage {
    /// Says where to look.
    fn introduce(&self, socket: Option<&std::path::Path>) {
        line(None, &format!("tripline demo: a daemon, its metrics at {}/metrics", self.base));
        let token = self.token.expose_secret();
        line(None, &format!("   in the browser:  {}/#token={token}", self.base));
        if let Some(socket) = socket {
            let own = std::env::current_exe();
            let own = own.as_deref().unwrap_or_else(|_| std::path::Path::new("tripline"));
            let (own, socket) = (own.display(), socket.display());
            line(None, &format!("   in a terminal:   {own} top --operate --socket {socket}"));
        }
    }

    async fn tell(mut self, stay: bool) -> Result<(), DemoError> {
        line(
            None,
            &format!(
                "1. A quiet fleet: {FLEET} keys of 10 to 60 requests a minute, {} hours of history",
                HISTORY_MIN / 60
            ),
        );
        self.history().await?;
        self.live(if stay { QUIET_TO_LOOK } else { QUIET }).await?;
        // An observed finding is reported to no one, and happens by chance in so many hours.
        let before = self.findings().await?;
        if let Some(told) = before.iter().find(|finding| finding["action"] != "observe") {
            line(None, &format!("   {told}"));
            return Err(DemoError::Untrue("the quiet fleet raised an alert"));
        }
        line(
            None,
            &format!("   {} events read, no alert; {LEAKED} is {}", self.sent, self.check().await?),
        );

        line(
            None,
            &format!(
                "2. {LEAKED} leaks: a thief makes 10,000 requests a minute with it (contract: {CONTRACT})"
            ),
        );
        let begun = Instant::now();
        let refused = self.attack(begun).await?;

        line(None, "3. The thief goes on, and is refused at the gateway");
        for _ in 0..20 {
            self.step(Some((LEAKED, Outcome::Rejected))).await?;
        }
        if self.check().await? != 403 {
            return Err(DemoError::Untrue("the revoked key was accepted"));
        }
        line(
            Some(begun.elapsed()),
            &format!("{LEAKED} is still answered 403; its owner's colleagues are not disturbed"),
        );
        if self.check_of("key_08").await? != 200 {
            return Err(DemoError::Untrue("another key was refused"));
        }

        line(None, "4. The owner has found the leak and asks for the key back: restore");
        self.restore().await?;
        let restored = self.until(|code| code == 200, "the restored key was refused").await?;
        line(
            Some(begun.elapsed()),
            &format!("accepted again, {:.0} ms after the order", restored.as_secs_f64() * 1000.0),
        );
        self.live(Duration::from_secs(2)).await?;
        if self.check().await? != 200 {
            return Err(DemoError::Untrue("the restored key was taken out of service again"));
        }
        self.summary(refused).await?;
        if stay { self.stay().await } else { Ok(()) }
    }

    /// The fleet lives on, and now and then another key leaks.
    async fn stay(&mut self) -> Result<(), DemoError> {
        line(None, "It goes on: every minute another key leaks. Ctrl-C ends it.");
        let mut end = std::pin::pin!(ended());
        loop {
            for key in 10..FLEET {
                let key = format!("key_{key:02}");
                tokio::select! {
                    () = &mut end => return Ok(()),
                    leaked = self.leak(&key) => leaked?,
                }
            }
        }
    }

    /// Some quiet, then a thief who goes on until a while after the gateway refuses.
    async fn leak(&mut self, key: &str) -> Result<(), DemoError> {
        self.live(BETWEEN_LEAKS).await?;
        line(None, &format!("   {key} leaks"));
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let outcome = match self.check_of(key).await? {
                403 => break,
                429 => Outcome::Throttled,
                _ => Outcome::Accepted,
            };
            self.step(Some((key, outcome))).await?;
        }
        line(Some(begun.elapsed()), &format!("{key} is answered {}", self.check_of(key).await?));
        let refused = Instant::now();
        while refused.elapsed() < REFUSED {
            self.step(Some((key, Outcome::Rejected))).await?;
        }
        Ok(())
    }

    /// The thief at work until the gateway refuses; gives how long that took.
    async fn attack(&mut self, begun: Instant) -> Result<Duration, DemoError> {
        let (mut found, mut outcome) = (None, Outcome::Accepted);
        while begun.elapsed() < PATIENCE {
            self.step(Some((LEAKED, outcome))).await?;
            if found.is_none()
                && let found_now = self.findings().await?
                && let Some(finding) = found_now.iter().find(|one| one["action"] != "observe")
            {
                found = Some(begun.elapsed());
                let summary = finding.get("summary").and_then(Value::as_str).unwrap_or("");
                let detector = finding.get("detector").and_then(Value::as_str).unwrap_or("");
                line(found, &format!("finding by {detector}: {LEAKED} {summary}"));
            }
            let code = self.check().await?;
            if code == 429 && outcome == Outcome::Accepted {
                line(
                    Some(begun.elapsed()),
                    "throttled: most of the thief's requests are answered 429",
                );
                outcome = Outcome::Throttled;
            }
            if code == 403 {
                let refused = begun.elapsed();
                let Some(found) = found else {
                    return Err(DemoError::Untrue("it was refused without a finding"));
                };
                line(Some(refused), "revoked: the gateway's question is answered 403");
                if found > Duration::from_secs(2) {
                    return Err(DemoError::Untrue("the finding took longer than two seconds"));
                }
                return Ok(refused);
            }
        }
        Err(DemoError::Untrue("the stolen key was not refused"))
    }

    async fn history(&mut self) -> Result<(), DemoError> {
        let now = clock::now();
        for minute in 0..HISTORY_MIN {
            let mut lines = Vec::new();
            for key in 0..FLEET {
                let count = self.random.poisson(Self::per_min(key));
                for _ in 0..count {
                    let offset = self.random.unit() * 60_000.0;
                    #[expect(clippy::cast_possible_truncation, reason = "below a minute")]
                    let ms = (minute - HISTORY_MIN) * 60_000 + offset as i64 - 5_000;
                    lines.push((now.plus_ms(ms), key));
                }
            }
            lines.sort_unstable();
            let events = lines.into_iter().map(|(time, key)| {
                (time, format!("key_{key:02}"), "203.0.113.7", Outcome::Accepted)
            });
            self.send(events.collect()).await?;
        }
        Ok(())
    }

    /// How busy a key of the fleet is. Unit: requests per minute.
    fn per_min(key: u32) -> f64 {
        10.0 + f64::from(key % 6) * 10.0
    }

    /// The fleet goes on for a while.
    async fn live(&mut self, length: Duration) -> Result<(), DemoError> {
        let begun = Instant::now();
        while begun.elapsed() < length {
            self.step(None).await?;
        }
        Ok(())
    }

    /// A tenth of a second of the fleet, and of the thief if there is one, with what the gateway
    /// says to it.
    async fn step(&mut self, thief: Option<(&str, Outcome)>) -> Result<(), DemoError> {
        tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
        let now = clock::now();
        let mut events = Vec::new();
        let share = STEP_MS as f64 / 60_000.0;
        for key in 0..FLEET {
            for _ in 0..self.random.poisson(Self::per_min(key) * share) {
                events.push((now, format!("key_{key:02}"), "203.0.113.7", Outcome::Accepted));
            }
        }
        if let Some((key, outcome)) = thief {
            for _ in 0..self.random.poisson(THEFT_PER_MIN * share) {
                events.push((now, key.to_owned(), "198.51.100.23", outcome));
            }
        }
        self.send(events).await
    }

    async fn send(
        &mut self,
        events: Vec<(EventTime, String, &'static str, Outcome)>,
    ) -> Result<(), DemoError> {
        let mut body = String::new();
        self.sent += events.len() as u64;
        for (time, key, address, outcome) in events {
            let mut event = AuthEvent::new(time, Cow::Owned(key));
            event.tenant = Some(Cow::Borrowed(tenant_of(&event.credential)));
            event.ip = address.parse().ok();
            event.set_outcome(outcome);
            body.push_str(&native::encode(&event));
            body.push('\n');
        }
        // The queue may be full for a moment while the history goes in.
        for _ in 0..50 {
            let request = self
                .http
                .post(format!("{}/v1/events", self.base))
                .bearer_auth(self.token.expose_secret())
                .body(body.clone());
            let status = request.send().await?.status().as_u16();
            match status {
                200 => return Ok(()),
                429 => tokio::time::sleep(Duration::from_millis(50)).await,
                _ => return Err(DemoError::Untrue("events were refused")),
            }
        }
        Err(DemoError::Untrue("the queue stayed full"))
    }

    async fn check(&self) -> Result<u16, DemoError> {
        self.check_of(LEAKED).await
    }

    async fn check_of(&self, key: &str) -> Result<u16, DemoError> {
        let request = self.http.get(format!("{}/v1/check", self.base));
        let answer = request
            .header("x-tripline-credential", format!("api_key:{key}"))
            .header("x-tripline-token", self.token.expose_secret());
        Ok(answer.send().await?.status().as_u16())
    }

    async fn until(
        &self,
        wanted: fn(u16) -> bool,
        why: &'static str,
    ) -> Result<Duration, DemoError> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if wanted(self.check().await?) {
                return Ok(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(DemoError::Untrue(why))
    }

    async fn findings(&self) -> Result<Vec<Value>, DemoError> {
        Ok(self.read("/v1/findings").await?.json().await?)
    }

    async fn read(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        let request = self.http.get(format!("{}{path}", self.base));
        request.bearer_auth(self.token.expose_secret()).send().await
    }

    async fn restore(&self) -> Result<(), DemoError> {
        let url = format!("http://localhost/v1/credentials/api_key:{LEAKED}/restore");
        let said = serde_json::json!({ "reason": "the leak was found and closed", "by": "demo" });
        let answer: Value = self.operator.post(url).json(&said).send().await?.json().await?;
        if answer.get("changed") == Some(&Value::Bool(true)) {
            Ok(())
        } else {
            Err(DemoError::Untrue("there was nothing to restore"))
        }
    }

    async fn summary(&self, refused: Duration) -> Result<(), DemoError> {
        let decisions: Vec<Value> = self.read("/v1/decisions").await?.json().await?;
        line(
            None,
            "Decisions, oldest first (all in the journal, each line chained to the one before):",
        );
        for decision in decisions.iter().rev() {
            let text = |field: &str| decision.get(field).and_then(Value::as_str).unwrap_or("-");
            line(
                None,
                &format!(
                    "   {} {:<8} {} by {}: {}",
                    text("at"),
                    text("action"),
                    text("credential"),
                    text("by"),
                    text("reason")
                ),
            );
        }
        let metrics = self.read("/metrics").await?.text().await?;
        let mut shown = String::new();
        for name in [
            "tripline_events_total",
            "tripline_decisions_total{action=\"revoke\",carried_out=\"true\"}",
            "tripline_decisions_total{action=\"restore\",carried_out=\"true\"}",
            "tripline_enforcement_total{receipt=\"applied\",store=\"embedded\"}",
        ] {
            if let Some(found) = metrics.lines().find(|line| line.starts_with(name)) {
                // Writing to a string can't fail.
                let _written = writeln!(shown, "   {found}");
            }
        }
        line(None, &format!("From /metrics:\n{}", shown.trim_end()));
        line(
            None,
            &format!(
                "Success: stolen key refused {:.1} s after the theft began, and restored by one \
                 call.",
                refused.as_secs_f64()
            ),
        );
        Ok(())
    }
}
