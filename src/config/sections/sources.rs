//! The doors: HTTP, Kafka, how records are read, where refused ones go.

use super::values::{kind, one_of, path, real_names, secret_file, some_text};
use crate::adapters::egress;
use crate::adapters::http::auth::Role;
use crate::adapters::sources::kafka::consumer;
use crate::adapters::sources::kafka::consumer::Start;
use crate::adapters::sources::rejects;
use crate::config::mask;
use crate::config::reader::Section;
use crate::config::settings::{Http, Token};
use crate::config::value::{InvalidValue, Value};
use crate::formats::events::access_log::{AccessLog, Field};
use crate::formats::events::address::TrustedProxies;
use crate::formats::events::decoder::{Decoder, Format};
use crate::formats::events::mapping::Mapping;
use crate::formats::events::pointer::Pointer;
use crate::formats::events::verified::{Verified, VerifiedRule};
use crate::model::event::{self, Outcome};
use ipnet::IpNet;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub(super) fn http(section: Section<'_>) -> Http {
    let address = |value: Value<'_>| {
        let text = value.text()?;
        text.parse::<SocketAddr>().map_err(|_| {
            InvalidValue::new(
                format!("invalid address `{}`", mask::address(text)),
                "write 127.0.0.1:7878",
            )
        })
    };
    let listen = section.read("listen", address);
    let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let body = section.size("body_max");
    let by_name = section.section("tokens");
    real_names(&by_name);
    let mut tokens = Vec::new();
    for name in by_name.names() {
        let token = by_name.section(&name);
        let role = |text: &str| Role::ALL.into_iter().find(|role| role.as_str() == text);
        let roles = token.get("roles", |value| {
            let known = Role::ALL.map(Role::as_str).join(", ");
            let wrong = || InvalidValue::new("unknown role", format!("write some of {known}"));
            value.texts()?.into_iter().map(|text| role(text).ok_or_else(wrong)).collect()
        });
        let secret = token.get("token_file", |value| {
            let secret = secret_file(value)?;
            if secret.expose_secret().len() < 16 {
                return Err(InvalidValue::new(
                    "the token is too short",
                    "use 16 characters or more, from `openssl rand -hex 32`",
                ));
            }
            Ok(secret)
        });
        match (roles, secret) {
            (Some(roles), Some(secret)) => tokens.push(Token { name, secret, roles }),
            _ => token.report_missing(&["roles", "token_file"]),
        }
        token.finish();
    }
    for (number, token) in tokens.iter().enumerate() {
        let secret = |token: &Token| token.secret.expose_secret().to_owned();
        let twin = tokens.iter().take(number).find(|other| secret(other) == secret(token));
        if let Some(twin) = twin {
            by_name.report(InvalidValue::new(
                format!("{} and {} have the same token", twin.name, token.name),
                "give each its own: the journal names who ordered by it",
            ));
        }
    }
    by_name.finish();
    if !listen.ip().is_loopback() && tokens.is_empty() {
        section.report(InvalidValue::new(
            format!("{listen} is reachable from other machines without a token"),
            "add [http.tokens.NAME] with roles and token_file, or listen on 127.0.0.1",
        ));
    }
    section.finish();
    Http { listen, body_bytes_max: usize::try_from(body).unwrap_or(usize::MAX), tokens }
}

pub(super) fn decoder(section: &Section<'_>, access_log: AccessLog) -> Decoder {
    let known = |text: &str| Format::NAMES.into_iter().find(|name| *name == text);
    let name = section.read("format", |value| one_of(value, known, &Format::NAMES));
    let own = section.section("mapping");
    let is_there = own.is_there();
    let mapping = mapping(own);
    let raw_secrets = section.flag("fingerprint_credentials");
    let format = match name {
        Some("cloudtrail") => Format::CloudTrail,
        Some("access_log") => Format::AccessLog(access_log),
        Some("mapping") => {
            if !is_there {
                section.report(InvalidValue::new(
                    "format = \"mapping\" needs a mapping",
                    "add a table `mapping` with credential = \"/path\" and time = \"/path\"",
                ));
            }
            mapping.map_or(Format::Native, |mapping| Format::Mapping(Box::new(mapping)))
        }
        _ => Format::Native,
    };
    let proxies = section.get("trusted_proxies", networks).map(TrustedProxies::new);
    Decoder { format, proxies: proxies.unwrap_or_default(), raw_secrets }
}

pub(super) fn access_log(section: Section<'_>) -> AccessLog {
    let field = |text: &str| match text {
        "user" => Some(Field::User),
        "address" => Some(Field::Address),
        _ => None,
    };
    let credential = section.read("credential", |v| one_of(v, field, &["user", "address"]));
    let kind = section.read("kind", kind);
    let verified =
        section.read("verified", |v| one_of(v, VerifiedRule::parse, &VerifiedRule::NAMES));
    section.finish();
    AccessLog {
        credential: credential.unwrap_or_default(),
        kind: kind.unwrap_or_default(),
        verified: verified.unwrap_or_default(),
    }
}

fn pointer(value: Value<'_>) -> Result<Pointer, InvalidValue> {
    Pointer::parse(value.text()?)
        .map_err(|error| InvalidValue::new(error.to_string(), "write /field or /outer/inner"))
}

/// A rule by name, or the place of a boolean.
fn verified(value: Value<'_>) -> Result<Verified, InvalidValue> {
    let text = value.text()?;
    match VerifiedRule::parse(text) {
        Some(rule) => Ok(Verified::Rule(rule)),
        None if text == "outcome" => Ok(Verified::Outcome),
        None if text.starts_with('/') => pointer(value).map(Verified::Field),
        None => Err(InvalidValue::new(
            format!("unknown rule `{text}` for verified uses"),
            "write never, 2xx, always, outcome, or the place of a boolean, like /auth/verified",
        )),
    }
}

fn mapping(section: Section<'_>) -> Option<Mapping> {
    if !section.is_there() {
        return None;
    }
    let credential = section.get("credential", pointer);
    let time = section.get("time", pointer);
    let default_kind = section.read("default_kind", kind).unwrap_or_default();
    let [kind, outcome, status] =
        ["kind", "outcome", "status"].map(|name| section.get(name, pointer));
    let verified = section.read("verified", verified).unwrap_or_default();
    if verified == Verified::Outcome && outcome.is_none() {
        section.report(InvalidValue::new(
            "verified = \"outcome\" needs an outcome",
            "add outcome = \"/path\", or write never, 2xx, always or the place of a boolean",
        ));
    }
    if verified == Verified::Rule(VerifiedRule::Success) && status.is_none() {
        section.report(InvalidValue::new(
            "verified = \"2xx\" needs a status",
            "add status = \"/path\", or write never, always, outcome or the place of a boolean",
        ));
    }
    let fields = event::Field::ALL.into_iter().filter(|field| *field != event::Field::Text);
    let details =
        fields.filter_map(|field| Some((field, section.get(field.as_str(), pointer)?))).collect();
    let words = section.section("outcomes");
    let known = Outcome::ALL.map(Outcome::as_str);
    let meaning = |word: String| {
        let outcome = words.get(&word, |v| one_of(v, Outcome::parse, &known))?;
        Some((word, outcome))
    };
    let outcomes = words.names().into_iter().filter_map(meaning).collect();
    if credential.is_none() || time.is_none() {
        section.report_missing(&["credential", "time"]);
    }
    section.finish();
    Some(Mapping {
        default_kind,
        kind,
        outcome,
        outcomes,
        status,
        verified,
        details,
        ..Mapping::new(credential?, time?)
    })
}

pub(super) fn kafka(section: Section<'_>) -> Option<consumer::Params> {
    if !section.is_there() {
        return None;
    }
    let text = |value: Value<'_>| value.text().map(str::to_owned);
    let texts = |value: Value<'_>| {
        let texts: Vec<String> = value.texts()?.into_iter().map(str::to_owned).collect();
        if texts.is_empty() {
            Err(InvalidValue::new("must not be empty", "name a topic"))
        } else {
            Ok(texts)
        }
    };
    let brokers = section.get("brokers", text);
    let topics = section.get("topics", texts);
    let group = section.read("group", text).unwrap_or_default();
    let decoder = decoder(&section, access_log(section.section("access_log")));
    let rejects_topic = section.get("rejects_topic", text);
    let stall_ms = section.duration_ms("stall_after");
    let parse = |name: &str| Start::ALL.into_iter().find(|one| one.as_str() == name);
    let start = section.read("start", |value| one_of(value, parse, &Start::ALL.map(Start::as_str)));
    let instance = section.get("instance", some_text);
    let librdkafka = librdkafka(&section.section("librdkafka"), &OWNED);
    if brokers.is_none() || topics.is_none() {
        section.report_missing(&["brokers", "topics"]);
    }
    section.finish();
    let (brokers, topics) = (brokers?, topics?);
    let start = start.unwrap_or_default();
    Some(consumer::Params {
        brokers,
        topics,
        group,
        decoder,
        rejects_topic,
        start,
        instance,
        stall_ms,
        librdkafka,
    })
}

/// Raw settings of librdkafka, but for those that are `owned`.
pub(super) fn librdkafka(raw: &Section<'_>, owned: &[&str]) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for name in raw.names() {
        if owned.contains(&name.as_str()) {
            raw.report(InvalidValue::new(
                format!("`{name}` is set by tripline"),
                "remove it: what tripline promises of order and delivery rests on it",
            ));
        }
        if let Some(value) = raw.get(&name, |value| value.text().map(str::to_owned)) {
            settings.insert(name, value);
        }
    }
    settings
}

/// Settings of librdkafka on which tripline's promises rest.
const OWNED: [&str; 7] = [
    "bootstrap.servers",
    "group.id",
    "group.instance.id",
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
];

pub(super) fn rejects(section: Section<'_>) -> rejects::Params {
    let params =
        rejects::Params { keep_ms: section.duration_ms("keep"), bytes_max: section.size("max") };
    section.finish();
    params
}

pub(super) fn egress(section: Section<'_>) -> egress::Params {
    let networks = section.get("networks", networks);
    let timeout_ms = u64::try_from(section.duration_ms("timeout")).unwrap_or(0);
    let mut params = egress::Params {
        networks: networks.unwrap_or_default(),
        timeout: Duration::from_millis(timeout_ms),
        authorities: None,
    };
    let authorities = section.get("ca_file", |value| {
        let with = egress::Params { authorities: Some(path(value)?), ..params.clone() };
        egress::Egress::new(&with)
            .map_err(|error| {
                let text = value.text().unwrap_or("");
                let shown = mask::path(text);
                let message = error.to_string();
                let message =
                    if shown == text { message } else { "can't use this file".to_owned() };
                InvalidValue::new(message, "name a file with certificates in PEM")
            })
            .map(|_| with.authorities)
    });
    params.authorities = authorities.flatten();
    section.finish();
    params
}

fn networks(value: Value<'_>) -> Result<Vec<IpNet>, InvalidValue> {
    let wrong = |text: &str| {
        InvalidValue::new(
            format!("invalid network `{}`", mask::address(text)),
            "write [\"10.0.0.0/8\", \"::1/128\"]",
        )
    };
    let read = |text: &str| text.parse().map_err(|_| wrong(text));
    value.texts()?.into_iter().map(read).collect()
}

/// The Unix socket over which this machine's people order.
pub(super) fn admin(section: Section<'_>) -> (Option<PathBuf>, u32) {
    let socket = section.get("socket", path);
    let mode = section.read("socket_mode", |value| {
        let text = value.text()?;
        let read = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        let mode =
            read.ok_or_else(|| InvalidValue::new("invalid file permissions", "write \"0660\""))?;
        if mode & 0o007 != 0 || mode & 0o600 != 0o600 {
            return Err(InvalidValue::new(
                "access to the socket is the right to give orders: its owner needs it, others \
                 must not have it",
                "write \"0600\", or \"0660\" for a group",
            ));
        }
        Ok(mode)
    });
    section.finish();
    (socket, mode.unwrap_or_default())
}
