//! The daemon: binds, starts every thread and task, and ends them in order.
//!
//! ```text
//!  HTTP, Kafka --> data plane --> control plane --> journal --> outboxes --> auth stores
//! ```
//! It ends from left to right, so that what was taken is applied, what was found is decided, and
//! the decisions are durable. A delivery that a store has not settled by then is due at the next start.

use super::controller::{ControlThread, ControllerMetrics};
use super::delivery;
use super::follower;
use super::instances::{Exchange, OwnInstance};
use super::leaks::OpenedLeaks;
use super::metrics::Metrics;
use super::notifier::Notifiers;
use super::recovery::Recovered;
use super::reload::{LiveSettings, Reloader};
use super::servers::{open_receivers, open_stores, open_topic, published_keys};
use super::shard;
use super::shared_tokens::SharedRevocationLimit;
use super::ticker::MaintainedFiles;
use super::watchlist::OpenedWatchlist;
use crate::adapters::channels::{ControlMessage, ControlPlane, DataMessage, DataPlane};
use crate::adapters::checkpoint::store::Snapshots;
use crate::adapters::clock;
use crate::adapters::clock::ClockFile;
use crate::adapters::egress::Egress;
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::enforce::redis::store::RedisStore;
use crate::adapters::event_log::appender::Appender;
use crate::adapters::event_log::log::EventLog;
use crate::adapters::fleet::peers::Peers;
use crate::adapters::host::open_files;
use crate::adapters::http::listeners::Server;
use crate::adapters::http::metrics::HttpMetrics;
use crate::adapters::http::reload::Reloads;
use crate::adapters::http::router;
use crate::adapters::http::status;
use crate::adapters::http::unix_socket;
use crate::adapters::journal::history::History;
use crate::adapters::metrics::oldest::Oldest;
use crate::adapters::notify::receiver::Receiver;
use crate::adapters::recent_events::RecentEvents;
use crate::adapters::sources::event_sink::EventSink;
use crate::adapters::sources::ingest::Source;
use crate::adapters::sources::kafka::consumer;
use crate::adapters::sources::kafka::topic_writer::TopicWriter;
use crate::adapters::sources::rate_bound::RateBounds;
use crate::adapters::sources::rejects::RejectLog;
use crate::adapters::storage::budget_store::BudgetStore;
use crate::adapters::storage::disk_reserve::Reserve;
use crate::adapters::storage::finding_archive::FindingArchive;
use crate::adapters::storage::key_material;
use crate::adapters::storage::metrics::StorageMetrics;
use crate::config::settings::Settings;
use crate::control_plane::tenant_ranking::TenantMinutes;
use crate::daemon::start_error::{StartError, at, spawn};
use crate::data_plane::batch::HashSeed;
use crate::formats::outbound::security_event::JwkSet;
use crate::formats::secrets::secret::Fingerprinter;
use crate::model::decision::Decision;
use parking_lot::RwLock;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How long requests may take to finish at the end.
const GRACE: Duration = Duration::from_secs(5);

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    server: Server,
    socket: Option<PathBuf>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    ticker: tokio::task::JoinHandle<()>,
    data: DataPlane,
    control: ControlPlane,
    source_threads: Vec<JoinHandle<()>>,
    data_threads: Vec<JoinHandle<()>>,
    event_log: (Appender, JoinHandle<()>),
    control_thread: JoinHandle<()>,
    stopping: Arc<AtomicBool>,
    rejects: Arc<RejectLog>,
    reloads: Reloads,
    archive: (FindingArchive, JoinHandle<()>),
    heartbeat_at: Oldest,
}

impl Daemon {
    /// Opens everything, binds, and starts.
    ///
    /// # Errors
    /// When anything that it needs can't be had. Must be called within a tokio runtime.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (listener, address) = bind(&settings).await?;
        let (decides, opened) = Resources::open(&settings)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let archive = start_archive(&decides.archive)?;
        let is_shared = decides.revocation_limit.is_some();
        let decides = start_control_plane(decides, &opened)?;
        let control = decides.control;

        let (kafka, writes) = opened.share(&settings, control.clone(), &stopping);
        let partition = Arc::clone(&kafka.partition);
        let bounds = Arc::new(RateBounds::new(&settings.sources.rates));
        let sink = opened.sink(&bounds, &stopping);
        let watches = shard::start(&settings, (opened.snapshots, opened.event_log), kafka).await?;
        let (watchlist, following) = opened.watched.start(&watches.data, decides.carried_out);
        let tasks = decides.tasks.into_iter().chain([writes, watches.writes, following]).collect();

        let planes = (watches.data.clone(), control.clone());
        let by = (&opened.fingerprints, &opened.metrics.reload);
        let follows = LiveSettings::new(&settings, planes.clone(), partition, is_shared, by);
        let (reloads, asked) = mpsc::channel(1);
        let source_threads = super::source_threads::start(&settings, &sink(&watches.source))?;
        let planes_here = super::api::Planes {
            data: watches.data.clone(),
            source: watches.source,
            topic: opened.topic,
            control: control.clone(),
            watchlist,
            recent: decides.board,
            archive: archive.0.clone(),
            history: decides.history,
            durable: decides.durable,
            caught_up: decides.caught_up,
            stopping: Arc::clone(&stopping),
        };
        let api = super::api::Builder {
            settings: &settings,
            planes: planes_here,
            stores: (opened.embedded, opened.stores),
            metrics: opened.metrics.clone(),
            fingerprints: opened.fingerprints,
            fleet: opened.fleet,
            seed: opened.seed,
            rejects: Arc::clone(&opened.rejects),
            bounds,
            follows: &follows,
        }
        .build(reloads.clone(), opened.keys, opened.leaks);
        tokio::spawn(status::sample_health(Arc::downgrade(&api.status)));
        tokio::spawn(Reloader::new(settings.file.clone(), follows).run(asked));
        let server = serve(listener, opened.socket, &router::router(api), &opened.metrics.http)?;
        let ticker = tokio::spawn(super::ticker::run(planes, opened.kept_up));
        announce(address, &settings);
        Ok(Self {
            address,
            server,
            socket: settings.admin.path,
            tasks,
            ticker,
            data: watches.data,
            control,
            source_threads,
            data_threads: watches.threads,
            event_log: watches.event_log,
            control_thread: decides.thread,
            stopping,
            rejects: opened.rejects,
            reloads,
            archive,
            heartbeat_at: opened.metrics.process.heartbeat_at,
        })
    }

    /// When each stage last showed that all its threads live.
    pub const fn heartbeat_at(&self) -> &Oldest {
        &self.heartbeat_at
    }

    /// The way to the task that reloads the configuration.
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends in order: nothing that was taken is lost.
    pub async fn stop(self) {
        tracing::info!("stopping: no new events are accepted, requests in flight are finished");
        self.stopping.store(true, Ordering::Relaxed);
        if !self.server.stop(GRACE).await {
            tracing::warn!("some requests did not finish in time");
        }
        if let Some(socket) = &self.socket {
            // Someone may have removed it.
            let _gone = std::fs::remove_file(socket);
        }
        self.ticker.abort();
        join(self.source_threads).await;
        self.data.broadcast(|| DataMessage::Stop).await;
        join(self.data_threads).await;
        self.control.send(ControlMessage::Stop).await;
        join(vec![self.control_thread]).await;
        let (archive, archiving) = self.archive;
        archive.stop(&archiving);
        join(vec![archiving]).await;
        let (appender, event_log) = self.event_log;
        appender.stop();
        join(vec![event_log]).await;
        for task in self.tasks {
            if tokio::time::timeout(GRACE, task).await.is_err() {
                tracing::warn!(
                    "a store did not answer in time; its decisions are delivered after the next \
                     start"
                );
            }
        }
        if !self.rejects.flush(clock::now()) {
            tracing::warn!("can't write rejected records");
        }
        tracing::info!("stopped");
    }
}

fn announce(address: SocketAddr, settings: &Settings) {
    tracing::info!(
        %address, data_dir = %settings.data_dir.display(),
        mode = %settings.control.modes.default, "tripline is running"
    );
}

/// The resources of the control plane.
struct ControlResources {
    past: Recovered,
    ledger: BudgetStore,
    revocation_limit: Option<RedisStore>,
    receivers: Vec<Receiver>,
    archive: FindingArchive,
    reserve: Reserve,
}

/// Everything that is opened before anything starts.
struct Resources {
    socket: Option<UnixListener>,
    keys: JwkSet,
    embedded: EmbeddedStore,
    stores: Vec<AuthStore>,
    watched: OpenedWatchlist,
    snapshots: Snapshots,
    shared_snapshots: Snapshots,
    event_log: EventLog,
    topic: Option<TopicWriter>,
    metrics: Metrics,
    fingerprints: Arc<Fingerprinter>,
    fleet: (OwnInstance, Option<Arc<Peers>>),
    leaks: OpenedLeaks,
    seed: HashSeed,
    rejects: Arc<RejectLog>,
    kept_up: MaintainedFiles,
}

impl Resources {
    fn open(settings: &Settings) -> Result<(ControlResources, Self), StartError> {
        let folder = &settings.data_dir;
        let reserve = Reserve::open(folder);
        let clock_path = folder.join("clock");
        let clock = ClockFile::resume(&clock_path).map_err(at(&clock_path))?;
        let key = fingerprint_key(settings)?;
        let letters = folder.join("rejects.ndjson");
        let rejects = RejectLog::open(&letters, settings.rejects, clock::now());
        let rejects = Arc::new(rejects.map_err(at(&letters))?);
        let seed = key_material::seed_of(&key);
        let egress = Egress::new(&settings.egress)?;
        let (embedded, stores, instance) = open_stores(settings, &egress)?;
        embedded.set_reserve(reserve.clone());
        let mut settings = settings.clone();
        let fleet = OwnInstance::of(&settings, instance, &key)?;
        let fingerprints = Fingerprinter::new(key).with_random_ids(settings.random_ids);
        let fingerprints = Arc::new(fingerprints.with_raw_names(settings.has_raw_secrets_alone()));
        settings.control.operators = Some(super::reload::operators(&settings, &fingerprints));
        let revocation_limit =
            super::shared_tokens::shared_among(&stores, &mut settings.control.revocation_limit);
        let receivers = open_receivers(&settings, &egress)?;
        let keys = published_keys(&stores);
        let (journal, is_fleet) = (folder.join("journal.ndjson"), revocation_limit.is_some());
        let mut past = Recovered::read(&settings, &journal, &stores, (instance, is_fleet))?;
        super::heal::heal(&embedded, &past);
        let (ledger_file, ledger) = BudgetStore::open(&folder.join("ledger.json"));
        past.control.set_ledger(ledger);
        let (checkpoints, events) = (folder.join("checkpoints"), folder.join("events"));
        let metrics = Metrics::register_for(&settings.sources, &stores)?;
        let limit = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        metrics.profiles.bytes_max.set(limit(settings.partition.all_bytes() as u64));
        metrics.event_log.bytes_max.set(limit(settings.event_log.bytes_max));
        let snapshots =
            Snapshots::open(&checkpoints, &metrics.checkpoint).map_err(at(&checkpoints))?;
        snapshots.set_reserve(reserve.clone());
        metrics.policy.show_mode(settings.control.modes.default);
        let archive = open_archive(&settings, &metrics.storage)?;
        let watched = OpenedWatchlist::open(folder, &past.control, seed)?;
        let leaks = OpenedLeaks::open(&settings, &egress, &fingerprints)?;
        let decides = ControlResources {
            past,
            ledger: ledger_file,
            revocation_limit,
            receivers,
            archive,
            reserve: reserve.clone(),
        };
        let opened = Self {
            topic: open_topic(&settings, &metrics)?,
            // Only who has the journal may take the place of the socket.
            socket: bind_socket(&settings.admin)?,
            keys,
            embedded,
            stores,
            watched,
            event_log: EventLog::open(&events, settings.event_log, seed, &metrics.event_log)
                .map_err(at(&events))?,
            shared_snapshots: match &settings.checkpoints_url {
                Some(url) => Snapshots::open_at(url, &metrics.checkpoint)?,
                None => snapshots.clone(),
            },
            snapshots,
            leaks,
            metrics,
            fingerprints,
            fleet,
            seed,
            kept_up: MaintainedFiles { rejects: Arc::clone(&rejects), reserve, clock },
            rejects,
        };
        Ok((decides, opened))
    }

    /// The way in for sources with threads of their own.
    fn sink(
        &self,
        bounds: &Arc<RateBounds>,
        stopping: &Arc<AtomicBool>,
    ) -> impl FnOnce(&Arc<Source>) -> EventSink + use<> {
        let (fingerprints, seed) = (Arc::clone(&self.fingerprints), self.seed);
        let (records, rejects) = (self.metrics.sources.clone(), Arc::clone(&self.rejects));
        let (bounds, stopping) = (Arc::clone(bounds), Arc::clone(stopping));
        move |ingest| {
            let ingest = Arc::clone(ingest);
            EventSink { ingest, fingerprints, seed, records, rejects, bounds, stopping }
        }
    }

    /// The state that the Kafka source shares with the rest, and the task that writes its checkpoints.
    fn share(
        &self,
        settings: &Settings,
        control: ControlPlane,
        stopping: &Arc<AtomicBool>,
    ) -> (consumer::Shared, tokio::task::JoinHandle<()>) {
        let (writer, writes) = self.shared_snapshots.start();
        let shared = consumer::Shared {
            snapshots: self.shared_snapshots.clone(),
            writer,
            checkpoint_interval_ms: settings.checkpoint_interval_ms,
            runtime: Handle::current(),
            partition: Arc::new(RwLock::new(Arc::new(super::memory::of_kafka(settings)))),
            owned: Arc::default(),
            advertised: Arc::clone(&self.fleet.0.advertised),
            seed: self.seed,
            markers: Arc::clone(&self.watched.markers),
            fingerprints: Arc::clone(&self.fingerprints),
            control,
            metrics: self.metrics.consumer.clone(),
            records: self.metrics.sources.clone(),
            threads: self.metrics.thread(),
            rejects: Arc::clone(&self.rejects),
            stopping: Arc::clone(stopping),
        };
        (shared, writes)
    }
}

fn fingerprint_key(settings: &Settings) -> Result<Vec<u8>, StartError> {
    let path = settings.fingerprint_key_file.clone();
    let path = path.unwrap_or_else(|| settings.data_dir.join("fingerprint.key"));
    key_material::fingerprint_key(&path).map_err(at(&path))
}

fn start_archive(archive: &FindingArchive) -> Result<(FindingArchive, JoinHandle<()>), StartError> {
    Ok((archive.clone(), archive.start().map_err(StartError::Thread)?))
}

fn open_archive(
    settings: &Settings,
    metrics: &StorageMetrics,
) -> Result<FindingArchive, StartError> {
    let path = settings.data_dir.join("findings.db");
    let errors = metrics.finding_errors.clone();
    FindingArchive::open(&path, settings.findings, errors)
        .map_err(|source| StartError::Findings { path, source })
}

/// The control plane, the outboxes behind it, and what they share with those who ask.
struct ControlHandle {
    control: ControlPlane,
    board: Arc<RecentEvents>,
    history: History,
    durable: Arc<AtomicBool>,
    /// Whether it knows the decisions of the other instances.
    caught_up: Arc<AtomicBool>,
    /// The decisions that are carried out from now on.
    carried_out: mpsc::UnboundedReceiver<Arc<Decision>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    thread: JoinHandle<()>,
}

fn start_control_plane(
    decides: ControlResources,
    resources: &Resources,
) -> Result<ControlHandle, StartError> {
    let ControlResources { past, ledger, revocation_limit, receivers, archive, reserve } = decides;
    let (stores, metrics) = (resources.stores.clone(), &resources.metrics);
    let (control, messages) = ControlPlane::new();
    let board = Arc::new(past.board);
    let durable = Arc::new(AtomicBool::new(true));
    let task = |store| delivery::DeliveryTask {
        store,
        control: control.clone(),
        metrics: metrics.enforce.clone(),
        history: past.history.clone(),
    };
    let shared = stores.iter().find_map(AuthStore::shared);
    let (notifiers, notifying) = Notifiers::start(receivers, &metrics.notify);
    let (stores, mut tasks) = delivery::start(stores.into_iter().map(task), past.feeds, past.due);
    tasks.extend(notifying);
    let (caught_up, votes) =
        follower::start(shared, revocation_limit.is_some(), (&control, &metrics.fleet))?;
    let revocation_limit = revocation_limit.map(|store| {
        let exchange = Exchange {
            store: store.clone(),
            control: control.clone(),
            own_instance: resources.fleet.0.clone(),
            metrics: metrics.fleet.clone(),
            lag: metrics.consumer.lag.clone(),
        };
        tasks.push(tokio::spawn(exchange.run()));
        SharedRevocationLimit { store, control: control.clone(), runtime: Handle::current() }
    });
    let (watchlist, carried_out) = mpsc::unbounded_channel();
    let mut thread = ControlThread {
        control: past.control,
        journal: past.journal,
        ledger,
        reserve,
        board: Arc::clone(&board),
        archive,
        stores,
        revocation_limit,
        watchlist,
        votes,
        notifiers,
        metrics: controller_metrics(metrics),
        durable: Arc::clone(&durable),
        in_use: std::collections::BTreeMap::new(),
        tenants: TenantMinutes::default(),
        slow_gauges_at: None,
    };
    thread.show(clock::now());
    let thread = spawn("control", move || thread.run(messages))?;
    let history = past.history;
    Ok(ControlHandle { control, board, history, durable, caught_up, carried_out, tasks, thread })
}

/// The groups that the thread of the control plane sets.
fn controller_metrics(metrics: &Metrics) -> ControllerMetrics {
    ControllerMetrics {
        decisions: metrics.decisions.clone(),
        policy: metrics.policy.clone(),
        fleet: metrics.fleet.clone(),
        journal: metrics.journal.clone(),
        findings: metrics.shards.findings.clone(),
        profiles: metrics.profiles.clone(),
        budget_errors: metrics.storage.budget_errors.clone(),
        heartbeat_at: metrics.process.heartbeat_at.clone(),
        clock_offset: metrics.process.clock_offset.clone(),
    }
}

/// Serves, with as many connections as files may be open.
fn serve(
    listener: TcpListener,
    socket: Option<UnixListener>,
    router: &axum::Router,
    metrics: &HttpMetrics,
) -> Result<Server, StartError> {
    let closed = &metrics.connections_closed;
    let server = Server::start(listener, socket, router, open_files::raise_limit(), closed);
    server.map_err(StartError::Thread)
}

/// Makes the data folder, and listens.
async fn bind(settings: &Settings) -> Result<(TcpListener, SocketAddr), StartError> {
    make_folder(&settings.data_dir).map_err(at(&settings.data_dir))?;
    let address = settings.http.listen;
    let bind = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    Ok((listener, address))
}

fn bind_socket(params: &unix_socket::Params) -> Result<Option<UnixListener>, StartError> {
    let Some(path) = &params.path else { return Ok(None) };
    let bound = unix_socket::bind(path, params.mode);
    bound.map(Some).map_err(|source| StartError::Socket { path: path.clone(), source })
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

async fn join(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        threads.into_iter().all(|thread| thread.join().is_ok())
    });
    if !joined.await.unwrap_or(false) {
        tracing::error!("a thread panicked");
    }
}
