//! The HTTP API of a running daemon: each handler gets what it needs.

use super::instances::OwnInstance;
use super::leaks::OpenedLeaks;
use super::metrics::Metrics;
use super::reload::LiveSettings;
use crate::adapters::channels::{ControlPlane, DataPlane};
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::fleet::peers::Peers;
use crate::adapters::http::auth::{Access, Tokens};
use crate::adapters::http::canaries::CanariesState;
use crate::adapters::http::changes::{ChangesState, Listeners};
use crate::adapters::http::check::CheckState;
use crate::adapters::http::credentials::CredentialsState;
use crate::adapters::http::decisions::DecisionsState;
use crate::adapters::http::decoding::Decoding;
use crate::adapters::http::events::IngestState;
use crate::adapters::http::findings::FindingsState;
use crate::adapters::http::health::HealthState;
use crate::adapters::http::reload::Reloads;
use crate::adapters::http::router::Api;
use crate::adapters::http::status::{About, StatusMetrics, StatusState};
use crate::adapters::http::stream::StreamState;
use crate::adapters::journal::history::History;
use crate::adapters::recent_events::RecentEvents;
use crate::adapters::sources::ingest::Source;
use crate::adapters::sources::kafka::topic_writer::TopicWriter;
use crate::adapters::sources::rate_bound::RateBounds;
use crate::adapters::sources::rejects::RejectLog;
use crate::adapters::storage::finding_archive::FindingArchive;
use crate::adapters::watchlist::Watchlist;
use crate::config::settings::Settings;
use crate::data_plane::batch::HashSeed;
use crate::formats::outbound::security_event::JwkSet;
use crate::formats::secrets::secret::Fingerprinter;
use parking_lot::{Mutex, RwLock};
use prometheus::IntCounterVec;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The running planes, and what they have written.
pub(super) struct Planes {
    /// The channels to the data plane.
    pub(super) data: DataPlane,
    /// Takes events of HTTP.
    pub(super) source: Arc<Source>,
    /// Takes those of them that go to a topic.
    pub(super) topic: Option<TopicWriter>,
    /// The channel to the control plane.
    pub(super) control: ControlPlane,
    /// Canaries and leaks.
    pub(super) watchlist: Watchlist,
    /// Recent findings and decisions.
    pub(super) recent: Arc<RecentEvents>,
    /// Findings of before.
    pub(super) archive: FindingArchive,
    /// All decisions of the journal.
    pub(super) history: History,
    /// Whether the journal can be written.
    pub(super) durable: Arc<AtomicBool>,
    /// Whether the decisions of the other instances are known.
    pub(super) caught_up: Arc<AtomicBool>,
    /// Whether tripline is stopping.
    pub(super) stopping: Arc<AtomicBool>,
}

/// All that the API is built of.
pub(super) struct Builder<'a> {
    /// The settings.
    pub(super) settings: &'a Settings,
    /// The running planes.
    pub(super) planes: Planes,
    /// The store that `/v1/check` asks, and all stores.
    pub(super) stores: (EmbeddedStore, Vec<AuthStore>),
    /// All metrics.
    pub(super) metrics: Metrics,
    /// Stands for secrets.
    pub(super) fingerprints: Arc<Fingerprinter>,
    /// This instance among the others, and the way to these.
    pub(super) fleet: (OwnInstance, Option<Arc<Peers>>),
    /// The hash seed of the data plane.
    pub(super) seed: HashSeed,
    /// Where the places of refused events go.
    pub(super) rejects: Arc<RejectLog>,
    /// The rates of sources.
    pub(super) bounds: Arc<RateBounds>,
    /// Settings that a reload changes.
    pub(super) follows: &'a LiveSettings,
}

impl Builder<'_> {
    /// Gives each handler what it needs.
    pub(super) fn build(self, reloads: Reloads, keys: JwkSet, leaks: OpenedLeaks) -> Api {
        let Self { settings, planes, metrics, fingerprints, seed, rejects, stores, .. } = self;
        let Planes { data, source, control, watchlist, recent, archive, history, .. } = planes;
        let (durable, (embedded, stores)) = (planes.durable, stores);
        let (own_instance, peers) = self.fleet;
        let (tokens, about) = (Arc::clone(&self.follows.tokens), Arc::clone(&self.follows.about));
        let listeners = Listeners::default();
        let access = access(&tokens, &fingerprints, peers.as_ref());
        let (check, changes) = for_gateways(
            (&tokens, &fingerprints),
            &embedded,
            (metrics.http.check.clone(), listeners.clone()),
        );
        Api {
            leaks: Arc::new(leaks.state(settings, watchlist.clone(), &metrics)),
            access,
            ingest: Arc::new(IngestState {
                source,
                topic: planes.topic,
                sources: settings.sources.http.clone(),
                decoding: Decoding::default(),
                rejects,
                fingerprints: Arc::clone(&fingerprints),
                seed,
                body_bytes_max: settings.http.body_bytes_max,
                metrics: metrics.http.clone(),
                records: metrics.sources.clone(),
                about: Arc::clone(&about),
                bounds: self.bounds,
                requests: 0.into(),
            }),
            check,
            changes,
            credentials: Arc::new(CredentialsState {
                data: data.clone(),
                control: control.clone(),
                recent: Arc::clone(&recent),
                embedded: embedded.clone(),
                stores: stores.clone(),
                watchlist: watchlist.clone(),
                fingerprints: Arc::clone(&fingerprints),
                peers: peers.clone(),
            }),
            canaries: Arc::new(CanariesState::new(watchlist, &fingerprints)),
            findings: Arc::new(FindingsState::new(data.clone(), archive, &recent, &fingerprints)),
            decisions: Arc::new(DecisionsState {
                control: control.clone(),
                recent: Arc::clone(&recent),
                history,
                embedded: embedded.clone(),
                stores: stores.clone(),
                fingerprints,
            }),
            stream: Arc::new(StreamState { recent, listeners, tokens }),
            health: Arc::new(HealthState {
                data,
                durable: Arc::clone(&durable),
                caught_up: planes.caught_up,
                exposition: metrics.exposition.clone(),
                metrics: metrics.http.clone(),
                stopping: planes.stopping,
            }),
            status: Arc::new(StatusState {
                kafka: settings.sources.kafka.as_ref().map(|kafka| kafka.source.clone()),
                ..status(metrics, own_instance, (about, durable), (embedded, stores))
            }),
            control,
            reloads,
            keys: Arc::new(keys),
            peers,
        }
    }
}

/// The access rules.
fn access(
    tokens: &Arc<Tokens>,
    fingerprints: &Arc<Fingerprinter>,
    peers: Option<&Arc<Peers>>,
) -> Access {
    let (tokens, fingerprints) = (Arc::clone(tokens), Arc::clone(fingerprints));
    Access { tokens, fingerprints, peers: peers.cloned() }
}

/// The handlers that gateways ask.
fn for_gateways(
    (tokens, fingerprints): (&Arc<Tokens>, &Arc<Fingerprinter>),
    embedded: &EmbeddedStore,
    (answers, listeners): (IntCounterVec, Listeners),
) -> (Arc<CheckState>, Arc<ChangesState>) {
    let check = CheckState {
        tokens: Arc::clone(tokens),
        fingerprints: Arc::clone(fingerprints),
        embedded: embedded.clone(),
        answers,
    };
    let changes =
        ChangesState { tokens: Arc::clone(tokens), embedded: embedded.clone(), listeners };
    (Arc::new(check), Arc::new(changes))
}

/// Gives the status the groups that it shows.
fn status(
    metrics: Metrics,
    own_instance: OwnInstance,
    (about, durable): (Arc<RwLock<About>>, Arc<AtomicBool>),
    (embedded, stores): (EmbeddedStore, Vec<AuthStore>),
) -> StatusState {
    let metrics = StatusMetrics {
        sources: metrics.sources,
        consumer: metrics.consumer,
        topic: metrics.topic,
        shards: metrics.shards,
        profiles: metrics.profiles,
        checkpoint: metrics.checkpoint,
        event_log: metrics.event_log,
        decisions: metrics.decisions,
        policy: metrics.policy,
        fleet: metrics.fleet,
        journal: metrics.journal,
        enforce: metrics.enforce,
        http: metrics.http,
        heartbeat_at: metrics.process.heartbeat_at,
    };
    let recent = Mutex::default();
    let (instance, roster) = (own_instance.instance(), own_instance.roster);
    StatusState { kafka: None, instance, roster, about, durable, embedded, metrics, stores, recent }
}
