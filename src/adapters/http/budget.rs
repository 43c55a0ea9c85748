//! `GET /v1/budget`: what is proven about false actions, and what is still missing.

use super::auth::Reader;
use super::problem::Problem;
use crate::adapters::channels::ControlPlane;
use crate::formats::api::budget::{CohortJson, budget_json};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// The proven bound on false actions, by kind of credential.
#[utoipa::path(
    get, path = "/v1/budget",
    responses((status = 200, body = Vec<Object>), (status = 401, body = Problem))
)]
pub(super) async fn show_budget(
    State(control): State<ControlPlane>,
    _reader: Reader,
) -> Result<Json<Vec<CohortJson>>, Problem> {
    let answer = control.budget().await;
    let answer = answer.map(|(cohorts, budgets)| Json(budget_json(&cohorts, &budgets)));
    answer.ok_or_else(|| {
        let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, "tripline is stopping");
        Problem::new(status, "not answered", detail)
    })
}
