//! The counters: what a machine counted since it was last asked.

use super::eviction_policy::Evictions;
use crate::model::credential::Kind;
use crate::model::finding::{Action, Detector};

/// Counters of a partition; the host adds them to its metrics and starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events applied, whatever their outcome.
    pub applied: u64,
    /// Events not applied because their position was applied before.
    pub redelivered: u64,
    /// Events of the outcome `rejected`.
    pub rejected: u64,
    /// Events whose caller did not prove to hold the credential: they are counted, never teach, and
    /// never justify more than an alert.
    pub unverified: u64,
    /// Events behind the watermark: counted in the windows that still reach back to them.
    pub late: u64,
    /// Events older than every window.
    pub too_late: u64,
    /// Events too far ahead of the source clock to be counted.
    pub ahead: u64,
    /// Credentials taken in.
    pub admitted: u64,
    /// Credentials not remembered, for want of room.
    pub evictions: Evictions,
    /// Credentials not taken in because the profile table was full of open incidents.
    pub refused: u64,
    /// Credentials that came to belong to another tenant.
    pub tenant_changed: u64,
    /// Uses that named a tenant for which there was no room.
    pub without_tenant: u64,
    /// Findings opened, by detector.
    pub opened: [u64; Detector::ALL.len()],
    /// Actions newly justified, by detector and action.
    pub justified: [[u64; Action::ALL.len()]; Detector::ALL.len()],
    /// Findings closed.
    pub closed: u64,
    /// Hours of the clock in which a credential was used, by kind of credential: the exposure on
    /// which false alarms are counted.
    pub active_hours: [u64; Kind::ALL.len()],
}

impl Counters {
    /// Adds what was counted further.
    pub fn add(&mut self, other: &Self) {
        let Self { evictions, opened, justified, active_hours, .. } = other;
        for (sum, more) in [
            (&mut self.applied, other.applied),
            (&mut self.redelivered, other.redelivered),
            (&mut self.rejected, other.rejected),
            (&mut self.unverified, other.unverified),
            (&mut self.late, other.late),
            (&mut self.too_late, other.too_late),
            (&mut self.ahead, other.ahead),
            (&mut self.admitted, other.admitted),
            (&mut self.evictions.new, evictions.new),
            (&mut self.evictions.established, evictions.established),
            (&mut self.evictions.deferred, evictions.deferred),
            (&mut self.refused, other.refused),
            (&mut self.tenant_changed, other.tenant_changed),
            (&mut self.without_tenant, other.without_tenant),
            (&mut self.closed, other.closed),
        ] {
            *sum += more;
        }
        let sums = self.opened.iter_mut().chain(self.justified.iter_mut().flatten());
        let sums = sums.chain(&mut self.active_hours);
        for (sum, more) in
            sums.zip(opened.iter().chain(justified.iter().flatten()).chain(active_hours))
        {
            *sum += more;
        }
    }

    /// Counts that a credential of `kind` began an hour of use.
    pub fn note_hour(&mut self, kind: Kind) {
        if let Some(hours) = self.active_hours.get_mut(kind as usize) {
            *hours += 1;
        }
    }

    /// Counts that a finding of `detector` came to justify `action`; `opens`: as its first.
    pub fn note_justified(&mut self, detector: Detector, action: Action, opens: bool) {
        if opens && let Some(count) = self.opened.get_mut(detector as usize) {
            *count += 1;
        }
        let by_action = self.justified.get_mut(detector as usize);
        if let Some(count) = by_action.and_then(|row| row.get_mut(action as usize)) {
            *count += 1;
        }
    }
}
