//! The daemon is killed again and again while it decides and carries out: nothing that it said was
//! ordered is lost, nothing happens twice, and the journal stays whole.
//!
//! Half of the kills come at a random moment, the others at a random one of the points at which the
//! code can be stopped (with the feature `failpoints`; without it these are random moments, too).
//! `TRIPLINE_TEST_KILLS` sets their number (200; without the feature 20), `TRIPLINE_TEST_SEED` the
//! seed, which is printed.

use crate::support::daemon::{BINARY, Daemon, now_ms};
use crate::support::random::{Random, number};
use crate::support::redis_server::RedisServer;
use crate::support::{pause, skipped, until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Where the code can be stopped.
const POINTS: [&str; 8] = [
    "journal.before_write",
    "journal.half_written",
    "journal.before_sync",
    "journal.after_sync",
    "outbox.before_delivery",
    "outbox.delivered",
    "embedded.before_commit",
    "embedded.committed",
];

/// What the daemon said was ordered.
#[derive(Default)]
struct Said {
    /// All decisions, by id.
    decisions: BTreeSet<String>,
    /// The newest generation that was said of each credential.
    generations: BTreeMap<String, u64>,
}

struct World {
    redis: RedisServer,
    folder: tempfile::TempDir,
    random: Random,
    said: Said,
    /// How much of it was looked at before.
    verified: Verified,
}

/// A change that the store wrote down.
struct Change {
    decision: String,
    key: String,
    generation: u64,
    status: String,
}

#[derive(Default)]
struct Verified {
    changes: usize,
    decisions: BTreeSet<String>,
}

impl World {
    fn config(&self) -> String {
        format!(
            "mode.default = \"revoke\"\nlimits.default = \"60/min\"\n\
             [revocation_limit]\nper_hour = 100000\n[auth_store.redis]\nurl = \"{}\"\n",
            self.redis.url()
        )
    }

    /// Orders and sends events until the daemon is gone, or all is said.
    fn disturb(&mut self, daemon: &Daemon, round: u64) {
        for step in 0..8 {
            let key = format!("key_{}", self.random.below(20));
            let verb = match self.random.below(3) {
                0 => "revoke",
                1 => "suspend",
                _ => "restore",
            };
            let path = format!("/v1/credentials/{key}/{verb}");
            if step == 3 {
                let event = format!(
                    "{{\"time\":{},\"credential\":\"burst_{round}\",\"status\":200}}\n",
                    now_ms()
                );
                let body = event.repeat(100).into_bytes();
                if daemon.try_send("POST", "/v1/events", &[], body).is_none() {
                    return;
                }
            }
            match daemon.try_say(&path, r#"{"reason":"asked by a test"}"#) {
                Some((200, body)) => self.hear(&key, &body),
                // A suspension weakens no revocation.
                Some((409, _)) if verb == "suspend" => {}
                Some((status, body)) => panic!("{status}: {body}"),
                None => return,
            }
        }
    }

    fn hear(&mut self, key: &str, body: &str) {
        let done: Value = serde_json::from_str(body).expect("JSON");
        let Some(decision) = done.get("decision").filter(|decision| !decision.is_null()) else {
            return;
        };
        let text = |name: &str| decision.get(name).and_then(Value::as_str).expect("a text");
        self.said.decisions.insert(text("id").to_owned());
        let generation = decision.get("generation").and_then(Value::as_u64).expect("a number");
        self.said.generations.insert(key.to_owned(), generation);
    }

    fn changes(&self) -> Vec<Change> {
        let range: redis::streams::StreamRangeReply =
            self.redis.ask(&["XRANGE", "tripline:changes", "-", "+"]);
        let field = |entry: &redis::streams::StreamId, name: &str| -> String {
            entry.get(name).expect("a field")
        };
        let change = |entry| Change {
            decision: field(entry, "decision"),
            key: field(entry, "id"),
            generation: field(entry, "generation").parse().expect("a number"),
            status: field(entry, "status"),
        };
        range.ids.iter().map(change).collect()
    }

    /// Looks whether all that was said since it last looked is so, once the outboxes are empty.
    fn verify(&mut self, daemon: &Daemon) {
        until("all is carried out", PATIENCE, || {
            let waits =
                |store| daemon.metric(&format!("tripline_outbox_pending{{store=\"{store}\"}}"));
            (waits("embedded") + waits("redis") < 0.5).then_some(())
        });
        let changes = self.changes();
        let ids: BTreeSet<&String> = changes.iter().map(|change| &change.decision).collect();
        assert_eq!(ids.len(), changes.len(), "no decision had its effect twice");
        for id in self.said.decisions.difference(&self.verified.decisions) {
            let (status, body) = daemon.send("GET", &format!("/v1/decisions/{id}"), &[], "");
            assert_eq!(status, 200, "what was said is in the journal: {id} {body}");
        }
        // A key that was ordered about must be in the stream, too, even if no change of it is.
        let newer = changes.iter().skip(self.verified.changes).map(|change| &change.key);
        let keys: BTreeSet<&String> = newer.chain(self.said.generations.keys()).collect();
        for key in keys {
            self.verify_one(daemon, key, &changes);
        }
        let decisions = self.said.decisions.clone();
        self.verified = Verified { changes: changes.len(), decisions };
    }

    fn verify_one(&self, daemon: &Daemon, key: &str, changes: &[Change]) {
        let decisions = daemon.get(&format!("/v1/decisions?credential={key}&limit=1000"));
        let carried_out = |one: &&Value| one.get("carried_out") == Some(&Value::Bool(true));
        let newest = decisions.as_array().expect("a list").iter().find(carried_out);
        let newest = newest.unwrap_or_else(|| panic!("{key} was changed without a decision"));
        let hash: BTreeMap<String, String> =
            self.redis.ask(&["HGETALL", &format!("tripline:credential:{{api_key:{key}}}")]);
        let field = |name: &str| newest.get(name).expect("a field");
        assert_eq!(hash.get("decision").map(String::as_str), field("id").as_str(), "{key}");
        let generation = field("generation").as_u64().expect("a number");
        assert!(Some(&generation) >= self.said.generations.get(key), "{key} went back");
        let refused = matches!(field("action").as_str(), Some("revoke" | "suspend"));
        assert_eq!(daemon.check(key) == 403, refused, "{key}: both stores agree");
        agrees(key, changes, decisions.as_array().expect("a list"));
        let ranks: Vec<u64> = decisions
            .as_array()
            .into_iter()
            .flatten()
            .filter(carried_out)
            .filter_map(|one| one.get("generation").and_then(Value::as_u64))
            .collect();
        assert!(ranks.is_sorted_by(|newer, older| newer > older), "{key}: {ranks:?}");
    }
}

/// What the store wrote into its own stream about a key is what the journal ordered, each once and in
/// the order of generations, up to the newest.
fn agrees(key: &str, changes: &[Change], decisions: &[Value]) {
    let orders = decisions.iter().filter(|one| one["carried_out"] == true);
    let orders: BTreeMap<u64, (&str, &str)> = orders
        .filter_map(|one| {
            let status = match one["action"].as_str()? {
                "revoke" => "revoked",
                "suspend" => "suspended",
                "throttle" => "throttled",
                _ => "active",
            };
            Some((one["generation"].as_u64()?, (one["id"].as_str()?, status)))
        })
        .collect();
    let of_key: Vec<&Change> = changes.iter().filter(|change| change.key == key).collect();
    let generations: Vec<u64> = of_key.iter().map(|change| change.generation).collect();
    assert!(generations.is_sorted_by(|older, newer| older < newer), "{key}: {generations:?}");
    for change in &of_key {
        let ordered = orders.get(&change.generation).copied();
        let written = (change.decision.as_str(), change.status.as_str());
        assert_eq!(ordered, Some(written), "{key}: the stream against the journal");
    }
    let newest = orders.last_key_value().map(|(generation, _)| *generation);
    assert_eq!(generations.last().copied(), newest, "{key}: the newest is in the stream");
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    if skipped("redis") {
        return;
    }
    let kills = number("TRIPLINE_TEST_KILLS", if cfg!(feature = "failpoints") { 200 } else { 20 });
    let seed = number("TRIPLINE_TEST_SEED", 0x7472_6970);
    println!("{kills} kills with TRIPLINE_TEST_SEED={seed}");
    let mut world = World {
        redis: RedisServer::start(),
        folder: tempfile::tempdir().expect("a folder"),
        random: Random::new(seed),
        said: Said::default(),
        verified: Verified::default(),
    };
    let (mut stopped, mut round) = (0_u32, 0);
    let folder = world.folder.path().to_owned();
    // A slow machine orders little before it is killed: then more kills come, and later ones.
    while round < kills || (world.said.decisions.len() as u64 <= kills && round < kills * 10) {
        round += 1;
        let by_point = round % 2 == 0;
        let point = POINTS[world.random.index(POINTS.len())];
        let passed = world.random.below(12);
        let points = format!("{point}={passed}*off->return");
        let environment = [("FAILPOINTS", points.as_str())];
        let environment = if by_point { &environment[..] } else { &[] };
        let Some(daemon) = Daemon::try_start_in(&folder, &world.config(), environment) else {
            stopped += 1;
            continue;
        };
        if !by_point {
            world.verify(&daemon);
        }
        let within = 30_000 * round.div_ceil(kills);
        let moment = Duration::from_micros(world.random.below(within));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // At a point it ends by itself, unless it is never reached.
                let patience = if by_point { Duration::from_millis(60) } else { moment };
                pause(patience);
                daemon.kill_now();
            });
            world.disturb(&daemon, round);
        });
        stopped += u32::from(by_point && daemon.ended_by_itself());
    }
    world.verified = Verified::default();
    let daemon = Daemon::start_in(&folder, &world.config());
    world.verify(&daemon);
    println!("{stopped} of {kills} times stopped at one of the points");
    assert!(
        !cfg!(feature = "failpoints") || u64::from(stopped) > kills / 8,
        "the points are there"
    );
    assert!(world.said.decisions.len() as u64 > kills, "something was ordered");
    let data = daemon.data();
    assert_eq!(daemon.terminate(), Some(0));
    let verify = Command::new(BINARY).args(["journal", "verify"]).arg(data).output().expect("runs");
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
}
