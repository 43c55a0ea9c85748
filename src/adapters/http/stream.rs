//! `GET /v1/stream`: findings and decisions as they happen, as server-sent events.

use super::auth::Reader;
use super::auth::Tokens;
use super::changes::Listeners;
use super::problem::Problem;
use crate::adapters::recent_events::RecentEvents;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use std::sync::Arc;
use tokio_stream::wrappers::BroadcastStream;

/// State of the handlers of `/v1/stream`.
#[derive(Debug)]
pub struct StreamState {
    /// Recent findings and decisions, and those to come.
    pub recent: Arc<RecentEvents>,
    /// How many may still listen.
    pub listeners: Listeners,
    /// The known tokens: a stream ends where they change.
    pub tokens: Arc<Tokens>,
}

/// Findings and decisions as they happen, as server-sent events. `event` is `finding` or `decision`
/// and `data` its JSON, as in `/v1/findings` and `/v1/decisions`; or it is `missed`, which says that
/// the listener was too slow and some are left out.
#[utoipa::path(
    get, path = "/v1/stream",
    responses(
        (
            status = 200, body = String, content_type = "text/event-stream",
            description = "Events from now on; it ends only where tokens change: come again"
        ),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem, description = "Too many streams")
    )
)]
pub(super) async fn stream(
    State(state): State<Arc<StreamState>>,
    _reader: Reader,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = state.listeners.person()?;
    let news = BroadcastStream::new(state.recent.listen()).map(move |news| {
        let _held = &place;
        Ok(match news {
            Ok(news) => Event::default().event(news.event).data(&*news.data),
            // The listener was too slow: it learns that it missed some.
            Err(_) => Event::default().event("missed").data("{}"),
        })
    });
    let news = news.take_until(Box::pin(state.tokens.changed()));
    Ok(Sse::new(news).keep_alive(KeepAlive::default()))
}
