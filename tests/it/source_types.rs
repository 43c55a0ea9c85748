//! Sources by type: standard input, syslog, OTLP, and what other systems wrap records in over HTTP.

use crate::support::child::Process;
use crate::support::daemon::{Daemon, event, now_ms, uses};
use crate::support::redis_server::RedisServer;
use crate::support::{free_port, pause, skipped, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tripline::sim::random::Random;

const PATIENCE: Duration = Duration::from_secs(30);

fn taken(source: &str) -> String {
    format!("tripline_source_events_total{{source=\"{source}\"}}")
}

fn refused(source: &str, reason: &str) -> String {
    format!("tripline_records_refused_total{{reason=\"{reason}\",source=\"{source}\"}}")
}

#[track_caller]
fn reaches(daemon: &Daemon, metric: &str, count: f64) {
    until(&format!("{metric} reaches {count}"), PATIENCE, || {
        (daemon.metric(metric) >= count).then_some(())
    });
    assert!((daemon.metric(metric) - count).abs() < 0.5, "{metric}: {}", daemon.metric(metric));
}

#[test]
fn standard_input_is_read_to_its_end_and_the_daemon_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = folder.path().join("lines.ndjson");
    let long = "x".repeat(2 << 20);
    let last = event("key_last", now_ms());
    let text = format!("{}{long}\nnot json\n{}", uses("key_1", now_ms(), 2_000), last.trim_end());
    std::fs::write(&lines, text).expect("writes");
    let script = format!("exec \"$0\" \"$@\" < {}", lines.display());
    let config = "[sources.pipe]\ntype = \"stdin\"\n";
    let daemon = Daemon::start_under(folder.path(), config, &["sh", "-c", &script]);
    reaches(&daemon, &taken("pipe"), 2_001.0);
    reaches(&daemon, &refused("pipe", "too_large"), 1.0);
    reaches(&daemon, &refused("pipe", "invalid_json"), 1.0);
    assert_eq!(daemon.post_events(&event("key_2", now_ms()))["accepted"], 1);
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn the_daemon_ends_though_its_standard_input_never_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("runs");
    assert!(made.success());
    let script = format!("exec \"$0\" \"$@\" <> {}", pipe.display());
    let config = "[sources.pipe]\ntype = \"stdin\"\n";
    let daemon = Daemon::start_under(folder.path(), config, &["sh", "-c", &script]);
    let mut writer = std::fs::File::options().write(true).open(&pipe).expect("opens");
    writer.write_all(event("key_1", now_ms()).as_bytes()).expect("writes");
    reaches(&daemon, &taken("pipe"), 1.0);
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn syslog_is_received_by_count_and_by_line_in_both_headers() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let config =
        format!("[sources.edge]\ntype = \"syslog\"\nlisten = \"tcp://127.0.0.1:{port}\"\n");
    let daemon = Daemon::start(&folder, &config);
    let mut sent = 0.0;
    for header in ["--rfc5424", "--rfc3164"] {
        for count in [true, false] {
            let mut logger = Command::new("logger");
            logger.args(["--server", "127.0.0.1", "--tcp", "--port"]).arg(port.to_string());
            logger.args([header, "--tag", "gateway", "--size", "64KiB"]);
            if count {
                logger.arg("--octet-count");
            }
            let mut logger = logger.stdin(Stdio::piped()).spawn().expect("logger runs");
            let mut stdin = logger.stdin.take().expect("a pipe");
            stdin.write_all(uses("key_1", now_ms(), 100).as_bytes()).expect("writes");
            drop(stdin);
            assert!(logger.wait().expect("ends").success());
            sent += 100.0;
            reaches(&daemon, &taken("edge"), sent);
        }
    }
    assert!(daemon.get("/v1/credentials").to_string().contains("key_1"));
    // One that breaks off: its last line has no end.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream.write_all(event("key_2", now_ms()).trim_end().as_bytes()).expect("writes");
    drop(stream);
    reaches(&daemon, &taken("edge"), sent + 1.0);
}

#[test]
fn nginx_logs_by_syslog_as_the_page_says() {
    if skipped("nginx") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (port, syslog) = (free_port(), free_port());
    let page = include_str!("../../docs/guides/sources.md");
    let (_, nginx) = page.split_once("```nginx\n").expect("a block");
    let format = nginx.split("access_log").next().expect("a format");
    let (_, ours) = page.split_once("Without a file, by syslog: `").expect("a recipe");
    let (line, rest) = ours.split_once('`').expect("a line");
    let (_, ours) = rest.split_once("```toml\n").expect("a block");
    let ours = ours.split("```").next().expect("its end").replace("5514", &syslog.to_string());
    let daemon = Daemon::start(&folder, &ours);
    let temp = folder.path().display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {temp}/{name};\n"))
        .concat();
    let config = format!(
        "daemon off; pid {temp}/pid; error_log {temp}/error.log;\nevents {{}}\nhttp {{\n{paths}{format}\n{}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}\n",
        line.replace("5514", &syslog.to_string())
    );
    let path = folder.path().join("nginx.conf");
    std::fs::write(&path, config).expect("writes");
    let mut command = Command::new("nginx");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-c").arg(&path);
    command.args(["-g", "master_process off;", "-e"]).arg(folder.path().join("early.log"));
    let _nginx = Process::start(&mut command);
    let ask = || {
        let client = crate::support::http();
        let request = client.get(format!("http://127.0.0.1:{port}/v1/items"));
        // What closes the text and the object, if nothing is escaped.
        let agent = r#"a","remote_user":"x"}: <13>"#;
        let request = request.header("x-api-key", "secret-key-1").header("user-agent", agent);
        request.send().is_ok_and(|answer| answer.status() == 200)
    };
    until("nginx answers", PATIENCE, || ask().then_some(()));
    (0..49).for_each(|_| assert!(ask()));
    reaches(&daemon, &taken("nginx"), 50.0);
}

#[test]
fn a_flood_of_datagrams_keeps_no_other_source_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let (flooded, quiet) = (free_port(), free_port());
    let config = format!(
        "[sources.flooded]\ntype = \"syslog\"\nlisten = \"udp://127.0.0.1:{flooded}\"\n\
         [sources.quiet]\ntype = \"syslog\"\nlisten = \"tcp://127.0.0.1:{quiet}\"\n"
    );
    let daemon = Daemon::start(&folder, &config);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let mut stream = TcpStream::connect(("127.0.0.1", quiet)).expect("connects");
    for round in 0..20 {
        for junk in 0..2_000_u32 {
            // The system drops what its buffer can't take.
            let _sent = socket.send_to(&junk.to_le_bytes(), ("127.0.0.1", flooded));
        }
        stream.write_all(event("key_1", now_ms()).as_bytes()).expect("writes");
        reaches(&daemon, &taken("quiet"), f64::from(round) + 1.0);
        assert_eq!(daemon.post_events(&event("key_2", now_ms()))["accepted"], 1);
    }
    assert!(daemon.metric(&refused("flooded", "invalid_json")) > 0.0);
    let status = daemon.get("/v1/status").to_string();
    assert!(status.contains("flooded"), "it is said which source is blind: {status}");
}

#[test]
fn syslog_from_a_network_that_may_not_send_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = [free_port(), free_port()];
    let config = format!(
        "[sources.udp]\ntype = \"syslog\"\nlisten = \"udp://127.0.0.1:{}\"\nsenders = [\"192.0.2.0/24\"]\n\
         [sources.tcp]\ntype = \"syslog\"\nlisten = \"tcp://127.0.0.1:{}\"\nsenders = [\"192.0.2.0/24\"]\n",
        ports[0], ports[1]
    );
    let daemon = Daemon::start(&folder, &config);
    let line = event("key_1", now_ms());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    socket.send_to(line.as_bytes(), ("127.0.0.1", ports[0])).expect("sends");
    let mut stream = TcpStream::connect(("127.0.0.1", ports[1])).expect("connects");
    let _sent = stream.write_all(line.as_bytes());
    for source in ["udp", "tcp"] {
        reaches(&daemon, &refused(source, "unknown_sender"), 1.0);
        assert!(daemon.metric(&taken(source)) < 0.5);
    }
    let ended = stream.read(&mut [0]);
    assert!(matches!(ended, Ok(0) | Err(_)), "the connection is closed");
}

/// An authority, and what it signed: a certificate for 127.0.0.1, and its key, in PEM.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut own = rcgen::CertificateParams::new(vec![]).expect("no names");
        own.distinguished_name.push(rcgen::DnType::CommonName, "the authority of a test");
        own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = own.self_signed(&key).expect("signed").pem();
        Self { issuer: rcgen::Issuer::new(own, key), pem }
    }

    fn sign(&self) -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).expect("a name");
        (certificate.signed_by(&key, &self.issuer).expect("signed").pem(), key.serialize_pem())
    }
}

fn tls_client(authority: &Authority, own: Option<&(String, String)>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let of = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    roots.add(of(&authority.pem)).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(vec![of(certificate)], key).expect("fits")
        }
    })
}

#[test]
fn syslog_over_tls_takes_from_holders_of_a_certificate_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, port) = (Authority::new(), free_port());
    let (server, client) = (authority.sign(), authority.sign());
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.display().to_string()
    };
    let config = format!(
        "[sources.edge]\ntype = \"syslog\"\nlisten = \"tls://127.0.0.1:{port}\"\ncertificate_file = \"{}\"\n\
         key_file = \"{}\"\nclient_ca_file = \"{}\"\n",
        write("server.pem", &server.0),
        write("server.key", &server.1),
        write("ca.pem", &authority.pem)
    );
    let daemon = Daemon::start(&folder, &config);
    let send = |config: Arc<rustls::ClientConfig>, credential: &str| {
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let session = rustls::ClientConnection::new(config, name).expect("a session");
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        let mut stream = rustls::StreamOwned::new(session, stream);
        let line = event(credential, now_ms());
        let _written = write!(stream, "{} {line}", line.len());
        let _flushed = stream.flush();
        stream.conn.send_close_notify();
        let _flushed = stream.flush();
        // So that it is the server who ends.
        let _read = stream.read(&mut [0]);
    };
    send(tls_client(&authority, None), "key_stranger");
    let other = Authority::new();
    send(tls_client(&authority, Some(&other.sign())), "key_forger");
    send(tls_client(&authority, Some(&client)), "key_1");
    reaches(&daemon, &taken("edge"), 1.0);
    let known = daemon.get("/v1/credentials").to_string();
    assert!(known.contains("key_1") && !known.contains("stranger") && !known.contains("forger"));
    assert!(daemon.log().contains("a syslog connection is closed"), "{}", daemon.log());
}

fn otlp(bodies: &[Value]) -> String {
    let records: Vec<Value> = bodies.iter().map(|body| json!({ "body": body })).collect();
    json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] }).to_string()
}

#[test]
fn otlp_answers_as_exporters_expect_and_names_what_it_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "[sources.logs]\ntype = \"otlp\"\n[sources.plain]\n");
    let json = [("content-type", "application/json")];
    let line = event("key_1", now_ms());
    let object: Value = serde_json::from_str(&line).expect("JSON");
    let fields = object.as_object().expect("an object").iter().map(|(key, value)| {
        let value = value.as_str().map_or_else(
            || json!({ "intValue": value.to_string() }),
            |text| json!({ "stringValue": text }),
        );
        json!({ "key": key, "value": value })
    });
    let fields: Vec<Value> = fields.collect();
    let bodies = [
        json!({ "stringValue": line }),
        json!({ "kvlistValue": { "values": fields } }),
        json!({ "stringValue": "not json" }),
        json!({ "stringValue": "{\"time\":1795460043500}" }),
    ];
    let path = "/v1/sources/logs/v1/logs";
    let (status, answer) = daemon.send("POST", path, &json, otlp(&bodies));
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let partial = &answer["partialSuccess"];
    assert_eq!(partial["rejectedLogRecords"], 1, "one without a credential is no fault: {answer}");
    assert!(partial["errorMessage"].as_str().expect("a text").contains("record 3: invalid_json"));
    reaches(&daemon, &taken("logs"), 2.0);
    let (status, answer) =
        daemon.send("POST", path, &[("content-type", "application/x-protobuf")], "");
    assert_eq!((status, answer.as_str()), (200, ""), "an empty request has an empty answer");
    for (path, content, body, expected) in [
        (path, "application/x-protobuf", "{\"resourceLogs\":[]}", 400),
        (path, "application/json", "[]", 400),
        (path, "text/plain", "x", 415),
        ("/v1/sources/logs/events", "application/json", "{}", 404),
        ("/v1/sources/plain/v1/logs", "application/json", "{}", 404),
        ("/v1/sources/none/v1/logs", "application/json", "{}", 404),
    ] {
        let (status, answer) = daemon.send("POST", path, &[("content-type", content)], body);
        assert_eq!(status, expected, "{path} {content}: {answer}");
    }
}

#[test]
fn cloud_events_are_unwrapped_one_and_many() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let data: Value = serde_json::from_str(&event("key_1", now_ms())).expect("JSON");
    let wrapped =
        json!({ "specversion": "1.0", "id": "1", "source": "/gw", "type": "auth", "data": data });
    let send = |media_type: &str, body: &Value| {
        let (status, answer) =
            daemon.send("POST", "/v1/events", &[("content-type", media_type)], body.to_string());
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str::<Value>(&answer).expect("JSON")
    };
    let one = send("application/cloudevents+json; charset=utf-8", &wrapped);
    assert_eq!((&one["accepted"], &one["refused"]), (&json!(1), &json!(0)));
    let many = send("application/cloudevents-batch+json", &json!([wrapped, { "id": 1 }, wrapped]));
    assert_eq!((&many["accepted"], &many["lines"][0]["line"]), (&json!(2), &json!(2)));
    let (status, _) = daemon.send(
        "POST",
        "/v1/events",
        &[("content-type", "application/cloudevents-batch+json")],
        "{}",
    );
    assert_eq!(status, 400);
}

#[test]
fn firehose_delivers_with_its_access_key_and_a_request_sent_again_counts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("firehose.token");
    write_token(&key, "an-access-key-of-firehose");
    let config = format!(
        "[sources.aws]\n[http.tokens.firehose]\nroles = [\"ingest\"]\nsources = [\"aws\"]\ntoken_file = \"{}\"\n",
        key.display()
    );
    let daemon = Daemon::start(&folder, &config);
    let data = STANDARD.encode(uses("key_1", now_ms(), 3));
    let body =
        json!({ "requestId": "r-1", "timestamp": 1, "records": [{ "data": data }] }).to_string();
    let send = |key: &str, path: &str| {
        let headers = [
            ("x-amz-firehose-protocol-version", "1.0"),
            ("x-amz-firehose-request-id", "r-1"),
            ("x-amz-firehose-access-key", key),
            ("content-type", "application/json"),
        ];
        daemon.send("POST", path, &headers, body.clone())
    };
    for _ in 0..2 {
        let (status, answer) = send("an-access-key-of-firehose", "/v1/sources/aws/events");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!((status, &answer["requestId"]), (200, &json!("r-1")));
        assert!(answer["timestamp"].as_i64().is_some_and(|ms| ms > 0));
    }
    reaches(&daemon, "tripline_events_total", 3.0);
    assert_eq!(send("another-access-key-x", "/v1/sources/aws/events").0, 401);
    assert_eq!(send("an-access-key-of-firehose", "/v1/events").0, 403, "bound to its source");
    assert!(!daemon.log().contains("access-key-of"), "{}", daemon.log());
}

fn write_token(path: &Path, token: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, token).expect("writes");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permits");
}

fn stream_config(url: &str) -> String {
    format!(
        "checkpoints.interval = \"24h\"\n[sources.queue]\ntype = \"redis_stream\"\nurl = \"{url}\"\nstream = \"auth-events\"\n"
    )
}

#[test]
fn a_stream_of_redis_is_read_once_over_twenty_kills() {
    if skipped("redis") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let redis = RedisServer::start();
    let config = stream_config(&redis.url());
    let add = |name: &str| -> String {
        redis.ask(&["XADD", "auth-events", "*", "event", &event(name, now_ms())])
    };
    let mut written = 0;
    let mut random = Random::of(11, &[]);
    for _ in 0..20 {
        let daemon = Daemon::start(&folder, &config);
        for _ in 0..100 + random.below(200) {
            add(&format!("key_{written}"));
            written += 1;
        }
        pause(Duration::from_millis(u64::from(random.below(100))));
        daemon.kill();
    }
    let daemon = Daemon::start(&folder, &config);
    let pending = || -> i64 {
        let groups: Vec<std::collections::BTreeMap<String, redis::Value>> =
            redis.ask(&["XINFO", "GROUPS", "auth-events"]);
        let of = |name: &str| match groups.first().and_then(|group| group.get(name)) {
            Some(redis::Value::Int(count)) => *count,
            _ => -1,
        };
        of("pending") + of("lag")
    };
    until("all is acknowledged", PATIENCE, || (pending() == 0).then_some(()));
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    let taken = crate::tail::taken(&data);
    let wrong: Vec<_> = (0..written)
        .map(|number| format!("key_{number}"))
        .filter(|name| taken.get(name) != Some(&1))
        .collect();
    assert_eq!(wrong, [""; 0], "lost or doubled of {written}");
}

#[test]
fn a_stream_outlives_redis_and_its_own_deletion_and_takes_over_what_others_left() {
    if skipped("redis") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut redis = RedisServer::start();
    let other = ["XREADGROUP", "GROUP", "tripline", "gone", "STREAMS", "auth-events", ">"];
    let make = ["XGROUP", "CREATE", "auth-events", "tripline", "0", "MKSTREAM"];
    let _made: String = redis.ask(&make);
    let add = |redis: &RedisServer, field: &str, text: &str| {
        let _id: String = redis.ask(&["XADD", "auth-events", "*", field, text]);
    };
    add(&redis, "event", &event("key_left", now_ms()));
    let _read: redis::Value = redis.ask(&other);
    // As if the other consumer were gone for two minutes.
    let left: Vec<Vec<redis::Value>> =
        redis.ask(&["XPENDING", "auth-events", "tripline", "-", "+", "1"]);
    let Some(redis::Value::BulkString(id)) = left.first().and_then(|entry| entry.first()) else {
        panic!("nothing pends: {left:?}");
    };
    let id = String::from_utf8(id.clone()).expect("an id");
    let idle = ["XCLAIM", "auth-events", "tripline", "gone", "0", &id, "IDLE", "120000", "JUSTID"];
    let _claimed: redis::Value = redis.ask(&idle);
    let daemon = Daemon::start(&folder, &stream_config(&redis.url()));
    reaches(&daemon, &taken("queue"), 1.0);
    add(&redis, "event", "no json");
    add(&redis, "other", "x");
    add(&redis, "event", &event("key_1", now_ms()));
    reaches(&daemon, &taken("queue"), 2.0);
    reaches(&daemon, &refused("queue", "invalid_json"), 1.0);
    reaches(&daemon, &refused("queue", "invalid_envelope"), 1.0);
    let _deleted: i64 = redis.ask(&["DEL", "auth-events"]);
    add(&redis, "event", &event("key_2", now_ms()));
    reaches(&daemon, &taken("queue"), 3.0);
    redis.restart();
    add(&redis, "event", &event("key_3", now_ms()));
    reaches(&daemon, &taken("queue"), 4.0);
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn a_source_that_exceeds_its_rate_waits_and_the_others_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (slow, other) = (folder.path().join("slow.ndjson"), folder.path().join("other.ndjson"));
    // More than is read at once, in far more time than this test takes.
    std::fs::write(&slow, uses("key_slow", now_ms(), 40_000)).expect("writes");
    let config = format!(
        "[sources.flood]\nrate_max = \"600/min\"\n[sources.quiet]\n\
         [sources.slow]\ntype = \"file\"\npaths = [\"{}\"]\nrate_max = \"600/min\"\n\
         [sources.other]\ntype = \"file\"\npaths = [\"{}\"]\n",
        slow.display(),
        other.display()
    );
    let daemon = Daemon::start(&folder, &config);
    let send = |source: &str, events: usize| {
        let path = format!("/v1/sources/{source}/events");
        daemon.send("POST", &path, &[], uses("key_1", now_ms(), events))
    };
    assert_eq!(send("flood", 6_000).0, 200, "no batch is too large");
    let (status, answer) = send("flood", 30);
    assert!(status == 429 && answer.contains("raise rate_max"), "{answer}");
    assert_eq!(send("quiet", 1_000).0, 200);
    assert!(daemon.metric("tripline_source_rate_exceeded_total{source=\"flood\"}") >= 1.0);
    let bound = "tripline_source_rate_exceeded_total{source=\"slow\"}";
    until("the slow file waits", PATIENCE, || (daemon.metric(bound) >= 1.0).then_some(()));
    let read = daemon.metric(&taken("slow"));
    assert!(read > 0.0 && read < 40_000.0, "{read}");
    std::fs::write(&other, uses("key_other", now_ms(), 600)).expect("writes");
    reaches(&daemon, &taken("other"), 600.0);
    assert!(daemon.metric(&taken("slow")) < 40_000.0, "it still waits");
}
