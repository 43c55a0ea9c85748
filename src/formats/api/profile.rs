//! A credential as people see it, as JSON.

use crate::data_plane::partition_view::View;
use crate::model::credential::{Credential, Kind};
use crate::model::decision::{Decision, Status};
use crate::model::finding::FindingId;
use crate::model::time::EventTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A credential as it is now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Credential)]
pub struct CredentialJson {
    /// Its id.
    pub credential: String,
    /// Its kind.
    #[schema(value_type = Kind)]
    pub kind: String,
    /// The tenant; null: unknown.
    #[schema(required)]
    pub tenant: Option<String>,
    /// The status that gateways see.
    #[schema(value_type = Status)]
    pub status: String,
    /// When that ends by itself; null: never.
    #[schema(required, format = DateTime)]
    pub until: Option<String>,
    /// The rank of the newest decision on it, from 1; 0: there is none.
    pub generation: u64,
    /// The author of that decision; null: there is none.
    #[schema(required)]
    pub by: Option<String>,
    /// The reason for that decision; null: there is none.
    #[schema(required)]
    pub reason: Option<String>,
    /// The finding behind that decision; null: there is none.
    #[schema(required, value_type = Option<FindingId>)]
    pub finding: Option<String>,
    /// When it was first seen; null: it is not remembered.
    #[schema(required, format = DateTime)]
    pub first_seen: Option<String>,
    /// When it was last seen; null: it is not remembered.
    #[schema(required, format = DateTime)]
    pub last_seen: Option<String>,
    /// Its absolute limit; null: it is not remembered. Unit: requests per minute; 0: none.
    #[schema(required)]
    pub limit_per_min: Option<u32>,
    /// Whether an operator wrote that limit down. The built-in one throttles at most.
    #[serde(default)]
    #[schema(required)]
    pub limit_is_written: Option<bool>,
    /// Its windows, next to what is usual.
    pub windows: Vec<WindowJson>,
    /// The counts of the last 60 seconds, oldest first; the last is of the newest second. Unit: requests.
    #[serde(default)]
    #[schema(required, max_items = 60)]
    pub per_second: Vec<u32>,
    /// The ids of its open findings.
    #[schema(value_type = Vec<FindingId>)]
    pub open_findings: Vec<String>,
}

/// A window, next to what is usual.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Window)]
pub struct WindowJson {
    /// Its length. Unit: seconds.
    pub window_s: u32,
    /// The count in it. Unit: requests.
    pub count: u32,
    /// The expected count. Unit: requests.
    #[schema(minimum = 0)]
    pub expected: f64,
    /// The most so far in it. Unit: requests.
    #[schema(minimum = 0)]
    pub peak: f64,
}

impl CredentialJson {
    /// Describes a credential by what is remembered of it, the enforcement state, and its newest decision.
    pub fn new(
        credential: &Credential,
        view: Option<&View>,
        in_force: Option<(Status, Option<EventTime>)>,
        latest: Option<&Decision>,
    ) -> Self {
        let (status, until) = in_force.unwrap_or((Status::Active, None));
        let text = |time: EventTime| time.to_string();
        let tenant = view.and_then(|view| view.tenant.as_ref());
        let tenant = tenant.or_else(|| latest.and_then(|decision| decision.tenant.as_ref()));
        let windows = view.into_iter().flat_map(|view| &view.windows).map(|one| WindowJson {
            window_s: one.window.seconds(),
            count: one.count,
            expected: one.expected,
            peak: one.peak,
        });
        let open = view.into_iter().flat_map(|view| &view.open);
        Self {
            credential: credential.id().to_owned(),
            kind: credential.kind().as_str().to_owned(),
            tenant: tenant.map(ToString::to_string),
            status: status.as_str().to_owned(),
            until: until.map(text),
            generation: latest.map_or(0, |decision| decision.generation.0),
            by: latest.map(|decision| decision.by.to_string()),
            reason: latest.map(|decision| decision.reason.clone()),
            finding: latest.and_then(|decision| decision.finding).map(|id| id.to_string()),
            first_seen: view.map(|view| text(view.first_seen)),
            last_seen: view.map(|view| text(view.last_seen)),
            limit_per_min: view.map(|view| view.limit.per_min()),
            limit_is_written: view.map(|view| view.limit.is_written()),
            windows: windows.collect(),
            per_second: view.map(|view| view.by_second.clone()).unwrap_or_default(),
            open_findings: open.map(ToString::to_string).collect(),
        }
    }

    /// Its limit for people; none: it is not known.
    pub fn limit(&self) -> Option<String> {
        let limit = self.limit_per_min?;
        Some(match (limit, self.limit_is_written) {
            (0, _) => "none".to_owned(),
            (_, Some(false)) => format!("{limit} a minute, built-in: throttles at most"),
            (_, Some(true) | None) => format!("{limit} a minute"),
        })
    }

    /// Whether anything was ever decided on it.
    pub const fn was_decided_on(&self) -> bool {
        self.generation > 0
    }
}

#[cfg(test)]
mod tests {
    use super::CredentialJson;
    use crate::model::credential::{Credential, Kind};

    #[test]
    fn people_see_whether_an_operator_wrote_the_limit_down() {
        let key = Credential::new(Kind::ApiKey, "k").expect("valid");
        let said = |limit_per_min, limit_is_written| {
            let unknown = CredentialJson::new(&key, None, None, None);
            CredentialJson { limit_per_min, limit_is_written, ..unknown }.limit()
        };
        assert_eq!(said(None, None), None);
        assert_eq!(said(Some(0), Some(true)).as_deref(), Some("none"));
        assert_eq!(said(Some(600), Some(true)).as_deref(), Some("600 a minute"));
        let built_in = said(Some(10_000), Some(false));
        assert_eq!(built_in.as_deref(), Some("10000 a minute, built-in: throttles at most"));
        // From a daemon before this field.
        assert_eq!(said(Some(600), None).as_deref(), Some("600 a minute"));
    }
}
