//! What outlives a restart: checkpoints and the event log.

use super::values::one_of;
use crate::app::settings::reader::{Section, Wrong};
use crate::app::settings::units::{bytes, duration_ms};
use crate::edge::event_log::{Params, Sync};

/// How often what is remembered of credentials is written down. Unit: milliseconds.
pub(super) fn checkpoints(section: Section<'_>) -> i64 {
    let every = section.get("every", |value| match duration_ms(value)? {
        ms if ms < 1_000 => Err(Wrong::new("this is too often", "write 1s or more")),
        ms => Ok(ms),
    });
    section.finish();
    every.unwrap_or(60_000)
}

/// The event log.
pub(super) fn event_log(section: Section<'_>) -> Params {
    let default = Params::default();
    let parse = |name: &str| Sync::ALL.into_iter().find(|one| one.as_str() == name);
    let sync = section.get("sync", |value| one_of(value, parse, &Sync::ALL.map(Sync::as_str)));
    let bytes_max = section.get("max", |value| match bytes(value)? {
        small if small < 1 << 20 => Err(Wrong::new("this is too small", "write 1MiB or more")),
        size => Ok(size),
    });
    let reserve_bytes = section.get("reserve", bytes);
    section.finish();
    Params {
        sync: sync.unwrap_or(default.sync),
        bytes_max: bytes_max.unwrap_or(default.bytes_max),
        reserve_bytes: reserve_bytes.unwrap_or(default.reserve_bytes),
    }
}
