//! Commands against a running daemon, over its API.

use super::exit::Exit;
use super::words::{finding_text, name, text};
use super::{say, say_aside, say_error};
use crate::wire::view_json::CredentialJson;
use clap::{Args, Subcommand, ValueEnum};
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

/// Where the daemon is.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// The daemon's address. [default: its Unix socket, where it is found, else
    /// <http://127.0.0.1:7878>]
    #[arg(long, env = "TRIPLINE_URL", global = true)]
    pub url: Option<String>,
    /// The daemon's Unix socket. [default: ./tripline-data/tripline.sock or
    /// /run/tripline/tripline.sock, whichever is there]
    #[arg(long, env = "TRIPLINE_SOCKET", global = true)]
    pub socket: Option<PathBuf>,
    /// A file with a bearer token.
    #[arg(long, env = "TRIPLINE_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// How results are written.
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    pub output: Output,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// As the API gives it.
    Json,
}

/// What to do with credentials.
#[derive(Debug, Subcommand)]
pub enum Credentials {
    /// The busiest of the last minute, and those out of service.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// One credential: its windows beside what is usual, and what stands about it.
    Show {
        /// `kind:id`, or the id of an API key.
        id: String,
    },
    /// Take it out of service for a while.
    Suspend {
        /// Which, and why.
        #[command(flatten)]
        order: OrderArgs,
        /// For how long. Unit: seconds. [default: of the configuration]
        #[arg(long)]
        lasts_s: Option<u32>,
    },
    /// Take it out of service for good.
    Revoke(OrderArgs),
    /// Put it back into service.
    Restore(OrderArgs),
}

/// What an order needs.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// `kind:id`, or the id of an API key.
    pub id: String,
    /// Why; it stands in the journal.
    #[arg(long)]
    pub reason: String,
    /// Who; beside the token's name.
    #[arg(long, env = "USER")]
    pub by: Option<String>,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
}

/// What to do with findings.
#[derive(Debug, Subcommand)]
pub enum Findings {
    /// The newest.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Only those whose episode runs.
        #[arg(long)]
        open: bool,
    },
    /// One finding.
    Show {
        /// Its id, which begins with `f_`.
        id: String,
    },
    /// Findings and decisions as they happen.
    Tail,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("can't reach the daemon at {url}; is it running? See `tripline run --help`")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the daemon said {status}: {title}; {detail}")]
    Refused { status: u16, title: String, detail: String },
    #[error("nothing was done; --yes goes on without asking")]
    Declined,
    #[error("the daemon's answer can't be understood")]
    Answer(#[source] reqwest::Error),
    #[error("can't read the token file {}", path.display())]
    Token {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl ClientError {
    const fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unavailable,
            Self::Refused { .. } | Self::Answer(_) | Self::Declined => Exit::Findings,
            Self::Token { .. } => Exit::Usage,
        }
    }
}

/// Where a socket is looked for.
const SOCKETS: [&str; 2] = ["tripline-data/tripline.sock", "/run/tripline/tripline.sock"];
/// Where the daemon listens if nothing else is said.
const URL_DEFAULT: &str = "http://127.0.0.1:7878";

impl Connection {
    /// The socket to use, if it is not the address.
    fn socket(&self) -> Option<PathBuf> {
        let found = || SOCKETS.iter().map(PathBuf::from).find(|path| path.exists());
        self.socket.clone().or_else(|| if self.url.is_none() { found() } else { None })
    }
}

pub(super) struct Client {
    http: reqwest::Client,
    /// Where requests go.
    base: String,
    /// Where the daemon is, as people are told.
    place: String,
    connection: Connection,
    token: Option<SecretString>,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self, ClientError> {
        let token = connection.token_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            text.map(|text| SecretString::from(text.trim().to_owned()))
                .map_err(|source| ClientError::Token { path: path.clone(), source })
        });
        let mut http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5));
        let mut base = connection.url.clone().unwrap_or_else(|| URL_DEFAULT.to_owned());
        let mut place = base.clone();
        if let Some(socket) = connection.socket() {
            place = socket.display().to_string();
            "http://localhost".clone_into(&mut base);
            http = http.unix_socket(socket);
        }
        Ok(Self {
            http: http.build().map_err(ClientError::Answer)?,
            base,
            place,
            connection: connection.clone(),
            token: token.transpose()?,
        })
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.base.trim_end_matches('/'));
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ClientError> {
        let url = self.place.clone();
        let sent = request.send().await;
        let response = sent.map_err(|source| ClientError::Unreachable { url, source })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Value = response.json().await.unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        Err(ClientError::Refused {
            status: status.as_u16(),
            title: text("title"),
            detail: text("detail"),
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let response = self.send(self.request(reqwest::Method::GET, path)).await?;
        response.json().await.map_err(ClientError::Answer)
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let request = self.request(reqwest::Method::POST, path).json(body);
        self.send(request).await?.json().await.map_err(ClientError::Answer)
    }

    /// Writes an answer as JSON, or by `table`.
    pub(super) fn write(&self, answer: &Value, table: impl FnOnce(&Value) -> String) {
        match self.connection.output {
            Output::Json => say(&serde_json::to_string_pretty(answer).unwrap_or_default()),
            Output::Table => say(&table(answer)),
        }
    }
}

/// Runs a future to its end on a small runtime.
pub(super) fn block_on(work: impl Future<Output = Result<(), ClientError>>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            say_error(&error);
            return Exit::Unavailable;
        }
    };
    match done {
        Ok(()) => Exit::Good,
        Err(error) => {
            say_error(&error);
            error.exit()
        }
    }
}

/// `/` and the like in an id must not change the path.
pub(super) fn escaped(id: &str) -> String {
    let mut text = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _written = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Runs `tripline credentials …`.
pub fn credentials(connection: &Connection, command: Credentials) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        match command {
            Credentials::List { limit } => {
                let found = client.get(&format!("/v1/credentials?limit={limit}")).await?;
                client.write(&found, credentials_table);
            }
            Credentials::Show { id } => {
                let found = client.get(&format!("/v1/credentials/{}", escaped(&id))).await?;
                client.write(&found, credential_text);
            }
            Credentials::Suspend { order, lasts_s } => {
                order_one(&client, "suspend", order, lasts_s).await?;
            }
            Credentials::Revoke(order) => order_one(&client, "revoke", order, None).await?,
            Credentials::Restore(order) => order_one(&client, "restore", order, None).await?,
        }
        Ok(())
    })
}

async fn order_one(
    client: &Client,
    verb: &str,
    order: OrderArgs,
    lasts_s: Option<u32>,
) -> Result<(), ClientError> {
    if verb != "restore" && !order.yes && !confirmed(verb, &order.id) {
        return Err(ClientError::Declined);
    }
    let body = serde_json::json!({
        "reason": order.reason,
        "by": order.by.filter(|by| !by.is_empty()),
        "lasts_s": lasts_s,
    });
    let path = format!("/v1/credentials/{}/{verb}", escaped(&order.id));
    let done = client.post(&path, &body).await?;
    client.write(&done, |done| {
        if done.get("changed") == Some(&Value::Bool(true)) {
            let decision = done.get("decision").unwrap_or(&Value::Null);
            format!(
                "{}: {verb} ordered as {}, generation {}",
                order.id,
                text(decision, "id"),
                text(decision, "generation"),
            )
        } else {
            format!("{}: nothing to do, it stands already", order.id)
        }
    });
    Ok(())
}

/// Asks on a terminal; elsewhere nobody can answer.
pub(super) fn confirmed(verb: &str, id: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    say_aside(&format!("{verb} {id}? Requests with it will be refused. [y/N]"));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && line.trim().eq_ignore_ascii_case("y")
}

/// Runs `tripline findings …`.
pub fn findings(connection: &Connection, command: Findings) -> Exit {
    block_on(async move {
        let client = Client::new(connection)?;
        match command {
            Findings::List { limit, open } => {
                let found = client.get(&format!("/v1/findings?limit={limit}&open={open}")).await?;
                client.write(&found, findings_table);
            }
            Findings::Show { id } => {
                let found = client.get(&format!("/v1/findings/{}", escaped(&id))).await?;
                client.write(&found, finding_text);
            }
            Findings::Tail => tail(&client).await?,
        }
        Ok(())
    })
}

async fn tail(client: &Client) -> Result<(), ClientError> {
    let response = client.send(client.request(reqwest::Method::GET, "/v1/stream")).await?;
    let mut chunks = response.bytes_stream();
    let mut held = Vec::new();
    while let Some(chunk) = chunks.next().await {
        held.extend_from_slice(&chunk.map_err(ClientError::Answer)?);
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let Some(data) = line.strip_prefix("data:") else { continue };
            let value: Value = serde_json::from_str(data.trim()).unwrap_or_default();
            match client.connection.output {
                Output::Json => say(data),
                Output::Table => say(&one_line(&value)),
            }
        }
    }
    Ok(())
}

fn one_line(value: &Value) -> String {
    let what = if value.get("detector").is_some() { "finding" } else { "decision" };
    let words = if what == "finding" { text(value, "summary") } else { text(value, "reason") };
    let at = if what == "finding" { text(value, "updated") } else { text(value, "at") };
    format!("{at} {what} {} {} {} {words}", text(value, "id"), text(value, "action"), name(value))
}

fn credentials_table(found: &Value) -> String {
    let mut out = format!(
        "{:<34} {:<12} {:>10} {:>10}  {}\n",
        "CREDENTIAL", "STATUS", "60 S", "USUAL", "TENANT"
    );
    for one in found.as_array().into_iter().flatten() {
        let Ok(one) = serde_json::from_value::<CredentialJson>(one.clone()) else { continue };
        let minute = one.windows.iter().find(|window| window.window_s == 60);
        let (count, usual) = minute.map_or((0, 0.0), |window| (window.count, window.expected));
        let tenant = one.tenant.as_deref().unwrap_or("-");
        let name = format!("{}:{}", one.kind, one.credential);
        out.push_str(&format!(
            "{name:<34} {:<12} {count:>10} {usual:>10.1}  {tenant}\n",
            one.status
        ));
    }
    out
}

pub(super) fn credential_text(found: &Value) -> String {
    let Ok(one) = serde_json::from_value::<CredentialJson>(found.clone()) else {
        return found.to_string();
    };
    let mut out = format!("{}:{}\n", one.kind, one.credential);
    let mut row = |name: &str, value: &str| out.push_str(&format!("  {name:<12} {value}\n"));
    row("status", &one.status);
    if let Some(until) = &one.until {
        row("until", until);
    }
    if let (Some(by), Some(reason)) = (&one.by, &one.reason) {
        row("decided by", by);
        row("because", reason);
    }
    row("tenant", one.tenant.as_deref().unwrap_or("-"));
    row("first seen", one.first_seen.as_deref().unwrap_or("-"));
    row("last seen", one.last_seen.as_deref().unwrap_or("-"));
    match one.limit_per_min {
        Some(0) => row("ceiling", "none"),
        Some(limit) => row("ceiling", &format!("{limit} a minute")),
        None => {}
    }
    for finding in &one.open_findings {
        row("open", finding);
    }
    out.push_str(&format!(
        "  {:<12} {:>10} {:>10} {:>10}\n",
        "window", "count", "expected", "most ever"
    ));
    for window in &one.windows {
        let name = format!("{} s", window.window_s);
        out.push_str(&format!(
            "  {name:<12} {:>10} {:>10.1} {:>10.0}\n",
            window.count, window.expected, window.peak
        ));
    }
    out
}

fn findings_table(found: &Value) -> String {
    let mut out = String::new();
    for one in found.as_array().into_iter().flatten() {
        let state = if one.get("closed").is_none_or(Value::is_null) { "open" } else { "closed" };
        out.push_str(&format!(
            "{} {} {:<8} {:<8} {:<6} {} {}\n",
            text(one, "opened"),
            text(one, "id"),
            text(one, "detector"),
            text(one, "action"),
            state,
            name(one),
            text(one, "summary"),
        ));
    }
    if out.is_empty() { "no findings\n".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn an_id_never_changes_the_path() {
        assert_eq!(escaped("api_key:a/b?c#d%"), "api_key:a%2Fb%3Fc%23d%25");
    }
}
