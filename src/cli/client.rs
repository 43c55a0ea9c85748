//! The way to a running daemon: over its Unix socket or its address.

use super::exit::Exit;
use super::output::{print_err, print_error, print_out};
use crate::adapters::http::fleet::MISSING;
use crate::config::settings::Settings;
use crate::formats::printable::field;
use clap::{Args, ValueEnum};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

/// Where the daemon is.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// The daemon's address. [default: its Unix socket if it is found, else
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
    /// Of a fleet: the answer of this instance alone, by its name or id. [default: that of all]
    #[arg(long, env = "TRIPLINE_INSTANCE", global = true)]
    pub instance: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    pub output: Output,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people.
    Table,
    /// JSON, as the API returns it.
    Json,
}

/// Why something is ordered, and by whom.
#[derive(Debug, Args)]
pub struct OrderArguments {
    /// Why; recorded in the journal.
    #[arg(long)]
    pub reason: String,
    /// The operator, in addition to the name of the token or user.
    #[arg(long, env = "USER")]
    pub by: Option<String>,
    /// Skip the confirmation.
    #[arg(long)]
    pub yes: bool,
}

impl OrderArguments {
    /// As the API takes it.
    pub(crate) fn json(&self) -> Value {
        let by = self.by.as_deref().filter(|by| !by.is_empty());
        serde_json::json!({ "reason": self.reason, "by": by })
    }
}

/// An error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("can't reach the daemon at {url}; is it running? See `tripline run --help`")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the daemon answered {status}: {title}; {detail}{hint}")]
    Refused { status: u16, title: String, detail: String, hint: String },
    #[error("aborted{}; --yes skips the confirmation", unasked())]
    Declined,
    #[error("can't parse the daemon's answer")]
    Answer(#[source] reqwest::Error),
    #[error("can't parse the daemon's answer; is it another version?")]
    Strange(#[source] serde_json::Error),
    #[error(
        "{place} answered without `{told}`: it may not be tripline, and the outcome is unknown"
    )]
    Other { told: &'static str, place: String },
    #[error(
        "{place} redirects to another server, which tripline never does; name the daemon itself"
    )]
    Redirected { place: String },
    #[error("the daemon's answer has more than 64 MiB")]
    TooLarge,
    #[error(
        "--instance is for what is read. An order is in force at all instances; anything else is asked of that \
         instance by its --url or --socket"
    )]
    OneInstance,
    #[error("the daemon did not answer within {seconds} s")]
    Late { seconds: u64 },
    #[error("can't read the token file {}", path.display())]
    Token {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl ClientError {
    /// How a command ends by it.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::Late { .. } => Exit::Unavailable,
            Self::Refused { .. }
            | Self::Answer(_)
            | Self::Strange(_)
            | Self::Other { .. }
            | Self::Redirected { .. }
            | Self::TooLarge
            | Self::Declined => Exit::Findings,
            Self::Token { .. } | Self::OneInstance => Exit::Usage,
        }
    }
}

/// Why no one said yes, where no one could be asked.
fn unasked() -> &'static str {
    if std::io::stdin().is_terminal() {
        ""
    } else {
        ": standard input is not a terminal, so no one can confirm"
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

    /// The same, or where nothing is said the daemon of these settings: its socket, if there is one,
    /// else where it listens.
    pub(crate) fn or_of(&self, settings: Option<&Settings>) -> Self {
        let mut found = self.clone();
        let Some(settings) = settings.filter(|_| self.url.is_none() && self.socket.is_none())
        else {
            return found;
        };
        if let Some(socket) = settings.admin.path.as_ref().filter(|path| path.exists()) {
            found.socket = Some(socket.clone());
        } else if settings.file.is_some() {
            let mut listen = settings.http.listen;
            if listen.ip().is_unspecified() {
                listen.set_ip(match listen.ip() {
                    IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                });
            }
            found.url = Some(format!("http://{listen}"));
        }
        found
    }

    /// How to come with more rights, said to who came over TCP without a token.
    fn hint(&self) -> String {
        if self.token_file.is_some() || self.socket().is_some() {
            return String::new();
        }
        let sought = if self.url.is_some() {
            "no socket was tried because of --url or TRIPLINE_URL".to_owned()
        } else {
            format!("no socket was found at {}", SOCKETS.join(" or "))
        };
        format!(
            "\n  {sought}; name the daemon's with --socket PATH or TRIPLINE_SOCKET (its log says \
             where it is), or a token with --token-file FILE"
        )
    }
}

pub(crate) struct Client {
    http: reqwest::Client,
    /// Where requests go.
    base: String,
    /// Where the daemon is, as people read it.
    place: String,
    connection: Connection,
    token: Option<SecretString>,
    /// The instances that the last answer lacks, and why.
    missing: Mutex<Option<String>>,
}

impl Client {
    pub(crate) fn new(connection: &Connection) -> Result<Self, ClientError> {
        let token = connection.token_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            text.map(|text| SecretString::from(text.trim().to_owned()))
                .map_err(|source| ClientError::Token { path: path.clone(), source })
        });
        // An order goes to the daemon itself: one that redirects it is another.
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none());
        let mut base = connection.url.clone().unwrap_or_else(|| URL_DEFAULT.to_owned());
        let mut place = without_user(&base);
        if let Some(socket) = connection.socket() {
            place = socket.display().to_string();
            "http://localhost".clone_into(&mut base);
            http = http.unix_socket(socket).no_proxy();
        } else if is_of_this_machine(&base) {
            // A proxy would get the token.
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build().map_err(ClientError::Answer)?,
            base,
            place,
            connection: connection.clone(),
            token: token.transpose()?,
            missing: Mutex::default(),
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
        let mut url = self.place.clone();
        if self.connection.url.is_none() && self.connection.socket().is_none() {
            url.push_str(&format!(" (no socket was found at {})", SOCKETS.join(" or ")));
        }
        let sent = request.send().await;
        let response = sent.map_err(|source| ClientError::Unreachable { url, source })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.is_redirection() {
            return Err(ClientError::Redirected { place: self.place.clone() });
        }
        let missing = missing_of(&response);
        let problem = read(response).await.unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let hint = match status {
            reqwest::StatusCode::UNAUTHORIZED | reqwest::StatusCode::FORBIDDEN => {
                self.connection.hint()
            }
            _ => String::new(),
        };
        let incomplete = missing.map(|missing| format!("\n  {}", incomplete(&missing)));
        let hint = format!("{hint}{}", incomplete.unwrap_or_default());
        Err(ClientError::Refused {
            status: status.as_u16(),
            title: text("title"),
            detail: text("detail"),
            hint,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let path = match &self.connection.instance {
            Some(instance) => {
                let sign = if path.contains('?') { '&' } else { '?' };
                format!("{path}{sign}instance={}", escaped(instance))
            }
            None => path.to_owned(),
        };
        let response = self.send(self.request(reqwest::Method::GET, &path)).await?;
        if let Some(missing) = missing_of(&response) {
            *self.missing.lock() = Some(missing);
        }
        read(response).await
    }

    /// Orders something; `told` is what the answer reports. One without it is not of tripline, and says
    /// nothing of what was done.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &Value,
        told: &'static str,
    ) -> Result<Value, ClientError> {
        self.check_instance()?;
        let request = self.request(reqwest::Method::POST, path).json(body);
        let answer = read(self.send(request).await?).await?;
        if answer.get(told).is_none_or(Value::is_null) {
            return Err(ClientError::Other { told, place: self.place.clone() });
        }
        Ok(answer)
    }

    /// Takes something away; the answer says whether it was there.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.check_instance()?;
        read(self.send(self.request(reqwest::Method::DELETE, path)).await?).await
    }

    /// Whether no instance is named, where one alone can't be meant.
    pub(crate) const fn check_instance(&self) -> Result<(), ClientError> {
        if self.connection.instance.is_some() { Err(ClientError::OneInstance) } else { Ok(()) }
    }

    /// Asks, and gives status and body whatever the status is.
    pub(crate) async fn ask(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<(u16, String), ClientError> {
        let mut request = self.request(reqwest::Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let url = self.place.clone();
        let sent = request.send().await;
        let response = sent.map_err(|source| ClientError::Unreachable { url, source })?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(ClientError::Answer)?))
    }

    /// Where the daemon is, as people read it.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Asks for a stream of events.
    pub(crate) async fn stream(&self, path: &str) -> Result<reqwest::Response, ClientError> {
        self.check_instance()?;
        self.send(self.request(reqwest::Method::GET, path)).await
    }

    /// Output format.
    pub(crate) const fn output(&self) -> Output {
        self.connection.output
    }

    /// Writes an answer as JSON, or by `table`.
    pub(crate) fn write(&self, answer: &Value, table: impl FnOnce(&Value) -> String) {
        if let Some(missing) = self.missing.lock().take() {
            print_err(&incomplete(&missing));
        }
        match self.connection.output {
            Output::Json => print_out(&serde_json::to_string_pretty(answer).unwrap_or_default()),
            Output::Table => print_out(&table(answer)),
        }
    }
}

/// The instances that an answer lacks, and why.
fn missing_of(response: &reqwest::Response) -> Option<String> {
    let missing = response.headers().get(MISSING)?.to_str().ok()?;
    Some(field(missing).into_owned())
}

fn incomplete(missing: &str) -> String {
    format!("incomplete: some instances did not answer: {missing}")
}

/// The largest answer. Unit: bytes. Chosen: a thousand rows are some megabytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Reads an answer as JSON.
async fn read(mut response: reqwest::Response) -> Result<Value, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ClientError::Answer)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::TooLarge);
        }
    }
    serde_json::from_slice(&body).map_err(ClientError::Strange)
}

/// Whether an address is of this machine, so that no proxy has to do with it.
fn is_of_this_machine(base: &str) -> bool {
    match url::Url::parse(base).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        None => false,
    }
}

/// An address as people see it: without a user and a password.
fn without_user(url: &str) -> String {
    let shown = url.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find('/').unwrap_or(rest.len());
        let (server, path) = rest.split_at_checked(end)?;
        let (_, host) = server.rsplit_once('@')?;
        Some(format!("{scheme}://{host}{path}"))
    });
    shown.unwrap_or_else(|| url.to_owned())
}

/// Runs a future to its end on a small runtime.
pub(crate) fn block_on(work: impl Future<Output = Result<(), ClientError>>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    match done {
        Ok(()) => Exit::Good,
        Err(error) => {
            print_error(&error);
            error.exit()
        }
    }
}

/// `/` and the like in an id must not change the path.
pub(crate) fn escaped(id: &str) -> String {
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

/// Asks on a terminal; elsewhere no one can answer.
pub(crate) fn confirmed(verb: &str, id: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print_err(&format!("{verb} {id}? Requests with it will be refused. [y/N]"));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && line.trim().eq_ignore_ascii_case("y")
}

#[cfg(test)]
mod tests {
    use super::{escaped, without_user};

    #[test]
    fn a_password_in_the_address_is_not_told() {
        assert_eq!(without_user("https://jo:pw@host:7/a@b"), "https://host:7/a@b");
        assert_eq!(without_user("http://127.0.0.1:7878"), "http://127.0.0.1:7878");
    }

    #[test]
    fn an_id_never_changes_the_path() {
        assert_eq!(escaped("api_key:a/b?c#d%"), "api_key:a%2Fb%3Fc%23d%25");
    }
}
