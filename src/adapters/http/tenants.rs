//! `GET /v1/tenants`: who takes what of the fleet.

use super::auth::Reader;
use super::problem::Problem;
use crate::adapters::channels::ControlPlane;
use crate::detect::tenant_flood;
use crate::formats::api::tenants::{TenantsJson, tenants_json};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// The busiest tenants of the newest whole minute, of all instances that share Redis; besides what is
/// usual for each at this hour of the week.
#[utoipa::path(
    get, path = "/v1/tenants",
    responses(
        (status = 200, body = TenantsJson),
        (status = 401, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn list_tenants(
    State(control): State<ControlPlane>,
    _reader: Reader,
) -> Result<Json<TenantsJson>, Problem> {
    let Some(ranking) = control.ranking().await else {
        let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, "tripline is stopping");
        return Err(Problem::new(status, "not answered", detail));
    };
    let minutes_min = tenant_flood::Params::default().minutes_min;
    let told = ranking.as_ref().map(|ranking| tenants_json(ranking, minutes_min));
    Ok(Json(told.unwrap_or_default()))
}
