//! One view over the instances of a consumer group.

use super::{PATIENCE, config, folder, keys};
use crate::support::apache_kafka::Kafka;
use crate::support::daemon::{Daemon, event, now_ms};
use crate::support::redis_server::RedisServer;
use crate::support::{skipped, until};
use serde_json::Value;

const UNOWNED: &str = "tripline_fleet_partitions_unowned";
const NOT_KEYED: &str = "tripline_fleet_topics_not_keyed";

/// An instance of that name, whose partitions wait for it for a minute.
fn instance(kafka: &Kafka, redis: &RedisServer, key: &std::path::Path, name: &str) -> String {
    std::fs::write(key, [7; 32]).expect("written");
    let source = config(&kafka.address())
        .replace("[revocation_limit]\n", "[revocation_limit]\ninstances = 2\n");
    format!(
        "fingerprint_key_file = \"{}\"\n\
         fleet.url = \"http://127.0.0.1:{{PORT}}\"\n\
         egress.networks = [\"127.0.0.0/8\"]\n\
         auth_store.redis.url = \"{}\"\n{source}instance = \"{name}\"\n\
         [sources.kafka.librdkafka]\n\"session.timeout.ms\" = \"60000\"\n",
        key.display(),
        redis.url()
    )
}

fn owned(status: &Value) -> Vec<u64> {
    let roster = status.pointer("/fleet/roster").and_then(Value::as_array);
    let count = |one: &Value| one.get("partitions").and_then(Value::as_u64);
    roster.into_iter().flatten().filter_map(count).collect()
}

#[test]
fn instances_of_a_group_answer_as_one_and_notice_partitions_that_nobody_owns() {
    if skipped("kafka") || skipped("redis") {
        return;
    }
    let (kafka, redis) = (Kafka::start(), RedisServer::start());
    kafka.create_topic("auth", 4, &[]);
    let folders = [folder(), folder()];
    let start = |number: usize, name: &str| {
        let folder = folders.get(number).expect("a folder");
        let key = folder.path().join("fingerprint.key");
        Daemon::start(folder, &instance(&kafka, &redis, &key, name))
    };
    let (one, other) = (start(0, "tripline-1"), start(1, "tripline-2"));
    until("each owns two", PATIENCE, || (owned(&one.get("/v1/status")) == [2, 2]).then_some(()));
    kafka.produce("auth", keys("key", 30, 3).into_iter());
    for daemon in [&one, &other] {
        until("either shows all", PATIENCE, || {
            let list = daemon.get("/v1/credentials");
            let is_whole = |one: &Value| one.pointer("/windows/1/count") == Some(&3.into());
            let list = list.as_array().expect("a list");
            (list.len() == 30 && list.iter().all(is_whole)).then_some(())
        });
        until("either counts all", PATIENCE, || {
            (daemon.get("/v1/status").get("events") == Some(&90.into())).then_some(())
        });
        until("all are owned", PATIENCE, || (daemon.metric(UNOWNED) < 0.5).then_some(()));
    }
    other.kill();
    until("its partitions are missed", PATIENCE, || (one.metric(UNOWNED) > 1.5).then_some(()));
    until("they are owned again", PATIENCE * 2, || (one.metric(UNOWNED) < 0.5).then_some(()));
    assert_eq!(owned(&one.get("/v1/status?instance=tripline-1")).first(), Some(&4));
}

/// A producer that gives its records no key, or another one.
#[test]
fn records_that_are_not_keyed_by_credential_are_noticed_across_instances() {
    if skipped("kafka") || skipped("redis") {
        return;
    }
    let (kafka, redis) = (Kafka::start(), RedisServer::start());
    kafka.create_topic("auth", 2, &[]);
    let folders = [folder(), folder()];
    let daemons = [0, 1].map(|number: usize| {
        let folder = folders.get(number).expect("a folder");
        let key = folder.path().join("fingerprint.key");
        let name = format!("tripline-{number}");
        Daemon::start(folder, &instance(&kafka, &redis, &key, &name))
    });
    let [one, _] = &daemons;
    until("each owns one", PATIENCE, || (owned(&one.get("/v1/status")) == [1, 1]).then_some(()));
    until("it is noticed", PATIENCE * 2, || {
        let by_request =
            (0..40).map(|number| (format!("request_{number}"), event("key_1", now_ms())));
        kafka.produce("auth", by_request);
        (one.metric(NOT_KEYED) > 0.5).then_some(())
    });
}

#[test]
fn an_open_finding_is_that_of_one_instance_and_moves_with_its_partition() {
    if skipped("kafka") || skipped("redis") {
        return;
    }
    let (kafka, redis) = (Kafka::start(), RedisServer::start());
    kafka.create_topic("auth", 6, &[]);
    let shared = folder();
    let folders = [folder(), folder(), folder()];
    let start = |number: usize| {
        let folder = folders.get(number).expect("a folder");
        let key = folder.path().join("fingerprint.key");
        let name = format!("tripline-{number}");
        let place = format!("[checkpoints]\nurl = \"file://{}\"\n", shared.path().display());
        let config = instance(&kafka, &redis, &key, &name).replace("[checkpoints]\n", &place);
        Daemon::start(folder, &config)
    };
    let mut daemons = vec![start(0), start(1)];
    let open_at = |daemon: &Daemon, query: &str| -> Vec<String> {
        let found = daemon.get(&format!("/v1/findings?open=true&limit=1000{query}"));
        let found = found.as_array().expect("a list").clone();
        let id = |one: &Value| one.get("id").and_then(Value::as_str).map(str::to_owned);
        found.iter().filter_map(id).collect()
    };
    let owned_once = |daemons: &[Daemon], all: &[String]| {
        let at_each = |number: usize| {
            open_at(daemons.first().expect("one"), &format!("&instance=tripline-{number}"))
        };
        let found: Vec<String> = (0..daemons.len()).flat_map(at_each).collect();
        let times = |wanted: &String| found.iter().filter(|one| *one == wanted).count();
        all.iter().all(|one| times(one) == 1).then_some(())
    };
    until("each owns three", PATIENCE, || {
        (owned(&daemons.first().expect("one").get("/v1/status")) == [3, 3]).then_some(())
    });
    kafka.produce("auth", keys("thief", 12, 300).into_iter());
    let all = until("all are open", PATIENCE, || {
        let mut all = open_at(daemons.first().expect("one"), "");
        all.sort();
        (all.len() >= 12).then_some(all)
    });
    until("each at one of the two", PATIENCE, || owned_once(&daemons, &all));
    daemons.push(start(2));
    until("each owns two", PATIENCE, || {
        (owned(&daemons.first().expect("one").get("/v1/status")) == [2, 2, 2]).then_some(())
    });
    until("each at one of the three", PATIENCE, || owned_once(&daemons, &all));
}
