//! A source of type `redis_stream`.

use super::values::{secret_file, some_text, start};
use crate::adapters::redis_connection::{ServerAddress, Topology};
use crate::adapters::sources::redis_stream::Params;
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::formats::events::decoder::Decoder;
use secrecy::SecretString;
use std::time::Duration;

/// The consumer, where no instance is named.
const INSTANCE: &str = "tripline";

/// Reads it. `shared` is the Redis of the auth store, which is meant where no address is written.
pub(super) fn redis_stream(
    section: &Section<'_>,
    decoder: Decoder,
    shared: Option<&ServerAddress>,
) -> Option<Params> {
    let place = redis_address(section, shared, Duration::default());
    let stream = section.get("stream", some_text);
    if stream.is_none() {
        section.report_missing(&["stream"]);
    }
    let group = section.read("group", some_text);
    let instance = section.get("instance", some_text);
    let field = section.read("field", some_text);
    Some(Params {
        place: place?,
        stream: stream?,
        group: group?,
        instance: instance.unwrap_or_else(|| INSTANCE.to_owned()),
        field: field?,
        start: start(section),
        decoder,
    })
}

/// Where a single Redis is that a section names; `shared`, that of the auth store, where it names none.
pub(super) fn redis_address(
    section: &Section<'_>,
    shared: Option<&ServerAddress>,
    response_timeout: Duration,
) -> Option<ServerAddress> {
    let secret = |value: Value<'_>| value.text().map(|text| SecretString::from(text.to_owned()));
    let (url, from_file) = (section.get("url", secret), section.get("url_file", secret_file));
    if url.is_some() && from_file.is_some() {
        section.report(InvalidValue::new("url and url_file are both set", "leave out one of them"));
    }
    let own = url.or(from_file).map(|url| ServerAddress {
        url,
        nodes: Vec::new(),
        topology: Topology::Single,
        sentinel_user: None,
        sentinel_password: None,
        certificates: None,
        response_timeout,
    });
    if let Some(Err(error)) = own.as_ref().map(ServerAddress::check) {
        section.report(InvalidValue::new(error.to_string(), "see docs/redis.md"));
    }
    let place = own.or_else(|| shared.cloned());
    if place.is_none() {
        section.report_missing(&["url"]);
    }
    place
}
