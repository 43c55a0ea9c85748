//! Who may ask what: one table over all routes of the API's own description, with the role that each
//! needs.

use crate::support::daemon::Daemon;
use std::collections::BTreeSet;
use std::time::Duration;

const ROLES: [&str; 4] = ["ingest", "check", "read", "operate"];
/// Their answers may be without end, so only their heads are read.
const ACCEPTS: &str = "text/event-stream, application/json";

/// Every route, and the role that it needs; without one it is open to all.
const ROUTES: [(&str, &str, Option<&str>); 41] = [
    ("get", "/.well-known/jwks.json", None),
    ("get", "/livez", None),
    ("get", "/metrics", None),
    ("get", "/readyz", None),
    ("get", "/v1/approvals", Some("read")),
    ("get", "/v1/audit/expiry", Some("read")),
    ("get", "/v1/budget", Some("read")),
    ("get", "/v1/canaries", Some("read")),
    ("post", "/v1/canaries", Some("operate")),
    ("delete", "/v1/canaries/{id}", Some("operate")),
    ("get", "/v1/changes", Some("check")),
    ("delete", "/v1/check", Some("check")),
    ("get", "/v1/check", Some("check")),
    ("head", "/v1/check", Some("check")),
    ("options", "/v1/check", Some("check")),
    ("patch", "/v1/check", Some("check")),
    ("post", "/v1/check", Some("check")),
    ("put", "/v1/check", Some("check")),
    ("get", "/v1/credentials", Some("read")),
    ("get", "/v1/credentials/{id}", Some("read")),
    ("post", "/v1/credentials/{id}/restore", Some("operate")),
    ("post", "/v1/credentials/{id}/revoke", Some("operate")),
    ("post", "/v1/credentials/{id}/suspend", Some("operate")),
    ("get", "/v1/decisions", Some("read")),
    ("get", "/v1/decisions/{id}", Some("read")),
    ("post", "/v1/decisions/{id}/approve", Some("operate")),
    ("post", "/v1/decisions/{id}/reject", Some("operate")),
    ("post", "/v1/events", Some("ingest")),
    ("post", "/v1/sources/{name}/events", Some("ingest")),
    ("post", "/v1/sources/{name}/v1/logs", Some("ingest")),
    ("get", "/v1/findings", Some("read")),
    ("get", "/v1/findings/{id}", Some("read")),
    // Reporters of leaks prove who they are by themselves, where there are any: see `leaks`.
    ("post", "/v1/leaks", None),
    ("post", "/v1/leaks/github", None),
    ("post", "/v1/leaks/self", None),
    ("get", "/v1/revocable_token_types", None),
    ("post", "/v1/revoke_tokens", None),
    ("post", "/v1/reload", Some("operate")),
    ("get", "/v1/status", Some("read")),
    ("get", "/v1/stream", Some("read")),
    ("get", "/v1/tenants", Some("read")),
];

fn token(role: &str) -> String {
    format!("token-of-{role}-0123456789")
}

/// The status with which a request with these headers is answered; what follows is not read.
fn status(daemon: &Daemon, (method, path): (&str, &str), headers: &[(&str, &str)]) -> u16 {
    let client = crate::support::http_builder().timeout(Duration::from_secs(10));
    let client = client.build().expect("a client");
    let path = match path {
        // Well formed, and of nobody.
        path if path.contains("decisions/{id}") => path.replace("{id}", "d_0123456789abcdef"),
        path if path.contains("findings/{id}") => path.replace("{id}", "f_0123456789abcdef"),
        path => path.replace("{id}", "api_key:of_nobody"),
    };
    let method = method.to_uppercase().parse().expect("a method");
    let mut request = client.request(method, format!("{}{path}", daemon.base()));
    request = request.header("content-type", "application/json").header("accept", ACCEPTS);
    request = request.header("x-tripline-credential", "api_key:of_nobody");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(r#"{"reason":"a test"}"#).send().expect("the daemon answers");
    answer.status().as_u16()
}

#[test]
fn the_table_has_every_route_of_the_description() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/openapi.json");
    let text = std::fs::read_to_string(path).expect("a description");
    let described: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let paths = described["paths"].as_object().expect("paths");
    let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let described: BTreeSet<(&str, &str)> = paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().expect("methods").keys();
            item.filter(|key| methods.contains(&key.as_str()))
                .map(|key| (key.as_str(), path.as_str()))
        })
        .collect();
    let listed: BTreeSet<(&str, &str)> =
        ROUTES.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(listed, described);
    assert_eq!(listed.len(), ROUTES.len());
}

#[test]
fn every_route_opens_to_its_role_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = String::new();
    for role in ROLES {
        let file = folder.path().join(role);
        std::fs::write(&file, token(role)).expect("writes");
        config.push_str(&format!(
            "[http.tokens.{role}]\nroles = [\"{role}\"]\ntoken_file = \"{}\"\n",
            file.display()
        ));
    }
    let daemon = Daemon::start(&folder, &config);
    let mut wrong = Vec::new();
    for (method, path, needs) in ROUTES {
        let ask = |headers: &[(&str, &str)]| status(&daemon, (method, path), headers);
        let mut expect = |who: &str, got: u16, is_right: bool| {
            if !is_right {
                wrong.push(format!("{method} {path}: {got} to {who}"));
            }
        };
        let nobody = format!("Bearer {}", token("nobody"));
        let got = [ask(&[]), ask(&[("authorization", &nobody)])];
        let Some(needs) = needs else {
            expect("all", got[0], ![401, 403].contains(&got[0]));
            continue;
        };
        expect("no token", got[0], got[0] == 401);
        expect("an unknown token", got[1], got[1] == 401);
        for role in ROLES {
            let bearer = format!("Bearer {}", token(role));
            let got = ask(&[("authorization", &bearer)]);
            if role == needs {
                expect(role, got, ![401, 403].contains(&got) && got < 500);
            } else if needs == "check" {
                // 403 would say that the credential is out of service.
                expect(role, got, got == 401);
                let got = ask(&[("x-tripline-token", &token(role))]);
                expect(role, got, got == 401);
            } else {
                expect(role, got, got == 403);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
