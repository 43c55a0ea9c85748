//! The worked configurations of gateways, each run by the real gateway: nginx of Debian, Envoy, Caddy and
//! Traefik as `./test` installs them. Only addresses are put into the shipped files, and in a second run
//! the switch that the file itself names.

mod caddy;
mod envoy;
mod nginx;
mod scenarios;
mod traefik;
mod world;

use crate::support::daemon::Daemon;
use crate::support::until;
use std::time::Duration;
use world::{TOKEN, configuration};

#[test]
fn envoy_may_ask_with_any_method_and_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(&folder, "");
    daemon.order("revoke", "jwt:j1");
    until("it is refused", Duration::from_secs(5), || {
        (daemon.check("jwt:j1") == 403).then_some(())
    });
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND"] {
        for path in ["/v1/check/some/path?q=1", "/v1/check/", "/v1/check//x", "/v1/check/a%2fb"] {
            let asked = |token| daemon.send(method, path, &[("authorization", token)], "").0;
            assert_eq!(asked(TOKEN), 403, "{method} {path}");
            assert_eq!(asked("Bearer sk-another-0123456789abcd"), 200, "{method} {path}");
        }
    }
}

/// What each file promises in words is tried below; this holds for all of them.
#[test]
fn each_configuration_says_what_happens_when_tripline_is_away_and_why_preflights_pass() {
    for name in ["envoy.yaml", "traefik-dynamic.yaml", "Caddyfile", "nginx.conf"] {
        let text = configuration(name).replace("\n# ", " ").replace('\n', " ");
        for part in ["/v1/check", "127.0.0.1:7878", "can't be asked", "The cost: ", "preflight"] {
            let is_there = text.contains(part)
                || (part == "127.0.0.1:7878" && text.contains("port_value: 7878"));
            assert!(is_there, "{name} lacks {part}");
        }
        assert!(text.to_lowercase().contains("x-tripline-"), "{name} takes nothing from clients");
    }
}
