//! Redaction: secrets are taken out, names become short keyed hashes.
//!
//! Twice: by place, as it is known where secrets and names stand; and at the end by value, as the secrets
//! and names themselves are known here. The key of the hashes is made for each dump and kept nowhere: one
//! name has one hash within a dump, and can't be found out from it.

use crate::config::loader;
use crate::formats::secrets::secret::{Fingerprinter, looks_like_secret, without_secrets};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use url::Url;

/// The substitute for a secret.
const GONE: &str = "[redacted]";
/// The shortest secret or name that is sought by its value. Unit: bytes. Chosen: less is in every text.
const SOUGHT_BYTES_MIN: usize = 4;
/// Fields of findings and decisions that say nothing of whose they are.
const PLAIN: [&str; 21] = [
    "id",
    "finding",
    "kind",
    "generation",
    "action",
    "wanted",
    "mode",
    "carried_out",
    "held_by",
    "until",
    "at",
    "expires",
    "evidence",
    "stores",
    "detector",
    "opened",
    "reached",
    "gates",
    "updated",
    "closed",
    "evidence_nats",
];
/// Fields of log lines that say whose something is.
const NAMING: [&str; 12] = [
    "credential",
    "subject",
    "tenant",
    "by",
    "account",
    "reason",
    "ip",
    "address",
    "peer",
    "user_agent",
    "endpoint",
    "owner",
];
/// Those that say of a line that its message is about someone.
const ABOUT_ONE: [&str; 5] = ["credential", "subject", "tenant", "by", "reason"];
/// Raw settings of librdkafka that are no secrets.
const LIBRDKAFKA: [&str; 10] = [
    "group.protocol",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "session.timeout.ms",
    "fetch.wait.max.ms",
    "queued.max.messages.kbytes",
    "compression.type",
    "linger.ms",
    "broker.address.family",
];

/// The substitute for a line of a log that is no JSON.
const NO_JSON: &str = "(left out: this line is no JSON)";

/// Takes out secrets and replaces names.
pub(super) struct Redactor {
    secrets: Vec<String>,
    names: BTreeMap<String, String>,
    key: Fingerprinter,
    shows_names: bool,
}

impl Redactor {
    /// Knows these secrets; hashes under that key, unless names are shown.
    pub(super) fn new(mut secrets: Vec<String>, key: Vec<u8>, shows_names: bool) -> Self {
        secrets.retain(|secret| secret.len() >= SOUGHT_BYTES_MIN);
        // A part of one must not take it apart.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets, names: BTreeMap::new(), key: Fingerprinter::new(key), shows_names }
    }

    /// The substitute for a name, which is sought from now on.
    pub(super) fn name(&mut self, name: &str) -> String {
        if self.shows_names || name.is_empty() {
            return self.text(name);
        }
        let hash = self.key.fingerprint(name.as_bytes());
        let hash = format!("h_{}", hash.get(3..15).unwrap_or("0"));
        if name.len() >= SOUGHT_BYTES_MIN {
            self.names.insert(name.to_owned(), hash.clone());
        }
        hash
    }

    /// The name of a credential, whose kind is kept.
    fn credential(&mut self, name: &str) -> String {
        match name.split_once(':') {
            Some((kind, id)) => format!("{kind}:{}", self.name(id)),
            None => self.name(name),
        }
    }

    /// A text without the secrets that are known.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), GONE);
            }
        }
        text
    }

    /// A text without secrets, known or not, and without the names that are known.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = self.without_secrets(&places(text));
        if let Some(clean) = without_secrets(&text, |_| GONE.to_owned()) {
            text = clean;
        }
        if !self.shows_names {
            let mut names: Vec<_> = self.names.iter().collect();
            names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
            for (name, hash) in names {
                text = replace_word(&text, name, hash);
            }
        }
        let mut words = String::new();
        for word in
            text.split_inclusive(|c: char| c.is_whitespace() || "\"',;()[]{}<>=".contains(c))
        {
            let end =
                word.trim_end_matches(|c: char| c.is_whitespace() || "\"',;()[]{}<>=".contains(c));
            let rest = word.get(end.len()..).unwrap_or("");
            words.push_str(&self.word(end));
            words.push_str(rest);
        }
        words
    }

    fn word(&self, word: &str) -> String {
        if looks_like_secret(word) {
            return GONE.to_owned();
        }
        let bare = word.trim_end_matches(['.', ':']);
        let address = bare.parse::<IpAddr>().ok();
        let address = address.or_else(|| bare.parse::<SocketAddr>().ok().map(|one| one.ip()));
        match address {
            Some(address) if !self.shows_names && !address.is_loopback() => {
                let hash = self.key.fingerprint(address.to_string().as_bytes());
                format!("h_{}", hash.get(3..15).unwrap_or("0"))
            }
            Some(_) | None => word.to_owned(),
        }
    }

    /// A finding or a decision.
    pub(super) fn row(&mut self, row: &Value) -> Value {
        let mut shown = Map::new();
        for (name, value) in row.as_object().into_iter().flatten() {
            let value = match value {
                Value::String(text) if !PLAIN.contains(&name.as_str()) => self.name(text).into(),
                Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
                _ if PLAIN.contains(&name.as_str()) => value.clone(),
                Value::String(_) | Value::Array(_) | Value::Object(_) => GONE.into(),
            };
            shown.insert(name.clone(), value);
        }
        Value::Object(shown)
    }

    /// A line of a log: JSON, with what a service manager may have put before it. Another one may name
    /// anyone, and is left out.
    pub(super) fn log_line(&mut self, line: &str) -> String {
        let (head, json) = line.split_at(line.find('{').unwrap_or(line.len()));
        let Ok(Value::Object(fields)) = serde_json::from_str(json) else {
            return if self.shows_names { self.text(line) } else { NO_JSON.to_owned() };
        };
        let names_one = ABOUT_ONE.iter().any(|key| fields.contains_key(*key));
        let mut shown = Map::new();
        for (name, value) in fields {
            let value = match value {
                Value::String(text) => match name.as_str() {
                    "timestamp" => text,
                    "credential" => self.credential(&text),
                    // Text about a person is a reason.
                    "message" if names_one => self.name(&text),
                    name if NAMING.contains(&name) => self.name(&text),
                    _ => self.text(&text),
                }
                .into(),
                Value::Null | Value::Bool(_) | Value::Number(_) => value,
                Value::Array(_) | Value::Object(_) => self.text(&value.to_string()).into(),
            };
            shown.insert(name, value);
        }
        format!("{}{}", self.text(head), Value::Object(shown))
    }

    /// The settings of a file.
    pub(super) fn settings(&mut self, table: &toml::Table) -> Value {
        self.table(table, &[])
    }

    fn table(&mut self, table: &toml::Table, path: &[&str]) -> Value {
        let of_names = matches!(
            path,
            [
                "limits" | "mode" | "allow_list",
                "credential" | "tenant" | "tenant_each" | "tenant_sum"
            ]
        );
        let mut shown = Map::new();
        for (key, value) in table {
            let name = if of_names { self.credential(key) } else { key.clone() };
            let inner: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            let value = match value {
                toml::Value::Table(further) => self.table(further, &inner),
                toml::Value::String(text) => self.setting(text, &inner).into(),
                toml::Value::Array(values) => {
                    let each = values.iter().map(|one| match one.as_str() {
                        Some(text) => self.setting(text, &inner),
                        None => GONE.to_owned(),
                    });
                    each.collect::<Vec<_>>().into()
                }
                toml::Value::Integer(number) => (*number).into(),
                toml::Value::Float(number) => (*number).into(),
                toml::Value::Boolean(flag) => (*flag).into(),
                toml::Value::Datetime(time) => time.to_string().into(),
            };
            shown.insert(name, value);
        }
        Value::Object(shown)
    }

    /// The text of the setting at `path`.
    fn setting(&mut self, text: &str, path: &[&str]) -> String {
        let key = path.last().copied().unwrap_or("");
        let is_file = key.ends_with("_file");
        let holds_secret = ["password", "secret", "token", "routing_key", "bearer", "header"]
            .iter()
            .any(|word| key.contains(word));
        let raw = path.iter().rev().nth(1).is_some_and(|table| *table == "librdkafka");
        if raw && !LIBRDKAFKA.contains(&key) {
            return GONE.to_owned();
        }
        let shown = if text.contains("://") { place(text) } else { text.to_owned() };
        let is_secret = looks_like_secret(&shown) || (!is_file && is_random(text));
        if (holds_secret && !is_file) || is_secret {
            return GONE.to_owned();
        }
        if matches!(key, "owner" | "reason") {
            return self.name(text);
        }
        self.without_secrets(&shown)
    }

    /// The settings of the environment.
    pub(super) fn environment(&mut self) -> Value {
        let mut shown = Map::new();
        for (name, value) in loader::environment() {
            let path = name.to_ascii_lowercase();
            let path: Vec<&str> = path.trim_start_matches("tripline_").split("__").collect();
            shown.insert(name.clone(), self.setting(&value, &path).into());
        }
        Value::Object(shown)
    }
}

/// Whether a text looks as if chance had made it.
fn is_random(text: &str) -> bool {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"+=_-".contains(&byte);
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    text.len() >= 20
        && text.bytes().all(of_token)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
}

/// An address without user, query, and for the web without its path, in which secrets stand too.
fn place(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return GONE.to_owned() };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let path = match url.scheme() {
        "file" | "s3" | "gs" | "az" => url.path(),
        _ if url.path().len() > 1 => "/…",
        _ => "",
    };
    format!("{}://{}{port}{path}", url.scheme(), url.host_str().unwrap_or(""))
}

/// A text with each address in it as [`place`] shows it.
fn places(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at);
        let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let begin = before.trim_end_matches(of_scheme).len();
        let ends = |c: char| c.is_whitespace() || "\"'<>\\`,;(){}|".contains(c);
        let end =
            at + 3 + after.get(3..).and_then(|after| after.find(ends)).unwrap_or(after.len() - 3);
        out.push_str(rest.get(..begin).unwrap_or(""));
        out.push_str(&place(rest.get(begin..end).unwrap_or("")));
        rest = rest.get(end..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// Replaces `name` where it is a word of its own.
fn replace_word(text: &str, name: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    while let Some((before, after)) = rest.split_once(name) {
        let last = before.chars().next_back().or_else(|| out.chars().next_back());
        let alone = !last.is_some_and(joins) && !after.chars().next().is_some_and(joins);
        out.push_str(before);
        out.push_str(if alone { by } else { name });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The secrets that are in the files and the settings of a configuration.
pub(super) fn secrets(files: &[PathBuf], table: Option<&toml::Table>) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        found.extend(of_file(file));
    }
    let mut texts = Vec::new();
    if let Some(table) = table {
        texts_of(table, &mut texts);
    }
    texts.extend(loader::environment());
    for (key, text) in texts {
        let key = key.to_ascii_lowercase();
        if ["password", "secret", "routing_key"].iter().any(|word| key.contains(word))
            && !key.ends_with("_file")
        {
            found.push(text.clone());
        }
        found.extend(of_url(&text));
    }
    found
}

fn of_file(file: &Path) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let mut found = vec![text.trim().to_owned()];
    // Lines of a key in PEM.
    found.extend(text.lines().map(str::trim).filter(|line| line.len() >= 16).map(str::to_owned));
    found.extend(of_url(text.trim()));
    found
}

/// The password of an address, as it is written and as it is meant.
fn of_url(text: &str) -> Vec<String> {
    let Some(password) = Url::parse(text).ok().and_then(|url| url.password().map(str::to_owned))
    else {
        return Vec::new();
    };
    let meant =
        url::form_urlencoded::parse(format!("p={}", password.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned());
    std::iter::once(password).chain(meant).collect()
}

fn texts_of(table: &toml::Table, found: &mut Vec<(String, String)>) {
    for (key, value) in table {
        match (value.as_table(), value.as_str()) {
            (Some(inner), _) => texts_of(inner, found),
            (None, Some(text)) => found.push((key.clone(), text.to_owned())),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GONE, Redactor, place, secrets};
    use serde_json::json;

    fn veil() -> Redactor {
        Redactor::new(vec!["hunter2".into(), "hunter2-and-more".into()], vec![7; 32], false)
    }

    #[test]
    fn a_row_keeps_its_numbers_and_loses_its_names() {
        let row = json!({"id": "d_1", "credential": "key_7f3a", "kind": "api_key", "by": "jo",
            "reason": "from 203.0.113.7", "generation": 3, "held_by": ["mode"], "other": {"a": 1}});
        let mut veil = veil();
        let shown = veil.row(&row);
        assert_eq!((&shown["id"], &shown["generation"]), (&json!("d_1"), &json!(3)));
        assert_eq!((&shown["held_by"], &shown["other"]), (&json!(["mode"]), &json!(GONE)));
        let text = shown.to_string();
        assert!(
            !text.contains("7f3a") && !text.contains("203") && !text.contains("\"jo\""),
            "{text}"
        );
        let hash = shown["credential"].as_str().expect("a hash");
        assert_eq!(
            veil.text("seen: key_7f3a, not key_7f3ab"),
            format!("seen: {hash}, not key_7f3ab")
        );
        let mut open = Redactor::new(vec![], vec![7; 32], true);
        assert_eq!(open.row(&row)["credential"], "key_7f3a");
    }

    #[test]
    fn logs_lose_what_looks_like_a_secret_and_addresses() {
        let mut veil = veil();
        let line = json!({"timestamp": "2026", "level": "WARN", "message": "asked by 198.51.100.9:443",
            "error": "Bearer sk-abcdefghijklmnopqrstuv of redis://u:hunter2@h:1/0?x=hunter2-and-more"});
        let shown = veil.log_line(&line.to_string());
        for gone in ["198.51", "sk-abc", "hunter2", "and-more"] {
            assert!(!shown.contains(gone), "{gone}: {shown}");
        }
        assert!(shown.contains("asked by h_") && shown.contains("redis://h:1/…"), "{shown}");
        let shown =
            veil.log_line("2026 INFO decided credential=api_key:key_1 by=\"jo doe\" took=3");
        assert_eq!(shown, super::NO_JSON);
        let decided = json!({"message": "leaked at the fair", "credential": "api_key:key_2"});
        let shown = veil.log_line(&decided.to_string());
        assert!(!shown.contains("fair") && shown.contains("api_key:h_"), "{shown}");
        let shown = veil.log_line(&format!("Nov 25 host tripline[7]: {decided}"));
        assert!(
            !shown.contains("fair") && shown.starts_with("Nov 25 host tripline[7]: {"),
            "{shown}"
        );
    }

    #[test]
    fn settings_lose_secrets_wherever_they_stand() {
        let text = r#"
            [http.tokens.gateway]
            roles = ["check"]
            token_file = "/etc/gateway.token"
            [sources.kafka]
type = "kafka"
            brokers = "k:9092"
            [sources.kafka.librdkafka]
            "security.protocol" = "ssl"
            "sasl.password" = "opensesame"
            [auth_store.redis]
            url = "redis://tripline:pass%40word@r:6379/0"
            [allow_list.credential."api_key:key_load_test"]
            owner = "jo"
            [nobody]
            knows = "0123456789abcdef0123456789abcdef"
        "#;
        let table: toml::Table = text.parse().expect("TOML");
        let shown = veil().settings(&table).to_string();
        for gone in ["opensesame", "pass%40word", "key_load_test", "\"jo\"", "0123456789"] {
            assert!(!shown.contains(gone), "{gone}: {shown}");
        }
        for kept in ["k:9092", "\"ssl\"", "/etc/gateway.token", "redis://r:6379/…", "api_key:h_"]
        {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        let found = secrets(&[], Some(&table));
        for secret in ["opensesame", "pass%40word", "pass@word"] {
            assert!(found.iter().any(|one| one == secret), "{found:?}");
        }
        assert_eq!(place("s3://bucket/folder?key=1"), "s3://bucket/folder");
        assert_eq!(place("https://u:p@hooks.example/T/B/x?y"), "https://hooks.example/…");
    }
}
