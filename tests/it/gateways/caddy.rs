//! Caddy with `config/gateways/Caddyfile`.

use super::scenarios::{
    is_open_or_closed_without_tripline, lets_preflights_and_other_schemes_by,
    passes_on_429_with_retry_after, puts_out_of_service_and_back,
    sends_a_request_to_the_service_once, shows_a_token_of_its_own,
    withstands_clients_that_hide_a_revoked_key,
};
use super::world::{Addresses, Away, Kind, configuration, tool, with};
use crate::support::skipped;
use std::process::{Command, Stdio};

const CADDY: Kind = Kind { name: "caddy", command };

/// Of the whole process, not of the site: no port for its own administration, no certificates.
const OPTIONS: &str = "{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}\n";

fn command(at: &Addresses) -> Command {
    let listen = format!("http://127.0.0.1:{} {{", at.port);
    let mut replaced = vec![
        (":8080 {", listen.as_str()),
        ("127.0.0.1:7878", &at.tripline),
        ("127.0.0.1:9000", &at.service),
    ];
    let shipped = configuration("Caddyfile");
    let begin = shipped.find("\thandle_errors").expect("handle_errors");
    let end = begin + shipped[begin..].find("\n\t}\n").expect("its end") + 4;
    if at.away == Away::Switched {
        replaced.push((&shipped[begin..end], ""));
        // The address in it is gone with it: what is taken out is taken out first.
        replaced.rotate_right(1);
    }
    let own = at.token.map(|token| format!("header_up X-Tripline-Token \"{token}\""));
    if let Some(own) = &own {
        replaced.push(("# header_up X-Tripline-Token \"…\"", own));
    }
    let path = at.folder.join("Caddyfile");
    std::fs::write(&path, format!("{OPTIONS}{}", with("Caddyfile", &replaced))).expect("writes");
    let mut command = tool("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
    command.env("XDG_DATA_HOME", &at.folder).env("XDG_CONFIG_HOME", &at.folder);
    command
}

#[test]
fn caddy_takes_the_shipped_file_as_it_is_and_finds_it_well_formatted() {
    if skipped(CADDY.name) {
        return;
    }
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateways/Caddyfile");
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in
        [["validate", "--adapter", "caddyfile", "--config"].as_slice(), &["fmt", "--diff"]]
    {
        let mut caddy = tool("caddy");
        caddy.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
        let answer = caddy.args(arguments).arg(shipped).stdin(Stdio::null()).output();
        let answer = answer.expect("caddy runs");
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    }
}

#[test]
fn behind_caddy_a_token_is_accepted_then_refused_within_a_second_then_accepted_again() {
    puts_out_of_service_and_back(CADDY);
}

#[test]
fn behind_caddy_a_throttled_token_is_told_when_to_come_back() {
    passes_on_429_with_retry_after(CADDY);
}

#[test]
fn behind_caddy_no_client_hides_a_revoked_key() {
    withstands_clients_that_hide_a_revoked_key(CADDY);
}

#[test]
fn behind_caddy_preflights_and_other_schemes_pass() {
    lets_preflights_and_other_schemes_by(CADDY);
}

#[test]
fn behind_caddy_a_lost_tripline_lets_pass_unless_that_is_switched() {
    is_open_or_closed_without_tripline(CADDY, Away::Shipped, true);
    is_open_or_closed_without_tripline(CADDY, Away::Switched, false);
}

#[test]
fn behind_caddy_tripline_may_want_a_token_of_the_gateway() {
    shows_a_token_of_its_own(CADDY);
}

#[test]
fn behind_caddy_the_service_gets_a_request_once_though_it_fails_to_answer() {
    sends_a_request_to_the_service_once(CADDY);
}
