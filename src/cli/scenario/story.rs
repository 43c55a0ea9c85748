//! Findings and decisions of a scenario.

use crate::model::decision::Decision;
use crate::model::finding::Finding;
use crate::model::finding::FindingId;
use std::collections::BTreeMap;

/// Findings and decisions of a scenario.
#[derive(Debug, Default)]
pub struct ScenarioResult {
    /// The findings as they were last reported.
    pub findings: BTreeMap<FindingId, Finding>,
    /// The decisions, in order.
    pub decisions: Vec<Decision>,
}
