//! Receivers of notifications.

use super::librdkafka::librdkafka;
use super::receivers::{signer, target, target_of, url};
use super::values::{one_of, secret_file, some_text};
use crate::adapters::egress;
use crate::adapters::notify::receiver::{self, KindOfReceiver};
use crate::adapters::notify::topic;
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::control_plane::notifications::notice;
use crate::formats::outbound::encoding::Form;
use crate::model::finding::Action;
use secrecy::ExposeSecret;

const KINDS: [&str; 5] = ["alertmanager", "webhook", "slack", "pagerduty", "kafka"];

/// Reads `[notify]`.
pub(super) fn receivers(section: &Section<'_>, allowed: &egress::Params) -> Vec<receiver::Params> {
    let mut receivers = Vec::new();
    for kind in KINDS {
        let named = section.section(kind);
        for name in named.names() {
            receivers.extend(receiver(kind, &name, named.section(&name), allowed));
        }
    }
    for name in section.names() {
        section.unknown(&name);
    }
    receivers
}

fn receiver(
    kind: &str,
    name: &str,
    section: Section<'_>,
    allowed: &egress::Params,
) -> Option<receiver::Params> {
    let from = section.read("from", |value| {
        let told = |text: &str| Action::parse(text).filter(|action| *action >= Action::Alert);
        one_of(value, told, &["alert", "throttle", "suspend", "revoke"])
    });
    let per_minute = section.integer("per_minute");
    let of = match kind {
        "alertmanager" => alertmanager(&section, allowed),
        "webhook" => webhook(&section, allowed),
        "slack" => slack(&section, allowed),
        "kafka" => topic(&section),
        _ => pagerduty(&section, allowed),
    };
    section.finish();
    Some(receiver::Params {
        name: format!("{kind}.{name}"),
        wants: notice::Params { from: from?, per_minute },
        of: of?,
    })
}

fn alertmanager(section: &Section<'_>, allowed: &egress::Params) -> Option<KindOfReceiver> {
    section.report_missing(&["url"]);
    let url = section.get("url", |value| {
        let wrong = || InvalidValue::new("invalid URL", "write http://alertmanager:9093/");
        let text = format!("{}/", value.text()?.trim_end_matches('/'));
        let base = target_of(&text, allowed)?;
        base.join("api/v2/alerts").map_err(|_| wrong())
    });
    url.map(KindOfReceiver::Alertmanager)
}

fn webhook(section: &Section<'_>, allowed: &egress::Params) -> Option<KindOfReceiver> {
    section.report_missing(&["url", "secret_file"]);
    let (url, signer) = (url(section, allowed), section.get("secret_file", signer));
    let form = form(section);
    Some(KindOfReceiver::Webhook(url?, signer?, form?))
}

fn slack(section: &Section<'_>, allowed: &egress::Params) -> Option<KindOfReceiver> {
    section.report_missing(&["url_file"]);
    let url = section.get("url_file", |value: Value<'_>| {
        let secret = secret_file(value)?;
        target_of(secret.expose_secret(), allowed)
    });
    url.map(KindOfReceiver::Slack)
}

fn pagerduty(section: &Section<'_>, allowed: &egress::Params) -> Option<KindOfReceiver> {
    section.report_missing(&["routing_key_file"]);
    let url = section.read("url", |value| target(value, allowed));
    let key = section.get("routing_key_file", secret_file);
    Some(KindOfReceiver::PagerDuty(url?, key?))
}

fn topic(section: &Section<'_>) -> Option<KindOfReceiver> {
    section.report_missing(&["brokers", "topic"]);
    let brokers = section.get("brokers", some_text);
    let topic = section.get("topic", some_text);
    let form = form(section);
    let librdkafka = librdkafka(&section.section("librdkafka"), &OWNED);
    Some(KindOfReceiver::Kafka(topic::Params {
        brokers: brokers?,
        topic: topic?,
        form: form?,
        librdkafka,
    }))
}

/// Settings of librdkafka on which order and delivery rest.
const OWNED: [&str; 2] = ["bootstrap.servers", "enable.idempotence"];

fn form(section: &Section<'_>) -> Option<Form> {
    section.read("format", |value| one_of(value, Form::parse, &Form::NAMES))
}
