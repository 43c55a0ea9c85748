//! `GET /v1/changes`: what changed since a cursor, for gateways that keep a copy.
//!
//! A cursor is `EPOCH:NUMBER`. Numbers rise with each change of the embedded store; the epoch names
//! the store, so that a cursor of a store that was replaced is known, and answered from the start.
//! Asked with `Accept: text/event-stream`, the same comes as server-sent events, and goes on.
#![expect(unused_qualifications, reason = "the macro of the routes writes them")]

use super::auth::Tokens;
use super::auth::may_follow;
use super::extract::Query;
use super::problem::Problem;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::enforce::embedded::table::Changed;
use crate::model::credential::Kind;
use crate::model::decision::{DecisionId, Status};
use crate::model::finding::FindingId;
use axum::Json;
use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::{IntoParams, ToSchema};

/// How many changes an answer has at most. The schema of the answer has it as `max_items`.
const PAGE_MAX: u32 = 1000;
/// How many streams there are at once of gateways, and as many of people. Chosen: gateways are few.
const STREAMS_MAX: usize = 256;

/// Places for streams. People who read the news never take the place of a gateway.
#[derive(Clone, Debug)]
pub struct Listeners {
    gateways: Arc<Semaphore>,
    people: Arc<Semaphore>,
}

impl Default for Listeners {
    fn default() -> Self {
        let places = || Arc::new(Semaphore::new(STREAMS_MAX));
        Self { gateways: places(), people: places() }
    }
}

impl Listeners {
    /// Takes a place among gateways, until it is dropped.
    pub(super) fn gateway(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.gateways)
    }

    /// Takes a place among people, until it is dropped.
    pub(super) fn person(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.people)
    }
}

fn place(among: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(among).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many streams",
            format!("there are {STREAMS_MAX} of this kind already"),
        )
    })
}

/// State of the handlers of `/v1/changes`.
#[derive(Debug)]
pub struct ChangesState {
    /// The known tokens: a stream ends where they change.
    pub tokens: Arc<Tokens>,
    /// The store whose changes are followed.
    pub embedded: EmbeddedStore,
    /// How many may still listen.
    pub listeners: Listeners,
}

/// From where on.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ChangesQuery {
    /// The cursor of the last answer; without one, everything.
    since: Option<String>,
}

/// A change of a credential: the newest one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Change)]
pub(super) struct ChangeJson {
    /// The kind of the credential.
    #[schema(value_type = Kind)]
    kind: &'static str,
    /// The id of the credential.
    id: String,
    /// Its status from now on.
    #[schema(value_type = Status)]
    status: &'static str,
    /// When that ends by itself; null: never.
    #[schema(required, format = DateTime)]
    until: Option<String>,
    /// The rank of the decision among those on this credential; a lower one is out of date.
    generation: u64,
    /// The decision behind it.
    #[schema(value_type = DecisionId)]
    decision: String,
    /// The finding behind that decision; null where a person or an expiry ordered it.
    #[schema(required, value_type = Option<FindingId>)]
    finding: Option<String>,
    /// The reason for the decision.
    reason: String,
    /// When the decision was made.
    #[schema(format = DateTime)]
    at: String,
}

impl From<&Changed> for ChangeJson {
    fn from(change: &Changed) -> Self {
        Self {
            kind: change.credential.kind().as_str(),
            id: change.credential.id().to_owned(),
            status: change.status.as_str(),
            until: change.until.map(|until| until.to_string()),
            generation: change.generation.0,
            decision: change.decision.to_string(),
            finding: change.finding.map(|finding| finding.to_string()),
            reason: change.reason.clone(),
            at: change.at.to_string(),
        }
    }
}

/// Changes since a cursor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Changes)]
pub(super) struct ChangesJson {
    /// Whether what follows begins from the start: forget what you hold.
    reset: bool,
    /// The changes, oldest first.
    #[schema(max_items = 1000)]
    changes: Vec<ChangeJson>,
    /// The cursor of the next question.
    next: String,
    /// Whether there is more by now: ask again at once.
    more: bool,
}

/// Where a reader stands.
struct Reader {
    store: EmbeddedStore,
    epoch: Arc<str>,
    number: u64,
    /// Whether it has to forget what it holds.
    reset: bool,
}

impl Reader {
    fn new(store: EmbeddedStore, since: Option<&str>) -> Self {
        let epoch = store.epoch();
        let number = since.and_then(|since| {
            let (of, number) = since.rsplit_once(':')?;
            let number: u64 = number.parse().ok()?;
            // One that lies ahead is of a store that was put back since.
            (of == &*epoch && number <= *store.newest().borrow()).then_some(number)
        });
        Self { store, epoch, number: number.unwrap_or(0), reset: number.is_none() }
    }

    fn cursor(&self, number: u64) -> String {
        format!("{}:{number}", self.epoch)
    }

    /// The next page.
    async fn page(&mut self) -> Result<Vec<Changed>, Problem> {
        let (store, number) = (self.store.clone(), self.number);
        let read = tokio::task::spawn_blocking(move || store.changes(number, PAGE_MAX)).await;
        let Ok(Ok(changes)) = read else {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the embedded store can't be read",
                "see the log, and ask again",
            ));
        };
        self.number = changes.last().map_or(number, |last| last.number);
        Ok(changes)
    }
}

/// The changes since a cursor, oldest first; with `Accept: text/event-stream` as a stream.
#[utoipa::path(
    get, path = "/v1/changes", params(ChangesQuery),
    responses(
        (status = 200, description = "What changed; as events, where that is accepted",
            content((ChangesJson = "application/json"), (String = "text/event-stream"))),
        (status = 401, body = Problem),
        (status = 503, body = Problem, description = "Too many streams")
    )
)]
pub(super) async fn get_changes(
    State(state): State<Arc<ChangesState>>,
    Query(since): Query<ChangesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    may_follow(&state.tokens, &headers)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let streams = text(ACCEPT.as_str()).is_some_and(|kinds| kinds.contains("text/event-stream"));
    let since = since.since.as_deref().or_else(|| text("last-event-id"));
    let newest = state.embedded.newest();
    let mut reader = Reader::new(state.embedded.clone(), since);
    if streams {
        let stream = stream(reader, newest, state.listeners.gateway()?);
        let stream = stream.take_until(Box::pin(state.tokens.changed()));
        return Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response());
    }
    let reset = reader.reset;
    let changes = reader.page().await?;
    let answer = ChangesJson {
        reset,
        changes: changes.iter().map(ChangeJson::from).collect(),
        next: reader.cursor(reader.number),
        more: changes.len() >= PAGE_MAX as usize,
    };
    Ok(Json(answer).into_response())
}

/// State of a stream.
struct Streaming {
    reader: Reader,
    newest: watch::Receiver<u64>,
    waiting: VecDeque<Changed>,
    _permit: OwnedSemaphorePermit,
}

fn stream(
    reader: Reader,
    newest: watch::Receiver<u64>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let streaming = Streaming { reader, newest, waiting: VecDeque::new(), _permit: permit };
    futures_util::stream::unfold(streaming, async |mut streaming| {
        let event = streaming.next().await?;
        Some((Ok(event), streaming))
    })
}

impl Streaming {
    /// The next event; none once the store is gone.
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.reader.reset) {
            return Some(Event::default().event("reset").data("{}"));
        }
        loop {
            if let Some(change) = self.waiting.pop_front() {
                let json = serde_json::to_string(&ChangeJson::from(&change)).unwrap_or_default();
                let event = Event::default().event("change").id(self.reader.cursor(change.number));
                return Some(event.data(json));
            }
            // Marked as seen before it is read: what comes meanwhile wakes us again.
            self.newest.borrow_and_update();
            self.waiting = self.reader.page().await.ok()?.into();
            if self.waiting.is_empty() {
                self.newest.changed().await.ok()?;
            }
        }
    }
}
