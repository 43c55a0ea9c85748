//! The ledger as it is written down: counts by kind, in a file of one JSON object.

use crate::control_plane::policy::budget::{Cohort, Cohorts};
use crate::model::credential::Kind;
use crate::model::finding::Action;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The layout of the file.
const VERSION: u32 = 1;
/// The greatest number of findings that can be true: bounds are exact up to it.
const OPEN_FINDINGS_MAX: u64 = 1_000_000_000;

/// Why a file holds no ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is no JSON, or none of a ledger.
    #[error("this is no ledger")]
    Shape(#[from] serde_json::Error),
    /// A newer tripline wrote it.
    #[error("it is of version {0}, which this tripline does not know")]
    Version(u32),
    /// Its counts contradict each other.
    #[error("its counts of {0} contradict each other")]
    Contradiction(&'static str),
}

#[derive(Serialize, Deserialize)]
struct BudgetFields {
    version: u32,
    cohorts: BTreeMap<String, WrittenCohort>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCohort {
    hours: u64,
    open_findings: u64,
    rate: u64,
    context: u64,
    corroborated: u64,
    justified: BTreeMap<String, u64>,
}

impl WrittenCohort {
    fn of(cohort: &Cohort) -> Self {
        let justified = Action::ALL.into_iter().zip(cohort.justified);
        Self {
            hours: cohort.hours,
            open_findings: cohort.open_findings,
            rate: cohort.rate,
            context: cohort.context,
            corroborated: cohort.corroborated,
            justified: justified.map(|(action, n)| (action.as_str().to_owned(), n)).collect(),
        }
    }

    /// The counts, if they can be true: a part is no more than its whole.
    fn read(&self) -> Option<Cohort> {
        let of = |action: Action| self.justified.get(action.as_str()).copied();
        let mut justified = [0; Action::ALL.len()];
        let mut whole = self.open_findings;
        for (slot, action) in justified.iter_mut().zip(Action::ALL) {
            *slot = of(action).filter(|count| *count <= whole)?;
            whole = *slot;
        }
        let can_be = self.open_findings <= OPEN_FINDINGS_MAX
            && self.rate <= self.open_findings
            && self.context <= self.open_findings
            && self.corroborated <= self.context;
        let (hours, open_findings, rate) = (self.hours, self.open_findings, self.rate);
        let (context, corroborated) = (self.context, self.corroborated);
        can_be.then_some(Cohort { hours, open_findings, rate, context, corroborated, justified })
    }
}

/// Writes the counts of every kind.
pub fn encode(cohorts: &Cohorts) -> String {
    let by_kind = Kind::ALL.into_iter().zip(cohorts);
    let cohorts =
        by_kind.map(|(kind, cohort)| (kind.as_str().to_owned(), WrittenCohort::of(cohort)));
    let written = BudgetFields { version: VERSION, cohorts: cohorts.collect() };
    serde_json::to_string_pretty(&written).unwrap_or_default()
}

/// Reads what [`encode`] wrote; a kind that is not there has no counts.
///
/// # Errors
/// When it is no ledger, of another version, or can't be true; the caller begins a new one, and
/// nothing is proven.
pub fn decode(text: &str) -> Result<Cohorts, LedgerError> {
    let written: BudgetFields = serde_json::from_str(text)?;
    if written.version != VERSION {
        return Err(LedgerError::Version(written.version));
    }
    let mut cohorts = Cohorts::default();
    for (slot, kind) in cohorts.iter_mut().zip(Kind::ALL) {
        if let Some(cohort) = written.cohorts.get(kind.as_str()) {
            *slot = cohort.read().ok_or(LedgerError::Contradiction(kind.as_str()))?;
        }
    }
    Ok(cohorts)
}

#[cfg(test)]
mod tests {
    use super::{LedgerError, decode, encode};
    use crate::control_plane::policy::budget::{Cohort, Cohorts};

    fn cohorts() -> Cohorts {
        let mut cohorts = Cohorts::default();
        cohorts[1] = Cohort {
            hours: u64::MAX,
            open_findings: 9,
            rate: 6,
            context: 5,
            corroborated: 3,
            justified: [9, 8, 4, 2, 1],
        };
        cohorts
    }

    #[test]
    fn a_ledger_comes_back_as_it_was() {
        assert_eq!(decode(&encode(&cohorts())).expect("reads"), cohorts());
        assert_eq!(decode("{\"version\":1,\"cohorts\":{}}").expect("reads"), Cohorts::default());
    }

    #[test]
    fn what_is_torn_of_another_version_or_can_not_be_true_is_refused() {
        let whole = encode(&cohorts());
        assert!(matches!(decode(whole.trim_end_matches('}')), Err(LedgerError::Shape(_))));
        assert!(matches!(decode(""), Err(LedgerError::Shape(_))));
        let newer = whole.replace("\"version\": 1", "\"version\": 2");
        assert!(matches!(decode(&newer), Err(LedgerError::Version(2))));
        for (right, wrong) in [
            ("\"rate\": 6", "\"rate\": 10"),
            ("\"context\": 5", "\"context\": 10"),
            ("\"corroborated\": 3", "\"corroborated\": 6"),
            ("\"revoke\": 1", "\"revoke\": 3"),
            ("\"throttle\": 4", "\"throtle\": 4"),
            ("\"observe\": 9", "\"observe\": 10"),
        ] {
            let text = whole.replace(right, wrong);
            assert!(matches!(decode(&text), Err(LedgerError::Contradiction("jwt"))), "{wrong}");
        }
    }
}
