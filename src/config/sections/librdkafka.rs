//! Raw settings of librdkafka, passed on as they are.

use crate::adapters::sources::kafka::capabilities::{self, Refused};
use crate::config::reader::Section;
use crate::config::value::InvalidValue;
use std::collections::BTreeMap;

/// Raw settings of librdkafka, but for those that are `owned`, and those that the client of this build does
/// not take.
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
    for Refused { name, why, remedy } in capabilities::refused(&settings) {
        raw.report_at(&name, InvalidValue::new(format!("`{name}`: {why}"), remedy));
    }
    settings
}
