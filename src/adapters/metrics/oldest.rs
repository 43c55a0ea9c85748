//! A gauge that is as old as the oldest of several threads: an average, or the newest, would hide the
//! one that stalls.

use crate::model::time::EventTime;
use parking_lot::Mutex;
use prometheus::GaugeVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Times of threads, as a gauge for each stage.
#[derive(Clone, Debug)]
pub struct Oldest {
    gauges: GaugeVec,
    by_stage: Arc<Mutex<BTreeMap<&'static str, BTreeMap<usize, EventTime>>>>,
}

impl Oldest {
    pub(super) fn new(gauges: GaugeVec) -> Self {
        Self { gauges, by_stage: Arc::default() }
    }

    /// Sets the time of a thread, or that it has none. A stage without any shows 0.
    pub fn set(&self, stage: &'static str, thread: usize, at: Option<EventTime>) {
        let mut by_stage = self.by_stage.lock();
        let threads = by_stage.entry(stage).or_default();
        match at {
            Some(at) => threads.insert(thread, at),
            None => threads.remove(&thread),
        };
        let oldest = threads.values().min().map_or(0.0, |at| at.as_secs_f64());
        self.gauges.with_label_values(&[stage]).set(oldest);
    }

    /// The oldest time of each stage that has any.
    pub fn by_stage(&self) -> Vec<(&'static str, EventTime)> {
        let by_stage = self.by_stage.lock();
        let oldest = |(stage, threads): (&&'static str, &BTreeMap<usize, EventTime>)| {
            Some((*stage, *threads.values().min()?))
        };
        by_stage.iter().filter_map(oldest).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::adapters::metrics::exposition::Format;
    use crate::adapters::metrics::registrar::Registrar;
    use crate::model::time::EventTime;

    #[test]
    fn a_stage_is_as_old_as_its_oldest_thread_and_has_no_time_without_any() {
        let registrar = Registrar::default();
        let beats = registrar.oldest("heartbeat_timestamp_seconds", "Help.").expect("one name");
        let shows = |value: &str| {
            let line = format!("tripline_heartbeat_timestamp_seconds{{stage=\"kafka\"}} {value}");
            let text = registrar.exposition().text(Format::Text, false);
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        };
        let at = EventTime::from_s;
        for (stage, thread, second) in
            [("kafka", 0, 5), ("data_plane", 0, 1), ("kafka", 1, 9), ("kafka", 1, 10)]
        {
            beats.set(stage, thread, Some(at(second)));
        }
        shows("5");
        assert_eq!(beats.by_stage(), [("data_plane", at(1)), ("kafka", at(5))]);
        beats.set("kafka", 0, Some(at(11)));
        shows("10");
        beats.set("kafka", 1, None);
        shows("11");
        beats.set("kafka", 0, None);
        shows("0");
        assert_eq!(beats.by_stage(), [("data_plane", at(1))]);
    }
}
