//! The board: recent findings and decisions, as people ask for them.

use crate::formats::api::decision::DecisionJson;
use crate::formats::api::finding::FindingJson;
use crate::formats::storage::journal::StoreReceipt;
use crate::model::credential::Credential;
use crate::model::decision::{Decision, DecisionId, Receipt};
use crate::model::finding::{Finding, FindingId};
use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::broadcast;

/// How many findings and how many decisions are kept at hand. Chosen: some tens of megabytes.
const KEPT_MAX: usize = 10_000;
/// How many of the oldest findings are looked at for one that has ended. Chosen: some microseconds.
const LOOKED_MAX: usize = 1024;
/// How many news a slow listener may be behind before it misses some.
const NEWS_MAX: usize = 1024;

/// A change that listeners get at once.
#[derive(Clone, Debug)]
pub struct RecentEvent {
    /// `finding` or `decision`.
    pub event: &'static str,
    /// JSON.
    pub data: Arc<str>,
}

#[derive(Debug, Default)]
struct StoredEvent {
    findings: HashMap<FindingId, Finding>,
    order: VecDeque<FindingId>,
    decisions: VecDeque<Decision>,
    receipts: HashMap<DecisionId, BTreeMap<String, Receipt>>,
}

impl StoredEvent {
    /// Forgets the oldest finding that has ended, or the oldest where many that go on are older.
    fn forget_one(&mut self) {
        let has_ended = |id| self.findings.get(id).is_none_or(|one| one.closed.is_some());
        let at = self.order.iter().take(LOOKED_MAX).position(has_ended).unwrap_or(0);
        if let Some(id) = self.order.remove(at) {
            self.findings.remove(&id);
        }
    }
}

/// Recent findings and decisions.
#[derive(Debug)]
pub struct RecentEvents {
    kept: RwLock<StoredEvent>,
    news: broadcast::Sender<RecentEvent>,
}

impl Default for RecentEvents {
    fn default() -> Self {
        Self { kept: RwLock::default(), news: broadcast::channel(NEWS_MAX).0 }
    }
}

impl RecentEvents {
    /// Puts up a finding, or what became of it.
    pub fn post_finding(&self, finding: &Finding) {
        self.publish("finding", &FindingJson(finding.clone()));
        let mut kept = self.kept.write();
        if kept.findings.insert(finding.id, finding.clone()).is_none() {
            kept.order.push_back(finding.id);
            if kept.order.len() > KEPT_MAX {
                kept.forget_one();
            }
        }
    }

    /// Puts up a decision.
    pub fn post_decision(&self, decision: Decision) {
        self.publish("decision", &DecisionJson(decision.clone()));
        self.keep_decision(decision);
    }

    /// Whether a decision is on the board.
    pub fn has_decision(&self, decision: DecisionId) -> bool {
        self.kept.read().receipts.contains_key(&decision)
    }

    /// Puts up a decision of the journal, without telling anyone. One that is there is replaced.
    pub fn keep_decision(&self, decision: Decision) {
        let mut kept = self.kept.write();
        if kept.receipts.contains_key(&decision.id)
            && let Some(there) = kept.decisions.iter_mut().rev().find(|one| one.id == decision.id)
        {
            *there = decision;
            return;
        }
        kept.receipts.entry(decision.id).or_default();
        kept.decisions.push_back(decision);
        if kept.decisions.len() > KEPT_MAX
            && let Some(oldest) = kept.decisions.pop_front()
        {
            kept.receipts.remove(&oldest.id);
        }
    }

    /// Puts up what a store answered to a decision that is on the board.
    pub fn post_receipt(&self, receipt: &StoreReceipt) {
        if let Some(by_store) = self.kept.write().receipts.get_mut(&receipt.decision) {
            by_store.insert(receipt.store.clone(), receipt.receipt);
        }
    }

    /// The receipts of a decision; none if it is not among the recent ones any more.
    pub fn receipts(&self, decision: DecisionId) -> Option<BTreeMap<String, Receipt>> {
        self.kept.read().receipts.get(&decision).cloned()
    }

    fn publish(&self, event: &'static str, value: &impl serde::Serialize) {
        if self.news.receiver_count() > 0
            && let Ok(json) = serde_json::to_string(value)
        {
            // No one listens any more: nothing is lost.
            let _heard = self.news.send(RecentEvent { event, data: json.into() });
        }
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<RecentEvent> {
        self.news.subscribe()
    }

    /// The newest findings first, at most `most`, of those that `wanted` picks.
    pub fn findings(&self, most: usize, wanted: impl Fn(&Finding) -> bool) -> Vec<Finding> {
        let kept = self.kept.read();
        let newest = kept.order.iter().rev().filter_map(|id| kept.findings.get(id));
        newest.filter(|finding| wanted(finding)).take(most).cloned().collect()
    }

    /// One finding.
    pub fn finding(&self, id: FindingId) -> Option<Finding> {
        self.kept.read().findings.get(&id).cloned()
    }

    /// The newest decision that was carried out about each of these credentials.
    pub fn newest_about<'a>(
        &self,
        credentials: impl IntoIterator<Item = &'a Credential>,
    ) -> HashMap<Credential, Decision> {
        let mut wanted: HashSet<&Credential> = credentials.into_iter().collect();
        let mut found = HashMap::new();
        for decision in self.kept.read().decisions.iter().rev().filter(|one| one.carried_out) {
            if wanted.is_empty() {
                break;
            }
            if wanted.remove(&decision.credential) {
                found.insert(decision.credential.clone(), decision.clone());
            }
        }
        found
    }

    /// The newest decisions first, at most `most`, of those that `wanted` picks.
    pub fn decisions(&self, most: usize, wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
        let kept = self.kept.read();
        kept.decisions.iter().rev().filter(|d| wanted(d)).take(most).cloned().collect()
    }
}
