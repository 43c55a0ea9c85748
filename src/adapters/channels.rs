//! Channels to the threads that own state, and their messages.
//!
//! A hash slot of the HTTP source belongs to one thread of the data plane. Queues are bounded:
//! where one is full the sender learns, and nothing is dropped in silence.

use crate::control_plane;
use crate::control_plane::approvals::{NoVote, PendingApproval};
use crate::control_plane::instance_summary::InstanceSummary;
use crate::control_plane::operator::LessSevere;
use crate::control_plane::params::PersonOrder;
use crate::control_plane::policy::budget::{Budgets, Proofs};
use crate::control_plane::tenant_ranking::Ranking;
use crate::data_plane::batch::Batch;
use crate::data_plane::lifetimes::audit::LifetimeAudit;
use crate::data_plane::partition;
use crate::data_plane::partition_view::View;
use crate::data_plane::shard_driver::ShardUsage;
use crate::formats::storage::journal::StoreReceipt;
use crate::model::credential::Credential;
use crate::model::decision::{
    Decision, DecisionId, EnforcementState, Holding, Mode, Status, TokenGrant, Vote,
};
use crate::model::finding::FindingId;
use crate::model::proof::Mark;
use crate::model::signal::{HoursOfUse, MinuteTotals, ShardId, Signal};
use crate::model::time::EventTime;
use compact_str::CompactString;
use futures_util::future::join_all;
use hashbrown::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Hash slots of the sources that have no partitions of their own. Chosen: more than threads.
pub const SLOTS: usize = 16;
/// Batches that may wait for a thread of the data plane. Chosen.
const DATA_QUEUE_MAX: usize = 256;
/// How long threads may take to answer. Chosen: well below the patience of who scrapes.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// How long a thread may take to hear what time it is.
const TICK_WAIT: Duration = Duration::from_millis(200);
/// Messages that may wait for the control plane. Chosen.
const CONTROL_QUEUE_MAX: usize = 4096;

/// A message to a thread of the data plane.
#[derive(Debug)]
pub enum DataMessage {
    /// Events of a slot with their offsets, which arrived at that time.
    Batch(usize, Batch, EventTime),
    /// The same, read again from the event log.
    Again(usize, Batch, EventTime),
    /// A question about one credential.
    LookUp(Credential, oneshot::Sender<Option<View>>),
    /// A question about the busiest credentials.
    Busiest(usize, oneshot::Sender<Vec<View>>),
    /// A question about what is open.
    OpenFindings(oneshot::Sender<Vec<FindingId>>),
    /// A mark of a credential, known besides its events, as of that time.
    Mark(Credential, Mark, EventTime, oneshot::Sender<()>),
    /// A question about credentials that were seen lately from the network of an address.
    SeenFrom(IpAddr, oneshot::Sender<Vec<(Credential, EventTime)>>),
    /// A question about the lifetimes of credentials.
    Lifetimes(oneshot::Sender<LifetimeAudit>),
    /// Go by these from now on, but for the memory.
    Params(Arc<partition::Params>),
    /// Time passes.
    Tick(EventTime),
    /// Finish what waits, then end.
    Stop,
}

/// Shows a source how far its signals have become durable.
#[derive(Clone, Debug, Default)]
pub struct Ticket {
    done: Arc<AtomicU64>,
    number: u64,
}

impl Ticket {
    /// The ticket after this one, of the same source.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { done: Arc::clone(&self.done), number: self.number + 1 }
    }

    /// The entries of this ticket, and all before it, are durable.
    pub fn settle(&self) {
        self.done.fetch_max(self.number, Ordering::Release);
    }

    /// Whether what this ticket was for is durable.
    pub fn is_settled(&self) -> bool {
        self.done.load(Ordering::Acquire) >= self.number
    }
}

/// Memory in use by one thread of the data plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// The thread's number, among all of them.
    pub thread: usize,
    /// How much that is, of all its shards.
    pub usage: ShardUsage,
}

/// A message to the control plane.
#[derive(Debug)]
pub enum ControlMessage {
    /// Findings changed; the events behind them arrived at that time.
    Signals(Vec<Signal>, EventTime, Option<Ticket>),
    /// A person orders something.
    Person(PersonOrder, oneshot::Sender<Result<OrderOutcome, VoteError>>),
    /// A store answered.
    Receipt(StoreReceipt),
    /// A store refused a decision because it holds that already.
    Stale(Arc<Decision>, Holding),
    /// A store that all instances write holds these; answered with how many of them are in force here from now
    /// on that were not, once they are durable or it is known that they can't be yet.
    Held(Vec<(Credential, Holding)>, oneshot::Sender<u64>),
    /// A question about the enforcement state: from which place on, and how many places.
    EnforcementState(u32, u32, oneshot::Sender<(Vec<EnforcementState>, Option<u32>)>),
    /// A person's word on a decision that waits.
    Vote(Vote, oneshot::Sender<Result<OrderOutcome, VoteError>>),
    /// People's words that were given at other instances.
    Votes(Vec<Vote>),
    /// A question about what waits for people.
    PendingApprovals(oneshot::Sender<Vec<PendingApproval>>),
    /// Memory in use by one thread of the data plane.
    InUse(InUse),
    /// Hours in which credentials were newly used.
    ActiveHours(HoursOfUse),
    /// Go by these from now on.
    Params(Arc<control_plane::params::Params>),
    /// A question about what this instance knows of its part of the fleet, and its default mode.
    Summary(oneshot::Sender<(InstanceSummary, Mode)>),
    /// The summary of the other instances together.
    Others(InstanceSummary),
    /// A minute (since 1970) ended at that place, and that is what tenants took of it.
    MinuteEnded(ShardId, (u32, MinuteTotals)),
    /// A question about who takes what of the fleet.
    Ranking(oneshot::Sender<Option<Ranking>>),
    /// A question about what is proven of false actions on a tenant's credentials, or on those without
    /// one; and against which budgets.
    Budget(Option<CompactString>, oneshot::Sender<(Proofs, Budgets)>),
    /// The store that counts for all instances answered the request of a finding; the events behind it
    /// arrived at that time.
    Token(FindingId, TokenGrant, EventTime),
    /// Time passes.
    Tick,
    /// Finish what waits, then end.
    Stop,
}

/// The outcome of a person's word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderOutcome {
    /// The decision that was made; none if nothing had to change, or more people have to agree.
    pub decision: Option<Decision>,
    /// The decision for which the word counts as a voice, and how many more people have to agree.
    pub voice: Option<(DecisionId, u8)>,
    /// The status of the credential before.
    pub before: Status,
}

/// The journal can't be written, so nothing is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal can't be written: look at the disk of data_dir. The order waits, and is carried out \
     once it can be, unless tripline ends before"
)]
pub struct NotDurable;

/// Why a person's word changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// Of the decision that it is about.
    #[error(transparent)]
    NoVote(#[from] NoVote),
    /// Of what is in force.
    #[error(transparent)]
    LessSevere(#[from] LessSevere),
    /// Of the journal.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

/// A thread does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thread of tripline does not answer; tripline_heartbeat_timestamp_seconds says which")]
pub struct ThreadStalled;

/// A queue is full, or its thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Try again in a second.
    #[error("the queue is full")]
    Full,
    /// tripline is stopping.
    #[error("tripline is stopping")]
    Stopping,
}

/// The ways to the data plane.
#[derive(Clone, Debug)]
pub struct DataPlane {
    /// Those that own slots, then those that own Kafka partitions.
    threads: Arc<[mpsc::Sender<DataMessage>]>,
    of_slots: usize,
}

impl DataPlane {
    /// Ways to `of_slots` threads (at least one) that own slots and `others` that own Kafka
    /// partitions, and their ends in this order.
    pub fn new(of_slots: usize, others: usize) -> (Self, Vec<mpsc::Receiver<DataMessage>>) {
        let of_slots = of_slots.max(1);
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..of_slots + others).map(|_| mpsc::channel(DATA_QUEUE_MAX)).unzip();
        (Self { threads: senders.into(), of_slots }, receivers)
    }

    /// The slot of a credential.
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below 16")]
    pub const fn slot(hash: u64) -> usize {
        (hash % SLOTS as u64) as usize
    }

    /// Hands over batches by slot: all of them, or none.
    ///
    /// # Errors
    /// When a queue is full or tripline is stopping.
    pub fn send(&self, batches: Vec<(usize, Batch)>, arrived: EventTime) -> Result<(), NotTaken> {
        let mut places = Vec::with_capacity(batches.len());
        for (slot, _) in &batches {
            let thread = self.threads.get(slot % self.of_slots).ok_or(NotTaken::Stopping)?;
            places.push(thread.try_reserve().map_err(|error| match error {
                mpsc::error::TrySendError::Full(()) => NotTaken::Full,
                mpsc::error::TrySendError::Closed(()) => NotTaken::Stopping,
            })?);
        }
        for (place, (slot, batch)) in places.into_iter().zip(batches) {
            place.send(DataMessage::Batch(slot, batch, arrived));
        }
        Ok(())
    }

    /// Hands over a batch that is read again; waits while the queue is full. False once the thread ended.
    /// Blocks.
    pub fn send_blocking(&self, slot: usize, batch: Batch, arrived: EventTime) -> bool {
        let thread = self.threads.get(slot % self.of_slots);
        let batch = DataMessage::Again(slot, batch, arrived);
        thread.is_some_and(|thread| thread.blocking_send(batch).is_ok())
    }

    /// Reports every thread that owns slots how far time has come; waits where a queue is full.
    /// Blocks.
    pub fn tick_blocking(&self, now: EventTime) {
        for thread in self.threads.iter().take(self.of_slots) {
            // A thread that has ended needs no telling.
            let _ended = thread.blocking_send(DataMessage::Tick(now));
        }
    }

    /// Broadcasts a tick; a stalled thread misses it without delaying the others.
    pub async fn tick(&self, now: EventTime) {
        let threads = self.threads.iter();
        join_all(threads.map(|it| timeout(TICK_WAIT, it.send(DataMessage::Tick(now))))).await;
    }

    /// The profile of a credential, over all threads.
    ///
    /// # Errors
    /// When none that answers remembers it, and one does not answer.
    pub async fn look_up(&self, credential: &Credential) -> Result<Option<View>, ThreadStalled> {
        let ask = async |thread: &mpsc::Sender<DataMessage>| {
            let (reply, answer) = oneshot::channel();
            thread.send(DataMessage::LookUp(credential.clone(), reply)).await.ok()?;
            answer.await.ok().flatten()
        };
        let answers = self.threads.iter().map(|thread| timeout(ANSWER_WAIT, ask(thread)));
        let answers = join_all(answers).await;
        let is_whole = answers.iter().all(Result::is_ok);
        let found = answers.into_iter().flatten().flatten().max_by_key(|view| view.last_seen);
        if found.is_none() && !is_whole { Err(ThreadStalled) } else { Ok(found) }
    }

    /// Marks a credential at every thread, as of `now`.
    ///
    /// # Errors
    /// When one does not answer: it may take the mark later.
    pub async fn mark(
        &self,
        credential: Credential,
        mark: Mark,
        now: EventTime,
    ) -> Result<(), ThreadStalled> {
        let ask = async |thread: &mpsc::Sender<DataMessage>| {
            let (reply, answer) = oneshot::channel();
            let message = DataMessage::Mark(credential.clone(), mark.clone(), now, reply);
            thread.send(message).await.ok()?;
            answer.await.ok()
        };
        let answers = self.threads.iter().map(|thread| timeout(ANSWER_WAIT, ask(thread)));
        let answers = join_all(answers).await;
        if answers.iter().all(Result::is_ok) { Ok(()) } else { Err(ThreadStalled) }
    }

    /// The lifetimes of credentials, over all threads that answer soon, and whether all did.
    pub async fn lifetimes(&self) -> (LifetimeAudit, bool) {
        let ask = async |thread: &mpsc::Sender<DataMessage>| {
            let (reply, answer) = oneshot::channel();
            thread.send(DataMessage::Lifetimes(reply)).await.ok()?;
            answer.await.ok()
        };
        let answers = self.threads.iter().map(|thread| timeout(ANSWER_WAIT, ask(thread)));
        let answers = join_all(answers).await;
        let is_whole = answers.iter().all(Result::is_ok);
        let parts: Vec<LifetimeAudit> = answers.into_iter().flatten().flatten().collect();
        (LifetimeAudit::merged(&parts), is_whole)
    }

    /// Credentials that were seen lately from the network of an address, over all threads that answer soon;
    /// the newest first.
    pub async fn seen_from(&self, address: IpAddr) -> Vec<(Credential, EventTime)> {
        let ask = async |thread: &mpsc::Sender<DataMessage>| {
            let (reply, answer) = oneshot::channel();
            thread.send(DataMessage::SeenFrom(address, reply)).await.ok()?;
            answer.await.ok()
        };
        let answers = self.threads.iter().map(|thread| timeout(ANSWER_WAIT, ask(thread)));
        let mut seen: Vec<_> =
            join_all(answers).await.into_iter().flatten().flatten().flatten().collect();
        seen.sort_by(|(one, at), (other, then)| then.cmp(at).then_with(|| one.cmp(other)));
        let mut named = HashSet::new();
        seen.retain(|(credential, _)| named.insert(credential.clone()));
        seen
    }

    /// The findings that are open in this instance's partitions; none: a thread did not say.
    pub async fn open_findings(&self) -> Option<HashSet<FindingId>> {
        let ask = async |thread: &mpsc::Sender<DataMessage>| {
            let (reply, answer) = oneshot::channel();
            thread.send(DataMessage::OpenFindings(reply)).await.ok()?;
            answer.await.ok()
        };
        let answers = self.threads.iter().map(|thread| timeout(ANSWER_WAIT, ask(thread)));
        let answers = join_all(answers).await.into_iter();
        let all: Option<Vec<Vec<FindingId>>> = answers.map(|one| one.ok().flatten()).collect();
        all.map(|all| all.into_iter().flatten().collect())
    }

    /// The busiest credentials of the last minute, over all threads that answer soon: one that stands
    /// still must not hide the metrics, which say so.
    pub async fn busiest(&self, most: usize) -> Vec<View> {
        let ask = async |thread: &mpsc::Sender<DataMessage>| {
            let (reply, answer) = oneshot::channel();
            thread.send(DataMessage::Busiest(most, reply)).await.ok()?;
            answer.await.ok()
        };
        let answers = self.threads.iter().map(|thread| timeout(ANSWER_WAIT, ask(thread)));
        let answers = join_all(answers).await;
        let mut views: Vec<View> = answers.into_iter().flatten().flatten().flatten().collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.last_minute()));
        // Several threads may know one of which the records are keyed otherwise, or come by two ways.
        let mut seen = HashSet::new();
        views.retain(|view| seen.insert(view.credential.clone()));
        views.truncate(most);
        views
    }

    /// Reports every thread, none after another; waits where a queue is full.
    pub async fn broadcast(&self, message: impl Fn() -> DataMessage) {
        // A thread that has ended needs no telling.
        join_all(self.threads.iter().map(|thread| thread.send(message()))).await;
    }
}

/// The way to the control plane.
#[derive(Clone, Debug)]
pub struct ControlPlane(mpsc::Sender<ControlMessage>);

impl ControlPlane {
    /// A way to the control plane, and its end.
    pub fn new() -> (Self, mpsc::Receiver<ControlMessage>) {
        let (sender, receiver) = mpsc::channel(CONTROL_QUEUE_MAX);
        (Self(sender), receiver)
    }

    /// Reports the control plane from a thread; waits while its queue is full. False once it ended.
    pub fn send_blocking(&self, message: ControlMessage) -> bool {
        self.0.blocking_send(message).is_ok()
    }

    /// Sends to the control plane; waits while its queue is full. False once it ended.
    pub async fn send(&self, message: ControlMessage) -> bool {
        self.0.send(message).await.is_ok()
    }

    /// Hands over what a store holds that all instances write; returns how many decisions are in force here from
    /// now on that were not. None once it ended.
    pub async fn held(&self, held: Vec<(Credential, Holding)>) -> Option<u64> {
        if held.is_empty() {
            return Some(0);
        }
        let (reply, answer) = oneshot::channel();
        self.send(ControlMessage::Held(held, reply)).await;
        answer.await.ok()
    }

    /// Whether it ended.
    pub fn is_ended(&self) -> bool {
        self.0.is_closed()
    }

    /// Carries out what a person orders, or counts it as a voice for what waits.
    ///
    /// # Errors
    /// When the journal can't be written, that voice was counted before, or something more severe is
    /// in force.
    pub async fn order(&self, order: PersonOrder) -> Result<OrderOutcome, VoteError> {
        let (reply, answer) = oneshot::channel();
        if !self.send(ControlMessage::Person(order, reply)).await {
            return Err(NotDurable.into());
        }
        answer.await.unwrap_or(Err(NotDurable.into()))
    }

    /// Hands over a person's word on a decision that waits; gives the revocation, once enough
    /// people agreed.
    ///
    /// # Errors
    /// Why it changes nothing.
    pub async fn vote(&self, vote: Vote) -> Result<OrderOutcome, VoteError> {
        let (reply, answer) = oneshot::channel();
        if !self.send(ControlMessage::Vote(vote, reply)).await {
            return Err(NotDurable.into());
        }
        answer.await.unwrap_or(Err(NotDurable.into()))
    }

    /// Pending approvals, oldest first; none once it ended.
    pub async fn waiting(&self) -> Option<Vec<PendingApproval>> {
        let (reply, answer) = oneshot::channel();
        self.send(ControlMessage::PendingApprovals(reply)).await;
        answer.await.ok()
    }

    /// A page of the enforcement state, and where the next one begins; none once it ended.
    pub async fn in_force(
        &self,
        from: u32,
        most: u32,
    ) -> Option<(Vec<EnforcementState>, Option<u32>)> {
        let (reply, answer) = oneshot::channel();
        self.send(ControlMessage::EnforcementState(from, most, reply)).await;
        answer.await.ok()
    }

    /// The summary of this instance's part of the fleet, and its default mode; none once it ended.
    pub async fn summary(&self) -> Option<(InstanceSummary, Mode)> {
        let (reply, answer) = oneshot::channel();
        self.send(ControlMessage::Summary(reply)).await;
        answer.await.ok()
    }

    /// The tenant ranking. Outer none: the control plane ended; inner none: no minute ended of
    /// late in which there were requests.
    pub async fn ranking(&self) -> Option<Option<Ranking>> {
        let (reply, answer) = oneshot::channel();
        self.send(ControlMessage::Ranking(reply)).await;
        answer.await.ok()
    }

    /// The proven false actions on a tenant's credentials, or on those without one, and the
    /// budgets; none once it ended.
    pub async fn budget(&self, tenant: Option<CompactString>) -> Option<(Proofs, Budgets)> {
        let (reply, answer) = oneshot::channel();
        self.send(ControlMessage::Budget(tenant, reply)).await;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{DATA_QUEUE_MAX, DataMessage, DataPlane, ThreadStalled};
    use crate::model::credential::{Credential, Kind};
    use crate::model::time::EventTime;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    /// Two threads of which one works and the other takes nothing.
    fn one_works() -> (DataPlane, mpsc::Receiver<DataMessage>, mpsc::Receiver<DataMessage>) {
        let (plane, mut ends) = DataPlane::new(2, 0);
        let stuck = ends.pop().expect("an end");
        (plane, ends.pop().expect("an end"), stuck)
    }

    #[tokio::test]
    async fn a_thread_that_stands_still_hides_nothing_of_the_others() {
        let (plane, mut works, _stuck) = one_works();
        let work = tokio::spawn(async move {
            while let Some(message) = works.recv().await {
                if let DataMessage::Busiest(_, reply) = message {
                    return reply.send(Vec::new()).is_ok();
                }
            }
            false
        });
        let asked = timeout(Duration::from_secs(5), plane.busiest(5));
        assert!(asked.await.is_ok(), "it is answered");
        assert!(work.await.expect("ends"), "the other was heard");
    }

    #[tokio::test]
    async fn nor_does_it_keep_the_time_from_the_others_once_its_queue_is_full() {
        let (plane, mut works, _stuck) = one_works();
        let now = EventTime::from_s(1_700_000_000);
        for tick in 0..DATA_QUEUE_MAX + 2 {
            let told = timeout(Duration::from_secs(5), plane.tick(now));
            assert!(told.await.is_ok(), "tick {tick} hangs");
            assert!(matches!(works.try_recv(), Ok(DataMessage::Tick(_))), "tick {tick} is lost");
        }
    }

    #[tokio::test]
    async fn what_it_alone_may_know_is_said_not_to_be_known() {
        let (plane, mut works, _stuck) = one_works();
        tokio::spawn(async move {
            while let Some(message) = works.recv().await {
                if let DataMessage::LookUp(_, reply) = message {
                    let _gone = reply.send(None);
                }
            }
        });
        let credential = Credential::new(Kind::ApiKey, "key_1").expect("an id");
        let asked = timeout(Duration::from_secs(5), plane.look_up(&credential)).await;
        assert_eq!(asked.expect("it is answered").err(), Some(ThreadStalled));
    }
}
