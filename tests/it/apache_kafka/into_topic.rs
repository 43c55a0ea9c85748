//! HTTP sources whose events go to the topic of a Kafka source.

use super::{PATIENCE, config, folder, sharing};
use crate::kafka_state::{count, counts};
use crate::support::apache_kafka::Kafka;
use crate::support::daemon::{BINARY, Daemon, event, now_ms, uses};
use crate::support::{skipped, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

const INTO: &str = "[sources.default]\ninto = \"kafka\"\n";
const ASSIGNED: &str = "tripline_consumer_assigned";
const STORED: &str = "tripline_topic_events_total";
const FAILURES: &str = "tripline_topic_failures_total";

/// Waits until the instances have all partitions between them, and each some.
fn settled(daemons: &[Daemon], partitions: f64) {
    until("all partitions have an owner", PATIENCE, || {
        let owned: Vec<f64> = daemons.iter().map(|daemon| daemon.metric(ASSIGNED)).collect();
        let all = (owned.iter().sum::<f64>() - partitions).abs() < 0.5;
        (all && owned.iter().all(|one| *one > 0.5)).then_some(())
    });
}

fn sum(daemons: &[Daemon], metric: &str) -> f64 {
    daemons.iter().map(|daemon| daemon.metric(metric)).sum()
}

#[test]
fn uses_spread_over_two_instances_are_found_beyond_the_limit_once_and_revoked_once() {
    if skipped("kafka") {
        return;
    }
    let (kafka, shared, folders) = (Kafka::start(), folder(), [folder(), folder()]);
    kafka.create_topic("auth", 6, &[]);
    let config = sharing(&kafka.address(), &shared.path().join("checkpoints")) + INTO;
    let daemons = folders.each_ref().map(|folder| Daemon::start(folder, &config));
    settled(&daemons, 6.0);
    // The limit is 120 a minute: neither instance takes so many.
    let at = now_ms();
    for _ in 0..110 {
        for daemon in &daemons {
            assert_eq!(daemon.post_events(&event("thief", at))["durable"], true);
        }
    }
    daemons[0].post_events(&uses("quiet", at, 10));
    daemons[1].post_events(&uses("quiet", at, 10));
    until("one instance has them all, and revokes", PATIENCE, || {
        let is_done = |one: &Daemon| one.check("thief") == 403 && count(one, "thief") == 220;
        daemons.iter().any(is_done).then_some(())
    });
    until("the quiet one is counted whole", PATIENCE, || {
        daemons.iter().any(|one| count(one, "quiet") == 20).then_some(())
    });
    let findings = |one: &Daemon| one.get("/v1/findings").as_array().cloned();
    let found: Vec<Value> = daemons.iter().filter_map(findings).flatten().collect();
    let beyond = |one: &&Value| one["detector"] == "limit";
    let beyond: Vec<&Value> = found.iter().filter(beyond).map(|one| &one["credential"]).collect();
    assert_eq!(beyond, ["thief"], "{found:#?}");
    let revoked = "tripline_decisions_total{action=\"revoke\",carried_out=\"true\"}";
    assert!((sum(&daemons, revoked) - 1.0).abs() < 0.5, "{}", sum(&daemons, revoked));
    assert!((sum(&daemons, STORED) - 240.0).abs() < 0.5, "{}", sum(&daemons, STORED));
}

#[test]
fn a_broker_that_is_away_is_answered_503_and_no_event_that_was_answered_200_is_lost() {
    if skipped("kafka") {
        return;
    }
    let mut kafka = Kafka::start();
    kafka.create_topic("auth", 3, &[]);
    let folder = folder();
    let config = config(&kafka.address()).replace("120/min", "none") + INTO;
    let daemon = Daemon::start(&folder, &config);
    let (mut accepted, mut tried) = (0_u64, 0_u64);
    // Each request names itself, so that what is stored and sent again is written once.
    let mut send = |key: &str| {
        let headers = [("idempotency-key", key)];
        let (status, body) = daemon.send("POST", "/v1/events", &headers, event("key_1", now_ms()));
        tried += 1;
        accepted += u64::from(status == 200);
        assert!(status == 200 || status == 503, "{status}: {body}");
        (status, body)
    };
    for number in 0..20 {
        assert_eq!(send(&format!("before-{number}")).0, 200);
    }
    kafka.kill(0);
    let (status, body) = send("away");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("Kafka has not stored all events"), "{body}");
    assert!(daemon.metric(FAILURES) > 0.5);
    until("the status says so", PATIENCE, || {
        let status = daemon.get("/v1/status");
        let issues = status["issues"].as_array().cloned().unwrap_or_default();
        issues.iter().any(|one| one["runbook"] == "topic-not-written").then_some(())
    });
    assert_eq!(daemon.send("GET", "/livez", &[], "").0, 200);
    kafka.restart(0);
    until("it is taken once it is sent again", PATIENCE, || (send("away").0 == 200).then_some(()));
    for number in 0..20 {
        until("it is taken", PATIENCE, || {
            (send(&format!("after-{number}")).0 == 200).then_some(())
        });
    }
    assert_eq!(accepted, 41);
    until("what was acknowledged is counted", PATIENCE, || {
        (count(&daemon, "key_1") >= accepted).then_some(())
    });
    assert!(count(&daemon, "key_1") <= tried, "at most once for each time it was sent");
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn a_request_that_is_sent_again_to_one_instance_with_its_key_is_written_once() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 3, &[]);
    let folder = folder();
    let daemon = Daemon::start(&folder, &(config(&kafka.address()) + INTO));
    let body = uses("key_1", now_ms(), 10);
    for _ in 0..3 {
        let named = [("idempotency-key", "one")];
        let (status, said) = daemon.send("POST", "/v1/events", &named, body.clone());
        assert_eq!(status, 200, "{said}");
    }
    counts(&daemon, "key_1", 10);
    daemon.post_events(&body);
    counts(&daemon, "key_1", 20);
}

/// A gateway whose records say less than the contract: the source decides the rest.
const GATEWAY: &str = "format = \"mapping\"\nkind = \"agent_token\"\nverified = \"2xx\"\n\
    tenant = \"acme\"\ntrusted_proxies = [\"198.51.100.0/24\"]\n\
    [sources.gateway.mapping]\ncredential = { at = \"/key\", fingerprint = true }\ntime = \"/ts\"\n\
    status = \"/status\"\nip = \"/for\"\nmodel = \"/model\"\ntokens = \"/tokens\"\n\
    endpoint = \"/path\"\nuser_agent = \"/agent\"\n\
    [prices]\n\"gpt-4*\" = 30\n";

/// Without what goes on with the clock, or depends on how many events were decided on at once.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let own = ["id", "at", "generation", "per_second", "windows"];
            let kept = fields.iter().filter(|(name, _)| !own.contains(&name.as_str()));
            kept.map(|(name, value)| (name.clone(), comparable(value))).collect()
        }
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[test]
fn findings_and_decisions_by_way_of_a_topic_are_those_of_a_lone_instance() {
    if skipped("kafka") {
        return;
    }
    let kafka = Kafka::start();
    kafka.create_topic("auth", 3, &[]);
    let (folders, shared) = ([folder(), folder()], folder());
    let with_topic = sharing(&kafka.address(), &shared.path().join("checkpoints"));
    let (alone, _) = with_topic.split_once("[sources.kafka]").expect("the source");
    // The fingerprints of both are the same.
    let alone = alone.replace("url = ", "# url = ");
    let gateway = |into: &str| format!("[sources.gateway]\ntype = \"http\"\n{into}{GATEWAY}");
    let lone = Daemon::start(&folders[0], &(alone + &gateway("")));
    let fleet = Daemon::start(&folders[1], &(with_topic + &gateway("into = \"kafka\"\n")));
    let at = now_ms();
    let line = |number: i64| {
        format!(
            "{{\"ts\":{},\"key\":\"a-raw-key\",\"status\":\"{}\",\"for\":\"203.0.113.{}, 198.51.100.7\",\
             \"model\":\"gpt-4o\",\"tokens\":{},\"path\":\"/v1/{}?q=1\",\"agent\":\"curl/8.5\"}}\n",
            at - 30_000 + number * 100,
            if number % 10 == 0 { 500 } else { 200 },
            number % 3,
            number * 10,
            number % 7,
        )
    };
    for number in 0..30 {
        let body: String = (number * 10..number * 10 + 10).map(line).collect();
        for daemon in [&lone, &fleet] {
            let (status, said) =
                daemon.send("POST", "/v1/sources/gateway/events", &[], body.clone());
            assert_eq!(status, 200, "{said}");
        }
    }
    let decided = |daemon: &Daemon| {
        until("it is revoked", PATIENCE, || {
            let decisions = daemon.get("/v1/decisions");
            decisions.as_array()?.iter().find(|one| one["action"] == "revoke").cloned()
        })
    };
    let views = [&lone, &fleet].map(|daemon| {
        let revocation = decided(daemon);
        let id = revocation["credential"].as_str().expect("a credential").to_owned();
        let view = until("all with a status of 2xx are counted", PATIENCE, || {
            let view = daemon.get(&format!("/v1/credentials/agent_token:{id}"));
            (view.pointer("/windows/4/count") == Some(&270.into())).then_some(view)
        });
        let findings = daemon.get("/v1/findings");
        BTreeMap::from([("revocation", revocation), ("findings", findings), ("view", view)])
    });
    for part in ["revocation", "findings", "view"] {
        let [lone, fleet] = views.each_ref().map(|views| comparable(&views[part]));
        assert_eq!(lone, fleet, "{part}");
    }
}

#[test]
fn check_refuses_a_topic_that_events_would_not_come_through_as_they_are() {
    let folder = folder();
    let path = folder.path().join("tripline.toml");
    let path = path.to_str().expect("a path");
    let kafka =
        |further: &str| format!("[sources.k]\ntype = \"kafka\"\nbrokers = \"b:9092\"\n{further}\n");
    let one = kafka("topics = [\"auth\"]");
    let web = "[sources.web]\ntype = \"file\"\npaths = [\"/var/log/x\"]\n";
    for (config, said) in [
        (String::new(), "there is no source `k`"),
        (web.replace("sources.web", "sources.k"), "`k` is of type file, and has no topic"),
        (kafka("topics = [\"a\", \"b\"]"), "`k` reads 2 topics"),
        (kafka("topics = [\"^auth\"]"), "reads all topics like ^auth"),
        (kafka("topics = [\"a\"]\nformat = \"nginx\""), "set format = \"native\" for [sources.k]"),
        (kafka("topics = [\"a\"]\nfingerprint_credentials = true"), "fingerprints for secrets"),
        (kafka("topics = [\"a\"]\ntenant = \"acme\""), "set tenant for this source"),
        (format!("{one}{web}into = \"k\"\n"), "`into` has no effect with type = \"file\""),
    ] {
        std::fs::write(path, format!("[sources.default]\ninto = \"k\"\n{config}")).expect("writes");
        let done = Command::new(BINARY).args(["check", path]).output().expect("runs");
        let told = String::from_utf8_lossy(&done.stderr).replace('│', " ");
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(done.status.code(), Some(78), "{config}");
        assert!(told.contains(said), "{config}\nsays: {told}");
    }
    for source in ["default]\n", "logs]\ntype = \"otlp\"\n"] {
        std::fs::write(path, format!("[sources.{source}into = \"k\"\n{one}")).expect("writes");
        let done = Command::new(BINARY).args(["check", path]).output().expect("runs");
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    }
}
