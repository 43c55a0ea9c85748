//! Auth stores: where decisions are carried out.

use super::receivers;
use super::values::{by_kind, certificates_file, kinds, private_key_file, secret_file, some_text};
use crate::adapters::egress;
use crate::adapters::enforce::auth_store::{self, KindOfStore};
use crate::adapters::enforce::redis::store::{
    self, ClientTlsConfig, GUARD_KEY, OwnCommands, TlsCertificates,
};
use crate::adapters::enforce::template::{Command, Template, TemplateError};
use crate::adapters::redis_connection::{self, Topology};
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::model::credential::Kind;
use hashbrown::HashMap;
use secrecy::SecretString;
use std::time::Duration;

pub(super) fn auth_stores(
    section: &Section<'_>,
    allowed: &egress::Params,
) -> Vec<auth_store::Params> {
    let mut stores = Vec::new();
    stores.extend(redis_store(section.section("redis")));
    for kind in receivers::KINDS {
        let named = section.section(kind);
        for name in named.names() {
            stores.extend(receivers::read(kind, &name, named.section(&name), allowed));
        }
    }
    for name in section.names() {
        section.unknown(&name);
    }
    stores
}

fn redis_store(redis: Section<'_>) -> Option<auth_store::Params> {
    if !redis.is_there() {
        return None;
    }
    let kinds = kinds(&redis);
    let place = place(&redis);
    let text = |value: Value<'_>| value.text().map(str::to_owned);
    let key = redis.read("key", |value| {
        let key = Template::parse(value.text()?).map_err(|error| wrong_template(&error))?;
        if key.names_the_credential() {
            return Ok(key);
        }
        Err(InvalidValue::new(
            "the key must identify the credential, and nothing else",
            "put {kind} and {id} into it, and no other placeholder",
        ))
    });
    let lifetime_ms = redis.duration_ms("lifetime_default");
    let params = store::Params {
        place,
        key: key?,
        guard_key: Template::parse(GUARD_KEY).ok()?,
        stream: redis.read("stream", text).unwrap_or_default(),
        stream_length_max: redis.integer("stream_length_max"),
        channel: redis.read("channel", text).unwrap_or_default(),
        lifetime_default_s: lifetime_ms / 1000,
        commands: commands(&redis.section("commands")),
    };
    redis.finish();
    let of = KindOfStore::Redis(Box::new(params));
    Some(auth_store::Params { name: "redis".to_owned(), kinds, of })
}

/// Where Redis is, and how its servers stand together.
fn place(redis: &Section<'_>) -> redis_connection::ServerAddress {
    let secret = |value: Value<'_>| value.text().map(|text| SecretString::from(text.to_owned()));
    let (url, from_file) = (redis.get("url", secret), redis.get("url_file", secret_file));
    if url.is_some() && from_file.is_some() {
        redis.report(InvalidValue::new("url and url_file are both set", "leave out one of them"));
    }
    let url = url.or(from_file);
    if url.is_none() {
        redis.report_missing(&["url"]);
    }
    let text = |value: Value<'_>| value.text().map(str::to_owned);
    let cluster = redis.flag("cluster");
    let sentinel = redis.get("sentinel", |value: Value<'_>| {
        let name = some_text(value)?;
        if cluster {
            return Err(InvalidValue::new(
                "sentinel and cluster are both set",
                "leave out sentinel or cluster",
            ));
        }
        Ok(name)
    });
    let timeout_ms = u64::try_from(redis.duration_ms("response_timeout")).unwrap_or(0);
    let password = redis.get("sentinel_password_file", secret_file);
    let place = redis_connection::ServerAddress {
        url: url.clone().unwrap_or_else(|| SecretString::from(String::new())),
        nodes: redis.get("nodes", owned_texts).unwrap_or_default(),
        topology: match sentinel {
            Some(name) => Topology::Sentinel(name),
            None if cluster => Topology::Cluster,
            None => Topology::Single,
        },
        sentinel_user: redis.get("sentinel_user", text),
        sentinel_password: password,
        certificates: certificates(redis),
        response_timeout: Duration::from_millis(timeout_ms),
    };
    if url.is_some()
        && let Err(error) = place.check()
    {
        redis.report(InvalidValue::new(error.to_string(), "see docs/redis.md"));
    }
    place
}

fn owned_texts(value: Value<'_>) -> Result<Vec<String>, InvalidValue> {
    Ok(value.texts()?.into_iter().map(str::to_owned).collect())
}

/// Whom a TLS connection trusts, and the own certificate.
fn certificates(redis: &Section<'_>) -> Option<TlsCertificates> {
    let root_cert = redis.get("ca_file", certificates_file);
    let client_cert = redis.get("client_cert_file", certificates_file);
    let client_key = redis.get("client_key_file", private_key_file);
    if client_cert.is_some() != client_key.is_some() {
        redis.report_missing(&["client_cert_file", "client_key_file"]);
    }
    let client_tls = client_cert
        .zip(client_key)
        .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    let any = root_cert.is_some() || client_tls.is_some();
    any.then_some(TlsCertificates { client_tls, root_cert })
}

fn wrong_template(error: &TemplateError) -> InvalidValue {
    InvalidValue::new(format!("invalid template: {error}"), "see docs/redis.md")
}

fn commands(section: &Section<'_>) -> HashMap<Kind, OwnCommands> {
    let mut commands = HashMap::new();
    for (kind, name) in by_kind(section) {
        let own = section.section(&name);
        let list = |value: Value<'_>| {
            let texts = value.texts()?.into_iter();
            texts
                .map(|text| Command::parse(text).map_err(|error| wrong_template(&error)))
                .collect::<Result<Vec<_>, _>>()
        };
        let revoke = own.get("revoke", list);
        if revoke.is_none() {
            own.report_missing(&["revoke"]);
        }
        let revoke = revoke.unwrap_or_default();
        let read = OwnCommands {
            suspend: own.get("suspend", list).unwrap_or_else(|| revoke.clone()),
            throttle: own.get("throttle", list).unwrap_or_default(),
            restore: own.get("restore", list).unwrap_or_default(),
            revoke,
        };
        own.finish();
        commands.insert(kind, read);
    }
    for name in section.names() {
        section.unknown(&name);
    }
    commands
}
