//! tripline at Apache Kafka itself, with what the stand-ins of the other tests can't show.

mod faults;
mod fencing;
mod flow;
mod groups;
mod into_topic;
mod pods;
mod records;
mod security;
mod view;

use crate::support::daemon::{Daemon, event, now_ms};
use std::path::Path;
use std::time::Duration;

/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
const APPLIED: &str = "tripline_events_total";
const LAG: &str = "tripline_consumer_lag";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// An instance that revokes beyond 120 uses a minute and writes checkpoints each second. The last line
/// is within the table of the source.
fn config(brokers: &str) -> String {
    format!(
        "limits.default = \"120/min\"\nmode.default = \"revoke\"\n\
         [revocation_limit]\nper_hour = 100000\nper_tenant_hour = 100000\n\
         [checkpoints]\ninterval = \"1s\"\n\
         [sources.kafka]\ntype = \"kafka\"\nbrokers = \"{brokers}\"\ntopics = [\"auth\"]\n"
    )
}

/// The same of an instance whose checkpoints are in a folder that it shares with others.
fn sharing(brokers: &str, shared: &Path) -> String {
    let key = shared.with_extension("key");
    std::fs::write(&key, [7; 32]).expect("writes");
    let url = format!("interval = \"1s\"\nurl = \"file://{}\"\n", shared.display());
    let config = config(brokers).replace("interval = \"1s\"\n", &url);
    format!("fingerprint_key_file = \"{}\"\n{config}", key.display())
}

/// That many credentials, each used as often.
fn keys(prefix: &str, keys: usize, times: usize) -> Vec<(String, String)> {
    let name = |number: usize| format!("{prefix}_{}", number % keys);
    (0..keys * times).map(|number| (name(number), event(&name(number), now_ms()))).collect()
}

/// How many events the instances have applied.
fn applied<'a>(daemons: impl IntoIterator<Item = &'a Daemon>) -> f64 {
    daemons.into_iter().map(|daemon| daemon.metric(APPLIED)).sum()
}
