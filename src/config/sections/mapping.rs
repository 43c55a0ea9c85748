//! Where the fields of an auth event are in the records of a source.

use super::values::one_of;
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::formats::events::log_format::LogFormat;
use crate::formats::events::mapping::Mapping;
use crate::formats::events::place::{Origin, Part, Pattern, Place};
use crate::formats::events::pointer::Pointer;
use crate::formats::events::time_format::TimeFormat;
use crate::formats::events::verified::{Verified, VerifiedRule};
use crate::model::event::{Field, Outcome};
use hashbrown::HashMap;
use toml::de::DeValue;

/// The fields of a mapping that are written down; the others are those of a format of the catalog.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct MappedFields {
    credential: Option<Place>,
    time: Option<Place>,
    kind: Option<Place>,
    outcome: Option<Place>,
    status: Option<Place>,
    outcomes: HashMap<String, Outcome>,
    default_outcome: Option<Outcome>,
    only: Option<Vec<(Pointer, Vec<String>)>>,
    line: Option<LogFormat>,
    skip: Option<Pattern>,
    is_dotted: Option<bool>,
    details: Vec<(Field, Place)>,
}

impl MappedFields {
    /// These fields instead of those of `base`; `None` where neither says where the credential and the time
    /// are.
    pub(in crate::config) fn over(self, base: Option<Mapping>) -> Option<Mapping> {
        let base = match (base, &self.credential, &self.time) {
            (Some(base), ..) => base,
            (None, Some(credential), Some(time)) => Mapping::new(credential.clone(), time.clone()),
            (None, ..) => return None,
        };
        Some(self.over_mapping(base))
    }

    fn over_mapping(self, mut base: Mapping) -> Mapping {
        base.details.retain(|(field, _)| !self.details.iter().any(|(own, _)| own == field));
        base.details.extend(self.details);
        base.outcomes.extend(self.outcomes);
        Mapping {
            only: self.only.unwrap_or(base.only),
            line: self.line.or(base.line),
            skip: self.skip.or(base.skip),
            is_dotted: self.is_dotted.unwrap_or(base.is_dotted),
            credential: self.credential.unwrap_or(base.credential),
            time: self.time.unwrap_or(base.time),
            kind: self.kind.or(base.kind),
            outcome: self.outcome.or(base.outcome),
            status: self.status.or(base.status),
            default_outcome: self.default_outcome.or(base.default_outcome),
            ..base
        }
    }
}

/// Reads the table of a mapping.
pub(in crate::config) fn fields(section: Section<'_>) -> MappedFields {
    let [credential, time, kind, outcome, status] =
        ["credential", "time", "kind", "outcome", "status"].map(|name| section.get(name, place));
    let all = Field::ALL.into_iter().filter(|field| *field != Field::Text);
    let details =
        all.filter_map(|field| Some((field, section.get(field.as_str(), place)?))).collect();
    let known = Outcome::ALL.map(Outcome::as_str);
    let default_outcome =
        section.get("default_outcome", |value| one_of(value, Outcome::parse, &known));
    let words = section.section("outcomes");
    let meaning = |word: String| {
        let outcome = words.get(&word, |value| one_of(value, Outcome::parse, &known))?;
        Some((word, outcome))
    };
    let outcomes = words.names().into_iter().filter_map(meaning).collect();
    let only = only(section.section("only"));
    let line = section.get("line", |value| {
        LogFormat::from_pattern(value.text()?).map_err(|error| {
            InvalidValue::new(error.to_string(), "write '(?P<time>[^\\t]+)\\t(?P<status>[0-9]+)'")
        })
    });
    let skip = section.get("skip", |value| pattern(value.text()?));
    let is_dotted = section.get("dotted", Value::flag);
    section.finish();
    MappedFields {
        credential,
        time,
        kind,
        outcome,
        status,
        outcomes,
        default_outcome,
        only,
        line,
        skip,
        is_dotted,
        details,
    }
}

/// A rule by name, or the place of a boolean.
pub(in crate::config) fn verified(value: Value<'_>) -> Result<Verified, InvalidValue> {
    let text = value.text()?;
    let of_field = |text: &str| {
        Pointer::parse(text)
            .map(Verified::Field)
            .map_err(|error| InvalidValue::new(error.to_string(), "write /field or /outer/inner"))
    };
    match VerifiedRule::parse(text) {
        Some(rule) => Ok(Verified::Rule(rule)),
        None if text == "outcome" => Ok(Verified::Outcome),
        None if text.starts_with('/') => of_field(text),
        None => Err(InvalidValue::new(
            format!("unknown rule `{text}` for verified uses"),
            "write never, 2xx, always, outcome, or the place of a boolean, like /auth/verified",
        )),
    }
}

/// Values that records must have, by pointers; none where nothing is said.
fn only(section: Section<'_>) -> Option<Vec<(Pointer, Vec<String>)>> {
    let names = section.names();
    let read = |name: String| {
        let texts = section.get(&name, |value| match value {
            Value::File(DeValue::String(_)) => Ok(vec![value.text()?.to_owned()]),
            Value::File(_) | Value::Environment(_) => {
                Ok(value.texts()?.into_iter().map(str::to_owned).collect())
            }
        })?;
        match Pointer::parse(&name) {
            Ok(pointer) => Some((pointer, texts)),
            Err(error) => {
                let remedy = "write { \"/type\" = \"response\" }";
                section.report_at(&name, InvalidValue::new(error.to_string(), remedy));
                None
            }
        }
    };
    let all: Vec<_> = names.into_iter().filter_map(read).collect();
    section.finish();
    (!all.is_empty()).then_some(all)
}

/// A pointer, a table, or a list of these.
fn place(value: Value<'_>) -> Result<Place, InvalidValue> {
    match value {
        Value::Environment(text) => Ok(Place::new(vec![at(text)?])),
        Value::File(DeValue::Array(parts)) => {
            let parts = parts.iter().map(|one| part(one.get_ref()));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            if parts.is_empty() {
                return Err(InvalidValue::new("an empty list has no value", "write \"/field\""));
            }
            Ok(Place::new(parts))
        }
        Value::File(value) => Ok(Place::new(vec![part(value)?])),
    }
}

fn at(pointer: &str) -> Result<Part, InvalidValue> {
    let pointer = Pointer::parse(pointer)
        .map_err(|error| InvalidValue::new(error.to_string(), "write /field or /outer/inner"))?;
    Ok(Part::from(Origin::Pointer(pointer)))
}

fn part(value: &DeValue<'_>) -> Result<Part, InvalidValue> {
    let DeValue::Table(table) = value else { return at(Value::File(value).text()?) };
    let text_of = |key: &str| {
        let entry = table.iter().find(|(name, _)| name.get_ref() == key);
        entry.map(|(_, value)| Value::File(value.get_ref()))
    };
    let keys = ["at", "value", "query", "match", "escaped", "format", "fingerprint"];
    if let Some((name, _)) = table.iter().find(|(name, _)| !keys.contains(&&**name.get_ref())) {
        return Err(InvalidValue::new(
            format!("a place has no `{}`", name.get_ref()),
            format!("it has {}", keys.join(", ")),
        ));
    }
    let mut part = match (text_of("at"), text_of("value")) {
        (Some(pointer), None) => at(pointer.text()?)?,
        (None, Some(value)) => Part::from(Origin::Constant(value.text()?.to_owned())),
        _ => {
            return Err(InvalidValue::new(
                "a place has either `at` or `value`",
                "write { at = \"/field\" } or { value = \"text\" }",
            ));
        }
    };
    if let Some(names) = text_of("query") {
        part.query = names.texts()?.into_iter().map(str::to_owned).collect();
    }
    part.pattern = text_of("match").map(|text| pattern(text.text()?)).transpose()?;
    part.is_escaped = text_of("escaped").map(Value::flag).transpose()?.unwrap_or(false);
    if let Some(format) = text_of("format") {
        let text = format.text()?;
        part.time_format = TimeFormat::parse(text).ok_or_else(|| {
            InvalidValue::new(
                format!("`{text}` is no format of a time"),
                format!(
                    "write {}, or a pattern like %Y-%m-%d %H:%M:%S",
                    TimeFormat::NAMES.join(", ")
                ),
            )
        })?;
    }
    part.fingerprint = text_of("fingerprint").map(Value::flag).transpose()?;
    Ok(part)
}

fn pattern(text: &str) -> Result<Pattern, InvalidValue> {
    Pattern::parse(text).map_err(|error| {
        InvalidValue::new(
            format!("invalid regular expression: {error}"),
            "see https://docs.rs/regex/latest/regex/#syntax",
        )
    })
}
