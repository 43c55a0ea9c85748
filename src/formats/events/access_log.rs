//! Access logs of web servers, in the common and the combined format:
//!
//! ```text
//! 203.0.113.7 - key_7f3a [10/Oct/2000:13:55:36 -0700] "GET /v1/items?x=1 HTTP/1.1" 200 2326 "-" "curl/8.5"
//! ```

use super::address::TrustedProxies;
use super::context::Context;
use super::details::{self, clean};
use super::refusal::Refusal;
use super::repair::read_text;
use super::scalar::Scalar;
use super::verified::{VerifiedRule, is_preflight};
use crate::formats::time;
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
    /// Its kind. Default: API key.
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
    let fields = Fields::split(line.trim(), format.credential, context.proxies);
    let fields = fields.ok_or(Refusal::MalformedLine)?;
    let when = time::access_log(fields.time).ok_or(Refusal::InvalidTime)?;
    let credential = match format.credential {
        Field::User => Cow::Borrowed(fields.user),
        Field::Address => match &fields.client {
            Client::Address(address) => address.clone(),
            Client::Host(name) => Cow::Borrowed(*name),
        },
    };
    // A name is there where the server looks clients up.
    let address = match fields.client {
        Client::Address(address) => Some(address),
        Client::Host(_) => None,
    };
    let status = fields.status.parse().map_err(|_| Refusal::MalformedLine)?;
    let mut request = fields.request.split(' ');
    let mut event = AuthEvent {
        kind: format.kind,
        outcome: Outcome::of_status(Some(status)),
        verified: format.verified.verifies(Some(status)),
        status: Some(status),
        ..AuthEvent::new(context.limits.check_time(when)?, credential)
    };
    for (field, text) in [
        (event::Field::Ip, address),
        (event::Field::Method, request.next().map(Cow::Borrowed)),
        (event::Field::Endpoint, request.next().map(Cow::Borrowed)),
        (event::Field::UserAgent, fields.user_agent.map(Cow::Borrowed)),
    ] {
        let value = text.map_or(Scalar::Null, Scalar::Text);
        details::set(&mut event, field, value, context);
    }
    event.verified &= format.verified != VerifiedRule::Success || !is_preflight(&event);
    clean(&mut event, context)?;
    Ok(event)
}

/// Whether a client's address is the name of a host.
fn is_host_name(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    text.parse::<IpAddr>().is_err() && !text.is_empty() && text.bytes().all(of_name)
}

/// The begin of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Client<'a> {
    /// An address, in whatever spelling, and how it is named.
    Address(Cow<'a, str>),
    /// The name of a host, or nginx's `unix:`.
    Host(&'a str),
}

impl<'a> Client<'a> {
    fn read(text: &'a str, proxies: &TrustedProxies) -> Option<Self> {
        if text.parse::<IpAddr>().is_ok() {
            return Some(Self::Address(Cow::Borrowed(text)));
        }
        if is_host_name(text) || text == "unix:" {
            return Some(Self::Host(text));
        }
        // The port and the hops before the client change, and the client is one.
        proxies.client(text).map(|address| Self::Address(Cow::Owned(address.to_string())))
    }

    /// Reads the first word, or a list of hops of which all but the last end in a comma.
    fn split(line: &'a str, proxies: &TrustedProxies) -> Option<(Self, &'a str)> {
        let mut end = line.find(' ')?;
        while line.get(..end)?.ends_with(',') {
            end += 1 + line.get(end + 1..)?.find(' ')?;
        }
        Some((Self::read(line.get(..end)?, proxies)?, line.get(end + 1..)?))
    }
}

struct Fields<'a> {
    client: Client<'a>,
    user: &'a str,
    time: &'a str,
    request: &'a str,
    status: &'a str,
    user_agent: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn split(line: &'a str, by: Field, proxies: &TrustedProxies) -> Option<Self> {
        let (client, rest) = Client::split(line, proxies)?;
        let (identity, rest) = rest.split_once(' ')?;
        let (user, time, rest) = around_time(rest)?;
        // A line with more in front, the virtual host or what syslog puts there, has these fields
        // further to the right: its clients would all be one credential. A client may name a user so,
        // too: where a line begins with an address, and the user is not the credential, it is one.
        let is_whole = matches!(client, Client::Address(_)) || identity == "-";
        let may_be_shifted = by == Field::User || !is_whole;
        let is_shifted = user.starts_with("- ") || user.ends_with(" -") || user.contains(" - ");
        if identity.parse::<IpAddr>().is_ok() || (may_be_shifted && is_shifted) {
            return None;
        }
        let (request, rest) = quoted(rest)?;
        let rest = rest.strip_prefix(' ')?;
        let (status, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (_bytes, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let user_agent = quoted(rest)
            .and_then(|(_referer, rest)| quoted(rest.trim_start()))
            .map(|(user_agent, _)| user_agent);
        Some(Self { client, user, time, request, status, user_agent })
    }
}

/// How long a time is, `10/Oct/2000:13:55:36 -0700`. Unit: bytes.
const TIME_BYTES: usize = 26;

/// The user before the time, the time, and what follows it. A user may have spaces and brackets in its
/// name, but no quotes, which servers escape: so the time is the first one in brackets that a quote
/// follows.
fn around_time(text: &str) -> Option<(&str, &str, &str)> {
    let brackets = text.match_indices(" [").map(|(at, _)| at);
    let mut with_time = brackets.filter_map(|at| {
        let (time, rest) = text.get(at + 2..)?.split_at_checked(TIME_BYTES)?;
        let rest = rest.strip_prefix("] ").filter(|rest| rest.starts_with('"'))?;
        let looks_so =
            time.bytes().zip(*b"00/aaa/0000:00:00:00 +0000").all(|(byte, like)| match like {
                b'0' => byte.is_ascii_digit(),
                b'a' => byte.is_ascii_alphabetic(),
                b'+' => matches!(byte, b'+' | b'-'),
                other => byte == other,
            });
        looks_so.then_some((text.get(..at)?, time, rest))
    });
    with_time.next().or_else(|| {
        let (user, rest) = text.split_once(" [")?;
        let (time, rest) = rest.split_once("] ")?;
        Some((user, time, rest))
    })
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
