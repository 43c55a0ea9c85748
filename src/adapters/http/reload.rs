//! `POST /v1/reload`: the configuration is read again.

use super::auth::Operator;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

/// The result of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// Sections that changed and hold now.
    pub applied: Vec<String>,
    /// Sections that changed and hold after a restart.
    pub after_restart: Vec<String>,
}

/// A question that is answered once the configuration was read again: what it came to, or all its
/// mistakes.
pub type Asked = oneshot::Sender<Result<Reloaded, String>>;

/// The way to the task that reloads the configuration.
pub type Reloads = mpsc::Sender<Asked>;

/// Reads the configuration again. One with mistakes changes nothing.
#[utoipa::path(
    post, path = "/v1/reload",
    responses((status = 200, body = Reloaded), (status = 403, body = Problem), (status = 422, body = Problem))
)]
pub(super) async fn reload(
    State(reloads): State<Reloads>,
    Operator { name: account, .. }: Operator,
) -> Result<Json<Reloaded>, Problem> {
    tracing::info!(account, "reload requested");
    let (reply, answer) = oneshot::channel();
    let stopping = || {
        let detail = "tripline is stopping";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not reloaded", detail)
    };
    reloads.send(reply).await.map_err(|_| stopping())?;
    let answered = answer.await.map_err(|_| stopping())?;
    answered.map(Json).map_err(|mistakes| {
        let title = "the configuration has mistakes; the one before holds on";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, title, mistakes)
    })
}
