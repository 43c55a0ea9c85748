//! The description of the API: what holds of many operations is said once, here.

use super::auth::Role;
use super::fleet::PATHS;
use crate::formats::api::schema::one_of;
use crate::formats::events::schema::json_schema;
use serde_json::{Map, Value, json};

const PROBLEM: &str = "#/components/schemas/Problem";
const LINES: &str = "A JSON object a line, or one JSON array of them; see docs/events.md";
/// The schema of a line, or of an element. A body is not held against it as a whole.
const EVENT: &str = "#/components/schemas/AuthEvent";
/// Where an operation says what its stream is.
const EVENT_STREAM: &str = "/get/responses/200/content/text~1event-stream";
const METHODS: [&str; 3] = ["get", "post", "delete"];
/// Gateways ask with the method of the request.
const METHODS_OF_CHECK: [&str; 6] = ["post", "put", "patch", "delete", "options", "head"];

/// Adds to each operation the errors that it can answer by what it takes, and names the media type of
/// all errors.
pub(super) fn complete(mut document: Value) -> Value {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for method in METHODS {
            if matches!(path.as_str(), "/v1/events" | "/v1/sources/{name}/events")
                && let Some(body) = item.pointer_mut("/post/requestBody")
            {
                // Nothing is as good as no line, and each line is refused or taken by itself.
                set(body, "required", Value::Bool(false));
                if let Some(content) = body.pointer_mut("/content/application~1x-ndjson") {
                    set(
                        content,
                        "schema",
                        json!({ "description": LINES, "x-items": { "$ref": EVENT } }),
                    );
                }
            }
            if let Some(operation) = item.get_mut(method) {
                complete_operation(path, operation);
                if method == "get" && PATHS.contains(&path.as_str()) {
                    add_instance(operation);
                }
                set(operation, "security", security(path));
            }
        }
        if path == "/v1/check"
            && let Some(get) = item.get("get").cloned()
        {
            for method in METHODS_OF_CHECK {
                let mut operation = get.clone();
                set(&mut operation, "operationId", format!("{method}_check").into());
                set(item, method, operation);
            }
        }
    }
    if let Some(components) = document.pointer_mut("/components") {
        set(components, "securitySchemes", security_schemes());
    }
    if let Some(schemas) = document.pointer_mut("/components/schemas") {
        complete_schemas(schemas);
    }
    for (path, events) in [("/v1/stream", news()), ("/v1/changes", changes())] {
        let content = document.pointer_mut("/paths").and_then(|paths| paths.get_mut(path));
        let content = content.and_then(|item| item.pointer_mut(EVENT_STREAM));
        if let Some(content) = content {
            set(content, "schema", event_stream(&events));
        }
    }
    let otlp = document.pointer_mut("/paths/~1v1~1sources~1{name}~1v1~1logs/post/responses/200");
    if let Some(answer) = otlp {
        let json = json!({ "$ref": "#/components/schemas/ExportLogsServiceResponse" });
        let protobuf = json!({ "type": "string", "format": "binary" });
        let content = json!({
            "application/json": { "schema": json },
            "application/x-protobuf": { "schema": protobuf },
        });
        set(answer, "content", content);
    }
    document
}

/// Adds the parameter by which one instance is asked, and the headers that say of whom an answer is.
fn add_instance(operation: &mut Value) {
    let parameter = json!({
        "name": "instance",
        "in": "query",
        "required": false,
        "description": "The name or id of one instance, whose answer is wanted; absent: of all.",
        "schema": { "type": "string" },
    });
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(parameters) => parameters.push(parameter),
        None => set(operation, "parameters", json!([parameter])),
    }
    if let Some(answer) = operation.pointer_mut("/responses/200") {
        let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
        let headers = json!({
            "tripline-instances": text("Of how many instances the answer is, `3/5`; absent: of this one alone."),
            "tripline-missing": text("The instances that it lacks, and why; absent: none."),
        });
        set(answer, "headers", headers);
    }
}

/// Adds the schemas whose types are of no answer, or of another crate.
fn complete_schemas(schemas: &mut Value) {
    set(schemas, "AuthEvent", json_schema());
    set(schemas, "ExportLogsServiceResponse", otlp_answer());
    set(schemas, "Role", json!(one_of("A right of a token.", Role::ALL.map(Role::as_str))));
    // The status is written by a layer that knows no roles.
    if let Some(roles) = schemas.pointer_mut("/DaemonStatus/properties/roles") {
        set(roles, "items", json!({ "$ref": "#/components/schemas/Role" }));
    }
}

/// The answer to OTLP in JSON.
fn otlp_answer() -> Value {
    json!({
        "description": "The answer that the protocol of OpenTelemetry has.",
        "type": "object",
        "required": ["partialSuccess"],
        "properties": { "partialSuccess": {
            "description": "What was refused; null: nothing.",
            "type": ["object", "null"],
            "required": ["rejectedLogRecords", "errorMessage"],
            "properties": {
                "rejectedLogRecords": {
                    "description": "Records refused.",
                    "type": "integer",
                    "minimum": 0,
                },
                "errorMessage": {
                    "description": "The fault of the first of them, and the remedy.",
                    "type": "string",
                },
            },
        } },
    })
}

/// The events of `/v1/stream`, and the schema of the data of each.
fn news() -> Value {
    json!({
        "finding": { "$ref": "#/components/schemas/Finding" },
        "decision": { "$ref": "#/components/schemas/Decision" },
        "missed": { "type": "object", "maxProperties": 0 },
    })
}

/// The events of `/v1/changes`.
fn changes() -> Value {
    json!({
        "change": { "$ref": "#/components/schemas/Change" },
        "reset": { "type": "object", "maxProperties": 0 },
    })
}

/// The schema of a stream. OpenAPI 3.1 has no word for the data of its events.
fn event_stream(events: &Value) -> Value {
    json!({
        "type": "string",
        "description": "Server-sent events; `data` is JSON, of the schema that `x-event-data` has for the name of the event.",
        "x-event-data": events,
    })
}

/// How callers show who they are.
fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http", "scheme": "bearer",
            "description": "A token of [http.tokens]. Without tokens, and over the Unix socket, none is needed.",
        },
        "gateway": {
            "type": "apiKey", "in": "header", "name": "X-Tripline-Token",
            "description": "A token of the role `check`, where `Authorization` is that of the gateway's client.",
        },
        "gitlab": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "The token of [leaks.gitlab], with or without `Bearer`.",
        },
        "firehose": {
            "type": "apiKey", "in": "header", "name": "X-Amz-Firehose-Access-Key",
            "description": "A token of the role `ingest`, as Amazon Data Firehose sends it.",
        },
    })
}

/// The schemes of an operation, each by itself.
fn security(path: &str) -> Value {
    match path {
        // Reports of leaks are signed, or prove themselves by the secret.
        "/livez"
        | "/readyz"
        | "/metrics"
        | "/.well-known/jwks.json"
        | "/v1/leaks"
        | "/v1/leaks/github"
        | "/v1/leaks/self" => json!([]),
        "/v1/revocable_token_types" | "/v1/revoke_tokens" => json!([{ "gitlab": [] }]),
        "/v1/check" | "/v1/changes" => json!([{ "token": [] }, { "gateway": [] }, {}]),
        "/v1/events" | "/v1/sources/{name}/events" => {
            json!([{ "token": [] }, { "firehose": [] }, {}])
        }
        _ => json!([{ "token": [] }, {}]),
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

fn complete_operation(path: &str, operation: &mut Value) {
    let errors = errors_of(path, operation);
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for (status, description) in errors {
        responses.entry(status).or_insert_with(|| problem(description));
    }
    for response in responses.values_mut() {
        if let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) {
            name_problem(content);
        }
    }
}

/// Answers that an operation can give besides its own.
fn errors_of(path: &str, operation: &Value) -> Vec<(&'static str, &'static str)> {
    let mut errors = vec![("500", "A fault of tripline; its log says more")];
    let all = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let of = |place: &str| all.clone().any(|one| one.get("in").is_some_and(|it| it == place));
    let has_body = operation.get("requestBody").is_some();
    if of("query") || of("path") || has_body {
        errors
            .push(("400", "A parameter or the body makes no sense; the detail says what to send"));
    }
    if of("path") || PATHS.contains(&path) {
        errors.push(("404", "There is none of that name"));
    }
    if has_body {
        errors.push(("413", "The body is too large"));
        errors.push(("415", "The body is of another media type or encoding"));
    }
    if path.starts_with("/v1/") {
        errors.push(("401", "No known token"));
        errors.push(("403", "The token does not have the role for that"));
        errors.push(("503", "tripline can't answer now; the detail says why"));
    }
    errors
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/problem+json": { "schema": { "$ref": PROBLEM } } },
    })
}

/// Errors come as RFC 9457 says.
fn name_problem(content: &mut Map<String, Value>) {
    let is_problem = content
        .get("application/json")
        .is_some_and(|json| json.pointer("/schema/$ref").is_some_and(|of| of == PROBLEM));
    if is_problem && let Some(json) = content.remove("application/json") {
        content.insert("application/problem+json".to_owned(), json);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    fn document() -> Value {
        serde_json::from_str(&crate::adapters::http::router::open_api()).expect("JSON")
    }

    /// Where a schema has no type, or a property no description; `place` names it.
    fn gaps(place: &str, schema: &Value, found: &mut Vec<String>) {
        let parts = ["$ref", "enum", "oneOf", "anyOf", "allOf", "type"];
        let is_typed = parts.iter().any(|part| schema.get(part).is_some());
        let fields = ["properties", "additionalProperties"];
        let is_open =
            schema["type"] == "object" && fields.iter().all(|part| schema.get(part).is_none());
        if !is_typed || is_open || (schema["type"] == "array" && schema.get("items").is_none()) {
            found.push(place.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            let mut parts = property["oneOf"].as_array().into_iter().flatten().chain([property]);
            if !parts.any(|part| part["description"].is_string()) {
                found.push(format!("{place} has no description"));
            }
            gaps(&place, property, found);
        }
        for word in ["oneOf", "anyOf", "allOf"] {
            for part in schema[word].as_array().into_iter().flatten() {
                gaps(&format!("{place} ({word})"), part, found);
            }
        }
        for part in ["items", "additionalProperties"] {
            if let Some(part) = schema.get(part).filter(|part| part.is_object()) {
                gaps(&format!("{place}[]"), part, found);
            }
        }
    }

    #[test]
    fn every_json_answer_has_a_schema_with_a_name_and_every_field_a_type_and_a_description() {
        let document = document();
        let mut found = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
            gaps(name, schema, &mut found);
        }
        let mut answers = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("methods") {
                for (status, response) in operation["responses"].as_object().expect("responses") {
                    let schema = &response["content"]["application/json"]["schema"];
                    let is_named = schema.get("$ref").or_else(|| schema["items"].get("$ref"));
                    match is_named {
                        Some(_) => answers += 1,
                        None if schema.is_null() => {}
                        None => found.push(format!("{method} {path}: {status}")),
                    }
                }
            }
        }
        assert!(found.is_empty(), "{found:#?}");
        assert!(answers >= 20, "{answers}");
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = document();
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next());
        for reference in references.flatten() {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_names_its_errors_and_their_media_type() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let mut errors = 0;
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("methods") {
                let responses = operation["responses"].as_object().expect("responses");
                if operation.get("requestBody").is_some() {
                    for status in ["400", "413", "415"] {
                        assert!(responses.contains_key(status), "{method} {path}: {status}");
                    }
                }
                for (status, response) in
                    responses.iter().filter(|(status, _)| status.as_str() >= "400")
                {
                    let plain = &response["content"]["application/json"];
                    assert!(plain.is_null(), "{method} {path}: {status}");
                    errors += 1;
                }
            }
        }
        assert!(errors > 80, "{errors}");
    }
}
