//! What stands in each section of the configuration, with its default.

use super::reader::{Section, Value, Wrong};
use super::units::{bytes, duration_ms, rate_per_min};
use super::{Http, Settings, Token};
use crate::detect::{profile, ramp};
use crate::edge::api::auth::Role;
use crate::edge::auth_store::redis::{self, CHANGES_DEFAULT, GUARD_KEY, KEY_DEFAULT, OwnCommands};
use crate::edge::auth_store::template::{Command, Template, TemplateError};
use crate::edge::kafka;
use crate::engine::{control, partition};
use crate::judge::allow_list::Entry;
use crate::judge::budget::{BUDGETED, Budgets};
use crate::model::credential::Kind;
use crate::model::decision::Posture;
use crate::model::event::Outcome;
use crate::model::finding::{Action, Detector, Detectors};
use crate::model::time::EventTime;
use crate::wire::access_log::{AccessLog, Field};
use crate::wire::decoder::Decoder;
use crate::wire::mapping::{Mapping, Pointer, Target};
use hashbrown::HashMap;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Reads the whole file.
pub(super) fn read(root: &Section<'_>) -> Settings {
    let intake = root.section("intake");
    let access_log = access_log(intake.section("access_log"));
    let decoder = decoder(&intake, access_log);
    let threads = intake.get("threads", |v| within(v, 1, 64)).unwrap_or(2);
    intake.finish();
    let settings = Settings {
        data_dir: root.get("data_dir", path).unwrap_or_else(|| "tripline-data".into()),
        http: http(root.section("http")),
        kafka: kafka(root.section("kafka")),
        decoder,
        access_log,
        threads: usize::try_from(threads).unwrap_or(2),
        partition: partition::Params { profile: profile(root), ..engine(root.section("engine")) },
        control: control(root),
        redis: auth_store(root.section("auth_store")),
        fingerprint_key_file: root.get("fingerprint_key_file", path),
        dead_letters_bytes_max: dead_letters(root.section("dead_letters")),
    };
    finish_root(root);
    settings
}

fn finish_root(root: &Section<'_>) {
    for name in root.names() {
        root.unknown(&name);
    }
}

fn path(value: Value<'_>) -> Result<PathBuf, Wrong> {
    value.text().map(PathBuf::from)
}

fn within(value: Value<'_>, least: i64, most: i64) -> Result<i64, Wrong> {
    let read = value.integer()?;
    if (least..=most).contains(&read) {
        return Ok(read);
    }
    Err(Wrong::new("this is out of range", format!("write a whole number from {least} to {most}")))
}

fn number_within(value: Value<'_>, least: f64, most: f64) -> Result<f64, Wrong> {
    let read = value.number()?;
    if (least..=most).contains(&read) {
        return Ok(read);
    }
    Err(Wrong::new("this is out of range", format!("write a number from {least} to {most}")))
}

fn one_of<T>(
    value: Value<'_>,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
) -> Result<T, Wrong> {
    let text = value.text()?;
    let wrong =
        || Wrong::new(format!("there is no `{text}` here"), format!("write {}", known.join(", ")));
    parse(text).ok_or_else(wrong)
}

fn kind(value: Value<'_>) -> Result<Kind, Wrong> {
    one_of(value, Kind::parse, &Kind::ALL.map(Kind::as_str))
}

fn posture(value: Value<'_>) -> Result<Posture, Wrong> {
    one_of(value, Posture::parse, &Posture::ALL.map(Posture::as_str))
}

/// The kinds named in a table by kind.
fn by_kind(section: &Section<'_>) -> Vec<(Kind, String)> {
    let names = section.names().into_iter();
    names.filter_map(|name| Some((Kind::parse(&name)?, name))).collect()
}

fn secret_file(value: Value<'_>) -> Result<SecretString, Wrong> {
    let path = value.text()?;
    let text = std::fs::read_to_string(path).map_err(|error| {
        Wrong::new(
            format!("can't read the file {path}: {error}"),
            "name a file that tripline may read",
        )
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Wrong::new(format!("the file {path} is empty"), "put the secret into it"));
    }
    Ok(SecretString::from(text.to_owned()))
}

fn http(section: Section<'_>) -> Http {
    let address = |value: Value<'_>| {
        let text = value.text()?;
        text.parse::<SocketAddr>()
            .map_err(|_| Wrong::new(format!("`{text}` is no address"), "write 127.0.0.1:7878"))
    };
    let listen =
        section.get("listen", address).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7878)));
    let body = section.get("body_max", bytes).unwrap_or(8 << 20);
    let by_name = section.section("tokens");
    let mut tokens = Vec::new();
    for name in by_name.names() {
        let token = by_name.section(&name);
        let role = |text: &str| Role::ALL.into_iter().find(|role| role.as_str() == text);
        let roles = token.get("roles", |value| {
            let known = Role::ALL.map(Role::as_str).join(", ");
            let wrong = || Wrong::new("there is no such role", format!("write some of {known}"));
            value.texts()?.into_iter().map(|text| role(text).ok_or_else(wrong)).collect()
        });
        let secret = token.get("token_file", |value| {
            let secret = secret_file(value)?;
            if secrecy::ExposeSecret::expose_secret(&secret).len() < 16 {
                return Err(Wrong::new(
                    "this token is too short",
                    "use 16 characters or more, from `openssl rand -hex 32`",
                ));
            }
            Ok(secret)
        });
        match (roles, secret) {
            (Some(roles), Some(secret)) => tokens.push(Token { name, secret, roles }),
            _ => token.note_if_lacking(&["roles", "token_file"]),
        }
        token.finish();
    }
    by_name.finish();
    if !listen.ip().is_loopback() && tokens.is_empty() {
        section.note(Wrong::new(
            format!("{listen} can be reached from other machines, and nobody needs a token"),
            "add [http.tokens.NAME] with roles and token_file, or listen on 127.0.0.1",
        ));
    }
    section.finish();
    Http { listen, body_bytes_max: usize::try_from(body).unwrap_or(usize::MAX), tokens }
}

fn decoder(section: &Section<'_>, access_log: AccessLog) -> Decoder {
    let format = section
        .get("format", |value| {
            one_of(value, |t| Decoder::FORMATS.into_iter().find(|f| *f == t), &Decoder::FORMATS)
        })
        .unwrap_or("native");
    let own = section.section("mapping");
    let is_there = own.is_there();
    let mapping = mapping(own);
    match format {
        "cloudtrail" => Decoder::CloudTrail,
        "access_log" => Decoder::AccessLog(access_log),
        "mapping" => {
            if !is_there {
                section.note(Wrong::new(
                    "format = \"mapping\" needs a mapping",
                    "add a table `mapping` with credential = \"/path\" and time = \"/path\"",
                ));
            }
            mapping.map_or(Decoder::Native, |mapping| Decoder::Mapping(Box::new(mapping)))
        }
        _ => Decoder::Native,
    }
}

fn access_log(section: Section<'_>) -> AccessLog {
    let field = |text: &str| match text {
        "user" => Some(Field::User),
        "address" => Some(Field::Address),
        _ => None,
    };
    let credential = section.get("credential", |v| one_of(v, field, &["user", "address"]));
    let kind = section.get("kind", kind);
    section.finish();
    AccessLog { credential: credential.unwrap_or_default(), kind: kind.unwrap_or_default() }
}

fn mapping(section: Section<'_>) -> Option<Mapping> {
    if !section.is_there() {
        return None;
    }
    let pointer = |value: Value<'_>| {
        Pointer::parse(value.text()?)
            .map_err(|error| Wrong::new(error.to_string(), "write /field or /outer/inner"))
    };
    let credential = section.get("credential", pointer);
    let time = section.get("time", pointer);
    let default_kind = section.get("default_kind", kind).unwrap_or_default();
    let mut fields = HashMap::new();
    for target in Target::ALL {
        if let Some(pointer) = section.get(target.as_str(), pointer) {
            fields.insert(target, pointer);
        }
    }
    let words = section.section("outcomes");
    let mut outcomes = HashMap::new();
    for word in words.names() {
        let known = Outcome::ALL.map(Outcome::as_str);
        if let Some(outcome) = words.get(&word, |v| one_of(v, Outcome::parse, &known)) {
            outcomes.insert(word, outcome);
        }
    }
    if credential.is_none() || time.is_none() {
        section.note_if_lacking(&["credential", "time"]);
    }
    section.finish();
    Some(Mapping { credential: credential?, time: time?, kind: default_kind, fields, outcomes })
}

fn kafka(section: Section<'_>) -> Option<kafka::Params> {
    if !section.is_there() {
        return None;
    }
    let text = |value: Value<'_>| value.text().map(str::to_owned);
    let texts = |value: Value<'_>| {
        let texts: Vec<String> = value.texts()?.into_iter().map(str::to_owned).collect();
        if texts.is_empty() { Err(Wrong::new("this is empty", "name a topic")) } else { Ok(texts) }
    };
    let brokers = section.get("brokers", text);
    let topics = section.get("topics", texts);
    let group = section.get("group", text).unwrap_or_else(|| "tripline".to_owned());
    let decoder = decoder(&section, access_log(section.section("access_log")));
    let dead_letter_topic = section.get("dead_letter_topic", text);
    let stall_ms = section.get("stall_after", duration_ms).unwrap_or(60_000);
    let raw = section.section("librdkafka");
    let mut librdkafka = std::collections::BTreeMap::new();
    for name in raw.names() {
        if OWNED.contains(&name.as_str()) {
            raw.note(Wrong::new(
                format!("`{name}` is set by tripline"),
                "remove it: offsets are committed only behind what was applied",
            ));
        }
        if let Some(value) = raw.get(&name, text) {
            librdkafka.insert(name, value);
        }
    }
    if brokers.is_none() || topics.is_none() {
        section.note_if_lacking(&["brokers", "topics"]);
    }
    section.finish();
    let (brokers, topics) = (brokers?, topics?);
    Some(kafka::Params { brokers, topics, group, decoder, dead_letter_topic, stall_ms, librdkafka })
}

/// Settings of librdkafka on which tripline's promises rest.
const OWNED: [&str; 5] = [
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
];

fn engine(section: Section<'_>) -> partition::Params {
    let default = partition::Params::default();
    let most = section.get("credentials_max", |v| within(v, 1, 1_000_000_000));
    let params = partition::Params {
        lateness_ms: section.get("lateness", duration_ms).unwrap_or(default.lateness_ms),
        skew_ms_max: section.get("skew_max", duration_ms).unwrap_or(default.skew_ms_max),
        catch_up_ms: section.get("catch_up", duration_ms).unwrap_or(default.catch_up_ms),
        credentials_max: most
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(default.credentials_max),
        profile: default.profile,
    };
    section.finish();
    params
}

fn profile(root: &Section<'_>) -> profile::Params {
    let mut params = profile::Params::default();
    let ceiling = root.section("ceiling");
    if let Some(action) =
        ceiling.get("action", |v| one_of(v, Action::parse, &Action::ALL.map(Action::as_str)))
    {
        params.ceiling_action = action;
    }
    if let Some(limit) = ceiling.get("default", rate_per_min) {
        params.limits.by_kind = [limit; Kind::ALL.len()];
    }
    let kinds = ceiling.section("kind");
    for (kind, name) in by_kind(&kinds) {
        if let (Some(limit), Some(slot)) =
            (kinds.get(&name, rate_per_min), params.limits.by_kind.get_mut(kind as usize))
        {
            *slot = limit;
        }
    }
    kinds.finish();
    for (table, limits) in
        [("tenant", &mut params.limits.by_tenant), ("credential", &mut params.limits.by_credential)]
    {
        let section = ceiling.section(table);
        for name in section.names() {
            if let Some(limit) = section.get(&name, rate_per_min) {
                limits.insert(name, limit);
            }
        }
    }
    ceiling.finish();
    burst(root.section("burst"), &mut params);
    ramp(root.section("ramp"), &mut params.ramp);
    detectors(root.section("detectors"), &mut params);
    params
}

fn burst(section: Section<'_>, params: &mut profile::Params) {
    let burst = &mut params.burst;
    let ratio = |v: Value<'_>| number_within(v, 1.0, 1e6);
    if let Some(nats) = section.get("gate_nats", |v| number_within(v, 1.0, 1000.0)) {
        burst.gate_nats = nats;
    }
    if let Some(read) = section.get("observe_ratio", ratio) {
        burst.observe_ratio = crate::stats::rate::narrow(read);
    }
    if let Some(read) = section.get("alert_ratio", ratio) {
        burst.alert_ratio = read;
    }
    if let Some(read) = section.get("throttle_ratio", ratio) {
        burst.throttle_ratio = read;
    }
    if let Some(read) = section.get("suspend_ratio", ratio) {
        burst.suspend_ratio = read;
    }
    if let Some(rate) = section.get("throttle_rate", rate_per_min) {
        burst.throttle_rate_per_min = f64::from(rate);
    }
    if let Some(hours) = section.get("mature_hours", |v| within(v, 1, 255)) {
        params.rate_hours = u8::try_from(hours).unwrap_or(u8::MAX);
    }
    section.finish();
}

fn ramp(section: Section<'_>, params: &mut ramp::Params) {
    if let Some(ratio) = section.get("observe_ratio", |v| number_within(v, 1.0, 1e6)) {
        params.observe_ratio = ratio;
    }
    let alert = |value: Value<'_>| match value.text() {
        Ok("none") => Ok(f64::INFINITY),
        _ => number_within(value, 1.0, 1e6),
    };
    if let Some(ratio) = section.get("alert_ratio", alert) {
        params.alert_ratio = ratio;
    }
    section.finish();
}

fn detectors(section: Section<'_>, params: &mut profile::Params) {
    let read = |value: Value<'_>| {
        let mut off = Detectors::default();
        for name in value.texts()? {
            let known = Detector::parse(name).ok_or_else(|| {
                let names = Detector::ALL.map(Detector::as_str).join(", ");
                Wrong::new(format!("\"{name}\" is no detector"), format!("write some of {names}"))
            })?;
            off = off.with(known, true);
        }
        Ok(off)
    };
    params.off = section.get("off", read).unwrap_or_default();
    section.finish();
}

fn control(root: &Section<'_>) -> control::Params {
    let mut params = control::Params::default();
    let section = root.section("posture");
    params.postures.default = section.get("default", posture).unwrap_or_default();
    let kinds = section.section("kind");
    for (kind, name) in by_kind(&kinds) {
        if let Some(posture) = kinds.get(&name, posture) {
            params.postures.by_kind.insert(kind, posture);
        }
    }
    kinds.finish();
    let tenants = section.section("tenant");
    for name in tenants.names() {
        if let Some(posture) = tenants.get(&name, posture) {
            params.postures.by_tenant.insert(name, posture);
        }
    }
    section.finish();

    let section = root.section("actions");
    params.throttle_ms = section.get("throttle_for", duration_ms).unwrap_or(params.throttle_ms);
    params.suspend_ms = section.get("suspend_for", duration_ms).unwrap_or(params.suspend_ms);
    section.finish();

    let section = root.section("breaker");
    let count = |v: Value<'_>| within(v, 0, 1_000_000).map(|n| u32::try_from(n).unwrap_or(0));
    let breaker = &mut params.breaker;
    breaker.per_tenant_hour =
        section.get("per_tenant_hour", count).unwrap_or(breaker.per_tenant_hour);
    breaker.per_hour = section.get("per_hour", count).unwrap_or(breaker.per_hour);
    breaker.per_hour_share = section
        .get("per_hour_share", |v| number_within(v, 0.0, 1.0))
        .unwrap_or(breaker.per_hour_share);
    section.finish();

    budget(root.section("budget"), &mut params.budgets);
    let section = root.section("fleet");
    let fleet = &mut params.fleet;
    fleet.share = section.get("share", |v| number_within(v, 0.0, 1.0)).unwrap_or(fleet.share);
    fleet.credentials_min = section.get("credentials_min", count).unwrap_or(fleet.credentials_min);
    section.finish();

    let section = root.section("allow_list");
    params.allow_list.credentials = entries(&section.section("credential"));
    params.allow_list.tenants = entries(&section.section("tenant"));
    section.finish();
    params
}

fn budget(section: Section<'_>, budgets: &mut Budgets) {
    let allowed = |value: Value<'_>| match value.text() {
        Ok("none") => Ok(None),
        _ => number_within(value, 1e-12, 1e3).map(Some).map_err(|Wrong(message, _)| {
            Wrong::new(message, "write a number from 1e-12 to 1000, or \"none\"")
        }),
    };
    for action in BUDGETED {
        if let Some(read) = section.get(action.as_str(), allowed) {
            budgets.set(action, read);
        }
    }
    section.finish();
}

fn entries(section: &Section<'_>) -> HashMap<String, Entry> {
    let mut entries = HashMap::new();
    for name in section.names() {
        let entry = section.section(&name);
        let text = |value: Value<'_>| value.text().map(str::to_owned);
        let owner = entry.get("owner", text);
        let reason = entry.get("reason", text);
        let time = |value: Value<'_>| {
            let read = crate::wire::time::rfc3339(value.text()?);
            read.ok_or_else(|| Wrong::new("this is no time", "write \"2026-12-31T00:00:00Z\""))
        };
        let expires: Option<EventTime> = entry.get("expires", time);
        match (owner, reason) {
            (Some(owner), Some(reason)) => {
                entries.insert(name, Entry { owner, reason, expires });
            }
            _ => entry.note_if_lacking(&["owner", "reason"]),
        }
        entry.finish();
    }
    entries
}

fn auth_store(section: Section<'_>) -> Option<redis::Params> {
    let redis = section.section("redis");
    section.finish();
    if !redis.is_there() {
        return None;
    }
    let secret = |value: Value<'_>| value.text().map(|text| SecretString::from(text.to_owned()));
    let url = redis.get("url", secret).or_else(|| redis.get("url_file", secret_file));
    if url.is_none() {
        redis.note_if_lacking(&["url"]);
    }
    let text = |value: Value<'_>| value.text().map(str::to_owned);
    let key = redis.get("key", |value| {
        let key = Template::parse(value.text()?).map_err(|error| wrong_template(&error))?;
        if key.names_the_credential() {
            return Ok(key);
        }
        Err(Wrong::new("all credentials would share this key", "put {kind} and {id} into it"))
    });
    let length = redis.get("stream_length_max", |v| within(v, 1, 100_000_000));
    let timeout = redis.get("response_timeout", duration_ms).unwrap_or(500);
    let lifetime = redis.get("lifetime_default", duration_ms).unwrap_or(30 * 86_400_000);
    let params = redis::Params {
        url: url.unwrap_or_else(|| SecretString::from(String::new())),
        key: key.or_else(|| Template::parse(KEY_DEFAULT).ok())?,
        guard_key: Template::parse(GUARD_KEY).ok()?,
        stream: redis.get("stream", text).unwrap_or_else(|| CHANGES_DEFAULT.to_owned()),
        stream_length_max: length.and_then(|n| u64::try_from(n).ok()).unwrap_or(100_000),
        channel: redis.get("channel", text).unwrap_or_else(|| CHANGES_DEFAULT.to_owned()),
        lifetime_default_s: lifetime / 1000,
        commands: commands(&redis.section("commands")),
        response_timeout: Duration::from_millis(u64::try_from(timeout).unwrap_or(500)),
    };
    redis.finish();
    Some(params)
}

fn wrong_template(error: &TemplateError) -> Wrong {
    Wrong::new(format!("this is no template: {error}"), "see docs/redis.md")
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
            own.note_if_lacking(&["revoke"]);
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

fn dead_letters(section: Section<'_>) -> u64 {
    let most = section.get("max", bytes).unwrap_or(1 << 30);
    section.finish();
    most
}
