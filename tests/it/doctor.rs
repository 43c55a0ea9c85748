//! `tripline doctor` and `tripline support dump`, with real parts: a sound set-up passes, and each fault
//! of a broken one is told with what to do.

use crate::support::broker::Broker;
use crate::support::daemon::{BINARY, Daemon, event, now_ms};
use crate::support::receiver::Receiver;
use crate::support::redis_server::RedisServer;
use crate::support::{skipped, until};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn tripline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).current_dir(folder).output().expect("runs")
}

/// What doctor says of the configuration in `folder`: its exit code and its report.
fn doctor(folder: &Path, further: &[&str]) -> (Option<i32>, Value) {
    let mut arguments = vec!["doctor", "--config", "tripline.toml", "-o", "json"];
    arguments.extend(further);
    let done = tripline(folder, &arguments);
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    let report = serde_json::from_str(&told).unwrap_or_else(|_| {
        panic!("{told}{}", String::from_utf8_lossy(&done.stderr));
    });
    (done.status.code(), report)
}

fn text<'a>(check: &'a Value, field: &str) -> &'a str {
    check[field].as_str().unwrap_or("")
}

/// The checks of an area and a name.
fn checks<'a>(report: &'a Value, area: &str, name: &str) -> Vec<&'a Value> {
    let all = report["checks"].as_array().expect("checks").iter();
    all.filter(|one| text(one, "area") == area && text(one, "check") == name).collect()
}

fn the<'a>(report: &'a Value, area: &str, name: &str) -> &'a Value {
    match checks(report, area, name)[..] {
        [one] => one,
        _ => panic!("{area} {name}: {report:#}"),
    }
}

/// The area and the check of all that failed.
fn failed(report: &Value) -> Vec<(String, String)> {
    let all = report["checks"].as_array().expect("checks").iter();
    all.filter(|one| text(one, "state") == "failed")
        .map(|one| (text(one, "area").to_owned(), text(one, "check").to_owned()))
        .collect()
}

fn private(path: &Path, content: &str) {
    std::fs::write(path, content).expect("writes");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("sets");
}

/// Four uses each of twenty credentials, with the key that `key` gives them.
fn records(key: impl Fn(u32, u32) -> String) -> impl Iterator<Item = (String, String)> {
    let uses = (0..80).map(|number| (number % 20, number));
    uses.map(move |(credential, number)| {
        (key(credential, number), event(&format!("key_{credential}"), now_ms()))
    })
}

#[test]
fn a_sound_set_up_passes_with_all_its_parts() {
    if skipped("broker") || skipped("redis") {
        return;
    }
    let (folder, broker) = (folder(), Broker::start());
    let (redis, alerts) = (RedisServer::start(), Receiver::start());
    redis.ask::<()>(&["CONFIG", "SET", "requirepass", "open-sesame"]);
    broker.create_topic("auth", 4);
    broker.produce("auth", records(|credential, _| format!("key_{credential}")));
    private(&folder.path().join("redis.url"), &redis.url().replace("//", "//:open-sesame@"));
    private(&folder.path().join("hook"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr");
    let config = format!(
        "[sources.kafka]\ntype = \"kafka\"\nbrokers = \"{}\"\ntopics = [\"auth\"]\n[auth_store.redis]\nurl_file = \
         \"{path}/redis.url\"\n[auth_store.webhook.gateway]\nurl = \"{}\"\nsecret_file = \
         \"{path}/hook\"\nkinds = [\"session\"]\n[notify.alertmanager.main]\nurl = \"{}\"\n[egress]\nnetworks = \
         [\"127.0.0.0/8\"]\n",
        broker.address(),
        alerts.url("/hook"),
        alerts.url(""),
        path = folder.path().display(),
    );
    let daemon = Daemon::start(&folder, &config);
    until("it has read the topic", PATIENCE, || {
        (daemon.get("/v1/status")["events"] == 80).then_some(())
    });

    let committed = broker.committed("tripline", "auth", 4);
    let (code, report) = doctor(folder.path(), &[]);
    assert_eq!((code, failed(&report)), (Some(0), vec![]), "{report:#}");
    for (area, name) in [
        ("daemon", "answers"),
        ("daemon", "version"),
        ("daemon", "kafka"),
        ("kafka", "keys"),
        ("kafka", "records"),
        ("kafka", "instances"),
        ("redis", "rights"),
        ("redis", "clock"),
        ("store webhook.gateway", "reached"),
        ("notify alertmanager.main", "ready"),
        ("files", "data folder"),
    ] {
        assert_eq!(text(the(&report, area, name), "state"), "ok", "{area} {name}: {report:#}");
    }
    // The ends that this broker tells lag behind what is stored.
    let keys = text(the(&report, "kafka", "keys"), "found");
    let mut numbers = keys.split(' ').filter_map(|word| word.parse::<u64>().ok());
    let (keyed, records) = (numbers.next(), numbers.next());
    assert!(keyed == records && records > Some(20) && keys.contains("0 in several"), "{keys}");
    let persistence = the(&report, "redis", "persistence");
    assert_eq!(text(persistence, "state"), "warning", "this Redis keeps nothing: {persistence}");
    assert!(!report.to_string().contains("open-sesame"), "no password is shown");
    assert_eq!(broker.committed("tripline", "auth", 4), committed, "the group was left alone");
    assert_eq!(daemon.get("/v1/status")["kafka"]["partitions"], 4, "it lost no partition");
    let hooks = alerts.received();
    assert!(hooks.iter().all(|one| one.body.is_empty()), "nothing was delivered: {hooks:?}");
}

#[test]
fn what_the_daemon_says_of_itself_is_what_doctor_says_of_it() {
    if skipped("redis") {
        return;
    }
    let (folder, mut redis) = (folder(), RedisServer::start());
    let config = format!("[auth_store.redis]\nurl = \"{}\"\n", redis.url());
    let daemon = Daemon::start(&folder, &config);
    let issues = || daemon.get("/v1/status")["issues"].clone();
    until("it is well", PATIENCE, || (issues() == serde_json::json!([])).then_some(()));
    redis.kill();
    daemon.order("revoke", "key_1");
    let issue = until("it says that Redis is away", PATIENCE, || {
        let issue = issues().as_array().expect("a list").first().cloned()?;
        text(&issue, "found").contains("1 decision pending").then_some(issue)
    });
    assert_eq!((&issue["part"], &issue["store"]), (&"store".into(), &"redis".into()));
    // The fault is of the newest attempt: a broken pipe, then a refused connection.
    let told = until("doctor says the same", PATIENCE, || {
        let now = issues().as_array().expect("a list").first().cloned()?;
        let (_, report) = doctor(folder.path(), &[]);
        let told = the(&report, "daemon", "store").clone();
        (text(&told, "found") == format!("redis: {}", text(&now, "found"))).then_some(told)
    });
    assert_eq!(text(&told, "state"), "failed", "{told}");
    assert_eq!(text(&told, "remedy"), format!("docs/runbooks/{}.md", text(&issue, "runbook")));
    redis.restart();
    until("it is well again", PATIENCE, || (issues() == serde_json::json!([])).then_some(()));
}

#[test]
fn a_topic_that_is_keyed_by_something_else_is_told_with_rekey() {
    if skipped("broker") {
        return;
    }
    let (folder, broker) = (folder(), Broker::start());
    broker.create_topic("raw", 4);
    broker.produce("raw", records(|_, number| format!("request-{number}")));
    let odd = (0..3).map(|_| (String::new(), "{\"secret\":\"sk-nobody-shows-this\"".to_owned()));
    broker.produce("raw", odd);
    let config = format!(
        "data_dir = \"data\"\n[sources.kafka]\ntype = \"kafka\"\nbrokers = \"{}\"\ntopics = [\"raw\", \"gone\"]\n",
        broker.address()
    );
    std::fs::write(folder.path().join("tripline.toml"), config).expect("writes");
    // The ends that this broker tells lag behind what is stored.
    let (code, report) = until("the records are told of", PATIENCE, || {
        let (code, report) = doctor(folder.path(), &["--no-daemon"]);
        let records = checks(&report, "kafka", "records");
        let told = records.iter().any(|one| text(one, "found").contains(" invalid_json"));
        told.then_some((code, report))
    });
    assert_eq!(code, Some(1), "{report:#}");
    let keys = the(&report, "kafka", "keys");
    assert_eq!(text(keys, "state"), "failed", "{keys}");
    assert!(
        text(keys, "remedy").contains("tripline rekey --config tripline.toml --from raw"),
        "{keys}"
    );
    assert!(!report.to_string().contains("nobody-shows-this"), "what records hold is never shown");
    let topics = checks(&report, "kafka", "topic");
    assert!(
        topics.iter().any(|one| text(one, "found").contains("gone does not exist")),
        "{topics:?}"
    );
}

#[test]
fn brokers_and_daemon_that_are_away_are_told_within_seconds() {
    let folder = folder();
    let port = crate::support::free_port();
    let config = format!(
        "data_dir = \"data\"\nhttp.listen = \"127.0.0.1:{port}\"\n[sources.kafka]\ntype = \"kafka\"\nbrokers = \
         \"127.0.0.1:{port}\"\ntopics = [\"auth\"]\n[auth_store.redis]\nurl = \
         \"redis://127.0.0.1:{port}\"\n"
    );
    std::fs::write(folder.path().join("tripline.toml"), config).expect("writes");
    let began = std::time::Instant::now();
    let (code, report) = doctor(folder.path(), &[]);
    assert_eq!(code, Some(1), "{report:#}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let away = [("daemon", "answers"), ("kafka", "brokers"), ("redis", "answers")];
    let away = away.map(|(area, name)| (area.to_owned(), name.to_owned()));
    assert_eq!(failed(&report), away);
    let remedy = text(the(&report, "daemon", "answers"), "remedy");
    assert!(remedy.contains("tripline run --config tripline.toml"), "{remedy}");
    assert!(!folder.path().join("data").exists(), "who looks makes nothing");
}

#[test]
fn a_redis_that_lets_nobody_write_is_told_with_the_rights_that_are_needed() {
    if skipped("redis") {
        return;
    }
    let (folder, redis) = (folder(), RedisServer::start());
    redis.ask::<()>(&["ACL", "SETUSER", "weak", "on", ">planted", "+ping", "+hmget", "~*"]);
    let rights = "+eval +evalsha +script|load +hmget +hset +persist +expireat +xadd +publish +ping \
                  +set +get +time +xread +xrange +xrevrange +scan";
    let mut words = vec!["ACL", "SETUSER", "good", "on", ">planted", "~tripline:*", "&tripline:*"];
    words.extend(rights.split_whitespace());
    redis.ask::<()>(&words);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let look = |user: &str| {
        let url = redis.url().replace("//", &format!("//{user}:planted@"));
        let config = format!("data_dir = \"data\"\n[auth_store.redis]\nurl = \"{url}\"\n");
        std::fs::write(folder.path().join("tripline.toml"), config).expect("writes");
        doctor(folder.path(), &["--no-daemon"])
    };
    let (code, report) = look("weak");
    let found = the(&report, "redis", "rights");
    assert_eq!((code, text(found, "state")), (Some(1), "failed"), "{report:#}");
    for right in ["HSET", "XADD", "PUBLISH", "script"] {
        assert!(text(found, "found").contains(right), "{right}: {found}");
    }
    assert!(!text(found, "found").contains("HMGET:"), "that one it has: {found}");
    assert!(
        text(found, "remedy").contains("ACL SETUSER") && !report.to_string().contains("planted")
    );

    let (code, report) = look("good");
    assert_eq!(
        (code, text(the(&report, "redis", "rights"), "state")),
        (Some(0), "ok"),
        "{report:#}"
    );
    assert_eq!(text(the(&report, "redis", "memory"), "state"), "skipped", "it may not ask");
    let (_, report) = look("default");
    assert_eq!(code, Some(0));
    assert_eq!(text(the(&report, "redis", "answers"), "state"), "ok", "{report:#}");
    let memory = the(&report, "redis", "memory");
    assert!(text(memory, "state") == "warning" && text(memory, "found").contains("allkeys-lru"));
    let status: String =
        redis.ask(&["HGET", "tripline:credential:{api_key:tripline-doctor-probe}", "status"]);
    assert_eq!(status, "active", "what is tried with is nobody's, and in service");
    let ends_s: i64 = redis.ask(&["TTL", "tripline:credential:{api_key:tripline-doctor-probe}"]);
    assert!((1..=60).contains(&ends_s), "{ends_s}");
}

#[test]
fn the_canary_is_suspended_and_restored_and_every_store_is_timed() {
    if skipped("redis") {
        return;
    }
    let (folder, redis) = (folder(), RedisServer::start());
    private(&folder.path().join("gateway.token"), "0123456789abcdef0123456789abcdef");
    let config = format!(
        "[auth_store.redis]\nurl = \"{}\"\n[http.tokens.gateway]\nroles = [\"check\"]\ntoken_file = \
         \"{}/gateway.token\"\n",
        redis.url(),
        folder.path().display()
    );
    let daemon = Daemon::start(&folder, &config);
    for _ in 0..2 {
        let (code, report) = doctor(folder.path(), &["--canary"]);
        assert_eq!((code, failed(&report)), (Some(0), vec![]), "{report:#}");
        for name in ["suspended", "restored"] {
            let found: Vec<&str> =
                checks(&report, "canary", name).iter().map(|one| text(one, "found")).collect();
            let all = found.join("; ");
            for part in ["/v1/check answers", "embedded applied after", "redis applied after"] {
                assert!(all.contains(part), "{part}: {all}");
            }
        }
    }
    let canary = "api_key:tripline-doctor-canary";
    let bearer = "Bearer 0123456789abcdef0123456789abcdef";
    assert_eq!(daemon.check_as(canary, bearer), 200, "it is in service afterwards");
    let status: String =
        redis.ask(&["HGET", &format!("tripline:credential:{{{canary}}}"), "status"]);
    assert_eq!(status, "active");
    let base = daemon.base().to_owned();
    let (code, report) = doctor(folder.path(), &["--canary", "--url", &base]);
    assert_eq!(code, Some(1), "without a token nothing is told and nothing ordered: {report:#}");
    assert_eq!(text(the(&report, "daemon", "answers"), "state"), "failed");
}

#[test]
fn mistakes_end_with_78_and_what_has_expired_is_a_warning() {
    let folder = folder();
    let write = |text: &str| {
        std::fs::write(folder.path().join("tripline.toml"), text).expect("writes");
    };
    write("data_dir = \"data\"\n[burst]\ngate_nats = \"x\"\n[nonsense]\n");
    let (code, report) = doctor(folder.path(), &["--no-daemon"]);
    assert_eq!((code, report["mistakes"].as_bool()), (Some(78), Some(true)));
    assert_eq!(checks(&report, "configuration", "mistakes").len(), 2, "{report:#}");

    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).expect("sets");
    let token = folder.path().join("reader.token");
    std::fs::write(&token, "0123456789abcdef").expect("writes");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).expect("sets");
    write(
        "data_dir = \"data\"\n[http.tokens.reader]\nroles = [\"read\"]\ntoken_file = \"reader.token\"\n\
         [allow_list.credential.\"api_key:key_1\"]\nowner = \"sre\"\nreason = \"load test\"\nexpires = \
         \"2020-01-01T00:00:00Z\"\n",
    );
    let (code, report) = doctor(folder.path(), &["--no-daemon"]);
    let open = [("files", "data folder"), ("files", "secrets")];
    let open = open.map(|(area, name)| (area.to_owned(), name.to_owned()));
    assert_eq!((code, failed(&report)), (Some(1), open.to_vec()), "{report:#}");
    assert_eq!(text(the(&report, "configuration", "expired"), "state"), "warning");
    let table = tripline(folder.path(), &["doctor", "--config", "tripline.toml", "--no-daemon"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("-> chmod 0600") && table.contains("2 failed"), "{table}");
}

#[test]
fn the_place_of_checkpoints_is_tried_and_left_as_it_was() {
    let folder = folder();
    let place = folder.path().join("checkpoints");
    std::fs::create_dir(&place).expect("a folder");
    private(&folder.path().join("key"), "0123456789abcdef0123456789abcdef");
    let config = format!(
        "data_dir = \"data\"\nfingerprint_key_file = \"key\"\n[checkpoints]\nurl = \"file://{}\"\n",
        place.display()
    );
    std::fs::write(folder.path().join("tripline.toml"), config).expect("writes");
    let (code, report) = doctor(folder.path(), &["--no-daemon"]);
    assert_eq!((code, text(the(&report, "checkpoints", "place"), "state")), (Some(0), "ok"));
    assert_eq!(std::fs::read_dir(&place).expect("a folder").count(), 0);
}

/// The files of an archive by name.
fn unpacked(archive: &Path) -> Vec<(String, String)> {
    let file = std::fs::File::open(archive).expect("an archive");
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let entries = archive.entries().expect("entries").map(|entry| {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        (name.rsplit('/').next().expect("a name").to_owned(), text)
    });
    entries.collect()
}

/// A configuration with secrets wherever one may stand.
fn planted(folder: &TempDir, redis: &RedisServer, alerts: &Receiver) -> String {
    redis.ask::<()>(&["CONFIG", "SET", "requirepass", "PlantedRedisPassword"]);
    let path = folder.path().display();
    private(&folder.path().join("reader.token"), "planted-token-of-the-reader-1");
    private(&folder.path().join("hook"), "whsec_UGxhbnRlZFdlYmhvb2tTZWNyZXRPZlRoZVRlc3QxMjM0NTY3");
    private(&folder.path().join("finger.key"), "planted-fingerprint-key-32-bytes-long");
    let url = redis.url().replace("//", "//:PlantedRedisPassword@");
    let config = format!(
        "fingerprint_key_file = \"{path}/finger.key\"\n[http.tokens.reader]\nroles = \
         [\"read\"]\ntoken_file = \"{path}/reader.token\"\n[auth_store.redis]\nurl = \
         \"{url}\"\n[auth_store.webhook.gateway]\nurl = \"{}\"\nsecret_file = \
         \"{path}/hook\"\n[egress]\nnetworks = [\"127.0.0.0/8\"]\n[notify.slack.oncall]\nurl_file = \
         \"{path}/slack\"\n[allow_list.credential.\"api_key:planted_allowed_key\"]\nowner = \
         \"planted-owner\"\nreason = \"a planted load test\"\nexpires = \"2020-01-01T00:00:00Z\"\n",
        alerts.url("/hooks/planted-path"),
    );
    private(&folder.path().join("slack"), &alerts.url("/services/T0/B0/PlantedSlackPath"));
    config
}

/// What must never be in an archive.
const SECRETS: [&str; 7] = [
    "planted-token-of",
    "UGxhbnRlZFdl",
    "planted-fingerprint",
    "PlantedRedis",
    "planted-path",
    "PlantedSlack",
    "sk-planted",
];
/// What is in one with names alone.
const NAMES: [&str; 7] = [
    "planted_allowed",
    "planted-owner",
    "planted load",
    "planted_key",
    "planted_other",
    "198.51.100.7",
    "asked by a test",
];

#[test]
fn a_support_dump_holds_no_secret_and_no_name() {
    if skipped("redis") {
        return;
    }
    let (folder, redis, alerts) = (folder(), RedisServer::start(), Receiver::start());
    let daemon = Daemon::start(&folder, &planted(&folder, &redis, &alerts));
    daemon.order("suspend", "planted_key_7f3a");
    let lines = [
        r#"{"level":"WARN","message":"asked with Bearer sk-plantedplantedplanted1","peer":"198.51.100.7"}"#,
        "2026 INFO decided credential=api_key:planted_other_key reason=x PlantedRedisPassword",
    ];
    let log = folder.path().join("planted.log");
    std::fs::write(&log, format!("{}\n{}", daemon.log(), lines.join("\n"))).expect("writes");

    let dump = |further: &[&str]| {
        let mut arguments =
            vec!["support", "dump", "--config", "tripline.toml", "--log", "planted.log"];
        arguments.extend(further);
        tripline(folder.path(), &arguments)
    };
    let done = dump(&["--output", "one.tar.gz"]);
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(
        told.contains("Look through it before you send it") && told.contains("doctor.json"),
        "{told}"
    );
    let archive = folder.path().join("one.tar.gz");
    let mode = std::fs::metadata(&archive).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let files = unpacked(&archive);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["version", "configuration", "doctor", "status", "system"] {
        let found = files.iter().find(|(file, _)| *file == format!("{name}.json"));
        let text = &found.unwrap_or_else(|| panic!("{name}: {names:?}")).1;
        let _whole: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{name}: {text}"));
    }
    let readme = &files.iter().find(|(name, _)| name == "README.txt").expect("a README").1;
    for name in names.iter().filter(|name| **name != "README.txt") {
        assert!(readme.contains(name), "{name} is not told of");
    }
    for (name, text) in &files {
        for planted in SECRETS.iter().chain(&NAMES) {
            assert!(!text.contains(planted), "{name} holds {planted}:\n{text}");
        }
    }
    let decisions =
        &files.iter().find(|(name, _)| name == "decisions.ndjson").expect("decisions").1;
    let decision: Value = serde_json::from_str(decisions.trim()).expect("one decision");
    assert!(text(&decision, "credential").starts_with("h_") && decision["generation"] == 1);

    let again = dump(&["--output", "one.tar.gz"]);
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
    let named = dump(&["--output", "two.tar.gz", "--with-names"]);
    assert!(String::from_utf8_lossy(&named.stdout).contains("ARE in it by name"));
    let files = unpacked(&folder.path().join("two.tar.gz"));
    let all: String = files.iter().map(|(_, text)| text.as_str()).collect();
    for name in NAMES {
        assert!(all.contains(name), "{name}: {all}");
    }
    for planted in SECRETS {
        assert!(!all.contains(planted), "{planted}");
    }
}

#[test]
fn a_support_dump_is_written_without_a_daemon_too() {
    let folder = folder();
    std::fs::write(folder.path().join("tripline.toml"), "data_dir = \"data\"\nnonsense = 1\n")
        .expect("writes");
    let done = tripline(folder.path(), &["support", "dump", "--config", "tripline.toml"]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let mut found = std::fs::read_dir(folder.path()).expect("a folder").flatten();
    let archive = found.find(|entry| entry.path().extension().is_some_and(|end| end == "gz"));
    let files = unpacked(&archive.expect("an archive").path());
    let status = &files.iter().find(|(name, _)| name == "status.json").expect("a status").1;
    assert!(status.contains("can't reach the daemon"), "{status}");
}
