//! A gauge that is as old as the oldest of several threads: an average, or the newest, would hide the
//! one that stands still.

use parking_lot::Mutex;
use prometheus::GaugeVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Times of threads, as a gauge for each stage.
#[derive(Clone, Debug)]
pub struct Oldest {
    gauges: GaugeVec,
    times: Arc<Mutex<BTreeMap<(&'static str, usize), f64>>>,
}

impl Oldest {
    pub(super) fn new(gauges: GaugeVec) -> Self {
        Self { gauges, times: Arc::default() }
    }

    /// Sets the time of a thread, or that it has none. A stage without any shows 0.
    /// Unit: seconds since 1970.
    pub fn set(&self, stage: &'static str, thread: usize, at_s: Option<f64>) {
        let mut times = self.times.lock();
        match at_s {
            Some(at_s) => times.insert((stage, thread), at_s),
            None => times.remove(&(stage, thread)),
        };
        let of_stage = times.range((stage, 0)..=(stage, usize::MAX)).map(|(_, at)| *at);
        self.gauges.with_label_values(&[stage]).set(of_stage.reduce(f64::min).unwrap_or(0.0));
    }

    /// The oldest time of a stage, if there is any. Unit: seconds since 1970.
    pub fn of(&self, stage: &'static str) -> Option<f64> {
        let times = self.times.lock();
        times.range((stage, 0)..=(stage, usize::MAX)).map(|(_, at)| *at).reduce(f64::min)
    }

    /// The oldest time of all stages, if there is any. Unit: seconds since 1970.
    pub fn of_all(&self) -> Option<f64> {
        self.times.lock().values().copied().reduce(f64::min)
    }
}

#[cfg(test)]
mod tests {
    use crate::edge::metrics::{Format, Metrics};

    #[test]
    fn a_stage_is_as_old_as_its_oldest_thread_and_has_no_time_without_any() {
        let metrics = Metrics::new(&[]).expect("no name twice");
        let shows = |value: &str| {
            let line = format!("tripline_heartbeat_timestamp_seconds{{stage=\"kafka\"}} {value}");
            let told = metrics.text(Format::Text, false);
            assert!(told.lines().any(|one| one == line), "{line}\n{told}");
        };
        let beats = &metrics.heartbeat;
        for (stage, thread, at) in
            [("kafka", 0, 5.0), ("data_plane", 0, 1.0), ("kafka", 1, 9.0), ("kafka", 1, 10.0)]
        {
            beats.set(stage, thread, Some(at));
        }
        shows("5");
        assert_eq!((beats.of("kafka"), beats.of_all()), (Some(5.0), Some(1.0)));
        beats.set("kafka", 0, Some(11.0));
        shows("10");
        beats.set("kafka", 1, None);
        shows("11");
        beats.set("kafka", 0, None);
        shows("0");
        assert_eq!((beats.of("kafka"), beats.of_all()), (None, Some(1.0)));
    }
}
