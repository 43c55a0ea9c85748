//! All sections of the configuration, with their defaults.

use super::detection::{engine, profile};
use super::response::journal;
use super::servers::{admin, egress, http, rejects};
use super::sources::sources;
use super::state::{checkpoints, event_log, findings};
use super::stores::auth_stores;
use super::values::{key_file, path, secrets_as_names};
use crate::adapters::enforce::auth_store::{self, KindOfStore};
use crate::adapters::http::unix_socket;
use crate::adapters::redis_connection::ServerAddress;
use crate::config::reader::Section;
use crate::config::settings::Settings;
use crate::config::value::InvalidValue;
use crate::control_plane;
use crate::data_plane::partition;
use crate::model::credential::Kind;
use crate::model::finding::Detector;
use std::collections::BTreeSet;

/// Reads the whole file.
pub(in crate::config) fn read(root: &Section<'_>) -> Settings {
    let data_dir = root.read("data_dir", path).unwrap_or_default();
    let (socket, mode) = admin(root.section("admin"));
    let path_of_socket = match socket {
        Some(path) if path.as_os_str().is_empty() => None,
        Some(path) => Some(path),
        None => Some(data_dir.join("tripline.sock")),
    };
    let egress = egress(root.section("egress"));
    let stores = auth_stores(&root.section("auth_store"), &egress);
    let sources = sources(root.section("sources"), root.section("prices"), redis_of(&stores));
    let leaks = super::leaks::leaks(&root.section("leaks"), &egress, redis_of(&stores));
    let fingerprint_key_file = root.get("fingerprint_key_file", key_file);
    let random_ids = root.flag("random_ids");
    secrets_as_names(root, random_ids);
    let (checkpoint_interval_ms, checkpoints_url) =
        checkpoints(root.section("checkpoints"), fingerprint_key_file.is_some());
    let (profile, tenant_sums) = profile(root);
    let watched = !profile.disabled.has(Detector::TenantFlood);
    let tenant_flood = watched.then_some(profile.tenant_flood);
    let (partition, threads) = engine(root.section("engine"));
    let control = super::response::control(root);
    let has_redis = stores.iter().any(auth_store::Params::can_be_shared);
    let lacks = super::servers::Lacks {
        redis: !has_redis,
        instances: control.revocation_limit.instances <= 1,
        key: fingerprint_key_file.is_none(),
    };
    let fleet_url = super::servers::fleet_url(root.section("fleet"), &egress, lacks);
    let settings = Settings {
        file: None,
        data_dir,
        admin: unix_socket::Params { path: path_of_socket, mode },
        http: http(root.section("http")),
        decoder: sources.decoders.get(sources.only()).cloned().unwrap_or_default(),
        decoder_source: sources.only().to_owned(),
        sources,
        threads,
        partition: partition::Params { profile, ..partition },
        control: control_plane::params::Params { tenant_flood, tenant_sums, ..control },
        fleet_url,
        stores,
        receivers: super::notify::receivers(&root.section("notify"), &egress),
        leaks,
        egress,
        fingerprint_key_file,
        random_ids,
        journal_rotate_bytes: journal(root.section("journal")),
        checkpoint_interval_ms,
        checkpoints_url,
        event_log: event_log(root.section("event_log")),
        findings: findings(root.section("findings")),
        rejects: rejects(root.section("rejects")),
    };
    report_contradictions(root, &settings);
    finish_root(root);
    let named_tenants = tenants_of(&settings);
    Settings { partition: partition::Params { named_tenants, ..settings.partition }, ..settings }
}

/// Reports settings that contradict each other.
fn report_contradictions(root: &Section<'_>, settings: &Settings) {
    if let Some(name) = settings.sources.listening_at(settings.http.listen) {
        root.report(InvalidValue::new(
            format!("[sources.{name}] listens where [http] does, at {}", settings.http.listen),
            "give each a port of its own",
        ));
    }
    if settings.control.revocation_limit.instances > 1
        && let Some(store) = out_of_order(&settings.stores)
    {
        root.report(InvalidValue::new(
            format!(
                "[auth_store.{}] can't tell which of two instances decided last, and no \
                 [auth_store.redis] gives the decisions on its kinds one order",
                store.name
            ),
            "add [auth_store.redis] with those kinds, which all instances write, or leave \
             [revocation_limit] instances at 1",
        ));
    }
}

/// Where the Redis of the auth store is, if there is one.
fn redis_of(stores: &[auth_store::Params]) -> Option<&ServerAddress> {
    stores.iter().find_map(|store| match &store.of {
        KindOfStore::Redis(params) => Some(&params.place),
        KindOfStore::Webhook(_) | KindOfStore::OAuth(_) | KindOfStore::SharedSignals(_) => None,
    })
}

/// A store that gets decisions of several instances which nothing puts in order.
fn out_of_order(stores: &[auth_store::Params]) -> Option<&auth_store::Params> {
    let ordered = stores.iter().find(|store| store.can_be_shared());
    let is_ordered = |kind: Kind| ordered.is_some_and(|store| store.kinds.has(kind));
    stores
        .iter()
        .find(|store| Kind::ALL.into_iter().any(|kind| store.kinds.has(kind) && !is_ordered(kind)))
}

/// The tenants that rules are about.
fn tenants_of(settings: &Settings) -> BTreeSet<String> {
    let modes = settings.control.modes.by_tenant.keys();
    let limits = settings.partition.profile.limits.by_tenant.keys();
    let sums = settings.control.tenant_sums.keys();
    modes
        .chain(limits)
        .chain(sums)
        .chain(settings.control.allow_list.tenants.keys())
        .cloned()
        .collect()
}

fn finish_root(root: &Section<'_>) {
    for name in root.names() {
        root.unknown(&name);
    }
}
