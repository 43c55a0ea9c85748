//! The HTTP door: what it takes, whom it lets in, and what it says.

use crate::support::daemon::{Daemon, event, now_ms, uses};
use crate::support::{kept, until};
use std::io::Write;
use std::time::Duration;

const JSON: (&str, &str) = ("content-type", "application/json");

fn daemon(config: &str) -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, config);
    (folder, daemon)
}

/// The settings of a token, and the header that shows it.
pub fn token_of(folder: &tempfile::TempDir, name: &str, role: &str) -> (String, String) {
    let token = format!("token-of-{name}-0123456789abcdef");
    let path = folder.path().join(name);
    std::fs::write(&path, &token).expect("writes");
    let config = format!(
        "[http.tokens.{name}]\nroles = [\"{role}\", \"read\", \"check\", \"ingest\"]\n\
         token_file = \"{}\"\n",
        path.display()
    );
    (config, format!("Bearer {token}"))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).expect("packs");
    encoder.finish().expect("packs")
}

#[test]
fn good_lines_are_taken_bad_ones_are_named_counted_and_leave_a_reject() {
    let (_folder, daemon) = daemon("");
    let body =
        format!("{}nonsense\n{}\n", event("key_1", now_ms()), r#"{"time":1,"credential":"k"}"#);
    let answer = daemon.post_events(&body);
    assert_eq!((&answer["accepted"], &answer["refused"]), (&1.into(), &2.into()));
    assert_eq!(
        (&answer["lines"][0]["line"], &answer["lines"][0]["reason"]),
        (&2.into(), &"invalid_json".into())
    );
    assert_eq!(answer["lines"][1]["reason"], "time_too_old");
    let refused = "tripline_records_refused_total{reason=\"invalid_json\",source=\"default\"}";
    assert!((daemon.metric(refused) - 1.0).abs() < f64::EPSILON);
    let letters = daemon.data().join("rejects.ndjson");
    let letters = until("rejected records are written", Duration::from_secs(5), || {
        std::fs::read_to_string(&letters).ok().filter(|text| text.lines().count() == 2)
    });
    let first: serde_json::Value =
        serde_json::from_str(letters.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["request"], &first["line"]), (&1.into(), &2.into()));
    assert!(!letters.contains("nonsense"));
}

#[test]
fn an_array_and_gzip_are_read_too() {
    let (_folder, daemon) = daemon("");
    let one = event("key_1", now_ms());
    let array = format!("[{one},{one}]");
    assert_eq!(daemon.post_events(&array)["accepted"], 2);
    let packed = gzip(one.repeat(3).as_bytes());
    let (status, body) = daemon.send("POST", "/v1/events", &[("content-encoding", "gzip")], packed);
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"accepted\":3"), "{body}");
    until("all are applied", Duration::from_secs(5), || {
        (daemon.metric("tripline_events_total") >= 5.0).then_some(())
    });
}

#[test]
fn bodies_and_encodings_beyond_the_limits_are_turned_away_and_the_daemon_goes_on() {
    let (_folder, daemon) = daemon("http.body_max = \"64KiB\"\n");
    let send = |headers: &[(&str, &str)], body: Vec<u8>| {
        daemon.send("POST", "/v1/events", headers, body).0
    };
    assert_eq!(send(&[], vec![b'x'; 65 * 1024]), 413);
    assert_eq!(send(&[("content-encoding", "gzip")], gzip(&vec![b' '; 50 << 20])), 413);
    assert_eq!(send(&[("content-encoding", "gzip")], b"no gzip".to_vec()), 400);
    assert_eq!(send(&[("content-encoding", "br")], vec![]), 415);
    assert_eq!(daemon.post_events(&event("key_1", now_ms()))["accepted"], 1);
}

#[test]
fn hostile_records_of_every_kind_end_nothing() {
    let (_folder, daemon) = daemon("");
    let mut body = Vec::new();
    let good = event("key_1", now_ms());
    for hostile in [
        b"{\"time\":".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"a\":\0}".to_vec(),
        vec![b'['; 1000],
        vec![b'x'; 2 << 20],
        format!("{{\"time\":{},\"credential\":\"{}\"}}", now_ms(), "x".repeat(4096)).into_bytes(),
        format!("{{\"time\":{},\"credential\":\"k\"}}", now_ms() + 86_400_000).into_bytes(),
    ] {
        body.extend(hostile);
        body.push(b'\n');
        body.extend(good.as_bytes());
    }
    let (status, answer) = daemon.send("POST", "/v1/events", &[], body);
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let reasons: Vec<_> =
        answer["lines"].as_array().expect("lines").iter().map(|l| l["reason"].as_str()).collect();
    let expected = [
        "invalid_json",
        "invalid_utf8",
        "invalid_json",
        "too_deep",
        "too_large",
        "invalid_credential",
        "time_in_future",
    ];
    assert_eq!(reasons, expected.map(Some));
    assert_eq!(answer["accepted"], 7);
}

#[test]
fn tokens_open_what_their_roles_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = String::new();
    for role in ["ingest", "check", "read", "operate"] {
        let file = folder.path().join(role);
        std::fs::write(&file, format!("token-of-{role}-0123456789\n")).expect("writes");
        config.push_str(&format!(
            "[http.tokens.{role}]\nroles = [\"{role}\"]\ntoken_file = \"{}\"\n",
            file.display()
        ));
    }
    let daemon = Daemon::start(&folder, &config);
    let paths = [
        ("POST", "/v1/events", "ingest"),
        ("GET", "/v1/findings", "read"),
        ("GET", "/v1/credentials", "read"),
        ("GET", "/v1/decisions", "read"),
        ("POST", "/v1/credentials/key_1/revoke", "operate"),
    ];
    for (method, path, role) in paths {
        let ask = |token: Option<&str>| {
            let bearer = token.map(|token| format!("Bearer {token}"));
            let mut headers = vec![JSON];
            headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
            daemon.send(method, path, &headers, r#"{"reason":"a test"}"#).0
        };
        assert_eq!(ask(None), 401, "{path}");
        assert_eq!(ask(Some("token-of-nobody-0123456789")), 401, "{path}");
        for other in ["ingest", "check", "read", "operate"] {
            let expected = if other == role { 200 } else { 403 };
            assert_eq!(
                ask(Some(&format!("token-of-{other}-0123456789"))),
                expected,
                "{path} {other}"
            );
        }
    }
    let check = |headers: &[(&str, &str)]| daemon.send("GET", "/v1/check", headers, "").0;
    let credential = ("x-tripline-credential", "key_1");
    assert_eq!(check(&[credential]), 401);
    let gateway = ("x-tripline-token", "token-of-check-0123456789");
    until("key_1 is refused", Duration::from_secs(5), || {
        (check(&[credential, gateway]) == 403).then_some(())
    });
    let decisions = daemon.send(
        "GET",
        "/v1/decisions",
        &[("authorization", "Bearer token-of-read-0123456789")],
        "",
    );
    assert!(decisions.1.contains("\"by\":\"operate\""), "{decisions:?}");
    let (log, data) = (daemon.log(), daemon.data());
    assert_eq!(daemon.terminate(), Some(0));
    assert!(!log.contains("0123456789"), "{log}");
    for (_, bytes) in kept(&data) {
        assert!(!String::from_utf8_lossy(&bytes).contains("0123456789"));
    }
}

#[test]
fn a_gateway_asks_by_name_by_secret_or_by_token() {
    let (_folder, daemon) = daemon("mode.default = \"revoke\"\nlimits.default = \"600/min\"\n");
    let check = |headers: &[(&str, &str)]| daemon.send("GET", "/v1/check", headers, "").0;
    assert_eq!(check(&[]), 401);
    let secret = "sk-PLANTED0123456789abcdef";
    assert_eq!(check(&[("x-api-key", secret)]), 200);
    daemon.post_events(&uses(secret, now_ms(), 2000));
    until("the secret's key is refused", Duration::from_secs(5), || {
        (check(&[("x-api-key", secret)]) == 403).then_some(())
    });
    assert_eq!(check(&[("authorization", &format!("Bearer {secret}"))]), 403);
    let another = ("x-api-key", "sk-another-0123456789abcd");
    assert_eq!(check(&[another]), 200);
    // Whichever of them the service behind would take.
    let junk = ("authorization", "Bearer sk-junk-0123456789abcdef");
    assert_eq!(check(&[junk, ("x-api-key", secret)]), 403, "a junk token hides nothing");
    assert_eq!(check(&[another, ("x-api-key", secret)]), 403, "nor does another key");
    assert_eq!(check(&[junk, another]), 200);
    assert_eq!(check(&[another; 5]), 401, "there is an end to it");
    // Ways in which some service finds the revoked key and tripline would not.
    for (hidden, value, alone, beside_another) in [
        ("authorization", format!("Bearer {secret} x"), 403, 403),
        ("authorization", format!("Bearer {secret}, x"), 403, 403),
        ("authorization", format!("Bearer {secret},{secret}"), 403, 403),
        ("x-api-key", format!("{secret},{secret}"), 401, 403),
        ("x-api-key", format!("{secret} x"), 401, 403),
        ("x-api-key", String::new(), 401, 401),
    ] {
        assert_eq!(check(&[(hidden, &value)]), alone, "{hidden}: {value}");
        let code = check(&[(hidden, &value), another]);
        assert_eq!(code, beside_another, "{hidden}: {value} beside another");
    }
    for tabbed in [format!("Bearer\t{secret}"), format!("bearer   {secret}")] {
        assert_eq!(check(&[("authorization", &tabbed)]), 403, "{tabbed}");
    }
    let named = ("x-tripline-credential", "api_key:key_1");
    assert_eq!(check(&[named]), 200);
    assert_eq!(check(&[named, named]), 401, "one name, or none");
    assert_eq!(check(&[("x-tripline-credential", "api_key:schlüssel")]), 200);

    // One that does not look like a secret may be named by itself in events.
    assert_eq!(check(&[("x-api-key", "key_1")]), 200);
    daemon.order("revoke", "key_1");
    until("the named key is refused", Duration::from_secs(5), || {
        (check(&[("x-api-key", "key_1")]) == 403).then_some(())
    });
    assert_eq!(check(&[("authorization", "Bearer key_1")]), 403);
    // A secret does not tell its kind.
    for session in ["sess_1", "sk-session0123456789"] {
        assert_eq!(check(&[("authorization", &format!("Bearer {session}"))]), 200);
        daemon.order("revoke", &format!("session:{session}"));
        until("the session is refused", Duration::from_secs(5), || {
            (check(&[("authorization", &format!("Bearer {session}"))]) == 403).then_some(())
        });
    }

    // {"alg":"ES256"} . {"jti":"j1","exp":4000000000}
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJqMSIsImV4cCI6NDAwMDAwMDAwMH0.c2lnbmF0dXJl";
    daemon.order("revoke", "jwt:j1");
    until("the token is refused", Duration::from_secs(5), || {
        (check(&[("authorization", &format!("Bearer {token}"))]) == 403).then_some(())
    });
    let (log, data) = (daemon.log(), daemon.data());
    assert_eq!(daemon.terminate(), Some(0));
    assert!(!log.contains("PLANTED"), "{log}");
    for (_, bytes) in kept(&data) {
        assert!(!String::from_utf8_lossy(&bytes).contains("PLANTED"));
    }
}

#[test]
fn a_throttled_credential_is_slowed_down_and_told_for_how_long() {
    let config =
        "mode.default = \"throttle\"\nlimits.action = \"throttle\"\nlimits.default = \"600/min\"\n";
    let (_folder, daemon) = daemon(config);
    daemon.post_events(&uses("key_1", now_ms(), 2000));
    let codes: Vec<u16> = until("it is slowed down", Duration::from_secs(10), || {
        let codes: Vec<u16> = (0..30).map(|_| daemon.check("key_1")).collect();
        codes.contains(&429).then_some(codes)
    });
    assert!(codes.iter().all(|code| [200, 429].contains(code)), "{codes:?}");
    assert_eq!(daemon.check("key_2"), 200);
}

#[test]
fn orders_need_a_reason_and_a_request_that_no_web_page_can_forge() {
    let secrets = tempfile::tempdir().expect("a folder");
    let (config, token) = token_of(&secrets, "ada", "operate");
    let (_folder, daemon) = daemon(&config);
    let bearer = ("authorization", token.as_str());
    let order = |headers: &[(&str, &str)], body: &str| {
        daemon.send("POST", "/v1/credentials/key_1/revoke", headers, body).0
    };
    assert_eq!(order(&[JSON, bearer], "{}"), 400);
    assert_eq!(order(&[JSON, bearer], r#"{"reason":" "}"#), 400);
    assert_eq!(order(&[JSON, bearer], r#"{"reason":"two\nlines"}"#), 400);
    assert_eq!(order(&[JSON, bearer], r#"{"reason":"r","more":1}"#), 400);
    assert_eq!(order(&[("content-type", "text/plain"), bearer], r#"{"reason":"r"}"#), 415);
    assert_eq!(daemon.check_as("key_1", &token), 200);
    assert_eq!(order(&[JSON, bearer], r#"{"reason":"r"}"#), 200);
    let headers = [JSON, bearer];
    let (status, _) =
        daemon.send("POST", "/v1/credentials/%00/revoke", &headers, r#"{"reason":"r"}"#);
    assert_eq!(status, 400);
}

#[test]
fn what_is_wrong_with_a_request_is_said_as_a_problem() {
    let (_folder, daemon) = daemon("");
    for (method, path, expected) in [
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/events", 405),
        ("GET", "/v1/findings/f_0000000000000000", 404),
        ("GET", "/v1/credentials/never-seen", 404),
        ("GET", "/v1/findings?limit=many", 400),
    ] {
        let (status, body) = daemon.send(method, path, &[], "");
        assert_eq!(status, expected, "{path}: {body}");
    }
}

#[test]
fn findings_and_decisions_are_listed_and_told_as_they_happen() {
    let (_folder, daemon) = daemon("limits.default = \"600/min\"\n");
    let base = daemon.base().to_owned();
    let (sender, receiver) = std::sync::mpsc::channel();
    let listener = std::thread::spawn(move || {
        let client = crate::support::http_builder().timeout(Duration::from_secs(20));
        let response = client.build().expect("a client").get(format!("{base}/v1/stream")).send();
        let mut response = response.expect("streams");
        sender.send(()).expect("is waited for");
        let mut seen = String::new();
        let mut bytes = [0; 4096];
        while !(seen.contains("event: finding") && seen.contains("event: decision")) {
            let read = std::io::Read::read(&mut response, &mut bytes).expect("goes on");
            seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    });
    receiver.recv().expect("the stream is open");
    daemon.post_events(&uses("key_1", now_ms(), 2000));
    listener.join().expect("hears of it");
    let findings = daemon.get("/v1/findings?open=true&credential=key_1");
    let limit = findings.as_array().expect("a list").iter().find(|f| f["detector"] == "limit");
    let limit = limit.expect("a finding of the limit");
    assert_eq!((&limit["credential"], &limit["tenant"]), (&"key_1".into(), &"acme".into()));
    assert!(limit["summary"].as_str().is_some_and(|s| s.contains("its limit is 600 a minute")));
    let id = limit["id"].as_str().expect("an id");
    assert_eq!(daemon.get(&format!("/v1/findings/{id}"))["id"], id);
    // In shadow nothing is carried out, and that is said.
    let decisions = daemon.get("/v1/decisions?credential=api_key:key_1");
    let decisions = decisions.as_array().expect("a list");
    assert!(decisions.iter().all(|d| d["carried_out"] == false && d["held_by"][0] == "mode"));
    assert!(!decisions.is_empty());
    assert_eq!(daemon.check("key_1"), 200);
    let shown = daemon.get("/v1/credentials/key_1");
    assert_eq!((&shown["status"], &shown["limit_per_min"]), (&"active".into(), &600.into()));
    assert_eq!(shown["limit_is_written"], true);
    assert_eq!(shown["windows"].as_array().map(Vec::len), Some(5));
    assert_eq!(daemon.get("/v1/credentials")[0]["credential"], "key_1");
}

#[test]
fn the_console_loads_nothing_from_elsewhere_and_stands_in_no_frame() {
    let (_folder, daemon) = daemon("");
    let client = crate::support::http();
    let page = client.get(format!("{}/", daemon.base())).send().expect("answers");
    let text = page.text().expect("a page");
    let files = text.split(['"', '\'']).filter(|part| part.starts_with("/console/"));
    let files: Vec<&str> = std::iter::once("/").chain(files).collect();
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let answer = client.get(format!("{}{file}", daemon.base())).send().expect("answers");
        assert_eq!(answer.status(), 200, "{file}");
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or("").to_owned()
        };
        let policy = header("content-security-policy");
        let allowed: std::collections::BTreeMap<&str, &str> =
            policy.split(';').filter_map(|part| part.trim().split_once(' ')).collect();
        for (what, from) in [
            ("default-src", "'none'"),
            ("script-src", "'self'"),
            ("connect-src", "'self'"),
            ("base-uri", "'none'"),
            ("form-action", "'none'"),
            ("frame-ancestors", "'none'"),
        ] {
            assert_eq!(allowed.get(what), Some(&from), "{file}: {policy}");
        }
        assert!(allowed.values().all(|from| !from.contains("unsafe-eval")), "{policy}");
        assert!(!policy.contains("http:") && !policy.contains('*'), "{policy}");
        assert_eq!(header("x-frame-options"), "DENY", "{file}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{file}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{file}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{file}");
    }
}

#[test]
fn the_api_describes_itself_and_its_health() {
    let (_folder, daemon) = daemon("");
    let description = daemon.get("/openapi.json");
    for path in ["/v1/events", "/v1/check", "/v1/credentials/{id}/restore", "/metrics", "/readyz"] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    let streamed = &description["paths"]["/v1/stream"]["get"]["responses"]["200"]["content"];
    assert!(streamed["text/event-stream"].is_object(), "{streamed}");
    assert_eq!(daemon.send("GET", "/livez", &[], "").0, 200);
    let (status, body) = daemon.send("GET", "/readyz?verbose=1", &[], "");
    assert_eq!((status, body.contains("ok journal")), (200, true));
}

#[test]
fn no_credential_tenant_or_address_is_ever_a_label() {
    let (_folder, daemon) = daemon("limits.default = \"600/min\"\nmode.default = \"revoke\"\n");
    daemon.post_events(&uses("key_very_private", now_ms(), 2000));
    daemon.order("revoke", "key_very_private");
    let (_, metrics) = daemon.send("GET", "/metrics", &[], "");
    assert!(!metrics.contains("private") && !metrics.contains("acme"), "{metrics}");
    assert!(metrics.contains("tripline_events_total 2000"));
}

#[test]
fn a_source_has_its_own_path_format_and_counts_and_a_token_may_be_bound_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tokens, bearer) = token_of(&folder, "edge", "ingest");
    let config = format!(
        "{tokens}sources = [\"caddy\"]\n[sources.caddy]\nformat = \"caddy\"\n[sources.other]\n"
    );
    let daemon = Daemon::start(&folder, &config);
    let headers = [("authorization", bearer.as_str())];
    let record = format!(
        r#"{{"ts":{}.5,"status":200,"user_id":"key_1","request":{{"client_ip":"203.0.113.7"}}}}"#,
        now_ms() / 1000
    );
    let send =
        |path: &str, headers: &[(&str, &str)]| daemon.send("POST", path, headers, record.clone());
    let (status, body) = send("/v1/sources/caddy/events", &headers);
    assert!(status == 200 && body.contains("\"accepted\":1"), "{body}");
    assert_eq!(send("/v1/events", &headers).0, 403, "it is bound to another source");
    assert_eq!(send("/v1/sources/other/events", &headers).0, 403);
    assert_eq!(send("/v1/sources/nothing/events", &headers).0, 404);
    // The same request to two sources is two requests.
    let (_folder, daemon) = crate::http_events::daemon("[sources.one]\n[sources.two]\n");
    let headers = [("idempotency-key", "k1")];
    let body = event("key_1", now_ms());
    for source in ["one", "two", "one"] {
        let path = format!("/v1/sources/{source}/events");
        assert_eq!(daemon.send("POST", &path, &headers, body.clone()).0, 200);
    }
    until("both are applied", Duration::from_secs(10), || {
        (daemon.metric("tripline_events_total") >= 2.0).then_some(())
    });
    // One of the same credential is applied after all of them.
    let last = format!("{{\"time\":{},\"credential\":\"key_1\",\"status\":401}}\n", now_ms());
    daemon.post_events(&last);
    until("the last is applied", Duration::from_secs(10), || {
        (daemon.metric("tripline_events_unverified_total") >= 1.0).then_some(())
    });
    assert!(daemon.metric("tripline_events_total") < 3.5, "the third request was sent again");
    let counted = daemon.metric("tripline_source_events_total{source=\"one\"}");
    assert!(counted < 1.5, "it is counted once: {counted}");
}
