//! Answers for the fleet: what an instance is asked for, the others are asked too, side by side, and all answers
//! become one.
//!
//! **Invariant.** No other instance is asked before this one has authorized the caller.

use super::problem::Problem;
use crate::adapters::fleet::peers::{PeerAnswer, Peers};
use crate::adapters::fleet::signature::SIGNATURE;
use crate::formats::api::fleet::{approvals, credentials, decisions, findings, one_credential};
use crate::formats::api::status::StatusJson;
use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// The paths that are answered for the fleet, as the description of the API has them.
pub(super) const PATHS: [&str; 8] = [
    "/v1/credentials",
    "/v1/credentials/{id}",
    "/v1/findings",
    "/v1/findings/{id}",
    "/v1/decisions",
    "/v1/decisions/{id}",
    "/v1/approvals",
    "/v1/status",
];
/// How many of the instances an answer is of: `3/5`.
const ANSWERED: &str = "tripline-instances";
/// The header of those that an answer lacks, and why.
pub const MISSING: &str = "tripline-missing";
/// The longest own answer. Unit: bytes. Chosen: a thousand rows are some megabytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The question, as far as the merging of answers depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Question {
    /// The one instance that is asked; none: all.
    instance: Option<String>,
    /// The query without that.
    query: String,
    limit: Option<usize>,
    only_open: bool,
    /// Whether credentials are wanted by where they were seen.
    by_place: bool,
}

impl Question {
    fn of(uri: &Uri) -> Self {
        let mut question = Self::default();
        let mut rest = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()) {
            match &*name {
                "instance" => {
                    question.instance = Some(value.into_owned()).filter(|name| !name.is_empty());
                    continue;
                }
                "limit" => question.limit = value.parse().ok(),
                "open" => question.only_open = value == "true",
                "from" => question.by_place = true,
                _ => {}
            }
            rest.append_pair(&name, &value);
        }
        Self { query: rest.finish(), ..question }
    }

    fn path(&self, uri: &Uri) -> String {
        match self.query.as_str() {
            "" => uri.path().to_owned(),
            query => format!("{}?{query}", uri.path()),
        }
    }
}

fn is_answered_for_all(path: &str) -> bool {
    PATHS.into_iter().any(|known| match known.strip_suffix("{id}") {
        Some(before) => {
            path.strip_prefix(before).is_some_and(|id| !id.is_empty() && !id.contains('/'))
        }
        None => path == known,
    })
}

/// Whether people read there, so that one instance may be named. Gateways ask the others.
fn is_read(path: &str) -> bool {
    let of_people =
        ["budget", "tenants", "canaries", "audit/expiry"].map(|name| format!("/v1/{name}"));
    is_answered_for_all(path) || of_people.iter().any(|known| known == path)
}

/// Answers for the fleet where that is asked for; `peers`: the other instances, if this one has any.
pub(super) async fn answer_for_all(
    State(peers): State<Option<Arc<Peers>>>,
    request: Request,
    next: Next,
) -> Response {
    let is_signed = request.headers().contains_key(SIGNATURE);
    if request.method() != Method::GET || is_signed || !is_read(request.uri().path()) {
        return next.run(request).await;
    }
    let uri = request.uri().clone();
    let question = Question::of(&uri);
    if question.instance.is_none() && !is_answered_for_all(uri.path()) {
        return next.run(request).await;
    }
    let own = next.run(request).await;
    let is_answered = own.status() == StatusCode::OK || own.status() == StatusCode::NOT_FOUND;
    let others =
        peers.as_ref().is_some_and(|peers| peers.roster.read().besides(peers.me).count() > 0);
    match (peers, &question.instance) {
        _ if !is_answered => own,
        (None, None) => own,
        (None, Some(wanted)) => {
            no_instance(wanted, "this daemon has no [fleet] url").into_response()
        }
        (Some(peers), Some(wanted)) => one(&peers, wanted, own, &question.path(&uri)).await,
        (Some(_), None) if !others => own,
        (Some(peers), None) => {
            let answers = peers.ask_all(&question.path(&uri)).await;
            merged(&peers, (uri.path(), &question), own, answers).await
        }
    }
}

fn no_instance(wanted: &str, why: &str) -> Problem {
    let detail = format!("{why}; `/v1/status` lists the instances that are known, not `{wanted}`");
    Problem::new(StatusCode::NOT_FOUND, "there is no such instance", detail)
}

/// The answer of the instance of that id or name.
async fn one(peers: &Peers, wanted: &str, own: Response, path: &str) -> Response {
    if wanted == peers.me.to_string() || wanted == peers.name {
        return own;
    }
    let Some(known) = peers.roster.read().find(wanted).cloned() else {
        return no_instance(wanted, "none has registered by that name or id").into_response();
    };
    let PeerAnswer { name, answer } = peers.ask(&known, path).await;
    match answer {
        Ok((status, answer)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            (status, Json(answer)).into_response()
        }
        Err(why) => {
            let detail = format!("{name} did not answer: {why}");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "that instance is missing", detail)
                .into_response()
        }
    }
}

/// The answers of the others, and those who are missing.
struct Heard {
    found: Vec<(String, Value)>,
    /// How many answered, be it that they know nothing of it.
    answered: usize,
    missing: Vec<(String, String)>,
}

impl From<Vec<PeerAnswer>> for Heard {
    fn from(answers: Vec<PeerAnswer>) -> Self {
        let mut heard = Self { found: Vec::new(), answered: 0, missing: Vec::new() };
        for PeerAnswer { name, answer } in answers {
            match answer {
                Ok((200, value)) => {
                    heard.answered += 1;
                    heard.found.push((name, value));
                }
                Ok((404, _)) => heard.answered += 1,
                Ok((status, value)) => {
                    let detail = value.get("detail").and_then(Value::as_str).unwrap_or_default();
                    heard.missing.push((name, format!("it answered {status}: {detail}")));
                }
                Err(why) => heard.missing.push((name, why)),
            }
        }
        heard
    }
}

impl Heard {
    /// The answers that can be read so; one that can't be is missing.
    fn read<T: DeserializeOwned>(&mut self) -> Vec<(String, T)> {
        let mut read = Vec::new();
        for (name, value) in std::mem::take(&mut self.found) {
            if let Ok(answer) = serde_json::from_value(value) {
                read.push((name, answer));
            } else {
                self.answered -= 1;
                let why = "its answer can't be read; is it another version?";
                self.missing.push((name, why.to_owned()));
            }
        }
        read
    }

    fn lists<T: DeserializeOwned>(&mut self, own: Option<Vec<T>>) -> Vec<Vec<T>> {
        own.into_iter().chain(self.read().into_iter().map(|(_, list)| list)).collect()
    }
}

async fn merged(
    peers: &Peers,
    (path, question): (&str, &Question),
    own: Response,
    answers: Vec<PeerAnswer>,
) -> Response {
    let (parts, body) = own.into_parts();
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        let detail = "the answer is too large; ask with a lower limit";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not answered", detail)
            .into_response();
    };
    let mut heard = Heard::from(answers);
    let own = (parts.status == StatusCode::OK).then_some(&*body);
    let most = super::orders::most(question.limit);
    let answer = match path {
        "/v1/credentials" => of(Some(credentials(heard.lists(list(own)), question.by_place, most))),
        "/v1/findings" => of(Some(findings(heard.lists(list(own)), question.only_open, most))),
        "/v1/decisions" => of(Some(decisions(heard.lists(list(own)), most))),
        "/v1/approvals" => of(Some(approvals(heard.lists(list(own))))),
        "/v1/status" => of(status(peers, own, &mut heard)),
        _ if path.starts_with("/v1/credentials/") => {
            let others = heard.read().into_iter().map(|(_, one)| one);
            of(one_credential(own.and_then(|own| serde_json::from_slice(own).ok()), others))
        }
        _ if path.starts_with("/v1/findings/") => {
            let own = own.and_then(|own| serde_json::from_slice(own).ok()).map(|one| vec![one]);
            let others = heard.read().into_iter().map(|(_, one)| vec![one]);
            of(findings(own.into_iter().chain(others), false, 1).pop())
        }
        _ => {
            let own = own.and_then(|own| serde_json::from_slice(own).ok()).map(|one| vec![one]);
            let others = heard.read().into_iter().map(|(_, one)| vec![one]);
            of(decisions(own.into_iter().chain(others), 1).pop())
        }
    };
    let mut response = match answer {
        Some(json) => {
            let headers = [(axum::http::header::CONTENT_TYPE, "application/json")];
            (headers, json).into_response()
        }
        // No instance knows it: as this one said.
        None => Response::from_parts(parts, body.into()),
    };
    note(&mut response, &heard);
    response
}

/// The own list.
fn list<T: DeserializeOwned>(own: Option<&[u8]>) -> Option<Vec<T>> {
    own.and_then(|own| serde_json::from_slice(own).ok())
}

fn of<T: Serialize>(answer: Option<T>) -> Option<Vec<u8>> {
    answer.and_then(|answer| serde_json::to_vec(&answer).ok())
}

fn status(peers: &Peers, own: Option<&[u8]>, heard: &mut Heard) -> Option<StatusJson> {
    let own: StatusJson = own.and_then(|own| serde_json::from_slice(own).ok())?;
    let mut all = own.of_instance(&peers.name);
    for (name, other) in heard.read::<StatusJson>() {
        all.add(other.of_instance(&name));
    }
    for known in &mut all.fleet.roster {
        let missing = heard.missing.iter().find(|(name, _)| *name == known.name);
        known.missing = missing.map(|(_, why)| why.clone());
    }
    Some(all)
}

/// Says of how many instances an answer is, and which are missing.
fn note(response: &mut Response, heard: &Heard) {
    let answered = heard.answered + 1;
    let all = answered + heard.missing.len();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&format!("{answered}/{all}")) {
        headers.insert(ANSWERED, value);
    }
    let missing: Vec<String> =
        heard.missing.iter().map(|(name, why)| format!("{name} ({why})")).collect();
    let missing: String = missing.join("; ").chars().filter(|c| matches!(c, ' '..='~')).collect();
    if let Ok(value) = HeaderValue::from_str(&missing)
        && !missing.is_empty()
    {
        headers.insert(MISSING, value);
    }
}

#[cfg(test)]
mod tests {
    use super::{Question, is_answered_for_all};

    #[test]
    fn lists_single_things_and_the_status_are_answered_for_all_and_nothing_else() {
        for path in
            ["/v1/credentials", "/v1/credentials/jwt:a%2Fb", "/v1/status", "/v1/findings/f_1"]
        {
            assert!(is_answered_for_all(path), "{path}");
        }
        for path in ["/v1/credentials/", "/v1/credentials/a/revoke", "/v1/check", "/metrics", "/"] {
            assert!(!is_answered_for_all(path), "{path}");
        }
    }

    #[test]
    fn the_others_are_asked_without_the_name_of_an_instance() {
        let uri =
            "/v1/findings?open=true&instance=tripline-1&credential=a%26b".parse().expect("a uri");
        let question = Question::of(&uri);
        assert_eq!(question.instance.as_deref(), Some("tripline-1"));
        assert_eq!(question.path(&uri), "/v1/findings?open=true&credential=a%26b");
        assert!(question.only_open);
    }
}
