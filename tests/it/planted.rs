//! No secret is kept, whatever it is, however it is spelt, and through whichever door it comes.

use crate::support::daemon::{BINARY, Daemon, now_ms};
use crate::support::{kept, until};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tripline::formats::events::decoder::Decoder;
use tripline::formats::events::native;
use tripline::formats::events::refusal::Limits;
use tripline::formats::secrets::secret::Fingerprinter;

/// One secret of each form. The last twelve letters of each are what is sought.
const SECRETS: [&str; 20] = [
    "sk-PLANTED0123456789abcdef",
    "ghp_PLANTED0123456789abcdefghijklmnopqr",
    "ory_at_Kq8PLANTED0123456789.abcdefgh",
    "hvs.CAESIPLANTED0123456789abcdefgh",
    "dapi0123456789abcdef0123456789abcdef",
    "glsa_PLANTED0123456789abcdefghijklmn_0a1b2c3d",
    "ATATT3xFfGF0PLANTED0123456789abcdefgh=0A1B2C3D",
    "xoxb-123456789012-123456789012-PLANTED0123456789abcdef",
    "AIzaSyPLANTED0123456789abcdefghijklmnop",
    "0123456789abcdef0f1e2d3c4b5a6978",
    "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
    "Zm9vYmFyQmF6MTIzNDU2Nzg5MFF1eHF1dXhDb3JnZQ==",
    "kX9vLq2TnB7mWc4RzP8yHd3JfG6sA1eU5oNi0QxV",
    "q8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3j2k1l0zx",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJQTEFOVEVEIn0.UExBTlRFRHNpZ25hdHVyZQ",
    // Padded, and behind white space.
    "eyJhbGciOiJFUzI1NiIsImEiOjF9==.eyJzdWIiOiJQTEFOVEVEIn0=.UExBTlRFRHNpZ25hdHVyZQ==",
    "IHsiYWxnIjoiRVMyNTYifQ.eyJzdWIiOiJQTEFOVEVEIn0.UExBTlRFRHNpZ25hdHVyZQ",
    "https://hooks.slack.com/services/T0PLANTED/B0PLANTED/0123456789abcdefPLANTEDx",
    "https://discord.com/api/webhooks/123456789012345678/PLANTED-0123456789abcdef",
    "redis://default:PLANTED0123456789@cache.example.com:6379/0",
];

/// What is sought of a secret: the password of an address, the end of another.
fn sought(secret: &str) -> &str {
    match secret.split_once('@') {
        Some((user, _)) => &user[user.len() - 12..],
        None => &secret[secret.len() - 12..],
    }
}

/// How people, gateways and logs write one.
fn spellings(secret: &str) -> Vec<String> {
    vec![
        secret.to_owned(),
        format!(" {secret}"),
        format!("\"{secret}\""),
        format!("Token {secret}"),
        format!("ApiKey {secret}"),
        format!("Bearer {secret}"),
        format!("Bearer: {secret}"),
        format!("Authorization: Bearer {secret}"),
        format!("api_key:{secret}"),
        format!("session:{secret}"),
        format!("found {secret} in a log."),
        format!("/v1/keys/{secret}/rotate"),
        format!("{{\"authorization\":\"Bearer {secret}\"}}"),
    ]
}

/// Every field of the contract that is a text, and kept as one.
const FIELDS: [&str; 9] = [
    "credential",
    "id",
    "tenant",
    "subject",
    "family",
    "reason",
    "user_agent",
    "method",
    "endpoint",
];

/// The id of an event is random by nature: only known forms are replaced there.
fn is_random(secret: &str) -> bool {
    !secret.contains(['.', ':', '-', '_'])
        && !secret.starts_with("dapi")
        && !secret.starts_with("AIza")
}

fn lines() -> Vec<(String, &'static str)> {
    let mut lines = Vec::new();
    for secret in SECRETS {
        for spelling in spellings(secret) {
            for field in FIELDS {
                if field == "id" && (is_random(secret) || secret.starts_with("ATATT3")) {
                    continue;
                }
                let mut event = serde_json::Map::new();
                event.insert("time".into(), now_ms().into());
                event.insert("credential".into(), "key_1".into());
                event.insert(field.into(), spelling.clone().into());
                lines.push((serde_json::Value::from(event).to_string(), sought(secret)));
            }
        }
    }
    lines
}

#[test]
fn a_planted_secret_is_in_no_field_that_is_decoded_however_it_is_spelt() {
    let fingerprints = Fingerprinter::new(b"a key of the tests, of 32 bytes.".to_vec());
    let mut kept = 0;
    for (line, sought) in lines() {
        let mut event = None;
        let limits = Limits::default();
        Decoder::default().decode(line.as_bytes(), &limits, &fingerprints, &mut |answer| {
            event = answer.ok();
        });
        let Some(event) = event else { continue };
        assert!(event.held_secret, "uncounted: {line}");
        let shown = native::encode(&event);
        assert!(!shown.contains(sought), "{line}\ngave {shown}");
        kept += 1;
    }
    assert!(kept * 10 >= lines().len() * 9, "{kept} are read");
}

fn assert_clean(text: &[u8], from: &str) {
    let text = String::from_utf8_lossy(text);
    for secret in SECRETS {
        let found = text.find(sought(secret));
        let near =
            found.map(|at| text.chars().skip(at.saturating_sub(120)).take(240).collect::<String>());
        assert!(found.is_none(), "{from} holds {secret}: … {near:?} …");
    }
}

#[test]
fn a_planted_secret_is_kept_through_no_door() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "limits.default = \"60/min\"\n");
    let all: Vec<String> = lines().into_iter().map(|(line, _)| line).collect();
    let mut told = daemon.post_events(&all.join("\n")).to_string();
    told += &daemon.send("POST", "/v1/events", &[], format!("[{}]", all.join(","))).1;
    until("the events are counted", Duration::from_secs(20), || {
        (daemon.get("/v1/status")["events"].as_u64() >= Some(2000)).then_some(())
    });
    for (number, secret) in SECRETS.into_iter().enumerate() {
        for (field, text) in
            [("reason", format!("leaked: {secret}")), ("by", format!("{secret} of jo"))]
        {
            let mut said = serde_json::json!({ "reason": "r" });
            said[field] = text.into();
            let path = format!("/v1/credentials/key_{number}{field}/revoke");
            let (status, body) = daemon.say(&path, &said.to_string());
            assert_eq!(status, 200, "{body}");
            told += &body;
        }
    }
    for path in ["/v1/decisions", "/v1/findings", "/v1/credentials", "/v1/changes", "/metrics"] {
        told += &daemon.send("GET", path, &[], "").1;
    }
    let (log, data) = (daemon.log(), daemon.data());
    daemon.terminate();
    assert!(told.contains("leaked: fp_"), "the reason stays readable");
    assert_clean(told.as_bytes(), "an answer");
    assert_clean(log.as_bytes(), "the log");
    for (path, bytes) in kept(&data) {
        assert_clean(&bytes, &path.display().to_string());
    }
}

#[test]
fn a_planted_secret_is_in_nothing_that_a_replay_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = lines().into_iter().map(|(line, _)| line + "\n").collect::<String>();
    // Those that are refused are rejected records.
    text += &SECRETS
        .map(|secret| format!("{{\"time\":\"{secret}\",\"credential\":\"k\"}}\n{secret}\n"))
        .concat();
    let path = folder.path().join("events.ndjson");
    std::fs::write(&path, &text).expect("writes");
    for from_file in [true, false] {
        let mut command = Command::new(BINARY);
        command.args(["replay", "--report", "report.json"]).current_dir(&folder);
        command.args(["--findings", "findings.ndjson", "--rejects", "letters.ndjson"]);
        command.arg(if from_file { "events.ndjson" } else { "-" });
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        if !from_file {
            stdin.write_all(text.as_bytes()).expect("writes");
        }
        drop(stdin);
        let done = child.wait_with_output().expect("ends");
        let said = [done.stdout, done.stderr].concat();
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&said));
        assert_clean(&said, "what a replay says");
        for name in ["report.json", "findings.ndjson", "letters.ndjson"] {
            let written = std::fs::read(folder.path().join(name)).expect("is written");
            assert_clean(&written, name);
        }
    }
}

/// Checks a configuration, which has mistakes; gives what is said.
fn said_of(folder: &Path, config: &str) -> String {
    let path = folder.join("tripline.toml");
    std::fs::write(&path, config).expect("writes");
    let done = Command::new(BINARY).arg("check").arg(&path).output().expect("runs");
    assert_ne!(done.status.code(), Some(0), "{config}");
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

#[test]
fn a_planted_secret_is_in_no_message_about_a_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    for secret in SECRETS {
        for config in [
            format!("[auth_store.redis]\nurl = \"{secret}\"\nurll = 1\n"),
            format!("[http]\nlisten = \"{secret}\"\n"),
            format!("[mode]\ndefault = \"{secret}\"\n[mode.tenant]\n\"{secret}\" = \"alert\"\n"),
            format!("[allow_list.credential.\"{secret}\"]\nowner = \"jo\"\n"),
            format!("nowhere = \"{secret}\" # {secret}\n"),
            format!("[http]\nlisten = \"127.0.0.1:0\" {secret}\n"),
        ] {
            assert_clean(said_of(folder.path(), &config).as_bytes(), &config);
        }
    }
    for config in [
        "[sources.kafka]\ntype = \"kafka\"\nbrokers = \"k:9\"\ntopicz = 1\n[sources.kafka.librdkafka]\n\"sasl.password\" = \"hunter22\"\n\"sasl.passwrd\" = 7\n",
        "[auth_store.webhook.w]\nurl = \"https://h.example/x?key=hunter22\"\nurll = 1\n",
        "[auth_store.webhook.w]\nurl = \"https://jo:hunter22@h.example/x\"\nurll = 1\n",
        "[auth_store.redis]\nurl = \"redis://jo:hun ter/hunter22@127.0.0.1:1/\"\nurll = 1\n",
        "[notify.slack]\npasword = \"hunter22\"\n",
        "[http.tokens.a]\ntoken = \"hunter22\"\nroles = 1\n",
        "password = hunter22\n",
        "[http.tokens]\ngateway = \"hunter22\"\n",
        "[http.tokens.a]\nvalue = \"hunter22\"\ntoken_file = \"hunter22\"\nroles = [\"read\"]\n",
        "fingerprint_key = \"hunter22\"\n",
        "fingerprint_key_file = \"hunter22\"\n",
        "[auth_store.webhook.w]\nurl = \"https://h.example/\"\nsigning_key = \"hunter22\"\nkey = 'hunter22'\n",
        "[auth_store.oauth.o]\nurl = \"jo:hunter22@h.example\"\nauth = \"hunter22\"\n",
        "[auth_store.redis]\nurl = \"jo:hunter22@h.example:6379\"\n",
        "[auth_store.redis]\nurl = \"redis://h\"\nca_file = \"hunter22\"\n\
         [auth_store.redis.commands.jwt]\nrevoke = [\"AUTH jo hunter22 {\"]\n",
        "[egress]\nca_file = \"hunter22\"\nnetworks = [\"jo:hunter22@h\"]\n",
        "[http]\nlisten = \"jo:hunter22@127.0.0.1:1\" # hunter22\n# hunter22\n",
        "[notify.slack.s]\nurl_file = \"https://hooks.slack.com/services/hunter22\"\n",
        "-----BEGIN KEY-----\nhunter22=\nhunter22==\n-----END KEY-----\n",
        "secret = '''\nhunter22\n'''\nsecond = 1\n",
    ] {
        let said = said_of(folder.path(), config);
        assert!(!said.contains("hunter22"), "{said}");
    }
    // What is no secret stays, or no mistake could be found.
    let said = said_of(folder.path(), "[http]\nlisten = \"everywhere\"\n");
    assert!(said.contains("invalid address `***`") && said.contains("listen ="), "{said}");
}

#[test]
fn a_value_of_librdkafka_is_in_no_text_about_it_which_comes_once() {
    const REFUSED: [(&str, &str); 3] = [
        ("sasl.pasword", "correct-horse-battery"),
        ("session.timeout.ms", "correct-horse-battery"),
        ("compression.type", "correct-horse-battery"),
    ];
    const WRONG: [(&str, &str); 3] = [
        ("ssl.key.password", "correct-horse-battery"),
        ("ssl.key.pem", "-----BEGIN KEY-----\\ncorrect-horse-battery\\n-----END KEY-----"),
        ("sasl.oauthbearer.config", "principal=jo secret=correct-horse-battery"),
    ];
    for (name, value) in REFUSED {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[sources.kafka]\ntype = \"kafka\"\nbrokers = \"127.0.0.1:1\"\ntopics = [\"auth\"]\n\
             [sources.kafka.librdkafka]\n\"{name}\" = \"{value}\"\n"
        );
        let said = said_of(folder.path(), &config);
        assert!(said.contains(name) && !said.contains("correct"), "{name}: {said}");
        assert_eq!(said.matches("CONFIGURATION.md").count(), 1, "{said}");
    }
    for (name, value) in WRONG {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[sources.kafka]\ntype = \"kafka\"\nbrokers = \"127.0.0.1:1\"\ntopics = [\"auth\"]\nrejects_topic = \"bad\"\n\
             [sources.kafka.librdkafka]\n\"{name}\" = \"{value}\"\n"
        );
        let daemon = Daemon::start(&folder, &config);
        until("it is said", Duration::from_secs(20), || {
            let errors = daemon.metric("tripline_consumer_errors_total");
            (errors >= 2.0).then_some(())
        });
        let log = daemon.log();
        assert!(!log.contains("correct"), "{name}: {log}");
        assert!(log.matches("can't create the Kafka consumer").count() <= 1, "{log}");
        let mut doctor = Command::new(BINARY);
        let done = doctor.args(["doctor", "--config", "tripline.toml"]).current_dir(&folder);
        let done = done.output().expect("runs");
        let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(told.contains("kafka") && !told.contains("correct"), "{name}: {told}");
    }
}

/// A token with that header and those claims.
fn token(header: &str, claims: &str, padded: bool) -> String {
    let part =
        |text: &str| if padded { STANDARD.encode(text) } else { URL_SAFE_NO_PAD.encode(text) };
    format!("{}.{}.c2lnbmF0dXJl", part(header), part(claims))
}

#[test]
fn a_revoked_jti_is_refused_however_the_token_spells_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        daemon.send("GET", "/v1/check", &[("authorization", &bearer)], "").0
    };
    let header = r#"{"alg":"ES256"}"#;
    let filler = "x".repeat(30_000);
    let tokens = [
        token(header, r#"{"jti":"jt2","sub":"ada","exp":1795999999}"#, false),
        token(header, r#"{"jti":"jt2","sub":7,"exp":1795999999}"#, false),
        token(header, r#"{"jti":"jt2","sub":["a"],"exp":"1795999999"}"#, false),
        token(header, r#"{"jti":"jt2","exp":"1.8e9"}"#, true),
        token("{\"alg\": \"ES256\" }", r#"{"jti":"jt2"}"#, true),
        token(" \n{\"alg\":\"ES256\"}", r#" {"jti":"jt2"}"#, true),
        token(header, r#"{"jti":"jt2","jti":"other"}"#, false),
        token(header, r#"{"jti":"other","jti":"jt2"}"#, false),
        token(header, r#"{"jti":7,"\u006ati":"jt2"}"#, false),
        token(header, r#"{"JTI":"jt2","x":NaN}"#, false),
        token(header, &format!(r#"{{"f":"{filler}","jti":"jt2"}}"#), false),
    ];
    for token in &tokens {
        assert!((200..300).contains(&ask(token)), "{token}");
    }
    let numeric = token(header, r#"{"jti":2002}"#, false);
    assert!((200..300).contains(&ask(&numeric)));
    daemon.order("revoke", "jwt:jt2");
    daemon.order("revoke", "jwt:2002");
    for token in tokens.iter().chain([&numeric]) {
        until("the token is refused", Duration::from_secs(10), || {
            (ask(token) == 403).then_some(())
        });
    }
    let many: String =
        (0..30).map(|n| n.to_string()).map(|n| ["\"jti\":\"", &n, "\","].concat()).collect();
    assert_eq!(ask(&token(header, &format!("{{{many}\"x\":1}}"), false)), 401, "too many to tell");
    assert!((200..300).contains(&ask(&token(header, r#"{"jti":"jt3"}"#, false))));
}

#[test]
fn a_source_of_raw_secrets_names_every_credential_by_its_fingerprint() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "[sources.default]\nfingerprint_credentials = true\n");
    daemon.post_events(&crate::support::daemon::uses("swordfish", now_ms(), 3));
    let listed = until("the credential is listed", Duration::from_secs(10), || {
        let listed = daemon.get("/v1/credentials").to_string();
        listed.contains("fp_").then_some(listed)
    });
    assert!(!listed.contains("swordfish"), "{listed}");
    let fingerprint =
        listed.split("fp_").nth(1).and_then(|rest| rest.get(..32)).expect("32 digits");
    daemon.order("revoke", &format!("fp_{fingerprint}"));
    until("the secret is refused", Duration::from_secs(10), || {
        (daemon.send("GET", "/v1/check", &[("x-api-key", "swordfish")], "").0 == 403).then_some(())
    });
}

#[test]
fn a_rule_for_a_name_that_events_never_have_is_a_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    for config in [
        format!("[limits.credential]\n\"{name}\" = \"9/min\"\n"),
        format!("[limits.tenant_each]\n\"{name}\" = \"9/min\"\n"),
        format!("[limits.tenant_sum]\n\"{name}\" = \"9/min\"\n"),
        format!("[mode.tenant]\n\"{name}\" = \"alert\"\n"),
        format!("[allow_list.tenant.\"{name}\"]\nowner = \"jo\"\nreason = \"a test\"\n"),
    ] {
        let said = said_of(folder.path(), &config);
        assert!(said.contains("looks like a secret") && said.contains("random_ids"), "{said}");
        let meant = format!("random_ids = true\n{config}");
        assert!(tripline::config::loader::check("test", &meant, [].into()).is_ok(), "{config}");
    }
}
