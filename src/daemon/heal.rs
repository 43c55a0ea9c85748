//! The embedded store is made to agree with the journal before gateways can ask it: a file that was lost,
//! damaged or written into opens no gate.

use super::recovery::Recovered;
use crate::adapters::clock;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::control_plane::reconcile::{Comparison, compare};
use crate::model::decision::InstanceId;

/// Places of the states that are compared together. Chosen.
const PAGE: u32 = 10_000;

/// Carries out what the journal says and the store contradicts. Blocks.
pub(super) fn heal(store: &EmbeddedStore, past: &Recovered) {
    let (now, mut from, mut healed) = (clock::now(), Some(0), 0);
    while let Some(at) = from {
        let (in_force, next) = past.control.states().page(at, PAGE);
        let held = store.in_memory(&in_force);
        let pairs = in_force.iter().zip(&held);
        let lacking = pairs.filter(|(one, held)| {
            compare(one, held.as_ref(), (InstanceId::default(), now)) == Comparison::Lacks
        });
        let decisions = lacking.filter_map(|(one, _)| match past.history.decision(one.decision) {
            Ok(decision) => decision,
            Err(error) => {
                tracing::error!(%error, credential = %one.credential, "the journal can't be read");
                None
            }
        });
        let decisions: Vec<_> = decisions.collect();
        store.recover(&decisions);
        healed += decisions.len();
        from = next;
    }
    if healed > 0 {
        tracing::warn!(
            decisions = healed,
            "the embedded store lacked or contradicted decisions of the journal; it was corrected"
        );
    }
}
