//! Files and folders: the data folder, the fingerprint key, and what secrets are read from.

use super::report::{Area, Check};
use crate::adapters::event_log::log;
use crate::adapters::storage::key_material::KEY_BYTES;
use crate::config::loader;
use crate::config::settings::Settings;
use rustix::fs::{Access, access, statvfs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Settings that name a file which is no secret.
const PUBLIC: [&str; 2] = ["ca_file", "client_cert_file"];

/// Metadata of a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    path: PathBuf,
    /// Its permissions; none if it is not there.
    mode: Option<u32>,
    /// Whose it is.
    owner: u32,
    /// The caller.
    asked_by: u32,
    readable: bool,
    writable: bool,
    bytes: u64,
}

impl Facts {
    fn of(path: &Path) -> Self {
        let found = std::fs::metadata(path).ok();
        let may = |way| access(path, way).is_ok();
        Self {
            path: path.to_owned(),
            mode: found.as_ref().map(|found| found.mode() & 0o777),
            owner: found.as_ref().map_or(0, MetadataExt::uid),
            asked_by: rustix::process::geteuid().as_raw(),
            readable: may(Access::READ_OK),
            writable: may(Access::WRITE_OK),
            bytes: found.map_or(0, |found| found.len()),
        }
    }
}

/// Looks at all of them. `is_first`: the daemon has not run yet, and will make what is not there.
pub(super) fn check(settings: &Settings, is_first: bool) -> Vec<Check> {
    let area = Area::new("files");
    let folder = Facts::of(&settings.data_dir);
    let mut checks = vec![judge_folder(&area, &folder, is_first)];
    if let Ok(found) = statvfs(&settings.data_dir)
        && folder.mode.is_some()
    {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let held = size_of(&settings.data_dir.join("events"));
        checks.push(judge_space(&area, free, held, &settings.event_log));
    }
    let own = settings.data_dir.join("fingerprint.key");
    let key = Facts::of(settings.fingerprint_key_file.as_ref().unwrap_or(&own));
    if folder.mode.is_some() && !folder.readable && settings.fingerprint_key_file.is_none() {
        checks.push(area.skipped("fingerprint key", "you may not read the data folder"));
    } else {
        checks.push(judge_key(&area, &key, settings.fingerprint_key_file.is_some(), is_first));
    }
    let secrets: Vec<Facts> =
        secret_files(settings.file.as_deref()).iter().map(|path| Facts::of(path)).collect();
    checks.extend(judge_secrets(&area, &secrets));
    checks
}

/// The size of the files of a folder. Unit: bytes.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

fn judge_folder(area: &Area, folder: &Facts, is_first: bool) -> Check {
    let path = folder.path.display();
    let Some(mode) = folder.mode else {
        let found = format!("{path} does not exist; the daemon creates it");
        if is_first {
            return area.ok("data folder", found);
        }
        let remedy =
            "if it has run before, name its configuration (--config FILE), or mount the folder";
        return area.warning("data folder", found, remedy);
    };
    if mode & 0o007 != 0 {
        let found = format!("{path} can be opened by every user of this machine (mode {mode:03o})");
        return area.failed("data folder", found, format!("chmod 0700 {path}"));
    }
    if folder.writable && folder.readable {
        let whose = if folder.owner == folder.asked_by {
            String::new()
        } else {
            format!(", belongs to user {}", folder.owner)
        };
        return area.ok("data folder", format!("{path}, mode {mode:03o}{whose}"));
    }
    if folder.owner == folder.asked_by {
        let found = format!("{path} can't be written (mode {mode:03o})");
        return area.failed(
            "data folder",
            found,
            format!("chmod 0700 {path}, or mount it writable"),
        );
    }
    let (owner, asked_by) = (folder.owner, folder.asked_by);
    area.skipped(
        "data folder",
        format!(
            "{path} belongs to user {owner}, and you are {asked_by}; run this as that user to see \
             whether it is writable"
        ),
    )
}

fn judge_space(area: &Area, free: u64, held: u64, log: &log::Params) -> Check {
    let shown = mib(free);
    if free < log.reserve_bytes {
        let found = format!(
            "{shown} free, less than [event_log] min_free_disk ({})",
            mib(log.reserve_bytes)
        );
        let remedy = "free disk space: below that, events are processed but not durable";
        return area.failed("space", found, remedy);
    }
    let may_grow = log.bytes_max.saturating_sub(held);
    if free < may_grow.saturating_add(log.reserve_bytes) {
        let found = format!(
            "{shown} free; the event log may grow by {} and leaves {}",
            mib(may_grow),
            mib(log.reserve_bytes)
        );
        let remedy = "lower [event_log] max, or give data_dir a larger disk";
        return area.warning("space", found, remedy);
    }
    area.ok("space", format!("{shown} free"))
}

fn judge_key(area: &Area, key: &Facts, configured: bool, is_first: bool) -> Check {
    let path = key.path.display();
    let Some(mode) = key.mode else {
        if configured {
            let remedy = format!("head -c 32 /dev/urandom > {path}; chmod 0600 {path}");
            return area.failed("fingerprint key", format!("{path} does not exist"), remedy);
        }
        let found = format!("{path} does not exist; the daemon creates it at its first start");
        if is_first {
            return area.ok("fingerprint key", found);
        }
        let remedy = "if there was one, restore it: fingerprints and checkpoints depend on it";
        return area.warning("fingerprint key", found, remedy);
    };
    if key.bytes < KEY_BYTES as u64 {
        let found = format!("{path} has {} bytes, and needs {KEY_BYTES}", key.bytes);
        return area.failed("fingerprint key", found, "put back the key that was there before");
    }
    match too_open(mode) {
        Some(whom) => {
            let found = format!("{path} can be {whom} (mode {mode:03o})");
            area.failed("fingerprint key", found, format!("chmod 0600 {path}"))
        }
        None => area.ok("fingerprint key", format!("{path}, {} bytes, mode {mode:03o}", key.bytes)),
    }
}

/// Permissions of others on a secret; its group may read it, as in Kubernetes.
const fn too_open(mode: u32) -> Option<&'static str> {
    if mode & 0o004 != 0 {
        Some("read by every user of this machine")
    } else if mode & 0o022 != 0 {
        Some("changed by others than its owner")
    } else {
        None
    }
}

fn judge_secrets(area: &Area, files: &[Facts]) -> Vec<Check> {
    if files.is_empty() {
        return vec![area.skipped("secrets", "the configuration names no file with a secret")];
    }
    let open = |file: &Facts| {
        let mode = file.mode?;
        let (whom, path) = (too_open(mode)?, file.path.display());
        let found = format!("{path} can be {whom} (mode {mode:03o})");
        Some(area.failed("secrets", found, format!("chmod 0600 {path}")))
    };
    let checks: Vec<Check> = files.iter().filter_map(open).collect();
    if checks.is_empty() {
        return vec![area.ok("secrets", format!("{} files, private", files.len()))];
    }
    checks
}

/// The files that hold secrets, by the configuration and the environment.
pub(crate) fn secret_files(file: Option<&Path>) -> Vec<PathBuf> {
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let mut found = Vec::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        collect(&table, &mut found);
    }
    for (name, value) in loader::environment() {
        let key = name.to_ascii_lowercase();
        if key.ends_with("_file") && !PUBLIC.iter().any(|public| key.ends_with(public)) {
            found.push(PathBuf::from(value));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn collect(table: &toml::Table, found: &mut Vec<PathBuf>) {
    for (key, value) in table {
        match (value.as_table(), value.as_str()) {
            (Some(inner), _) => collect(inner, found),
            (None, Some(path)) if key.ends_with("_file") && !PUBLIC.contains(&key.as_str()) => {
                found.push(PathBuf::from(path));
            }
            (None, _) => {}
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / 1_048_576.0;
    if mib >= 10_240.0 {
        format!("{} GiB", (mib / 1024.0) as u64)
    } else {
        format!("{} MiB", mib as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::{Area, Facts, judge_folder, judge_key, judge_secrets, judge_space};
    use crate::adapters::event_log::log;
    use crate::cli::doctor::report::State;

    fn facts(mode: Option<u32>) -> Facts {
        let path = "/data".into();
        Facts { path, mode, owner: 7, asked_by: 7, readable: true, writable: true, bytes: 32 }
    }

    #[test]
    fn what_others_may_open_is_told_with_the_command_that_shuts_it() {
        let area = Area::new("files");
        assert_eq!(judge_folder(&area, &facts(Some(0o700)), false).state, State::Ok);
        let open = judge_folder(&area, &facts(Some(0o755)), false);
        assert_eq!((open.state, open.remedy.as_deref()), (State::Failed, Some("chmod 0700 /data")));
        assert_eq!(judge_folder(&area, &facts(None), false).state, State::Warning);
        assert_eq!(judge_folder(&area, &facts(None), true).state, State::Ok);
        let of_others = Facts { asked_by: 8, writable: false, ..facts(Some(0o700)) };
        assert_eq!(judge_folder(&area, &of_others, false).state, State::Skipped);
        let shut = Facts { writable: false, ..facts(Some(0o500)) };
        assert_eq!(judge_folder(&area, &shut, false).state, State::Failed);

        for (mode, state) in
            [(0o600, State::Ok), (0o440, State::Ok), (0o604, State::Failed), (0o660, State::Failed)]
        {
            assert_eq!(judge_key(&area, &facts(Some(mode)), true, false).state, state, "{mode:o}");
            assert_eq!(judge_secrets(&area, &[facts(Some(mode))])[0].state, state, "{mode:o}");
        }
        let short = Facts { bytes: 31, ..facts(Some(0o600)) };
        assert_eq!(judge_key(&area, &short, true, false).state, State::Failed);
        assert_eq!(judge_key(&area, &facts(None), false, false).state, State::Warning);
    }

    #[test]
    fn space_is_held_against_what_the_event_log_may_take() {
        let area = Area::new("files");
        let log = log::Params { bytes_max: 8 << 30, reserve_bytes: 1 << 30, ..Default::default() };
        let state = |free: u64, held: u64| judge_space(&area, free << 30, held << 30, &log).state;
        assert_eq!(
            [state(0, 0), state(8, 0), state(9, 0)],
            [State::Failed, State::Warning, State::Ok]
        );
        assert_eq!(state(3, 6), State::Ok, "what it holds already it does not take again");
    }
}
