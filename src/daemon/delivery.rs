//! The task of one store: delivers what is due, and compares the store with the enforcement state.
//!
//! ```text
//!  news of the control plane --> outbox --> deliveries --> receipts --> journal
//!                                  ^
//!  backlog of the last run --------+
//!  what the store lacks -----------+
//! ```
//! A store is compared at the start, once a minute, when it can be reached again, and at once when
//! it lost its state: emptied, or replaced by a copy that lagged behind.

use super::outboxes::{Feed, StoreOutbox};
use crate::adapters::channels::{ControlMessage, ControlPlane};
use crate::adapters::clock;
use crate::adapters::enforce::answer::{Pulse, Reading};
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::metrics::EnforceMetrics;
use crate::adapters::journal::error::JournalError;
use crate::adapters::journal::history::History;
use crate::control_plane::outbox::{DeliveryResult, Due, Outbox};
use crate::control_plane::reconcile::{Comparison, compare};
use crate::formats::storage::journal::StoreReceipt;
use crate::model::credential::Credential;
use crate::model::decision::{
    Decision, DecisionId, Delivery, EnforcementState, Holding, InstanceId, Receipt,
};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use futures_util::stream::FuturesUnordered;
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Deliveries under way at once. Chosen: what a Redis over a network takes without a queue.
const UNDER_WAY_MAX: usize = 128;
/// The same to a receiver of requests, which may be small. Chosen.
const UNDER_WAY_MAX_BY_REQUEST: usize = 8;
/// How long the task waits at most before it looks again.
const IDLE: Duration = Duration::from_secs(5);
/// How long after the journal could not be read it is not read again.
const LOAD_PAUSE: Duration = Duration::from_secs(1);
/// How often a store is compared whole.
const COMPARE_EVERY: Duration = Duration::from_mins(1);
/// How often a store is asked whether it kept its state.
const PULSE_EVERY: Duration = Duration::from_secs(1);
/// Places of the states that are compared together. Chosen: some milliseconds of the store.
const PAGE: u32 = 2_000;
/// Below how many waiting decisions more of the backlog is loaded, and how many at once.
const WAITING_MIN: usize = 1_000;
const LOADED_MAX: usize = 1_000;

/// Credentials of one page that the log names. Chosen.
const NAMED_MAX: usize = 20;
/// For how many decisions an empty backlog keeps its memory.
const KEPT_MAX: usize = 10_000;

/// The inputs of an outbox.
#[derive(Debug)]
pub(super) struct DeliveryTask {
    /// The store.
    pub(super) store: AuthStore,
    /// Where receipts go.
    pub(super) control: ControlPlane,
    /// Counters.
    pub(super) metrics: EnforceMetrics,
    /// The decision.
    pub(super) history: History,
}

/// A decision that is due at a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DueDeliveries {
    /// Which.
    pub(super) decision: DecisionId,
    /// Whether the store had settled it before.
    pub(super) again: bool,
}

/// The due deliveries of a store, by credential; each is loaded when its turn comes.
pub(super) type Backlog = HashMap<Credential, DueDeliveries>;

/// The result of comparing a page.
struct Page {
    /// Whether the store was asked: of nothing it need not be.
    asked: bool,
    lacks: Vec<(Credential, DueDeliveries)>,
    newer: Vec<(Credential, Holding)>,
    next: Option<u32>,
}

/// Where the comparison of the store stands.
enum ComparisonStep {
    /// The store can't be read.
    Never,
    /// The next one begins then.
    At(Instant),
    /// The page from this place on is next.
    Next(u32),
}

/// The concurrent work.
struct DeliveryWork {
    outbox: Outbox,
    backlog: Backlog,
    comparing: ComparisonStep,
    /// When the journal may be read again, after it could not be.
    loads_at: Instant,
    /// Whether the last delivery or question was answered.
    reachable: bool,
    begun: Instant,
}

type Loaded = BoxFuture<'static, Vec<(Credential, DueDeliveries, Read)>>;
/// A decision of the journal; none if it has none of that id.
type Read = Result<Option<Decision>, JournalError>;
type ComparisonAnswer = BoxFuture<'static, Option<Page>>;
type PulseAnswer = BoxFuture<'static, Pulse>;

type Outboxes = (Vec<StoreOutbox>, Vec<tokio::task::JoinHandle<()>>);

/// Starts an outbox for each store, with what is due there from before.
pub(super) fn start(
    tasks: impl Iterator<Item = DeliveryTask>,
    feeds: Vec<Feed>,
    due: Vec<Backlog>,
) -> Outboxes {
    let (mut outboxes, mut waiting) = (Vec::new(), Vec::new());
    for ((task, feed), backlog) in tasks.zip(feeds).zip(due) {
        let (outbox, news) = StoreOutbox::new(feed, &task.store);
        outboxes.push(outbox);
        waiting.push((task, news, backlog));
    }
    let behind = outboxes.iter().filter(|one| one.feed == Feed::Taken);
    let behind: Vec<StoreOutbox> = behind.cloned().collect();
    let started = waiting.into_iter().map(|(task, news, backlog)| {
        let is_first = task.store.shared().is_some();
        let behind = if is_first { behind.clone() } else { Vec::new() };
        tokio::spawn(task.run(news, backlog, behind))
    });
    let started = started.collect();
    (outboxes, started)
}

impl DeliveryTask {
    /// Delivers until the control plane has ended and nothing is under way any more; hands the stores `behind`
    /// this one the decisions that it has taken.
    pub(super) async fn run(
        self,
        mut news: mpsc::UnboundedReceiver<Due>,
        backlog: Backlog,
        behind: Vec<StoreOutbox>,
    ) {
        let begun = Instant::now();
        let readable = self.store.can_be_read();
        let comparing = if readable { ComparisonStep::At(begun) } else { ComparisonStep::Never };
        let under_way_max = if readable { UNDER_WAY_MAX } else { UNDER_WAY_MAX_BY_REQUEST };
        let outbox = Outbox::default();
        let mut work =
            DeliveryWork { outbox, backlog, comparing, loads_at: begun, reachable: true, begun };
        let mut deliveries = FuturesUnordered::new();
        let mut loading: OptionFuture<Loaded> = None.into();
        let mut page: OptionFuture<ComparisonAnswer> = None.into();
        let mut feeling: OptionFuture<PulseAnswer> = None.into();
        let (mut loads, mut compares, mut feels) = (false, false, false);
        let mut pulse = tokio::time::interval(PULSE_EVERY);
        let gauge = self.metrics.outbox.with_label_values(&[self.store.name()]);
        let mut open = true;
        while open || !deliveries.is_empty() {
            let waiting = work.outbox.len() + work.backlog.len();
            gauge.set(i64::try_from(waiting).unwrap_or(i64::MAX));
            while open
                && deliveries.len() < under_way_max
                && let Some(due) = work.outbox.next(work.now_ms())
            {
                #[cfg(feature = "failpoints")]
                fail::fail_point!("outbox.before_delivery", |_| std::process::abort());
                let store = self.store.clone();
                deliveries.push(async move { (store.carry_out(&due.decision).await, due) });
            }
            if !loads && let Some(owed) = work.to_load() {
                (loads, loading) = (true, Some(self.load(owed)).into());
            }
            if !compares && let Some(from) = work.page_due() {
                (compares, page) = (true, Some(self.compare(from)).into());
            }
            let wake = work.wake(under_way_max);
            tokio::select! {
                due = news.recv(), if open => match due {
                    Some(due) => work.take(due, self.store.is_local()),
                    None => open = false,
                },
                Some((delivery, due)) = deliveries.next(), if !deliveries.is_empty() => {
                    #[cfg(feature = "failpoints")]
                    fail::fail_point!("outbox.delivered", |_| std::process::abort());
                    if has_taken(delivery.receipt) && !due.again {
                        send_to(&behind, &due);
                    }
                    self.settle(&mut work, delivery, &due).await;
                }
                Some(decisions) = &mut loading, if loads => {
                    (loads, loading) = (false, None.into());
                    work.take_loaded(decisions);
                }
                Some(found) = &mut page, if compares => {
                    (compares, page) = (false, None.into());
                    self.reconcile(&mut work, found).await;
                }
                _ = pulse.tick(), if open && readable && !feels => {
                    (feels, feeling) = (true, Some(self.feel()).into());
                }
                Some(pulse) = &mut feeling, if feels => {
                    (feels, feeling) = (false, None.into());
                    self.note_pulse(&mut work, pulse);
                }
                () = tokio::time::sleep_until(wake), if open => {}
            }
        }
    }

    /// Asks whether the store kept its state.
    fn feel(&self) -> PulseAnswer {
        let store = self.store.clone();
        async move { store.pulse().await }.boxed()
    }

    fn note_pulse(&self, work: &mut DeliveryWork, pulse: Pulse) {
        match pulse {
            Pulse::Kept => self.mark_reachable(work),
            Pulse::Unreachable => self.mark_unreachable(work),
            Pulse::Touched => {
                self.mark_reachable(work);
                tracing::warn!(
                    store = self.store.name(),
                    "another process wrote into the store; reconciling all decisions in force"
                );
                work.comparing = ComparisonStep::Next(0);
            }
            Pulse::Lost => {
                self.mark_reachable(work);
                tracing::warn!(
                    store = self.store.name(),
                    "the store lost its state; reconciling all decisions in force"
                );
                work.comparing = ComparisonStep::Next(0);
            }
        }
    }

    fn load(&self, owed: Vec<(Credential, DueDeliveries)>) -> Loaded {
        let history = self.history.clone();
        let read = move || {
            let read = |(credential, owed): (Credential, DueDeliveries)| {
                (credential, owed, history.decision(owed.decision))
            };
            owed.into_iter().map(read).collect()
        };
        async move { tokio::task::spawn_blocking(read).await.unwrap_or_default() }.boxed()
    }

    fn compare(&self, from: u32) -> ComparisonAnswer {
        let (store, control) = (self.store.clone(), self.control.clone());
        async move {
            let (mut in_force, next) = control.in_force(from, PAGE).await?;
            in_force.retain(|one| store.takes(&one.credential));
            match store.read(&in_force).await {
                Reading::Held(held) => Some(sorted(in_force, held, (next, store.instance()))),
                Reading::Unreachable => None,
            }
        }
        .boxed()
    }

    async fn reconcile(&self, work: &mut DeliveryWork, found: Option<Page>) {
        let store = self.store.name();
        let Some(page) = found else {
            self.mark_unreachable(work);
            work.comparing = ComparisonStep::At(Instant::now() + PULSE_EVERY);
            return;
        };
        if page.asked {
            self.mark_reachable(work);
        }
        let count = |held, count| {
            self.metrics.reconciled.with_label_values(&[store, held]).inc_by(count);
        };
        count("less", page.lacks.len() as u64);
        count("more", page.newer.len() as u64);
        if !page.lacks.is_empty() {
            tracing::info!(
                store,
                decisions = page.lacks.len(),
                "the store lacks decisions; delivering them again"
            );
        }
        work.backlog.extend(page.lacks);
        if !page.newer.is_empty() {
            for (credential, held) in page.newer.iter().take(NAMED_MAX) {
                tracing::warn!(
                    store, %credential, generation = held.generation.0, status = ?held.status,
                    "the store holds a newer decision, written by another instance or by hand; this instance \
                     follows it"
                );
            }
            // It waits for no answer: while the journal can't be written there is none.
            let (reply, _unheard) = tokio::sync::oneshot::channel();
            let _ended = self.control.send(ControlMessage::Held(page.newer, reply)).await;
        }
        work.comparing = if let Some(from) = page.next {
            ComparisonStep::Next(from)
        } else {
            let now = clock::now().as_secs_f64();
            // Of nothing a store is not asked.
            if work.reachable {
                self.metrics.reconciled_at.with_label_values(&[store]).set(now);
            }
            ComparisonStep::At(Instant::now() + COMPARE_EVERY)
        };
    }

    /// Says so once, however many decisions wait.
    fn mark_unreachable(&self, work: &mut DeliveryWork) {
        self.metrics.up.with_label_values(&[self.store.name()]).set(0);
        if std::mem::replace(&mut work.reachable, false) {
            tracing::warn!(
                store = self.store.name(),
                waiting = work.outbox.len() + work.backlog.len(),
                said = self.store.fault(),
                "the store is unreachable or accepts no decisions; they wait in its outbox"
            );
        }
    }

    /// A store that is back may have been replaced: it is compared, and reported what waits.
    fn mark_reachable(&self, work: &mut DeliveryWork) {
        self.metrics.up.with_label_values(&[self.store.name()]).set(1);
        if !std::mem::replace(&mut work.reachable, true) {
            tracing::info!(store = self.store.name(), "the store can be reached again");
            let now_ms = work.now_ms();
            work.outbox.retry_now(now_ms);
            if matches!(work.comparing, ComparisonStep::At(_)) {
                work.comparing = ComparisonStep::Next(0);
            }
        }
    }

    async fn settle(&self, work: &mut DeliveryWork, delivery: Delivery, due: &Due) {
        let receipt = delivery.receipt;
        let store = self.store.name();
        self.metrics.deliveries.with_label_values(&[store, receipt.as_str()]).inc();
        let done = work.outbox.done(due, &delivery, work.now_ms());
        match receipt {
            Receipt::Unreachable => self.mark_unreachable(work),
            // It answers, and does not work: that is neither.
            Receipt::Refused => {}
            Receipt::Applied
            | Receipt::Already
            | Receipt::Unverified
            | Receipt::Stale
            | Receipt::Unsupported => self.mark_reachable(work),
        }
        if receipt.is_settled()
            && let Some(arrived) = due.arrived
        {
            let seconds = clock::now().ms_since(arrived).max(0) as f64 / 1000.0;
            self.metrics.seconds.with_label_values(&[store]).observe(seconds);
        }
        if done == DeliveryResult::Again {
            tracing::debug!(
                store, decision = %due.decision.id, receipt = receipt.as_str(),
                "not carried out yet; retrying"
            );
        }
        // A repeated delivery was settled before.
        if !due.again && (receipt.is_settled() || receipt == Receipt::Refused) {
            let entry = StoreReceipt {
                decision: due.decision.id,
                store: store.to_owned(),
                receipt,
                at: clock::now(),
            };
            // At the end the receipt is lost: the decision is delivered again at the next start,
            // and the store answers that it has it already.
            let _ended = self.control.send(ControlMessage::Receipt(entry)).await;
        }
        // After the receipt, which settles the delivery that was refused and not the one that may follow.
        if let Some(held) = delivery.held.filter(|_| done != DeliveryResult::Superseded) {
            tracing::warn!(
                store, decision = %due.decision.id, held = held.generation.0,
                "the store refused a decision that was made without knowledge of the one it holds"
            );
            let stale = ControlMessage::Stale(Arc::clone(&due.decision), held);
            let _ended = self.control.send(stale).await;
        }
    }
}

fn send_to(stores: &[StoreOutbox], due: &Due) {
    for store in stores {
        store.send(due.clone());
    }
}

/// Whether a store has a decision in its order; it may have no way to carry it out.
const fn has_taken(receipt: Receipt) -> bool {
    matches!(receipt, Receipt::Applied | Receipt::Already | Receipt::Unsupported)
}

fn sorted(
    in_force: Vec<EnforcementState>,
    held: Vec<Option<Holding>>,
    (next, me): (Option<u32>, InstanceId),
) -> Page {
    let now = clock::now();
    let asked = !in_force.is_empty();
    let mut page = Page { asked, lacks: Vec::new(), newer: Vec::new(), next };
    for (in_force, held) in in_force.into_iter().zip(held) {
        match (compare(&in_force, held.as_ref(), (me, now)), held) {
            (Comparison::Lacks, _) => {
                let owed = DueDeliveries { decision: in_force.decision, again: true };
                page.lacks.push((in_force.credential, owed));
            }
            (Comparison::Newer, Some(held)) => page.newer.push((in_force.credential, held)),
            (Comparison::Newer, None) | (Comparison::Agrees, _) => {}
        }
    }
    page
}

impl DeliveryWork {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes a new decision; an older one on the same credential is not reported any more. That of another
    /// instance is delivered by that one, but to a store of this instance alone.
    fn take(&mut self, due: Due, is_local: bool) {
        self.backlog.remove(&due.decision.credential);
        if due.decision.origin.is_some() && !is_local {
            self.outbox.supersede(&due.decision);
        } else {
            let now_ms = self.now_ms();
            self.outbox.push(due, now_ms);
        }
    }

    /// The page to compare next, if it is time and nothing waits that would change the answer.
    fn page_due(&self) -> Option<u32> {
        let idle = self.backlog.is_empty() && self.outbox.len() < WAITING_MIN;
        match self.comparing {
            ComparisonStep::Never => None,
            _ if !idle => None,
            ComparisonStep::At(at) => (at <= Instant::now()).then_some(0),
            ComparisonStep::Next(from) => Some(from),
        }
    }

    /// The decisions of the backlog to load now.
    fn to_load(&self) -> Option<Vec<(Credential, DueDeliveries)>> {
        let room = self.outbox.len() < WAITING_MIN
            && !self.backlog.is_empty()
            && self.loads_at <= Instant::now();
        let some = self.backlog.iter().take(LOADED_MAX);
        room.then(|| some.map(|(credential, owed)| (credential.clone(), *owed)).collect())
    }

    fn take_loaded(&mut self, loaded: Vec<(Credential, DueDeliveries, Read)>) {
        let now_ms = self.now_ms();
        if loaded.is_empty() {
            self.loads_at = Instant::now() + LOAD_PAUSE;
        }
        for (credential, owed, decision) in loaded {
            // Unless something newer came meanwhile, it still waits here.
            if self.backlog.get(&credential) != Some(&owed) {
                continue;
            }
            let decision = match decision {
                Ok(decision) => decision,
                Err(error) => {
                    // It waits on: no decision is lost to a disk that fails for a while.
                    tracing::error!(%error, decision = %owed.decision, "the journal can't be read");
                    self.loads_at = Instant::now() + LOAD_PAUSE;
                    continue;
                }
            };
            self.backlog.remove(&credential);
            if let Some(decision) = decision {
                let (decision, again) = (Arc::new(decision), owed.again);
                self.outbox.push(Due { decision, arrived: None, again }, now_ms);
            } else {
                tracing::error!(decision = %owed.decision, "the journal has no such decision");
            }
        }
        if self.backlog.is_empty() && self.backlog.capacity() > KEPT_MAX {
            self.backlog.shrink_to_fit();
        }
    }

    /// When to look again, should nothing happen.
    fn wake(&self, under_way_max: usize) -> Instant {
        let deadline = self.outbox.deadline().map(|ms| self.begun + Duration::from_millis(ms));
        let idle = Instant::now() + IDLE;
        // With all hands full, the next thing to wait for is a delivery's end.
        let deadline = deadline.filter(|_| self.outbox.under_way() < under_way_max);
        // A delivery not begun now begins once something is settled, or at the next look.
        let comparing = match self.comparing {
            ComparisonStep::At(at) if at > Instant::now() => at,
            ComparisonStep::At(_) | ComparisonStep::Next(_) | ComparisonStep::Never => idle,
        };
        deadline.unwrap_or(idle).min(comparing).min(idle)
    }
}
