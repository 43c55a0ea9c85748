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
    /// The episodes that run.
    Episodes,
    /// The newest decisions.
    Decisions,
}

impl Pane {
    /// Every pane, from left to right.
    pub(super) const ALL: [Self; 3] = [Self::Credentials, Self::Episodes, Self::Decisions];

    /// Its title.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Credentials => "Credentials",
            Self::Episodes => "Episodes",
            Self::Decisions => "Decisions",
        }
    }

    /// What its rows can be sorted by; the first is how it begins.
    pub(super) const fn sorts(self) -> &'static [By] {
        match self {
            Self::Credentials => &[
                By::Attention,
                By::Minute,
                By::TimesPeak,
                By::Expected,
                By::Peak,
                By::Credential,
                By::Tenant,
                By::Status,
            ],
            Self::Episodes => &[By::Action, By::Newest, By::Detector, By::Credential],
            Self::Decisions => &[By::Newest, By::Action, By::Credential, By::Who],
        }
    }
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Those with an episode, then those above their peak, then the busiest.
    Attention,
    /// The last minute.
    Minute,
    /// The last minute over the peak.
    TimesPeak,
    /// What is expected in a minute.
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
    /// Who ordered it.
    Who,
}

impl By {
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

/// What a row is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of<'a> {
    /// A credential.
    Credential(&'a CredentialJson),
    /// A finding whose episode runs.
    Episode(&'a Finding),
    /// A decision.
    Decision(&'a Decided),
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    /// What it is known by from one answer to the next.
    pub(super) key: String,
    /// Its credential, `kind:id`, as the daemon knows it.
    pub(super) name: String,
    /// What it shows.
    pub(super) of: Of<'a>,
}

/// Where a row belongs: numbers begin with the greatest, texts with `a`.
enum Rank {
    Number(f64),
    Text(String),
}

impl Row<'_> {
    fn rank(&self, by: By) -> Rank {
        match self.of {
            Of::Credential(one) => rank_of_credential(one, by),
            Of::Episode(one) => match by {
                By::Action => Rank::Number(f64::from(one.action as u8)),
                By::Detector => Rank::Text(one.detector.as_str().to_owned()),
                By::Newest => Rank::Number(one.opened.ms() as f64),
                By::Attention
                | By::Minute
                | By::TimesPeak
                | By::Expected
                | By::Peak
                | By::Tenant
                | By::Status
                | By::Credential
                | By::Who => Rank::Text(self.name.clone()),
            },
            Of::Decision(one) => match by {
                By::Action => {
                    let grave = Order::ALL.iter().position(|order| *order == one.decision.order);
                    Rank::Number(grave.unwrap_or(0) as f64)
                }
                By::Newest => Rank::Number(one.decision.at.ms() as f64),
                By::Who => Rank::Text(one.decision.by.to_string()),
                By::Attention
                | By::Minute
                | By::TimesPeak
                | By::Expected
                | By::Peak
                | By::Tenant
                | By::Status
                | By::Credential
                | By::Detector => Rank::Text(self.name.clone()),
            },
        }
    }

    /// What a filter looks at.
    fn told(&self) -> String {
        let told = match self.of {
            Of::Credential(one) => {
                format!("{} {}", one.status, one.tenant.as_deref().unwrap_or(""))
            }
            Of::Episode(one) => format!(
                "{} {} {} {}",
                one.detector.as_str(),
                one.action,
                one.tenant.as_deref().unwrap_or(""),
                one.summary
            ),
            Of::Decision(one) => {
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

fn rank_of_credential(one: &CredentialJson, by: By) -> Rank {
    let window = minute(one);
    let count = f64::from(window.count);
    let times = times_peak(&window).unwrap_or(0.0);
    match by {
        By::Attention => {
            let episode = if one.open_findings.is_empty() { 0.0 } else { 1e12 };
            let above = if times > 1.0 { 1e11 } else { 0.0 };
            Rank::Number(episode + above + count)
        }
        By::Minute => Rank::Number(count),
        By::TimesPeak => Rank::Number(times),
        By::Expected => Rank::Number(window.expected),
        By::Peak => Rank::Number(window.peak),
        By::Tenant => Rank::Text(one.tenant.clone().unwrap_or_default()),
        By::Status => Rank::Text(one.status.clone()),
        By::Credential | By::Newest | By::Action | By::Detector | By::Who => {
            Rank::Text(one.credential.clone())
        }
    }
}

/// Where the column says nothing, the most severe episode comes first, and then the newest; decisions
/// stay as the daemon tells them, the newest first.
fn compare(one: &Row<'_>, other: &Row<'_>, by: By) -> Ordering {
    let by_column = compare_by(one, other, by);
    let then = |by| compare_by(one, other, by);
    by_column.then_with(|| match one.of {
        Of::Credential(_) => one.key.cmp(&other.key),
        Of::Episode(_) => {
            then(By::Action).then(then(By::Newest)).then_with(|| one.key.cmp(&other.key))
        }
        Of::Decision(_) => Ordering::Equal,
    })
}

fn compare_by(one: &Row<'_>, other: &Row<'_>, by: By) -> Ordering {
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
            let row = |one| Row { key: name_of(one), name: name_of(one), of: Of::Credential(one) };
            snapshot.credentials.iter().map(row).collect()
        }
        Pane::Episodes => {
            let row = |one: &'_ Finding| (one.id.to_string(), name(&one.credential));
            let rows = snapshot.findings.iter().map(|one| (row(one), one));
            rows.map(|((key, name), one)| Row { key, name, of: Of::Episode(one) }).collect()
        }
        Pane::Decisions => {
            let rows = snapshot.decisions.iter().map(|one| Row {
                key: one.decision.id.to_string(),
                name: name(&one.decision.credential),
                of: Of::Decision(one),
            });
            rows.collect()
        }
    }
}

/// The rows of a pane that have the filter's text in them, in order.
pub(super) fn rows<'a>(
    snapshot: &'a Snapshot,
    pane: Pane,
    (by, reversed): (By, bool),
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
