//! State that outlives a restart: checkpoints, the event log, findings.

use super::values::one_of;
use crate::adapters::checkpoint::store::SCHEMES;
use crate::adapters::event_log::log::{Params, Sync};
use crate::adapters::storage::finding_archive;
use crate::config::reader::Section;
use crate::config::value::InvalidValue;
use url::Url;

/// How often what is remembered of credentials is written down, in milliseconds, and where that of
/// Kafka is kept; none: in the data folder. `has_key`: whether the fingerprint key is a given one.
pub(super) fn checkpoints(section: Section<'_>, has_key: bool) -> (i64, Option<Url>) {
    let interval_ms = section.duration_ms("interval");
    let url = section.get("url", |value| {
        let remedy = "write file:///folder, s3://bucket/folder, gs://… or az://…";
        let url = Url::parse(value.text()?)
            .map_err(|error| InvalidValue::new(error.to_string(), remedy))?;
        // Parts of the URL besides the place may be a secret, and it is shown.
        let is_place = url.username().is_empty() && url.query().is_none();
        if !has_key {
            let message = "instances that share checkpoints need the same fingerprint key";
            return Err(InvalidValue::new(
                message,
                "set fingerprint_key_file, to the same on all of them",
            ));
        }
        if SCHEMES.contains(&url.scheme()) && is_place {
            if url.scheme() != "file" && !cfg!(feature = "cloud") {
                let message =
                    format!("this build does not support checkpoints at {}://", url.scheme());
                return Err(InvalidValue::new(
                    message,
                    "build it with --features cloud, or name a folder",
                ));
            }
            Ok(url)
        } else {
            Err(InvalidValue::new("unusable place for checkpoints", remedy))
        }
    });
    section.finish();
    (interval_ms, url)
}

/// The event log.
pub(super) fn event_log(section: Section<'_>) -> Params {
    let parse = |name: &str| Sync::ALL.into_iter().find(|one| one.as_str() == name);
    let sync = section.read("sync", |value| one_of(value, parse, &Sync::ALL.map(Sync::as_str)));
    let params = Params {
        sync: sync.unwrap_or_default(),
        bytes_max: section.size("max"),
        reserve_bytes: section.size("min_free_disk"),
    };
    section.finish();
    params
}

/// Findings on disk.
pub(super) fn findings(section: Section<'_>) -> finding_archive::Params {
    let params = finding_archive::Params {
        keep_ms: section.duration_ms("keep"),
        bytes_max: section.size("max"),
    };
    section.finish();
    params
}
