//! `tripline doctor`: whether a configuration, and the daemon that runs by it, are sound, and what to do
//! where they are not.
//!
//! Each part asks first and judges then: what is judged is values alone. Parts are asked side by side,
//! each bounded in time. **Does not** change anything, but for what it says: keys of its own in Redis and
//! an entry on its stream and channel, a file of its own next to the checkpoints, and with `--canary` a credential that no one has.

use super::report::{Area, Check, Report};
use crate::adapters::clock;
use crate::adapters::enforce::auth_store::KindOfStore;
use crate::adapters::host::logging;
use crate::adapters::http::auth::Role;
use crate::cli::client::{Client, Connection, Output};
use crate::cli::exit::Exit;
use crate::cli::output::{print_error, print_out};
use crate::config::settings::Settings;
use clap::Args;
use secrecy::ExposeSecret;
use std::path::PathBuf;
use std::time::Duration;

/// How long a part may take.
const PART_MAX: Duration = Duration::from_secs(8);
/// How long Kafka may take, whose questions follow each other.
const KAFKA_MAX: Duration = Duration::from_secs(25);
/// How long the canary may take: its stores are waited for twice.
const CANARY_MAX: Duration = Duration::from_secs(15);

/// The arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The configuration.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Where the daemon is; without a word by its configuration.
    #[command(flatten)]
    pub connection: Connection,
    /// Suspend and restore the unused credential `api_key:tripline-doctor-canary`, and verify that
    /// gateways and stores follow. The orders are real: they are recorded in the journal and sent
    /// to receivers of decisions.
    #[arg(long)]
    pub canary: bool,
    /// Skip the daemon, as before its first start.
    #[arg(long, conflicts_with = "canary")]
    pub no_daemon: bool,
}

/// Looks, and says what was found.
pub fn run(args: &DoctorArgs) -> Exit {
    logging::start("off");
    let report = match examine(args) {
        Ok(report) => report,
        Err(error) => {
            print_error(&error);
            return Exit::Unavailable;
        }
    };
    print_out(&match args.connection.output {
        Output::Json => serde_json::to_string_pretty(&report).unwrap_or_default(),
        Output::Table => report.table(),
    });
    report.exit()
}

/// Looks at everything.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn examine(args: &DoctorArgs) -> std::io::Result<Report> {
    let at = clock::now();
    let (settings, mut checks) = super::config::read(args.config.as_deref());
    let mistakes = settings.is_none();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    checks.extend(runtime.block_on(check(args, settings.as_ref())));
    // Checks that are still under way have been given up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(Report::new(checks, mistakes, at.to_string()))
}

async fn check(args: &DoctorArgs, settings: Option<&Settings>) -> Vec<Check> {
    let client = match Client::new(&args.connection.or_of(settings)) {
        Ok(client) => Some(client),
        Err(error) => {
            let check = Area::new("daemon").failed(
                "answers",
                error.to_string(),
                "name a file that you may read: --token-file FILE",
            );
            return vec![check];
        }
    };
    let client = client.filter(|_| !args.no_daemon);
    let of_daemon = async {
        match &client {
            Some(client) => super::daemon::check(client, settings).await,
            None => vec![Area::new("daemon").skipped("answers", "--no-daemon")],
        }
    };
    let of_daemon = bounded("daemon", PART_MAX, of_daemon);
    let Some(settings) = settings else { return of_daemon.await };
    let mut checks = super::files::check(settings, args.no_daemon);
    checks.extend(super::sources::check(settings));
    checks.push(super::endpoints::clock());
    let (daemon, kafka, redis, stores, receivers, checkpoints) = tokio::join!(
        of_daemon,
        bounded("kafka", KAFKA_MAX, Box::pin(of_kafka(settings))),
        bounded("redis", PART_MAX, Box::pin(of_redis(settings))),
        bounded("stores", PART_MAX, Box::pin(super::endpoints::stores(settings))),
        bounded("notify", PART_MAX, Box::pin(super::endpoints::receivers(settings))),
        bounded("checkpoints", PART_MAX, Box::pin(super::endpoints::checkpoints(settings))),
    );
    for part in [daemon, kafka, redis, stores, receivers, checkpoints] {
        checks.extend(part);
    }
    if let (true, Some(client)) = (args.canary, &client) {
        let token = check_token(args, settings);
        let flown = super::canary::fly(client, token.as_deref());
        checks.extend(bounded("canary", CANARY_MAX, Box::pin(flown)).await);
    }
    checks
}

/// The checks of a part, or that it took too long.
async fn bounded(
    area: &'static str,
    within: Duration,
    part: impl Future<Output = Vec<Check>>,
) -> Vec<Check> {
    tokio::time::timeout(within, part).await.unwrap_or_else(|_| {
        let found = format!("no answer within {} s", within.as_secs());
        let remedy = match area {
            "daemon" => {
                "it hangs: docs/runbooks/stage-stuck.md; systemctl restart tripline is safe"
            }
            _ => "check the network on the way to it",
        };
        vec![Area::new(area).failed("time", found, remedy)]
    })
}

async fn of_kafka(settings: &Settings) -> Vec<Check> {
    let Some(params) = settings.sources.kafka.clone() else {
        return vec![Area::new("kafka").skipped("brokers", "no source of type kafka")];
    };
    let (settings, now) = (settings.clone(), clock::now());
    let looked =
        tokio::task::spawn_blocking(move || super::kafka::check(&settings, &params, now)).await;
    looked.unwrap_or_else(|error| vec![Area::new("kafka").skipped("brokers", error.to_string())])
}

async fn of_redis(settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    let shares_tokens = settings.control.revocation_limit.instances > 1;
    for store in &settings.stores {
        if let KindOfStore::Redis(params) = &store.of {
            checks.extend(super::redis::check(params, shares_tokens).await);
        }
    }
    checks
}

/// A token of the configuration with which `/v1/check` may be asked; only where the daemon is the one
/// of the configuration.
fn check_token(args: &DoctorArgs, settings: &Settings) -> Option<String> {
    let mut tokens = settings.http.tokens.iter().filter(|_| args.connection.url.is_none());
    let found = tokens.find(|token| token.roles.contains(&Role::Check));
    found.map(|token| token.secret.expose_secret().to_owned())
}
