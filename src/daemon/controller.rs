//! The thread of the control plane: decides, makes durable, hands over to the stores.
//!
//! All messages that wait are taken together, so that one `fsync` serves them all.
//!
//! **Invariant** S-2: a decision is on disk before a store, a listener or the source learns of it.
//! While the disk fails nothing is carried out; decisions wait and are tried again every tick.

use super::notifier::Notifiers;
use super::outboxes::{Feed, StoreOutbox};
use super::shared_tokens::SharedRevocationLimit;
use crate::adapters::channels::{
    ControlMessage, InUse, NotDurable, OrderOutcome, Ticket, VoteError,
};
use crate::adapters::clock;
use crate::adapters::control_plane::metrics::{DecisionMetrics, FleetMetrics, PolicyMetrics};
use crate::adapters::data_plane::metrics::{FindingMetrics, ProfileMetrics};
use crate::adapters::journal::audit_log::Journal;
use crate::adapters::journal::error::JournalError;
use crate::adapters::journal::metrics::JournalMetrics;
use crate::adapters::metrics::oldest::Oldest;
use crate::adapters::recent_events::RecentEvents;
use crate::adapters::storage::budget_store::BudgetStore;
use crate::adapters::storage::disk_reserve::Reserve;
use crate::adapters::storage::finding_archive::FindingArchive;
use crate::control_plane;
use crate::control_plane::control::Control;
use crate::control_plane::instance_summary::InstanceSummary;
use crate::control_plane::notifications::notice::News;
use crate::control_plane::operator::VoteResult;
use crate::control_plane::outbox::Due;
use crate::control_plane::params::PersonOrder;
use crate::control_plane::tenant_ranking::{Ranking, TenantMinutes};
use crate::data_plane::shard_driver::ShardUsage;
use crate::formats::storage::journal::Entry;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, Holding, Status, TokenAnswer, Vote};
use crate::model::finding::FindingId;
use crate::model::signal::{Change, Signal};
use crate::model::time::EventTime;
use prometheus::{Gauge, IntCounter};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Messages taken together at most.
const TOGETHER_MAX: usize = 1024;
/// How often the gauges are set that cost more than others and move slowly: what is proven, and the
/// floods of tenants. Unit: milliseconds. Chosen.
const SLOW_GAUGES_EVERY_MS: i64 = 5_000;

/// Where the answer goes once it is durable.
type Reply = oneshot::Sender<Result<OrderOutcome, VoteError>>;

/// The groups of metrics that the thread sets.
#[derive(Debug)]
pub(super) struct ControllerMetrics {
    pub(super) decisions: DecisionMetrics,
    pub(super) policy: PolicyMetrics,
    pub(super) fleet: FleetMetrics,
    pub(super) journal: JournalMetrics,
    pub(super) findings: FindingMetrics,
    pub(super) profiles: ProfileMetrics,
    pub(super) budget_errors: IntCounter,
    pub(super) heartbeat_at: Oldest,
    pub(super) clock_offset: Gauge,
}

/// The control plane and what it writes to.
#[derive(Debug)]
pub(super) struct ControlThread {
    /// The machine.
    pub(super) control: Control,
    /// The trail.
    pub(super) journal: Journal,
    /// The file of the ledger.
    pub(super) ledger: BudgetStore,
    /// The room that is kept for decisions on a full disk.
    pub(super) reserve: Reserve,
    /// The findings and decisions that people see.
    pub(super) board: Arc<RecentEvents>,
    /// Findings on disk.
    pub(super) archive: FindingArchive,
    /// The ways to the stores.
    pub(super) stores: Vec<StoreOutbox>,
    /// Counters.
    pub(super) metrics: ControllerMetrics,
    /// Whether the journal can be written.
    pub(super) durable: Arc<AtomicBool>,
    /// The revocation limit that all instances share.
    pub(super) revocation_limit: Option<SharedRevocationLimit>,
    /// The way to the watchlist, which follows what is carried out.
    pub(super) watchlist: mpsc::UnboundedSender<Arc<Decision>>,
    /// The way of votes to the other instances, where there is one.
    pub(super) votes: Option<mpsc::UnboundedSender<Vote>>,
    /// The receivers.
    pub(super) notifiers: Notifiers,
    /// The usage of the threads of the data plane.
    pub(super) in_use: BTreeMap<usize, InUse>,
    /// The tenants' recent shares.
    pub(super) tenants: TenantMinutes,
    /// When the slow gauges were last set.
    pub(super) slow_gauges_at: Option<EventTime>,
}

/// The steps once the entries are durable.
#[derive(Default)]
struct WaitingReplies {
    entries: Vec<Entry>,
    decisions: Vec<(Decision, EventTime)>,
    /// Votes that other instances have to hear of.
    votes: Vec<Vote>,
    replies: Vec<(Reply, OrderOutcome)>,
    /// Who handed over decisions of other instances, and how many of them were followed.
    following: Vec<(oneshot::Sender<u64>, u64)>,
    /// With the findings of each whose revocation may wait for a token.
    tickets: VecDeque<(Ticket, Vec<FindingId>)>,
}

impl ControlThread {
    /// Runs until the stop message. Blocks.
    pub(super) fn run(mut self, mut messages: mpsc::Receiver<ControlMessage>) {
        let mut waiting = WaitingReplies::default();
        let mut taken = Vec::new();
        let mut goes_on = true;
        while goes_on && messages.blocking_recv_many(&mut taken, TOGETHER_MAX) > 0 {
            for message in taken.drain(..) {
                goes_on &= self.take(message, &mut waiting);
            }
            self.settle(&mut waiting);
        }
        if !self.ledger.write(self.control.ledger()) {
            self.metrics.budget_errors.inc();
        }
    }

    /// Adds up what the threads of the data plane hold.
    fn note_in_use(&mut self, told: InUse) {
        self.in_use.insert(told.thread, told);
        let mut sum = ShardUsage::default();
        for told in self.in_use.values() {
            sum += told.usage;
        }
        self.control.set_active(sum.credentials);
        self.metrics.profiles.show(sum);
    }

    fn ranking(&self, now: EventTime) -> Option<Ranking> {
        self.tenants.ranking(now, self.control.params().tenant_flood.as_ref())
    }

    /// Takes a message; says whether to go on. Whoever asked something may have gone away.
    fn take(&mut self, message: ControlMessage, waiting: &mut WaitingReplies) -> bool {
        let now = clock::now();
        match message {
            ControlMessage::Signals(signals, arrived, ticket) => {
                let mut pending = Vec::new();
                for signal in signals {
                    self.on_signal(&signal, arrived, now, waiting);
                    let finding = signal.finding.id;
                    pending.extend(self.control.is_pending(finding).then_some(finding));
                }
                waiting.tickets.extend(ticket.map(|ticket| (ticket, pending)));
            }
            ControlMessage::Person(order, reply) => self.on_order(&order, reply, now, waiting),
            ControlMessage::Vote(vote, reply) => {
                self.count_vote((vote, Status::Suspended), reply, waiting);
            }
            ControlMessage::Receipt(receipt) => {
                self.board.post_receipt(&receipt);
                waiting.entries.push(Entry::Receipt(receipt));
            }
            ControlMessage::Held(holdings, reply) => {
                let followed = self.on_held(&holdings, now, waiting);
                waiting.following.push((reply, followed));
            }
            ControlMessage::Stale(decision, held) => {
                if let Some(decision) = self.control.on_stale(&decision, &held, now) {
                    self.record(decision, now, waiting);
                }
            }
            ControlMessage::Token(finding, grant, arrived) => {
                self.take_token(TokenAnswer { finding, grant, at: now }, arrived, waiting);
            }
            ControlMessage::Votes(votes) => {
                for vote in votes {
                    self.follow_vote(vote, now, waiting);
                }
            }
            ControlMessage::Tick => self.tick(now, waiting),
            ControlMessage::InUse(told) => self.note_in_use(told),
            ControlMessage::ActiveHours(hours) => self.control.note_active_hours(&hours),
            ControlMessage::Params(params) => self.apply_settings(params),
            ControlMessage::Others(others) => {
                self.tenants.merge_others(others.tenants);
                self.control.set_others(others.fleet);
            }
            ControlMessage::MinuteEnded(place, (minute, totals)) => {
                self.tenants.record(place, minute, totals, now);
            }
            ControlMessage::Budget(tenant, reply) => {
                let proofs = self.control.ledger().proofs(tenant.as_deref());
                let _gone = reply.send((proofs, self.control.params().budgets));
            }
            ControlMessage::EnforcementState(from, most, reply) => {
                let _gone = reply.send(self.control.states().page(from, most));
            }
            ControlMessage::PendingApprovals(reply) => {
                let _gone = reply.send(self.control.waiting(now));
            }
            ControlMessage::Summary(reply) => {
                let (fleet, tenants) = (self.control.summary(), self.tenants.own());
                let mode = self.control.params().modes.default;
                let _gone = reply.send((InstanceSummary { fleet, tenants }, mode));
            }
            ControlMessage::Ranking(reply) => {
                let _gone = reply.send(self.ranking(now));
            }
            ControlMessage::Stop => return false,
        }
        true
    }

    fn take_token(
        &mut self,
        answer: TokenAnswer,
        arrived: EventTime,
        waiting: &mut WaitingReplies,
    ) {
        if self.control.is_pending(answer.finding) {
            // The answer is on disk before the decision that follows from it.
            waiting.entries.push(Entry::Token(answer));
        }
        if let Some(decision) = self.control.on_token(&answer) {
            self.record(decision, arrived, waiting);
        }
    }

    fn tick(&mut self, now: EventTime, waiting: &mut WaitingReplies) {
        for decision in self.control.tick(now) {
            self.record(decision, now, waiting);
        }
        self.show(now);
        if !self.ledger.keep(self.control.ledger(), now) {
            self.metrics.budget_errors.inc();
        }
    }

    fn apply_settings(&mut self, params: Arc<control_plane::params::Params>) {
        self.metrics.policy.show_mode(params.modes.default);
        let waited = self.control.approvals().len_at(clock::now());
        let asks = params.approval.required_approvers > 0;
        self.control.set_params(params);
        if waited > 0 && !asks {
            tracing::warn!(
                waited,
                "[approval] required_approvers is 0 now: pending approvals lapse, and their \
                 suspensions expire"
            );
        }
        self.slow_gauges_at = None;
    }

    fn on_signal(
        &mut self,
        signal: &Signal,
        arrived: EventTime,
        now: EventTime,
        waiting: &mut WaitingReplies,
    ) {
        let finding = &signal.finding;
        if matches!(signal.change, Change::Opened | Change::Escalated) {
            self.metrics.findings.record(finding);
            tracing::info!(
                finding = %finding.id, detector = %finding.detector, action = %finding.action,
                credential = %finding.credential, "{}", finding.summary
            );
        }
        self.board.post_finding(finding);
        self.archive.record(finding);
        if !self.notifiers.is_empty() && signal.change != Change::Recalled {
            let finding = Arc::new(finding.clone());
            self.notifiers.notify(&News::Finding(signal.change, finding));
        }
        if let Some(decision) = self.control.on_signal(signal, now) {
            self.record(decision, arrived, waiting);
        }
        for request in self.control.take_token_requests() {
            if let Some(revocation_limit) = &self.revocation_limit {
                revocation_limit.ask(request, arrived);
            }
        }
    }

    fn on_order(
        &mut self,
        order: &PersonOrder,
        reply: Reply,
        now: EventTime,
        waiting: &mut WaitingReplies,
    ) {
        let before = self.control.in_force(&order.credential, order.held, now);
        if let Some(vote) = self.control.voice_of(order, now) {
            self.count_vote((vote, before), reply, waiting);
            return;
        }
        let decision = match self.control.on_person(order.clone(), now) {
            Ok(decision) => decision,
            Err(milder) => {
                // The caller may have gone away.
                let _gone = reply.send(Err(milder.into()));
                return;
            }
        };
        if let Some(decision) = decision.clone() {
            let first = order.vote_on(&decision);
            self.record(decision, now, waiting);
            if let Some(vote) = first {
                // It has just begun to wait, and needs more than this voice.
                let _waits = self.control.on_vote(&vote);
                self.record_vote(vote, waiting);
            }
        }
        waiting.replies.push((reply, OrderOutcome { decision, voice: None, before }));
    }

    /// Counts a voice; `before` is what was in force about its credential.
    fn count_vote(
        &mut self,
        (vote, before): (Vote, Status),
        reply: Reply,
        waiting: &mut WaitingReplies,
    ) {
        let now = vote.at;
        let voted = match self.control.on_vote(&vote) {
            Ok(voted) => voted,
            Err(no_vote) => {
                // The caller may have gone away.
                let _gone = reply.send(Err(no_vote.into()));
                return;
            }
        };
        tracing::info!(
            decision = %vote.decision, by = %vote.by, agrees = vote.agrees,
            "operator's reason: {}", vote.reason
        );
        let asked = vote.decision;
        self.record_vote(vote, waiting);
        let ordered = match voted {
            VoteResult::Waits(missing) => {
                OrderOutcome { decision: None, voice: Some((asked, missing)), before }
            }
            VoteResult::Rejected => OrderOutcome { before, ..OrderOutcome::default() },
            VoteResult::Revoked(decision) => {
                self.record((*decision).clone(), now, waiting);
                OrderOutcome { decision: Some(*decision), voice: Some((asked, 0)), before }
            }
        };
        waiting.replies.push((reply, ordered));
    }

    /// Puts a vote among what becomes durable next, and what other instances then hear of.
    fn record_vote(&self, vote: Vote, waiting: &mut WaitingReplies) {
        waiting.entries.push(Entry::Vote(vote.clone()));
        waiting.votes.extend(self.votes.is_some().then_some(vote));
    }

    fn follow_vote(&mut self, vote: Vote, now: EventTime, waiting: &mut WaitingReplies) {
        // One that changes nothing is this instance's own, or was read before.
        let Ok(ordered) = self.control.on_followed_vote(&vote) else { return };
        waiting.entries.push(Entry::Vote(vote));
        if let Some(decision) = ordered {
            self.record(decision, now, waiting);
        }
    }

    /// Puts a decision among what becomes durable next, and under which settings it waits.
    fn record(&self, decision: Decision, arrived: EventTime, waiting: &mut WaitingReplies) {
        let terms = self.control.approvals().terms(decision.id);
        waiting.entries.push(Entry::Decision(Box::new(decision.clone())));
        waiting.entries.extend(terms.map(Entry::Terms));
        waiting.decisions.push((decision, arrived));
    }

    /// Takes what a store holds that all instances write; returns how many decisions are followed from now on.
    fn on_held(
        &mut self,
        holdings: &[(Credential, Holding)],
        now: EventTime,
        waiting: &mut WaitingReplies,
    ) -> u64 {
        let mut followed = 0;
        for (credential, held) in holdings {
            if let Some(decision) = self.control.on_held(credential, held, now) {
                followed += 1;
                self.record(decision, now, waiting);
            }
        }
        followed
    }

    /// Sets the gauges: before the thread begins too, so that no one reads what was not measured yet.
    pub(super) fn show(&mut self, now: EventTime) {
        let metrics = &self.metrics;
        if self.slow_gauges_at.is_none_or(|at| now.ms_since(at) >= SLOW_GAUGES_EVERY_MS) {
            self.slow_gauges_at = Some(now);
            let ranking = self.ranking(now);
            let sums = &self.control.params().tenant_sums;
            let [flood, limit] = ranking
                .map_or([0.0; 2], |ranking| [ranking.flood_ratio(), ranking.limit_ratio(sums)]);
            metrics.fleet.tenant_flood_ratio.set(flood);
            metrics.fleet.tenant_limit_ratio.set(limit);
            let proofs = self.control.ledger().proofs(None);
            metrics.policy.show_budget(&proofs, &self.control.params().budgets);
        }
        metrics.heartbeat_at.set("control_plane", 0, Some(now));
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.clock_offset.set(clock::deviation_ms() as f64 / 1000.0);
        metrics.policy.approvals.set(count(self.control.approvals().len_at(now)));
        metrics.fleet.credentials.set(i64::try_from(self.control.active()).unwrap_or(i64::MAX));
        metrics.policy.enforced_credentials.set(count(self.control.states().len()));
        metrics.journal.lines.set(i64::try_from(self.journal.head().0).unwrap_or(i64::MAX));
        metrics
            .policy
            .revocations_left
            .set(i64::try_from(self.control.revocations_left()).unwrap_or(i64::MAX));
        metrics.decisions.show_violations(self.control.violations());
    }

    /// Makes durable what waits, then lets the world learn of it.
    fn settle(&mut self, waiting: &mut WaitingReplies) {
        if !waiting.entries.is_empty() {
            let timer = self.metrics.journal.seconds.start_timer();
            let mut written = self.journal.append(&waiting.entries);
            if written.as_ref().is_err_and(JournalError::found_no_room) && self.reserve.release() {
                written = self.journal.append(&waiting.entries);
            }
            timer.observe_duration();
            if let Err(error) = written {
                self.metrics.journal.errors.inc();
                if self.durable.swap(false, Ordering::Relaxed) {
                    tracing::error!(
                        error = %error, cause = ?std::error::Error::source(&error),
                        "nothing is carried out until the journal can be written"
                    );
                }
                for (reply, _) in waiting.replies.drain(..) {
                    // The caller may have gone away.
                    let _gone = reply.send(Err(NotDurable.into()));
                }
                for (reply, followed) in waiting.following.drain(..) {
                    // Should tripline end before they are durable, they are read again at the next start.
                    let _gone = reply.send(followed);
                }
                return;
            }
            if !self.durable.swap(true, Ordering::Relaxed) {
                tracing::info!("the journal can be written again");
            }
            waiting.entries.clear();
        }
        let now = clock::now();
        for (decision, arrived) in waiting.decisions.drain(..) {
            if decision.origin.is_some() {
                self.publish_followed(decision);
            } else {
                self.publish(decision, arrived, now);
            }
        }
        for vote in waiting.votes.drain(..) {
            // It ends only after this thread.
            let _ended = self.votes.as_ref().map(|votes| votes.send(vote));
        }
        for (reply, ordered) in waiting.replies.drain(..) {
            // The caller may have gone away.
            let _gone = reply.send(Ok(ordered));
        }
        for (reply, followed) in waiting.following.drain(..) {
            let _gone = reply.send(followed);
        }
        // A finding whose revocation waits for a token isn't decided yet; it waits for a second at most.
        let is_pending = |finding: &FindingId| self.control.is_pending(*finding);
        while let Some((ticket, pending)) = waiting.tickets.pop_front() {
            if pending.iter().any(is_pending) {
                waiting.tickets.push_front((ticket, pending));
                break;
            }
            ticket.settle();
        }
    }

    fn publish(&self, decision: Decision, arrived: EventTime, now: EventTime) {
        // One that was made again in knowledge of another instance's is no news to people.
        let is_news = !self.board.has_decision(decision.id);
        self.board.post_decision(decision.clone());
        if is_news {
            self.announce(&decision, arrived, now);
        }
        if decision.carried_out {
            let decision = Arc::new(decision);
            // It ends only after this thread.
            let _ended = self.watchlist.send(Arc::clone(&decision));
            for store in self.stores.iter().filter(|store| store.feed != Feed::Taken) {
                let (decision, arrived) = (Arc::clone(&decision), Some(arrived));
                store.send(Due { decision, arrived, again: false });
            }
        }
    }

    /// Counts, logs and notifies a decision that was made.
    fn announce(&self, decision: &Decision, arrived: EventTime, now: EventTime) {
        self.metrics.decisions.count(decision, now.ms_since(arrived).max(0) as f64 / 1000.0);
        tracing::info!(
            decision = %decision.id, credential = %decision.credential,
            action = decision.order.as_str(), carried_out = decision.carried_out,
            held_by = ?decision.held_by, by = %decision.by,
            "{} {} by {}: {}", decision.order.as_str(), decision.credential, decision.by, decision.reason
        );
        if !self.notifiers.is_empty() {
            self.notifiers.notify(&News::Decision(Arc::new(decision.clone())));
        }
    }

    /// Lets a decision of another instance be in force here. That instance notifies people and its other stores.
    fn publish_followed(&self, decision: Decision) {
        tracing::info!(
            decision = %decision.id, credential = %decision.credential,
            action = decision.order.as_str(), by = %decision.by,
            "following another instance: {}", decision.reason
        );
        self.board.post_decision(decision.clone());
        let decision = Arc::new(decision);
        // It ends only after this thread.
        let _ended = self.watchlist.send(Arc::clone(&decision));
        // Those that are not this instance's own learn that what is older is not due any more.
        for store in &self.stores {
            store.send(Due { decision: Arc::clone(&decision), arrived: None, again: false });
        }
    }
}
