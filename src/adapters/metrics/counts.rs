//! Adding up what decoders and machines counted.

use super::registry::Metrics;
use super::table::INTAKES;
use crate::data_plane::counters::Tally;
use crate::data_plane::eviction_policy::Evictions;
use crate::model::finding::{Action, Detector};

impl Metrics {
    /// Events applied since the start, over the intakes.
    pub fn events_applied(&self) -> u64 {
        INTAKES.iter().map(|intake| self.events.with_label_values(&[*intake]).get()).sum()
    }

    /// Adds what a machine counted.
    pub fn add(&self, intake: &str, tally: &Tally) {
        self.events.with_label_values(&[intake]).inc_by(tally.applied);
        self.redelivered.inc_by(tally.redelivered);
        self.rejected.inc_by(tally.rejected);
        self.unverified.inc_by(tally.unverified);
        self.late.inc_by(tally.late);
        self.too_late.inc_by(tally.too_late);
        self.ahead.inc_by(tally.ahead);
        self.admitted.inc_by(tally.admitted);
        self.tenant_changed.inc_by(tally.tenant_changed);
        self.without_tenant.inc_by(tally.without_tenant);
        let Evictions { new, established, deferred } = tally.evictions;
        for (worth, count) in [("new", new), ("established", established)] {
            if count > 0 {
                self.evicted.with_label_values(&[worth]).inc_by(count);
            }
        }
        self.deferred.inc_by(deferred);
        self.admission_refused.inc_by(tally.refused);
        for (detector, by_action) in Detector::ALL.into_iter().zip(tally.justified) {
            for (action, count) in Action::ALL.into_iter().zip(by_action) {
                if count > 0 {
                    let labels = [detector.as_str(), action.as_str()];
                    self.findings.with_label_values(&labels).inc_by(count);
                }
            }
        }
    }
}
