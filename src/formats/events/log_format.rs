//! The lines of a server whose format is in its configuration: nginx's `log_format`, Apache's `LogFormat`; or that
//! a regular expression reads.
//!
//! ```text
//!  $remote_addr - $remote_user [$time_local] "$request" $status
//!    no space       no space     no bracket    no quote  no space   within a value
//! ```
//! **Invariant.** A line can be split in one way only, so that no client moves a value into another's place: what
//! stands between a variable and the next one does not occur in it. A line in which it does is refused.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// The largest compiled format. Unit: bytes. Chosen: dozens of variables take some hundred kilobytes.
const FORMAT_BYTES_MAX: usize = 4 << 20;

/// Texts of clients, which may hold spaces.
const CLIENT_TEXTS: [&str; 4] = ["request", "uri", "request_uri", "args"];

/// Apache's directives, by the names that nginx has for them.
const DIRECTIVES: [(&str, &str); 14] = [
    ("h", "remote_addr"),
    ("a", "remote_addr"),
    ("l", "remote_logname"),
    ("u", "remote_user"),
    ("t", "time_local"),
    ("r", "request"),
    ("s", "status"),
    ("b", "body_bytes_sent"),
    ("B", "body_bytes_sent"),
    ("O", "bytes_sent"),
    ("I", "request_length"),
    ("v", "server_name"),
    ("V", "host"),
    ("D", "request_time_us"),
];

/// Why a text is no format of lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFormatError {
    /// It has no variable.
    #[error("it has no variable, like $remote_addr or %h")]
    NoVariable,
    /// Two variables follow each other.
    #[error("nothing stands between `{0}` and the next variable, so they can't be told apart")]
    Touching(String),
    /// A text of clients stands without quotes.
    #[error("`{0}` is a text of clients and may hold spaces: it must stand in quotes")]
    Unquoted(String),
    /// A directive that is not known.
    #[error("unknown directive `{0}`")]
    Unknown(String),
    /// Its values are not escaped.
    #[error("with escape=none a client can write quotes, and move its values into another's place")]
    Unescaped,
    /// It is too large.
    #[error("it is too large")]
    TooLarge,
    /// A regular expression without a name for any part.
    #[error("it names no part, like (?P<status>[0-9]+)")]
    NoName,
    /// No regular expression.
    #[error("invalid regular expression: {0}")]
    Pattern(String),
}

/// A part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

/// The format of a log's lines.
#[derive(Clone, Debug)]
pub struct LogFormat {
    text: String,
    /// Those of the groups, in their order; a group of a regular expression may have none.
    names: Vec<Option<String>>,
    pattern: Regex,
}

impl PartialEq for LogFormat {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for LogFormat {}

impl LogFormat {
    /// Reads a format, as it stands in a configuration: the texts alone, or the whole statement.
    ///
    /// # Errors
    /// When its lines could not be split, or it is none.
    pub fn parse(text: &str) -> Result<Self, LogFormatError> {
        if text.contains("escape=none") {
            return Err(LogFormatError::Unescaped);
        }
        let statement = statement(text);
        let is_apache = !statement.contains('$');
        let pieces = if is_apache { apache(&statement)? } else { nginx(&statement) };
        let mut pattern = "^".to_owned();
        let mut names = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let around = |at: Option<usize>| match at.and_then(|at| pieces.get(at)) {
                Some(Piece::Text(text)) => text.as_str(),
                Some(Piece::Variable(_)) | None => "",
            };
            match piece {
                Piece::Text(text) => pattern.push_str(&regex::escape(text)),
                Piece::Variable(name) => {
                    if matches!(pieces.get(at + 1), Some(Piece::Variable(_))) {
                        return Err(LogFormatError::Touching(name.clone()));
                    }
                    let (before, after) = (around(at.checked_sub(1)), around(Some(at + 1)));
                    let is_before_time = matches!(
                        pieces.get(at + 2..),
                        Some([Piece::Variable(time), Piece::Text(text), ..])
                            if time == "time_local" && ["] \"", " \""].contains(&begin_of(text))
                    );
                    pattern.push_str(&value(name, (before, after), is_apache, is_before_time)?);
                    names.push(Some(name.clone()));
                }
            }
        }
        pattern.push('$');
        if names.is_empty() {
            return Err(LogFormatError::NoVariable);
        }
        let pattern = RegexBuilder::new(&pattern).size_limit(FORMAT_BYTES_MAX).build();
        let pattern = pattern.map_err(|_| LogFormatError::TooLarge)?;
        Ok(Self { text: text.to_owned(), names, pattern })
    }

    /// Reads a regular expression whose named groups are the variables; it has to match a line as a whole.
    ///
    /// That a client can't move a value into another's place is up to its author.
    ///
    /// # Errors
    /// When it is none, names no group or is too large.
    pub fn from_pattern(text: &str) -> Result<Self, LogFormatError> {
        let whole = format!("^(?:{text})$");
        let pattern = RegexBuilder::new(&whole).size_limit(FORMAT_BYTES_MAX).build();
        let pattern = pattern.map_err(|error| {
            if matches!(error, regex::Error::CompiledTooBig(_)) {
                LogFormatError::TooLarge
            } else {
                LogFormatError::Pattern(error.to_string())
            }
        })?;
        let names: Vec<_> =
            pattern.capture_names().skip(1).map(|name| name.map(str::to_owned)).collect();
        if names.iter().all(Option::is_none) {
            return Err(LogFormatError::NoName);
        }
        Ok(Self { text: text.to_owned(), names, pattern })
    }

    /// The variables of a line, by nginx's names; none if it is no line of the format.
    pub(in crate::formats) fn read(&self, line: &str) -> Option<Value> {
        let groups = self.pattern.captures(line.trim_end_matches(['\r', '\n']))?;
        let values = self.names.iter().zip(groups.iter().skip(1)).filter_map(|(name, group)| {
            Some((name.clone()?, Value::String(group?.as_str().to_owned())))
        });
        Some(Value::Object(values.collect::<Map<_, _>>()))
    }
}

/// The begin of a text, up to its first quote.
fn begin_of(text: &str) -> &str {
    text.split_inclusive('"').next().unwrap_or(text)
}

/// A time as both servers write it.
const TIME_LOCAL: &str = r"\d{2}/[A-Za-z]{3}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}";

/// The pattern of a value between two texts.
fn value(
    name: &str,
    (before, after): (&str, &str),
    is_apache: bool,
    is_before_time: bool,
) -> Result<String, LogFormatError> {
    if before.ends_with('"') && after.starts_with('"') {
        // Both servers escape quotes in it.
        return Ok(r#"((?:[^"\\]|\\.)*)"#.to_owned());
    }
    if name == "time_local" {
        // Apache writes the brackets by itself.
        return Ok(if is_apache {
            format!(r"\[({TIME_LOCAL})\]")
        } else {
            format!("({TIME_LOCAL})")
        });
    }
    if is_before_time && name == "remote_user" {
        // No user has a quote, which both servers escape, and behind the time there is one.
        return Ok("(.*)".to_owned());
    }
    if CLIENT_TEXTS.contains(&name) || name.starts_with("http_") {
        return Err(LogFormatError::Unquoted(name.to_owned()));
    }
    // What begins the next text ends the value.
    Ok(match after.chars().next() {
        Some(end) => format!("([^{}\\s]*)", regex::escape(&end.to_string())),
        None => r"(\S*)".to_owned(),
    })
}

/// The format out of a statement, `log_format name '…' '…';` or `LogFormat "…" name`; any other text as it is.
fn statement(text: &str) -> String {
    let text = text.trim();
    let Some(quote) = ["log_format", "LogFormat"]
        .iter()
        .find_map(|word| text.strip_prefix(word))
        .and_then(|rest| rest.chars().find(|c| matches!(c, '\'' | '"')))
    else {
        return text.to_owned();
    };
    let (mut out, mut within, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        match c {
            '\\' if within && !escaped => escaped = true,
            c if c == quote && !escaped => within = !within,
            c if within => {
                if escaped && c != quote && c != '\\' {
                    out.push('\\');
                }
                out.push(c);
                escaped = false;
            }
            _ => {}
        }
    }
    out
}

fn nginx(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        push_text(&mut pieces, before);
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, after) = braced.unwrap_or_else(|| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len()))
        });
        pieces.push(Piece::Variable(name.to_owned()));
        rest = after;
    }
    push_text(&mut pieces, rest);
    pieces
}

fn apache(text: &str) -> Result<Vec<Piece>, LogFormatError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        push_text(&mut pieces, before);
        if let Some(after) = after.strip_prefix('%') {
            push_text(&mut pieces, "%");
            rest = after;
            continue;
        }
        // `>` and `<` choose a request, status codes a condition: the value has the same name.
        let after = after.trim_start_matches(|c: char| "<>!,".contains(c) || c.is_ascii_digit());
        let (of, after) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((of, after)) => (Some(of), after),
            None => (None, after),
        };
        let directive = after.chars().next().map_or_else(String::new, String::from);
        rest = after.get(directive.len()..).unwrap_or("");
        let known = DIRECTIVES.into_iter().find(|(letter, _)| *letter == directive);
        let name = match (of, &*directive, known) {
            (Some(of), "i", _) => format!("http_{}", of.to_ascii_lowercase().replace('-', "_")),
            (Some(of), "o" | "e" | "n" | "C", _) => {
                format!("of_{}", of.to_ascii_lowercase().replace('-', "_"))
            }
            (Some("sec"), "t", _) => "msec".to_owned(),
            (Some(of), ..) => return Err(LogFormatError::Unknown(format!("%{{{of}}}{directive}"))),
            (None, _, Some((_, name))) => name.to_owned(),
            (None, "m", _) => "request_method".to_owned(),
            (None, "U", _) => "uri".to_owned(),
            (None, "p" | "P" | "k" | "f" | "X" | "T", _) => format!("of_{directive}"),
            (None, ..) => return Err(LogFormatError::Unknown(format!("%{directive}"))),
        };
        pieces.push(Piece::Variable(name));
    }
    push_text(&mut pieces, rest);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(before)) => before.push_str(text),
        Some(Piece::Variable(_)) | None => pieces.push(Piece::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{LogFormat, LogFormatError};
    use proptest::prelude::*;
    use serde_json::json;

    const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
    const LINE: &str = r#"203.0.113.7 - key_1 [23/Nov/2026:18:54:00 +0000] "GET /v1?x=1 HTTP/1.1" 200 12 "-" "a \"b\" \x22c""#;

    fn read(format: &str, line: &str) -> Option<serde_json::Value> {
        LogFormat::parse(format).ok()?.read(line)
    }

    #[test]
    fn a_format_is_read_as_it_stands_in_nginx() {
        let expected = json!({
            "remote_addr": "203.0.113.7", "remote_user": "key_1", "time_local": "23/Nov/2026:18:54:00 +0000",
            "request": "GET /v1?x=1 HTTP/1.1", "status": "200", "body_bytes_sent": "12", "http_referer": "-",
            "http_user_agent": r#"a \"b\" \x22c"#,
        });
        let (begin, end) = COMBINED.split_at(COMBINED.len() - 40);
        let statement = format!("log_format main escape=default '{begin}'\n    '{end}';");
        for format in [COMBINED, &statement, &COMBINED.replace("$status", "${status}")] {
            assert_eq!(read(format, LINE), Some(expected.clone()), "{format}");
        }
        assert_eq!(read(COMBINED, "nonsense"), None);
    }

    #[test]
    fn a_format_is_read_as_it_stands_in_apache() {
        let statement = r#"LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{X-Api-Key}i\"" vhost"#;
        let line = r#"example.com:443 203.0.113.7 - key_1 [23/Nov/2026:18:54:00 +0000] "GET / HTTP/1.1" 200 12 "-" "k1""#;
        let read = read(statement, line).expect("it is read");
        for (name, value) in [
            ("server_name", "example.com"),
            ("remote_addr", "203.0.113.7"),
            ("remote_user", "key_1"),
            ("time_local", "23/Nov/2026:18:54:00 +0000"),
            ("status", "200"),
            ("http_x_api_key", "k1"),
        ] {
            assert_eq!(read.get(name), Some(&json!(value)), "{name}: {read}");
        }
    }

    #[test]
    fn a_format_whose_lines_could_be_split_in_two_ways_is_refused() {
        let error = |format: &str| LogFormat::parse(format).expect_err(format);
        assert_eq!(error("$remote_addr$status"), LogFormatError::Touching("remote_addr".into()));
        let unquoted = LogFormatError::Unquoted("http_user_agent".into());
        assert_eq!(error("$remote_addr $http_user_agent $status"), unquoted);
        assert_eq!(error("$request $status"), LogFormatError::Unquoted("request".into()));
        assert_eq!(error("combined"), LogFormatError::NoVariable);
        assert_eq!(error("%h %Z"), LogFormatError::Unknown("%Z".into()));
    }

    #[test]
    fn a_user_may_be_any_text_where_a_time_and_a_quote_follow() {
        let with = |user: &str| LINE.replace("key_1", user);
        for user in ["a b", "a [b] c", "a [23/Nov/2026:18:54:00 +0000] c", "- - x"] {
            let read = read(COMBINED, &with(user)).expect(user);
            assert_eq!(read.get("remote_user"), Some(&json!(user)));
            assert_eq!(read.get("status"), Some(&json!("200")));
        }
        assert_eq!(
            LogFormat::parse("log_format a escape=none '$status';").err(),
            Some(LogFormatError::Unescaped)
        );
    }

    #[test]
    fn a_regular_expression_names_the_parts_of_a_line_and_matches_it_as_a_whole() {
        let format = LogFormat::from_pattern(r"(?P<time>\S+)\t(?:a|(b))(?:\t(?P<agent>[^\t]*))?")
            .expect("a format");
        assert_eq!(format.read("1\tb\tx y\n"), Some(json!({"time": "1", "agent": "x y"})));
        assert_eq!(format.read("1\ta"), Some(json!({"time": "1"})));
        for other in ["1\ta\tx\ty", " 1\ta", "1\tc"] {
            assert_eq!(format.read(other), None, "{other}");
        }
        let error = |text: &str| LogFormat::from_pattern(text).expect_err(text);
        assert_eq!(error(r"(\S+) .*"), LogFormatError::NoName);
        assert_eq!(error("(?P<a>(?:x{1000}){1000})"), LogFormatError::TooLarge);
        assert!(matches!(error("("), LogFormatError::Pattern(_)));
    }

    proptest! {
        /// What a client names as user, path or agent is that value, or the line is refused: it never becomes
        /// the status or the user.
        #[test]
        fn no_client_moves_a_value_into_anothers_place(
            user in "[a-z \\[\\]0-9-]{1,20}", agent in "[a-z \\[\\]0-9-]{0,30}"
        ) {
            let line = format!(
                "203.0.113.7 - {user} [23/Nov/2026:18:54:00 +0000] \"GET / HTTP/1.1\" 401 12 \"-\" \"{agent}\""
            );
            let read_combined = read(COMBINED, &line).expect("it is read");
            prop_assert_eq!(read_combined.get("status"), Some(&json!("401")));
            prop_assert_eq!(read_combined.get("remote_user"), Some(&json!(user)));
            prop_assert_eq!(read_combined.get("http_user_agent"), Some(&json!(agent)));
            for (format, line) in [
                ("$remote_addr-$status-$remote_user", format!("203.0.113.7-401-{user}")),
                ("$status|$remote_user|$remote_addr", format!("401|{user}|203.0.113.7")),
                ("$remote_user $status", format!("{user} 401")),
            ] {
                if let Some(read) = read(format, &line) {
                    prop_assert_eq!(read.get("status"), Some(&json!("401")));
                    prop_assert_eq!(read.get("remote_user"), Some(&json!(user)));
                }
            }
        }
    }
}
