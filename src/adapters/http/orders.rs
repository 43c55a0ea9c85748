//! Shared by orders and questions about credentials: how one is named, and what an order came to.

use super::problem::Problem;
use crate::adapters::channels::OrderOutcome;
use crate::adapters::enforce::auth_store::{AuthStore, EMBEDDED};
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::recent_events::RecentEvents;
use crate::formats::api::decision::DecisionJson;
use crate::formats::secrets::nearby::kind_nearby;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, DecisionId, Order, Status};
use crate::model::finding::FindingId;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// How many rows an answer has at most.
const ROWS_MAX: usize = 1000;
const ROWS_DEFAULT: usize = 100;
/// How long an answer waits until `/v1/check` obeys the order. Chosen: a disk that is well takes some
/// milliseconds.
const SETTLE_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked meanwhile.
const SETTLE_EVERY: Duration = Duration::from_millis(2);

/// How many rows are given of so many that are wanted.
pub(super) fn most(wanted: Option<usize>) -> usize {
    wanted.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX)
}

/// The result of an order.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct OrderResult {
    /// Whether anything changed.
    pub(super) changed: bool,
    /// The decision that was made; null: none was needed.
    #[schema(required)]
    pub(super) decision: Option<DecisionJson>,
    /// The approval that it counts as, where people have to agree; absent: it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) voice: Option<VoiceJson>,
    /// The credential's status before.
    #[schema(value_type = Status)]
    pub(super) before: &'static str,
    /// Whether tripline knows the credential that is ordered about: it was used, or decided on, recently;
    /// absent: that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) known: Option<bool>,
    /// The stores that can't do it.
    pub(super) cannot: Vec<String>,
    /// Stores that can't be written, and the fault; absent: there is none. The journal has the order, and
    /// `/v1/check` of this instance follows it, now or, where it says so, soon; other instances and gateways that
    /// read Redis do once it can be written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_written: Vec<String>,
    /// Whether a report that its secret leaked was withdrawn.
    pub(super) leak_withdrawn: bool,
    /// Findings that go on: nothing is done on them for a while, as a person restored.
    #[schema(value_type = Vec<FindingId>)]
    pub(super) open_findings: Vec<String>,
}

/// An approval that was counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
pub(super) struct VoiceJson {
    /// The decision.
    #[schema(value_type = DecisionId)]
    decision: String,
    /// How many more people have to agree.
    missing: u8,
}

impl OrderResult {
    /// Of a person's word, once `/v1/check` obeys it, or it is known what hinders it.
    pub(super) async fn settled(
        (embedded, stores): (&EmbeddedStore, &[AuthStore]),
        recent: &RecentEvents,
        ordered: OrderOutcome,
    ) -> Self {
        let not_written = match &ordered.decision {
            Some(decision) => {
                let mut not_written = not_written(embedded, recent, decision).await;
                let others = stores.iter().filter(|store| !store.is_local());
                let faults = others
                    .filter(|store| store.takes(&decision.credential))
                    .filter_map(|store| Some(format!("{}: {}", store.name(), store.fault()?)));
                not_written.extend(faults);
                not_written
            }
            None => Vec::new(),
        };
        Self { not_written, ..Self::of(ordered) }
    }

    fn of(OrderOutcome { decision, voice, before }: OrderOutcome) -> Self {
        let voice = voice.map(|(decision, missing)| {
            let decision = decision.to_string();
            VoiceJson { decision, missing }
        });
        let decision = decision.map(DecisionJson);
        let before = before.as_str();
        Self { changed: decision.is_some(), decision, voice, before, ..Self::default() }
    }
}

/// The credential that is named; a secret that was pasted is never kept.
pub(super) fn parse_credential(
    fingerprints: &Fingerprinter,
    id: &str,
) -> Result<Credential, Problem> {
    if let Some((written, kind)) = kind_nearby(id) {
        let detail = format!(
            "there is no kind `{written}`; did you mean {kind}? The id of an API key that begins so \
             is written api_key:{written}:…"
        );
        return Err(Problem::bad_request(detail));
    }
    fingerprints.credential(id).map_err(|_| {
        Problem::bad_request("a credential is named kind:id, or by the id of an API key")
    })
}

/// Waits until `/v1/check` obeys a decision; returns what could not be written to disk meanwhile.
async fn not_written(
    embedded: &EmbeddedStore,
    recent: &RecentEvents,
    decision: &Decision,
) -> Vec<String> {
    let obeys = async {
        while !is_obeyed(embedded, recent, decision) {
            tokio::time::sleep(SETTLE_EVERY).await;
        }
    };
    if tokio::time::timeout(SETTLE_WAIT, obeys).await.is_err() {
        return vec![format!(
            "{EMBEDDED}: not within {} s; /v1/check may still follow what was in force before",
            SETTLE_WAIT.as_secs()
        )];
    }
    let fault = embedded.fault();
    fault.into_iter().map(|fault| format!("{EMBEDDED}: {fault}")).collect()
}

/// Whether the store that `/v1/check` asks has the decision, or a newer one.
fn is_obeyed(embedded: &EmbeddedStore, recent: &RecentEvents, decision: &Decision) -> bool {
    let (credential, store) = (&decision.credential, embedded);
    let held = store.held(credential.kind(), credential.id());
    let has_it = match (held, decision.order) {
        (Some(held), _) => held.generation >= decision.generation,
        // Active credentials are not in memory; the disk has them, or a fault.
        (None, Order::Restore) => store.fault().is_some(),
        (None, Order::Act(_)) => false,
    };
    has_it
        || recent
            .receipts(decision.id)
            .is_none_or(|answers| answers.get(EMBEDDED).is_some_and(|answer| answer.is_settled()))
}
