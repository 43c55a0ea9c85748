//! The daemon is killed again and again under load, at random moments: in the end it has found and
//! decided what one did that was never disturbed, each once.
//!
//! `TRIPLINE_TEST_KILLS` sets the number of kills (50), `TRIPLINE_TEST_SEED` the seed, which is
//! printed.

use crate::support::daemon::{Daemon, now_ms, uses};
use crate::support::random::{Random, number};
use crate::support::{pause, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const CONFIG: &str = "limits.default = \"120/min\"\nmode.default = \"revoke\"\n\
                      [revocation_limit]\nper_hour = 100000\nper_tenant_hour = 100000\n\
                      [checkpoints]\ninterval = \"1s\"\n";
/// Credentials that stay below the limit.
const QUIET: u64 = 40;

/// A request: a few uses of quiet credentials, and of one that passes the limit bit by bit.
fn request(random: &mut Random, round: u64) -> String {
    let now = now_ms();
    let quiet = (0..20).map(|_| uses(&format!("quiet_{}", random.below(QUIET)), now, 1));
    quiet.chain([uses(&format!("burst_{}", round / 8), now, 20)]).collect()
}

/// Sends a request until it is acknowledged; the daemon is restarted where it was killed.
fn send(daemon: &mut Option<Daemon>, folder: &Path, name: &str, body: &str) -> u32 {
    let mut deaths = 0;
    loop {
        let alive = daemon.get_or_insert_with(|| Daemon::start_in(folder, CONFIG));
        let headers = [("idempotency-key", name)];
        match alive.try_send("POST", "/v1/events", &headers, body.to_owned().into_bytes()) {
            Some((200, _)) => return deaths,
            Some((429, _)) => pause(Duration::from_millis(20)),
            Some((status, body)) => panic!("{status}: {body}"),
            None => {
                deaths += 1;
                let ended = daemon.take().expect("it was there").ended_by_itself();
                assert!(
                    !ended,
                    "it was killed: {}",
                    std::fs::read_to_string(folder.join("log.ndjson")).unwrap_or_default()
                );
            }
        }
    }
}

fn count(daemon: &Daemon, key: &str) -> Option<u64> {
    let (status, body) = daemon.send("GET", &format!("/v1/credentials/{key}"), &[], "");
    let found: Value = serde_json::from_str(&body).expect("JSON");
    (status == 200).then(|| found.pointer("/windows/4/count")?.as_u64()).flatten()
}

/// What was decided, and how often: by finding and action.
type Decided = BTreeMap<(String, String), u32>;

fn decided(daemon: &Daemon) -> Decided {
    let mut decided = Decided::new();
    let found = daemon.get("/v1/decisions?limit=1000");
    for one in found.as_array().expect("a list") {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        *decided.entry((text("finding"), text("action"))).or_default() += 1;
    }
    decided
}

/// What one has that the other has not, or not as often.
fn only(one: &Decided, other: &Decided) -> Decided {
    let mut only = one.clone();
    only.retain(|what, times| other.get(what) != Some(times));
    only
}

#[test]
fn after_kills_under_load_all_is_found_as_if_nothing_had_happened() {
    let kills = u32::try_from(number("TRIPLINE_TEST_KILLS", 50)).expect("small");
    let seed = number("TRIPLINE_TEST_SEED", 0x7472_6970);
    println!("{kills} kills with TRIPLINE_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let undisturbed = Daemon::start(&folders[0], CONFIG);
    let mut disturbed = Some(Daemon::start(&folders[1], CONFIG));
    let (mut killed, mut round) = (0, 0);
    let mut sent = BTreeMap::<String, u64>::new();
    while killed < kills {
        let body = request(&mut random, round);
        for line in body.lines() {
            let event: Value = serde_json::from_str(line).expect("JSON");
            let key = event.get("credential").and_then(Value::as_str).expect("a text");
            *sent.entry(key.to_owned()).or_default() += 1;
        }
        undisturbed.post_events(&body);
        let name = format!("request_{round}");
        // About every third request the daemon is killed while it takes or answers it.
        let moment = Duration::from_micros(random.below(20_000));
        let is_killed = random.below(3) == 0;
        killed += std::thread::scope(|scope| {
            if let Some(daemon) = disturbed.as_ref().filter(|_| is_killed) {
                let kill = daemon.killer();
                scope.spawn(move || {
                    pause(moment);
                    kill();
                });
            }
            send(&mut disturbed, folders[1].path(), &name, &body)
        });
        round += 1;
    }
    send(&mut disturbed, folders[1].path(), "last", "");
    let disturbed = disturbed.expect("it runs");
    for (key, sent) in &sent {
        let both = [&undisturbed, &disturbed];
        until("nothing is lost and nothing counted twice", PATIENCE, || {
            both.iter().all(|daemon| count(daemon, key) == Some(*sent)).then_some(())
        });
    }
    // What is counted was decided on before, as both go through the same thread.
    pause(Duration::from_millis(500));
    let (left, right) = (decided(&undisturbed), decided(&disturbed));
    println!("only there: {:?}; only here: {:?}", only(&left, &right), only(&right, &left));
    assert!(left == right, "the same findings, each decided as often");
    assert!(left.len() as u64 >= round / 8, "there were some: {}", left.len());
    println!("{killed} kills, {round} requests, {} decisions", left.len());
}
