//! Facts of the machine: kernel, cores, memory, limits, the disk of the data folder.

use serde_json::{Map, Value, json};
use std::path::Path;

/// Files of a few words each, by what they are called here.
const WORDS: [(&str, &str); 8] = [
    ("kernel", "/proc/sys/kernel/osrelease"),
    ("load", "/proc/loadavg"),
    ("cgroup_memory_max", "/sys/fs/cgroup/memory.max"),
    ("cgroup_memory_current", "/sys/fs/cgroup/memory.current"),
    ("cgroup_cpu_max", "/sys/fs/cgroup/cpu.max"),
    ("overcommit_memory", "/proc/sys/vm/overcommit_memory"),
    ("swappiness", "/proc/sys/vm/swappiness"),
    ("clock_source", "/sys/devices/system/clocksource/clocksource0/current_clocksource"),
];
/// Lines of `/proc/meminfo` that are of use.
const MEMORY: [&str; 4] = ["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"];

/// Facts of the machine; those that can't be read are left out.
pub(super) fn facts(data_dir: Option<&Path>) -> Value {
    let mut facts = Map::new();
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    for (name, path) in WORDS {
        let text = read(path);
        if !text.is_empty() {
            facts.insert(name.to_owned(), text.trim().into());
        }
    }
    let system = read("/etc/os-release");
    let pretty = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    facts.insert("system".to_owned(), pretty.unwrap_or("").trim_matches('"').into());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    facts.insert("cores".to_owned(), cores.into());
    let memory = read("/proc/meminfo");
    let pairs = memory.lines().filter_map(|line| line.split_once(':'));
    let pairs = pairs.filter(|(name, _)| MEMORY.contains(name));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim().into()));
    facts.insert("memory".to_owned(), Value::Object(pairs.collect()));
    let limits = read("/proc/self/limits");
    let limits: Vec<&str> = limits.lines().collect();
    facts.insert("limits_of_this_command".to_owned(), json!(limits));
    if let Some(found) = data_dir.and_then(|folder| rustix::fs::statvfs(folder).ok()) {
        let disk = json!({
            "bytes": found.f_blocks.saturating_mul(found.f_frsize),
            "bytes_free": found.f_bavail.saturating_mul(found.f_frsize),
            "files_free": found.f_favail,
        });
        facts.insert("disk_of_data_dir".to_owned(), disk);
    }
    if let Some(folder) = data_dir {
        facts.insert("data_dir".to_owned(), sizes(folder).into());
    }
    Value::Object(facts)
}

/// Files in the data folder, a line each: how large, and its name there.
fn sizes(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let line = |entry: std::fs::DirEntry| {
        let found = entry.metadata().ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        Some(if found.is_dir() {
            let inner = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
            let bytes = inner.filter_map(|one| Some(one.metadata().ok()?.len()));
            let (files, bytes) = bytes.fold((0, 0), |(files, sum), one| (files + 1, sum + one));
            format!("{name}/ {files} entries, {bytes} bytes")
        } else {
            format!("{name} {} bytes", found.len())
        })
    };
    let mut lines: Vec<String> = entries.filter_map(line).collect();
    lines.sort();
    lines
}
