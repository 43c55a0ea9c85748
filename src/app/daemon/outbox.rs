//! The outbox of one store: decisions that are durable but not settled.
//!
//! Delivery is repeated with growing pauses until the store has settled it, or a newer decision on
//! the same credential takes its place. Deliveries on one credential never overlap.

use crate::edge::auth_store::AuthStore;
use crate::edge::clock;
use crate::edge::metrics::Metrics;
use crate::edge::planes::{ControlMessage, ControlPlane};
use crate::model::credential::Credential;
use crate::model::decision::{Decision, Delivery, Receipt};
use crate::model::time::EventTime;
use crate::wire::journal_json::StoreReceipt;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Deliveries under way at once.
const UNDER_WAY_MAX: usize = 32;
/// The first and the longest pause before a delivery is repeated.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The pause after a refusal: only a person can mend it.
const PAUSE_REFUSED: Duration = Duration::from_secs(30);

/// A decision that is due, and when the event behind it arrived.
#[derive(Clone, Debug)]
pub(super) struct Due {
    /// The decision.
    pub(super) decision: Arc<Decision>,
    /// When the event behind it arrived.
    pub(super) arrived: EventTime,
}

/// What waits for one credential.
struct Waiting {
    due: Due,
    not_before: Instant,
    pause: Duration,
    under_way: bool,
}

/// The outbox of one store.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The store.
    pub(super) store: AuthStore,
    /// Where receipts go.
    pub(super) control: ControlPlane,
    /// Counters.
    pub(super) metrics: Metrics,
}

impl Outbox {
    /// Delivers until the control plane has ended and nothing is under way any more.
    pub(super) async fn run(self, mut news: mpsc::UnboundedReceiver<Due>) {
        let mut waiting: BTreeMap<Credential, Waiting> = BTreeMap::new();
        let mut deliveries = FuturesUnordered::new();
        let gauge = self.metrics.outbox.with_label_values(&[self.store.name()]);
        let mut open = true;
        while open || !deliveries.is_empty() {
            gauge.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
            let now = Instant::now();
            let ready = waiting.values_mut().filter(|one| !one.under_way && one.not_before <= now);
            for one in ready.take(UNDER_WAY_MAX.saturating_sub(deliveries.len())) {
                one.under_way = true;
                let (store, due) = (self.store.clone(), one.due.clone());
                deliveries.push(async move { (store.carry_out(&due.decision).await, due) });
            }
            let next =
                waiting.values().filter(|one| !one.under_way).map(|one| one.not_before).min();
            // With all hands full, the next thing to wait for is a delivery's end.
            let full = deliveries.len() >= UNDER_WAY_MAX;
            let pause = next.filter(|_| !full).unwrap_or(now + PAUSE_MAX);
            tokio::select! {
                due = news.recv(), if open => match due {
                    Some(due) => supersede(&mut waiting, due),
                    None => open = false,
                },
                Some((delivery, due)) = deliveries.next(), if !deliveries.is_empty() => {
                    self.settle(&mut waiting, delivery, &due).await;
                }
                () = tokio::time::sleep_until(pause), if open => {}
            }
        }
    }

    async fn settle(
        &self,
        waiting: &mut BTreeMap<Credential, Waiting>,
        Delivery { receipt, held }: Delivery,
        due: &Due,
    ) {
        let store = self.store.name();
        self.metrics.enforcement.with_label_values(&[store, receipt.as_str()]).inc();
        let credential = &due.decision.credential;
        let Some(one) = waiting.get_mut(credential) else { return };
        one.under_way = false;
        let superseded = one.due.decision.id != due.decision.id;
        if receipt.is_settled() {
            let seconds = clock::now().ms_since(due.arrived).max(0) as f64 / 1000.0;
            self.metrics.enforcement_seconds.with_label_values(&[store]).observe(seconds);
            if !superseded {
                waiting.remove(credential);
            }
        } else if !superseded {
            let refused = receipt == Receipt::Refused;
            one.pause = if refused { PAUSE_REFUSED } else { (one.pause * 2).min(PAUSE_MAX) };
            one.not_before = Instant::now() + one.pause;
            tracing::warn!(
                store, decision = %due.decision.id, receipt = receipt.as_str(),
                "not carried out yet; it is tried again"
            );
        }
        if let Some(held) = held.filter(|_| !superseded) {
            tracing::warn!(
                store, decision = %due.decision.id, held = held.0,
                "the store holds a newer generation than this journal knows"
            );
            let stale = ControlMessage::Stale(Arc::clone(&due.decision), held);
            let _ended = self.control.tell(stale).await;
        }
        if receipt.is_settled() || receipt == Receipt::Refused {
            let entry = StoreReceipt {
                decision: due.decision.id,
                store: store.to_owned(),
                receipt,
                at: clock::now(),
            };
            // At the end the receipt is lost: the decision is delivered again at the next start,
            // and the store answers that it has it already.
            let _ended = self.control.tell(ControlMessage::Receipt(entry)).await;
        }
    }
}

fn supersede(waiting: &mut BTreeMap<Credential, Waiting>, due: Due) {
    let credential = due.decision.credential.clone();
    let under_way = waiting.get(&credential).is_some_and(|one| one.under_way);
    let not_before = Instant::now();
    waiting.insert(credential, Waiting { due, not_before, pause: PAUSE_MIN, under_way });
}
