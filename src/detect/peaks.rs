//! The most of everything in a stretch of abnormal use: the lesson, should it turn out harmless.

use super::ramp::FACTORS;
use super::window::Window;
use crate::stats::compact::Compact;

/// The greatest values of a stretch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    /// Counts, by window.
    pub counts: [f32; Window::COUNT],
    /// Sums of the climb, by factor. Unit: nats.
    pub climbs: [Compact; FACTORS.len()],
    /// Units of a minute.
    pub units: f32,
    /// Distinct networks of ten minutes.
    pub networks: u8,
    /// Distinct endpoints of ten minutes.
    pub endpoints: u8,
}

impl Peaks {
    /// Takes the greater of each.
    pub fn record(&mut self, now: &Self) {
        for (max, count) in self.counts.iter_mut().zip(now.counts) {
            *max = max.max(count);
        }
        for (max, sum) in self.climbs.iter_mut().zip(now.climbs) {
            *max = (*max).max(sum);
        }
        self.units = self.units.max(now.units);
        self.networks = self.networks.max(now.networks);
        self.endpoints = self.endpoints.max(now.endpoints);
    }
}

crate::codec!(Peaks { counts, climbs, units, networks, endpoints });
