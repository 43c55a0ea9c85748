//! Who takes what of the fleet, as JSON.

use crate::engine::tenant_minutes::{Ranked, Ranking};
use crate::model::time::EventTime;
use serde::{Deserialize, Serialize};

/// A minute of the tenants of all members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantsJson {
    /// When the minute began; none while no minute ended in which there were requests.
    pub minute: Option<String>,
    /// Everybody's requests in it.
    pub requests: u64,
    /// The busiest tenants, first.
    pub tenants: Vec<TenantJson>,
}

/// What a tenant took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantJson {
    /// Its name.
    pub tenant: String,
    /// Its requests in the minute.
    pub requests: u64,
    /// Its part of everybody's, in 0..1.
    pub share: f64,
    /// The part that is usual for it at this hour of the week, in 0..1.
    pub usual_share: f64,
    /// How long it was watched before. Unit: minutes. What is usual is known after a day.
    pub watched_minutes: u32,
    /// What is to be done as it takes far more than usual (`observe` or `alert`); none if it does not.
    pub flood: Option<String>,
}

/// Writes a ranking.
pub fn tenants_json(ranking: &Ranking) -> TenantsJson {
    let all = ranking.requests.max(1) as f64;
    let tenant = |one: &Ranked| TenantJson {
        tenant: one.tenant.to_string(),
        requests: one.share.requests,
        share: one.share.requests as f64 / all,
        usual_share: one.share.usual as f64 / all,
        watched_minutes: one.share.watched_min,
        flood: one.flood.map(|(action, _)| action.as_str().to_owned()),
    };
    TenantsJson {
        minute: Some(EventTime::from_s(i64::from(ranking.minute) * 60).to_string()),
        requests: ranking.requests,
        tenants: ranking.tenants.iter().map(tenant).collect(),
    }
}
