//! Adding up what decoders and machines counted.

use super::registry::Metrics;
use super::table::SOURCES;
use crate::data_plane::counters::Counters;
use crate::data_plane::eviction_policy::Evictions;
use crate::model::finding::{Action, Detector};

impl Metrics {
    /// Events applied since the start, over the sources.
    pub fn events_applied(&self) -> u64 {
        SOURCES.iter().map(|source| self.events.with_label_values(&[*source]).get()).sum()
    }

    /// Adds what a machine counted.
    pub fn add(&self, source: &str, counters: &Counters) {
        self.events.with_label_values(&[source]).inc_by(counters.applied);
        self.redelivered.inc_by(counters.redelivered);
        self.rejected.inc_by(counters.rejected);
        self.unverified.inc_by(counters.unverified);
        self.late.inc_by(counters.late);
        self.too_late.inc_by(counters.too_late);
        self.ahead.inc_by(counters.ahead);
        self.admitted.inc_by(counters.admitted);
        self.tenant_changed.inc_by(counters.tenant_changed);
        self.without_tenant.inc_by(counters.without_tenant);
        let Evictions { new, established, deferred } = counters.evictions;
        for (worth, count) in [("new", new), ("established", established)] {
            if count > 0 {
                self.evicted.with_label_values(&[worth]).inc_by(count);
            }
        }
        self.deferred.inc_by(deferred);
        self.admission_refused.inc_by(counters.refused);
        for (detector, by_action) in Detector::ALL.into_iter().zip(counters.justified) {
            for (action, count) in Action::ALL.into_iter().zip(by_action) {
                if count > 0 {
                    let labels = [detector.as_str(), action.as_str()];
                    self.findings.with_label_values(&labels).inc_by(count);
                }
            }
        }
    }
}
