//! `GET /v1/stream`: findings and decisions as they happen, as server-sent events.

use super::State;
use super::auth::Reader;
use super::problem::Problem;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use tokio_stream::wrappers::BroadcastStream;

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
    axum::extract::State(shared): State,
    _reader: Reader,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = shared.listeners.person()?;
    let news = BroadcastStream::new(shared.board.listen()).map(move |news| {
        let _held = &place;
        Ok(match news {
            Ok(news) => Event::default().event(news.event).data(&*news.data),
            // The listener was too slow: it is told that it missed some.
            Err(_) => Event::default().event("missed").data("{}"),
        })
    });
    let news = news.take_until(Box::pin(shared.tokens.changed()));
    Ok(Sse::new(news).keep_alive(KeepAlive::default()))
}
