//! The description of the API is true: schemathesis makes requests from it, and judges the answers; and the
//! answers of a daemon that has something to say keep to their schemas.

use crate::http_events::token_of;
use crate::support::daemon::{Daemon, now_ms, uses};
use crate::support::receiver::Receiver;
use crate::support::{http, skipped, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const REASON: &str = r#"{"reason":"asked by a test"}"#;

/// Holds each value against its schema. A property that the schema does not describe is an error.
const VALIDATE: &str = r##"
import json, sys
import jsonschema_rs

given = json.load(sys.stdin)

def closed(schema, close=True):
    "The schema without references, and with no property but those described."
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        found = given["document"]
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return closed(found, close)
    schema = dict(schema)
    for word in ("oneOf", "anyOf"):
        if word in schema:
            schema[word] = [closed(part) for part in schema[word]]
    if "allOf" in schema:
        schema["allOf"] = [closed(part, False) for part in schema["allOf"]]
    if "items" in schema:
        schema["items"] = closed(schema["items"])
    if "additionalProperties" in schema:
        schema["additionalProperties"] = closed(schema["additionalProperties"])
    properties = schema.get("properties", {})
    schema["properties"] = {name: closed(part) for name, part in properties.items()}
    if close and (properties or "allOf" in schema):
        schema["unevaluatedProperties"] = False
    return schema

for case in given["cases"]:
    schema = closed(case["schema"])
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    for error in validator.iter_errors(case["value"]):
        print(case["place"], error.instance_path, error.message)
"##;

/// A program of the environment that schemathesis is installed in.
fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/schemathesis/bin");
    let program = path.join(name);
    assert!(program.exists(), "./test installs {}", program.display());
    program
}

#[test]
fn the_api_answers_as_its_description_says() {
    if skipped("schemathesis") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let (config, bearer) = token_of(&folder, "all", "operate");
    let daemon = Daemon::start(&folder, &format!("{config}{}", leaks_of(&folder, &bearer)));
    // A stream does not end. Which names are credentials no pattern says, so valid data may be refused.
    let ran = Command::new(tool("st"))
        .args(["run", &format!("{}/openapi.json", daemon.base())])
        .args(["--header", &format!("Authorization: {bearer}")])
        .args(["--exclude-path", "/v1/stream"])
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1"])
        .args(["--generation-database", "none", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", root.join("tests/it/schemathesis/hooks.py"))
        .current_dir(&folder)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{complaints}");
    assert!(said.contains("Tested: 40"), "{said}");
}

/// Settings under which each reporter of leaks may report; GitLab by that token.
fn leaks_of(folder: &tempfile::TempDir, bearer: &str) -> String {
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.display().to_string()
    };
    let token = write("gitlab.token", bearer.trim_start_matches("Bearer "));
    let secret = write("leaks.secret", crate::leaks::WEBHOOK_SECRET);
    let keys = write("keys.json", crate::leaks::KEYS);
    format!(
        "[leaks.github]\nkeys_file = \"{keys}\"\n[leaks.gitlab]\ntoken_file = \"{token}\"\n\
         types = [\"acme\"]\n[leaks.webhook]\nsecret_file = \"{secret}\"\n[leaks.self_service]\n\
         per_minute = 1000\naddress_per_minute = 1000\n"
    )
}

/// Answers, each next to its schema.
struct Answers {
    daemon: Daemon,
    document: Value,
    bearer: String,
    cases: Vec<Value>,
    /// The paths of the answers to GET.
    read: BTreeSet<String>,
}

impl Answers {
    fn new(daemon: Daemon, bearer: String) -> Self {
        let document = daemon.get("/openapi.json");
        Self { daemon, document, bearer, cases: Vec::new(), read: BTreeSet::new() }
    }

    /// The schema of an answer of that media type.
    fn schema(
        &self,
        (method, path, status): (&str, &str, u16),
        media_type: &str,
    ) -> Option<&Value> {
        let escaped = |text: &str| text.replace('/', "~1");
        let operation = format!("/paths/{}/{}", escaped(path), method.to_lowercase());
        let content = format!("responses/{status}/content/{}/schema", escaped(media_type));
        self.document.pointer(&format!("{operation}/{content}"))
    }

    fn keep(&mut self, place: &str, schema: Option<&Value>, value: &Value) {
        let schema = schema.unwrap_or_else(|| panic!("{place} has no schema"));
        self.cases.push(json!({ "place": place, "schema": schema, "value": value }));
    }

    /// Keeps the answer to a request. `path` is that of the description, `id` stands for its parameter.
    fn ask(&mut self, (method, path): (&str, &str), id: &str, body: &str) -> Value {
        let asked = path.replace("{id}", id).replace("{name}", id);
        let kind =
            if path.ends_with("events") { "application/x-ndjson" } else { "application/json" };
        let headers = [("authorization", self.bearer.as_str()), ("content-type", kind)];
        let (status, text) = self.daemon.send(method, &asked, &headers, body);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let kind = if status < 300 { "application/json" } else { "application/problem+json" };
        let schema = self.schema((method, path, status), kind).cloned();
        self.keep(&format!("{method} {asked}: {status}"), schema.as_ref(), &value);
        if method == "GET" && status == 200 {
            self.read.insert(path.to_owned());
        }
        value
    }

    fn get(&mut self, path: &str, id: &str) -> Value {
        let value = self.ask(("GET", path), id, "");
        assert_ne!(value, json!([]), "{path} has nothing to say");
        value
    }

    fn follow(&self, path: &str) -> impl BufRead + use<> {
        let request = http().get(format!("{}{path}", self.daemon.base()));
        let request = request.header("accept", "text/event-stream");
        let request = request.header("authorization", &self.bearer).timeout(PATIENCE);
        BufReader::new(request.send().expect("a stream"))
    }

    /// Keeps the events of a stream until there was one of each of these names.
    fn keep_events(&mut self, path: &str, stream: impl BufRead, names: &[&str]) {
        let schema = self.schema(("get", path, 200), "text/event-stream");
        let schemas = schema.and_then(|schema| schema.get("x-event-data")).cloned();
        let schemas = schemas.expect("the data of its events is described");
        let mut wanted: BTreeSet<&str> = names.iter().copied().collect();
        let mut name = String::new();
        for line in stream.lines() {
            let line = line.expect("it goes on");
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let value = serde_json::from_str(data).expect("JSON");
                self.keep(&format!("{path}: {name}"), schemas.get(&name), &value);
                wanted.remove(name.as_str());
                if wanted.is_empty() {
                    return;
                }
            }
        }
        panic!("the stream ended without {wanted:?}");
    }

    /// The paths of GET that answer with JSON.
    fn readable(&self) -> BTreeSet<String> {
        let paths = self.document.get("paths").and_then(Value::as_object).expect("paths").keys();
        let is_json =
            |path: &&String| self.schema(("get", path, 200), "application/json").is_some();
        paths.filter(is_json).cloned().collect()
    }

    /// Fails where an answer does not keep to its schema, or where one with a property more would.
    fn judge(&self) {
        assert_eq!(self.readable(), self.read, "each is asked");
        assert_eq!(self.faults(&self.cases), "");
        let spoiled: Vec<Value> = self.cases.iter().filter_map(spoiled).collect();
        assert!(spoiled.len() > 30, "{}", spoiled.len());
        let faults = self.faults(&spoiled);
        for case in &spoiled {
            let place = case.get("place").and_then(Value::as_str).expect("text");
            assert!(faults.contains(place), "{place} may have anything");
        }
    }

    /// The faults of values by their schemas, one a line.
    fn faults(&self, cases: &[Value]) -> String {
        let mut python = Command::new(tool("python"));
        let python = python.args(["-c", VALIDATE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("it runs");
        let given = json!({ "document": self.document, "cases": cases }).to_string();
        let mut input = child.stdin.take().expect("an input");
        input.write_all(given.as_bytes()).expect("it reads");
        drop(input);
        let done = child.wait_with_output().expect("it ends");
        assert!(done.status.success(), "it ran into a fault");
        String::from_utf8(done.stdout).expect("text")
    }
}

/// A case whose object, or the first of whose objects, has a property more; none if it has no object.
fn spoiled(case: &Value) -> Option<Value> {
    let mut case = case.clone();
    let is_list = case.get("value").is_some_and(Value::is_array);
    let object = case.pointer_mut(if is_list { "/value/0" } else { "/value" })?;
    object.as_object_mut()?.insert("undescribed".to_owned(), Value::Null);
    Some(case)
}

/// A daemon that asks two people before it revokes, and has a store besides its own.
fn busy_daemon(folder: &tempfile::TempDir, receiver: &Receiver) -> (Daemon, String) {
    let (ada, bearer) = token_of(folder, "ada", "operate");
    let (bob, _) = token_of(folder, "bob", "operate");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.display().to_string()
    };
    let signing = write("signing.pem", &rcgen::KeyPair::generate().expect("a key").serialize_pem());
    let config = format!(
        "mode.default = \"revoke\"\nlimits.default = \"60/min\"\n\
         [approval]\nrequired_approvers = 2\n[egress]\nnetworks = [\"127.0.0.0/8\"]\n\
         [sources.default]\n[sources.logs]\ntype = \"otlp\"\n[auth_store.shared_signals.idp]\nurl = \"{}\"\n\
         issuer = \"i\"\naudience = \"a\"\nsigning_key_file = \"{signing}\"\nbearer_file = \"{}\"\n\
         {ada}{bob}{}",
        receiver.url("/signals"),
        write("bearer", "a-bearer"),
        leaks_of(folder, &bearer),
    );
    (Daemon::start(folder, &config), bearer)
}

/// Has a minute of tenants shown: from 15 seconds after its end, for a minute. No later minute may have begun
/// to be counted.
fn await_tenants(answers: &mut Answers) {
    until("a new minute has just come", Duration::from_mins(1), || {
        ((now_ms() - 15_000) % 60_000 < 30_000).then_some(())
    });
    let begun = ((now_ms() - 15_000) / 60_000 - 1) * 60_000;
    answers.ask(("POST", "/v1/events"), "", &uses("key_3", begun + 30_000, 3));
    let bearer = answers.bearer.clone();
    until("the tenants are counted", PATIENCE, || {
        let headers = [("authorization", bearer.as_str())];
        let (_, text) = answers.daemon.send("GET", "/v1/tenants", &headers, "");
        text.contains("acme").then_some(())
    });
    answers.get("/v1/tenants", "");
}

#[test]
fn every_json_answer_of_a_busy_daemon_keeps_to_its_schema() {
    if skipped("schemathesis") {
        return;
    }
    let (folder, receiver) = (tempfile::tempdir().expect("a folder"), Receiver::start());
    // Its store never answers well, so the status has a fault to show.
    receiver.answer(500);
    let (daemon, bearer) = busy_daemon(&folder, &receiver);
    let mut answers = Answers::new(daemon, bearer);
    answers.get("/v1/tenants", "");
    await_tenants(&mut answers);
    let news = answers.follow("/v1/stream");
    answers.get("/v1/status", "");
    answers.ask(("POST", "/v1/credentials/{id}/suspend"), "session:s1", REASON);
    let flood = format!("nonsense\n{}", uses("key_1", now_ms(), 2000));
    let answer = answers.ask(("POST", "/v1/events"), "", &flood);
    assert_eq!((&answer["accepted"], &answer["refused"]), (&2000.into(), &1.into()));
    answers.keep_events("/v1/stream", news, &["finding", "decision"]);
    let headers = [("authorization", answers.bearer.as_str())];
    let waiting = until("it waits for people", PATIENCE, || {
        let (_, text) = answers.daemon.send("GET", "/v1/approvals", &headers, "");
        let waiting: Value = serde_json::from_str(&text).expect("JSON");
        waiting[0]["decision"]["id"].as_str().map(str::to_owned)
    });
    let voice = answers.ask(("POST", "/v1/decisions/{id}/approve"), &waiting, REASON);
    assert_eq!(voice["voice"]["missing"], 1, "{voice}");
    answers.ask(("POST", "/v1/decisions/{id}/approve"), &waiting, REASON);
    answers.get("/v1/approvals", "");
    let finding = answers.get("/v1/findings", "")[0]["id"].as_str().expect("an id").to_owned();
    answers.get("/v1/findings/{id}", &finding);
    answers.get("/v1/credentials/{id}", "key_1");
    answers.ask(("POST", "/v1/decisions/{id}/reject"), &waiting, REASON);
    for verb in ["suspend", "restore", "revoke"] {
        let path = format!("/v1/credentials/{{id}}/{verb}");
        answers.ask(("POST", &path), "key_2", r#"{"reason":"r","by":"Ada"}"#);
        answers.ask(("POST", &path), "key_1", REASON);
    }
    let decisions = answers.get("/v1/decisions", "");
    let all = decisions.as_array().expect("a list");
    assert!(all.iter().any(|one| one["stores"].is_object()), "{decisions}");
    answers.get("/v1/decisions/{id}", &waiting);
    answers.ask(("POST", "/v1/canaries"), "", r#"{"credential":"key_trap","note":"in the wiki"}"#);
    for path in [
        "/v1/credentials",
        "/v1/budget",
        "/v1/changes",
        "/.well-known/jwks.json",
        "/v1/canaries",
        "/v1/audit/expiry",
        "/v1/revocable_token_types",
    ] {
        answers.get(path, "");
    }
    answers.ask(("DELETE", "/v1/canaries/{id}"), "key_trap", "");
    let changes = answers.follow("/v1/changes?since=unknown:1");
    answers.keep_events("/v1/changes", changes, &["reset", "change"]);
    answers.ask(("POST", "/v1/reload"), "", "");
    let otlp =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;
    for body in ["{}", otlp] {
        answers.ask(("POST", "/v1/sources/{name}/v1/logs"), "logs", body);
    }
    for (path, id) in [("/v1/findings/{id}", "f_0"), ("/v1/decisions/{id}", "d_0")] {
        answers.ask(("GET", path), id, "");
    }
    let status = answers.get("/v1/status", "");
    assert!(status["stores"].as_array().is_some_and(|stores| !stores.is_empty()), "{status}");
    answers.judge();
}
