//! The client of the demo: an ordinary one, that sends events, asks as a gateway does, and reads findings.

use crate::adapters::storage::key_material;
use crate::cli::output::print_out;
use crate::data_plane::batch::HashSeed;
use crate::formats::events::native;
use crate::model::event::{AuthEvent, Outcome};
use crate::model::time::EventTime;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The key that leaks.
pub(super) const LEAKED: &str = "key_07";
/// How long anything may take to come true.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// The tenants of the keys: more than one, as the revocation limit lets through one revocation an hour for each.
const TENANTS: [&str; 4] = ["acme", "bloom", "cargo", "delta"];

/// The tenant of a key, by its last digit.
fn tenant_of(key: &str) -> &'static str {
    let last = key.bytes().last().map_or(0, usize::from);
    TENANTS.get(last % TENANTS.len()).copied().unwrap_or("acme")
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
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
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How many events a Poisson stream has where `mean` are expected. Source: Knuth, TAOCP
    /// vol. 2, 3.4.1.
    pub(super) fn poisson(&mut self, mean: f64) -> u32 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

/// The fleet and its thief, and the client that sends their events.
pub(super) struct Stage {
    pub(super) http: reqwest::Client,
    /// Orders over the Unix socket, as a person does.
    pub(super) operator: reqwest::Client,
    pub(super) base: String,
    /// The token of the demo, for its client and the console.
    pub(super) token: SecretString,
    pub(super) random: Random,
    pub(super) sent: u64,
}

/// Letters that no one can guess.
pub(super) fn own_token() -> Result<SecretString, DemoError> {
    let HashSeed(one, two) = key_material::random_seed().map_err(DemoError::Random)?;
    Ok(SecretString::from(format!("{one:016x}{two:016x}")))
}

pub(super) fn line(at: Option<Duration>, text: &str) {
    match at {
        Some(at) => print_out(&format!("  {:>7.2} s  {text}", at.as_secs_f64())),
        None => print_out(text),
    }
}

impl Stage {
    /// Says where to look.
    pub(super) fn introduce(&self, socket: Option<&std::path::Path>) {
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

    pub(super) async fn send(
        &mut self,
        events: Vec<(EventTime, String, &'static str, Outcome)>,
    ) -> Result<(), DemoError> {
        let events = events.into_iter().map(|(time, key, address, outcome)| {
            let mut event = AuthEvent::new(time, Cow::Owned(key));
            event.tenant = Some(Cow::Borrowed(tenant_of(&event.credential)));
            event.ip = address.parse().ok();
            event.set_outcome(outcome);
            event
        });
        self.send_all(&events.collect::<Vec<_>>()).await
    }

    pub(super) async fn send_all(&mut self, events: &[AuthEvent<'_>]) -> Result<(), DemoError> {
        self.sent += events.len() as u64;
        let lines = events.iter().map(|event| native::encode(event) + "\n");
        self.post_events(lines.collect()).await
    }

    pub(super) async fn post_events(&self, body: String) -> Result<(), DemoError> {
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

    pub(super) async fn check(&self) -> Result<u16, DemoError> {
        self.check_of(LEAKED).await
    }

    pub(super) async fn check_of(&self, key: &str) -> Result<u16, DemoError> {
        self.check_named(&format!("api_key:{key}")).await
    }

    /// Asks as a gateway that knows the credential's name.
    pub(super) async fn check_named(&self, name: &str) -> Result<u16, DemoError> {
        self.ask("x-tripline-credential", name).await
    }

    /// Asks as a gateway that passes the secret on.
    pub(super) async fn check_with(&self, secret: &str) -> Result<u16, DemoError> {
        self.ask("x-api-key", secret).await
    }

    async fn ask(&self, header: &str, value: &str) -> Result<u16, DemoError> {
        let request = self.http.get(format!("{}/v1/check", self.base)).header(header, value);
        let request = request.header("x-tripline-token", self.token.expose_secret());
        Ok(request.send().await?.status().as_u16())
    }

    pub(super) async fn until(
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

    pub(super) async fn findings(&self) -> Result<Vec<Value>, DemoError> {
        Ok(self.read("/v1/findings").await?.json().await?)
    }

    pub(super) async fn read(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        let request = self.http.get(format!("{}{path}", self.base));
        request.bearer_auth(self.token.expose_secret()).send().await
    }

    pub(super) async fn restore(&self) -> Result<(), DemoError> {
        let url = format!("http://localhost/v1/credentials/api_key:{LEAKED}/restore");
        let said = serde_json::json!({ "reason": "the leak was found and closed", "by": "demo" });
        let answer: Value = self.operator.post(url).json(&said).send().await?.json().await?;
        if answer.get("changed") == Some(&Value::Bool(true)) {
            Ok(())
        } else {
            Err(DemoError::Untrue("there was nothing to restore"))
        }
    }
}
