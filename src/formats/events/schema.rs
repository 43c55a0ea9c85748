//! The fields of an auth event: the table from which its reference and its JSON Schema are made.

use crate::model::credential::{ID_BYTES_MAX, Kind, NAME_BYTES_MAX};
use crate::model::event::{Field, Outcome};
use crate::model::money;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The values that a field takes.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// A point in time.
    Time,
    /// The id of a credential.
    Id,
    /// A name, 256 bytes at most.
    Name,
    /// A text of a client, cut after 1,024 bytes.
    Text,
    /// One of these words.
    Word(Vec<&'static str>),
    /// A whole number up to that.
    Whole(u64),
    /// An amount of money.
    Money,
    /// `true` or `false`.
    Flag,
    /// An address.
    Address,
    /// A country.
    Country,
}

impl Shape {
    fn words(&self) -> String {
        match self {
            Self::Time => "RFC 3339 text, or integer milliseconds since 1970".to_owned(),
            Self::Id => "text, 1 to 256 bytes, no control characters".to_owned(),
            Self::Name => "text, 256 bytes at most, no control characters".to_owned(),
            Self::Text => "text, cut after 1,024 bytes".to_owned(),
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                quoted.join(", ")
            }
            Self::Whole(u64::MAX) => "a whole number, 0 or more".to_owned(),
            Self::Whole(max) => format!("0 to {max}"),
            Self::Money => {
                "a number of 0 to 1e9, also as text; kept to the millionth".to_owned()
            }
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Address => {
                "an address of IPv4 or IPv6, also with a port, in brackets, with a zone, as `for=`, or as a list of hops"
                    .to_owned()
            }
            Self::Country => "two letters, `DE`".to_owned(),
        }
    }

    /// With `null` where the field may be left out.
    fn json_schema(&self, is_required: bool) -> Map<String, Value> {
        let schema = match self {
            // Milliseconds since 1970, or RFC 3339.
            Self::Time => json!({ "type": ["string", "integer"] }),
            Self::Id => json!({ "type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX }),
            Self::Name => json!({ "type": "string", "maxLength": NAME_BYTES_MAX }),
            Self::Text | Self::Address => json!({ "type": "string" }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Whole(u64::MAX) => json!({ "type": ["integer", "string"], "minimum": 0 }),
            Self::Whole(max) => {
                json!({ "type": ["integer", "string"], "minimum": 0, "maximum": max })
            }
            Self::Money => {
                json!({ "type": ["number", "string"], "minimum": 0, "maximum": money::MAX })
            }
            Self::Flag => json!({ "type": "boolean" }),
            Self::Country => json!({ "type": "string", "pattern": "^[A-Za-z]{2}$" }),
        };
        let mut schema = schema.as_object().cloned().unwrap_or_default();
        if !is_required {
            let types = match schema.remove("type") {
                Some(Value::Array(types)) => types,
                one => one.into_iter().collect(),
            };
            let types = types.into_iter().chain(std::iter::once("null".into())).collect();
            schema.insert("type".to_owned(), Value::Array(types));
            if let Some(Value::Array(words)) = schema.get_mut("enum") {
                words.push(Value::Null);
            }
        }
        schema
    }
}

/// One field.
struct EventField {
    name: &'static str,
    shape: Shape,
    default: &'static str,
    meaning: &'static str,
}

/// The fields that an event counts by: one that can't be read refuses the event.
fn deciding() -> Vec<EventField> {
    let words = |words: &[&'static str]| Shape::Word(words.to_vec());
    let field = |name, shape, default, meaning| EventField { name, shape, default, meaning };
    vec![
        field("time", Shape::Time, REQUIRED, "when the request was made"),
        field(
            "credential",
            Shape::Id,
            REQUIRED,
            "the id of the presented credential, never its secret",
        ),
        field(
            "kind",
            words(&Kind::ALL.map(Kind::as_str)),
            "`api_key`",
            "the kind of credential. Kind and id together name a credential",
        ),
        field(
            "outcome",
            words(&Outcome::ALL.map(Outcome::as_str)),
            "from `status`: 401 and 403 are `rejected`, 429 is `throttled`, all others are `accepted`",
            "the gateway's answer",
        ),
        field(
            "status",
            Shape::Whole(u64::from(u16::MAX)),
            "unknown",
            "the status code of the answer; also as text, `\"401 Unauthorized\"`",
        ),
        field(
            "verified",
            Shape::Flag,
            "an `outcome` of `accepted` or `throttled` implies it; without `outcome`, a `status` of 2xx does, \
             except for `OPTIONS`; nothing else",
            "whether the caller proved that it holds the credential, see below",
        ),
    ]
}

const REQUIRED: &str = "required";

/// A field that decides nothing; none for the text as a whole.
fn detail(field: Field) -> Option<EventField> {
    let (shape, default, meaning) = match field {
        Field::Text => return None,
        Field::Tenant => (
            Shape::Name,
            "unknown",
            "the owner: limits, modes, the revocation limit and the allow list apply per tenant",
        ),
        Field::Ip => (
            Shape::Address,
            "unknown",
            "where the request came from. Of a list, the last hop outside `trusted_proxies` is the client",
        ),
        Field::Asn => (
            Shape::Whole(u64::from(u32::MAX)),
            "the /24 or /48 of `ip` is the network",
            "the autonomous system of that address; also as text, `\"AS64500\"`",
        ),
        Field::Country => (Shape::Country, "unknown", "the country of that address"),
        Field::UserAgent => (Shape::Text, "unknown", "compared without its versions"),
        Field::Method => (Shape::Text, "none", "of the request"),
        Field::Endpoint => (
            Shape::Text,
            "unknown",
            "the path, compared without ids; a part from `?` or `#` on is removed",
        ),
        Field::Model => (
            Shape::Text,
            "unknown",
            "the model that answered, at an AI gateway: each model of an endpoint is an endpoint class of its own",
        ),
        Field::Tokens => {
            (Shape::Whole(u64::MAX), "unknown", "the cost in your units, such as LLM tokens")
        }
        Field::Spend => (
            Shape::Money,
            "`tokens` times the model's price, where `[prices]` has one",
            "the cost in money, in one currency for all events",
        ),
        Field::Expires => {
            (Shape::Time, "unknown", "when the credential expires: no state is kept for longer")
        }
        Field::Issued => (
            Shape::Time,
            "of a JWT its `iat`, else unknown",
            "when the credential was issued: a use before it is a finding, and sessions grow too old by it",
        ),
        Field::Id => (Shape::Name, "unknown", "your id of the event. Checked, not used yet"),
        Field::Subject => (Shape::Name, "unknown", "the acting user. Checked, not used yet"),
        Field::Family => (
            Shape::Name,
            "unknown",
            "the grant of a refresh token and of the access tokens made by it",
        ),
        Field::Issuer => (
            Shape::Name,
            "of a JWT its `iss`, else unknown",
            "the authority that issued the credential",
        ),
        Field::Gateway => (
            Shape::Name,
            "unknown",
            "the gateway that answered: findings and `tripline_enforcement_lag_seconds` name it",
        ),
        Field::Reason => (
            Shape::Text,
            "unknown",
            "of the gateway's answer: `expired`, `not_yet_valid`, `revoked`, `reused`, `denied_address`, `scope`, `over_quota`, `issued` (of a refresh token: handed out, which is no use), or any text",
        ),
    };
    Some(EventField { name: field.as_str(), shape, default, meaning })
}

fn fields() -> impl Iterator<Item = EventField> {
    deciding().into_iter().chain(Field::ALL.into_iter().filter_map(detail))
}

/// The fields as a table in Markdown.
pub fn table() -> String {
    let mut text = "| field | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for EventField { name, shape, default, meaning } in fields() {
        let _written = writeln!(text, "| `{name}` | {} | {default} | {meaning} |", shape.words());
    }
    text
}

/// The JSON Schema (2020-12) of an event.
pub fn json_schema() -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for EventField { name, shape, default, meaning } in fields() {
        let is_required = default == REQUIRED;
        let mut schema = shape.json_schema(is_required);
        let description = if is_required {
            required.push(name);
            format!("{meaning}.")
        } else {
            format!("{meaning}. Without it: {default}.")
        };
        schema.insert("description".to_owned(), Value::String(description));
        properties.insert(name.to_owned(), Value::Object(schema));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tripline: an auth event",
        "description": "One request's authentication outcome. Unknown fields are ignored.",
        "type": "object",
        "properties": properties,
        "required": required,
    })
}

#[cfg(test)]
mod tests {
    use super::{Shape, fields};
    use crate::formats::events::decoder::Decoder;
    use crate::formats::events::refusal::Limits;
    use crate::formats::secrets::secret::Fingerprinter;
    use crate::model::event::Repairs;
    use serde_json::{Value, json};

    /// A value of that shape, and one that is none.
    fn values(shape: &Shape) -> (Value, Value) {
        match shape {
            Shape::Time => (json!("2026-11-23T18:54:00Z"), json!("yesterday")),
            Shape::Id | Shape::Name => (json!("name"), json!("a\u{7}b")),
            Shape::Text => (json!("text"), json!(["text"])),
            Shape::Word(words) => (json!(words.first()), json!("none of them")),
            Shape::Whole(_) => (json!(7), json!(-1)),
            Shape::Money => (json!(0.25), json!(-0.25)),
            Shape::Flag => (json!(true), json!("true")),
            Shape::Address => (json!("203.0.113.7"), json!("here")),
            Shape::Country => (json!("DE"), json!("Germany")),
        }
    }

    #[test]
    fn each_field_of_the_table_is_read_and_what_is_none_of_its_values_is_not() {
        let read = |record: &Value| {
            let (mut answer, text) = (None, record.to_string());
            let fingerprints = Fingerprinter::new(vec![7; 32]);
            Decoder::default().decode(
                text.as_bytes(),
                &Limits::default(),
                &fingerprints,
                &mut |it| {
                    answer = Some(it.map(|event| event.repairs));
                },
            );
            answer.expect("an answer")
        };
        let least = json!({ "time": 1_795_460_043_500_i64, "credential": "k" });
        for field in fields() {
            let with = |value: Value| {
                let mut record = least.clone();
                record[field.name] = value;
                read(&record)
            };
            let (good, bad) = values(&field.shape);
            assert!(with(good).is_ok_and(Repairs::is_empty), "{}", field.name);
            let is_refused = with(bad).map_or(true, |repairs| !repairs.is_empty());
            assert!(is_refused, "{}: a bad value is not noticed, so is it read?", field.name);
        }
    }
}
