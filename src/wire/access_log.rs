//! Access logs of web servers, in the common and the combined format:
//!
//! ```text
//! 203.0.113.7 - key_7f3a [10/Oct/2000:13:55:36 -0700] "GET /v1/items?x=1 HTTP/1.1" 200 2326 "-" "curl/8.5"
//! ```

use super::native::clean;
use super::refusal::{Limits, Refusal};
use super::secret::Fingerprinter;
use super::time;
use crate::model::credential::Kind;
use crate::model::event::{AuthEvent, Outcome};
use std::borrow::Cow;

/// Which field names the credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// The authenticated user, third in the line.
    #[default]
    User,
    /// The client's address, first in the line.
    Address,
}

/// How access logs are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// Which field names the credential. Default: the user.
    pub credential: Field,
    /// What kind it is. Default: API key.
    pub kind: Kind,
}

/// Decodes one line.
///
/// # Errors
/// The reason why it is refused.
pub fn decode<'a>(
    format: AccessLog,
    line: &'a [u8],
    limits: &Limits,
    fingerprints: &Fingerprinter,
) -> Result<AuthEvent<'a>, Refusal> {
    limits.check_size(line)?;
    let line = std::str::from_utf8(line).map_err(|_| Refusal::InvalidUtf8)?;
    let fields = Fields::split(line.trim()).ok_or(Refusal::MalformedLine)?;
    let when = time::access_log(fields.time).ok_or(Refusal::InvalidTime)?;
    let credential = match format.credential {
        Field::User => fields.user,
        Field::Address => fields.address,
    };
    if matches!(credential, "-" | "") {
        return Err(Refusal::NoCredential);
    }
    let status = fields.status.parse().map_err(|_| Refusal::MalformedLine)?;
    let mut request = fields.request.split(' ');
    let keep = |text: &'a str| (text != "-" && !text.is_empty()).then_some(Cow::Borrowed(text));
    let mut event = AuthEvent {
        kind: format.kind,
        outcome: Outcome::of_status(Some(status)),
        status: Some(status),
        ip: fields.address.parse().ok(),
        method: request.next().and_then(keep),
        endpoint: request.next().and_then(keep),
        user_agent: fields.user_agent.and_then(keep),
        ..AuthEvent::new(limits.check_time(when)?, Cow::Borrowed(credential))
    };
    clean(&mut event, fingerprints)?;
    Ok(event)
}

struct Fields<'a> {
    address: &'a str,
    user: &'a str,
    time: &'a str,
    request: &'a str,
    status: &'a str,
    user_agent: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn split(line: &'a str) -> Option<Self> {
        let (address, rest) = line.split_once(' ')?;
        let (_identity, rest) = rest.split_once(' ')?;
        // A user may have spaces in its name; a bracket it may not.
        let (user, rest) = rest.split_once(" [")?;
        let (time, rest) = rest.split_once("] ")?;
        let (request, rest) = quoted(rest)?;
        let rest = rest.strip_prefix(' ')?;
        let (status, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (_bytes, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let user_agent = quoted(rest)
            .and_then(|(_referer, rest)| quoted(rest.trim_start()))
            .map(|(user_agent, _)| user_agent);
        Some(Self { address, user, time, request, status, user_agent })
    }
}

/// A text in quotes, in which a backslash escapes the next character, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return Some((inner.get(..at)?, inner.get(at + 1..)?)),
            _ => escaped = false,
        }
    }
    None
}
