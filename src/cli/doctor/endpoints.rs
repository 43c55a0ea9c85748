//! The other servers: auth stores that take requests, receivers of notifications, the place of
//! checkpoints, and the clock of this machine. Nothing is delivered.

use super::report::{Area, Check};
use crate::adapters::checkpoint::metrics::CheckpointMetrics;
use crate::adapters::checkpoint::store::Snapshots;
use crate::adapters::egress::{Egress, EgressError};
use crate::adapters::enforce::auth_store::KindOfStore;
use crate::adapters::metrics::registrar::Registrar;
use crate::adapters::notify::receiver::KindOfReceiver;
use crate::adapters::sources::kafka::probe;
use crate::adapters::target::Target;
use crate::config::settings::Settings;
use std::path::Path;

/// Where systemd's time service says that the clock is synchronized.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";

/// Whether this machine's clock is synchronized, as far as known.
pub(super) fn clock() -> Check {
    let area = Area::new("clock");
    if Path::new(TIMESYNC).exists() {
        return area.ok("synchronized", "by systemd-timesyncd");
    }
    let why =
        "systemd-timesyncd reports nothing here; other clocks are compared where they are known";
    area.skipped("synchronized", why)
}

/// The auth stores that take requests: name, resolve, connect, TLS, by a HEAD request.
pub(super) async fn stores(settings: &Settings) -> Vec<Check> {
    let targets = settings.stores.iter().flat_map(|store| {
        let targets = match &store.of {
            KindOfStore::Redis(_) => [None, None],
            KindOfStore::Webhook(webhook) => [Some(&webhook.url), None],
            KindOfStore::OAuth(oauth) => [Some(&oauth.url), oauth.introspection.as_ref()],
            KindOfStore::SharedSignals(receiver) => [Some(&receiver.url), None],
        };
        targets.into_iter().flatten().map(|target| (store.name.as_str(), target))
    });
    let targets: Vec<_> = targets.collect();
    if targets.is_empty() {
        return Vec::new();
    }
    let egress = match Egress::new(&settings.egress) {
        Ok(egress) => egress,
        Err(error) => return vec![no_egress(&error)],
    };
    let asked = targets.into_iter().map(|(name, target)| {
        let egress = egress.clone();
        async move {
            let answer = egress.reach(target, false).await;
            judge_reached(&Area(format!("store {name}")), target, &answer)
        }
    });
    futures_util::future::join_all(asked).await
}

fn no_egress(error: &dyn std::error::Error) -> Check {
    Area::new("egress").failed("set up", error.to_string(), "correct [egress] ca_file")
}

fn judge_reached(area: &Area, target: &Target, answer: &Result<u16, EgressError>) -> Check {
    match answer {
        // It was asked what it does not know: that it answers is what counts.
        Ok(status) if *status < 500 => {
            area.ok("reached", format!("{target} answers (HEAD: {status}); no decision was sent"))
        }
        Ok(status) => area.warning(
            "reached",
            format!("{target} answers {status}"),
            "see its own log; decisions wait until it accepts them",
        ),
        Err(error) => area.failed("reached", error.to_string(), remedy(error)),
    }
}

fn remedy(error: &EgressError) -> &'static str {
    match error {
        EgressError::NotAllowed(_) => "add its network to [egress] networks, or write https://",
        EgressError::Unreachable(_) => {
            "check its url, the network and its certificate ([egress] ca_file): curl -I URL"
        }
        EgressError::TimedOut(_) => "check firewalls on the way: curl -I URL",
    }
}

/// Receivers of notifications.
pub(super) async fn receivers(settings: &Settings) -> Vec<Check> {
    if settings.receivers.is_empty() {
        let why = "none is configured: findings notify no one; see docs/notifications.md";
        return vec![Area::new("notify").skipped("receivers", why)];
    }
    let egress = match Egress::new(&settings.egress) {
        Ok(egress) => egress,
        Err(error) => return vec![no_egress(&error)],
    };
    let asked = settings.receivers.iter().map(|receiver| {
        let egress = egress.clone();
        async move {
            let area = Area(format!("notify {}", receiver.name));
            match &receiver.of {
                KindOfReceiver::Alertmanager(target) => alertmanager(&area, &egress, target).await,
                KindOfReceiver::Webhook(target, ..)
                | KindOfReceiver::Slack(target)
                | KindOfReceiver::PagerDuty(target, _) => {
                    let found = egress.resolve(target).await;
                    judge_resolved(&area, &receiver.name, target, &found)
                }
                KindOfReceiver::Kafka(params) => {
                    let (params, topic) = (params.clone(), params.topic.clone());
                    let ask = move || {
                        probe::partitions_of(&params.brokers, &params.librdkafka, &params.topic)
                    };
                    let found = tokio::task::spawn_blocking(ask).await;
                    let found = found.map_or_else(
                        |error| Err(error.to_string()),
                        |found| found.map_err(|error| error.to_string()),
                    );
                    judge_topic(&area, &topic, found)
                }
            }
        }
    });
    futures_util::future::join_all(asked).await
}

async fn alertmanager(area: &Area, egress: &Egress, target: &Target) -> Check {
    let ready = match target.join("../../-/ready") {
        Ok(ready) => egress.reach(&ready, true).await,
        Err(_) => egress.reach(target, true).await,
    };
    match ready {
        Ok(200) => area.ok("ready", format!("{target} is ready")),
        Ok(status) => area.failed(
            "ready",
            format!("{target} answers {status} at /-/ready"),
            "check that url is the base of an Alertmanager: curl URL/-/ready",
        ),
        Err(error) => area.failed("ready", error.to_string(), remedy(&error)),
    }
}

fn judge_resolved(
    area: &Area,
    name: &str,
    target: &Target,
    found: &Result<(), EgressError>,
) -> Check {
    match found {
        Ok(()) => area.ok(
            "address",
            format!(
                "{target} resolves and is allowed; `tripline notify test {name}` sends a \
                message"
            ),
        ),
        Err(error) => area.failed("address", error.to_string(), remedy(error)),
    }
}

fn judge_topic(area: &Area, topic: &str, found: Result<usize, String>) -> Check {
    match found {
        Ok(0) => area.failed(
            "topic",
            format!("{topic} does not exist"),
            format!("kafka-topics.sh --create --topic {topic}"),
        ),
        Ok(partitions) => area.ok("topic", format!("{topic}: {partitions} partitions")),
        Err(why) => area.failed(
            "topic",
            format!("no broker answers: {why}"),
            "check brokers and librdkafka",
        ),
    }
}

/// The place of checkpoints that instances share.
pub(super) async fn checkpoints(settings: &Settings) -> Vec<Check> {
    let Some(url) = &settings.checkpoints_url else { return Vec::new() };
    let area = Area::new("checkpoints");
    let is_missing = url.to_file_path().is_ok_and(|folder| !folder.exists());
    if url.scheme() == "file" && is_missing {
        // One that is made here would be of the user who asks.
        let found = format!("{url} does not exist; the daemon creates it");
        let remedy = "nothing, before its first start; else mount it";
        return vec![area.warning("place", found, remedy)];
    }
    let metrics = match CheckpointMetrics::register(&Registrar::default()) {
        Ok(metrics) => metrics,
        Err(error) => return vec![area.skipped("place", error.to_string())],
    };
    let probed = match Snapshots::open_to_check(url, &metrics) {
        Ok(snapshots) => snapshots.probe().await,
        Err(error) => Err(error.to_string()),
    };
    let remedy = "let its user list, read, write and delete below that place, and check the \
                  variables AWS_…, GOOGLE_… or AZURE_…";
    vec![match probed {
        Ok(files) => area.ok("place", format!("{url}: write, read and delete work; {files} files")),
        Err(why) => area.failed("place", format!("{url}: {why}"), remedy),
    }]
}

#[cfg(test)]
mod tests {
    use super::{Area, judge_reached, judge_topic};
    use crate::adapters::egress::EgressError;
    use crate::adapters::target::Target;
    use crate::cli::doctor::report::State;

    #[test]
    fn any_answer_is_one_and_what_it_says_of_a_strange_request_does_not_matter() {
        let area = Area::new("store webhook.gateway");
        let target = Target::parse("https://host/secret").expect("an address");
        let state = |answer| judge_reached(&area, &target, &answer).state;
        assert_eq!([state(Ok(204)), state(Ok(405))], [State::Ok, State::Ok]);
        assert_eq!(state(Ok(503)), State::Warning);
        let late = judge_reached(&area, &target, &Err(EgressError::TimedOut(target.clone())));
        assert_eq!(late.state, State::Failed);
        assert!(!format!("{late:?}").contains("secret"));
        assert_eq!(judge_topic(&area, "t", Ok(0)).state, State::Failed);
    }
}
