//! The running daemon: whether it answers, is the one that is meant, and does its work.

use super::report::{Area, Check};
use crate::adapters::clock;
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::Exit;
use crate::config::settings::Settings;
use crate::formats::api::status::{IssueJson, KafkaJson, Part, StatusJson};
use crate::formats::time::rfc3339;
use crate::model::decision::Mode;
use crate::model::time::EventTime;

/// How far clocks may differ. Unit: milliseconds. Chosen: what the lateness of events hides.
const CLOCK_MS_MAX: i64 = 1_000;

/// The daemon's answer.
#[derive(Clone, Debug)]
struct Facts {
    status: StatusJson,
    /// Status and text of `/readyz?verbose`.
    ready: (u16, String),
    /// When it was asked.
    asked: EventTime,
    /// How long the answer took. Unit: milliseconds.
    took_ms: i64,
    /// When the configuration was last changed.
    changed: Option<EventTime>,
    /// Whether the configuration says that it reads Kafka.
    is_to_read_kafka: bool,
}

/// Asks it and says what is to be said.
pub(super) async fn check(client: &Client, settings: Option<&Settings>) -> Vec<Check> {
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
            "can't parse its answer",
            "use the tripline of its own version",
        ));
        return checks;
    };
    let ready = client.ask("/readyz?verbose", &[]).await.unwrap_or_default();
    let file = settings.and_then(|settings| settings.file.as_ref());
    let changed = file.and_then(|file| modified(file));
    let is_to_read_kafka = settings.is_some_and(|settings| settings.sources.kafka.is_some());
    let facts = Facts { status, ready, asked, took_ms, changed, is_to_read_kafka };
    checks.extend(judge(&area, &facts));
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
    let remedy = "connect over its socket (--socket PATH, as its user), or with a token of the \
        role \
                  read: --token-file FILE";
    area.failed("answers", text, remedy)
}

/// The last cause of a chain.
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
        return area.ok("version", format!("{own}, the same as this command"));
    }
    area.warning(
        "version",
        format!("the daemon is {theirs}, this command is {own}"),
        "restart it with the new binary: systemctl restart tripline",
    )
}

fn judge(area: &Area, facts: &Facts) -> Vec<Check> {
    let status = &facts.status;
    let mut checks = vec![judge_ready(area, facts), judge_mode(area, &status.mode)];
    checks.push(judge_clock(area, facts));
    checks.extend(status.issues.iter().map(|issue| tell(area, issue)));
    checks.extend(well(area, status));
    if facts.is_to_read_kafka && status.kafka.is_none() {
        let remedy = "restart it: a source of Kafka was added to its configuration after its start";
        checks.push(area.failed("kafka", "the daemon reads no Kafka topic, and should", remedy));
    }
    checks.extend(judge_change(area, facts));
    checks
}

/// The issues that the daemon itself reports.
fn tell(area: &Area, issue: &IssueJson) -> Check {
    let found = match issue.store.as_ref().or(issue.source.as_ref()) {
        Some(name) => format!("{name}: {}", issue.found_at()),
        None => issue.found_at(),
    };
    let remedy = format!("docs/runbooks/{}.md", issue.runbook);
    if issue.critical {
        area.failed(issue.part.title(), found, remedy)
    } else {
        area.warning(issue.part.title(), found, remedy)
    }
}

/// The parts of which it says nothing, in numbers.
fn well(area: &Area, status: &StatusJson) -> Vec<Check> {
    let mut parts = vec![(Part::Journal, format!("{} lines, writable", status.journal.lines))];
    let waiting = status.stores.iter().filter(|store| store.waiting > 0);
    parts.push((
        Part::Store,
        match waiting.count() {
            0 => format!("{} settled", status.stores.len()),
            busy => format!("{} of {} have pending decisions", busy, status.stores.len()),
        },
    ));
    let percent = status.memory_bytes.saturating_mul(100) / status.memory_bytes_max.max(1);
    let memory = format!("{} credentials, {percent} % of [engine] memory", status.credentials);
    parts.push((Part::Memory, memory));
    if let Some(KafkaJson { partitions, lag, .. }) = status.kafka {
        parts.push((Part::Kafka, format!("{partitions} partitions, {lag} records behind")));
    }
    let age_ms = || Some(rfc3339(&status.now)?.ms_since(rfc3339(status.checkpoint.as_ref()?)?));
    if let Some(age_ms) = age_ms() {
        parts.push((Part::Checkpoints, format!("the oldest is {} s old", age_ms / 1000)));
    }
    parts.push((Part::Threads, "all alive".to_owned()));
    let quiet = parts.into_iter().filter(|(part, _)| status.issue(*part).is_none());
    quiet.map(|(part, found)| area.ok(part.title(), found)).collect()
}

fn judge_ready(area: &Area, facts: &Facts) -> Check {
    let (code, text) = &facts.ready;
    if *code == 200 {
        return area.ok("ready", "it accepts events and can carry out decisions");
    }
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("failed")).collect();
    let found = format!("/readyz answers {code}: {}", failed.join(", "));
    area.failed("ready", found, "see its log: journalctl -u tripline")
}

fn judge_mode(area: &Area, mode: &str) -> Check {
    let remark = match Mode::parse(mode) {
        Some(Mode::Shadow) => ": only orders of people are carried out",
        Some(Mode::Alert) => ": alerts, and only orders of people are carried out",
        Some(Mode::Throttle | Mode::Suspend | Mode::Revoke) | None => "",
    };
    area.ok("mode", format!("{mode}{remark}"))
}

fn judge_clock(area: &Area, facts: &Facts) -> Check {
    let Some(theirs) = rfc3339(&facts.status.now) else {
        return area.skipped("clock", "it reports no time");
    };
    let ahead_ms = theirs.ms_since(facts.asked.plus_ms(facts.took_ms / 2));
    if ahead_ms.abs() <= CLOCK_MS_MAX + facts.took_ms {
        return area.ok("clock", format!("{ahead_ms} ms from this machine's clock"));
    }
    area.failed(
        "clock",
        format!("it is {:.1} s from this machine's clock", ahead_ms as f64 / 1000.0),
        "synchronize both: timedatectl set-ntp true; docs/runbooks/clock-offset.md",
    )
}

/// The configuration is read again on request, or once a whole file is moved there; some of it
/// needs a restart.
fn judge_change(area: &Area, facts: &Facts) -> Option<Check> {
    let since = facts.status.configured.as_ref().unwrap_or(&facts.status.started);
    let (changed, since) = (facts.changed?, rfc3339(since)?);
    Some(if changed <= since {
        area.ok("configuration", "the file is unchanged since it was loaded")
    } else {
        area.warning(
            "configuration",
            "the file was changed since it was loaded, or some of it needs a restart",
            "systemctl reload tripline (or kill -HUP); its log says what was applied and what \
             needs a restart",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Area, Facts, judge, judge_version};
    use crate::cli::doctor::report::State;
    use crate::formats::api::status::{
        FleetJson, IssueJson, JournalJson, KafkaJson, Part, StatusJson, StoreJson,
    };
    use crate::model::time::EventTime;

    fn sound() -> Facts {
        let asked = EventTime::from_s(1_800_000_000);
        let ago = |seconds: i64| asked.plus_ms(-seconds * 1000).to_string();
        let status = StatusJson {
            sources: Vec::new(),
            version: "1".into(),
            now: ago(0),
            issues: vec![],
            started: ago(3600),
            configured: Some(ago(3600)),
            mode: "shadow".into(),
            account: "uid:0".into(),
            roles: vec![],
            events: 1,
            events_refused: 0,
            queue_full: 0,
            credentials: 1,
            memory_bytes: 10,
            memory_bytes_max: 100,
            open_incidents: 0,
            decisions: std::iter::empty().collect(),
            held: 0,
            approvals: 0,
            out_of_service: 0,
            enforced_credentials: 0,
            revocation_tokens: 3,
            fleet: FleetJson::default(),
            kafka: Some(KafkaJson { partitions: 2, lag: 5, up: true }),
            journal: JournalJson { writable: true, lines: 4 },
            stores: vec![StoreJson { name: "embedded".into(), waiting: 0, up: true, fault: None }],
            event_log_bytes: 0,
            checkpoint: Some(ago(60)),
        };
        Facts {
            status,
            ready: (200, "ready\n".into()),
            asked,
            took_ms: 4,
            changed: Some(asked.plus_ms(-7_200_000)),
            is_to_read_kafka: true,
        }
    }

    /// The checks that are not ok.
    fn told(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, State)> {
        let mut facts = sound();
        change(&mut facts);
        let checks = judge(&Area::new("daemon"), &facts);
        let names: std::collections::BTreeSet<&str> = checks.iter().map(|one| one.check).collect();
        assert_eq!(names.len(), checks.len(), "each part is spoken of once: {checks:?}");
        checks
            .into_iter()
            .filter(|one| one.state != State::Ok)
            .map(|one| (one.check, one.state))
            .collect()
    }

    #[test]
    fn a_sound_daemon_is_not_found_fault_with_and_each_fault_is_told_alone() {
        assert_eq!(told(|_| {}), []);
        let issue = |critical| IssueJson {
            instances: Vec::new(),
            part: Part::Store,
            store: Some("redis.main".into()),
            source: None,
            critical,
            found: "2 decisions due for seconds".into(),
            runbook: "outbox-not-draining".into(),
        };
        assert_eq!(told(|f| f.status.issues = vec![issue(true)]), [("store", State::Failed)]);
        assert_eq!(told(|f| f.status.issues = vec![issue(false)]), [("store", State::Warning)]);
        assert_eq!(
            told(|f| f.ready = (503, "failed journal\n".into())),
            [("ready", State::Failed)]
        );
        assert_eq!(told(|f| f.status.kafka = None), [("kafka", State::Failed)]);
        let later = |f: &mut Facts| f.asked = f.asked.plus_ms(5_000);
        assert_eq!(told(later), [("clock", State::Failed)]);
        let change = |f: &mut Facts| f.changed = Some(f.asked.plus_ms(-60_000));
        assert_eq!(told(change), [("configuration", State::Warning)]);
        let read_since = |f: &mut Facts| {
            change(f);
            f.status.configured = Some(f.asked.plus_ms(-59_000).to_string());
        };
        assert_eq!(told(read_since), [], "a reload took it");
        assert_eq!(judge_version(&Area::new("daemon"), "0.0.1").state, State::Warning);
    }
}
