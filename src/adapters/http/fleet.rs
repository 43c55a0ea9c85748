//! Answers for the fleet: what an instance is asked for, the others are asked too, side by side, and all answers
//! become one.
//!
//! **Invariant.** No other instance is asked before this one has authorized the caller.

use super::orders::parse_credential;
use super::problem::Problem;
use crate::adapters::fleet::peers::{PeerAnswer, Peers};
use crate::adapters::fleet::signature::SIGNATURE;
use crate::formats::api::fleet::{approvals, credentials, decisions, findings, one_credential};
use crate::formats::api::status::StatusJson;
use crate::formats::leaks::report::cut;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Credential;
use crate::model::decision::{DecisionId, InstanceId};
use crate::model::finding::FindingId;
use axum::body::to_bytes;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Json, RequestExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use url::Url;

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
/// Why others may be missing of which nothing is known.
const UNHEARD: &str = "Redis does not answer, or an instance does not say who it is";
/// The longest own answer. Unit: bytes. Chosen: a thousand rows are some megabytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Paths on which one instance may be named besides: people read there what is of one.
const OF_ONE: [&str; 4] = ["/v1/budget", "/v1/tenants", "/v1/canaries", "/v1/audit/expiry"];
/// Parts of a query that the others get as they are. A credential is named in another way.
const PASSED_ON: [&str; 4] = ["limit", "open", "from", "tenant"];
/// The longest reason why an instance is missing, and the longest list of them. Unit: bytes.
const REASON_BYTES_MAX: usize = 200;
const MISSING_BYTES_MAX: usize = 4096;

/// The question for the others, and as far as the merging of answers depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Question {
    /// The one instance that is asked; none: all.
    instance: Option<String>,
    /// The path with its query. A secret that was pasted as a name is in it by its fingerprint.
    path: String,
    limit: Option<usize>,
    only_open: bool,
    /// Whether credentials are wanted by where they were seen.
    by_place: bool,
}

/// A path of the API, encoded, without a query.
fn path_of(route: &str, id: Option<&str>) -> Option<Url> {
    let mut url = Url::parse("http://instance/").ok()?;
    url.set_path(route);
    url.path_segments_mut().ok()?.extend(id);
    Some(url)
}

impl Question {
    /// Of a request for `route`, as the description of the API has it, about `id`; none: there is nothing to ask
    /// the others.
    fn of(route: &str, id: Option<&str>, uri: &Uri, by: &Fingerprinter) -> Option<Self> {
        let named = |id: &str| parse_credential(by, id).ok().map(|one| one.to_string());
        let id = match (route, id) {
            ("/v1/credentials/{id}", Some(id)) => Some(named(id)?),
            ("/v1/findings/{id}", Some(id)) => Some(FindingId::parse(id)?.to_string()),
            ("/v1/decisions/{id}", Some(id)) => Some(DecisionId::parse(id)?.to_string()),
            _ => None,
        };
        let mut url = path_of(route.trim_end_matches("/{id}"), id.as_deref())?;
        let mut question = Self::default();
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()) {
            match &*name {
                "instance" => {
                    question.instance = Some(value.into_owned()).filter(|name| !name.is_empty());
                    continue;
                }
                "credential" => {
                    url.query_pairs_mut().append_pair("credential", &named(&value)?);
                    continue;
                }
                "limit" => question.limit = value.parse().ok(),
                "open" => question.only_open = value == "true",
                "from" => question.by_place = true,
                _ => {}
            }
            if PASSED_ON.contains(&&*name) {
                url.query_pairs_mut().append_pair(&name, &value);
            }
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(Self { path: format!("{}{query}", url.path()), ..question })
    }
}

/// Whether another instance knows a credential; those that did not say are named.
pub(super) async fn is_known_elsewhere(
    peers: Option<&Peers>,
    credential: &Credential,
) -> Result<bool, String> {
    let Some(peers) = peers else { return Ok(false) };
    let Some(path) = path_of("/v1/credentials", Some(&credential.to_string())) else {
        return Ok(false);
    };
    let heard = Heard::from(peers.ask_all(path.path()).await);
    match heard.found.is_empty() {
        true if !heard.missing.is_empty() => Err(heard.missing_text()),
        is_unknown => Ok(!is_unknown),
    }
}

/// Answers for the fleet where that is asked for; `peers`: the other instances, if this one has any.
pub(super) async fn answer_for_all(
    State((peers, fingerprints)): State<(Option<Arc<Peers>>, Arc<Fingerprinter>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|one| one.as_str().to_owned());
    let route = route.unwrap_or_default();
    let is_of_all = PATHS.contains(&&*route);
    let is_signed = request.headers().contains_key(SIGNATURE);
    let is_read = is_of_all || OF_ONE.contains(&&*route);
    if request.method() != Method::GET || is_signed || !is_read {
        return next.run(request).await;
    }
    let uri = request.uri().clone();
    let ids = request.extract_parts::<RawPathParams>().await.ok();
    let id = ids.as_ref().and_then(|ids| ids.iter().next()).map(|(_, id)| id);
    let question = Question::of(&route, id, &uri, &fingerprints);
    let own = next.run(request).await;
    let is_answered = own.status() == StatusCode::OK || own.status() == StatusCode::NOT_FOUND;
    let Some(question) = question.filter(|_| is_answered) else { return own };
    match (peers, &question.instance) {
        (None, None) => own,
        (None, Some(wanted)) => {
            no_instance(wanted, "without [fleet] url no instance can be named").into_response()
        }
        (Some(peers), Some(wanted)) => one(&peers, wanted, own, &question.path).await,
        (Some(_), None) if !is_of_all => own,
        (Some(peers), None) => {
            let roster = Arc::clone(&peers.roster.read());
            if roster.besides(peers.me).next().is_none() && roster.is_whole() {
                return own;
            }
            let mut heard = Heard::from(peers.ask_all(&question.path).await);
            if !roster.is_whole() {
                let (name, why) = ("others".to_owned(), UNHEARD.to_owned());
                heard.missing.push(Missing { instance: None, name, why });
            }
            merged(&peers, (&route, &question), own, heard).await
        }
    }
}

fn no_instance(wanted: &str, why: &str) -> Problem {
    let detail = format!("{why}: `{wanted}`; `/v1/status` lists those that are");
    Problem::new(StatusCode::NOT_FOUND, "there is no such instance", detail)
}

/// The answer of the instance of that id or name.
async fn one(peers: &Peers, wanted: &str, own: Response, path: &str) -> Response {
    if wanted == peers.me.to_string() || wanted == peers.name {
        return own;
    }
    let Some(known) = peers.roster.read().find(wanted).cloned() else {
        return no_instance(wanted, "no instance is registered by that name or id").into_response();
    };
    let PeerAnswer { name, answer, .. } = peers.ask(&known, path).await;
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
    found: Vec<(InstanceId, String, Value)>,
    /// How many answered, be it that they know nothing of it.
    answered: usize,
    missing: Vec<Missing>,
}

/// An instance that an answer lacks; without an id: it is not known which.
struct Missing {
    instance: Option<InstanceId>,
    name: String,
    why: String,
}

impl From<Vec<PeerAnswer>> for Heard {
    fn from(answers: Vec<PeerAnswer>) -> Self {
        let mut heard = Self { found: Vec::new(), answered: 0, missing: Vec::new() };
        for PeerAnswer { instance, name, answer } in answers {
            let missing = |name, why: String| Missing { instance: Some(instance), name, why };
            match answer {
                Ok((200, value)) => {
                    heard.answered += 1;
                    heard.found.push((instance, name, value));
                }
                Ok((404, _)) => heard.answered += 1,
                Ok((status, value)) => {
                    let detail = value.get("detail").and_then(Value::as_str).unwrap_or_default();
                    let why = format!("it answered {status}: {detail}");
                    heard.missing.push(missing(name, cut(&why, REASON_BYTES_MAX).to_owned()));
                }
                Err(why) => heard.missing.push(missing(name, why)),
            }
        }
        heard
    }
}

impl Heard {
    /// Who is missing, and why.
    fn missing_text(&self) -> String {
        let all = self.missing.iter().map(|one| format!("{} ({})", one.name, one.why));
        all.collect::<Vec<String>>().join("; ")
    }

    /// The answers that can be read so; one that can't be is missing.
    fn read<T: DeserializeOwned>(&mut self) -> Vec<(String, T)> {
        let mut read = Vec::new();
        for (instance, name, value) in std::mem::take(&mut self.found) {
            if let Ok(answer) = serde_json::from_value(value) {
                read.push((name, answer));
            } else {
                self.answered -= 1;
                let why = "its answer can't be read; is it another version?";
                self.missing.push(Missing { instance: Some(instance), name, why: why.to_owned() });
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
    (route, question): (&str, &Question),
    own: Response,
    mut heard: Heard,
) -> Response {
    let (parts, body) = own.into_parts();
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        let detail = "the answer is too large; ask with a lower limit";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not answered", detail)
            .into_response();
    };
    let own = (parts.status == StatusCode::OK).then_some(&*body);
    let most = super::orders::most(question.limit);
    let answer = match route {
        "/v1/credentials" => of(Some(credentials(heard.lists(list(own)), question.by_place, most))),
        "/v1/findings" => of(Some(findings(heard.lists(list(own)), question.only_open, most))),
        "/v1/decisions" => of(Some(decisions(heard.lists(list(own)), most))),
        "/v1/approvals" => of(Some(approvals(heard.lists(list(own))))),
        "/v1/status" => of(status(peers, own, &mut heard)),
        "/v1/credentials/{id}" => {
            let others = heard.read().into_iter().map(|(_, one)| one);
            of(one_credential(own.and_then(|own| serde_json::from_slice(own).ok()), others))
        }
        "/v1/findings/{id}" => {
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
        let instance = InstanceId::parse(&known.instance);
        let missing = heard.missing.iter().find(|one| one.instance == instance);
        known.missing = missing.map(|one| one.why.clone());
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
    let missing: String = heard.missing_text().chars().filter(|c| matches!(c, ' '..='~')).collect();
    if let Ok(value) = HeaderValue::from_str(cut(&missing, MISSING_BYTES_MAX))
        && !missing.is_empty()
    {
        headers.insert(MISSING, value);
    }
}

#[cfg(test)]
mod tests {
    use super::Question;
    use crate::formats::secrets::secret::Fingerprinter;

    fn question(route: &str, id: Option<&str>, uri: &str) -> Option<Question> {
        Question::of(route, id, &uri.parse().expect("a uri"), &Fingerprinter::new(vec![7; 32]))
    }

    #[test]
    fn the_others_are_asked_without_the_name_of_an_instance() {
        let uri = "/v1/findings?open=true&instance=tripline-1&credential=a%26b&junk=1";
        let question = question("/v1/findings", None, uri).expect("asked");
        assert_eq!(question.instance.as_deref(), Some("tripline-1"));
        assert_eq!(question.path, "/v1/findings?open=true&credential=api_key%3Aa%26b");
        assert!(question.only_open);
    }

    #[test]
    fn the_name_of_a_credential_is_one_part_of_the_path_whatever_it_holds() {
        for (id, path) in [
            ("a/b", "/v1/credentials/api_key:a%2Fb"),
            ("jwt:a{b\"", "/v1/credentials/jwt:a%7Bb%22"),
            ("..", "/v1/credentials/api_key:.."),
        ] {
            let asked = question("/v1/credentials/{id}", Some(id), "/v1/credentials/x");
            assert_eq!(asked.expect("asked").path, path);
        }
    }

    #[test]
    fn a_secret_that_is_pasted_as_a_name_goes_to_no_other_instance() {
        let secret = ["sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"].concat();
        let by_query = format!("/v1/findings?credential={secret}&limit=5");
        for asked in [
            question("/v1/credentials/{id}", Some(&secret), "/v1/credentials/x"),
            question("/v1/findings", None, &by_query),
        ] {
            let asked = asked.expect("by its fingerprint");
            assert!(!asked.path.contains("4eC39"), "{}", asked.path);
        }
        assert_eq!(question("/v1/findings/{id}", Some(&secret), "/v1/findings/x"), None);
    }
}
