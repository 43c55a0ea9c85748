//! Why a record is refused: a fixed list, so that each reason can be counted.

use crate::model::credential::IdError;
use crate::model::time::EventTime;
use std::fmt;

/// Why a record is refused. Never holds any of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It has no bytes.
    Empty,
    /// It has more bytes than allowed.
    TooLarge,
    /// It is no UTF-8.
    InvalidUtf8,
    /// It is no JSON: cut off, a NUL, a syntax error.
    InvalidJson,
    /// It nests deeper than 128 levels, and is no JSON besides.
    TooDeep,
    /// A field, or the record itself, is of the wrong type, or a field stands twice.
    WrongType,
    /// It has no time.
    MissingTime,
    /// Its time can't be read.
    InvalidTime,
    /// Its time is too far ahead of the clock.
    TimeInFuture,
    /// Its time is before 1990.
    TimeTooOld,
    /// It names no credential.
    NoCredential,
    /// Its credential is too long or has control characters.
    InvalidCredential,
    /// `kind` or `outcome` is none of the known ones, or a name is too long or has control
    /// characters.
    InvalidField,
    /// It is no line of the access log's format.
    MalformedLine,
    /// It comes from an address that may not send to its source.
    UnknownSender,
    /// Its envelope has no record where one is expected.
    InvalidEnvelope,
    /// The base64 in its envelope can't be read.
    InvalidBase64,
    /// The protobuf of its log record can't be read.
    InvalidProtobuf,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 18] = [
        Self::Empty,
        Self::TooLarge,
        Self::InvalidUtf8,
        Self::InvalidJson,
        Self::TooDeep,
        Self::WrongType,
        Self::MissingTime,
        Self::InvalidTime,
        Self::TimeInFuture,
        Self::TimeTooOld,
        Self::NoCredential,
        Self::InvalidCredential,
        Self::InvalidField,
        Self::MalformedLine,
        Self::UnknownSender,
        Self::InvalidEnvelope,
        Self::InvalidBase64,
        Self::InvalidProtobuf,
    ];

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::TooDeep => "too_deep",
            Self::WrongType => "wrong_type",
            Self::MissingTime => "missing_time",
            Self::InvalidTime => "invalid_time",
            Self::TimeInFuture => "time_in_future",
            Self::TimeTooOld => "time_too_old",
            Self::NoCredential => "no_credential",
            Self::InvalidCredential => "invalid_credential",
            Self::InvalidField => "invalid_field",
            Self::MalformedLine => "malformed_line",
            Self::UnknownSender => "unknown_sender",
            Self::InvalidEnvelope => "invalid_envelope",
            Self::InvalidBase64 => "invalid_base64",
            Self::InvalidProtobuf => "invalid_protobuf",
        }
    }

    /// The sender's remedy.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Empty => "send one event a line, without empty ones",
            Self::TooLarge => {
                "send records of at most 1 MiB: leave out fields that docs/events.md does not name"
            }
            Self::InvalidUtf8 => "send UTF-8",
            Self::InvalidJson => "send one complete JSON object a line",
            Self::TooDeep => "send one complete JSON object a line, of some levels",
            Self::WrongType => "compare the types of the fields with docs/events.md",
            Self::MissingTime => "set `time` to RFC 3339 or integer milliseconds since 1970",
            Self::InvalidTime => {
                "write `time` as 2026-11-23T18:54:00.123Z or as milliseconds, or say its format in the \
                 mapping"
            }
            Self::TimeInFuture => "set the sender's clock",
            Self::TimeTooOld => {
                "send milliseconds, or say format = \"s\" in the mapping; set the sender's clock"
            }
            Self::NoCredential => "nothing, if the request carried none; else set `credential`",
            Self::InvalidCredential => "send an id of 1 to 256 bytes without control characters",
            Self::InvalidField => {
                "`kind` is api_key, jwt, session, refresh_token or agent_token; `outcome` is \
                 accepted, rejected or throttled; names have at most 256 bytes and no control \
                 characters"
            }
            Self::UnknownSender => "add its network to `senders` of the source, if it may send",
            Self::InvalidEnvelope => {
                "a CloudEvent is of version 1 and has `data` or `data_base64`; an entry of Redis has the `field` of its \
                 source"
            }
            Self::InvalidBase64 => {
                "send base64 with padding (RFC 4648, 4) in `data` or `data_base64`"
            }
            Self::InvalidProtobuf => "send a LogRecord of OTLP 1, nested less than 100 levels deep",
            Self::MalformedLine => {
                "log in the combined or the common format, or say the format as `log_format` of the source, or \
                 as `line` of its mapping"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<IdError> for Refusal {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Empty => Self::NoCredential,
            IdError::TooLong | IdError::ControlCharacter => Self::InvalidCredential,
        }
    }
}

/// A record as it is cut out of what holds it, or why it can't be.
pub type Record<'a> = Result<&'a [u8], Refusal>;

/// The bounds of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The latest time of an event; the host sets it from its clock.
    pub time_max: EventTime,
    /// The longest record. Unit: bytes. Default: 1 MiB.
    pub record_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time_max: EventTime::MAX, record_bytes_max: 1 << 20 }
    }
}

/// How far ahead of the clock an event may be. Unit: milliseconds. Chosen: an hour, as clocks of senders
/// are wrong by a time zone, or not at all.
const FUTURE_MS_MAX: i64 = 3_600_000;

impl Limits {
    /// Those at that time of the clock.
    pub fn at(now: EventTime) -> Self {
        Self { time_max: now.plus_ms(FUTURE_MS_MAX), ..Self::default() }
    }

    /// Holds a time against the limits.
    ///
    /// # Errors
    /// When it is before 1990 or after `time_max`.
    pub fn check_time(&self, time: EventTime) -> Result<EventTime, Refusal> {
        if time < EventTime::MIN {
            Err(Refusal::TimeTooOld)
        } else if time > self.time_max.min(EventTime::MAX) {
            Err(Refusal::TimeInFuture)
        } else {
            Ok(time)
        }
    }

    /// Holds a record's size against the limits.
    ///
    /// # Errors
    /// When it is empty or too large.
    pub const fn check_size(&self, record: &[u8]) -> Result<(), Refusal> {
        if record.is_empty() {
            Err(Refusal::Empty)
        } else if record.len() > self.record_bytes_max {
            Err(Refusal::TooLarge)
        } else {
            Ok(())
        }
    }
}

/// The deepest nesting of a record. Unit: levels. Chosen: as in `serde_json`.
const DEPTH_MAX: usize = 128;

/// Holds a JSON text's nesting against its limit.
///
/// Cost: counts opening brackets, some nanoseconds; looks closer only where there are many.
///
/// # Errors
/// When it nests too deep.
pub fn check_depth(text: &str) -> Result<(), Refusal> {
    let opening = memchr::memchr2_iter(b'{', b'[', text.as_bytes()).count();
    if opening > DEPTH_MAX && depth(text) > DEPTH_MAX { Err(Refusal::TooDeep) } else { Ok(()) }
}

/// How deep a JSON text nests, as far as it is one.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The refusal that a JSON error of the record `text` means.
pub fn of_json(text: &str, error: &serde_json::Error) -> Refusal {
    use serde_json::error::Category;
    if check_depth(text).is_err() {
        return Refusal::TooDeep;
    }
    match error.classify() {
        Category::Data => Refusal::WrongType,
        Category::Io | Category::Syntax | Category::Eof => Refusal::InvalidJson,
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use crate::model::credential::{Kind, NAME_BYTES_MAX};
    use crate::model::event::Outcome;

    #[test]
    fn who_sends_an_unknown_word_is_told_the_known_ones() {
        let remedy = Refusal::InvalidField.remedy();
        let kinds = Kind::ALL.map(Kind::as_str);
        let outcomes = Outcome::ALL.map(Outcome::as_str);
        for word in kinds.into_iter().chain(outcomes) {
            assert!(remedy.contains(word), "{word} is missing in: {remedy}");
        }
        assert!(remedy.contains(&NAME_BYTES_MAX.to_string()), "{remedy}");
    }
}
