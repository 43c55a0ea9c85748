//! The running daemon: whether it answers, is the one that is meant, and does its work.

use super::report::{Area, Check};
use crate::app::client::{Client, ClientError};
use crate::app::exit::Exit;
use crate::app::settings::Settings;
use crate::edge::clock;
use crate::model::decision::Posture;
use crate::model::time::EventTime;
use crate::wire::status_json::StatusJson;
use crate::wire::time::rfc3339;

/// How far clocks may differ. Unit: milliseconds. Chosen: what the lateness of events hides.
const CLOCK_MS_MAX: i64 = 1_000;
/// After how long without a heartbeat a stage stands still. Unit: seconds. Chosen: they beat each
/// second.
const SILENT_S_MAX: f64 = 30.0;
/// Records not yet applied that are many. Chosen: some seconds of a busy topic.
const LAG_MAX: u64 = 100_000;

/// What the daemon said.
#[derive(Clone, Debug)]
struct Facts {
    status: StatusJson,
    /// Status and text of `/readyz?verbose`.
    ready: (u16, String),
    /// The lines of `/metrics`.
    metrics: String,
    /// When it was asked.
    asked: EventTime,
    /// How long the answer took. Unit: milliseconds.
    took_ms: i64,
    /// When the configuration was last changed.
    changed: Option<EventTime>,
}

/// What was expected of it.
#[derive(Clone, Copy, Debug)]
struct Expected {
    checkpoint_every_ms: i64,
    reads_kafka: bool,
}

/// Asks it and says what is to be said.
pub(super) async fn look(client: &Client, settings: Option<&Settings>) -> Vec<Check> {
    let area = Area::new("daemon");
    let asked = clock::now();
    let answer = client.get("/v1/status").await;
    let took_ms = clock::now().ms_since(asked);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return vec![judge_error(&area, &error, settings)],
    };
    let mut checks = vec![area.ok("answers", format!("at {}, in {took_ms} ms", client.place()))];
    let theirs = answer.get("version").and_then(|one| one.as_str()).unwrap_or("?").to_owned();
    checks.push(judge_version(&area, &theirs));
    let Ok(status) = serde_json::from_value::<StatusJson>(answer) else {
        checks.push(area.failed(
            "status",
            "its answer can't be understood",
            "ask with the tripline of its own version",
        ));
        return checks;
    };
    let ready = client.ask("/readyz?verbose", &[]).await.unwrap_or_default();
    let metrics = client.ask("/metrics", &[]).await.map(|(_, text)| text).unwrap_or_default();
    let file = settings.and_then(|settings| settings.file.as_ref());
    let changed = file.and_then(|file| modified(file));
    let expected = settings.map(|settings| Expected {
        checkpoint_every_ms: settings.checkpoint_every_ms,
        reads_kafka: settings.kafka.is_some(),
    });
    checks.extend(judge(
        &area,
        &Facts { status, ready, metrics, asked, took_ms, changed },
        expected,
    ));
    checks
}

fn modified(file: &std::path::Path) -> Option<EventTime> {
    let at = std::fs::metadata(file).ok()?.modified().ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(EventTime::from_ms(i64::try_from(since.as_millis()).ok()?))
}

fn judge_error(area: &Area, error: &ClientError, settings: Option<&Settings>) -> Check {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error).map(deepest) {
        text.push_str(&format!(": {cause}"));
    }
    if error.exit() == Exit::Unavailable {
        let file = settings.and_then(|settings| settings.file.as_ref());
        let start = file.map_or_else(
            || "tripline run".to_owned(),
            |file| format!("tripline run --config {}", file.display()),
        );
        let remedy = format!(
            "start it: {start}; or say where it is: --socket PATH or --url URL; before its first \
             start: --no-daemon"
        );
        return area.failed("answers", text, remedy);
    }
    let remedy = "come over its socket (--socket PATH, as its user), or with a token of the role \
                  read: --token-file FILE";
    area.failed("answers", text, remedy)
}

/// What is at the end of a chain of causes.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

fn judge_version(area: &Area, theirs: &str) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    if theirs == own {
        return area.ok("version", format!("{own}, as this one"));
    }
    area.warning(
        "version",
        format!("it is {theirs}, and this is {own}"),
        "restart it with the new binary: systemctl restart tripline",
    )
}

fn judge(area: &Area, facts: &Facts, expected: Option<Expected>) -> Vec<Check> {
    let status = &facts.status;
    let mut checks = vec![judge_ready(area, facts), judge_posture(area, &status.posture)];
    checks.push(judge_clock(area, facts));
    checks.push(if status.journal.writable {
        area.ok("journal", format!("{} lines, can be written", status.journal.lines))
    } else {
        area.failed(
            "journal",
            "it can't be written, so nothing is carried out",
            "see docs/runbooks/journal-errors.md; df -h on data_dir first",
        )
    });
    checks.extend(status.stores.iter().map(|store| match store.waiting {
        0 => area.ok("stores", format!("{}: nothing waits", store.name)),
        waiting => area.warning(
            "stores",
            format!("{}: {waiting} decisions wait", store.name),
            "see below whether it can be reached; docs/runbooks/outbox-not-draining.md",
        ),
    }));
    checks.push(judge_memory(area, status));
    if let Some(expected) = expected {
        if expected.reads_kafka {
            checks.push(judge_intake(area, status));
        }
        checks.push(judge_checkpoint(area, facts, expected.checkpoint_every_ms));
    }
    checks.push(judge_stages(area, facts));
    checks.extend(judge_change(area, facts));
    checks
}

fn judge_ready(area: &Area, facts: &Facts) -> Check {
    let (code, text) = &facts.ready;
    if *code == 200 {
        return area.ok("ready", "it takes events and can carry out decisions");
    }
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("failed")).collect();
    let found = format!("/readyz answers {code}: {}", failed.join(", "));
    area.failed("ready", found, "see its log: journalctl -u tripline")
}

fn judge_posture(area: &Area, posture: &str) -> Check {
    let remark = match Posture::parse(posture) {
        Some(Posture::Shadow) => ": nothing is carried out but what people order",
        Some(Posture::Alert) => ": people are told, and nothing else is done but what they order",
        Some(Posture::Throttle | Posture::Suspend | Posture::Revoke) | None => "",
    };
    area.ok("posture", format!("{posture}{remark}"))
}

fn judge_clock(area: &Area, facts: &Facts) -> Check {
    let Some(theirs) = rfc3339(&facts.status.now) else {
        return area.skipped("clock", "it says no time");
    };
    let ahead_ms = theirs.ms_since(facts.asked.plus_ms(facts.took_ms / 2));
    if ahead_ms.abs() <= CLOCK_MS_MAX + facts.took_ms {
        return area.ok("clock", format!("{ahead_ms} ms from that of this machine"));
    }
    area.failed(
        "clock",
        format!("it is {:.1} s from that of this machine", ahead_ms as f64 / 1000.0),
        "synchronize both: timedatectl set-ntp true; docs/runbooks/clock-stepped.md",
    )
}

fn judge_memory(area: &Area, status: &StatusJson) -> Check {
    let share = status.memory_bytes as f64 / status.memory_bytes_max.max(1) as f64;
    let found =
        format!("{} credentials, {:.0} % of what they may take", status.credentials, share * 100.0);
    if share < 0.95 {
        return area.ok("memory", found);
    }
    let remedy = "raise [engine] memory: credentials that are used seldom are forgotten";
    area.warning("memory", found, remedy)
}

fn judge_intake(area: &Area, status: &StatusJson) -> Check {
    let kafka = status.kafka;
    let found = format!("{} partitions, {} records behind", kafka.partitions, kafka.lag);
    if kafka.partitions == 0 {
        let remedy = "see Kafka below; more members than partitions leave some without work";
        return area.failed("intake", "it owns no partition of Kafka", remedy);
    }
    if kafka.lag > LAG_MAX {
        let remedy = "give it time to catch up, or add members: docs/runbooks/consumer-lag-high.md";
        return area.warning("intake", found, remedy);
    }
    area.ok("intake", found)
}

fn judge_checkpoint(area: &Area, facts: &Facts, every_ms: i64) -> Check {
    let late_ms = every_ms.saturating_mul(3).saturating_add(10_000);
    let age = |time: &str| rfc3339(time).map(|time| facts.asked.ms_since(time));
    let since_start = age(&facts.status.started).unwrap_or(0);
    match facts.status.checkpoint.as_deref().and_then(age) {
        Some(age_ms) if age_ms <= late_ms => {
            area.ok("checkpoint", format!("{} s old", age_ms.max(0) / 1000))
        }
        Some(age_ms) => area.warning(
            "checkpoint",
            format!("{} s old, and due every {} s", age_ms / 1000, every_ms / 1000),
            "docs/runbooks/checkpoint-stale.md",
        ),
        None if since_start <= late_ms || facts.status.events == 0 => {
            area.ok("checkpoint", "none is due yet")
        }
        None => area.warning(
            "checkpoint",
            "none was written since its start",
            "docs/runbooks/checkpoint-stale.md",
        ),
    }
}

/// The value of each stage's heartbeat.
fn heartbeats(metrics: &str) -> Vec<(&str, f64)> {
    let begin = "tripline_heartbeat_timestamp_seconds{stage=\"";
    let read = |line| {
        let (stage, value) = str::strip_prefix(line, begin)?.split_once("\"} ")?;
        Some((stage, value.trim().parse().ok()?))
    };
    metrics.lines().filter_map(read).collect()
}

fn judge_stages(area: &Area, facts: &Facts) -> Check {
    let stages = heartbeats(&facts.metrics);
    if stages.is_empty() {
        return area.skipped("stages", "/metrics shows no heartbeat");
    }
    let now_s = rfc3339(&facts.status.now).unwrap_or(facts.asked).as_secs_f64();
    let silent = stages.iter().filter(|(_, at)| *at > 0.0 && now_s - at > SILENT_S_MAX);
    let silent: Vec<String> =
        silent.map(|(stage, at)| format!("{stage} for {:.0} s", now_s - at)).collect();
    if silent.is_empty() {
        return area.ok("stages", format!("{} live", stages.len()));
    }
    let found = format!("without a sign of life: {}", silent.join(", "));
    area.failed("stages", found, "docs/runbooks/stage-stuck.md; a restart is safe")
}

/// The configuration is read anew when it is told to be, or once a whole file is moved there; some of it
/// needs a restart.
fn judge_change(area: &Area, facts: &Facts) -> Option<Check> {
    let (changed, started) = (facts.changed?, rfc3339(&facts.status.started)?);
    Some(if changed <= started {
        area.ok("configuration", "the file was not changed since it started")
    } else {
        area.warning(
            "configuration",
            "the file was changed since it started",
            "systemctl reload tripline (or kill -HUP); its log says what holds, and what needs a restart",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Area, Expected, Facts, judge, judge_version};
    use crate::app::doctor::report::State;
    use crate::model::time::EventTime;
    use crate::wire::status_json::{FleetJson, JournalJson, KafkaJson, StatusJson, StoreJson};

    fn sound() -> Facts {
        let asked = EventTime::from_s(1_800_000_000);
        let ago = |seconds: i64| asked.plus_ms(-seconds * 1000).to_string();
        let status = StatusJson {
            version: "1".into(),
            now: ago(0),
            started: ago(3600),
            posture: "shadow".into(),
            account: "uid:0".into(),
            roles: vec![],
            events: 1,
            events_refused: 0,
            queue_full: 0,
            credentials: 1,
            memory_bytes: 10,
            memory_bytes_max: 100,
            open_episodes: 0,
            decisions: std::iter::empty().collect(),
            held: 0,
            approvals: 0,
            out_of_service: 0,
            standing: 0,
            breaker_tokens: 3,
            fleet: FleetJson::default(),
            kafka: KafkaJson { partitions: 2, lag: 5 },
            journal: JournalJson { writable: true, lines: 4 },
            stores: vec![StoreJson { name: "embedded".into(), waiting: 0 }],
            event_log_bytes: 0,
            checkpoint: Some(ago(60)),
        };
        let metrics = "tripline_heartbeat_timestamp_seconds{stage=\"control_plane\"} 1799999999\n";
        Facts {
            status,
            ready: (200, "ready\n".into()),
            metrics: metrics.into(),
            asked,
            took_ms: 4,
            changed: Some(asked.plus_ms(-7_200_000)),
        }
    }

    /// The checks that are not ok.
    fn told(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, State)> {
        let mut facts = sound();
        change(&mut facts);
        let expected = Expected { checkpoint_every_ms: 60_000, reads_kafka: true };
        let checks = judge(&Area::new("daemon"), &facts, Some(expected)).into_iter();
        checks.filter(|one| one.state != State::Ok).map(|one| (one.check, one.state)).collect()
    }

    #[test]
    fn a_sound_daemon_is_not_found_fault_with_and_each_fault_is_told_alone() {
        assert_eq!(told(|_| {}), []);
        assert_eq!(told(|f| f.status.journal.writable = false), [("journal", State::Failed)]);
        assert_eq!(told(|f| f.status.stores[0].waiting = 2), [("stores", State::Warning)]);
        assert_eq!(told(|f| f.status.memory_bytes = 96), [("memory", State::Warning)]);
        assert_eq!(told(|f| f.status.kafka.partitions = 0), [("intake", State::Failed)]);
        assert_eq!(told(|f| f.status.kafka.lag = 1 << 20), [("intake", State::Warning)]);
        assert_eq!(told(|f| f.status.checkpoint = None), [("checkpoint", State::Warning)]);
        assert_eq!(
            told(|f| f.ready = (503, "failed journal\n".into())),
            [("ready", State::Failed)]
        );
        let later = |f: &mut Facts| f.asked = f.asked.plus_ms(5_000);
        assert_eq!(told(later), [("clock", State::Failed)]);
        let still = |f: &mut Facts| f.metrics = f.metrics.replace("1799999999", "1799999000");
        assert_eq!(told(still), [("stages", State::Failed)]);
        assert_eq!(judge_version(&Area::new("daemon"), "0.0.1").state, State::Warning);
    }
}
