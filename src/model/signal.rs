//! The contract between the two planes: what a shard of the data plane reports to the control plane.
//!
//! ```text
//!  shard --> Signal: a finding changed    --> control plane
//!        --> MinuteTotals: a minute ended -->
//! ```

use super::credential::Kind;
use super::finding::Finding;
use compact_str::CompactString;
use std::collections::BTreeMap;

/// A unit of order, state and checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShardId {
    /// A slot of the HTTP source.
    Slot(usize),
    /// A partition of a Kafka topic.
    Kafka(String, i32),
}

/// The change of a finding by a detection or the passing of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began.
    Opened,
    /// A more severe action is justified.
    Escalated,
    /// It goes on; its numbers were brought up to date.
    Updated,
    /// It has been calm for long enough.
    Closed,
    /// It was open when its state was written down, and is reported again as that is read back.
    Recalled,
}

/// A finding, as it changed at one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The finding as it is now.
    pub finding: Finding,
    /// The change.
    pub change: Change,
    /// Whether the past was being read.
    pub catch_up: bool,
    /// Whether it may have been reported before, as its events are read again after a restart.
    pub again: bool,
    /// The exposure by then.
    pub seen: Exposure,
}

/// An accepted use of a credential that was taken out of service before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateUse {
    /// The gateway that let it pass.
    pub gateway: CompactString,
    /// How long after. Unit: milliseconds.
    pub lag_ms: i64,
}

impl LateUse {
    /// The gateway of events that name none.
    pub const UNKNOWN: &str = "unknown";
}

/// A partition's exposure up to an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// How many credentials it remembers.
    pub credentials: u64,
    /// Hours of use of trusted credentials since it began, by kind. Unit: credential-hours.
    pub hours: [u64; Kind::ALL.len()],
}

/// Whose use an hour of use is: the kind of the credential, and its tenant if it has one.
pub type UserOfHour = (Kind, Option<CompactString>);

/// Hours of use of trusted credentials. Unit: credential-hours.
pub type HoursOfUse = BTreeMap<UserOfHour, u64>;

/// How many tenants one partition or instance reports of. Chosen: who takes a fiftieth is among them.
pub const BUSIEST_MAX: usize = 50;

/// A tenant's use in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantTotals {
    /// Its requests.
    pub requests: u64,
    /// How many it makes usually: its share at this hour of the week, of a usual minute of the day.
    pub usual: u64,
    /// How many minutes it was watched before, where for longest.
    pub watched_minutes: u32,
}

/// The use of all in a minute. Those of partitions and instances add up, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinuteTotals {
    /// Everybody's requests, also of credentials without a tenant.
    pub requests: u64,
    /// How many everybody makes in a usual minute.
    pub usual: u64,
    /// The tenants that take most, or usually do.
    pub tenants: BTreeMap<CompactString, TenantTotals>,
}

impl MinuteTotals {
    /// Adds what others counted of the same minute.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.usual = self.usual.saturating_add(other.usual);
        for (tenant, totals) in &other.tenants {
            let own = self.tenants.entry(tenant.clone()).or_default();
            own.requests = own.requests.saturating_add(totals.requests);
            own.usual = own.usual.saturating_add(totals.usual);
            own.watched_minutes = own.watched_minutes.max(totals.watched_minutes);
        }
    }

    /// Those who take most, or usually do, first; of equals by name.
    pub fn busiest(&self) -> Vec<(&CompactString, TenantTotals)> {
        let mut all: Vec<_> = self.tenants.iter().map(|(tenant, of)| (tenant, *of)).collect();
        all.sort_by_key(|(tenant, of)| (std::cmp::Reverse(of.requests.max(of.usual)), *tenant));
        all.truncate(BUSIEST_MAX);
        all
    }
}
