//! Errors of librdkafka, without the values of its settings: its errors quote them, passwords and keys
//! too, whole, cut off or from the middle on.
//!
//! The values are known to the whole process, as a log callback of the client knows no settings.
//!
//! **Invariant** P-1, for raw settings: no text of librdkafka is shown but through here.

use parking_lot::RwLock;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many bytes of a value give it away: as many in a text, and what follows of the value is hidden
/// with them. A shorter value is hidden where it stands whole. Chosen.
const BEGINNING: usize = 8;
/// Values that short are none that anyone has to guess. Unit: bytes. Chosen.
const SHORT: usize = 2;
/// Values that are no secrets, and that a message needs.
const HARMLESS: [&str; 24] = [
    "true",
    "false",
    "all",
    "none",
    "default",
    "ssl",
    "plaintext",
    "sasl_ssl",
    "sasl_plaintext",
    "plain",
    "gssapi",
    "oauthbearer",
    "oidc",
    "scram-sha-256",
    "scram-sha-512",
    "https",
    "consumer",
    "classic",
    "earliest",
    "latest",
    "gzip",
    "lz4",
    "zstd",
    "snappy",
];

/// The values that no text shows, longest first.
static HIDDEN: RwLock<BTreeSet<(std::cmp::Reverse<usize>, String)>> = RwLock::new(BTreeSet::new());

/// Hides the values of raw settings in all that is said from now on.
pub fn hide(settings: &BTreeMap<String, String>) {
    let mut hidden = HIDDEN.write();
    for (name, value) in settings {
        // The path of a file, which a message needs; not the file's text, put there by a slip.
        let is_path = name.ends_with(".location")
            && value.starts_with(['/', '.'])
            && !value.contains(char::is_whitespace);
        if is_path {
            continue;
        }
        let words = value.split(|c: char| c.is_whitespace() || ",;".contains(c));
        let parts = words.map(|word| word.split_once('=').map_or(word, |(_, value)| value));
        for part in parts.chain(value.lines()).chain([value.as_str()]) {
            let part = part.trim_matches(['"', '\'', ' ', '\n', '\r']);
            if !is_harmless(name, part) {
                hidden.insert((std::cmp::Reverse(part.len()), part.to_owned()));
            }
        }
    }
}

/// Settings whose values are names that people look for in the log.
const NAMES: [&str; 4] = ["client.id", "client.rack", "group.id", "group.instance.id"];

fn is_harmless(name: &str, value: &str) -> bool {
    let is_secret = ["pas", "pw", "secret", "key", "token"].iter().any(|part| name.contains(part));
    value.len() <= SHORT
        || (value.parse::<f64>().is_ok() && !is_secret)
        || NAMES.contains(&name)
        || HARMLESS.iter().any(|known| value.eq_ignore_ascii_case(known))
}

/// A text of librdkafka as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Redacted(String);

impl Redacted {
    /// The text of an error.
    pub fn of(text: impl fmt::Display) -> Self {
        let hidden = HIDDEN.read();
        let text = text.to_string();
        Self(hidden.iter().fold(text, |text, (_, value)| without(text, value)))
    }
}

impl From<KafkaError> for Redacted {
    fn from(error: KafkaError) -> Self {
        Self::of(error)
    }
}

/// A text without a value, or what it has of its beginning.
fn without(text: String, value: &str) -> String {
    let beginning = value.char_indices().map(|(at, _)| at).find(|at| *at >= BEGINNING);
    let beginning = beginning.and_then(|at| value.get(..at)).unwrap_or(value);
    if !text.contains(beginning) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, found)) = rest.find(beginning).and_then(|at| rest.split_at_checked(at))
    {
        shown.push_str(before);
        shown.push_str("***");
        let same = found.chars().zip(value.chars()).take_while(|(one, other)| one == other);
        let length = same.map(|(one, _)| one.len_utf8()).sum();
        rest = found.get(length..).unwrap_or("");
    }
    shown.push_str(rest);
    shown
}

/// A client that logs nothing above `debug`: what goes wrong is answered to its callers.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        note_line(level, facility, text);
    }
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    // Who commits the transaction learns of a record that was not stored.
    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

/// Logs an error of the client. The reader of the consumer gets it, too, and logs it.
pub(super) fn note_error(error: &KafkaError, reason: &str) {
    tracing::debug!(error = %Redacted::of(error), reason = %Redacted::of(reason), "Kafka");
}

/// Notes a line of the client's own log.
pub(super) fn note_line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    tracing::debug!(?level, facility, text = %Redacted::of(text), "librdkafka");
}

#[cfg(test)]
mod tests {
    use super::{Redacted, hide};

    #[test]
    fn no_part_of_a_value_is_said_and_what_is_no_secret_is() {
        let settings = [
            ("sasl.pasword", "correct horse battery"),
            ("ssl.key.pem", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n"),
            ("sasl.oauthbearer.config", "principal=jo-the-admin scope=x secret=squeamish"),
            ("ssl.key.password", "pw7"),
            ("security.protocol", "SASL_SSL"),
            ("session.timeout.ms", "6000"),
            ("ssl.ca.location", "/etc/ssl/ca.pem"),
        ];
        hide(&settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        for (text, shown) in [
            (
                "No such property: sasl.pasword correct horse battery",
                "No such property: sasl.pasword ***",
            ),
            ("cut off: correct ho", "cut off: ***"),
            ("\"pw7\" is not valid", "\"***\" is not valid"),
            ("from the middle: MIIEvQIBADANBgkq\nhkiG9w0BAQEF", "from the middle: ***\n***"),
            ("beginning at: secret=squeamish", "beginning at: secret=***"),
            ("SASL_SSL after 6000 ms: /etc/ssl/ca.pem", "SASL_SSL after 6000 ms: /etc/ssl/ca.pem"),
        ] {
            assert_eq!(Redacted::of(text).to_string(), shown);
        }
    }
}
