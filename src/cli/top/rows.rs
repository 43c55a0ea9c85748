//! The rows of each pane: what is in them, filtered and in order.

use super::snapshot::{Decided, Snapshot, minute, name_of, times_peak};
use super::text::clean;
use crate::formats::api::profile::CredentialJson;
use crate::model::decision::Order;
use crate::model::finding::Finding;
use std::cmp::Ordering;

/// One of the three lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    /// The busiest credentials, and those out of service.
    Credentials,
    /// The incidents that run.
    Incidents,
    /// The newest decisions.
    Decisions,
}

impl Pane {
    /// Every pane, from left to right.
    pub(super) const ALL: [Self; 3] = [Self::Credentials, Self::Incidents, Self::Decisions];

    /// Its title.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Credentials => "Credentials",
            Self::Incidents => "Incidents",
            Self::Decisions => "Decisions",
        }
    }

    /// The sort keys of its rows; the first is the default.
    pub(super) const fn sorts(self) -> &'static [SortKey] {
        match self {
            Self::Credentials => &[
                SortKey::Attention,
                SortKey::Minute,
                SortKey::TimesPeak,
                SortKey::Expected,
                SortKey::Peak,
                SortKey::Credential,
                SortKey::Tenant,
                SortKey::Status,
            ],
            Self::Incidents => {
                &[SortKey::Action, SortKey::Newest, SortKey::Detector, SortKey::Credential]
            }
            Self::Decisions => {
                &[SortKey::Newest, SortKey::Action, SortKey::Credential, SortKey::Who]
            }
        }
    }
}

/// The sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortKey {
    /// Those with an incident, then those above their peak, then the busiest.
    Attention,
    /// The last minute.
    Minute,
    /// The last minute over the peak.
    TimesPeak,
    /// The expected count of a minute.
    Expected,
    /// The most in a minute.
    Peak,
    /// The id.
    Credential,
    /// The tenant.
    Tenant,
    /// The status.
    Status,
    /// The time.
    Newest,
    /// The action, the most severe first; of decisions what was restored before that.
    Action,
    /// The detector.
    Detector,
    /// The operator who ordered it.
    Who,
}

impl SortKey {
    /// Its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Minute => "last minute",
            Self::TimesPeak => "× peak",
            Self::Expected => "expected",
            Self::Peak => "peak",
            Self::Credential => "credential",
            Self::Tenant => "tenant",
            Self::Status => "status",
            Self::Newest => "newest",
            Self::Action => "action",
            Self::Detector => "detector",
            Self::Who => "who",
        }
    }
}

/// The subject of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowOf<'a> {
    /// A credential.
    Credential(&'a CredentialJson),
    /// A finding whose incident runs.
    Incident(&'a Finding),
    /// A decision.
    Decision(&'a Decided),
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    /// Its identity from one answer to the next.
    pub(super) key: String,
    /// Its credential, `kind:id`, as the daemon knows it.
    pub(super) name: String,
    /// Its content.
    pub(super) of: RowOf<'a>,
}

/// Where a row belongs: numbers begin with the greatest, texts with `a`.
enum Rank {
    Number(f64),
    Text(String),
}

impl Row<'_> {
    fn rank(&self, by: SortKey) -> Rank {
        match self.of {
            RowOf::Credential(one) => rank_of_credential(one, by),
            RowOf::Incident(one) => match by {
                SortKey::Action => Rank::Number(f64::from(one.action as u8)),
                SortKey::Detector => Rank::Text(one.detector.as_str().to_owned()),
                SortKey::Newest => Rank::Number(one.opened.ms() as f64),
                SortKey::Attention
                | SortKey::Minute
                | SortKey::TimesPeak
                | SortKey::Expected
                | SortKey::Peak
                | SortKey::Tenant
                | SortKey::Status
                | SortKey::Credential
                | SortKey::Who => Rank::Text(self.name.clone()),
            },
            RowOf::Decision(one) => match by {
                SortKey::Action => {
                    let severity = Order::ALL.iter().position(|order| *order == one.decision.order);
                    Rank::Number(severity.unwrap_or(0) as f64)
                }
                SortKey::Newest => Rank::Number(one.decision.at.ms() as f64),
                SortKey::Who => Rank::Text(one.decision.by.to_string()),
                SortKey::Attention
                | SortKey::Minute
                | SortKey::TimesPeak
                | SortKey::Expected
                | SortKey::Peak
                | SortKey::Tenant
                | SortKey::Status
                | SortKey::Credential
                | SortKey::Detector => Rank::Text(self.name.clone()),
            },
        }
    }

    /// The text that a filter searches.
    fn told(&self) -> String {
        let told = match self.of {
            RowOf::Credential(one) => {
                format!("{} {}", one.status, one.tenant.as_deref().unwrap_or(""))
            }
            RowOf::Incident(one) => format!(
                "{} {} {} {}",
                one.detector.as_str(),
                one.action,
                one.tenant.as_deref().unwrap_or(""),
                one.summary
            ),
            RowOf::Decision(one) => {
                let held = one.decision.held_by.iter().map(|one| one.as_str());
                format!(
                    "{} {} {} {}",
                    one.decision.order.as_str(),
                    one.decision.by,
                    one.decision.reason,
                    held.collect::<Vec<_>>().join(" ")
                )
            }
        };
        clean(&format!("{} {told}", self.name)).to_lowercase()
    }
}

fn rank_of_credential(one: &CredentialJson, by: SortKey) -> Rank {
    let window = minute(one);
    let count = f64::from(window.count);
    let times = times_peak(&window).unwrap_or(0.0);
    match by {
        SortKey::Attention => {
            let incident = if one.open_findings.is_empty() { 0.0 } else { 1e12 };
            let above = if times > 1.0 { 1e11 } else { 0.0 };
            Rank::Number(incident + above + count)
        }
        SortKey::Minute => Rank::Number(count),
        SortKey::TimesPeak => Rank::Number(times),
        SortKey::Expected => Rank::Number(window.expected),
        SortKey::Peak => Rank::Number(window.peak),
        SortKey::Tenant => Rank::Text(one.tenant.clone().unwrap_or_default()),
        SortKey::Status => Rank::Text(one.status.clone()),
        SortKey::Credential
        | SortKey::Newest
        | SortKey::Action
        | SortKey::Detector
        | SortKey::Who => Rank::Text(one.credential.clone()),
    }
}

/// Where the column says nothing, the most severe incident comes first, and then the newest; decisions
/// stay as the daemon reports them, the newest first.
fn compare(one: &Row<'_>, other: &Row<'_>, by: SortKey) -> Ordering {
    let by_column = compare_by(one, other, by);
    let then = |by| compare_by(one, other, by);
    by_column.then_with(|| match one.of {
        RowOf::Credential(_) => one.key.cmp(&other.key),
        RowOf::Incident(_) => {
            then(SortKey::Action).then(then(SortKey::Newest)).then_with(|| one.key.cmp(&other.key))
        }
        RowOf::Decision(_) => Ordering::Equal,
    })
}

fn compare_by(one: &Row<'_>, other: &Row<'_>, by: SortKey) -> Ordering {
    match (one.rank(by), other.rank(by)) {
        (Rank::Number(one), Rank::Number(other)) => other.total_cmp(&one),
        (Rank::Text(one), Rank::Text(other)) => one.cmp(&other),
        (Rank::Number(_), Rank::Text(_)) | (Rank::Text(_), Rank::Number(_)) => Ordering::Equal,
    }
}

/// All rows of a pane.
fn all(snapshot: &Snapshot, pane: Pane) -> Vec<Row<'_>> {
    let name = |credential: &crate::model::credential::Credential| {
        format!("{}:{}", credential.kind().as_str(), credential.id())
    };
    match pane {
        Pane::Credentials => {
            let row =
                |one| Row { key: name_of(one), name: name_of(one), of: RowOf::Credential(one) };
            snapshot.credentials.iter().map(row).collect()
        }
        Pane::Incidents => {
            let row = |one: &'_ Finding| (one.id.to_string(), name(&one.credential));
            let rows = snapshot.findings.iter().map(|one| (row(one), one));
            rows.map(|((key, name), one)| Row { key, name, of: RowOf::Incident(one) }).collect()
        }
        Pane::Decisions => {
            let rows = snapshot.decisions.iter().map(|one| Row {
                key: one.decision.id.to_string(),
                name: name(&one.decision.credential),
                of: RowOf::Decision(one),
            });
            rows.collect()
        }
    }
}

/// The rows of a pane that have the filter's text in them, in order.
pub(super) fn rows<'a>(
    snapshot: &'a Snapshot,
    pane: Pane,
    (by, reversed): (SortKey, bool),
    filter: &str,
) -> Vec<Row<'a>> {
    let filter = filter.to_lowercase();
    let mut rows = all(snapshot, pane);
    rows.retain(|row| filter.is_empty() || row.told().contains(&filter));
    rows.sort_by(|one, other| {
        let order = compare(one, other, by);
        if reversed { order.reverse() } else { order }
    });
    rows
}
