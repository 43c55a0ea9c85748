//! Sources of events: HTTP, files, Kafka, and how their records are read.

use super::catalog;
use super::into_topic::{self, into_topic};
use super::librdkafka::librdkafka;
use super::mapping::{MappedFields, fields, verified};
use super::redis_stream::redis_stream;
use super::servers::networks;
use super::sqs::sqs;
use super::syslog::syslog;
use super::values::{documents, kind, one_of, some_text, start};
use crate::adapters::http::envelope::HttpSource;
use crate::adapters::redis_connection::ServerAddress;
use crate::adapters::sources::ingest::DEFAULT_SOURCE;
use crate::adapters::sources::kafka::consumer;
use crate::adapters::sources::syslog::params as syslog;
use crate::adapters::sources::tail::params as tail;
use crate::adapters::sources::tail::pattern::{PathPattern, PatternError};
use crate::config::reader::Section;
use crate::config::settings::Sources;
use crate::config::units::rate_per_min;
use crate::config::value::{InvalidValue, Value};
use crate::formats::events::access_log::{AccessLog, Field};
use crate::formats::events::address::TrustedProxies;
use crate::formats::events::decoder::{Decoder, Format};
use crate::formats::events::log_format::LogFormat;
use crate::formats::events::mapping::Mapping;
use crate::formats::events::otlp::RecordPart;
use crate::formats::events::place::{Origin, Part, Place};
use crate::formats::events::pointer::Pointer;
use crate::formats::events::prices::Prices;
use crate::formats::events::verified::{Verified, VerifiedRule};
use crate::model::credential::{Kind, NAME_BYTES_MAX};
use crate::model::money::Money;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use toml::de::DeValue;

/// The longest name of a source. Unit: bytes. Chosen: it is a part of paths and a label of metrics.
const SOURCE_NAME_BYTES_MAX: usize = 64;
/// The most sources. Chosen: each has time series of its own.
const SOURCES_MAX: usize = 64;

/// Reads all sources. That of the name `default` takes `POST /v1/events`, whether it is there or not.
/// `redis` is that of the auth store.
pub(super) fn sources(
    all: Section<'_>,
    prices: Section<'_>,
    redis: Option<&ServerAddress>,
) -> Sources {
    let prices = Arc::new(prices_of(prices));
    let mut names = all.names_of_tables();
    if names.len() > SOURCES_MAX {
        all.report(InvalidValue::new(
            format!("more than {SOURCES_MAX} sources"),
            "let one source take the events of several gateways",
        ));
    }
    let has_default = names.iter().any(|name| name == DEFAULT_SOURCE);
    if !has_default {
        names.push(DEFAULT_SOURCE.to_owned());
    }
    let mut sources = Sources { has_default, ..Sources::default() };
    let mut kinds = BTreeMap::new();
    for name in names {
        let section = all.section(&name);
        if !is_source_name(&name) {
            section.report(InvalidValue::new(
                format!("`{name}` can't be the name of a source"),
                format!("use a-z, 0-9, _ and -, at most {SOURCE_NAME_BYTES_MAX} of them"),
            ));
        }
        let kind = source(&name, section, (&prices, redis), &mut sources);
        kinds.insert(name, kind);
    }
    into_topic::check(&all, &sources, &kinds);
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, files) in &sources.files {
        for pattern in &files.paths {
            match seen.insert(pattern.as_str(), name) {
                Some(other) if other != name => all.report_at(
                    name,
                    InvalidValue::new(
                        format!(
                            "`{name}` and `{other}` read the same files: each line counts twice"
                        ),
                        "name the files in one of them",
                    ),
                ),
                Some(_) | None => {}
            }
        }
    }
    let mut bound: BTreeMap<(bool, SocketAddr), &str> = BTreeMap::new();
    for (name, params) in &sources.syslog {
        let is_udp = matches!(params.transport, syslog::Transport::Udp);
        if let Some(other) = bound.insert((is_udp, params.listen), name) {
            all.report_at(
                name,
                InvalidValue::new(
                    format!("`{name}` and `{other}` listen on the same address"),
                    "give each a port of its own",
                ),
            );
        }
    }
    all.finish();
    sources
}

/// Prices by model.
fn prices_of(section: Section<'_>) -> Prices {
    let price = |name: String| {
        section.get(&name, |value| match value {
            Value::File(DeValue::Table(_)) => Err(InvalidValue::new(
                format!("`{name}` is the begin of a name with a point"),
                format!("quote the whole name: \"{name}.…\" = 8"),
            )),
            Value::File(_) | Value::Environment(_) => Ok(()),
        })?;
        if name.trim_end_matches('*').contains('*') {
            section.report_at(
                &name,
                InvalidValue::new(
                    "a `*` stands for the rest of a name, at its end",
                    "write \"gpt-4*\", or one name for each model",
                ),
            );
        }
        Some((section.number_or_none(&name).and_then(Money::of)?, name))
    };
    let prices: Vec<_> = section.names().into_iter().filter_map(price).collect();
    section.finish();
    Prices::new(prices.into_iter().map(|(price, name)| (name, price)))
}

fn is_source_name(name: &str) -> bool {
    let is_good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=SOURCE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_good)
}

fn source(
    name: &str,
    section: Section<'_>,
    (prices, redis): (&Arc<Prices>, Option<&ServerAddress>),
    sources: &mut Sources,
) -> &'static str {
    let types = ["http", "otlp", "file", "stdin", "syslog", "kafka", "redis_stream", "sqs"];
    let known = |text: &str| types.into_iter().find(|one| *one == text);
    let written = section.get("type", |value| one_of(value, known, &types));
    let kind = written.unwrap_or("http");
    if written.is_none() && lacks_type(&section) {
        return kind;
    }
    if name == DEFAULT_SOURCE && kind != "http" {
        section.report(InvalidValue::new(
            "this source takes POST /v1/events, so its type is http",
            "give the source another name",
        ));
    }
    let prices = Arc::clone(prices);
    let into = into_topic(&section, kind);
    let decoder = Decoder { prices, is_syslog: kind == "syslog", ..decoder(&section) };
    match kind {
        "file" => {
            let files = file(&section, decoder.clone());
            sources.files.extend(files.map(|files| (name.to_owned(), files)));
        }
        "stdin" => {
            if decoder.format.reads_documents() {
                documents(&section);
            }
            if let Some((other, _)) = &sources.stdin {
                section.report(InvalidValue::new(
                    format!("`{other}` reads standard input, too"),
                    "leave out one of them",
                ));
            }
            sources.stdin = Some((name.to_owned(), decoder.clone()));
        }
        "syslog" => {
            let syslog = syslog(&section, decoder.clone());
            sources.syslog.extend(syslog.map(|syslog| (name.to_owned(), syslog)));
        }
        "sqs" => {
            let sqs = sqs(&section, decoder.clone());
            sources.sqs.extend(sqs.map(|sqs| (name.to_owned(), sqs)));
        }
        "redis_stream" => {
            let stream = redis_stream(&section, decoder.clone(), redis);
            sources.redis_streams.extend(stream.map(|stream| (name.to_owned(), stream)));
        }
        "kafka" => {
            let kafka = kafka(&section, name, decoder.clone());
            if sources.kafka.is_some() {
                section.report(InvalidValue::new(
                    "a second source of Kafka",
                    "name the topics of both in one, or run another instance",
                ));
            }
            sources.kafka = kafka;
        }
        _ => {
            let otlp = (kind == "otlp").then(|| record_part(&section, &decoder.format));
            let source = HttpSource { decoder: decoder.clone(), otlp, into };
            sources.http.insert(name.to_owned(), source);
        }
    }
    sources.rates.extend(rate_max(&section, kind).map(|rate| (name.to_owned(), rate)));
    sources.decoders.insert(name.to_owned(), decoder);
    section.finish();
    kind
}

/// The most events that a source of that type may take, if that is bounded. Unit: events a minute.
fn rate_max(section: &Section<'_>, kind: &str) -> Option<u32> {
    if kind != "kafka" {
        return section.get("rate_max", rate_per_min).filter(|rate| *rate > 0);
    }
    if section.has("rate_max") {
        let remedy = "remove it: Kafka keeps what is not read yet";
        section.report_at("rate_max", InvalidValue::new("Kafka has no such bound", remedy));
    }
    None
}

/// Whether a section without a type has a setting of one, which is a mistake.
fn lacks_type(section: &Section<'_>) -> bool {
    let of_types = [
        ("record", "otlp"),
        ("paths", "file"),
        ("listen", "syslog"),
        ("brokers", "kafka"),
        ("topics", "kafka"),
        ("stream", "redis_stream"),
        ("queue_url", "sqs"),
    ];
    let found = of_types.into_iter().find(|(key, _)| section.has(key));
    if let Some((key, needed)) = found {
        section.report_at(
            key,
            InvalidValue::new(
                format!("`{key}` has no effect without a type"),
                format!("add type = \"{needed}\""),
            ),
        );
    }
    found.is_some()
}

/// How the records of a source are read.
fn decoder(section: &Section<'_>) -> Decoder {
    let names: Vec<&str> = catalog::names().collect();
    let known = |text: &str| catalog::names().find(|name| *name == text);
    let name = section.read("format", |value| one_of(value, known, &names)).unwrap_or("native");
    let default_kind = section.get("kind", kind);
    let verified = section.get("verified", verified);
    let tenant = section.get("tenant", tenant);
    let field = |text: &str| match text {
        "user" => Some(Field::User),
        "address" => Some(Field::Address),
        _ => None,
    };
    let credential = section.get("credential", |value| one_of(value, field, &["user", "address"]));
    let line = section.get("log_format", log_format);
    let mapping = section.section("mapping");
    let has_mapping = mapping.is_there();
    let own = fields(mapping);
    let raw_secrets = section.flag("fingerprint_credentials");
    let several = ["each", "first"];
    let is_one = |text: &str| several.into_iter().find(|one| *one == text);
    let several = section.get("several_secrets", |value| one_of(value, is_one, &several));
    let proxies = section.get("trusted_proxies", networks).map(TrustedProxies::new);
    let has_line = line.is_some();
    let format = match name {
        "native" => Format::Native,
        "cloudtrail" => Format::CloudTrail,
        "access_log" => {
            let access_log = AccessLog {
                credential: credential.unwrap_or_default(),
                kind: default_kind.unwrap_or_default(),
                verified: rule(section, verified.as_ref()),
            };
            match line {
                Some(line) => with_log_format(line, access_log),
                None => Format::AccessLog(access_log),
            }
        }
        name => mapped(section, name, (own, has_mapping), (default_kind, verified.clone())),
    };
    let format = match format {
        Format::Mapping(mapping) => {
            Format::Mapping(Box::new(Mapping { takes_first: several == Some("first"), ..*mapping }))
        }
        Format::Native | Format::CloudTrail | Format::AccessLog(_) => format,
    };
    let is_mapping = matches!(format, Format::Mapping(_));
    let decides_itself = matches!(format, Format::Native | Format::CloudTrail);
    for (key, is_set, is_wrong) in [
        ("mapping", has_mapping, !is_mapping || name == "access_log"),
        ("log_format", has_line, name != "access_log"),
        ("credential", credential.is_some(), name != "access_log"),
        ("several_secrets", several.is_some(), !is_mapping),
        ("kind", default_kind.is_some(), decides_itself),
        ("verified", verified.is_some(), decides_itself),
    ] {
        if is_set && is_wrong {
            section.report_at(
                key,
                InvalidValue::new(
                    format!("`{key}` has no effect with format = \"{name}\""),
                    "remove it, or set another format",
                ),
            );
        }
    }
    let proxies = proxies.unwrap_or_default();
    Decoder { format, proxies, raw_secrets, tenant, ..Decoder::default() }
}

fn tenant(value: Value<'_>) -> Result<String, InvalidValue> {
    let text = some_text(value)?;
    if text.len() > NAME_BYTES_MAX {
        let message = format!("longer than {NAME_BYTES_MAX} bytes");
        return Err(InvalidValue::new(message, "use the name that events have"));
    }
    Ok(text)
}

fn log_format(value: Value<'_>) -> Result<LogFormat, InvalidValue> {
    LogFormat::parse(value.text()?).map_err(|error| {
        InvalidValue::new(
            error.to_string(),
            "write the text of nginx's log_format or Apache's LogFormat between '''",
        )
    })
}

/// An access log in a format of its own: its variables are mapped as those of nginx.
fn with_log_format(line: LogFormat, access_log: AccessLog) -> Format {
    let nginx = catalog::format("nginx").map(|format| format.mapping.clone());
    let field =
        |text: &str| Pointer::parse(text).ok().map(|pointer| Part::from(Origin::Pointer(pointer)));
    nginx.map_or(Format::AccessLog(access_log), |mapping| {
        Format::Mapping(Box::new(Mapping {
            name: "access_log",
            line: Some(line),
            credential: match access_log.credential {
                Field::User => mapping.credential.after(field("/remote_user")),
                Field::Address => Place::new(field("/remote_addr").into_iter().collect()),
            },
            default_kind: access_log.kind,
            verified: Verified::Rule(access_log.verified),
            ..mapping
        }))
    })
}

/// The rule of an access log, whose lines have no field that could say it.
fn rule(section: &Section<'_>, verified: Option<&Verified>) -> VerifiedRule {
    match verified {
        None => VerifiedRule::default(),
        Some(Verified::Rule(rule)) => *rule,
        Some(Verified::Outcome | Verified::Field(_)) => {
            section.report_at(
                "verified",
                InvalidValue::new(
                    "an access log has no such field",
                    format!("write {}", VerifiedRule::NAMES.join(", ")),
                ),
            );
            VerifiedRule::default()
        }
    }
}

/// A mapping of the operator's own, or one of the catalog with the operator's changes.
fn mapped(
    section: &Section<'_>,
    name: &str,
    (own, has_mapping): (MappedFields, bool),
    (default_kind, verified): (Option<Kind>, Option<Verified>),
) -> Format {
    let of_catalog = catalog::format(name);
    if of_catalog.is_none() && !has_mapping {
        section.report(InvalidValue::new(
            "format = \"mapping\" needs a mapping",
            "add a table `mapping` with credential = \"/path\" and time = \"/path\"",
        ));
        return Format::Native;
    }
    let base = of_catalog.map(|preset| preset.mapping.clone());
    let Some(mapping) = own.over(base) else {
        section.section("mapping").report_missing(&["credential", "time"]);
        return Format::Native;
    };
    let mapping = Mapping {
        default_kind: default_kind.unwrap_or(mapping.default_kind),
        verified: verified.unwrap_or(mapping.verified),
        ..mapping
    };
    for (rule, is_there, key) in [
        (Verified::Outcome, mapping.outcome.is_some(), "outcome"),
        (Verified::Rule(VerifiedRule::Success), mapping.status.is_some(), "status"),
    ] {
        if mapping.verified == rule && !is_there {
            section.report_at(
                "verified",
                InvalidValue::new(
                    format!("this rule needs the field `{key}`"),
                    format!("add {key} = \"/path\" to the mapping, or choose another rule"),
                ),
            );
        }
    }
    Format::Mapping(Box::new(mapping))
}

fn file(section: &Section<'_>, decoder: Decoder) -> Option<tail::Params> {
    let paths = section.get("paths", |value| {
        let paths = value.texts()?;
        if paths.is_empty() {
            return Err(InvalidValue::new("no file", "name a file"));
        }
        let wrong = |error: PatternError| {
            InvalidValue::new(error.to_string(), "write [\"/var/log/nginx/*.log\"]")
        };
        paths.iter().map(|path| PathPattern::parse(path).map_err(wrong)).collect()
    });
    if paths.is_none() {
        section.report_missing(&["paths"]);
    }
    if decoder.format.reads_documents() {
        documents(section);
    }
    Some(tail::Params { paths: paths?, start: start(section), decoder })
}

fn record_part(section: &Section<'_>, format: &Format) -> RecordPart {
    let parse = |name: &str| RecordPart::ALL.into_iter().find(|one| one.as_str() == name);
    let names = RecordPart::ALL.map(RecordPart::as_str);
    let part = section.read("record", |value| one_of(value, parse, &names)).unwrap_or_default();
    let is_line = |mapping: &Mapping| mapping.line.is_some();
    let reads_lines = match format {
        Format::AccessLog(_) => true,
        Format::Mapping(mapping) => is_line(mapping),
        Format::Native | Format::CloudTrail => false,
    };
    let wrong = match part {
        RecordPart::Attributes | RecordPart::Whole if reads_lines => {
            Some("this format reads lines, and a line is the body")
        }
        RecordPart::Whole if format.as_str() != "mapping" => {
            Some("this format knows no field of a whole log record")
        }
        RecordPart::Body | RecordPart::Attributes | RecordPart::Whole => None,
    };
    if let Some(wrong) = wrong {
        let remedy = "write body or attributes, or format = \"mapping\" with places of your own";
        section.report_at("record", InvalidValue::new(wrong, remedy));
    }
    part
}

fn kafka(section: &Section<'_>, source: &str, decoder: Decoder) -> Option<consumer::Params> {
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
    let rejects_topic = section.get("rejects_topic", text);
    let stall_ms = section.duration_ms("stall_after");
    let instance = section.get("instance", some_text);
    let librdkafka = librdkafka(&section.section("librdkafka"), &OWNED);
    if brokers.is_none() || topics.is_none() {
        section.report_missing(&["brokers", "topics"]);
    }
    let (brokers, topics) = (brokers?, topics?);
    Some(consumer::Params {
        source: source.to_owned(),
        brokers,
        topics,
        group,
        decoder,
        rejects_topic,
        start: start(section),
        instance,
        stall_ms,
        librdkafka,
    })
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
