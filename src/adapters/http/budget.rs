//! `GET /v1/budget`: what is proven about false actions, and what is still missing.
#![expect(unused_qualifications, reason = "the macro of the routes writes them")]

use super::auth::Reader;
use super::extract::Query;
use super::problem::Problem;
use crate::adapters::channels::ControlPlane;
use crate::formats::api::budget::{CohortJson, budget_json};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use compact_str::CompactString;
use serde::Deserialize;
use utoipa::IntoParams;

/// For whom it is asked.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct BudgetQuery {
    /// For the credentials of this tenant; if not said, for those without a tenant, or of one without use
    /// and false alarms of its own.
    tenant: Option<String>,
}

/// The proven bound on false actions, by kind of credential.
#[utoipa::path(
    get, path = "/v1/budget", params(BudgetQuery),
    responses((status = 200, body = Vec<CohortJson>), (status = 401, body = Problem))
)]
pub(super) async fn show_budget(
    State(control): State<ControlPlane>,
    _reader: Reader,
    Query(wanted): Query<BudgetQuery>,
) -> Result<Json<Vec<CohortJson>>, Problem> {
    let answer = control.budget(wanted.tenant.map(CompactString::from)).await;
    let answer = answer.map(|(proofs, budgets)| Json(budget_json(&proofs, &budgets)));
    answer.ok_or_else(|| {
        let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, "tripline is stopping");
        Problem::new(status, "not answered", detail)
    })
}
