//! Reports of leaked secrets: who is believed, what is handed over, and that no secret is kept.

use crate::support::daemon::{Daemon, event, now_ms};
use crate::support::receiver::Receiver;
use crate::support::redis_server::RedisServer;
use crate::support::{http, kept, until};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tripline::adapters::egress::{self, Egress};
use tripline::adapters::leaks::lookups::{KeyTemplate, RedisLookup};
use tripline::adapters::leaks::params::Params;
use tripline::adapters::leaks::resolver::{Batch, Resolver};
use tripline::adapters::redis_connection::{ServerAddress, Topology};
use tripline::formats::leaks::hash::hex;
use tripline::formats::leaks::report::LeakReport;
use tripline::formats::outbound::standard_webhook::Signer;
use tripline::formats::secrets::secret::Fingerprinter;

// Source: the sample of GitHub's documentation, and the key that its API has for it.
const SAMPLE: &str = r#"[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]"#;
const IDENTIFIER: &str = "bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c";
const SIGNATURE: &str = "MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==";
pub(crate) const KEYS: &str = r#"{"public_keys":[{"key_identifier":"bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c","key":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\nAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n","is_current":true}]}"#;

pub(crate) const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const GITLAB_TOKEN: &str = "token-of-gitlab-0123456789abcdef";
const JSON: (&str, &str) = ("content-type", "application/json");
/// The last letters are what is sought; the second is of no known form.
const PLANTED: [&str; 2] = ["sk-PLANTED0123456789abcdef", "an ordinary PLANTED phrase"];
/// Its `jti` is `victim`; its signature is made up.
const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ2aWN0aW0ifQ.bWFkZSB1cA";

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

/// A daemon that takes reports of every reporter.
fn daemon(self_service: &str) -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = file(folder.path(), "keys.json", KEYS);
    let token = file(folder.path(), "gitlab.token", GITLAB_TOKEN);
    let secret = file(folder.path(), "leaks.secret", WEBHOOK_SECRET);
    let config = format!(
        "[leaks.github]\nkeys_file = \"{keys}\"\n\
         [leaks.gitlab]\ntoken_file = \"{token}\"\ntypes = [\"gitleaks_rule_id_acme\"]\n\
         [leaks.webhook]\nsecret_file = \"{secret}\"\n\
         [leaks.self_service]\n{self_service}"
    );
    let daemon = Daemon::start(&folder, &config);
    (folder, daemon)
}

fn github(daemon: &Daemon, (identifier, signature): (&str, &str), body: &[u8]) -> (u16, String) {
    let headers = [
        ("github-public-key-identifier", identifier),
        ("github-public-key-signature", signature),
        JSON,
    ];
    daemon.send("POST", "/v1/leaks/github", &headers, body)
}

/// Sends a report signed as the message `id` at `sent_s`; a part may be another than what was signed.
pub(crate) fn webhook(
    daemon: &Daemon,
    (id, sent_s): (&str, i64),
    signed: &str,
    body: &str,
) -> (u16, String) {
    let signer = Signer::parse(WEBHOOK_SECRET).expect("a secret");
    let signature = signer.sign(id, sent_s, signed.as_bytes());
    let sent = sent_s.to_string();
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", &*sent),
        ("webhook-signature", &*signature),
        JSON,
    ];
    daemon.send("POST", "/v1/leaks", &headers, body)
}

fn reports(daemon: &Daemon, reporter: &str, outcome: &str) -> f64 {
    let labels = format!("{{outcome=\"{outcome}\",reporter=\"{reporter}\"}}");
    daemon.metric(&format!("tripline_leak_reports_total{labels}"))
}

fn is(number: f64, expected: f64) -> bool {
    (number - expected).abs() < f64::EPSILON
}

#[test]
fn github_is_believed_by_its_signature_over_the_body_as_it_was_sent() {
    let (_folder, daemon) = daemon("");
    let signed = (IDENTIFIER, SIGNATURE);
    let (status, body) = github(&daemon, signed, SAMPLE.as_bytes());
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let hash = hex(&Sha256::digest("some_token"));
    let expected = serde_json::json!([
        { "token_hash": hash, "token_type": "some_type", "label": "false_positive" }
    ]);
    assert_eq!(answer, expected);
    let value: serde_json::Value = serde_json::from_str(SAMPLE).expect("JSON");
    for changed in [
        SAMPLE.replace("some_token", "some_tokem"),
        serde_json::to_string_pretty(&value).expect("JSON"),
        format!("{SAMPLE}\n"),
        String::new(),
    ] {
        assert_eq!(github(&daemon, signed, changed.as_bytes()).0, 403, "{changed}");
    }
    for (identifier, signature) in [
        ("unknown", SIGNATURE),
        ("", SIGNATURE),
        ("../x", SIGNATURE),
        (IDENTIFIER, ""),
        (IDENTIFIER, "MEQ="),
    ] {
        let (status, body) = github(&daemon, (identifier, signature), SAMPLE.as_bytes());
        assert_eq!(status, 403, "{identifier} {signature}: {body}");
    }
    assert_eq!(github(&daemon, signed, &vec![b' '; (1 << 20) + 1]).0, 413);
    let packed = [
        ("github-public-key-identifier", IDENTIFIER),
        ("github-public-key-signature", SIGNATURE),
        ("content-encoding", "gzip"),
    ];
    assert_eq!(daemon.send("POST", "/v1/leaks/github", &packed, SAMPLE).0, 415);
    assert!(is(reports(&daemon, "github", "unknown"), 1.0));
    assert!(is(reports(&daemon, "github", "refused"), 11.0));
}

#[test]
fn a_flood_of_unknown_keys_is_one_request_to_github() {
    let receiver = Receiver::start();
    receiver.say(KEYS);
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "egress.networks = [\"127.0.0.0/8\"]\n[leaks.github]\nkeys_url = \"{}\"\n",
        receiver.url("/keys")
    );
    let daemon = Daemon::start(&folder, &config);
    let client = http();
    for number in 0..500 {
        let request = client.post(format!("{}/v1/leaks/github", daemon.base()));
        let request = request.header("github-public-key-identifier", format!("unknown{number}"));
        let request = request.header("github-public-key-signature", SIGNATURE).body(SAMPLE);
        let status = request.send().expect("an answer").status().as_u16();
        assert!(matches!(status, 403 | 503), "{status}");
    }
    assert_eq!(github(&daemon, (IDENTIFIER, SIGNATURE), SAMPLE.as_bytes()).0, 200);
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn gitlab_is_believed_by_its_token_and_sends_the_announced_types() {
    let (_folder, daemon) = daemon("");
    let ask = |method: &str, path: &str, token: &str, body: &str| {
        daemon.send(method, path, &[("authorization", token), JSON], body)
    };
    let bearer = format!("Bearer {GITLAB_TOKEN}");
    // GitLab sends the token without a scheme.
    for token in [GITLAB_TOKEN, &bearer] {
        let (status, body) = ask("GET", "/v1/revocable_token_types", token, "");
        assert_eq!((status, &*body), (200, r#"{"types":["gitleaks_rule_id_acme"]}"#));
        let tokens = r#"[{"type":"gitleaks_rule_id_acme","token":"t","location":"https://x/a"}]"#;
        assert_eq!(ask("POST", "/v1/revoke_tokens", token, tokens), (204, String::new()));
        assert_eq!(ask("POST", "/v1/revoke_tokens", token, &tokens.replace("acme", "aws")).0, 400);
        assert_eq!(ask("POST", "/v1/revoke_tokens", token, "{}").0, 400);
        assert_eq!(ask("PUT", "/v1/revoke_tokens", token, "{}").0, 405);
    }
    for token in
        ["", "Bearer", "Bearer wrong", &GITLAB_TOKEN[1..], &format!("Basic {GITLAB_TOKEN}")]
    {
        assert_eq!(ask("GET", "/v1/revocable_token_types", token, "").0, 401, "{token}");
        assert_eq!(ask("POST", "/v1/revoke_tokens", token, "[]").0, 401, "{token}");
    }
    assert!(is(reports(&daemon, "gitlab", "unknown"), 2.0));
}

#[test]
fn a_scanner_is_believed_by_its_signature_once_and_in_time() {
    let (_folder, daemon) = daemon("");
    let now_s = now_ms() / 1000;
    let gitleaks = r#"[{"RuleID":"acme","Secret":"s1","File":"a","StartLine":1}]"#;
    let trufflehog =
        "{\"DetectorName\":\"Acme\",\"Raw\":\"s1\"}\n{\"DetectorName\":\"Acme\",\"Raw\":\"s2\"}\n";
    let good = (200, r#"{"known":0,"unknown":1}"#.to_owned());
    assert_eq!(webhook(&daemon, ("m1", now_s), gitleaks, gitleaks), good);
    assert_eq!(webhook(&daemon, ("m1", now_s), gitleaks, gitleaks).0, 409, "replayed");
    assert_eq!(webhook(&daemon, ("m1", now_s + 1), gitleaks, gitleaks).0, 409, "signed again");
    assert_eq!(webhook(&daemon, ("m2", now_s - 301), gitleaks, gitleaks).0, 403, "old");
    assert_eq!(webhook(&daemon, ("m2", now_s + 310), gitleaks, gitleaks).0, 403, "of the future");
    assert_eq!(webhook(&daemon, ("m2", now_s), gitleaks, "[]").0, 403, "forged");
    assert_eq!(webhook(&daemon, ("m2", now_s), trufflehog, trufflehog).0, 200);
    let unsigned = daemon.send("POST", "/v1/leaks", &[JSON], gitleaks);
    assert_eq!(unsigned.0, 403);
    let incident = r#"{"source":"GitGuardian","action":"new_incident"}"#;
    let (status, body) = webhook(&daemon, ("m3", now_s), incident, incident);
    assert!(status == 400 && body.contains("GitGuardian hold no secret"), "{body}");
    // What was not taken may come again under its id.
    assert_eq!(webhook(&daemon, ("m3", now_s), gitleaks, gitleaks), good);
    assert!(is(reports(&daemon, "webhook", "unknown"), 4.0));
}

#[test]
fn a_holder_learns_nothing_from_reporting_a_secret() {
    let (_folder, daemon) = daemon("per_minute = 5\naddress_per_minute = 4\n");
    daemon.post_events(&event(PLANTED[0], now_ms()));
    let client = http();
    let report = |token: &str| {
        let body = serde_json::json!({ "token": token, "place": "a public chat" }).to_string();
        let request = client.post(format!("{}/v1/leaks/self", daemon.base()));
        let answer = request.header(JSON.0, JSON.1).body(body).send().expect("an answer");
        let mut headers: Vec<(String, String)> = answer
            .headers()
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
            .collect();
        headers.sort();
        (answer.status().as_u16(), headers, answer.bytes().expect("a body"))
    };
    let (known, unknown) = (report(PLANTED[0]), report("sk-00000000000000000000"));
    assert_eq!(known.0, 202);
    assert_eq!(known, unknown);
    assert_eq!(report(JWT), unknown);
    let plain = daemon.send("POST", "/v1/leaks/self", &[], r#"{"token":"x"}"#);
    assert_eq!(plain.0, 415);
    let two = r#"[{"token":"x"},{"token":"y"}]"#;
    assert_eq!(daemon.send("POST", "/v1/leaks/self", &[JSON], two).0, 400);
    let (status, headers, _) = report("sk-00000000000000000000");
    assert_eq!(status, 429);
    let wait = headers.iter().find(|(name, _)| name == "retry-after").expect("a time");
    assert!((1..=61).contains(&wait.1.parse::<u32>().expect("seconds")), "{wait:?}");
    until("the reports are looked into", Duration::from_secs(5), || {
        let taken = reports(&daemon, "self", "known") + reports(&daemon, "self", "unknown");
        is(taken, 3.0).then_some(())
    });
}

#[test]
fn nothing_may_be_reported_where_nothing_is_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    for (method, path) in [
        ("POST", "/v1/leaks"),
        ("POST", "/v1/leaks/github"),
        ("POST", "/v1/leaks/self"),
        ("POST", "/v1/revoke_tokens"),
        ("GET", "/v1/revocable_token_types"),
    ] {
        assert_eq!(daemon.send(method, path, &[JSON], r#"{"token":"x"}"#).0, 404, "{path}");
    }
    assert!(is(reports(&daemon, "self", "refused"), 0.0));
}

#[test]
fn a_reported_secret_is_nowhere_in_answers_logs_and_files() {
    let (_folder, daemon) = daemon("per_minute = 100\naddress_per_minute = 100\n");
    let mut answers = String::new();
    for (number, secret) in PLANTED.iter().enumerate() {
        let gitlab = |token: &str, body: &str| {
            daemon.send("POST", "/v1/revoke_tokens", &[("authorization", token), JSON], body).1
        };
        let entry = serde_json::json!({ "type": "gitleaks_rule_id_acme", "token": secret, "location": format!("at {secret}") });
        answers += &gitlab(GITLAB_TOKEN, &format!("[{entry}]"));
        answers += &gitlab(GITLAB_TOKEN, &format!("[{entry}"));
        answers += &gitlab(GITLAB_TOKEN, &format!("[{entry}]").replace("acme", secret));
        answers += &gitlab(secret, "[]");
        for (form, body) in [
            ("plain", serde_json::json!({ "token": secret, "place": secret, "type": secret })),
            ("wrong", serde_json::json!({ "token": { "x": secret } })),
            (
                "gitleaks",
                serde_json::json!([{ "RuleID": secret, "Secret": secret, "File": secret }]),
            ),
            ("other", serde_json::json!({ "unknown": secret })),
        ] {
            let body = body.to_string();
            let id = format!("{form}{number}");
            answers += &webhook(&daemon, (&id, now_ms() / 1000), &body, &body).1;
            answers += &daemon.send("POST", "/v1/leaks/self", &[JSON], body.clone()).1;
            answers += &github(&daemon, (secret, secret), body.as_bytes()).1;
            answers += &github(&daemon, (IDENTIFIER, SIGNATURE), body.as_bytes()).1;
        }
    }
    until("the reports are looked into", Duration::from_secs(5), || {
        is(reports(&daemon, "self", "unknown"), 4.0).then_some(())
    });
    answers += &daemon.send("GET", "/metrics", &[], "").1;
    let (log, data) = (daemon.log(), daemon.data());
    daemon.terminate();
    assert!(!answers.contains("PLANTED"), "{answers}");
    assert!(!log.contains("PLANTED"), "{log}");
    for (path, bytes) in kept(&data) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("PLANTED"), "{}", path.display());
    }
}

#[test]
fn a_redis_that_knows_a_jwt_makes_it_proof_and_one_that_is_gone_proves_nothing() {
    let mut redis = RedisServer::start();
    let hash = hex(&Sha256::digest(JWT));
    redis.ask::<()>(&["SET", &format!("token:{hash}"), "session:s1"]);
    let place = ServerAddress {
        url: redis.url().into(),
        nodes: Vec::new(),
        topology: Topology::Single,
        sentinel_user: None,
        sentinel_password: None,
        certificates: None,
        response_timeout: Duration::from_secs(5),
    };
    let key = KeyTemplate::parse("token:{sha256}").expect("a template");
    let params = Params { redis: Some(RedisLookup { place, key }), ..Params::default() };
    let egress = Egress::new(&egress::Params::default()).expect("set up");
    let fingerprints = Arc::new(Fingerprinter::new(vec![1; 32]));
    let resolver = Resolver::new(&params, &egress, &fingerprints).expect("set up");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let resolve = |secret: &str| {
        let report = LeakReport::new(secret.to_owned(), "", "", "").expect("a report");
        let batch = Batch::begin();
        let leaks = runtime.block_on(resolver.leaks(&report, "github", &batch));
        let proven = leaks.iter().filter(|leak| leak.is_proof).flat_map(|leak| &leak.candidates);
        let proven: Vec<String> = proven.map(ToString::to_string).collect();
        (proven, batch.is_complete())
    };
    assert_eq!(resolve(JWT), (vec!["session:s1".to_owned()], true));
    let (proven, is_complete) = resolve(PLANTED[0]);
    assert!(proven.iter().all(|name| name.contains(":fp_")) && is_complete, "{proven:?}");
    redis.kill();
    assert_eq!(resolve(JWT), (vec![], false));
}

/// The commands of the guide, with the places of this test; the report is there already.
fn commands(folder: &Path, daemon: &Daemon, of: &str) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/leaks.md");
    let guide = std::fs::read_to_string(guide).expect("a guide");
    let blocks = guide.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let block = blocks.into_iter().find(|block| block.contains(of)).expect("commands");
    let lines = block.lines().filter(|line| !line.starts_with("gitleaks "));
    let block = lines.collect::<Vec<_>>().join("\n");
    let secret = folder.join("leaks.secret").display().to_string();
    block
        .replace("/etc/tripline/leaks.secret", &secret)
        .replace("http://127.0.0.1:7878", daemon.base())
}

#[test]
fn the_commands_of_the_guide_run_as_they_are_written() {
    let (folder, daemon) = daemon("");
    file(
        folder.path(),
        "report.json",
        r#"[{"RuleID":"acme","Secret":"s1","File":"a","StartLine":1}]"#,
    );
    for (of, expected) in
        [("openssl dgst", r#"{"known":0,"unknown":1}"#), ("/v1/leaks/self", r#"{"accepted":true}"#)]
    {
        let mut shell = std::process::Command::new("sh");
        let script = commands(folder.path(), &daemon, of);
        let ran =
            shell.args(["-euc", &script]).current_dir(folder.path()).output().expect("a shell");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(said, expected, "{script}\n{}", String::from_utf8_lossy(&ran.stderr));
    }
}
