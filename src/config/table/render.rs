//! The table of settings as an example file, a page of the reference, and a JSON Schema.

use super::all::{LIVE_SECTIONS, settings};
use super::setting::{Kind, Setting};
use crate::config::units::{written_bytes, written_ms};
use serde_json::{Map, Value, json};

/// Columns of a line of comment.
const WIDTH: usize = 106;

/// Sections that are off unless they are in the file.
const OPTIONAL: [&str; 3] = ["auth_store", "leaks", "notify"];

const HEAD: &str = "tripline's configuration. Every line that begins with `#=` is a default: remove the mark to \
    change it. Check a file with `tripline check FILE`: it reports every mistake at once.\n\
    \n\
    Durations: 500ms, 60s, 15min, 24h, 14d. Rates: 10000/min, 10k/min, 200/s, none. Sizes: 512KiB, 8MiB, \
    1GiB. Each setting but those under names of your own can come from the environment instead: [http] listen is \
    TRIPLINE_HTTP__LISTEN. \
    Secrets come from files.\n\
    \n\
    The file, and the token files with it, is read again at SIGHUP, by POST /v1/reload, and once a whole new \
    file is moved into its place (one that is written to in its place may be half written, and waits for a \
    signal). {LIVE} are applied at once, the rest after a restart. A file with mistakes changes nothing.";

/// "a, b and c".
fn listed(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}

fn wrapped(text: &str) -> String {
    let mut out = String::new();
    for paragraph in text.split('\n') {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                out.push_str(&line);
                out.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// A key as TOML writes it.
fn key(part: &str) -> String {
    let is_bare = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { part.to_owned() } else { format!("\"{part}\"") }
}

/// The section that a setting is in, and its key.
fn place(setting: &Setting) -> (Vec<(&'static str, bool)>, &'static str) {
    let mut parts = setting.parts();
    let last = parts.pop().map_or("", |(part, _)| part);
    (parts, last)
}

/// The words after the description: the range, or the words that a value may be.
fn range(kind: Kind) -> String {
    match kind {
        Kind::Choice(words) => format!(" One of {}.", words.join(", ")),
        Kind::Choices(words) => format!(" Of {}.", words.join(", ")),
        Kind::Integer { min, max } => format!(" Range: {min} to {max}."),
        Kind::Number { min, max, .. } => format!(" Range: {min} to {max}."),
        Kind::Duration { min_ms, max_ms: i64::MAX } if min_ms > 0 => {
            format!(" At least {}.", written_ms(min_ms))
        }
        Kind::Duration { max_ms, .. } if max_ms < i64::MAX => {
            format!(" At most {}.", written_ms(max_ms))
        }
        Kind::Size { min } if min > 0 => format!(" At least {}.", written_bytes(min)),
        Kind::Flag
        | Kind::Text
        | Kind::Texts
        | Kind::Place
        | Kind::File
        | Kind::Address
        | Kind::Permissions
        | Kind::Time
        | Kind::Table
        | Kind::Duration { .. }
        | Kind::Size { .. }
        | Kind::Rate { .. } => String::new(),
    }
}

/// The example file, `config/tripline.toml`.
pub fn toml() -> String {
    let mut out = wrapped(&HEAD.replace("{LIVE}", &listed(&LIVE_SECTIONS)));
    let mut current: Option<String> = None;
    for setting in settings() {
        let (section, name) = place(setting);
        let title: Vec<String> = section.iter().map(|(part, _)| key(part)).collect();
        let title = title.join(".");
        let is_example = section.iter().any(|(_, is_name)| *is_name)
            || section.first().is_some_and(|(part, _)| OPTIONAL.contains(part))
            || setting.path.ends_with('>');
        if current.as_deref() != Some(&title) && !title.is_empty() {
            out.push('\n');
            out.push_str(&format!("{}[{title}]\n", if is_example { "# " } else { "" }));
        } else if current.is_none() {
            out.push('\n');
        }
        current = Some(title);
        out.push_str(&wrapped(&format!("{}{}", setting.doc, range(setting.kind))));
        let mark = if setting.default.is_some() && !is_example { "#=" } else { "#" };
        let value = setting.default.or(setting.example).unwrap_or("\"\"");
        out.push_str(&format!("{mark} {} = {value}\n", key(name)));
    }
    out
}

fn words_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Flag => "true or false",
        Kind::Text => "text",
        Kind::Texts => "list of texts",
        Kind::Place => "place",
        Kind::File => "path",
        Kind::Address => "address",
        Kind::Permissions => "permissions",
        Kind::Time => "time (RFC 3339)",
        Kind::Table => "table",
        Kind::Choice(_) => "word",
        Kind::Choices(_) => "list of words",
        Kind::Integer { .. } => "whole number",
        Kind::Number { or_none: false, .. } => "number",
        Kind::Number { or_none: true, .. } => "number or \"none\"",
        Kind::Duration { .. } => "duration",
        Kind::Size { .. } => "size",
        Kind::Rate { or_none: false } => "rate",
        Kind::Rate { or_none: true } => "rate or \"none\"",
    }
}

/// The page of the reference.
pub fn markdown() -> String {
    let mut out = "# Settings\nWritten by `tripline generate reference`. Names in `<…>` are the operator's own. The \
        example file is\n[config/tripline.toml](../../config/tripline.toml); `tripline generate schema` prints a \
        JSON Schema for editors.\n\n| setting | value | default | description |\n|---|---|---|---|\n"
        .to_owned();
    for setting in settings() {
        let default = setting.default.map_or(String::new(), |default| format!("`{default}`"));
        let text = format!("{}{}", setting.doc, range(setting.kind)).replace('|', "\\|");
        let (path, kind) = (setting.path, words_of(setting.kind));
        out.push_str(&format!("| `{path}` | {kind} | {default} | {text} |\n"));
    }
    out
}

fn value_schema(setting: &Setting) -> Value {
    let mut schema = match setting.kind {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Text | Kind::File | Kind::Address | Kind::Time => json!({"type": "string"}),
        Kind::Permissions => json!({"type": "string", "pattern": "^0?[0-7]{3}$"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Place => place_schema(),
        Kind::Table => json!({"type": "object"}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Choices(words) => json!({"type": "array", "items": {"enum": words}}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Number { min, max, or_none } => {
            let number = json!({"type": "number", "minimum": min, "maximum": max});
            if or_none { json!({"anyOf": [number, {"const": "none"}]}) } else { number }
        }
        Kind::Duration { .. } => {
            json!({"type": "string", "pattern": r"^[0-9.]+\s*(ms|s|m|min|h|d)$"})
        }
        Kind::Size { .. } => json!({"type": "string", "pattern": r"^[0-9.]+\s*(B|KiB|MiB|GiB)$"}),
        Kind::Rate { or_none } => {
            let rate = r"[0-9.]+\s*[kM]?\s*/\s*(s|m|min|h)";
            let pattern = if or_none { format!("^(none|{rate})$") } else { format!("^{rate}$") };
            json!({"type": "string", "pattern": pattern})
        }
    };
    if let Some(schema) = schema.as_object_mut() {
        let text = format!("{}{}", setting.doc, range(setting.kind));
        schema.insert("description".to_owned(), Value::from(text));
    }
    schema
}

fn place_schema() -> Value {
    let pointer = json!({"type": "string", "pattern": "^/"});
    let text = json!({"type": "string"});
    let part = json!({
        "type": "object",
        "properties": {
            "at": pointer, "value": text, "match": text, "format": text, "fingerprint": {"type": "boolean"},
        },
        "additionalProperties": false,
    });
    json!({"anyOf": [pointer, part, {"type": "array", "items": {"anyOf": [pointer, part]}}]})
}

/// A JSON Schema of configurations.
pub fn schema() -> Value {
    let mut root = table_schema();
    for setting in settings() {
        let mut at = &mut root;
        let parts = setting.parts();
        for (depth, (part, is_name)) in parts.iter().enumerate() {
            let is_last = depth + 1 == parts.len();
            let child = if is_last { value_schema(setting) } else { table_schema() };
            at = if *is_name {
                if at["additionalProperties"].is_object() {
                    &mut at["additionalProperties"]
                } else {
                    at["additionalProperties"] = child;
                    &mut at["additionalProperties"]
                }
            } else {
                let properties = at["properties"].as_object_mut();
                let Some(properties) = properties else { break };
                properties.entry(*part).or_insert(child)
            };
        }
    }
    if let Some(root) = root.as_object_mut() {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("tripline's configuration"));
    }
    root
}

fn table_schema() -> Value {
    json!({"type": "object", "properties": Map::new(), "additionalProperties": false})
}
