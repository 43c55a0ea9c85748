//! The servers that the daemon speaks to: auth stores and receivers of notifications.

use super::metrics::Metrics;
use super::start_error::{StartError, at};
use crate::adapters::egress::Egress;
use crate::adapters::enforce::auth_store::AuthStore;
use crate::adapters::enforce::embedded::store::EmbeddedStore;
use crate::adapters::notify::receiver::Receiver;
use crate::adapters::sources::kafka::topic_writer::TopicWriter;
use crate::adapters::storage::key_material;
use crate::config::settings::Settings;
use crate::formats::outbound::security_event::JwkSet;
use crate::model::decision::InstanceId;

/// Opens the receivers of notifications.
pub(super) fn open_receivers(
    settings: &Settings,
    egress: &Egress,
) -> Result<Vec<Receiver>, StartError> {
    let receivers = settings.receivers.iter().cloned();
    let opened = receivers.map(|one| Receiver::open(one, egress.clone()));
    Ok(opened.collect::<Result<_, _>>()?)
}

/// The keys by which receivers know what the stores sign.
pub(super) fn published_keys(stores: &[AuthStore]) -> JwkSet {
    let transmitters = stores.iter().filter_map(AuthStore::transmitter);
    JwkSet { keys: transmitters.flat_map(|transmitter| transmitter.keys().keys).collect() }
}

/// Opens the embedded store, then all stores, and reads which instance it is.
pub(super) fn open_stores(
    settings: &Settings,
    egress: &Egress,
) -> Result<(EmbeddedStore, Vec<AuthStore>, InstanceId), StartError> {
    let folder = &settings.data_dir;
    let epoch = format!("{:016x}", key_material::random_seed().map_err(at(folder))?.0);
    let embedded = EmbeddedStore::open(&folder.join("credentials.db"), &epoch)?;
    let path = folder.join("instance");
    let instance = key_material::instance_id(&path).map_err(at(&path))?;
    let others = settings.stores.iter().cloned();
    let others = others.map(|params| AuthStore::open(params, (&epoch, instance), egress));
    let own = std::iter::once(Ok(AuthStore::embedded(embedded.clone())));
    let stores = own.chain(others).collect::<Result<_, _>>()?;
    Ok((embedded, stores, instance))
}

/// The way of HTTP sources into a topic, where there is one.
pub(super) fn open_topic(
    settings: &Settings,
    metrics: &Metrics,
) -> Result<Option<TopicWriter>, StartError> {
    let kafka = settings.sources.written_topic();
    let opened = kafka.map(|kafka| TopicWriter::new(kafka, metrics.topic.clone()));
    Ok(opened.transpose()?)
}
