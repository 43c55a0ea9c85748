//! `/v1/check`: which requests pass, whatever else is written in them.

use crate::support::daemon::{Daemon, now_ms};
use crate::support::until;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::time::Duration;

const SECRET: &str = "sk-revoked-0123456789abcdef";
const GOOD: (&str, &str) = ("x-api-key", "sk-another-0123456789abcd");

fn daemon(config: &str) -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, config);
    (folder, daemon)
}

fn check(daemon: &Daemon, headers: &[(&str, &str)]) -> u16 {
    daemon.send("GET", "/v1/check", headers, "").0
}

fn revoke(daemon: &Daemon, credential: &str) {
    daemon.order("revoke", &credential.replace('/', "%2F"));
    until("it is refused", Duration::from_secs(5), || {
        (daemon.check(credential) == 403).then_some(())
    });
}

fn jwt(claims: &str, signature: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"ES256"}"#), part(claims), part(signature))
}

#[test]
fn an_allowed_request_is_answered_200_without_a_body() {
    let (_folder, daemon) = daemon("");
    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        let answer = daemon.send(method, "/v1/check", &[GOOD], "");
        assert_eq!(answer, (200, String::new()), "{method}");
    }
    assert!(daemon.metric("tripline_check_total{code=\"200\"}") >= 4.0);
}

#[test]
fn a_kind_that_is_none_is_the_gateways_mistake_and_lets_nothing_pass() {
    let (_folder, daemon) = daemon("");
    revoke(&daemon, "key_2");
    let named = |name: &str| {
        let headers = [("x-tripline-credential", name)];
        daemon.send("GET", "/v1/check", &headers, "")
    };
    for name in [
        "apikey:key_2",
        "API_KEY:key_2",
        "api-key:key_2",
        "Api Key:key_2",
        "APIKEY:key_2",
        "api_keys:key_2",
        "JWT:key_2",
        "Session:key_2",
        "refreshtoken:key_2",
        "agent-token:key_2",
    ] {
        let (status, body) = named(name);
        assert_eq!(status, 400, "{name}: {body}");
        assert!(body.contains("did you mean") && body.contains("there is no kind"), "{body}");
    }
    for name in
        ["api_key: key_2", "api_key::key_2", "api_key=key_2", "\"api_key:key_2\"", "api_key:key_2;"]
    {
        let (status, body) = named(name);
        assert_eq!(status, 400, "{name}: {body}");
        assert!(body.contains("without spaces or quotes"), "{body}");
    }
    let long = format!("api_key:{}", "x".repeat(5000));
    assert_eq!(named(&long).0, 400, "no event can name it");
    assert_eq!([named("key_2").0, named("api_key:key_2").0], [403, 403]);
    assert_eq!(named("session:key_2").0, 200, "another credential");
    // Ids of API keys that hold a colon are known as events send them.
    for id in ["arn:aws:iam::1:user/x", "aws:x", "key:7", "urn:uuid:0f", "sk-short:x"] {
        assert_eq!(named(id).0, 200, "{id}");
        revoke(&daemon, id);
        assert_eq!([named(id).0, named(&format!("api_key:{id}")).0], [403, 403], "{id}");
    }
    assert!(daemon.metric("tripline_check_total{code=\"400\"}") >= 11.0);
}

#[test]
fn another_scheme_of_authorization_is_no_credential_and_hides_none() {
    let (_folder, daemon) = daemon("");
    revoke(&daemon, &format!("api_key:{SECRET}"));
    revoke(&daemon, "key_2");
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    for harmless in
        [basic("ada:opensesame"), "Digest username=\"ada\", nc=1".into(), "Negotiate".into()]
    {
        let header = ("authorization", harmless.as_str());
        assert_eq!(check(&daemon, &[header, GOOD]), 200, "{harmless}");
        assert_eq!(check(&daemon, &[header]), 401, "{harmless} alone");
        let named = ("x-tripline-credential", "api_key:key_1");
        assert_eq!(check(&daemon, &[header, named]), 200, "{harmless} and a name");
    }
    for hiding in [
        SECRET.to_owned(),
        format!("Token {SECRET}"),
        format!("Token token=\"{SECRET}\", nonce=\"7\""),
        format!("Basic {SECRET}"),
        basic(&format!("{SECRET}:")),
        basic(&format!("api:{SECRET}")),
        basic("key_2:wrong"),
        "AWS4-HMAC-SHA256 Credential=key_2/20261101/eu/s3/aws4_request, Signature=00".to_owned(),
    ] {
        let header = ("authorization", hiding.as_str());
        assert_eq!(check(&daemon, &[header, GOOD]), 403, "{hiding}");
        assert_eq!(check(&daemon, &[header]), 403, "{hiding} alone");
    }
    let many = (0..300).map(|n| format!("x{n}")).collect::<Vec<_>>().join(" ");
    assert_eq!(check(&daemon, &[("authorization", &many), GOOD]), 401, "more than is looked up");
}

#[test]
fn two_values_of_one_header_are_refused_in_either_order_whatever_they_are() {
    let (_folder, daemon) = daemon("");
    revoke(&daemon, "key_2");
    let name = ("x-tripline-credential", "api_key:key_1");
    let (bearer, basic) = ("Bearer sk-good-0123456789abcdef", "Basic YTpi");
    for (header, one, two, code) in [
        ("x-api-key", "junk", "secret-2", 401),
        ("x-api-key", "junk", "key_2", 403),
        ("authorization", "Bearer junk", bearer, 401),
        ("authorization", "Bearer junk", "Bearer key_2", 403),
        ("authorization", basic, bearer, 401),
    ] {
        for [first, second] in [[one, two], [two, one]] {
            let both = [(header, first), (header, second)];
            assert_eq!(check(&daemon, &both), code, "{header}: {first}, {second}");
            assert_eq!(check(&daemon, &[&both[..], &[name]].concat()), code, "with a name");
            assert_eq!(check(&daemon, &[&both[..], &[GOOD]].concat()), code, "with a good key");
        }
    }
    assert_eq!(check(&daemon, &[GOOD, GOOD]), 200, "the same twice is one");
}

#[test]
fn a_gateways_name_hides_no_other_credential_that_is_out_of_service() {
    let (_folder, daemon) = daemon("");
    revoke(&daemon, "jwt:j1");
    let (name, token) = (("x-tripline-credential", "api_key:key_1"), jwt(r#"{"jti":"j1"}"#, "s"));
    let bearer = format!("Bearer {token}");
    assert_eq!(check(&daemon, &[name]), 200);
    assert_eq!(check(&daemon, &[name, ("authorization", &bearer)]), 403);
    assert_eq!(check(&daemon, &[name, ("x-api-key", &token)]), 403);
    let other = format!("Bearer {}", jwt(r#"{"jti":"j2"}"#, "s"));
    assert_eq!(check(&daemon, &[name, ("authorization", &other)]), 200);
}

#[test]
fn a_jti_that_was_revoked_as_another_kind_refuses_the_token() {
    let (_folder, daemon) = daemon("");
    for kind in ["api_key", "jwt", "session", "refresh_token", "agent_token"] {
        let token = jwt(&format!(r#"{{"jti":"j-{kind}","exp":4000000000}}"#), "s");
        let bearer = format!("Bearer {token}");
        assert_eq!(check(&daemon, &[("authorization", &bearer)]), 200, "{kind}");
        revoke(&daemon, &format!("{kind}:j-{kind}"));
        assert_eq!(check(&daemon, &[("authorization", &bearer)]), 403, "{kind}");
        assert_eq!(check(&daemon, &[("x-api-key", &token)]), 403, "{kind}");
    }
}

/// Whether a throttled token's rate is spent, and how many requests it let pass.
fn passes(daemon: &Daemon, token: &str, times: usize) -> usize {
    let bearer = format!("Bearer {token}");
    (0..times).filter(|_| check(daemon, &[("authorization", &bearer)]) == 200).count()
}

#[test]
fn forged_tokens_with_the_owners_jti_take_nothing_from_the_owners_rate() {
    let config = "mode.default = \"throttle\"\nlimits.action = \"throttle\"\n\
                  limits.default = \"600/min\"\n";
    let (_folder, daemon) = daemon(config);
    let kind = |kind: &str| format!(",\"kind\":\"{kind}\",\"status\":200}}\n");
    for (id, of) in [("j1", "jwt"), ("j2", "session")] {
        let event = format!("{{\"time\":{},\"credential\":\"{id}\"{}", now_ms(), kind(of));
        daemon.post_events(&event.repeat(2000));
        let path = format!("/v1/credentials/{of}:{id}");
        until("it is throttled", Duration::from_secs(10), || {
            let (_, body) = daemon.send("GET", &path, &[], "");
            body.contains("throttled").then_some(())
        });
        let claims = format!(r#"{{"jti":"{id}","exp":4000000000}}"#);
        for junk in 0..40 {
            passes(&daemon, &jwt(&claims, &format!("forged {junk}")), 2);
        }
        // With other claims, too.
        let others = format!(r#"{{"jti":"{id}","exp":4000000001}}"#);
        passes(&daemon, &jwt(&others, "forged"), 2);
        let genuine = jwt(&claims, "genuine");
        // Ten at once are the owner's; of 65,536 rates one of the forged ones may be the same.
        assert!(passes(&daemon, &genuine, 10) >= 8, "{id}");
        // One whose signature is written with padding is the same token.
        let padded = format!("{genuine}==");
        let more = until("its rate is spent", Duration::from_secs(20), || {
            let answered = [&genuine, &padded].map(|token| passes(&daemon, token, 10));
            answered.iter().any(|passed| *passed < 10).then_some(answered)
        });
        assert!(more.iter().sum::<usize>() < 20, "{more:?}");
    }
}

#[test]
fn a_secret_that_a_gateway_names_is_looked_up_like_one_that_a_client_presents() {
    let (_folder, daemon) = daemon("");
    revoke(&daemon, "jwt:j1");
    revoke(&daemon, "session:s1");
    revoke(&daemon, "jwt:7");
    for claims in
        [r#"{"jti":"j1","jti":"j2"}"#, r#"{"JTI":"j1"}"#, r#"{"jti":["j1"]}"#, r#"{"jti":7}"#]
    {
        let token = jwt(claims, "signature");
        for name in [token.clone(), format!("session:{token}"), format!("jwt:{token}")] {
            let named = ("x-tripline-credential", &*name);
            assert_eq!(check(&daemon, &[named]), 403, "{claims}: {name}");
        }
        let bearer = format!("Bearer {token}");
        assert_eq!(check(&daemon, &[("authorization", &bearer)]), 403, "{claims}");
    }
    let of_session = jwt(r#"{"jti":"s1"}"#, "signature");
    for name in ["jwt:s1", &of_session, &format!("jwt:{of_session}")] {
        assert_eq!(check(&daemon, &[("x-tripline-credential", name)]), 403, "{name}");
    }
    assert_eq!(check(&daemon, &[("x-tripline-credential", "jwt:j3")]), 200);
}

#[test]
fn no_scheme_hides_a_revoked_key_beside_a_good_one() {
    let (_folder, daemon) = daemon("");
    revoke(&daemon, "key_bad");
    let long = format!("Basic {}", STANDARD.encode(format!("key_bad:{}", "x".repeat(2000))));
    let broken = STANDARD.encode("key_bad:x").replace("a2", "a.2");
    for value in [
        &*long,
        "AWS key_bad:sig",
        "SharedKey key_bad:sig",
        "hmac id=key_bad:7",
        "Token token='key_bad'",
        "Key (key_bad)",
        "{\"key\":\"key_bad\"}",
        &format!("Basic {broken}"),
        &format!("Basic:{}", STANDARD.encode("key_bad:x")),
        &format!("Bearer {}", STANDARD.encode("key_bad:x")),
    ] {
        assert_eq!(check(&daemon, &[("authorization", value), GOOD]), 403, "{value}");
    }
    assert_eq!(check(&daemon, &[("authorization", "AWS key_good:sig"), GOOD]), 200);
}

/// Values for which a check that is quadratic takes seconds: gateways that let pass when they get no
/// answer in time would let the revoked key beside it pass.
#[test]
fn a_costly_value_delays_no_answer() {
    let (_folder, daemon) = daemon("");
    revoke(&daemon, "key_bad");
    let begun = std::time::Instant::now();
    for unit in [":", "=", "/", "e=", "a:", "/sk-abcdefgh-ijkl", "eyJ:", "x "] {
        let value = format!("{}.a.b", unit.repeat(60_000 / unit.len()));
        let beside = [("x-api-key", "key_bad"), ("authorization", &*value)];
        assert!([401, 403].contains(&check(&daemon, &beside)), "{unit}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn where_every_credential_is_fingerprinted_no_name_is_kept_or_lets_a_revoked_one_pass() {
    let (_folder, daemon) = daemon("[sources.default]\nfingerprint_credentials = true\n");
    let decision = daemon.order("revoke", "hunter2-abcSECRET");
    let id = decision.pointer("/decision/credential").and_then(serde_json::Value::as_str);
    let id = id.unwrap_or_default().to_owned();
    assert!(id.starts_with("fp_"), "{decision}");
    until("it is refused", Duration::from_secs(5), || (daemon.check(&id) == 403).then_some(()));
    for name in ["hunter2-abcSECRET", "api_key:hunter2-abcSECRET", &id] {
        assert_eq!(check(&daemon, &[("x-tripline-credential", name)]), 403, "{name}");
    }
    assert_eq!(check(&daemon, &[("x-api-key", "hunter2-abcSECRET")]), 403);
    assert!(!daemon.log().contains("hunter2"), "{}", daemon.log());
    let data = daemon.data();
    daemon.terminate();
    for entry in std::fs::read_dir(&data).expect("a folder").flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let found = bytes.windows(7).any(|window| window == b"hunter2");
        assert!(!found, "{}", entry.path().display());
    }
}

/// Tokens as identity providers issue them are long, and hold all letters of base64.
#[test]
fn an_honest_token_of_any_length_passes() {
    let (_folder, daemon) = daemon("");
    for claims in [0, 6, 14, 40] {
        let of = |n: u32| format!("\"claim_{n}\":[\"https://issuer.example/{n}\",\"a/b:c={n}\"]");
        let all: String = (0..claims).map(of).map(|claim| claim + ",").collect();
        let token = jwt(&format!("{{{all}\"jti\":\"honest\"}}"), &"s".repeat(300));
        let bearer = ("authorization", &*format!("Bearer {token}"));
        assert_eq!(check(&daemon, &[bearer]), 200, "{claims} claims");
        let named = ("x-tripline-credential", "jwt:honest");
        assert_eq!(check(&daemon, &[bearer, named]), 200, "{claims} claims and a name");
    }
    let opaque = STANDARD.encode((0..3000_u32).map(|n| (n * n % 251) as u8).collect::<Vec<u8>>());
    for value in [format!("Bearer {opaque}"), format!("Negotiate {opaque}")] {
        let header = ("authorization", &*value);
        let named = ("x-tripline-credential", "api_key:key_1");
        assert_eq!(check(&daemon, &[header, named]), 200, "{value}");
    }
}
