//! Tenants' shares of the fleet, as JSON.

use crate::control_plane::tenant_ranking::{Ranked, Ranking};
use crate::model::finding::Action;
use crate::model::time::EventTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A minute of the tenants of all instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Tenants)]
pub struct TenantsJson {
    /// When the minute began; null while no minute ended recently in which there were requests.
    #[schema(required, format = DateTime)]
    pub minute: Option<String>,
    /// The requests of all tenants in it.
    pub requests: u64,
    /// The busiest tenants, first.
    pub tenants: Vec<TenantJson>,
}

/// A tenant's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantJson {
    /// Its name.
    pub tenant: String,
    /// Its requests in the minute.
    pub requests: u64,
    /// Its part of the requests of all tenants, in 0..1.
    #[schema(minimum = 0, maximum = 1)]
    pub share: f64,
    /// The part that is usual for it at this hour of the week, in 0..1; null while that is learned.
    #[schema(required, minimum = 0, maximum = 1)]
    pub usual_share: Option<f64>,
    /// How many minutes are missing until it is known what is usual.
    pub minutes_missing: u32,
    /// The justified action as it takes far more than usual (`observe` or `alert`); null: it does not.
    #[schema(required, value_type = Option<Action>)]
    pub flood: Option<String>,
}

/// Writes a ranking, of tenants of which it is known after so many minutes what is usual.
pub fn tenants_json(ranking: &Ranking, minutes_min: u32) -> TenantsJson {
    let tenant = |one: &Ranked| {
        let minutes_missing = minutes_min.saturating_sub(one.usual.minutes);
        TenantJson {
            tenant: one.tenant.to_string(),
            requests: one.taken.requests,
            share: one.taken.share(),
            usual_share: (minutes_missing == 0).then_some(one.usual.share),
            minutes_missing,
            flood: one.flood.map(|(action, _)| action.as_str().to_owned()),
        }
    };
    TenantsJson {
        minute: Some(EventTime::from_s(i64::from(ranking.minute) * 60).to_string()),
        requests: ranking.requests,
        tenants: ranking.tenants.iter().map(tenant).collect(),
    }
}
