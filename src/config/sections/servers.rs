//! The HTTP API, the Unix socket, requests to other servers, and where rejected records go.

use super::values::{path, real_names, secret_file};
use crate::adapters::egress;
use crate::adapters::http::auth::Role;
use crate::adapters::sources::rejects;
use crate::adapters::target::Target;
use crate::config::mask;
use crate::config::reader::Section;
use crate::config::settings::{Http, Token};
use crate::config::value::{InvalidValue, Value};
use crate::control_plane::params::{OTHER, SELF};
use ipnet::IpNet;
use secrecy::ExposeSecret;
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
        if [SELF, OTHER].contains(&name.as_str()) {
            token.report(InvalidValue::new(
                format!("`{name}` is taken: the journal names so who orders and is no person"),
                "name the token after who holds it",
            ));
        }
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
        let sources = token
            .get("sources", |value| Ok(value.texts()?.into_iter().map(str::to_owned).collect()));
        match (roles, secret) {
            (Some(roles), Some(secret)) => tokens.push(Token { name, secret, roles, sources }),
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
        answer_bytes_max: egress::ANSWER_BYTES_MAX,
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

pub(super) fn networks(value: Value<'_>) -> Result<Vec<IpNet>, InvalidValue> {
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

/// The settings without which instances don't find each other.
#[derive(Clone, Copy)]
pub(super) struct Lacks {
    pub(super) redis: bool,
    pub(super) instances: bool,
    pub(super) key: bool,
}

/// Where other instances reach this one.
pub(super) fn fleet_url(
    section: Section<'_>,
    egress: &egress::Params,
    lacks: Lacks,
) -> Option<Target> {
    let url = section.get("url", |value| {
        let text = value.text()?;
        let shown = mask::address(text);
        let target = Target::parse(text).ok().filter(Target::is_origin);
        let target = target.ok_or_else(|| {
            InvalidValue::new(
                format!("invalid address `{shown}`"),
                "write http://10.0.0.7:7878, without a path",
            )
        })?;
        if egress.shuts_out(&target) {
            return Err(InvalidValue::new(
                format!("{shown} lies in a network that no instance may connect to"),
                "add the network of the instances to [egress] networks, or use https:// and a public address",
            ));
        }
        Ok(target)
    });
    let found = [
        (
            lacks.redis,
            "[fleet] url has no effect: instances find each other through Redis",
            "add [auth_store.redis], the same at all instances",
        ),
        (
            lacks.instances,
            "[fleet] url has no effect: [revocation_limit] instances is 1",
            "set it to how many instances there are",
        ),
        (
            lacks.key,
            "instances need the same fingerprint key to know each other",
            "name a key that all of them have: fingerprint_key_file",
        ),
    ];
    if url.is_some()
        && let Some((_, message, remedy)) = found.into_iter().find(|(lacks, ..)| *lacks)
    {
        section.report_at("url", InvalidValue::new(message, remedy));
    }
    section.finish();
    url
}
