//! `tripline run` as a child process, and an HTTP client for it.

use super::child::Process;
use super::until;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_tripline");

/// A daemon of this test alone.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    base: String,
    folder: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts one in `folder` with that configuration (without `data_dir` and `http.listen`; `{PORT}` stands for
    /// its port) and waits until it is ready.
    pub fn start(folder: &TempDir, config: &str) -> Self {
        Self::start_in(folder.path(), config)
    }

    /// The same, in a folder that may have been used before.
    pub fn start_in(folder: &Path, config: &str) -> Self {
        let log = || std::fs::read_to_string(folder.join("log.ndjson")).unwrap_or_default();
        Self::try_start_in(folder, config, &[]).unwrap_or_else(|| panic!("it ended: {}", log()))
    }

    /// The same, with variables of the environment; none if it ends before it is ready.
    pub fn try_start_in(folder: &Path, config: &str, environment: &[(&str, &str)]) -> Option<Self> {
        let mut command = Command::new(BINARY);
        command.envs(environment.iter().copied());
        Self::launch(folder, config, command)
    }

    /// The same, with a soft and a hard limit of open files.
    pub fn start_with_files(folder: &TempDir, config: &str, soft: u32, hard: u32) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, BINARY]);
        Self::launch(folder.path(), config, command).expect("it becomes ready")
    }

    /// The same, started by another program, which becomes it: its words come before those of the
    /// daemon.
    pub fn start_under(folder: &Path, config: &str, program: &[&str]) -> Self {
        let (first, further) = program.split_first().expect("a program");
        let mut command = Command::new(first);
        command.args(further).arg(BINARY);
        Self::launch(folder, config, command).expect("it becomes ready")
    }

    /// Starts one, and waits only until it answers: it may not be ready.
    pub fn start_unready(folder: &TempDir, config: &str) -> Self {
        let daemon = Self::spawn(folder.path(), config, Command::new(BINARY));
        until("it answers", Duration::from_secs(20), || daemon.try_get("/livez"));
        daemon
    }

    fn launch(folder: &Path, config: &str, command: Command) -> Option<Self> {
        let mut daemon = Self::spawn(folder, config, command);
        until("the daemon is ready", Duration::from_secs(20), || {
            if !daemon.process.runs() {
                return Some(false);
            }
            let ready = daemon.try_get("/readyz").is_some_and(|(status, _)| status == 200);
            ready.then_some(true)
        })
        .then_some(daemon)
    }

    fn spawn(folder: &Path, config: &str, mut command: Command) -> Self {
        let port = super::free_port();
        let path = folder.join("tripline.toml");
        let config = config.replace("{PORT}", &port.to_string());
        let text = format!(
            "data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:{port}\"\n{config}",
            folder.join("data").display()
        );
        std::fs::write(&path, text).expect("writes the configuration");
        let log = folder.join("log.ndjson");
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("a log");
        command.arg("run").arg("--config").arg(&path).stdout(Stdio::null()).stderr(file);
        let process = Process::start(&mut command);
        let base = format!("http://127.0.0.1:{port}");
        Self { process, base, folder: folder.to_owned(), log }
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Ends it by SIGTERM; gives the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.process.signal("TERM");
        self.process.wait()
    }

    /// Ends it by SIGKILL.
    pub fn kill(mut self) {
        self.process.signal("KILL");
        self.process.wait();
    }

    /// Waits for its end; says whether it ended other than by SIGKILL.
    pub fn ended_by_itself(mut self) -> bool {
        self.process.wait_for_signal() != Some(9)
    }

    /// Sends a request; gives status and body.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> (u16, String) {
        self.try_send(method, path, headers, body.into()).expect("the daemon answers")
    }

    /// The same; none if it ends before it has answered.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Option<(u16, String)> {
        let client = crate::support::http();
        let method = method.parse().expect("a method");
        let mut request = client.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().ok()?;
        Some((response.status().as_u16(), response.text().ok()?))
    }

    fn try_get(&self, path: &str) -> Option<(u16, String)> {
        self.try_send("GET", path, &[], Vec::new())
    }

    /// Asks for JSON.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, &[], "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Sends events; gives the answer.
    pub fn post_events(&self, lines: &str) -> Value {
        let (status, body) = self.send("POST", "/v1/events", &[], lines);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// What `/v1/check` says of a credential.
    pub fn check(&self, credential: &str) -> u16 {
        self.send("GET", "/v1/check", &[("x-tripline-credential", credential)], "").0
    }

    /// The same, asked by the holder of a token (`Bearer …`).
    pub fn check_as(&self, credential: &str, bearer: &str) -> u16 {
        let headers = [("x-tripline-credential", credential), ("authorization", bearer)];
        self.send("GET", "/v1/check", &headers, "").0
    }

    /// Orders something as a person, over the Unix socket.
    pub fn order(&self, verb: &str, credential: &str) -> Value {
        let path = format!("/v1/credentials/{credential}/{verb}");
        let (status, body) = self.say(&path, r#"{"reason":"asked by a test"}"#);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.data().join("tripline.sock")
    }

    /// Sends JSON over the Unix socket; gives status and body.
    pub fn say(&self, path: &str, json: &str) -> (u16, String) {
        self.try_say(path, json).expect("the daemon answers")
    }

    /// The same; none if it ends before it has answered.
    pub fn try_say(&self, path: &str, json: &str) -> Option<(u16, String)> {
        let client = crate::support::http_builder().unix_socket(self.socket());
        let client = client.build().expect("a client");
        let request = client.post(format!("http://localhost{path}"));
        let request = request.header("content-type", "application/json").body(json.to_owned());
        let response = request.send().ok()?;
        Some((response.status().as_u16(), response.text().ok()?))
    }

    /// Sends it a signal, `HUP` say.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Makes it stand still.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Ends it by SIGKILL, from any thread.
    pub fn killer(&self) -> impl FnOnce() + Send + use<> {
        self.process.killer()
    }

    /// Ends it by SIGKILL where it stands.
    pub fn kill_now(&self) {
        self.process.signal("KILL");
    }

    /// The value of a metric, by its whole name with labels.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.send("GET", "/metrics", &[], "");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("no metric {name} in\n{text}"));
        value.parse().expect("a number")
    }
}

/// Now. Unit: milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before 2262")
}

/// A line of the contract: an accepted use.
pub fn event(credential: &str, ms: i64) -> String {
    format!(
        "{{\"time\":{ms},\"credential\":\"{credential}\",\"tenant\":\"acme\",\"outcome\":\"accepted\"}}\n"
    )
}

/// That many uses of a credential at one time.
pub fn uses(credential: &str, ms: i64, times: usize) -> String {
    event(credential, ms).repeat(times)
}
