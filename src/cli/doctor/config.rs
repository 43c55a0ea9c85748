//! Checks of the configuration: its mistakes, and its expired entries.

use super::report::{Area, Check};
use crate::adapters::clock;
use crate::config::loader;
use crate::config::loader::LoadError;
use crate::config::reader;
use crate::config::settings::Settings;
use std::path::Path;

/// Reads it; the settings, if it has no mistakes.
pub(super) fn read(file: Option<&Path>) -> (Option<Settings>, Vec<Check>) {
    let area = Area::new("configuration");
    let loaded = match file {
        Some(file) => loader::load(file),
        None => loader::defaults(loader::environment()).map_err(LoadError::from),
    };
    match loaded {
        Ok(settings) => {
            let found = file.map_or_else(
                || "no --config: defaults and environment, as of a daemon without one".into(),
                |file| format!("{} has none", file.display()),
            );
            let mut checks = vec![area.ok("mistakes", found)];
            checks.extend(file.into_iter().flat_map(|file| expired(&area, file)));
            (Some(settings), checks)
        }
        Err(LoadError::Problems(problems)) => {
            let check = |one: &reader::Problem| {
                area.failed("mistakes", one.message.clone(), one.remedy.clone())
            };
            let mut checks: Vec<Check> = problems.all().iter().map(check).collect();
            if let (Some(file), Some(last)) = (file, checks.last_mut()) {
                let more = format!("\n`tripline check {}` shows the places", file.display());
                last.found.push_str(&more);
            }
            (None, checks)
        }
        Err(error @ LoadError::Read { .. }) => {
            let why = std::error::Error::source(&error).map_or(String::new(), ToString::to_string);
            let remedy = "name a file that you may read: --config FILE";
            (None, vec![area.failed("mistakes", format!("{error}: {why}"), remedy)])
        }
    }
}

/// Expired entries of the allow list: the daemon goes on without them.
fn expired(area: &Area, file: &Path) -> Vec<Check> {
    match loader::load_at(file, Some(clock::now())) {
        Ok(_) => vec![area.ok("expired", "no entry of [allow_list]")],
        Err(LoadError::Problems(problems)) => {
            let warn = |one: &reader::Problem| {
                area.warning("expired", one.message.clone(), one.remedy.clone())
            };
            problems.all().iter().map(warn).collect()
        }
        // It was read a moment ago.
        Err(LoadError::Read { .. }) => vec![area.skipped("expired", "the file is gone")],
    }
}
