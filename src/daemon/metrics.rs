//! All metrics of the daemon: each subsystem registers its own, and gets its group alone.

use super::reload::ReloadMetrics;
use crate::adapters::checkpoint::metrics::CheckpointMetrics;
use crate::adapters::control_plane::metrics::{DecisionMetrics, FleetMetrics, PolicyMetrics};
use crate::adapters::data_plane::metrics::{ProfileMetrics, ShardMetrics, ThreadMetrics};
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::metrics::EnforceMetrics;
use crate::adapters::event_log::metrics::EventLogMetrics;
use crate::adapters::http::metrics::HttpMetrics;
use crate::adapters::journal::metrics::JournalMetrics;
use crate::adapters::leaks::metrics::LeakMetrics;
use crate::adapters::metrics::exposition::Exposition;
use crate::adapters::metrics::oldest::Oldest;
use crate::adapters::metrics::registrar::{MetricsError, Registrar};
use crate::adapters::notify::metrics::NotifyMetrics;
use crate::adapters::sources::kafka::metrics::{ConsumerMetrics, TopicMetrics};
use crate::adapters::sources::metrics::SourceMetrics;
use crate::adapters::storage::metrics::StorageMetrics;
use crate::config::settings::Sources;
use prometheus::Gauge;

/// The groups of all subsystems.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each group is named after its subsystem")]
pub struct Metrics {
    /// Everything as text.
    pub exposition: Exposition,
    pub process: ProcessMetrics,
    pub sources: SourceMetrics,
    pub consumer: ConsumerMetrics,
    pub topic: TopicMetrics,
    pub shards: ShardMetrics,
    pub profiles: ProfileMetrics,
    pub checkpoint: CheckpointMetrics,
    pub event_log: EventLogMetrics,
    pub decisions: DecisionMetrics,
    pub policy: PolicyMetrics,
    pub fleet: FleetMetrics,
    pub journal: JournalMetrics,
    pub storage: StorageMetrics,
    pub enforce: EnforceMetrics,
    pub notify: NotifyMetrics,
    pub http: HttpMetrics,
    pub leaks: LeakMetrics,
    pub reload: ReloadMetrics,
}

impl Metrics {
    /// Registers the metrics of every subsystem, with a 0 for each known label; `stores` and
    /// `sources` are the names of the auth stores and the sources, `files` of the sources that follow files, `read` of
    /// these and of others that tripline reads from.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(
        stores: &[&str],
        sources: &[&str],
        (files, read): (&[&str], &[&str]),
    ) -> Result<Self, MetricsError> {
        let r = &Registrar::default();
        Ok(Self {
            exposition: r.exposition(),
            process: ProcessMetrics::register(r)?,
            sources: SourceMetrics::register(r, sources, (files, read))?,
            consumer: ConsumerMetrics::register(r)?,
            topic: TopicMetrics::register(r)?,
            shards: ShardMetrics::register(r)?,
            profiles: ProfileMetrics::register(r)?,
            checkpoint: CheckpointMetrics::register(r)?,
            event_log: EventLogMetrics::register(r)?,
            decisions: DecisionMetrics::register(r)?,
            policy: PolicyMetrics::register(r)?,
            fleet: FleetMetrics::register(r)?,
            journal: JournalMetrics::register(r)?,
            storage: StorageMetrics::register(r)?,
            enforce: EnforceMetrics::register(r, stores)?,
            notify: NotifyMetrics::register(r)?,
            http: HttpMetrics::register(r)?,
            leaks: LeakMetrics::register(r)?,
            reload: ReloadMetrics::register(r)?,
        })
    }

    /// Registers them for these sources and stores.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register_for(sources: &Sources, stores: &[AuthStore]) -> Result<Self, MetricsError> {
        let stores: Vec<&str> = stores.iter().map(AuthStore::name).collect();
        let all: Vec<&str> = sources.decoders.keys().map(String::as_str).collect();
        let files: Vec<&str> = sources.files.keys().map(String::as_str).collect();
        let others = sources.redis_streams.keys().chain(sources.sqs.keys());
        let read: Vec<&str> = files.iter().copied().chain(others.map(String::as_str)).collect();
        Self::register(&stores, &all, (&files, &read))
    }

    /// The handles of a thread of the data plane.
    pub fn thread(&self) -> ThreadMetrics {
        ThreadMetrics {
            shards: self.shards.clone(),
            heartbeat_at: self.process.heartbeat_at.clone(),
            checkpoint_at: self.checkpoint.written_at.clone(),
        }
    }
}

/// Metrics of the process as a whole.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each handle is named after its metric, which has a help text")]
pub struct ProcessMetrics {
    pub heartbeat_at: Oldest,
    pub clock_offset: Gauge,
}

impl ProcessMetrics {
    fn register(registrar: &Registrar) -> Result<Self, MetricsError> {
        let r = registrar;
        r.process()?;
        let build = r.float_gauges("build_info", "The version that runs; always 1.", "version")?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        Ok(Self {
            heartbeat_at: r.oldest(
                "heartbeat_timestamp_seconds",
                "When each stage last showed that all its threads live.",
            )?,
            clock_offset: r.float_gauge(
                "clock_offset_seconds",
                "Offset of the system clock from tripline's clock.",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;
    use crate::adapters::metrics::exposition::Format;

    #[test]
    fn every_known_label_is_there_from_the_start() {
        let metrics =
            Metrics::register(&["embedded", "redis"], &["default"], (&["default"], &["default"]))
                .expect("no name twice");
        let text = metrics.exposition.text(Format::Text, false);
        for line in [
            "tripline_records_refused_total{reason=\"no_credential\",source=\"default\"} 0",
            "tripline_findings_total{action=\"revoke\",detector=\"limit\"} 0",
            "tripline_decisions_total{action=\"restore\",carried_out=\"true\"} 0",
            "tripline_decisions_held_total{safeguard=\"common_cause\"} 0",
            "tripline_false_action_rate_upper_bound{action=\"alert\",kind=\"jwt\"} 0",
            "tripline_budget_missing_credential_seconds{action=\"revoke\",kind=\"api_key\"} 0",
            "tripline_top_credential_requests_per_second{rank=\"10\"} 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
