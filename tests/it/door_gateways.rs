//! The worked configurations of gateways, the one of nginx with Debian's nginx.

use crate::support::child::Process;
use crate::support::daemon::Daemon;
use crate::support::receiver::Receiver;
use crate::support::{free_port, skipped, until};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// {"alg":"ES256"} . {"jti":"j1","exp":4000000000}
const TOKEN: &str =
    "Bearer eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJqMSIsImV4cCI6NDAwMDAwMDAwMH0.c2lnbmF0dXJl";

fn configuration(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gateways").join(name);
    std::fs::read_to_string(path).expect("a configuration")
}

/// Debian's nginx with the shipped configuration, but for its addresses.
struct Nginx {
    _process: Process,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Nginx {
    fn start(tripline: &str, upstream: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let host = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let server = configuration("nginx.conf")
            .replace("127.0.0.1:7878", &host(tripline))
            .replace("127.0.0.1:9000", &host(upstream))
            .replace("listen 8080", &format!("listen 127.0.0.1:{port}"));
        let temp = folder.path().display();
        let mut paths = String::new();
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            paths.push_str(&format!("{name}_temp_path {temp}/{name};\n"));
        }
        let text = format!(
            "daemon off; pid {temp}/pid; error_log {temp}/error.log;\nevents {{}}\n\
             http {{ access_log off;\n{paths}{server}}}\n"
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, text).expect("writes");
        // The master ends its workers when it is told to, not when it is killed: run without one.
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-c").arg(&path);
        command.args(["-g", "master_process off;", "-e"]).arg(folder.path().join("early.log"));
        command.stderr(Stdio::null());
        let process = Process::start(&mut command);
        let nginx = Self { _process: process, _folder: folder, port };
        until("nginx answers", Duration::from_secs(10), || nginx.try_get(&[]));
        nginx
    }

    fn try_get(&self, headers: &[(&str, &str)]) -> Option<(u16, String)> {
        let client = reqwest::blocking::Client::new();
        let mut request = client.get(format!("http://127.0.0.1:{}/some/path?q=1", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().ok()?;
        let retry = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        Some((answer.status().as_u16(), retry.unwrap_or("").to_owned()))
    }

    fn get(&self, headers: &[(&str, &str)]) -> u16 {
        self.try_get(headers).expect("nginx answers").0
    }
}

#[test]
fn behind_nginx_a_token_is_accepted_then_refused_within_a_second_then_accepted_again() {
    if skipped("nginx") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    let upstream = Receiver::start();
    let nginx = Nginx::start(daemon.base(), &upstream.url(""));
    let token = [("authorization", TOKEN)];
    assert_eq!(nginx.get(&token), 200);
    let received = upstream.received();
    assert_eq!(received.last().map(|one| one.path.as_str()), Some("/some/path"));
    assert_eq!(nginx.get(&[]), 401, "no credential");

    let ordered = Instant::now();
    daemon.order("revoke", "jwt:j1");
    until("it is refused", Duration::from_secs(1), || (nginx.get(&token) == 403).then_some(()));
    assert!(ordered.elapsed() < Duration::from_secs(1), "{:?}", ordered.elapsed());
    let another = [("authorization", TOKEN), ("x-tripline-credential", "jwt:another")];
    assert_eq!(nginx.get(&another), 403, "what the client claims of itself is not believed");
    assert_eq!(nginx.get(&[("x-api-key", "sk-another-0123456789abcd")]), 200);

    daemon.order("restore", "jwt:j1");
    until("it is accepted again", Duration::from_secs(1), || {
        (nginx.get(&token) == 200).then_some(())
    });
}

#[test]
fn behind_nginx_a_throttled_token_is_told_when_to_come_back_and_a_lost_tripline_lets_pass() {
    if skipped("nginx") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = "posture.default = \"throttle\"\nceiling.action = \"throttle\"\n\
                  ceiling.default = \"600/min\"\n";
    let daemon = Daemon::start(&folder, config);
    let upstream = Receiver::start();
    let nginx = Nginx::start(daemon.base(), &upstream.url(""));
    let now = crate::support::daemon::now_ms();
    let event = format!("{{\"time\":{now},\"credential\":\"j1\",\"kind\":\"jwt\"}}\n");
    daemon.post_events(&event.repeat(2000));
    let token = [("authorization", TOKEN)];
    let retry = until("it is slowed down", Duration::from_secs(10), || {
        let answers: Vec<_> = (0..30).filter_map(|_| nginx.try_get(&token)).collect();
        answers.into_iter().find(|(status, _)| *status == 429).map(|(_, retry)| retry)
    });
    assert!(retry.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "Retry-After: {retry}");
    daemon.kill();
    assert_eq!(nginx.get(&token), 200, "a watcher that is down takes no service down");
}

#[test]
fn envoy_may_ask_with_any_method_and_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    daemon.order("revoke", "jwt:j1");
    until("it is refused", Duration::from_secs(5), || {
        (daemon.check("jwt:j1") == 403).then_some(())
    });
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"] {
        for path in ["/v1/check", "/v1/check/some/path?q=1", "/v1/check/"] {
            let asked = |token| daemon.send(method, path, &[("authorization", token)], "").0;
            assert_eq!(asked(TOKEN), 403, "{method} {path}");
            assert_eq!(asked("Bearer sk-another-0123456789abcd"), 204, "{method} {path}");
        }
    }
}

/// Real gateways of these kinds are not at hand here: what must stand in their files is checked.
#[test]
fn no_gateway_passes_on_what_a_client_claims_of_itself() {
    for name in ["envoy.yaml", "traefik.yaml", "Caddyfile", "nginx.conf"] {
        let text = configuration(name);
        assert!(
            ["/v1/check", "127.0.0.1", "7878"].iter().all(|part| text.contains(part)),
            "{name}"
        );
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        for line in lines.filter(|line| line.to_lowercase().contains("x-tripline-credential")) {
            let removes = line.ends_with("\"\";") || line.contains("request_header -");
            assert!(removes, "{name}: {line}");
        }
    }
}
