//! The binary as its users meet it: configurations, exit codes, signals, replays.

use crate::support::daemon::{BINARY, Daemon, event};
use crate::support::needed;
use std::path::Path;
use std::process::{Command, Output};

fn tripline(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).env("NO_COLOR", "1").envs(environment.iter().copied());
    command.output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn all_mistakes_of_a_configuration_are_said_at_once_each_with_its_place_and_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tripline.toml");
    let config = "\
data_dirr = \"x\"
[http]
listen = \"everywhere\"
[limits]
default = \"fast\"
[limits.kind]
api_kee = \"10k/min\"
[mode]
default = \"careful\"
[revocation_limit]
per_hour = -1
[allow_list.tenant.acme]
owner = \"sre\"
[auth_store.redis]
url = \"redis://127.0.0.1/\"
key = \"tripline:{kind}\"
[auth_store.redis.commands.jwt]
revoke = [\"SET jwt:{jtii} 1\"]
";
    std::fs::write(&path, config).expect("writes");
    let done =
        tripline(&["check", path.to_str().expect("a path")], &[("TRIPLINE_HTTP__LISTENN", "x")]);
    assert_eq!(done.status.code(), Some(78));
    // Long messages are wrapped.
    let said = text(&done.stderr).replace('│', " ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "unknown setting `data_dirr`",
        "did you mean `data_dir`?",
        "tripline.toml:1:1",
        "invalid address `***`",
        "`limits.default`: invalid rate",
        "10k/min",
        "`limits.kind.api_kee`",
        "unknown value `careful`",
        "write shadow, alert, throttle, suspend, revoke",
        "out of range",
        "`reason` is missing",
        "the key must identify the credential",
        "there is no placeholder {jtii}",
        "[limits.kind]",
        "[auth_store.redis.commands.jwt]",
        "TRIPLINE_HTTP__LISTENN",
    ] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tripline.toml");
    std::fs::write(&path, "[http\nlisten = 7\n").expect("writes");
    let done = tripline(&["check", path.to_str().expect("a path")], &[]);
    assert_eq!(done.status.code(), Some(78));
    assert!(text(&done.stderr).contains("invalid TOML"), "{}", text(&done.stderr));
}

#[test]
fn what_could_never_work_is_said_before_it_is_tried() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.display().to_string()
    };
    let (token, none) = (file("token", &"a1".repeat(16)), file("none.pem", "no certificate"));
    let hook = file("hook", "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    let one = |name: &str| {
        format!("[http.tokens.{name}]\nroles = [\"read\"]\ntoken_file = \"{token}\"\n")
    };
    let webhook = |url: &str| {
        format!("[auth_store.webhook.own]\nurl = \"{url}\"\nsecret_file = \"{hook}\"\n")
    };
    let redis =
        |further: &str| format!("[auth_store.redis]\nurl = \"redis://127.0.0.1/\"\n{further}\n");
    let allowed = |until: &str| {
        format!(
            "[allow_list.tenant.acme]\nowner = \"sre\"\nreason = \"test\"\nexpires = \"{until}\"\n"
        )
    };
    for (config, said) in [
        (format!("{}{}", one("one"), one("two")), "one and two have the same token"),
        ("[admin]\nsocket_mode = \"0777\"".to_owned(), "others must not"),
        ("[admin]\nsocket_mode = \"0000\"".to_owned(), "its owner needs it"),
        (format!("[egress]\nca_file = \"{none}\""), "can't use the certificate authorities"),
        (webhook("http://hooks.example/"), "is blocked"),
        (webhook("https://10.0.0.7/"), "is blocked"),
        (redis(&format!("ca_file = \"{none}\"")), "no PEM certificates"),
        (redis(&format!("client_cert_file = \"{none}\"")), "no PEM certificates"),
        (redis(&format!("url_file = \"{token}\"")), "are both set"),
        (redis("sentinel = \"\""), "a string on one line"),
        (redis("nodes = [\"127.0.0.1:7000\"]"), "neither a Sentinel nor a Cluster"),
        (redis("cluster = true").replace("1/", "1/2"), "leave /db out"),
        (redis("").replace("redis://127.0.0.1/", "rediss://127.0.0.1/#insecure"), "#insecure"),
        (
            "[notify.slack.a]\nurl_file = \"x\"\nfrom = \"observe\"".to_owned(),
            "unknown value `observe`",
        ),
        ("[notify.kafka.a]\ntopic = \"x\"".to_owned(), "brokers"),
        (allowed("2026-01-01T00:00:00Z"), "expired on 2026-01-01T00:00:00Z"),
    ] {
        let path = file("tripline.toml", &config);
        let done = tripline(&["check", &path], &[]);
        assert_eq!(done.status.code(), Some(78), "{config}");
        let told = text(&done.stderr).replace('│', " ");
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(said), "{config}\nsays: {told}");
    }
    let path = file("tripline.toml", &allowed("9999-01-01T00:00:00Z"));
    assert_eq!(tripline(&["check", &path], &[]).status.code(), Some(0));
    // An entry that ran out while the daemon was up must not keep it from starting again.
    let past = allowed("2026-01-01T00:00:00Z");
    assert!(tripline::config::loader::check("config", &past, [].into()).is_ok());
}

#[test]
fn an_address_that_others_reach_needs_tokens() {
    let environment = [("TRIPLINE_HTTP__LISTEN", "0.0.0.0:7878")];
    let done = tripline(&["run"], &environment);
    assert_eq!(done.status.code(), Some(78));
    assert!(text(&done.stderr).contains("without a token"), "{}", text(&done.stderr));
}

#[test]
fn the_shipped_configuration_has_no_mistakes_and_says_the_defaults() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tripline.toml");
    let done = tripline(&["check", shipped], &[]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let told = std::fs::read_to_string(shipped).expect("reads");
    let read = |text: &str| {
        let environment = std::collections::BTreeMap::new();
        let settings = tripline::config::loader::check("config", text, environment);
        format!("{:?}", settings.expect("no mistakes"))
    };
    // Every default that stands there as a comment is the default.
    let lines: Vec<&str> =
        told.lines().map(|line| line.strip_prefix("#= ").unwrap_or(line)).collect();
    let uncommented = lines.join("\n");
    assert_eq!(read(&uncommented), read(""));
}

#[test]
fn exit_codes_say_how_it_ended() {
    let code = |arguments: &[&str]| tripline(arguments, &[]).status.code();
    assert_eq!(code(&["--version"]), Some(0));
    assert_eq!(code(&["nonsense"]), Some(64));
    assert_eq!(code(&["check", "/no/such/file"]), Some(78));
    assert_eq!(code(&["replay", "/no/such/file"]), Some(1));
    assert_eq!(code(&["findings", "list", "--url", "http://127.0.0.1:1"]), Some(69));
    assert_eq!(code(&["generate", "completions", "bash"]), Some(0));
}

#[test]
fn man_pages_are_written_one_a_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let done = tripline(&["generate", "man", folder.path().to_str().expect("a path")], &[]);
    assert_eq!(done.status.code(), Some(0));
    for page in
        ["tripline.1", "tripline-run.1", "tripline-replay.1", "tripline-credentials-revoke.1"]
    {
        assert!(folder.path().join(page).exists(), "{page}");
    }
}

#[test]
fn two_daemons_never_share_a_data_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Daemon::start(&folder, "");
    let data = first.data();
    let environment = [("TRIPLINE_HTTP__LISTEN", "127.0.0.1:0"), ("TRIPLINE_LOG", "error")];
    let config = folder.path().join("second.toml");
    std::fs::write(&config, format!("data_dir = \"{}\"", data.display())).expect("writes");
    let done = tripline(&["run", "--config", config.to_str().expect("a path")], &environment);
    assert_eq!(done.status.code(), Some(69));
    assert!(text(&done.stderr).contains("in use by another tripline"), "{}", text(&done.stderr));
}

#[test]
fn people_read_and_order_from_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "limits.default = \"600/min\"\n");
    let now = crate::support::daemon::now_ms();
    daemon.post_events(&event("key_1", now).repeat(2000));
    let ask = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        let socket = daemon.socket();
        all.extend(["--socket", socket.to_str().expect("text")]);
        let done = tripline(&all, &[]);
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    crate::support::until("it is found", std::time::Duration::from_secs(5), || {
        ask(&["findings", "list"]).1.contains("its limit is 600 a minute").then_some(())
    });
    let (code, told, _) = ask(&["explain", "key_1"]);
    assert_eq!(code, Some(0));
    for part in
        ["its limit is 600 a minute", "not carried out", "held back by mode", "raise [mode]"]
    {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    let (code, told, said) = ask(&["explain", "key_nobody_knows"]);
    assert!(code == Some(1) && told.is_empty() && said.contains("not remembered"), "{told}{said}");
    let (code, told, _) = ask(&["reload"]);
    assert_eq!((code, told.trim()), (Some(0), "nothing changed"));
    let (_, told, _) = ask(&["tenants"]);
    assert!(told.contains("No recent minute had") || told.contains("acme"), "{told}");
    let (_, told, _) = ask(&["credentials", "list"]);
    assert!(told.contains("api_key:key_1") && told.contains("active"), "{told}");
    let (code, _, said) = ask(&["credentials", "revoke", "key_1", "--reason", "leaked"]);
    assert_eq!(
        (code, said.contains("--yes")),
        (Some(1), true),
        "nobody can answer: nothing is done"
    );
    assert_eq!(daemon.check("key_1"), 200);
    let (code, ..) = ask(&["credentials", "revoke", "key_1", "--reason", "leaked", "--yes"]);
    assert_eq!(code, Some(0));
    crate::support::until("it is refused", std::time::Duration::from_secs(5), || {
        (daemon.check("key_1") == 403).then_some(())
    });
    let (_, shown, _) = ask(&["credentials", "show", "key_1"]);
    assert!(shown.contains("revoked") && shown.contains("leaked"), "{shown}");
    let (code, ..) = ask(&["credentials", "restore", "key_1", "--reason", "rotated"]);
    assert_eq!(code, Some(0));
    let (_, decided, _) = ask(&["decisions", "list", "--credential", "key_1"]);
    let order = ["restore", "revoke", "held by mode"].map(|part| decided.find(part));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "newest first:\n{decided}");
    let id = decided.split(' ').nth(1).expect("an id");
    let (_, shown, _) = ask(&["decisions", "show", id]);
    assert!(shown.contains("rotated") && shown.contains("generation   2"), "{shown}");
    let (code, _, said) = ask(&["decisions", "show", "d_0000000000000000"]);
    assert_eq!((code, said.contains("no such decision")), (Some(1), true), "{said}");
    let (_, listed, _) = ask(&["findings", "list", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert!(listed.as_array().is_some_and(|list| !list.is_empty()));
}

fn report(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> serde_json::Value {
    let path = folder.join("report.json");
    let mut all = vec!["replay", "--report", path.to_str().expect("a path")];
    all.extend(arguments);
    let done = tripline(&all, environment);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let report = std::fs::read_to_string(&path).expect("a report");
    serde_json::from_str(&report).expect("JSON")
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_tenants_limit_is_that_of_each_of_its_credentials_or_of_their_sum() {
    let text =
        "[limits.tenant_each]\nacme = \"500/min\"\n[limits.tenant_sum]\nbloom = \"9k/min\"\n";
    let settings = tripline::config::loader::check("config", text, [].into()).expect("right");
    assert_eq!(settings.partition.profile.limits.by_tenant.get("acme"), Some(&500));
    assert_eq!(settings.control.tenant_sums.get("bloom"), Some(&9_000));
    assert!(["acme", "bloom"].iter().all(|name| settings.partition.named_tenants.contains(*name)));
    let old = "[limits.tenant]\nacme = \"500/min\"\n";
    assert!(tripline::config::loader::check("config", old, [].into()).is_err(), "no such table");
}

#[test]
fn check_says_what_the_events_of_each_source_can_lead_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let says = |config: &str| {
        let path = folder.path().join("tripline.toml");
        std::fs::write(&path, config).expect("writes");
        let done = tripline(&["check", path.to_str().expect("a path")], &[]);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    let native = says("mode.default = \"suspend\"\n");
    assert!(native.contains("status of 2xx") && native.contains("suspend at most"), "{native}");
    let log = says("mode.default = \"revoke\"\n[sources.default]\nformat = \"access_log\"\n");
    assert!(log.contains("alerts at most") && log.contains("[sources.default]"), "{log}");
    let stated = "[sources.default]\nformat = \"access_log\"\nverified = \"2xx\"\n";
    assert!(says(stated).contains("with a status of 2xx"));
    let kafka = "[sources.kafka]\ntype = \"kafka\"\nbrokers = \"127.0.0.1:9\"\ntopics = [\"t\"]\nformat = \"mapping\"\n\
                 [sources.kafka.mapping]\ncredential = \"/k\"\ntime = \"/t\"\n";
    assert!(says(kafka).contains("[sources.kafka]"));
}

#[test]
fn a_replay_reads_real_excerpts() {
    let folder = tempfile::tempdir().expect("a folder");
    let cloud =
        report(folder.path(), &["--format", "cloudtrail", &data("cloudtrail_excerpt.json")], &[]);
    assert_eq!((&cloud["events"], &cloud["malformed"]), (&18.into(), &4.into()));
    assert_eq!((&cloud["refused"]["no_credential"], &cloud["credentials"]), (&4.into(), &2.into()));
    let by_address = [
        ("TRIPLINE_SOURCES__DEFAULT__CREDENTIAL", "address"),
        ("TRIPLINE_SOURCES__DEFAULT__VERIFIED", "always"),
    ];
    let nasa =
        report(folder.path(), &["--format", "access_log", &data("nasa_excerpt.log")], &by_address);
    assert_eq!((&nasa["events"], &nasa["credentials"]), (&300.into(), &49.into()));
}

/// The whole set, where it lies beside the project.
fn shared(path: &str) -> Option<std::path::PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    let what = format!("{} is not here", path.display());
    needed("data", &what, path.exists().then_some(path))
}

#[test]
fn the_whole_cloudtrail_set_gives_its_known_numbers() {
    let Some(archive) = shared("cloudtrail/records.tar.gz") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let unpacked =
        Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.expect("tar runs").success());
    let mut files: Vec<String> = std::fs::read_dir(folder.path().join("CloudTrail"))
        .expect("a folder")
        .map(|file| file.expect("a file").path().display().to_string())
        .collect();
    files.sort();
    let mut arguments = vec!["--format", "cloudtrail"];
    arguments.extend(files.iter().map(String::as_str));
    let report = report(folder.path(), &arguments, &[]);
    // 133 keys are named; two of them only by calls that were throttled or failed in other ways,
    // which don't show that their caller held the key.
    assert_eq!((&report["events"], &report["credentials"]), (&2815.into(), &131.into()));
    assert_eq!((&report["rejected"], &report["unverified"]), (&60.into(), &240.into()));
    assert_eq!(report["refused"], serde_json::json!({ "no_credential": 85 }));
    assert_eq!(report["busiest"]["credential"], "AKIATFQR7NSC8Q4X20BJ");
    assert_eq!(report["busiest"]["requests_per_min"], 318);
}

#[test]
fn the_whole_nasa_set_is_read_packed_from_standard_input_or_a_file() {
    let Some(set) = shared("nasa-http/nasa_19950801.tsv.gz") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut rows = String::new();
    let file = std::fs::File::open(set).expect("opens");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut bytes)
        .expect("reads");
    std::io::Read::read_to_string(&mut String::from_utf8_lossy(&bytes).as_bytes(), &mut rows)
        .expect("text");
    let mut log = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut hosts = std::collections::BTreeSet::new();
    let mut count = 0;
    for row in rows.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [host, _, time, method, url, status, bytes, ..] = fields[..] else { continue };
        let time = jiff::Timestamp::from_second(time.parse().expect("seconds")).expect("a time");
        let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
        let line = format!(
            "{host} - - [{time}] \"{method} {url} HTTP/1.0\" {status} {bytes} \"-\" \"-\"\n"
        );
        std::io::Write::write_all(&mut log, line.as_bytes()).expect("packs");
        hosts.insert(host.to_owned());
        count += 1;
    }
    let path = folder.path().join("access.log.gz");
    std::fs::write(&path, log.finish().expect("packs")).expect("writes");
    let by_address = [
        ("TRIPLINE_SOURCES__DEFAULT__CREDENTIAL", "address"),
        ("TRIPLINE_SOURCES__DEFAULT__VERIFIED", "always"),
    ];
    let path = path.display().to_string();
    let report = report(folder.path(), &["--format", "access_log", &path], &by_address);
    assert_eq!(report["events"], count);
    assert_eq!(report["malformed"], 0);
    // Hosts of which every request was refused as forbidden are not remembered.
    let credentials = report["credentials"].as_u64().expect("a number");
    assert!(credentials <= hosts.len() as u64 && credentials + 20 >= hosts.len() as u64);
}

#[test]
fn two_replays_of_one_file_are_alike_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = folder.path().join("events.ndjson.zst");
    let mut lines = String::new();
    for n in 0..60_000_i64 {
        let key =
            if n > 40_000 && n % 2 == 0 { "loud".to_owned() } else { format!("key_{}", n % 97) };
        lines.push_str(&event(&key, 1_700_000_000_000 + n));
    }
    lines.push_str("nonsense\n");
    std::fs::write(&events, zstd::encode_all(lines.as_bytes(), 1).expect("packs")).expect("writes");
    let run = |name: &str| {
        let path = |what: &str| folder.path().join(format!("{name}-{what}"));
        let [findings, decisions, letters] = ["findings", "decisions", "letters"].map(path);
        let arguments = [
            "--findings",
            findings.to_str().expect("a path"),
            "--decisions",
            decisions.to_str().expect("a path"),
            "--rejects",
            letters.to_str().expect("a path"),
            events.to_str().expect("a path"),
        ];
        // A limit that an operator wrote is a contract, which needs no proof to be carried out.
        let revokes =
            [("TRIPLINE_MODE__DEFAULT", "revoke"), ("TRIPLINE_LIMITS__DEFAULT", "10k/min")];
        let report = report(folder.path(), &arguments, &revokes);
        let read = |path: &Path| std::fs::read_to_string(path).expect("reads");
        assert_eq!(read(&letters).lines().count(), 1);
        (read(&findings), read(&decisions), report["findings"].clone())
    };
    let (one, two) = (run("one"), run("two"));
    assert_eq!(one, two);
    assert!(one.0.contains("\"credential\":\"loud\"") && one.1.contains("\"carried_out\":true"));
}

#[test]
fn a_replay_reads_an_array_as_it_is_posted() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: Vec<String> = (0..5_000).map(|n| event("key_1", 1_700_000_000_000 + n)).collect();
    let array =
        format!("\u{feff} \n[{},7,\n{}]\n", lines[..2_500].join(","), lines[2_500..].join(","));
    let path = folder.path().join("events.json");
    std::fs::write(&path, array).expect("writes");
    let read = report(folder.path(), &[&path.display().to_string()], &[]);
    assert_eq!((&read["events"], &read["malformed"]), (&5_000.into(), &1.into()), "{read}");
}

#[test]
fn a_file_that_is_not_what_its_name_says_or_is_cut_off_costs_itself_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: String = (0..5_000).map(|n| event("key_1", 1_700_000_000_000 + n)).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, lines.as_bytes()).expect("packs");
    let packed = packed.finish().expect("packs");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path.display().to_string()
    };
    let plain = file("plain.json.gz", lines.as_bytes());
    let empty = file("empty.json.gz", b"");
    let unnamed = file("packed.json", &packed);
    let last = file("last.ndjson", event("key_2", 1_700_000_010_000).as_bytes());
    let all = report(folder.path(), &[&plain, &empty, &unnamed, &last], &[]);
    assert_eq!((&all["events"], &all["unread"]), (&10_001.into(), &serde_json::json!({})));

    let cut = file("cut.json.gz", &packed[..packed.len() / 2]);
    let path = folder.path().join("cut-report.json");
    let arguments = ["replay", "--report", path.to_str().expect("a path"), &cut, "gone", &last];
    let done = tripline(&arguments, &[]);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    for name in ["cut.json.gz", "gone"] {
        assert!(text(&done.stderr).contains(name), "{}", text(&done.stderr));
    }
    let read = std::fs::read_to_string(&path).expect("a report");
    let read: serde_json::Value = serde_json::from_str(&read).expect("JSON");
    let events = read["events"].as_u64().expect("a number");
    assert!(events > 1_000 && events < 5_001, "what came before the cut, and the last file");
    assert_eq!(read["credentials"], 2, "the last file was read");
}

/// The peak memory of a replay of so many hours in which sessions come and go, five a second, beside
/// a few keys that stay. Unit: bytes.
fn peak_of_hours(hours: i64) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let events = folder.path().join("events.ndjson");
    let mut lines = String::new();
    for n in 0..hours * 3600 * 5 {
        let (at, key) = (1_700_000_000_000 + n * 200, format!("session_{n:010}"));
        lines.push_str(&event(&key, at));
        if n % 50 == 0 {
            lines.push_str(&event(&format!("key_{}", n % 400), at));
        }
    }
    std::fs::write(&events, lines).expect("writes");
    let memory = [("TRIPLINE_ENGINE__MEMORY", "16MiB")];
    let report = report(folder.path(), &[events.to_str().expect("a path")], &memory);
    let number = |name: &str| report.get(name).and_then(serde_json::Value::as_u64);
    assert_eq!(number("malformed"), Some(0), "{report}");
    number("peak_rss_bytes").expect("a number")
}

#[test]
fn a_day_of_sessions_takes_no_more_memory_than_some_hours() {
    let (some, day) = (peak_of_hours(6), peak_of_hours(24));
    assert!(day < some + some / 10, "{day} bytes after a day, {some} after six hours");
}

#[test]
fn a_detector_that_is_off_says_nothing_of_the_sum_of_all_instances_either() {
    for (text, watches) in [("", true), ("detectors.disabled = [\"tenant_flood\"]", false)] {
        let settings = tripline::config::loader::check("config", text, [].into()).expect("right");
        assert_eq!(settings.control.tenant_flood.is_some(), watches, "{text}");
    }
}

#[test]
fn a_container_check_says_whether_the_daemon_is_ready_by_its_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let socket = daemon.socket().display().to_string();
    let done = tripline(&["health", "--socket", &socket], &[]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert_eq!(text(&done.stdout), "ok running\nok journal\nok fleet\nready\n");
    daemon.terminate();
    let done = tripline(&["health", "--socket", &socket], &[]);
    assert_eq!(done.status.code(), Some(69), "{}", text(&done.stdout));
}
