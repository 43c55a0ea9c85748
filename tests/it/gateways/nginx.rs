//! Debian's nginx with `config/gateways/nginx.conf`.

use super::scenarios::{
    is_open_or_closed_without_tripline, lets_preflights_and_other_schemes_by,
    passes_on_429_with_retry_after, puts_out_of_service_and_back,
    sends_a_request_to_the_service_once, shows_a_token_of_its_own,
    withstands_clients_that_hide_a_revoked_key,
};
use super::world::{Addresses, Away, Kind, World, with};
use crate::support::until;
use std::process::Command;
use std::time::Duration;

const NGINX: Kind = Kind { name: "nginx", command };
/// The same with the map of docs/guides/nginx.md, which names keys by their secrets.
const NGINX_WITH_A_MAP: Kind = Kind { name: "nginx", command: |at| command_naming(at, "$key_id") };
/// One that names them in a way that tripline doesn't know.
const NGINX_THAT_MISNAMES: Kind =
    Kind { name: "nginx", command: |at| command_naming(at, "API_KEY:$key_id") };

fn command(at: &Addresses) -> Command {
    start(at, &[], "")
}

fn command_naming(at: &Addresses, name: &str) -> Command {
    let named = format!("$tripline_credential {{ default {name}; }}");
    let map = "map $http_x_api_key $key_id { \"secret-1\" key_1; \"secret-2\" key_2; }\n";
    start(at, &[("$tripline_credential { default \"\"; }", &named)], map)
}

fn start(at: &Addresses, further: &[(&str, &str)], in_http: &str) -> Command {
    let listen = format!("listen 127.0.0.1:{}", at.port);
    let mut replaced = vec![
        ("127.0.0.1:7878", at.tripline.as_str()),
        ("127.0.0.1:9000", &at.service),
        ("listen 8080", &listen),
    ];
    replaced.extend(further);
    if at.away == Away::Switched {
        replaced.push(("error_page 500 502 503 504 =200 @tripline_away;", ""));
    }
    let own = at.token.map(|token| format!("X-Tripline-Token \"{token}\";\n        proxy_connect"));
    if let Some(own) = &own {
        replaced.push(("X-Tripline-Token \"\";\n        proxy_connect", own));
    }
    let server = with("nginx.conf", &replaced);
    let temp = at.folder.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|name| format!("{name}_temp_path {temp}/{name};\n")).concat();
    let text = format!(
        "daemon off; pid {temp}/pid; error_log {temp}/error.log;\nevents {{}}\n\
         http {{ access_log off;\n{in_http}{paths}{server}}}\n"
    );
    let path = at.folder.join("nginx.conf");
    std::fs::write(&path, text).expect("writes");
    // The master ends its workers when it is told to, not when it is killed: run without one.
    let mut command = Command::new("nginx");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-c").arg(&path);
    command.args(["-g", "master_process off;", "-e"]).arg(at.folder.join("early.log"));
    command
}

#[test]
fn behind_nginx_a_token_is_accepted_then_refused_within_a_second_then_accepted_again() {
    puts_out_of_service_and_back(NGINX);
}

#[test]
fn behind_nginx_a_throttled_token_is_told_when_to_come_back() {
    passes_on_429_with_retry_after(NGINX);
}

#[test]
fn behind_nginx_no_client_hides_a_revoked_key() {
    withstands_clients_that_hide_a_revoked_key(NGINX);
    withstands_clients_that_hide_a_revoked_key(NGINX_WITH_A_MAP);
}

#[test]
fn behind_nginx_preflights_and_other_schemes_pass() {
    lets_preflights_and_other_schemes_by(NGINX);
}

#[test]
fn behind_nginx_a_lost_tripline_lets_pass_unless_that_is_switched() {
    is_open_or_closed_without_tripline(NGINX, Away::Shipped, true);
    is_open_or_closed_without_tripline(NGINX, Away::Switched, false);
}

#[test]
fn behind_nginx_that_names_keys_by_a_map_a_second_key_is_not_overlooked() {
    let Some(world) = World::start(NGINX_WITH_A_MAP, "", Away::Shipped) else { return };
    let key = |value| ("x-api-key", value);
    assert_eq!(world.get(&[key("secret-1")]), 200);
    world.daemon.order("revoke", "key_2");
    until("it is refused", Duration::from_secs(1), || {
        (world.get(&[key("secret-2")]) == 403).then_some(())
    });
    let before = world.service.received().len();
    for [first, second] in [["junk", "secret-2"], ["secret-2", "junk"]] {
        let status = world.get(&[key(first), key(second)]);
        assert!([401, 403].contains(&status), "{first}, {second}: {status}");
    }
    for [first, second] in [["secret-1", "secret-2"], ["secret-2", "secret-1"]] {
        let status = world.get(&[key(first), key(second)]);
        assert!([401, 403].contains(&status), "{first}, {second}: {status}");
    }
    assert_eq!(world.service.received().len(), before, "none reached the service");
    world.daemon.order("restore", "key_2");
    until("it is accepted again", Duration::from_secs(1), || {
        (world.get(&[key("secret-2")]) == 200).then_some(())
    });
}

#[test]
fn a_gateway_that_misnames_kinds_lets_nothing_pass() {
    let Some(world) = World::start(NGINX_THAT_MISNAMES, "", Away::Shipped) else { return };
    for secret in ["secret-1", "secret-2"] {
        assert_eq!(world.get(&[("x-api-key", secret)]), 503, "a mistake that is seen at once");
    }
    assert!(world.service.received().is_empty());
}

#[test]
fn behind_nginx_tripline_may_want_a_token_of_the_gateway() {
    shows_a_token_of_its_own(NGINX);
}

#[test]
fn behind_nginx_the_service_gets_a_request_once_though_it_fails_to_answer() {
    sends_a_request_to_the_service_once(NGINX);
}
