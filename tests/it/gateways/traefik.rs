//! Traefik with `config/gateways/traefik.yaml` and `traefik-dynamic.yaml`.

use super::scenarios::{
    is_open_or_closed_without_tripline, lets_preflights_and_other_schemes_by,
    passes_on_429_with_retry_after, puts_out_of_service_and_back,
    sends_a_request_to_the_service_once, shows_a_token_of_its_own,
    withstands_clients_that_hide_a_revoked_key,
};
use super::world::{Addresses, Away, Kind, tool, with};
use std::process::Command;

const TRAEFIK: Kind = Kind { name: "traefik", command };

fn command(at: &Addresses) -> Command {
    let write = |name: &str, replaced: &[(&str, &str)]| {
        let path = at.folder.join(name);
        std::fs::write(&path, with(name, replaced)).expect("writes");
        path
    };
    let mut replaced =
        vec![("127.0.0.1:7878", at.tripline.as_str()), ("127.0.0.1:9000", &at.service)];
    // As docs/guides/traefik.md has it.
    let own = at.token.map(|token| {
        format!(
            "  middlewares:\n    token:\n      headers:\n        customRequestHeaders:\n          \
             X-Tripline-Token: \"{token}\"\n    tripline:"
        )
    });
    if let Some(own) = &own {
        replaced.push(("  middlewares:\n    tripline:", own));
        replaced.push((
            "          - X-Api-Key\n",
            "          - X-Api-Key\n          - X-Tripline-Token\n",
        ));
        replaced.push(("        - tripline\n", "        - token\n        - tripline\n"));
    }
    let dynamic = write("traefik-dynamic.yaml", &replaced).display().to_string();
    let listen = format!("\"127.0.0.1:{}\"", at.port);
    let path = write(
        "traefik.yaml",
        &[("\":8080\"", listen.as_str()), ("traefik-dynamic.yaml\n", &format!("{dynamic}\n"))],
    );
    let mut command = tool("traefik");
    command.arg(format!("--configFile={}", path.display()));
    command
}

#[test]
fn behind_traefik_a_token_is_accepted_then_refused_within_a_second_then_accepted_again() {
    puts_out_of_service_and_back(TRAEFIK);
}

#[test]
fn behind_traefik_a_throttled_token_is_told_when_to_come_back() {
    passes_on_429_with_retry_after(TRAEFIK);
}

#[test]
fn behind_traefik_no_client_hides_a_revoked_key() {
    withstands_clients_that_hide_a_revoked_key(TRAEFIK);
}

#[test]
fn behind_traefik_preflights_and_other_schemes_pass() {
    lets_preflights_and_other_schemes_by(TRAEFIK);
}

#[test]
fn behind_traefik_a_lost_tripline_lets_nothing_pass() {
    is_open_or_closed_without_tripline(TRAEFIK, Away::Shipped, false);
}

#[test]
fn behind_traefik_tripline_may_want_a_token_of_the_gateway() {
    shows_a_token_of_its_own(TRAEFIK);
}

#[test]
fn behind_traefik_the_service_gets_a_request_once_though_it_fails_to_answer() {
    sends_a_request_to_the_service_once(TRAEFIK);
}
