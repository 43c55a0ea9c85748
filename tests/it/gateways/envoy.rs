//! Envoy with `config/gateways/envoy.yaml`.

use super::scenarios::{
    is_open_or_closed_without_tripline, lets_preflights_and_other_schemes_by,
    passes_on_429_with_retry_after, puts_out_of_service_and_back,
    sends_a_request_to_the_service_once, shows_a_token_of_its_own,
    withstands_clients_that_hide_a_revoked_key,
};
use super::world::{Addresses, Away, Kind, tool, with};
use crate::support::skipped;
use std::process::{Command, Stdio};

const ENVOY: Kind = Kind { name: "envoy", command };

/// The lines of the gateway's own token, as they are shipped and as they count.
const TOKEN_SETTINGS: [(&str, &str); 4] = [
    ("# authorization_request:", "authorization_request:"),
    ("#   headers_to_add: ", "  headers_to_add: "),
    ("#     - key: x-tripline-token", "    - key: x-tripline-token"),
    ("#       value: ", "      value: "),
];

fn command(at: &Addresses) -> Command {
    let port_of = |host: &str| host.rsplit_once(':').expect("a port").1.to_owned();
    let listen = format!("address: 127.0.0.1, port_value: {}", at.port);
    let tripline = format!("port_value: {}", port_of(&at.tripline));
    let service = format!("port_value: {}", port_of(&at.service));
    let mut replaced = vec![
        ("address: 0.0.0.0, port_value: 8080", listen.as_str()),
        ("port_value: 7878", &tripline),
        ("port_value: 9000", &service),
    ];
    if at.away == Away::Switched {
        replaced.push(("failure_mode_allow: true", "failure_mode_allow: false"));
    }
    let own = at.token.map(|token| format!("value: \"{token}\""));
    if let Some(own) = &own {
        replaced.extend(TOKEN_SETTINGS);
        replaced.push(("value: \"…\"", own));
    }
    let path = at.folder.join("envoy.yaml");
    std::fs::write(&path, with("envoy.yaml", &replaced)).expect("writes");
    let mut command = tool("envoy");
    command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error", "-c"]);
    command.arg(path);
    command
}

#[test]
fn envoy_takes_the_shipped_file_as_it_is() {
    if skipped(ENVOY.name) {
        return;
    }
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateways/envoy.yaml");
    let mut validate = tool("envoy");
    validate.args(["--mode", "validate", "-c", shipped]).stderr(Stdio::piped());
    let answer = validate.output().expect("envoy runs");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let told = String::from_utf8_lossy(&answer.stderr).to_lowercase();
    assert!(!told.contains("deprecated"), "{told}");
}

#[test]
fn behind_envoy_a_token_is_accepted_then_refused_within_a_second_then_accepted_again() {
    puts_out_of_service_and_back(ENVOY);
}

#[test]
fn behind_envoy_a_throttled_token_is_told_when_to_come_back() {
    passes_on_429_with_retry_after(ENVOY);
}

#[test]
fn behind_envoy_no_client_hides_a_revoked_key() {
    withstands_clients_that_hide_a_revoked_key(ENVOY);
}

#[test]
fn behind_envoy_preflights_and_other_schemes_pass() {
    lets_preflights_and_other_schemes_by(ENVOY);
}

#[test]
fn behind_envoy_a_lost_tripline_lets_pass_unless_that_is_switched() {
    is_open_or_closed_without_tripline(ENVOY, Away::Shipped, true);
    is_open_or_closed_without_tripline(ENVOY, Away::Switched, false);
}

#[test]
fn behind_envoy_tripline_may_want_a_token_of_the_gateway() {
    shows_a_token_of_its_own(ENVOY);
}

#[test]
fn behind_envoy_the_service_gets_a_request_once_though_it_fails_to_answer() {
    sends_a_request_to_the_service_once(ENVOY);
}
