//! Several instances and one Redis: what is decided or ordered at one is in force at all.
#![expect(clippy::indexing_slicing, reason = "instances are named by small numbers")]

use crate::http_events::token_of;
use crate::support::daemon::Daemon;
use crate::support::random::{Random, number};
use crate::support::receiver::Receiver;
use crate::support::redis_server::RedisServer;
use crate::support::{skipped, until};
use base64::Engine;
use serde_json::Value;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a machine that does other work.
const SOON: Duration = Duration::from_secs(20);

struct Fleet {
    redis: RedisServer,
    config: String,
    folders: Vec<TempDir>,
    daemons: Vec<Option<Daemon>>,
}

impl Fleet {
    fn start(instances: usize, further: &str) -> Self {
        Self::start_headed(instances, "", further)
    }

    /// With settings before and after the sections that make it a fleet.
    fn start_headed(instances: usize, head: &str, further: &str) -> Self {
        let redis = RedisServer::start();
        let config = format!(
            "{head}[revocation_limit]\ninstances = {instances}\n[auth_store.redis]\nurl = \"{}\"\n{further}",
            redis.url()
        );
        let folders: Vec<TempDir> =
            (0..instances).map(|_| tempfile::tempdir().expect("a folder")).collect();
        let daemons = folders.iter().map(|folder| Some(Daemon::start(folder, &config))).collect();
        Self { redis, config, folders, daemons }
    }

    fn at(&self, instance: usize) -> &Daemon {
        self.daemons[instance].as_ref().expect("it runs")
    }

    fn running(&self) -> impl Iterator<Item = &Daemon> {
        self.daemons.iter().flatten()
    }

    /// Waits until all that run answer about a credential as said; returns how long that took.
    fn all_answer(&self, credential: &str, code: u16) -> Duration {
        let begun = Instant::now();
        for daemon in self.running() {
            until(&format!("{credential} is answered {code} at all"), SOON, || {
                (daemon.check(credential) == code).then_some(())
            });
        }
        begun.elapsed()
    }

    fn stop(&mut self, instance: usize) {
        self.daemons[instance].take().expect("it runs").kill();
    }

    fn start_again(&mut self, instance: usize) {
        self.daemons[instance] = Some(Daemon::start(&self.folders[instance], &self.config));
    }
}

/// A webhook as a store.
fn webhook(receiver: &Receiver, secrets: &TempDir) -> String {
    let secret = secrets.path().join("secret");
    let encoded = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    std::fs::write(&secret, format!("whsec_{encoded}")).expect("written");
    format!(
        "[auth_store.webhook.gateway]\nurl = \"{}\"\nsecret_file = \"{}\"\n\
         [egress]\nnetworks = [\"127.0.0.0/8\"]\n",
        receiver.url("/"),
        secret.display()
    )
}

fn status_in_redis(redis: &RedisServer, id: &str) -> String {
    redis.ask(&["HGET", &format!("tripline:credential:{{api_key:{id}}}"), "status"])
}

#[test]
fn an_order_at_any_instance_is_in_force_at_all() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start(5, "");
    let mut took: Vec<Duration> = Vec::new();
    for number in 0..40 {
        let (key, first) = (format!("key_{number}"), number % 5);
        fleet.at(first).order("revoke", &key);
        took.push(fleet.all_answer(&key, 403));
        // Undone at another one, by someone who sees there that it is revoked.
        let restored = fleet.at((first + 2) % 5).order("restore", &key);
        assert_eq!((&restored["changed"], &restored["before"]), (&true.into(), &"revoked".into()));
        took.push(fleet.all_answer(&key, 200));
        assert_eq!(status_in_redis(&fleet.redis, &key), "active");
    }
    took.sort_unstable();
    eprintln!("an order is in force at five instances: p50 {:?}, p99 {:?}", took[40], took[78]);
    // The author and the reason are known everywhere.
    let decisions = fleet.at(4).get("/v1/decisions?credential=key_0");
    let restored = &decisions[0];
    assert_eq!(
        (&restored["action"], &restored["reason"]),
        (&"restore".into(), &"asked by a test".into())
    );
}

#[test]
fn a_milder_order_is_refused_where_another_instance_revoked() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start(2, "");
    fleet.at(0).order("revoke", "key_1");
    fleet.all_answer("key_1", 403);
    let (status, body) = fleet
        .at(1)
        .say("/v1/credentials/key_1/suspend", r#"{"reason":"for a moment","lasts_s":6}"#);
    assert_eq!(status, 409, "{body}");
}

/// A person revokes at one instance while a suspension by another one ends, and the store is away.
#[test]
fn a_revocation_by_a_person_outlives_a_store_that_was_away() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start(2, "");
    for round in 0..10 {
        let key = format!("key_{round}");
        let (ending, revoking) = (round % 2, (round + 1) % 2);
        let path = format!("/v1/credentials/{key}/suspend");
        let (status, body) =
            fleet.at(ending).say(&path, r#"{"reason":"for a moment","lasts_s":1}"#);
        assert_eq!(status, 200, "{body}");
        fleet.all_answer(&key, 403);
        fleet.redis.pause();
        until("its time is over there", SOON, || {
            (fleet.at(ending).check(&key) == 200).then_some(())
        });
        until("and its end is decided there", SOON, || {
            let decisions = fleet.at(ending).get(&format!("/v1/decisions?credential={key}"));
            (decisions[0]["action"] == "restore").then_some(())
        });
        until("Redis is known to be away", SOON, || {
            let shown = fleet.at(revoking).get("/v1/status");
            shown["stores"].to_string().contains("\"up\":false").then_some(())
        });
        let ordered = fleet.at(revoking).order("revoke", &key);
        let said = ordered["not_written"][0].as_str();
        assert!(said.is_some_and(|said| said.starts_with("redis: ")), "{ordered}");
        fleet.redis.resume();
        fleet.all_answer(&key, 403);
        until("Redis has it revoked", SOON, || {
            (status_in_redis(&fleet.redis, &key) == "revoked").then_some(())
        });
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            assert!(fleet.running().all(|daemon| daemon.check(&key) == 403), "{key} stays revoked");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn an_instance_that_joins_is_not_ready_before_it_knows_what_is_in_force() {
    if skipped("redis") {
        return;
    }
    let mut fleet = Fleet::start(2, "");
    for number in 0..2_500 {
        // Some thousand keys, so that a scan takes several steps.
        let key = format!("tripline:credential:{{api_key:other_{number}}}");
        fleet.redis.ask::<i64>(&["HSET", &key, "foreign", "1"]);
    }
    fleet.at(0).order("revoke", "key_1");
    fleet.all_answer("key_1", 403);
    fleet.stop(1);
    fleet.at(0).order("revoke", "key_2");
    fleet.at(0).order("restore", "key_1");
    // It learns what it missed, with the stream lost, or with a folder of its own that is new.
    fleet.redis.ask::<i64>(&["DEL", "tripline:changes"]);
    fleet.start_again(1);
    assert_eq!([fleet.at(1).check("key_1"), fleet.at(1).check("key_2")], [200, 403]);
    fleet.stop(1);
    fleet.folders[1] = tempfile::tempdir().expect("a folder");
    fleet.start_again(1);
    assert_eq!([fleet.at(1).check("key_1"), fleet.at(1).check("key_2")], [200, 403]);

    fleet.stop(1);
    fleet.redis.pause();
    let config = fleet.config.clone();
    let joins = Daemon::start_unready(&fleet.folders[1], &config);
    let (status, text) = joins.send("GET", "/readyz", &[], "");
    assert_eq!((status, text.as_str()), (503, "failed fleet\n"));
    fleet.redis.resume();
    until("it is ready", SOON, || (joins.send("GET", "/readyz", &[], "").0 == 200).then_some(()));
    // One that runs stays ready: else a Redis that is away would take all of them out of service.
    fleet.redis.pause();
    until("it says that it can't follow", SOON, || {
        (joins.metric("tripline_fleet_following") == 0.0).then_some(())
    });
    assert_eq!(joins.send("GET", "/readyz", &[], "").0, 200);
    fleet.redis.resume();
}

/// An instance that stood still while the stream was cut, or that can't read votes, is not deaf to what others decide.
#[test]
fn an_instance_that_may_have_missed_changes_reads_all_again() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start(2, "");
    fleet.at(0).order("revoke", "key_0");
    fleet.all_answer("key_0", 403);
    for round in 0..3 {
        fleet.at(1).pause();
        fleet.at(0).order("revoke", &format!("missed_{round}"));
        let missed = format!("missed_{round}");
        until("Redis has it", SOON, || {
            let key = format!("tripline:credential:{{api_key:{missed}}}");
            let held: Option<String> = fleet.redis.ask(&["HGET", &key, "status"]);
            held.filter(|status| status == "revoked")
        });
        fleet.redis.ask::<i64>(&["DEL", "tripline:changes"]);
        fleet.at(0).order("revoke", &format!("after_{round}"));
        fleet.at(1).resume();
        fleet.all_answer(&format!("after_{round}"), 403);
        fleet.all_answer(&missed, 403);
    }
    // A change whose entry can't be written is not in force, and is written once it can be.
    let highest = "18446744073709551615-18446744073709551615";
    fleet.redis.ask::<String>(&["XADD", "tripline:changes", highest, "a", "b"]);
    fleet.at(0).order("revoke", "key_1");
    std::thread::sleep(Duration::from_millis(300));
    let key = "tripline:credential:{api_key:key_1}";
    assert_eq!(fleet.redis.ask::<Option<String>>(&["HGET", key, "status"]), None);
    fleet.redis.ask::<i64>(&["DEL", "tripline:changes"]);

    fleet.redis.ask::<()>(&["SET", "tripline:changes:votes", "foreign"]);
    fleet.at(1).order("revoke", "key_2");
    fleet.all_answer("key_2", 403);
    fleet.at(1).order("restore", "key_2");
    fleet.all_answer("key_2", 200);
}

/// An entry with times that no journal can hold would keep each instance that followed it from starting again.
#[test]
fn an_entry_that_tripline_cannot_have_written_is_followed_by_none() {
    if skipped("redis") {
        return;
    }
    let mut fleet = Fleet::start(2, "");
    for (key, at) in
        [("key_1", "9223372036854775807"), ("key_2", "-1"), ("key_3", "253402300799001")]
    {
        let origin = format!(
            r#"{{"credential":"api_key:{key}","instance":"00000000000000aa","base":0,"by":"ada","at":{at}}}"#
        );
        let fields = ["decision", "d_00000000000000aa", "generation", "5", "status", "revoked"];
        let mut words = vec!["XADD", "tripline:changes", "*"];
        words.extend(fields);
        words.extend(["origin", &origin]);
        fleet.redis.ask::<String>(&words);
    }
    fleet.at(0).order("revoke", "key_4");
    fleet.all_answer("key_4", 403);
    for key in ["key_1", "key_2", "key_3"] {
        assert!(fleet.running().all(|daemon| daemon.check(key) == 200), "{key}");
    }
    fleet.stop(1);
    fleet.start_again(1);
    fleet.all_answer("key_4", 403);
}

/// A receiver that is away until another instance has put the key back gets no revocation after that.
#[test]
fn a_webhook_gets_nothing_that_its_instance_knows_to_be_superseded() {
    if skipped("redis") {
        return;
    }
    let (receiver, secrets) = (Receiver::start(), tempfile::tempdir().expect("a folder"));
    let fleet = Fleet::start(2, &webhook(&receiver, &secrets));
    receiver.answer(503);
    fleet.at(0).order("revoke", "key_1");
    fleet.all_answer("key_1", 403);
    until("it was tried", SOON, || (!receiver.received().is_empty()).then_some(()));
    fleet.at(1).order("restore", "key_1");
    fleet.all_answer("key_1", 200);
    let tried = receiver.received().len();
    receiver.answer(200);
    until("the receiver has the restoration", SOON, || {
        let last = receiver.received().last()?.body.clone();
        String::from_utf8_lossy(&last).contains("restore").then_some(())
    });
    std::thread::sleep(Duration::from_secs(6));
    let later = receiver.received().split_off(tried);
    let revokes = |body: &[u8]| String::from_utf8_lossy(body).contains("\"revoke\"");
    assert!(later.iter().skip(1).all(|request| !revokes(&request.body)), "{later:?}");
}

/// Random orders at random instances, which are killed and started again meanwhile.
#[test]
fn a_thousand_orders_at_random_instances_agree_over_twenty_kills() {
    if skipped("redis") {
        return;
    }
    let seed = number("TRIPLINE_SEED", 23);
    eprintln!("TRIPLINE_SEED={seed}");
    let mut random = Random::new(seed);
    let mut fleet = Fleet::start(3, "");
    let orders = 1_000;
    let mut last: std::collections::BTreeMap<String, &str> = std::collections::BTreeMap::new();
    for number in 0..orders {
        let key = format!("key_{}", random.below(60));
        let verb = random.one_of(&["revoke", "restore"]);
        let instance = random.index(3);
        let ordered = fleet.at(instance).order(verb, &key);
        if number % 50 == 25 {
            // Right after it has answered, whatever it has delivered by then.
            fleet.stop(instance);
            fleet.start_again(instance);
        }
        // People who order a moment after each other about one key wait for what the first one did.
        let code = if verb == "revoke" { 403 } else { 200 };
        fleet.all_answer(&key, code);
        assert!(ordered["decision"].is_null() || ordered["decision"]["action"] == verb);
        last.insert(key, verb);
    }
    for (key, verb) in &last {
        fleet.all_answer(key, if *verb == "revoke" { 403 } else { 200 });
        let held: Option<String> =
            fleet.redis.ask(&["HGET", &format!("tripline:credential:{{api_key:{key}}}"), "status"]);
        let expected = if *verb == "revoke" { "revoked" } else { "active" };
        // Of a key that was never revoked Redis has nothing.
        assert_eq!(held.as_deref().unwrap_or("active"), expected, "{key}");
    }
}

/// Orders at once, at all instances, about the same keys: whatever wins, it wins everywhere.
#[test]
fn orders_given_at_once_at_all_instances_have_one_outcome() {
    if skipped("redis") {
        return;
    }
    let fleet = Fleet::start(3, "");
    for round in 0..20 {
        let key = format!("key_{round}");
        std::thread::scope(|scope| {
            for instance in 0..3 {
                let (fleet, key) = (&fleet, &key);
                scope.spawn(move || {
                    let verb = ["revoke", "restore", "suspend"][(instance + round) % 3];
                    let path = format!("/v1/credentials/{key}/{verb}");
                    fleet.at(instance).say(&path, r#"{"reason":"at once"}"#)
                });
            }
        });
        until("all agree, and Redis with them", SOON, || {
            let answers: Vec<u16> = fleet.running().map(|daemon| daemon.check(&key)).collect();
            let held: Option<String> = fleet.redis.ask(&[
                "HGET",
                &format!("tripline:credential:{{api_key:{key}}}"),
                "status",
            ]);
            let expected = match held.as_deref() {
                Some("suspended" | "revoked") => 403,
                _ => 200,
            };
            answers.iter().all(|answer| *answer == expected).then_some(())
        });
    }
}

/// A receiver of requests can't compare: it gets decisions in the order that Redis gave them.
#[test]
fn a_webhook_of_two_instances_gets_only_what_redis_has_taken_and_rising_generations() {
    if skipped("redis") {
        return;
    }
    let (receiver, secrets) = (Receiver::start(), tempfile::tempdir().expect("a folder"));
    let fleet = Fleet::start(2, &webhook(&receiver, &secrets));
    fleet.redis.pause();
    for daemon in fleet.running() {
        daemon.order("revoke", "key_1");
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(receiver.received().is_empty(), "Redis has not taken it");
    fleet.redis.resume();
    fleet.all_answer("key_1", 403);
    fleet.at(1).order("restore", "key_1");
    fleet.all_answer("key_1", 200);
    fleet.at(0).order("revoke", "key_1");
    fleet.all_answer("key_1", 403);
    until("the receiver has the last one", SOON, || {
        let last = receiver.received().last()?.body.clone();
        let last: Value = serde_json::from_slice(&last).ok()?;
        (last.to_string().contains("revoke") && receiver.received().len() >= 3).then_some(())
    });
    let generations: Vec<u64> = receiver
        .received()
        .iter()
        .map(|request| {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            find_generation(&body).expect("it has one")
        })
        .collect();
    assert!(generations.is_sorted_by(|one, next| one < next), "{generations:?}");
}

fn find_generation(body: &Value) -> Option<u64> {
    let data = body.get("data").unwrap_or(body);
    data["generation"].as_u64().or_else(|| data["decision"]["generation"].as_u64())
}

/// A revocation that two people agree to, each at another instance, and one that somebody at a third rejects.
#[test]
fn people_at_different_instances_agree_to_one_revocation() {
    if skipped("redis") {
        return;
    }
    let tokens = tempfile::tempdir().expect("a folder");
    let key = tokens.path().join("fingerprint.key");
    std::fs::write(&key, [7; 32]).expect("written");
    let people: String =
        ["ada", "bob", "cleo"].map(|name| token_of(&tokens, name, "operate").0).concat();
    let fleet = Fleet::start_headed(
        3,
        &format!("fingerprint_key_file = \"{}\"\n", key.display()),
        &format!("[approval]\nrequired_approvers = 2\n{people}"),
    );
    let bearer = |name: &str| format!("Bearer token-of-{name}-0123456789abcdef");
    let post = |instance: usize, path: &str, name: &str| {
        let bearer = bearer(name);
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let (status, body) =
            fleet.at(instance).send("POST", path, &headers, r#"{"reason":"seen in public"}"#);
        (status, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    let get = |instance: usize, path: &str| {
        let (_, body) =
            fleet.at(instance).send("GET", path, &[("authorization", &bearer("bob"))], "");
        serde_json::from_str::<Value>(&body).expect("JSON")
    };
    let waits = |instance: usize, key: &str| {
        let waiting = get(instance, "/v1/approvals");
        let decision =
            &waiting.as_array()?.iter().find(|one| one["decision"]["credential"] == key)?;
        let agreed = decision["agreed"].as_array()?.len();
        Some((decision["decision"]["id"].as_str()?.to_owned(), agreed))
    };
    for (key, approves) in [("key_1", true), ("key_2", false)] {
        let (status, body) = post(0, &format!("/v1/credentials/{key}/revoke"), "ada");
        assert_eq!(status, 200, "{body}");
        let mut id = String::new();
        for instance in 0..3 {
            id = until("it waits at all instances, with her voice", SOON, || {
                waits(instance, key).filter(|(_, agreed)| *agreed == 1).map(|(id, _)| id)
            });
        }
        // The same person's voice at another instance counts no second time.
        let (status, body) = post(2, &format!("/v1/decisions/{id}/approve"), "ada");
        assert_eq!(status, 409, "{body}");
        let (verb, code) = if approves { ("approve", 403) } else { ("reject", 403) };
        let (status, body) = post(1, &format!("/v1/decisions/{id}/{verb}"), "bob");
        assert_eq!(status, 200, "{body}");
        for instance in 0..3 {
            until("nothing waits any more", SOON, || waits(instance, key).is_none().then_some(()));
            until("and it is out of service", SOON, || {
                (fleet.at(instance).check_as(key, &bearer("bob")) == code).then_some(())
            });
            let expected = if approves { "revoked" } else { "suspended" };
            until("as people said", SOON, || {
                let shown = get(instance, &format!("/v1/credentials/{key}"));
                (shown["status"] == expected).then_some(())
            });
        }
    }
    let by = get(2, "/v1/decisions?credential=key_1");
    let by = by[0]["by"].as_str().expect("an author");
    assert!(by.contains("ada") && by.contains("bob"), "{by}");
}
