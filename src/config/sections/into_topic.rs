//! `into`: HTTP sources whose events go to the topic of a Kafka source, which counts them.

use crate::adapters::sources::kafka::consumer;
use crate::config::reader::Section;
use crate::config::settings::Sources;
use crate::config::value::InvalidValue;
use crate::formats::events::decoder::Format;
use std::collections::BTreeMap;

/// The setting of a source of that type, if it has it and may.
pub(super) fn into_topic(section: &Section<'_>, kind: &str) -> Option<String> {
    let into = section.get("into", super::values::some_text);
    if !["http", "otlp"].contains(&kind) && into.is_some() {
        section.report_at(
            "into",
            InvalidValue::new(
                format!("`into` has no effect with type = \"{kind}\""),
                "remove it: sources of type http and otlp alone write into a topic",
            ),
        );
        return None;
    }
    into
}

/// Looks whether each source that writes into a topic can; `kinds` are the types of all.
pub(super) fn check(all: &Section<'_>, sources: &Sources, kinds: &BTreeMap<String, &str>) {
    for (name, source) in &sources.http {
        let Some(into) = &source.into else { continue };
        let wrong = match kinds.get(into) {
            None => Some(InvalidValue::new(
                format!("there is no source `{into}`"),
                format!("add [sources.{into}] with type = \"kafka\", or name one that is there"),
            )),
            Some(&"kafka") => {
                let kafka = sources.kafka.as_ref().filter(|kafka| kafka.source == *into);
                kafka.and_then(refusal)
            }
            Some(kind) => Some(InvalidValue::new(
                format!("`{into}` is of type {kind}, and has no topic"),
                "name a source of type kafka",
            )),
        };
        if let Some(wrong) = wrong {
            all.section(name).report_at("into", wrong);
        }
    }
}

/// Why events can't go into the topic of that source and stay as they are.
fn refusal(kafka: &consumer::Params) -> Option<InvalidValue> {
    let name = &kafka.source;
    let (message, remedy) = match kafka.topics.as_slice() {
        [topic] if topic.starts_with('^') => (
            format!(
                "`{name}` reads all topics like {topic}, so it is not clear which one to write"
            ),
            format!("name one topic in [sources.{name}] topics"),
        ),
        [_] if kafka.decoder.format != Format::Native => (
            format!(
                "events are written as native, and `{name}` reads format = \"{}\"",
                kafka.decoder.format.as_str()
            ),
            format!(
                "set format = \"native\" for [sources.{name}]; `tripline rekey` writes a topic of \
                 another format into a native one"
            ),
        ),
        [_] if kafka.decoder.raw_secrets => (
            format!("`{name}` would take fingerprints for secrets: fingerprint_credentials is set"),
            format!("set it for this source, and not for [sources.{name}]"),
        ),
        [_] if kafka.decoder.tenant.is_some() => (
            format!("`{name}` would give its tenant to events that this source gives none"),
            format!("set tenant for this source, and not for [sources.{name}]"),
        ),
        [_] => return None,
        topics => (
            format!(
                "`{name}` reads {} topics, so it is not clear which one to write",
                topics.len()
            ),
            format!(
                "leave one topic in [sources.{name}] topics, and copy the others into it with \
                 `tripline rekey`"
            ),
        ),
    };
    Some(InvalidValue::new(message, remedy))
}
