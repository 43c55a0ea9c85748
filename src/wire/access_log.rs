//! Access logs of web servers, in the common and the combined format:
//!
//! ```text
//! 203.0.113.7 - key_7f3a [10/Oct/2000:13:55:36 -0700] "GET /v1/items?x=1 HTTP/1.1" 200 2326 "-" "curl/8.5"
//! ```

use super::context::Context;
use super::details::{self, clean};
use super::refusal::Refusal;
use super::repair::read_text;
use super::scalar::Scalar;
use super::time;
use super::verified::VerifiedRule;
use crate::model::credential::Kind;
use crate::model::event::{self, AuthEvent, Outcome};
use std::borrow::Cow;
use std::net::IpAddr;

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
    /// Which lines show that their caller holds the credential. Default: none. A server logs the
    /// user that a stranger named as it logs one that proved to be it.
    pub verified: VerifiedRule,
}

/// Decodes one line.
///
/// # Errors
/// The reason why it is refused.
pub fn decode<'a>(
    format: AccessLog,
    line: &'a [u8],
    context: &Context<'_>,
) -> Result<AuthEvent<'a>, Refusal> {
    context.limits.check_size(line)?;
    read_text(line, |line| decode_line(format, line, context))
}

fn decode_line<'a>(
    format: AccessLog,
    line: &'a str,
    context: &Context<'_>,
) -> Result<AuthEvent<'a>, Refusal> {
    let fields = Fields::split(line.trim()).ok_or(Refusal::MalformedLine)?;
    let when = time::access_log(fields.time).ok_or(Refusal::InvalidTime)?;
    let credential = match format.credential {
        Field::User => fields.user,
        Field::Address => fields.address,
    };
    let status = fields.status.parse().map_err(|_| Refusal::MalformedLine)?;
    let mut request = fields.request.split(' ');
    let mut event = AuthEvent {
        kind: format.kind,
        outcome: Outcome::of_status(Some(status)),
        verified: format.verified.verifies(Some(status)),
        status: Some(status),
        ..AuthEvent::new(context.limits.check_time(when)?, Cow::Borrowed(credential))
    };
    for (field, text) in [
        // A name stands here where the server looks clients up.
        (event::Field::Ip, Some(fields.address).filter(|text| !is_host_name(text))),
        (event::Field::Method, request.next()),
        (event::Field::Endpoint, request.next()),
        (event::Field::UserAgent, fields.user_agent),
    ] {
        let value = text.map_or(Scalar::Null, |text| Scalar::Text(Cow::Borrowed(text)));
        details::set(&mut event, field, value, context);
    }
    clean(&mut event, context)?;
    Ok(event)
}

/// Whether a client's address is the name of a host.
fn is_host_name(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    text.parse::<IpAddr>().is_err() && !text.is_empty() && text.bytes().all(of_name)
}

/// Whether a line can begin so: an address, or the name of a host, or nginx's `unix:`.
fn is_client(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_host_name(text) || text == "unix:"
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
        let (identity, rest) = rest.split_once(' ')?;
        // A user may have spaces in its name; a bracket it may not.
        let (user, rest) = rest.split_once(" [")?;
        // A line with more in front, the virtual host or what syslog puts there, has these fields
        // further to the right: its clients would all be one credential.
        let is_shifted = user.starts_with("- ") || user.ends_with(" -") || user.contains(" - ");
        if !is_client(address) || identity.parse::<IpAddr>().is_ok() || is_shifted {
            return None;
        }
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
