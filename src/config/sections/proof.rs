//! Proof: uses that are not valid, refresh tokens that come back, sessions.

use super::values::one_of;
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::detect::params::Params;
use crate::model::finding::Action;

/// Reads what facts justify, and when.
pub(super) fn proof(root: &Section<'_>, params: &mut Params) {
    let section = root.section("validity");
    params.validity.action = action(&section);
    params.validity.skew_ms = section.duration_ms("clock_skew");
    params.validity.enforcement_ms = section.duration_ms("enforcement_grace");
    section.finish();
    let section = root.section("refresh_tokens");
    params.reuse.action = action(&section);
    params.reuse.grace_ms = section.duration_ms("grace");
    section.finish();
    let section = root.section("sessions");
    let seconds = |key| u32::try_from(section.duration_ms(key) / 1000).unwrap_or(u32::MAX);
    let limit = |key| Some(seconds(key)).filter(|seconds| *seconds > 0);
    let session = &mut params.session;
    session.action = action(&section);
    session.return_min = u16::try_from(seconds("return_within") / 60).unwrap_or(u16::MAX);
    session.returns_min = section.integer("returns");
    session.idle_s_max = limit("idle_max");
    session.age_s_max = limit("age_max");
    session.shared_asns = section.read("shared_asns", asns).unwrap_or_default();
    section.finish();
}

fn action(section: &Section<'_>) -> Action {
    let read = section
        .read("action", |value| one_of(value, Action::parse, &Action::ALL.map(Action::as_str)));
    read.unwrap_or(Action::Alert)
}

fn asns(value: Value<'_>) -> Result<Vec<u32>, InvalidValue> {
    let asn = |text: &str| {
        text.strip_prefix("AS").unwrap_or(text).parse().map_err(|_| {
            let message = format!("\"{text}\" is no autonomous system");
            InvalidValue::new(message, "write its number, as \"AS64500\"")
        })
    };
    value.texts()?.into_iter().map(asn).collect()
}
