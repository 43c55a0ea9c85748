//! Answers of the API in words.

use serde_json::Value;

/// A field as text; `-` where there is none.
pub(crate) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        Some(Value::String(text)) => crate::formats::printable::field(text).into_owned(),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// The credential of an answer, `kind:id`.
pub(crate) fn name(value: &Value) -> String {
    format!("{}:{}", text(value, "kind"), text(value, "credential"))
}

/// A finding with its numbers.
pub(crate) fn finding_text(found: &Value) -> String {
    let mut out = format!(
        "{} finding {}: {} {}\n",
        text(found, "opened"),
        text(found, "id"),
        name(found),
        text(found, "summary"),
    );
    out.push_str(&format!(
        "  by {}, most severe action justified: {}, evidence {} nats, {}\n",
        text(found, "detector"),
        text(found, "action"),
        found.get("evidence_nats").and_then(Value::as_f64).map_or(0.0, f64::round),
        match found.get("closed").and_then(Value::as_str) {
            Some(closed) => format!("closed {closed}"),
            None => "still open".to_owned(),
        },
    ));
    let pairs = |field: &str| {
        let object = found.get(field).and_then(Value::as_object);
        let pairs = object.into_iter().flatten().map(|(name, value)| {
            value
                .as_str()
                .map_or_else(|| format!("{name} {value}"), |text| format!("{name} {text}"))
        });
        pairs.collect::<Vec<_>>().join(", ")
    };
    out.push_str(&format!("  reached: {}\n  numbers: {}\n", pairs("reached"), pairs("evidence")));
    out
}

/// The safeguards that held a decision back.
pub(crate) fn held_by(decision: &Value) -> Vec<&str> {
    let held = decision.get("held_by").and_then(Value::as_array);
    held.into_iter().flatten().filter_map(Value::as_str).collect()
}
