//! The ledger as it is written down: counts by kind and tenant, in a file of one JSON object.
//!
//! The first layout counted no tenant apart. What it counted is read as of credentials without a tenant,
//! which counts in full for all: as much is proven as was.

use crate::control_plane::policy::false_alarms::{Cohort, Cohorts, Counts};
use crate::model::credential::Kind;
use crate::model::finding::Action;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The layout of the file.
const VERSION: u32 = 2;
/// The layout that counted no tenant apart.
const WITHOUT_TENANTS: u32 = 1;
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

#[derive(Deserialize)]
struct Layout {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct BudgetFields<T> {
    version: u32,
    cohorts: BTreeMap<String, T>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCohort {
    untenanted: WrittenCounts,
    #[serde(default)]
    tenants: BTreeMap<String, WrittenCounts>,
    forgotten: WrittenCounts,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCounts {
    hours: u64,
    open_findings: u64,
    rate: u64,
    context: u64,
    corroborated: u64,
    justified: BTreeMap<String, u64>,
    /// Missing in the first layout, which counted bursts alone.
    throttles: Option<u64>,
}

impl WrittenCounts {
    fn of(counts: &Counts) -> Self {
        let justified = Action::ALL.into_iter().zip(counts.justified);
        Self {
            hours: counts.hours,
            open_findings: counts.open_findings,
            rate: counts.rate,
            context: counts.context,
            corroborated: counts.corroborated,
            justified: justified.map(|(action, n)| (action.as_str().to_owned(), n)).collect(),
            throttles: Some(counts.throttles),
        }
    }

    /// The counts, if they can be true: a part is no more than its whole.
    fn read(&self) -> Option<Counts> {
        let of = |action: Action| self.justified.get(action.as_str()).copied();
        let mut justified = [0; Action::ALL.len()];
        let mut whole = self.open_findings;
        for (slot, action) in justified.iter_mut().zip(Action::ALL) {
            *slot = of(action).filter(|count| *count <= whole)?;
            whole = *slot;
        }
        let throttling = of(Action::Throttle)?;
        let throttles = self.throttles.unwrap_or(throttling);
        let can_be = self.open_findings <= OPEN_FINDINGS_MAX
            && throttles <= OPEN_FINDINGS_MAX
            && self.rate <= self.open_findings
            && self.context <= self.open_findings
            && self.corroborated <= self.context
            && throttling <= throttles;
        let (hours, open_findings, rate) = (self.hours, self.open_findings, self.rate);
        let (context, corroborated) = (self.context, self.corroborated);
        let counts =
            Counts { hours, open_findings, rate, context, corroborated, justified, throttles };
        can_be.then_some(counts)
    }
}

impl WrittenCohort {
    fn of(cohort: &Cohort) -> Self {
        let tenants = cohort.tenants.iter();
        Self {
            untenanted: WrittenCounts::of(&cohort.untenanted),
            tenants: tenants.map(|(name, of)| (name.to_string(), WrittenCounts::of(of))).collect(),
            forgotten: WrittenCounts::of(&cohort.forgotten),
        }
    }

    fn read(&self) -> Option<Cohort> {
        let tenants = self.tenants.iter().map(|(name, of)| Some((name.into(), of.read()?)));
        Some(Cohort {
            untenanted: self.untenanted.read()?,
            tenants: tenants.collect::<Option<_>>()?,
            forgotten: self.forgotten.read()?,
        })
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

/// Reads what [`encode`] wrote, or wrote in the first layout; a kind that is not there has no counts.
///
/// # Errors
/// When it is no ledger, of another version, or can't be true; the caller begins a new one, and
/// nothing is proven.
pub fn decode(text: &str) -> Result<Cohorts, LedgerError> {
    let Layout { version } = serde_json::from_str(text)?;
    match version {
        VERSION => read_cohorts(text, WrittenCohort::read),
        WITHOUT_TENANTS => read_cohorts(text, |counts: &WrittenCounts| {
            Some(Cohort { untenanted: counts.read()?, ..Cohort::default() })
        }),
        newer => Err(LedgerError::Version(newer)),
    }
}

fn read_cohorts<T: for<'a> Deserialize<'a>>(
    text: &str,
    read: impl Fn(&T) -> Option<Cohort>,
) -> Result<Cohorts, LedgerError> {
    let written: BudgetFields<T> = serde_json::from_str(text)?;
    let mut cohorts = Cohorts::default();
    for (slot, kind) in cohorts.iter_mut().zip(Kind::ALL) {
        if let Some(cohort) = written.cohorts.get(kind.as_str()) {
            *slot = read(cohort).ok_or(LedgerError::Contradiction(kind.as_str()))?;
        }
    }
    Ok(cohorts)
}

#[cfg(test)]
mod tests {
    use super::{LedgerError, decode, encode};
    use crate::control_plane::policy::false_alarms::{Cohort, Cohorts, Counts};
    use std::collections::BTreeMap;

    const COUNTS: Counts = Counts {
        hours: u64::MAX,
        open_findings: 9,
        rate: 6,
        context: 5,
        corroborated: 3,
        justified: [9, 8, 4, 2, 1],
        throttles: 7,
    };

    fn cohorts() -> Cohorts {
        let mut cohorts = Cohorts::default();
        cohorts[1] = Cohort {
            untenanted: COUNTS,
            tenants: BTreeMap::from([("a \"tenant\"".into(), Counts { hours: 7, ..COUNTS })]),
            forgotten: Counts { throttles: 3, ..Counts::default() },
        };
        cohorts
    }

    #[test]
    fn a_ledger_comes_back_as_it_was() {
        assert_eq!(decode(&encode(&cohorts())).expect("reads"), cohorts());
        assert_eq!(decode("{\"version\":2,\"cohorts\":{}}").expect("reads"), Cohorts::default());
    }

    #[test]
    fn what_was_counted_without_tenants_goes_on_as_of_credentials_without_one() {
        let old = r#"{"version":1,"cohorts":{"jwt":{"hours":240000,"open_findings":9,"rate":6,"context":5,
            "corroborated":3,"justified":{"observe":9,"alert":8,"throttle":4,"suspend":2,"revoke":1}}}}"#;
        let untenanted = Counts { hours: 240_000, throttles: 4, ..COUNTS };
        let mut expected = Cohorts::default();
        expected[1] = Cohort { untenanted, ..Cohort::default() };
        assert_eq!(decode(old).expect("reads"), expected);
    }

    #[test]
    fn what_is_torn_of_another_version_or_can_not_be_true_is_refused() {
        let whole = encode(&cohorts());
        assert!(matches!(decode(whole.trim_end_matches('}')), Err(LedgerError::Shape(_))));
        assert!(matches!(decode(""), Err(LedgerError::Shape(_))));
        let newer = whole.replace("\"version\": 2", "\"version\": 3");
        assert!(matches!(decode(&newer), Err(LedgerError::Version(3))));
        for (right, wrong) in [
            ("\"rate\": 6", "\"rate\": 10"),
            ("\"context\": 5", "\"context\": 10"),
            ("\"corroborated\": 3", "\"corroborated\": 6"),
            ("\"revoke\": 1", "\"revoke\": 3"),
            ("\"throttle\": 4", "\"throtle\": 4"),
            ("\"observe\": 9", "\"observe\": 10"),
            ("\"throttles\": 7", "\"throttles\": 3"),
        ] {
            let text = whole.replace(right, wrong);
            assert!(matches!(decode(&text), Err(LedgerError::Contradiction("jwt"))), "{wrong}");
        }
    }
}
