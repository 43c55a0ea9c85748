//! What stands in each section of the configuration, with its default.

mod detection;
mod doors;
mod notify;
mod receivers;
mod response;
mod state;
mod stores;
mod values;

use super::Settings;
use super::reader::{Section, Value};
use crate::edge::api::local;
use crate::edge::planes;
use crate::engine::{control, partition};
use crate::model::finding::Detector;
use detection::{engine, profile};
use doors::{access_log, admin, dead_letters, decoder, http, kafka, outgoing};
use response::journal;
use state::{checkpoints, event_log, findings};
use std::collections::BTreeSet;
use stores::auth_stores;
use values::{key_file, path, secrets_as_names, within};

/// Reads the whole file.
pub(super) fn read(root: &Section<'_>) -> Settings {
    let intake = root.section("intake");
    let access_log = access_log(intake.section("access_log"));
    let decoder = decoder(&intake, access_log);
    let threads_max = i64::try_from(planes::SLOTS).unwrap_or(1);
    let threads = intake.get("threads", |v| within(v, 1, threads_max)).unwrap_or(2);
    intake.finish();
    let data_dir = root.get("data_dir", path).unwrap_or_else(|| "tripline-data".into());
    let (socket, mode) = admin(root.section("admin"));
    let path_of_socket = match socket {
        Some(path) if path.as_os_str().is_empty() => None,
        Some(path) => Some(path),
        None => Some(data_dir.join("tripline.sock")),
    };
    let outgoing = outgoing(root.section("outgoing"));
    let fingerprint_key_file = root.get("fingerprint_key_file", key_file);
    let random_ids = root.get("random_ids", Value::flag).unwrap_or(false);
    secrets_as_names(root, random_ids);
    let (checkpoint_every_ms, checkpoints_url) =
        checkpoints(root.section("checkpoints"), fingerprint_key_file.is_some());
    let (profile, tenant_sums) = profile(root);
    let watched = !profile.off.has(Detector::TenantFlood);
    let tenant_flood = watched.then_some(profile.tenant_flood);
    let settings = Settings {
        file: None,
        data_dir,
        admin: local::Params { path: path_of_socket, mode },
        http: http(root.section("http")),
        kafka: kafka(root.section("kafka")),
        decoder,
        access_log,
        threads: usize::try_from(threads).unwrap_or(2),
        partition: partition::Params { profile, ..engine(root.section("engine")) },
        control: control::Params { tenant_flood, tenant_sums, ..response::control(root) },
        stores: auth_stores(&root.section("auth_store"), &outgoing),
        receivers: notify::receivers(&root.section("notify"), &outgoing),
        outgoing,
        fingerprint_key_file,
        random_ids,
        journal_rotate_bytes: journal(root.section("journal")),
        checkpoint_every_ms,
        checkpoints_url,
        event_log: event_log(root.section("event_log")),
        findings: findings(root.section("findings")),
        dead_letters: dead_letters(root.section("dead_letters")),
    };
    finish_root(root);
    let named_tenants = tenants_of(&settings);
    Settings { partition: partition::Params { named_tenants, ..settings.partition }, ..settings }
}

/// The tenants that rules are about.
fn tenants_of(settings: &Settings) -> BTreeSet<String> {
    let postures = settings.control.postures.by_tenant.keys();
    let limits = settings.partition.profile.limits.by_tenant.keys();
    let sums = settings.control.tenant_sums.keys();
    postures
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
