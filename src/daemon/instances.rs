//! The fleet as all instances see it together, through a store that all of them ask: who they are, how many
//! credentials there are, on which the revocation limit depends, how many burst at once, and what tenants take.

use crate::adapters::channels::{ControlMessage, ControlPlane};
use crate::adapters::clock;
use crate::adapters::control_plane::metrics::FleetMetrics;
use crate::adapters::egress::{self, Egress};
use crate::adapters::enforce::redis::store::RedisStore;
use crate::adapters::fleet::peers::{Peers, SharedRoster};
use crate::adapters::fleet::signature::FleetKey;
use crate::adapters::sources::kafka::advertised::Advertised;
use crate::adapters::target::Target;
use crate::config::settings::Settings;
use crate::control_plane::instance_summary::InstanceSummary;
use crate::control_plane::roster::{KnownInstance, Roster, SILENT_MS};
use crate::model::decision::InstanceId;
use crate::model::registration::Registration;
use prometheus::IntGauge;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often an instance reports and asks.
const EVERY: Duration = Duration::from_secs(1);
/// How long what was reported holds while the store does not answer.
const HOLDS: Duration = Duration::from_millis(SILENT_MS);
/// How long another instance may take to answer. Chosen: people look at the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// The longest answer of another instance. Unit: bytes. Chosen: a thousand rows are some megabytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// This instance, as it is among the others.
#[derive(Clone, Debug)]
pub(super) struct OwnInstance {
    /// Its registration, as far as that does not change.
    registration: Registration,
    key: FleetKey,
    /// The partitions that it owns.
    pub(super) advertised: Arc<Advertised>,
    /// The instances that are known.
    pub(super) roster: SharedRoster,
}

impl OwnInstance {
    /// Of the instance of these settings, and the way to the others.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub(super) fn of(
        settings: &Settings,
        instance: InstanceId,
        fingerprint_key: &[u8],
    ) -> Result<(Self, Option<Arc<Peers>>), egress::EgressSetupError> {
        let own_instance = Self::new(settings, instance, FleetKey::of(fingerprint_key));
        let peers = own_instance.peers(settings)?;
        Ok((own_instance, peers))
    }

    fn new(settings: &Settings, instance: InstanceId, key: FleetKey) -> Self {
        let url = settings.fleet_url.as_ref();
        let kafka = settings.sources.kafka.as_ref().and_then(|kafka| kafka.instance.clone());
        let name = kafka.or_else(|| url.map(Target::authority));
        let registration = Registration {
            instance,
            name: name.unwrap_or_else(|| instance.to_string()),
            url: url.map(Target::origin),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            key: key.check(),
            ..Registration::default()
        };
        Self { registration, key, advertised: Arc::default(), roster: SharedRoster::default() }
    }

    /// Which instance it is.
    pub(super) const fn instance(&self) -> InstanceId {
        self.registration.instance
    }

    /// The way to the others, where they can reach this one too.
    fn peers(&self, settings: &Settings) -> Result<Option<Arc<Peers>>, egress::EgressSetupError> {
        let Some(url) = &settings.fleet_url else { return Ok(None) };
        let params = egress::Params {
            timeout: ANSWER_WAIT,
            answer_bytes_max: ANSWER_BYTES_MAX,
            ..settings.egress.clone()
        };
        Ok(Some(Arc::new(Peers {
            me: self.instance(),
            name: self.registration.name.clone(),
            authority: url.authority(),
            key: self.key.clone(),
            egress: Egress::new(&params)?,
            roster: Arc::clone(&self.roster),
        })))
    }
}

/// The task that keeps this instance among the others.
pub(super) struct Exchange {
    /// Where all of them report.
    pub(super) store: RedisStore,
    /// The control plane.
    pub(super) control: ControlPlane,
    /// This instance.
    pub(super) own_instance: OwnInstance,
    /// Metrics of the fleet.
    pub(super) metrics: FleetMetrics,
    /// Records of Kafka that wait.
    pub(super) lag: IntGauge,
}

impl Exchange {
    /// Reports to the others what this instance knows, and the control plane what they do, until that ends; then
    /// this instance has left.
    pub(super) async fn run(self) {
        let mut interval = tokio::time::interval(EVERY);
        let (mut last, mut fails) = (Instant::now(), false);
        loop {
            interval.tick().await;
            let Some((own, mode)) = self.control.summary().await else { break };
            let me = Registration {
                mode: mode.as_str().to_owned(),
                topics: self.own_instance.advertised.topics(clock::now()),
                lag: u64::try_from(self.lag.get()).unwrap_or_default(),
                ..self.own_instance.registration.clone()
            };
            let asked = tokio::time::timeout(EVERY, self.store.share(&me, &own)).await;
            let failed = match asked {
                Ok(Ok(_)) => None,
                Ok(Err(ref error)) => Some(error.to_string()),
                Err(_) => Some("no answer within a second".to_owned()),
            };
            if failed.is_some() != fails {
                fails = failed.is_some();
                if let Some(error) = &failed {
                    tracing::warn!(error, "can't read the summaries of other instances");
                } else {
                    tracing::info!("instances exchange summaries again");
                }
            }
            let heard = match asked {
                Ok(Ok(reported)) => Some(reported),
                Ok(Err(_)) | Err(_) if last.elapsed() < HOLDS => continue,
                Ok(Err(_)) | Err(_) => None,
            };
            last = Instant::now();
            let mut together = InstanceSummary::default();
            if let Some(reported) = heard {
                let present = || reported.iter().filter(|one| one.age_ms <= SILENT_MS);
                present().for_each(|one| together.merge(&one.summary));
                let is_whole = present().all(|one| one.known.is_some());
                let number = present().count();
                let mut instances = vec![KnownInstance { registration: me, age_ms: 0 }];
                instances.extend(reported.into_iter().filter_map(|one| one.known));
                self.note(Roster::new(instances, is_whole), number);
            } else {
                // Alone, an instance follows what it knows itself. The others may be there all the same.
                let roster = self.own_instance.roster.read().unheard();
                self.note(roster, 0);
            }
            if !self.control.send(ControlMessage::Others(together)).await {
                break;
            }
        }
        if let Err(error) = self.store.leave(self.own_instance.instance()).await {
            tracing::warn!(%error, "can't leave: the other instances miss this one for ten minutes");
        }
    }

    /// Notes who there is; `present`: how many others were heard.
    fn note(&self, roster: Roster, present: usize) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let silent = roster.instances().iter().filter(|known| known.is_silent()).count();
        let fleet = &self.metrics;
        fleet.instances.set(count(present + 1));
        fleet.silent.set(count(silent));
        let unowned = roster.unowned().values().map(|one| i64::from(one.number)).sum();
        fleet.unowned.set(unowned);
        fleet.not_keyed.set(count(roster.not_keyed().len()));
        fleet.different.set(count(roster.different(self.own_instance.instance()).len()));
        *self.own_instance.roster.write() = Arc::new(roster);
    }
}
